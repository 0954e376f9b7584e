//! How are entries carried from one cache into another? Out in the order of eviction, in with the
//! standing that they had.

use crate::dumped::{Dumped, TimeLeft};
use crate::expiry::Times;
use crate::hash::Hashed;
use crate::node::Private;
use crate::refresh::Refresh;
use crate::slot::Word;
use crate::store::expiring::stamp_of;
use crate::store::{Arrival, Shield, Store, Trace};
use crate::table::claim::Acquired;

impl<K, V> Store<K, V> {
    /// Clones of all entries, coldest first. As consistent as a walk is.
    pub(crate) fn dump(&self) -> Vec<Dumped<K, V>>
    where
        K: Clone,
        V: Clone,
    {
        let owner = self.domain.owner();
        let order = self.table.coldest_first(&owner.local().position, &owner.walker());
        let entries = order.into_iter().filter_map(|(cursor, slot)| {
            let dumped = self.visit(&Shield::new(owner), cursor, slot, |found, key, value| {
                let time = match self.expiry.as_deref() {
                    // SAFETY: `visit` protects what it found.
                    Some(expiry) => expiry.time_left(unsafe { stamp_of(owner, found.node) })?,
                    None => TimeLeft::default(),
                };
                let standing = self.table.standing(found.place);
                Some(Dumped { key: key.clone(), value: value.clone(), standing, time })
            });
            dumped.flatten()
        });
        entries.collect()
    }

    /// What is to be known of an entry that comes back; `None` if it is not wanted: its key has one, its
    /// time is over, or it is too heavy.
    pub(crate) fn returning(&self, hash: Hashed, entry: &Dumped<K, V>) -> Option<Arrival>
    where
        K: Eq,
    {
        let weight = self.weigh(&entry.key, &entry.value);
        let expiry = self.expiry.as_deref();
        let stamp = expiry.map(|it| it.stamp_left(&entry.key, &entry.value, entry.time));
        let over = expiry.zip(stamp).is_some_and(|(expiry, stamp)| expiry.is_over(stamp));
        if over || self.is_too_heavy(weight) {
            return None;
        }
        let known = self.read(hash, &entry.key, Trace::Peek, |_, _| ()).is_some();
        let times = Times { stamp, refresh: self.refresh.as_deref().map(Refresh::due) };
        (!known).then_some(Arrival { weight, times })
    }

    /// From which of the entries on there is room for all that are wanted.
    pub(crate) fn first_with_room(&self, entries: &[Option<Arrival>]) -> usize {
        let mut rooms = self.budget.max().saturating_sub(self.budget.used());
        let mut weight = self.max_weight().map_or(u64::MAX, |max| max - self.weight().min(max));
        let last_without = entries.iter().rposition(|arrival| {
            let Some(arrival) = arrival else { return false };
            match (rooms.checked_sub(1), weight.checked_sub(arrival.weight)) {
                (Some(fewer), Some(lighter)) => (rooms, weight) = (fewer, lighter),
                _ => return true,
            }
            false
        });
        last_without.map_or(0, |at| at + 1)
    }

    /// Gives `key` an entry as it was, if it has none and there is room that nobody has to leave.
    pub(crate) fn restore(&self, hash: Hashed, entry: Dumped<K, V>, arrival: Arrival) -> bool
    where
        K: Eq,
    {
        let owner = self.domain.owner();
        let _leaving = self.leaving(owner);
        let Dumped { key, value, standing, .. } = entry;
        let fresh = Private::entry(owner, hash.place(), key, value, arrival.times);
        if !self.admits(owner, fresh.tail(), arrival.weight) {
            return false;
        }
        loop {
            let shield = Shield::new(owner);
            let Acquired::Claimed(claim) = self.acquire(owner, hash, fresh.key(), &shield) else {
                return false; // an entry that is there, or on its way, is younger
            };
            let Some(room) = self.reserve_spare(arrival.weight) else { return false };
            if let Some(place) = claim.finalise(Word::ready(fresh.as_ptr())) {
                room.occupy();
                let position = &owner.local().position;
                self.table.enter_as(
                    hash,
                    place,
                    (standing, arrival.weight),
                    position,
                    &shield.walker,
                );
                fresh.published();
                owner.local().inserts.bump();
                return true;
            }
        }
    }
}
