//! What does a caller hold? The permission to use a resource, which keeps it from being closed.

#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use crate::resource::source::Source;

/// The permission to use a resource of a [`ResourceCache`](crate::ResourceCache).
pub struct Lease<L: Source> {
    resource: L::Resource,
}

impl<L: Source> Lease<L> {
    /// The key.
    pub fn id(&self) -> &L::Id {
        panic!("not built yet")
    }

    /// The spec that the resource was loaded by.
    pub fn spec(&self) -> &L::Spec {
        panic!("not built yet")
    }

    /// How long its load took.
    pub fn load_time(&self) -> Duration {
        panic!("not built yet")
    }

    /// Gives the lease back and says that the resource is no longer good.
    pub fn retire(self) {}
}

impl<L: Source> Clone for Lease<L> {
    fn clone(&self) -> Self {
        panic!("not built yet")
    }
}

impl<L: Source> Deref for Lease<L> {
    type Target = L::Resource;

    fn deref(&self) -> &L::Resource {
        &self.resource
    }
}

impl<L: Source> fmt::Debug for Lease<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}
