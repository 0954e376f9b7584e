//! What has an entry earned? Its class and its uses, to be carried into another table.

#![forbid(unsafe_code)]

use crate::adaptive::Class;
use crate::dumped::Standing;
use crate::hash::Hashed;
use crate::local::Position;
use crate::node::NodeWalker;
use crate::table::{Place, Table};

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
        (standing, weight): (Standing, u64),
        position: &Position,
        walker: &NodeWalker<'_, K, V>,
    ) {
        let class = if standing.on_probation { Class::Probation } else { Class::Main };
        self.enter(hash, place, (class, weight), position, walker);
        place.bucket.credit(place.lane(), standing.uses, self.classes.is_none());
    }
}
