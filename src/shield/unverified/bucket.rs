//! [`Bucket`]: an allowance that refills steadily and may be overdrawn by what was under way.

use std::time::Duration;

use crate::clock::Moment;

/// Five a second.
const REFILL: Duration = Duration::from_millis(200);
/// Fifty at once: so long it takes to refill an empty bucket.
const FULL: Duration = Duration::from_secs(10);

/// What was spent, as the time that it takes to refill it: exact however often it is asked.
#[derive(Debug, Default)]
pub(super) struct Bucket(Option<Spent>);

#[derive(Clone, Copy, Debug)]
struct Spent {
    refills_in: Duration,
    at: Moment,
}

impl Bucket {
    /// Takes `amount` out, whether or not it is there: what was overdrawn is refilled first.
    pub(super) fn spend(&mut self, amount: u32, now: Moment) {
        self.0 = Some(Spent { refills_in: self.refills_in(now) + REFILL * amount, at: now });
    }

    /// How long until `amount` is there; zero if it is.
    pub(super) fn wait(&self, amount: u32, now: Moment) -> Duration {
        (self.refills_in(now) + REFILL * amount).saturating_sub(FULL)
    }

    /// Whether all of it is there.
    pub(super) fn is_full(&self, now: Moment) -> bool {
        self.refills_in(now).is_zero()
    }

    fn refills_in(&self, now: Moment) -> Duration {
        self.0.map_or(Duration::ZERO, |spent| spent.refills_in.saturating_sub(now.since(spent.at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn fifty_at_once_then_five_a_second() {
        let (clock, hand) = Clock::manual();
        let mut bucket = Bucket::default();
        let mut spent = 0;
        for _ in 0..60_000 {
            if bucket.wait(1, clock.now()).is_zero() {
                bucket.spend(1, clock.now());
                spent += 1;
            }
            hand.advance(Duration::from_millis(1));
        }
        assert_eq!(spent, 50 + 5 * 60 - 1, "in a minute");
    }

    #[test]
    fn what_was_overdrawn_is_refilled_first() {
        let (clock, hand) = Clock::manual();
        let mut bucket = Bucket::default();
        for _ in 0..60 {
            bucket.spend(1, clock.now());
        }
        assert_eq!(bucket.wait(1, clock.now()), REFILL * 11);
        hand.advance(REFILL * 11);
        assert_eq!(bucket.wait(1, clock.now()), Duration::ZERO);
        assert_eq!(bucket.wait(2, clock.now()), REFILL);
    }
}
