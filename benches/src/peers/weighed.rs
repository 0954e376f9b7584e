//! The same caches bounded by weight: what it costs to weigh entries of different sizes.

use hotset::Policy;
use quick_cache::Weighter;

use super::hotset::reads_inner;
use super::{Cache, CacheVisitor, Hasher, Hotset, HotsetClock, Moka, Only, QuickCache, Reader};

/// What an entry weighs on average: `weight` of keys that are spread over 64 bits.
const MEAN: u64 = 100;

/// What the entry of a key weighs: 50 to 150.
fn weight(key: u64) -> u64 {
    MEAN / 2 + key % (MEAN + 1)
}

/// The weight of as many entries.
fn bound(entries: usize) -> u64 {
    entries as u64 * MEAN
}

/// A cache whose entries weigh [`weight`], with room for about as many as it is given. Its name is that of the one that
/// does not weigh.
pub struct Weighed<C>(C);

/// How such a cache is made.
pub trait ByWeight: Cache {
    fn by_weight(entries: usize) -> Self;
}

impl<C: ByWeight> Reader for Weighed<C> {
    const NAME: &'static str = C::NAME;

    fn with_capacity(entries: usize) -> Self {
        Self(C::by_weight(entries))
    }

    reads_inner!();
}

impl<C: ByWeight> Cache for Weighed<C> {
    #[inline]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.0.insert(key, value)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

fn hotset(entries: usize, policy: Policy) -> Hotset {
    let builder = hotset::Cache::builder().hasher(Hasher::default()).policy(policy);
    let builder = builder.max_weight(bound(entries)).weigher(|&key, _| weight(key));
    Hotset::from(builder.expected_entries(entries))
}

impl ByWeight for Hotset {
    fn by_weight(entries: usize) -> Self {
        hotset(entries, Policy::default())
    }
}

impl ByWeight for HotsetClock {
    fn by_weight(entries: usize) -> Self {
        hotset(entries, Policy::Clock).into()
    }
}

/// quick_cache's weigher.
#[derive(Clone, Default)]
pub struct ByKey;

impl Weighter<u64, u64> for ByKey {
    #[inline]
    fn weight(&self, &key: &u64, _: &u64) -> u64 {
        weight(key)
    }
}

impl ByWeight for QuickCache<ByKey> {
    fn by_weight(entries: usize) -> Self {
        Self::built(entries, bound(entries), ByKey)
    }
}

impl ByWeight for Moka {
    fn by_weight(entries: usize) -> Self {
        Self::built(|builder| {
            builder.max_capacity(bound(entries)).weigher(|&key, _| weight(key) as u32)
        })
    }
}

/// Shows each of them to `visitor`.
pub fn each_weighed(only: &Only, visitor: &mut impl CacheVisitor) {
    fn show<C: ByWeight>(only: &Only, visitor: &mut impl CacheVisitor) {
        if only.admits(C::NAME) {
            visitor.cache::<Weighed<C>>();
        }
    }
    show::<Hotset>(only, visitor);
    show::<HotsetClock>(only, visitor);
    show::<QuickCache<ByKey>>(only, visitor);
    show::<Moka>(only, visitor);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full;

    impl CacheVisitor for Full {
        fn cache<C: Cache>(&mut self) {
            let cache = C::with_capacity(1_000);
            for key in 0..50_000 {
                cache.insert(key, key);
            }
            cache.settle();
            // As many as weigh a hundred on average, some more if those who stay are light.
            assert!((900..=1_200).contains(&cache.len()), "{}: {}", C::NAME, cache.len());
            let weight: u64 = (0..50_000).filter_map(|key| cache.get(key)).map(weight).sum();
            assert!((90_000..=100_000).contains(&weight), "{}: weight {weight}", C::NAME);
        }
    }

    #[test]
    fn each_holds_what_it_is_given_by_weight() {
        each_weighed(&Only::default(), &mut Full);
    }
}
