//! How is a key found in a table that has grown?
//!
//! In the newest segment first, since most keys are there, and then in older ones, unless that one says that the key
//! is not there (`survey`). So once a newest segment is known, `front` says that there are no homes in the first ones,
//! and a look-up begins with the newest; it is advice, since those who begin at home go on from there.
//!
//! Readers go through [`find_newest`](Table::find_newest), writers through [`search_appended`] after a look at home,
//! where they will have to write, unless the newest segment says that the key is nowhere (`claim`).

#![forbid(unsafe_code)]

use std::ptr::NonNull;

use equivalent::Equivalent;

use crate::hash::Hashed;
use crate::node::Node;
use crate::reclaim::{Protect, Reader, Shelter, Walk};
use crate::seed::{Seed, planted};
use crate::sync::{Ordering, fence};
use crate::table::bucket::Bucket;
use crate::table::segment::{Segment, Shard};
use crate::table::{Found, Table, examine_all, find_in, probe};
use crate::tags::Tags;

impl<K, V> Table<K, V> {
    /// `find` in a table that has grown, where look-ups do not begin with the newest segment yet.
    #[cold]
    #[inline(never)]
    pub(super) fn find_beyond<Q, P>(
        &self,
        hash: Hashed,
        key: &Q,
        guard: P,
        touch: bool,
    ) -> Option<NonNull<Node<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Reader<Node<K, V>>,
    {
        self.find_newest(hash, key, guard, touch)
    }

    /// `find`, in the newest segment first. Whether that is known, or there, does not matter.
    #[inline(always)]
    pub(super) fn find_newest<Q, P>(
        &self,
        hash: Hashed,
        key: &Q,
        guard: P,
        touch: bool,
    ) -> Option<NonNull<Node<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Reader<Node<K, V>>,
    {
        let look = guard.look();
        let walk = look.walk();
        let Some(newest) = self.shard(hash.place()).newest(&walk) else {
            return self.find_in_first(hash, key, guard, touch);
        };
        let known = newest.is_known();
        let bucket = newest.appended_home(hash.place());
        let tags = bucket.tags();
        let found = find_in(bucket, tags, hash, key, &guard, touch);
        if found.is_some() {
            found
        } else if tags.passed() != 0 {
            self.find_further(newest, hash, key, guard, touch, walk)
        } else if known && !tags.beyond(hash.tag()) {
            None
        } else {
            self.find_in_older(newest, hash, key, guard, touch, walk)
        }
    }

    /// Whether look-ups begin at home in the first segments, or in the newest. Read anew, so that a hit need not keep it.
    #[inline(always)]
    pub(super) fn begins_at_home(&self) -> bool {
        self.front.get() != 0
    }

    /// Lets look-ups begin at home in the first segments, or in the newest if there are any. They find what is there
    /// either way. To be called by those who have made a segment known or taken one back, after that.
    pub(super) fn begin_where_most_are(&self) {
        loop {
            let grown = self.has_grown();
            self.front.set(if grown { 0 } else { self.arena().len() as u32 });
            // ORDERING: SeqCst. Partner: the same fence of others who call this: whoever writes last sees what those
            // before have seen, and looks once more, so no word stays that was true for somebody who was stopped here.
            fence(Ordering::SeqCst);
            if grown == self.has_grown() {
                return;
            }
        }
    }

    /// `find` of a key whose home is the first bucket of all.
    #[inline(never)]
    pub(super) fn find_at_first<Q, P>(
        &self,
        hash: Hashed,
        key: &Q,
        guard: P,
        touch: bool,
    ) -> Option<NonNull<Node<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Reader<Node<K, V>>,
    {
        if self.shard(hash.place()).has_appended() {
            self.find_beyond(hash, key, guard, touch)
        } else {
            self.find_in_first(hash, key, guard, touch)
        }
    }

    /// `find` behind the home bucket in the newest segment, which something has passed.
    #[inline(never)]
    fn find_further<Q, P>(
        &self,
        newest: &Segment<Node<K, V>>,
        hash: Hashed,
        key: &Q,
        guard: P,
        touch: bool,
        walk: Walk<'_>,
    ) -> Option<NonNull<Node<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Reader<Node<K, V>>,
    {
        for bucket in probe(newest, hash.place()).skip(1) {
            let tags = bucket.tags();
            let found = find_in(bucket, tags, hash, key, &guard, touch);
            if found.is_some() {
                return found;
            }
            if tags.passed() == 0 {
                break;
            }
        }
        if newest.is_known() && !newest.appended_home(hash.place()).tags().beyond(hash.tag()) {
            return None;
        }
        self.find_in_older(newest, hash, key, guard, touch, walk)
    }

