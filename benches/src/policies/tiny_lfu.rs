//! W-TinyLFU: newcomers pass a recency window, then enter the main part if they were asked for
//! more often than who would have to leave it (Einziger, Friedman and Manes, "TinyLFU", 2017). The
//! window's size climbs the hit ratio (Einziger, Eytan, Friedman and Manes, "Adaptive Software
//! Cache Management", Middleware 2018).
//!
//! Caffeine's measures: a window of 1 % at first, four fifths of the main part protected, steps of
//! 1/16 of the capacity that shrink by 2 % and start again when the ratio moves by 5 points.

use super::Simulator;
use super::lists::Lists;
use super::sketch::Sketch;
use crate::numbered::Numbered;
use crate::workload::Rng;

/// The three lists; most recent in front.
const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

/// A newcomer that lost, asked for at least this often, is let in once in [`LET_IN`] times: else
/// keys chosen for their hashes could keep everybody out.
const WARM: u8 = 6;
const LET_IN: u64 = 128;

pub struct TinyLfu {
    lists: Lists,
    sketch: Sketch,
    /// What window and protected part may hold.
    window: usize,
    protected: usize,
    capacity: usize,
    climber: Climber,
    rng: Rng,
}

impl Simulator for TinyLfu {
    fn new(entries: usize, trace: &Numbered) -> Self {
        let capacity = entries.max(1);
        let window = (capacity / 100).max(1);
        let sketch = Sketch::new(capacity);
        Self {
            lists: Lists::new(trace.unique, 3),
            climber: Climber::new(capacity, sketch.period()),
            sketch,
            window,
            protected: (capacity - window) * 4 / 5,
            capacity,
            rng: Rng::new(1),
        }
    }

    fn request(&mut self, id: u32) -> bool {
        self.sketch.add(id);
        let list = self.lists.list_of(id);
        match list {
            Some(WINDOW) | None => self.lists.move_to_front(WINDOW, id),
            Some(_) => self.lists.move_to_front(PROTECTED, id),
        }
        self.demote();
        self.leave_window();
        if let Some(step) = self.climber.record(list.is_some()) {
            self.resize(step);
        }
        list.is_some()
    }

    fn len(&self) -> usize {
        [WINDOW, PROBATION, PROTECTED].map(|list| self.lists.len(list)).iter().sum()
    }
}

impl TinyLfu {
    /// Moves what is too much for the protected part into probation.
    fn demote(&mut self) {
        while self.lists.len(PROTECTED) > self.protected
            && let Some(oldest) = self.lists.back(PROTECTED)
        {
            self.lists.move_to_front(PROBATION, oldest);
        }
    }

    /// Moves what is too much for the window into the main part, past the filter if that is full.
    fn leave_window(&mut self) {
        while self.lists.len(WINDOW) > self.window
            && let Some(candidate) = self.lists.back(WINDOW)
        {
            let victim = self.lists.back(PROBATION).or_else(|| self.lists.back(PROTECTED));
            self.lists.move_to_front(PROBATION, candidate);
            if self.len() > self.capacity {
                let beaten = victim.filter(|&victim| self.admits(candidate, victim));
                self.lists.remove(beaten.unwrap_or(candidate));
            }
        }
    }

    fn admits(&mut self, candidate: u32, victim: u32) -> bool {
        let (own, other) = (self.sketch.estimate(candidate), self.sketch.estimate(victim));
        own > other || (own >= WARM && self.rng.below(LET_IN) == 0)
    }

    /// Gives the window `step` entries of the protected part, or takes some back.
    fn resize(&mut self, step: isize) {
        if step > 0 {
            let gained = step.unsigned_abs().min(self.protected);
            self.protected -= gained;
            self.window += gained;
            self.demote();
            for _ in 0..gained {
                let oldest = self.lists.back(PROBATION).or_else(|| self.lists.back(PROTECTED));
                let Some(id) = oldest else { break };
                self.lists.move_to_front(WINDOW, id);
            }
        } else {
            let lost = step.unsigned_abs().min(self.window - 1);
            self.protected += lost;
            self.window -= lost;
            // Without the filter: they are held already.
            while self.lists.len(WINDOW) > self.window
                && let Some(id) = self.lists.back(WINDOW)
            {
                self.lists.move_to_front(PROBATION, id);
            }
        }
    }
}

/// Goes on in the direction in which the hit ratio rose, and turns when it falls.
struct Climber {
    hits: usize,
    requests: usize,
    period: usize,
    last_ratio: f64,
    /// In entries, with its direction.
    step: f64,
    first_step: f64,
    /// What a step leaves over of an entry.
    rest: f64,
}

impl Climber {
    fn new(capacity: usize, period: usize) -> Self {
        let first_step = capacity as f64 / 16.0;
        // Down at first, as a climber that has not seen a ratio yet sees it rise.
        let step = -first_step;
        Self { hits: 0, requests: 0, period, last_ratio: 0.0, step, first_step, rest: 0.0 }
    }

    /// Notes a request; by how many entries the window is to grow, if a period is over.
    fn record(&mut self, hit: bool) -> Option<isize> {
        self.hits += usize::from(hit);
        self.requests += 1;
        if self.requests < self.period {
            return None;
        }
        let ratio = self.hits as f64 / self.requests as f64;
        let change = ratio - std::mem::replace(&mut self.last_ratio, ratio);
        (self.hits, self.requests) = (0, 0);
        let step = if change >= 0.0 { self.step } else { -self.step };
        let next = if change.abs() >= 0.05 { self.first_step.copysign(step) } else { 0.98 * step };
        self.step = next;
        let whole = (step + self.rest).trunc();
        self.rest += step - whole;
        Some(whole as isize)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{hits, replay};
    use super::*;

    #[test]
    fn a_newcomer_must_be_asked_for_more_often() {
        // Room for 3, a window of 1. 1 and 2 are used; 4 finds 3 in the window, which meets 2
        // (two requests) and is put out, as is each that follows.
        assert_eq!(replay::<TinyLfu>(3, &[1, 2, 1, 2, 3, 4, 5, 1, 2, 5]), "..xx...xxx");
        // 5 comes back until it has been asked for more often than 2; then 6 pushes it from the
        // window into the main part, and 2, the older of probation, is out.
        assert_eq!(replay::<TinyLfu>(3, &[1, 2, 2, 1, 5, 5, 5, 6, 5, 1, 2]), "..xx.xx.xx.");
    }

    #[test]
    fn a_loop_keeps_what_came_first() {
        let ids: Vec<u32> = (0..4_000).map(|i| i % 200).collect();
        let hits = hits::<TinyLfu>(100, &ids);
        // 99 of the main part in each round but the first, or fewer while the window grows.
        assert!((15 * 99..=19 * 99).contains(&hits), "{hits}");
    }

    #[test]
    fn the_climber_turns_when_the_ratio_falls() {
        let mut climber = Climber::new(160, 10);
        let mut period = |hits: usize| {
            let steps: Vec<Option<isize>> = (0..10).map(|i| climber.record(i < hits)).collect();
            assert!(steps[..9].iter().all(Option::is_none));
            steps[9]
        };
        // 0 to 50 %: on, downward; then a fall by 10 points: back up, at full step; a rise
        // within 5 points: on, a little less far each time.
        assert_eq!(
            [period(5), period(4), period(4), period(4)].map(Option::unwrap),
            [-10, 10, 10, 9]
        );
    }
}
