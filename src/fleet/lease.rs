//! [`Lease`]: until when a replica may serve stored responses (Gray and Cheriton, "Leases", 1989).
//!
//! It runs from the moment at which a beat was sent, and is extended only once every notice that the beat brought has been
//! applied. A read loads its end *before* it looks anything up: a lease that came back between the two would vouch for what
//! was looked up before it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// The end of a lease, on both clocks: a machine that was suspended has lost it by the wall clock, one whose wall clock was
/// set back by the monotonic one.
///
/// Each end is a number of its own. A reader that meets an extension halfway sees one old end, which is the earlier one.
#[derive(Debug, Default)]
pub struct Lease {
    uptime: AtomicU64,
    unix: AtomicU64,
}

impl Lease {
    /// Whether it holds for what was read at this moment.
    #[must_use]
    pub fn holds_at(&self, read_at: Moment) -> bool {
        micros(read_at.uptime()) < self.uptime.load(Ordering::SeqCst)
            && micros(read_at.unix()) < self.unix.load(Ordering::SeqCst)
    }

    /// It holds until this moment. Everything that was to be applied before has been.
    pub fn extend(&self, until: Moment) {
        self.unix.store(micros(until.unix()), Ordering::SeqCst);
        self.uptime.store(micros(until.uptime()), Ordering::SeqCst);
    }

    /// It is over.
    pub fn end(&self) {
        self.uptime.store(0, Ordering::SeqCst);
    }
}

fn micros(since: Duration) -> u64 {
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const LEASE: Duration = Duration::from_millis(500);

    #[test]
    fn it_holds_until_its_end_on_either_clock() {
        let (clock, hand) = Clock::manual();
        let lease = Lease::default();
        assert!(!lease.holds_at(clock.now()), "none was given");
        lease.extend(clock.now().plus(LEASE));
        assert!(lease.holds_at(clock.now()));
        hand.advance(LEASE);
        assert!(!lease.holds_at(clock.now()));
        lease.extend(clock.now().plus(LEASE));
        hand.jump_wall_ahead(LEASE);
        assert!(!lease.holds_at(clock.now()), "the machine was suspended");
        lease.extend(clock.now().plus(LEASE));
        hand.jump_wall_back(Duration::from_secs(3600));
        hand.advance(LEASE);
        assert!(!lease.holds_at(clock.now()), "the wall clock was set back");
    }

    #[test]
    fn a_lease_that_was_ended_holds_no_more() {
        let (clock, _) = Clock::manual();
        let lease = Lease::default();
        lease.extend(clock.now().plus(LEASE));
        lease.end();
        assert!(!lease.holds_at(clock.now()));
    }
}
