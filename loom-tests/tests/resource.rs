//! Is a resource closed once, after its last lease, and does nobody wait for room in vain?
//! (`src/resource/vault`, `src/resource/scheduler`)
//!
//! The scheduler's own logic is tested without threads; here it meets hits and releases that go past
//! it. R2 by the canaries: closing drops one. R6: loom reports a deadlock if a wake-up is lost. The
//! shell around vault and scheduler is that of `src/resource/model.rs`.

use std::sync::Arc;

use hotset::__model::Shelves;
use hotset_loom_tests::{Canary, Job, job, race, suite};

suite! {
    sound: hit_against_retirement, clone_against_retirement, release_against_wait,
        hits_against_wait, two_hits_against_wait, release_holds_the_victim, hit_sees_the_load,
        doomed_load;
    wide:;
    widest:;
    campaign:;
    seeded:
        enter_retired = EnterRetired in hit_against_retirement => "read after it was taken",
        look_then_retire = LookThenRetire in hit_against_retirement => "never closed",
        relaxed_release = RelaxedRelease in hit_against_retirement => "Causality violation",
        look_then_watch = LookThenWatch in release_against_wait => "deadlock",
        unwatched_wait = UnwatchedWait in release_against_wait => "deadlock",
        enter_watched = EnterWatched in release_holds_the_victim => "came back",
        enter_retired_by_a_load = EnterRetired in hit_sees_the_load => "never closed",
        enter_retired_doomed = EnterRetired in doomed_load => "read after it was taken",
        relaxed_release_of_a_clone = RelaxedRelease in clone_against_retirement => "Causality violation",
        relaxed_release_waited_for = RelaxedRelease in hits_against_wait => "Causality violation",
        relaxed_release_of_two = RelaxedRelease in two_hits_against_wait => "Causality violation",
}

type Cache = Shelves<Canary>;

fn cache(max_entries: usize) -> Arc<Cache> {
    Arc::new(Shelves::new(max_entries, Canary::new))
}

/// Reads what a hit gives, if it gives anything.
fn reader(key: u32) -> Job<Cache> {
    job(move |cache: &Cache| {
        if let Some(held) = cache.hit(key) {
            assert_eq!(held.read(), u64::from(key));
        }
    })
}

fn asker(key: u32) -> Job<Cache> {
    job(move |cache: &Cache| assert_eq!(cache.lease(key).read(), u64::from(key)))
}

/// Nothing is left but what may be: all can still be closed.
fn end(cache: &Cache) {
    cache.evict_all();
    assert_eq!(cache.charged(), 0, "something is never closed");
}

/// R2: a hit gets in before the end, or not at all.
fn hit_against_retirement() {
    let cache = cache(1);
    drop(cache.lease(1));
    let closer = job(|cache: &Cache| {
        cache.evict_all();
    });
    race(&cache, [reader(1), closer]);
    end(&cache);
}

/// R2: of two leases the last one closes.
fn clone_against_retirement() {
    let cache = cache(1);
    let one = cache.lease(1);
    let two = one.clone();
    let holder = |held: hotset::__model::Held<Canary>| {
        job(move |_: &Cache| {
            assert_eq!(held.read(), 1);
            drop(held);
        })
    };
    let closer = job(|cache: &Cache| {
        cache.evict_all();
    });
    race(&cache, [holder(one), holder(two), closer]);
    end(&cache);
}

/// R6: the release that leaves nobody inside, against somebody who begins to wait for the room.
fn release_against_wait() {
    let cache = cache(1);
    let held = cache.lease(1);
    let holder = job(move |_: &Cache| drop(held));
    race(&cache, [holder, asker(2)]);
    end(&cache);
}

/// R6: nor do hits that come and go keep it waiting.
fn hits_against_wait() {
    let cache = cache(1);
    drop(cache.lease(1));
    race(&cache, [reader(1), asker(2)]);
    end(&cache);
}

fn two_hits_against_wait() {
    let cache = cache(1);
    drop(cache.lease(1));
    race(&cache, [reader(1), reader(1), asker(2)]);
    end(&cache);
}

/// R6, no livelock: once the release of what somebody waits for has left nobody inside, no hit brings
/// it back.
fn release_holds_the_victim() {
    let cache = cache(1);
    let held = cache.lease(1);
    let holder = job(move |_: &Cache| {
        held.give_back(|tell, cache| {
            if tell {
                assert!(cache.hit(1).is_none(), "what somebody waits for came back");
            }
        });
    });
    race(&cache, [holder, asker(2)]);
    end(&cache);
}

/// M6: a hit that finds the resource sees all of it.
fn hit_sees_the_load() {
    let cache = cache(1);
    race(&cache, [reader(1), asker(1)]);
    end(&cache);
}

/// A load against the eviction of everything: it is closed, and who asked for it has had it.
fn doomed_load() {
    let cache = cache(1);
    let closer = job(|cache: &Cache| {
        cache.evict_all();
    });
    race(&cache, [asker(1), closer, reader(1)]);
    end(&cache);
}
