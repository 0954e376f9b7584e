//! What is due? Waits that are over, closes that take too long, resources that nobody uses.

#![forbid(unsafe_code)]

use crate::resource::scheduler::{Due, Effects, Gate, Id, Live, Scheduler, Tokens};

impl<T: Tokens> Scheduler<T> {
    /// Settles all that is due by now.
    pub(super) fn expire(&mut self, out: &mut Effects<T>) {
        while let Some(&(time, due)) = self.due.first() {
            if time > self.now {
                return;
            }
            self.due.pop_first();
            match due {
                Due::Waiter(number) => self.time_is_up(number, out),
                Due::Caller(number) => self.answer_caller(number, out),
                Due::Close(id) => self.wedge(id),
                Due::Idle(id) => self.expire_idle(id),
                Due::Forget(number) => self.forget(number, out),
            }
        }
    }

    /// Closes the resource if it has been idle for as long as it may, or looks again when it will
    /// have been at the earliest.
    fn expire_idle(&mut self, id: Id) {
        let (now, ttl) = (self.now, self.rules.idle_ttl.unwrap_or_default());
        let Some(current) = self.current(id) else { return };
        let Live::Ready { gate, .. } = &current.phase else { return };
        let since = if gate.leases() == 0 { gate.idle_since() } else { now };
        let again = since.saturating_add(ttl);
        if again <= now && self.retire_if_idle(id) {
            self.counts.expirations += 1;
            return;
        }
        // With no patience at all, what is in use is looked at again by and by.
        let least = now.saturating_add(std::time::Duration::from_millis(1));
        self.arm(id, again.max(least), Due::Idle(id));
    }
}
