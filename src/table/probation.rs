//! Who came last? The queue of the newcomers of one shard, first in, first out.
//!
//! A ring of slot numbers with two counts of tickets. It is advice, and lossy on purpose: a number
//! says where a newcomer was put, and whoever takes it out looks at the slot to see whether there
//! still is one. So an entry that leaves otherwise is not taken out of the ring; its number has become
//! stale and is passed over when its turn comes. A thread that is stopped between drawing a ticket and
//! writing its number stops nobody: the number that its place had before is taken for it, and when it
//! goes on its own number waits there for the next lap.
//!
//! | word | written by | meaning |
//! |---|---|---|
//! | `tail` | who puts a number in, by exchange | tickets drawn for coming |
//! | `head` | who takes one out, by exchange | tickets drawn for leaving; never beyond `tail` |
//! | `places` | the one who drew the ticket for coming | a slot's number |

#![forbid(unsafe_code)]

use crossbeam_utils::CachePadded;

use crate::advice::{Hint, Tickets};
use crate::pause::{Step, reach};

/// The newcomers of one shard.
pub(crate) struct Probation {
    ends: CachePadded<Ends>,
    /// A power of two of them.
    places: Box<[Hint]>,
}

#[derive(Default)]
struct Ends {
    head: Tickets,
    tail: Tickets,
}

impl Probation {
    /// A queue with room for `entries` numbers at least.
    pub(crate) fn new(entries: usize) -> Self {
        let places = (0..entries.max(1).next_power_of_two()).map(|_| Hint::default()).collect();
        Self { ends: CachePadded::default(), places }
    }

    /// How many numbers are in it, stale ones included.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ends.tail.next().saturating_sub(self.ends.head.next()) as usize
    }

    /// Puts a number in. False if there is no room for it.
    #[inline]
    pub(crate) fn push(&self, slot: u32) -> bool {
        loop {
            let ticket = self.ends.tail.next();
            if ticket.saturating_sub(self.ends.head.next()) >= self.places.len() as u64 {
                return false;
            }
            if self.ends.tail.draw(ticket) {
                reach(Step::Drawn);
                self.place(ticket).set(slot);
                return true;
            }
        }
    }

    /// Takes the number out that came first.
    #[inline]
    pub(crate) fn pop(&self) -> Option<u32> {
        loop {
            let ticket = self.ends.head.next();
            if ticket >= self.ends.tail.next() {
                return None;
            }
            if self.ends.head.draw(ticket) {
                return Some(self.place(ticket).get());
            }
        }
    }

    /// The number that is `ahead` behind the first, if there are as many.
    #[inline]
    pub(crate) fn peek(&self, ahead: u64) -> u32 {
        self.place(self.ends.head.next().wrapping_add(ahead)).get()
    }

    /// All numbers, first in first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let head = self.ends.head.next();
        (0..self.len() as u64).map(move |ahead| self.place(head.wrapping_add(ahead)).get())
    }

    #[inline(always)]
    fn place(&self, ticket: u64) -> &Hint {
        &self.places[ticket as usize & (self.places.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_first_out_and_no_more_than_fit() {
        let queue = Probation::new(4);
        assert_eq!((queue.pop(), queue.len()), (None, 0));
        for lap in 0..5 {
            assert!((0..4).all(|n| queue.push(lap * 4 + n)));
            assert!(!queue.push(99));
            assert_eq!(
                queue.iter().collect::<Vec<_>>(),
                (lap * 4..lap * 4 + 4).collect::<Vec<_>>()
            );
            assert_eq!(queue.peek(2), lap * 4 + 2);
            assert_eq!((0..4).map(|_| queue.pop()).collect::<Option<Vec<_>>>().unwrap().len(), 4);
            assert_eq!((queue.pop(), queue.len()), (None, 0));
        }
    }

    #[test]
    fn threads_take_out_what_they_put_in() {
        let queue = Probation::new(64);
        let sum = std::thread::scope(|scope| {
            let work = |from: u32| {
                let queue = &queue;
                move || {
                    let mut taken = 0;
                    for n in from..from + 10_000 {
                        assert!(queue.push(n), "at most two are in it at a time");
                        taken += u64::from(queue.pop().is_some());
                    }
                    taken
                }
            };
            let (a, b) = (scope.spawn(work(0)), scope.spawn(work(10_000)));
            a.join().unwrap() + b.join().unwrap()
        });
        assert_eq!(sum + queue.len() as u64, 20_000);
    }
}
