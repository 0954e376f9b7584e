//! With hotset.

use std::sync::Arc;

use hotset::{Cache, LoadError};

use super::{Directory, NoSuchUser};

/// Who has which name, asked of a directory elsewhere, and remembered.
pub struct Users {
    names: Cache<u32, Arc<str>>,
    directory: Arc<Directory>,
}

impl Users {
    pub fn new(users: usize, directory: Arc<Directory>) -> Self {
        Self { names: Cache::new(users), directory }
    }

    /// The name of a user, asked for once however many tasks want it at a time.
    pub async fn name(&self, user: u32) -> Result<Arc<str>, Arc<NoSuchUser>> {
        let name = self.names.try_get_or_insert_async(user, self.directory.name(user)).await;
        name.map_err(|error| match error {
            LoadError::Failed(error) => error,
            // Another task's panic, or a directory that asks this cache for the user whom it looks up.
            other => Arc::new(NoSuchUser(format!("{other:?}"))),
        })
    }

    /// The same, with a name for those that have none.
    pub async fn name_or_nobody(&self, user: u32) -> Arc<str> {
        let name = async { self.directory.name(user).await.unwrap_or_else(|_| "nobody".into()) };
        self.names.get_or_insert_async(user, name).await
    }

    pub fn rename(&self, user: u32, name: &str) {
        self.names.insert(user, name.into());
    }

    /// Asks for the name anew next time.
    pub fn forget(&self, user: u32) {
        self.names.remove(&user);
    }
}
