//! [`Breaker`]: whether a store that has not answered is asked.
//!
//! Each call to a store that is frozen costs its caller the whole of `shared.timeout`. After five in a row the store is left
//! alone for a while, then one call tries it for all.

use std::time::Duration;

use crate::clock::Moment;

/// Misses in a row after which the store is not asked.
const MISSES: u32 = 5;
/// How long it is left alone at first; twice as long with each try that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Closed while the store answers, open after [`MISSES`] misses in a row. Fed with `now`.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    misses: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Moment,
    pause: Duration,
    tried: Tried,
}

/// Whether a call tries the store at present.
#[derive(Debug, PartialEq, Eq)]
enum Tried {
    Nobody,
    OneCall,
}

impl Breaker {
    /// Whether a call may go now. While open it may once a pause; that call is the try.
    pub(super) fn lets_through(&mut self, now: Moment) -> bool {
        let Some(open) = &mut self.open else { return true };
        if !now.reached(open.until) {
            return false;
        }
        // Further calls wait for what this one finds, but no longer than the pause: its caller may have gone.
        open.until = now.plus(open.pause);
        open.tried = Tried::OneCall;
        true
    }

    /// The store answered.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// A call got no answer.
    pub(super) fn missed(&mut self, now: Moment) {
        match &mut self.open {
            Some(open) if open.tried == Tried::OneCall => {
                let pause = open.pause.saturating_mul(2).min(LONGEST_PAUSE);
                *open = Open { until: now.plus(pause), pause, tried: Tried::Nobody };
            }
            // It was under way when the breaker opened, and says nothing new.
            Some(_) => {}
            None => {
                self.misses += 1;
                if self.misses == MISSES {
                    let until = now.plus(FIRST_PAUSE);
                    self.open = Some(Open { until, pause: FIRST_PAUSE, tried: Tried::Nobody });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn after_five_misses_in_a_row_one_call_a_pause_tries_the_store() {
        let (clock, hand) = Clock::manual();
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.missed(clock.now());
        }
        breaker.answered();
        for _ in 0..4 {
            breaker.missed(clock.now());
            assert!(breaker.lets_through(clock.now()));
        }
        breaker.missed(clock.now());
        assert!(!breaker.lets_through(clock.now()));
        hand.advance(FIRST_PAUSE);
        assert!(breaker.lets_through(clock.now()), "one tries");
        assert!(!breaker.lets_through(clock.now()), "the others wait for what it finds");
        breaker.missed(clock.now());
        hand.advance(FIRST_PAUSE);
        assert!(!breaker.lets_through(clock.now()), "twice as long");
        hand.advance(FIRST_PAUSE);
        assert!(breaker.lets_through(clock.now()));
        breaker.answered();
        assert!(breaker.lets_through(clock.now()) && breaker.lets_through(clock.now()));
    }

    #[test]
    fn a_try_whose_caller_left_keeps_nobody_out_for_longer_than_a_pause() {
        let (clock, hand) = Clock::manual();
        let mut breaker = Breaker::default();
        (0..MISSES).for_each(|_| breaker.missed(clock.now()));
        hand.advance(FIRST_PAUSE);
        assert!(breaker.lets_through(clock.now()));
        hand.advance(FIRST_PAUSE);
        assert!(breaker.lets_through(clock.now()));
    }
}
