//! With moka.

use std::sync::Arc;

use moka::future::Cache;

use super::{Directory, NoSuchUser};

/// Who has which name, asked of a directory elsewhere, and remembered.
pub struct Users {
    names: Cache<u32, Arc<str>>,
    directory: Arc<Directory>,
}

impl Users {
    pub fn new(users: u64, directory: Arc<Directory>) -> Self {
        Self { names: Cache::new(users), directory }
    }

    /// The name of a user, asked for once however many tasks want it at a time.
    pub async fn name(&self, user: u32) -> Result<Arc<str>, Arc<NoSuchUser>> {
        self.names.try_get_with(user, self.directory.name(user)).await
    }

    /// The same, with a name for those that have none.
    pub async fn name_or_nobody(&self, user: u32) -> Arc<str> {
        let name = async { self.directory.name(user).await.unwrap_or_else(|_| "nobody".into()) };
        self.names.get_with(user, name).await
    }

    pub async fn rename(&self, user: u32, name: &str) {
        self.names.insert(user, name.into()).await;
    }

    /// Asks for the name anew next time.
    pub async fn forget(&self, user: u32) {
        self.names.invalidate(&user).await;
    }
}
