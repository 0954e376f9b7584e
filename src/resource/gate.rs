//! How does the scheduler look at leases? Through the vault of what is leased, with the ticks of its cache.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::resource::scheduler::{Gate, Time};
use crate::resource::vault::Vault;
use crate::sync::AtomicU64;

/// What has a vault, and a cache with ticks.
pub(crate) trait Kept {
    type Resource;

    fn vault(&self) -> &Vault<Self::Resource>;

    /// Calls `f` with the ticks, while the cache is there.
    fn with_ticks(&self, f: impl FnOnce(&AtomicU64));
}

impl<E: Kept> Gate for Arc<E> {
    fn open(&self, leases: u32, retired: bool, now: Time) {
        self.with_ticks(|ticks| self.vault().open(leases, retired, now, ticks));
    }

    fn watch(&self) -> bool {
        self.vault().watch()
    }

    fn unwatch(&self) {
        self.vault().unwatch();
    }

    fn retire(&self) -> bool {
        self.vault().retire()
    }

    fn retire_if_idle(&self) -> bool {
        self.vault().retire_if_idle()
    }

    fn admit(&self) {
        self.with_ticks(|ticks| self.vault().admit(ticks));
    }

    fn leases(&self) -> u32 {
        self.vault().leases()
    }

    fn take_revived(&self) -> bool {
        self.vault().take_revived()
    }

    fn last_used(&self) -> u64 {
        self.vault().last_used()
    }

    fn idle_since(&self) -> Time {
        self.vault().idle_since()
    }
}