    /// `find` in the segments that are older than the newest.
    #[inline]
    fn find_in_older<Q, P>(
        &self,
        newest: &Segment<Node<K, V>>,
        hash: Hashed,
        key: &Q,
        guard: P,
        touch: bool,
        walk: Walk<'_>,
    ) -> Option<NonNull<Node<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Reader<Node<K, V>>,
    {
        if newest.ordinal() == 1 {
            self.find_in_first(hash, key, guard, touch)
        } else {
            self.find_anywhere(hash, key, guard, touch, walk)
        }
    }

    /// `find` in the first segment.
    #[inline(never)]
    fn find_in_first<Q, P>(
        &self,
        hash: Hashed,
        key: &Q,
        guard: P,
        touch: bool,
    ) -> Option<NonNull<Node<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Reader<Node<K, V>>,
    {
        let home = self.home_bucket(hash.place());
        let tags = home.tags();
        let found = find_in(home, tags, hash, key, &guard, touch);
        if found.is_some() || tags.passed() == 0 || planted(Seed::NewestOnly) {
            return found;
        }
        self.find_displaced(hash, key, guard, touch)
    }

    /// `find` in all segments.
    #[inline(never)]
    fn find_anywhere<Q, P>(
        &self,
        hash: Hashed,
        key: &Q,
        guard: P,
        touch: bool,
        walk: Walk<'_>,
    ) -> Option<NonNull<Node<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
        P: Reader<Node<K, V>>,
    {
        let shard = self.shard(hash.place());
        match search_appended::<true, _, _, _, _, _>(shard, hash, key, &guard, &walk) {
            Met::Found(found) => Some(found.met(touch)),
            Met::End => None,
            Met::Nothing => self.find_in_first(hash, key, guard, touch),
        }
    }
}

/// What a search of appended segments came to.
pub(super) enum Met<T> {
    Found(T),
    /// The key may be in the first segment.
    Nothing,
    /// It is in none.
    End,
}

/// Searches the part of the probe of `key` that is in appended segments of its shard.
#[inline(always)]
pub(super) fn search_appended<'t, const READY: bool, K, V, Q, P, S>(
    shard: &'t Shard<Node<K, V>>,
    hash: Hashed,
    key: &Q,
    guard: &P,
    shelter: &'t S,
) -> Met<Found<'t, K, V>>
where
    Q: Equivalent<K> + ?Sized,
    P: Protect<Node<K, V>>,
    S: Shelter,
{
    look_beyond(shard, hash, shelter, |bucket, step, tags| {
        examine_all::<READY, _, _, _, _>(bucket, step, tags, hash, key, guard)
    })
}

/// What `look` finds first in the parts of a key's probe that are in appended segments. It is shown each
/// bucket, its number on the probe and its tags.
#[inline(always)]
pub(super) fn look_beyond<'t, K, V, T>(
    shard: &'t Shard<Node<K, V>>,
    hash: Hashed,
    shelter: &'t impl Shelter,
    look: impl Fn(&'t Bucket<Node<K, V>>, usize, Tags) -> Option<T> + Copy,
) -> Met<T> {
    for segment in shard.appended(shelter) {
        let known = segment.is_known();
        let tags = segment.appended_home(hash.place()).tags();
        if let Some(found) = look_in(segment, hash, tags, look) {
            return Met::Found(found);
        }
        if known && !tags.beyond(hash.tag()) {
            return Met::End;
        }
        if planted(Seed::NewestOnly) {
            break;
        }
    }
    Met::Nothing
}

/// What `look` finds first in the part of a key's probe that is in `segment`, whose home bucket has these tags.
#[inline(always)]
fn look_in<'t, K, V, T>(
    segment: &'t Segment<Node<K, V>>,
    hash: Hashed,
    tags: Tags,
    look: impl Fn(&'t Bucket<Node<K, V>>, usize, Tags) -> Option<T>,
) -> Option<T> {
    // As a rule nothing has passed: the table was enlarged for many more.
    let found = look(segment.appended_home(hash.place()), segment.steps(), tags);
    if found.is_none() && tags.passed() != 0 {
        return look_further(segment, hash, look);
    }
    found
}

/// What `look` finds first behind the home bucket of a key, in the part of its probe that is in `segment`.
#[inline(never)]
fn look_further<'t, K, V, T>(
    segment: &'t Segment<Node<K, V>>,
    hash: Hashed,
    look: impl Fn(&'t Bucket<Node<K, V>>, usize, Tags) -> Option<T>,
) -> Option<T> {
    for (step, bucket) in (segment.steps()..).zip(probe(segment, hash.place())).skip(1) {
        let tags = bucket.tags();
        let found = look(bucket, step, tags);
        if found.is_some() || tags.passed() == 0 {
            return found;
        }
    }
    None
}
