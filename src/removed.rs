//! What does a removal give? A handle to an entry that has left.

use std::fmt;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::node::{Node, NodeDomain, release, take_entry};
use crate::seed::{Seed, planted};

/// An entry that has left the cache, owned by whoever removed or replaced it.
///
/// Readers that found the entry before may still be looking at it, which is why it is a handle
/// and not the value itself: it dereferences to the value, and
/// [`try_into_inner`](Self::try_into_inner) gives key and value once nobody else has them.
/// Clones share the entry. The handle may outlive the cache and be sent to another thread. When
/// the last handle is dropped, key and value are dropped once no reader is left: by a later write
/// to the cache, by [`maintain`](crate::Cache::maintain), or at the end of the cache; at once, if
/// the cache is gone already.
///
/// # Examples
///
/// ```
/// let cache = hotset::Cache::new(8);
/// cache.insert("answer", 42);
/// let removed = cache.remove("answer").expect("it was there");
/// assert_eq!((*removed.key(), *removed), ("answer", 42));
/// assert_eq!(removed.try_into_inner().expect("nobody reads it"), ("answer", 42));
/// ```
pub struct Removed<K, V> {
    node: NonNull<Node<K, V>>,
    domain: Arc<NodeDomain<K, V>>,
}

// SAFETY: a handle is a counted share of a key and a value, like `Arc<(K, V)>`.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Removed<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Removed<K, V> {}
// As for `Arc`: what can be reached is what is shared.
impl<K: RefUnwindSafe, V: RefUnwindSafe> UnwindSafe for Removed<K, V> {}
impl<K: RefUnwindSafe, V: RefUnwindSafe> RefUnwindSafe for Removed<K, V> {}

impl<K, V> Removed<K, V> {
    /// Makes a handle of the share that the caller has of `node`, which is READY and unlinked.
    pub(crate) fn new(node: NonNull<Node<K, V>>, domain: Arc<NodeDomain<K, V>>) -> Self {
        Self { node, domain }
    }

    fn entry(&self) -> &Node<K, V> {
        // SAFETY: the handle's share keeps the node.
        unsafe { self.node.as_ref() }
    }

    /// The key.
    pub fn key(&self) -> &K {
        self.entry().key()
    }

    /// The value, as by dereferencing.
    pub fn value(&self) -> &V {
        // SAFETY: handles are made of entries, which are READY.
        unsafe { self.entry().value() }
    }

    /// Key and value, if this is the last handle and no reader is left.
    ///
    /// Takes time in proportion to the number of threads that use the cache. Does not wait.
    ///
    /// # Errors
    ///
    /// Gives the handle back if there is another handle, a thread is in the middle of reading
    /// this entry or of [refreshing](crate::Builder::refresh_after) it, or any thread has the cache pinned.
    ///
    /// # Examples
    ///
    /// ```
    /// let cache = hotset::Cache::new(8);
    /// cache.insert(1, "one".to_string());
    /// let first = cache.remove(&1).unwrap();
    /// let second = first.clone();
    /// let first = first.try_into_inner().expect_err("there is a second handle");
    /// drop(second);
    /// assert_eq!(first.try_into_inner().unwrap(), (1, "one".to_string()));
    /// ```
    pub fn try_into_inner(self) -> Result<(K, V), Self> {
        // The order matters: a reader that found the entry while it was a flight may still take a
        // share (`join`). Once no reader is left only owners of shares could, and if then this is
        // the only share, it stays so.
        let owner = self.domain.owner();
        let early = planted(Seed::SoleFirst).then(|| self.entry().is_sole());
        // SAFETY: the node was unlinked before the handle was made.
        let unseen = planted(Seed::BlindHandle) || unsafe { owner.is_unseen(self.node) };
        if !unseen || !early.unwrap_or_else(|| self.entry().is_sole()) {
            return Err(self);
        }
        let node = self.node;
        // SAFETY: the only share is ours and given up, the node is READY and unlinked, and no
        // reader sees it or can begin to.
        let entry = unsafe { take_entry(owner, node) };
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not used or dropped afterwards, so the count is taken over once.
        drop(unsafe { std::ptr::read(&this.domain) });
        Ok(entry)
    }
}

impl<K, V> Clone for Removed<K, V> {
    fn clone(&self) -> Self {
        self.entry().share();
        Self { node: self.node, domain: Arc::clone(&self.domain) }
    }
}

impl<K, V> Deref for Removed<K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        self.value()
    }
}

impl<K, V> Drop for Removed<K, V> {
    fn drop(&mut self) {
        let owner = self.domain.owner();
        // SAFETY: the handle's share is given up here, once; the node is unlinked.
        unsafe { release(owner, self.node) };
        // After the end of the cache there is no later write that could do it.
        if self.domain.is_closed() { owner.collect() } else { owner.finish() }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Removed<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Removed").field("key", self.key()).field("value", self.value()).finish()
    }
}
