//! Where was it found? A slot of a bucket, as a value.

#![forbid(unsafe_code)]

use std::ptr::NonNull;

use crate::node::Node;
use crate::slot::{Slot, Word};
use crate::table::bucket::Bucket;
use crate::tags::Lane;

/// A slot that was found, and how many buckets its key's probe passed before. One in an appended segment was found
/// on a walk that lasts for `'t`.
///
/// Two words, so that it stays in registers also where it goes into a function and out again.
pub(crate) struct Place<'t, K, V> {
    pub(super) bucket: &'t Bucket<Node<K, V>>,
    /// In the order of the probe: the steps to the bucket, and the lane in it.
    pub(super) at: u64,
}

impl<K, V> Clone for Place<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Place<'_, K, V> {}

impl<'t, K, V> Place<'t, K, V> {
    #[inline(always)]
    pub(super) fn new(bucket: &'t Bucket<Node<K, V>>, lane: Lane, step: usize) -> Self {
        Self { bucket, at: (step as u64) << 32 | u64::from(lane.top_bit()) }
    }

    #[inline(always)]
    pub(super) fn lane(&self) -> Lane {
        Lane::of_top_bit(self.at as u32)
    }

    #[inline(always)]
    pub(super) fn step(&self) -> usize {
        (self.at >> 32) as usize
    }

    #[inline(always)]
    pub(crate) fn slot(&self) -> &'t Slot<Node<K, V>> {
        self.bucket.slot(self.lane())
    }

    #[inline(always)]
    pub(crate) fn touch(&self) {
        self.bucket.touch(self.lane());
    }

    #[inline]
    pub(crate) fn unlink(&self, word: Word<Node<K, V>>) -> bool {
        self.slot().unlink(word)
    }

    /// Whether the slot says `word` now.
    pub(crate) fn holds(&self, word: Word<Node<K, V>>) -> bool {
        self.slot().load() == word
    }

    pub(crate) fn confirm(&self, word: Word<Node<K, V>>) -> bool {
        self.slot().confirm(word)
    }

    #[inline]
    pub(crate) fn renew(&self, from: Word<Node<K, V>>, to: Word<Node<K, V>>) -> bool {
        self.slot().renew(from, to)
    }

    #[inline]
    pub(crate) fn exchange(&self, from: Word<Node<K, V>>, to: Word<Node<K, V>>) -> bool {
        self.slot().exchange(from, to)
    }
}

/// An entry or a flight that was found and is protected.
pub(crate) struct Found<'t, K, V> {
    pub(crate) place: Place<'t, K, V>,
    pub(crate) word: Word<Node<K, V>>,
    /// Valid as long as the protection under which it was found.
    pub(crate) node: NonNull<Node<K, V>>,
}

impl<K, V> Found<'_, K, V> {
    /// What a reader wants of it, who marks it as used or not.
    pub(super) fn met(self, touch: bool) -> NonNull<Node<K, V>> {
        if touch {
            self.place.touch();
        }
        self.node
    }
}
