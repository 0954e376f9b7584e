//! What every protection can do, so that one loop measures them all.

/// A swap array: slots that hold one node each, under one protection.
///
/// A node of slot `i` has a key `(n << 32) | i` and a value `n`; a reading is `key ^ value`, which
/// [`is_of`] checks, so that a node that was freed too early is noticed.
pub(super) trait Scheme: Send + Sync + Sized {
    /// Whether a [`Pin`](Self::Pin) covers reads of several slots at once.
    const SPANS: bool;
    type Pin<'s>: Pinned
    where
        Self: 's;

    /// `limit` bounds what is retired and not freed.
    fn new(slots: usize, limit: Option<usize>) -> Self;

    /// A short read: protect, look at the node, let go.
    fn read(&self, index: usize) -> u64;

    /// A long read. Where it does not span slots, it keeps the node of one slot.
    fn pin(&self, index: usize) -> Self::Pin<'_>;

    /// Puts a new node in and retires the old one. False if the bound refused it. With `compare`
    /// the old node is read first, protected, as an insert does that compares keys.
    fn replace(&self, index: usize, key: u64, compare: bool) -> bool;
}

/// Whether `reading` comes from a node of slot `index`.
#[inline(always)]
pub(super) fn is_of(reading: u64, index: usize) -> bool {
    (reading ^ (reading >> 32)) as u32 == index as u32
}

pub(super) trait Pinned {
    /// Reads a slot. Of a pin that does not span slots: moves it to that slot.
    fn read(&mut self, index: usize) -> u64;
}
