//! What must not compile? Each case with a twin that differs in what is wrong, and compiles.
//!
//! # A pin stays in its thread
//!
//! ```compile_fail,E0277
//! let cache = hotset::Cache::<u64, u64>::new(8);
//! let pinned = cache.pin();
//! std::thread::scope(|scope| {
//!     scope.spawn(|| pinned.get(&1).is_some());
//! });
//! ```
//!
//! ```
//! let cache = hotset::Cache::<u64, u64>::new(8);
//! std::thread::scope(|scope| {
//!     scope.spawn(|| cache.pin().get(&1).is_some());
//! });
//! ```
//!
//! # A borrow does not outlive its pin
//!
//! ```compile_fail,E0597
//! let cache = hotset::Cache::<u64, u64>::new(8);
//! let value = {
//!     let pinned = cache.pin();
//!     pinned.get(&1)
//! };
//! assert_eq!(value, None);
//! ```
//!
//! ```
//! let cache = hotset::Cache::<u64, u64>::new(8);
//! let value = {
//!     let pinned = cache.pin();
//!     pinned.get(&1).copied()
//! };
//! assert_eq!(value, None);
//! ```
//!
//! # Nor a refresh
//!
//! ```compile_fail,E0502
//! let cache = hotset::Cache::<u64, u64>::new(8);
//! let mut pinned = cache.pin();
//! let value = pinned.get(&1);
//! pinned.refresh();
//! assert_eq!(value, None);
//! ```
//!
//! ```
//! let cache = hotset::Cache::<u64, u64>::new(8);
//! let mut pinned = cache.pin();
//! let value = pinned.get(&1);
//! assert_eq!(value, None);
//! pinned.refresh();
//! ```
//!
//! # A cache does not go while it is pinned
//!
//! ```compile_fail,E0505
//! let cache = hotset::Cache::<u64, u64>::new(8);
//! let pinned = cache.pin();
//! drop(cache);
//! assert_eq!(pinned.get(&1), None);
//! ```
//!
//! ```
//! let cache = hotset::Cache::<u64, u64>::new(8);
//! let pinned = cache.pin();
//! assert_eq!(pinned.get(&1), None);
//! drop(pinned);
//! drop(cache);
//! ```
//!
//! # A reference does not leave the closure that was given it
//!
//! ```compile_fail
//! let cache = hotset::Cache::<u64, String>::new(8);
//! let value: Option<&String> = cache.with(&1, |_, value| value);
//! ```
//!
//! ```
//! let cache = hotset::Cache::<u64, String>::new(8);
//! let value: Option<String> = cache.with(&1, |_, value| value.clone());
//! ```
//!
//! # Values that threads may not share stay in one thread
//!
//! ```compile_fail,E0277
//! let cache = hotset::Cache::<u64, std::rc::Rc<u64>>::new(8);
//! std::thread::spawn(move || cache.len());
//! ```
//!
//! ```
//! let cache = hotset::Cache::<u64, std::sync::Arc<u64>>::new(8);
//! std::thread::spawn(move || cache.len());
//! ```
//!
//! # A copy is only given of what can be copied
//!
//! ```compile_fail,E0277
//! let cache = hotset::Cache::<u64, std::sync::Mutex<u64>>::new(8);
//! cache.get(&1);
//! ```
//!
//! ```
//! let cache = hotset::Cache::<u64, std::sync::Mutex<u64>>::new(8);
//! cache.with(&1, |_, value| *value.lock().unwrap());
//! ```
//!
//! # A listener keeps what it uses
//!
//! ```compile_fail,E0597
//! let builder = {
//!     let count = std::sync::atomic::AtomicUsize::new(0);
//!     let counter = &count;
//!     hotset::Cache::<u64, u64>::builder()
//!         .max_entries(8)
//!         .on_evict(move |_, _, _| drop(counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
//! };
//! ```
//!
//! ```
//! let builder = {
//!     let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
//!     let counter = count.clone();
//!     hotset::Cache::<u64, u64>::builder()
//!         .max_entries(8)
//!         .on_evict(move |_, _, _| drop(counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
//! };
//! ```

#![forbid(unsafe_code)]
