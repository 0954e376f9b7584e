//! What has an entry earned? Its class and its uses, to be carried into another table.

use crate::dump::Standing;
use crate::hash::Hashed;
use crate::table::{Entrance, Place, Table};

impl<K, V> Table<K, V> {
    /// The standing of the entry at `place`.
    pub(crate) fn standing(&self, place: Place<'_, K, V>) -> Standing {
        place.bucket.standing(place.lane(), self.classes.is_none())
    }

    /// As [`enter`](Self::enter), for an entry that comes with the standing that it had elsewhere.
    pub(crate) fn enter_as(
        &self,
        hash: Hashed,
        place: Place<'_, K, V>,
        standing: Standing,
        weight: u64,
    ) {
        let entrance = if standing.on_probation { Entrance::Probation } else { Entrance::Main };
        self.enter(hash, place, entrance, weight);
        place.bucket.credit(place.lane(), standing.uses, self.classes.is_none());
    }
}
