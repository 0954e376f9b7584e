//! Which thread may hold what? Auto traits and sizes, checked by the compiler.

use std::cell::Cell;
use std::fmt::Debug;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::MutexGuard;

use hotset::{
    BuildError, Builder, Cache, Cause, Dump, Insert, Iter, LoadError, ManualTime, Pinned, Policy,
    Removed, Stats, TimeSource,
};

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
fn debug<T: Debug>() {}

/// Fails to compile if `$t: $trait`, as then the call is ambiguous.
macro_rules! assert_not {
    ($t:ty: $($trait:tt)+) => {{
        trait Ambiguous<A> { fn check() {} }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct Is;
        impl<T: ?Sized + $($trait)+> Ambiguous<Is> for T {}
        <$t as Ambiguous<_>>::check();
    }};
}

type Guard = MutexGuard<'static, u8>; // Sync, not Send
type C<K, V> = Cache<K, V>;

#[test]
fn send_and_sync() {
    send::<C<u64, String>>();
    sync::<C<u64, String>>();
    send::<Removed<u64, String>>();
    sync::<Removed<u64, String>>();
    send::<Insert<u64, String>>();
    send::<Iter<'static, u64, String>>();
    sync::<Iter<'static, u64, String>>();
    send::<Builder<u64, String>>();
    send::<LoadError<String>>();
    send::<(Dump<u64, String>, ManualTime, Box<dyn TimeSource>)>();
    sync::<(Dump<u64, String>, ManualTime, Box<dyn TimeSource>)>();
    sync::<LoadError<String>>();
    send::<(BuildError, Stats, Cause, Policy)>();
    sync::<(BuildError, Stats, Cause, Policy)>();
    // Values that are not 'static.
    fn borrowed<'a>(_: &'a str) {
        send::<C<&'a str, &'a [u8]>>();
        sync::<C<&'a str, &'a [u8]>>();
    }
    borrowed("");
}

#[test]
fn not_send_or_not_sync() {
    // A cache drops values in any thread and reads them in all: both need both.
    assert_not!(C<u64, Rc<u8>>: Send);
    assert_not!(C<u64, Rc<u8>>: Sync);
    assert_not!(C<Rc<u8>, u64>: Sync);
    assert_not!(C<u64, Cell<u8>>: Sync);
    assert_not!(C<u64, Cell<u8>>: Send);
    assert_not!(C<u64, Guard>: Sync);
    assert_not!(C<u64, Guard>: Send);
    assert_not!(Cache<u64, u64, Rc<u8>>: Send);
    assert_not!(Cache<u64, u64, Cell<u8>>: Sync);
    assert_not!(Removed<u64, Rc<u8>>: Send);
    assert_not!(Removed<u64, Cell<u8>>: Send);
    assert_not!(Removed<Cell<u8>, u8>: Sync);
    assert_not!(Removed<u64, Guard>: Send);
    assert_not!(Insert<u64, Rc<u8>>: Send);
    assert_not!(Dump<u64, Rc<u8>>: Send);
    assert_not!(Dump<Cell<u8>, u64>: Sync);
    assert_not!(Iter<'static, u64, Cell<u8>>: Send);
    // A pin belongs to its thread.
    assert_not!(Pinned<'static, u64, u64, ()>: Send);
    assert_not!(Pinned<'static, u64, u64, ()>: Sync);
    // Clones of a whole cache do not exist; it is shared by reference or in an `Arc`.
    assert_not!(C<u64, u64>: Clone);
    assert_not!(C<u64, u64>: Unpin + Copy);
}

#[test]
fn unwinding() {
    // A panic in user code leaves a cache whole (`panics`), so it may be used after one.
    unwind_safe::<C<u64, String>>();
    unwind_safe::<Removed<u64, String>>();
    unwind_safe::<Pinned<'static, u64, String, ()>>();
    unwind_safe::<Iter<'static, u64, String>>();
    unwind_safe::<(Insert<u64, String>, LoadError<String>, BuildError, Stats, Cause, Policy)>();
    unwind_safe::<(Dump<u64, String>, ManualTime)>();
    // As far as what is in it can be.
    assert_not!(C<u64, Cell<u8>>: RefUnwindSafe);
    assert_not!(C<u64, &'static mut u8>: UnwindSafe);
    assert_not!(Pinned<'static, u64, Cell<u8>, ()>: UnwindSafe);
    assert_not!(Iter<'static, Cell<u8>, u64>: UnwindSafe);
}

#[test]
fn everything_can_be_printed() {
    debug::<C<u64, String>>();
    debug::<Pinned<'static, u64, String, ()>>();
    debug::<Iter<'static, u64, String>>();
    debug::<(Removed<u64, String>, Insert<u64, String>, Stats, Cause, Policy)>();
    debug::<(BuildError, LoadError<String>, ManualTime)>();
    // Without bounds, so that any cache can be built with `expect`.
    struct Plain;
    debug::<Builder<Plain, Plain>>();
    debug::<(Dump<Plain, Plain>, Iter<'static, Plain, Plain>)>();
}

#[test]
fn sizes() {
    // A handle is a node and the domain that it belongs to; an outcome adds no more than a word
    // to its largest payload.
    assert_eq!(size_of::<Removed<u64, [u8; 100]>>(), 2 * size_of::<usize>());
    assert_eq!(size_of::<Option<Removed<u64, u64>>>(), 2 * size_of::<usize>());
    assert!(size_of::<Insert<u64, u64>>() <= 3 * size_of::<usize>());
    assert!(size_of::<LoadError<[u8; 100]>>() <= 2 * size_of::<usize>());
    assert!(size_of::<Iter<'static, u64, u64>>() <= 4 * size_of::<usize>());
    assert!(size_of::<Pinned<'static, u64, u64, ()>>() <= 4 * size_of::<usize>());
}
