//! Who is tried in the main class without a past, and how many in use the hand passes over, as the reference
//! models of `Policy::Adaptive` have it.

/// For one who is tried.
pub(crate) const TRIAL_PASSES: u32 = 12;

/// Of them so many say that the main class is in use.
const IN_USE: u32 = 6;

/// For one who comes back after so many departures, if that is in time.
pub(crate) fn passes(age: usize, memory: usize) -> Option<u32> {
    let quarter = [1, 2, 3, 4].iter().position(|&nth| 4 * age < nth * memory)?;
    Some([4, 2, 1, 1][quarter])
}

/// Whether so many more wait than should that a newcomer of this weight comes to the main class for one of them.
pub(crate) fn is_over(waiting: u64, quota: u64, weight: u64) -> bool {
    waiting >= quota + quota / 4 + 4 * weight
}

/// How many are tried, from what became of those before.
#[derive(Clone, Default)]
pub(crate) struct Trials {
    level: u32,
    free: usize,
    /// Nothing came of it.
    rests: bool,
}

impl Trials {
    pub(crate) fn include(&self, place: u32, arrivals: u32) -> bool {
        let spread = (u64::from(arrivals) * 0x9E37_79B9) as u32 / (1 << 23);
        (place ^ spread).is_multiple_of(512 >> self.level)
    }

    /// After one for whom somebody left or not, when the hand had passed over so many in use.
    pub(crate) fn tried(&mut self, left: bool, passed: u32, entries: usize) {
        match (left, passed) {
            (false, _) => {
                *self = Self { level: self.level.saturating_sub(1), ..Self::default() };
            }
            (true, 0) => {
                self.free += 1;
                match self.level {
                    _ if self.rests => {}
                    5 if self.free >= entries => {
                        *self = Self { rests: true, ..Self::default() };
                    }
                    level @ 0..5 if self.free >= (entries / 512).max(4 << level) => {
                        *self = Self { level: level + 1, ..Self::default() };
                    }
                    _ => {}
                }
            }
            (true, _) => (self.free, self.rests) = (0, false),
        }
    }
}

/// Whether anybody of the queue is used, as far as trials have asked.
#[derive(Clone, Default)]
pub(crate) struct Uses {
    asked: bool,
    /// How many newcomers had come when a trial found last that one was, or asked for the first time.
    since: u32,
}

impl Uses {
    /// One was promoted.
    pub(crate) fn used(&mut self) {
        self.asked = false;
    }

    /// The quota after a trial, for which the hand has passed over so many in use, where the least is this, so many
    /// wait, and so many newcomers have come.
    pub(crate) fn tried(
        &mut self,
        passed: u32,
        (quota, least): (u64, u64),
        (waiting, arrivals): (usize, u32),
    ) -> u64 {
        if passed < IN_USE {
            return quota;
        }
        if !std::mem::replace(&mut self.asked, true) {
            self.since = arrivals;
        } else if arrivals.wrapping_sub(self.since) as usize >= waiting {
            return quota.saturating_sub((quota / 8).max(1)).max(least);
        }
        quota
    }
}
