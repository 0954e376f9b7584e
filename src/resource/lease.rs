//! What does a caller hold? The permission to use a resource, which keeps it from being closed.

use std::fmt;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::resource::entry::Entry;
use crate::resource::scheduler::{Event, Time};
use crate::resource::source::Source;

/// The permission to use a resource of a [`ResourceCache`](crate::ResourceCache), which it
/// dereferences to.
///
/// While there is a lease the resource is not closed. Clones are further leases of the same resource.
/// A lease owns what it needs: it may be sent to another thread and may outlive the cache; the resource
/// is then closed after the last lease. Dropping a lease never blocks; it takes constant time unless
/// somebody waits for the resource's room.
///
/// To keep a resource for ever, keep a lease. One that is leaked (`std::mem::forget`) keeps it, and its
/// room, for good.
///
/// # Examples
///
/// ```
/// use hotset::{ResourceCache, from_fn};
///
/// let loader = from_fn(|n: &u32, _| Ok::<_, std::fmt::Error>(n * 10), |_, _| Ok(()));
/// let cache = ResourceCache::builder(loader).max_entries(1).build()?;
/// let lease = cache.lease(&7)?;
/// assert_eq!((*lease, *lease.id()), (70, 7));
/// let again = lease.clone();
/// drop(lease);
/// assert_eq!(std::thread::spawn(move || *again).join().unwrap(), 70);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Lease<L: Source> {
    entry: Arc<Entry<L>>,
}

impl<L: Source> Lease<L> {
    /// A lease of an entry in whose vault the caller has got a place, which it gives to the lease.
    #[inline(always)]
    pub(crate) fn new(entry: Arc<Entry<L>>) -> Self {
        Self { entry }
    }

    /// The key.
    pub fn id(&self) -> &L::Id {
        self.entry.name.id()
    }

    /// The spec that the resource was loaded by: that of the first who asked for it.
    pub fn spec(&self) -> &L::Spec {
        &self.entry.spec
    }

    /// How long its load took.
    pub fn load_time(&self) -> Duration {
        self.entry.load_time
    }

    /// Gives the lease back and says that the resource is no longer good: nobody gets a lease of it
    /// any more, and it is closed after the last of those that there are. The next call for its key
    /// loads anew.
    ///
    /// ```
    /// use hotset::{ResourceCache, from_fn};
    ///
    /// let loader = from_fn(|_: &u32, context| Ok::<_, std::fmt::Error>(context.generation()), |_, _| Ok(()));
    /// let cache = ResourceCache::builder(loader).max_entries(1).build()?;
    /// let first = cache.lease(&1)?;
    /// let broken = *first;
    /// first.retire();
    /// assert_ne!(*cache.lease(&1)?, broken);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retire(self) {
        if let Some(core) = self.entry.home() {
            core.step(Event::Retire { id: self.entry.id });
        }
    }
}

impl<L: Source> Clone for Lease<L> {
    fn clone(&self) -> Self {
        self.entry.vault.enter_again();
        Self { entry: Arc::clone(&self.entry) }
    }
}

impl<L: Source> Deref for Lease<L> {
    type Target = L::Resource;

    #[inline(always)]
    fn deref(&self) -> &L::Resource {
        // SAFETY: the lease has a place in the vault until it is dropped.
        unsafe { self.entry.vault.get() }
    }
}

impl<L: Source> Drop for Lease<L> {
    #[inline]
    fn drop(&mut self) {
        if self.entry.leave() {
            self.entry.tell();
        }
    }
}

impl<L: Source> Entry<L> {
    #[inline]
    fn leave(&self) -> bool {
        if !self.stamps {
            return self.vault.leave(None);
        }
        // Its cache is there, since the resource is not closed before this lease ends.
        let clock = || self.home().map_or(Time::ZERO, |core| core.now());
        self.vault.leave(Some(&clock))
    }

    #[cold]
    fn tell(&self) {
        // The cache may be gone: then somebody else has had the resource closed meanwhile.
        if let Some(core) = self.home() {
            core.step(Event::Released { id: self.id });
        }
    }
}

impl<L: Source> fmt::Debug for Lease<L>
where
    L::Resource: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("id", self.id()).field("resource", &**self).finish()
    }
}

// What can be reached is what is shared, and the cache's own state is whole at any time.
impl<L: Source> UnwindSafe for Lease<L> where L::Resource: RefUnwindSafe {}
impl<L: Source> RefUnwindSafe for Lease<L> where L::Resource: RefUnwindSafe {}
