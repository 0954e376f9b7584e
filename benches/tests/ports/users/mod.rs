//! A directory of users, asked by tasks: moka's `future::Cache`, with `try_get_with` and `get_with`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::task::{spawn, yield_now};

mod with_hotset;
mod with_moka;

/// Why a user has no name.
#[derive(Debug, PartialEq, Eq)]
pub struct NoSuchUser(pub String);

/// The other side, which counts how often it is asked.
#[derive(Default)]
pub struct Directory {
    asked: AtomicUsize,
}

impl Directory {
    pub async fn name(&self, user: u32) -> Result<Arc<str>, NoSuchUser> {
        let n = self.asked.fetch_add(1, SeqCst) + 1;
        for _ in 0..50 {
            yield_now().await; // others ask meanwhile
        }
        match user {
            0..100 => Ok(format!("user {user} at request {n}").into()),
            _ => Err(NoSuchUser(format!("no {user} at request {n}"))),
        }
    }
}

/// What the script sees of the programs.
trait Users: Send + Sync + 'static {
    fn name(&self, user: u32) -> impl Future<Output = Result<Arc<str>, Arc<NoSuchUser>>> + Send;
    fn name_or_nobody(&self, user: u32) -> impl Future<Output = Arc<str>> + Send;
    fn rename(&self, user: u32, name: &str) -> impl Future<Output = ()> + Send;
    fn forget(&self, user: u32) -> impl Future<Output = ()> + Send;
}

impl Users for with_moka::Users {
    async fn name(&self, user: u32) -> Result<Arc<str>, Arc<NoSuchUser>> {
        self.name(user).await
    }

    async fn name_or_nobody(&self, user: u32) -> Arc<str> {
        self.name_or_nobody(user).await
    }

    async fn rename(&self, user: u32, name: &str) {
        self.rename(user, name).await;
    }

    async fn forget(&self, user: u32) {
        self.forget(user).await;
    }
}

impl Users for with_hotset::Users {
    async fn name(&self, user: u32) -> Result<Arc<str>, Arc<NoSuchUser>> {
        self.name(user).await
    }

    async fn name_or_nobody(&self, user: u32) -> Arc<str> {
        self.name_or_nobody(user).await
    }

    async fn rename(&self, user: u32, name: &str) {
        self.rename(user, name);
    }

    async fn forget(&self, user: u32) {
        self.forget(user);
    }
}

/// What happens, as texts.
async fn script(users: impl Users) -> Vec<String> {
    let users = Arc::new(users);
    let ask = async |user| match users.name(user).await {
        Ok(name) => name.to_string(),
        Err(error) => error.0.clone(),
    };
    let mut seen = vec![
        ask(1).await,
        ask(1).await,
        ask(2).await,
        ask(100).await, // fails
        ask(100).await, // fails anew
    ];
    users.rename(2, "Ada").await;
    seen.push(ask(2).await);
    users.forget(2).await;
    seen.push(ask(2).await);
    seen.push(users.name_or_nobody(200).await.to_string());
    seen.push(ask(200).await);
    // Eight tasks at once, of which the one that asked first is aborted: another goes on.
    let all: Vec<_> = (0..8)
        .map(|_| {
            let users = Arc::clone(&users);
            spawn(async move { users.name(3).await })
        })
        .collect();
    yield_now().await;
    for (n, task) in all.into_iter().enumerate() {
        if n == 0 {
            task.abort();
        }
        seen.push(match task.await {
            Ok(name) => name.expect("it has a name").to_string(),
            Err(aborted) => format!("aborted: {}", aborted.is_cancelled()),
        });
    }
    seen
}

/// What the script saw, and how often the directory was asked.
fn played<U: Users>(open: impl FnOnce(Arc<Directory>) -> U) -> (Vec<String>, usize) {
    let directory = Arc::new(Directory::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let seen = runtime.block_on(script(open(Arc::clone(&directory))));
    (seen, directory.asked.load(SeqCst))
}

#[test]
fn they_name_the_same() {
    let moka = played(|directory| with_moka::Users::new(100, directory));
    let hotset = played(|directory| with_hotset::Users::new(100, directory));
    assert_eq!(moka, hotset);
    let (seen, asked) = hotset;
    assert_eq!(seen[4], "no 100 at request 4");
    assert_eq!(seen[9..11], ["aborted: true", "user 3 at request 8"]);
    assert_eq!(asked, 8);
}
