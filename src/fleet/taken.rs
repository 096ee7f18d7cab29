//! [`Taken`]: whether the store had what was to be taken out of it, and `Unsure`: how often others are told although it did
//! not say.

use std::time::Duration;

use crate::clock::Moment;

/// So many times others are told within [`WITHIN`] of what the store may have had: tokens that somebody makes up while it
/// stands still must not fill the log.
const MOST: u32 = 32;
/// See [`MOST`].
const WITHIN: Duration = Duration::from_secs(10);

/// What of something the store had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    /// Nothing; or it was not asked, for this replica is alone.
    Nothing,
    /// It did not say. Something may have been there, be it that it is gone by now: others may have it in their memory.
    Unsure,
    /// Something, which is gone.
    Something,
}

/// How often others were told of late although the store did not say.
#[derive(Debug, Default)]
pub(super) struct Unsure {
    since: Option<Moment>,
    told: u32,
}

impl Unsure {
    /// Whether they may be told once more, which counts.
    pub(super) fn may_tell(&mut self, now: Moment) -> bool {
        if self.since.is_none_or(|since| now.since(since) >= WITHIN) {
            *self = Self { since: Some(now), told: 0 };
        }
        self.told += 1;
        self.told <= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn what_the_store_did_not_say_is_told_a_bounded_number_of_times() {
        let (clock, hand) = Clock::manual();
        let mut unsure = Unsure::default();
        let mut told = || (0..1000).filter(|_| unsure.may_tell(clock.now())).count();
        assert_eq!(told(), MOST as usize);
        hand.advance(WITHIN - Duration::from_millis(1));
        assert_eq!(told(), 0);
        hand.advance(Duration::from_millis(1));
        assert_eq!(told(), MOST as usize, "and again");
    }
}
