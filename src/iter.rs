//! How is a cache walked through without a pin? An iterator of clones.

#![forbid(unsafe_code)]

use std::fmt;
use std::iter::FusedIterator;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::store::Store;

/// An iterator over clones of all entries. Made by [`Cache::iter`](crate::Cache::iter).
pub struct Iter<'c, K, V> {
    store: &'c Store<K, V>,
    /// Bucket and slot of the next entry to look at; `None` at the end.
    next: Option<(usize, usize)>,
}

impl<'c, K, V> Iter<'c, K, V> {
    pub(crate) fn new(store: &'c Store<K, V>) -> Self {
        Self { store, next: Some((0, 0)) }
    }
}

impl<K: Clone, V: Clone> Iterator for Iter<'_, K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        let (cursor, slot) = self.next?;
        match self.store.next_from(cursor, slot) {
            Some(((cursor, slot), entry)) => {
                self.next = Some((cursor, slot + 1));
                Some(entry)
            }
            None => {
                self.next = None;
                None
            }
        }
    }
}

impl<K: Clone, V: Clone> FusedIterator for Iter<'_, K, V> {}

impl<K, V> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("next", &self.next).finish_non_exhaustive()
    }
}

// As a cache: an iterator that is used after a panic in a `clone` goes on behind that entry, or with it.
impl<K, V> UnwindSafe for Iter<'_, K, V>
where
    K: UnwindSafe + RefUnwindSafe,
    V: UnwindSafe + RefUnwindSafe,
{
}
impl<K, V> RefUnwindSafe for Iter<'_, K, V>
where
    K: UnwindSafe + RefUnwindSafe,
    V: UnwindSafe + RefUnwindSafe,
{
}
