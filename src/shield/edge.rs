//! [`EdgeBlocks`]: whether the edge in front of the upstream turns our own reads away.
//!
//! An edge answers 403 without JSON to a client that it does not like. It may like the callers better than us: after a
//! few such answers in a row their label reads go through as they are, uncached, until one fetch is answered by the
//! upstream again. Only answers to fetches count: a caller's own request says nothing of ours. Nor does a fetch of which a
//! caller chose a part, its key or a list's query: whoever words one that the edge dislikes would stop everybody's.

use std::time::Duration;

use crate::clock::Moment;
use crate::lock::{Mutex, MutexGuard};

/// This many in a row are no accident.
const IN_A_ROW: u32 = 3;
/// How long no fetch is sent then.
const PAUSE: Duration = Duration::from_secs(60);
/// A trial that has not been answered by then is given up, and another one may begin: a fetch has 10 s by default, and
/// two trials at once do no harm.
const TRIAL_LASTS: Duration = Duration::from_secs(15);

/// Whose words a fetch is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// Ours, but for an id and a key that the upstream has accepted: what the edge says to it, it says to all of ours.
    Ours,
    /// In part its caller's: what the edge says to it is that caller's own affair.
    Callers,
}

/// What one more block came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// It says nothing of other fetches, or too few in a row to mean anything.
    Counted,
    /// Fetches stop from now on: the one time to warn.
    Began,
    /// They had stopped before.
    GoesOn,
}

/// The edge's recent answers to fetches; one per process.
#[derive(Debug, Default)]
pub struct EdgeBlocks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    in_a_row: u32,
    /// When the next fetch may be tried; set while fetches are stopped.
    next_trials: Option<Trials>,
}

/// When a fetch of each wording may be tried: a trial that a caller words may not take the place of one that tells.
#[derive(Clone, Copy, Debug)]
struct Trials {
    ours: Moment,
    callers: Moment,
}

impl Trials {
    const fn of(&mut self, wording: Wording) -> &mut Moment {
        match wording {
            Wording::Ours => &mut self.ours,
            Wording::Callers => &mut self.callers,
        }
    }
}

impl EdgeBlocks {
    /// Whether a fetch may be sent at `now`; if not, a label read is plain pass-through. While fetches are stopped, one that
    /// may be sent is a trial: for whoever asks next the answer is no, until the trial is answered or overdue.
    #[must_use]
    pub fn may_fetch(&self, wording: Wording, now: Moment) -> bool {
        let mut state = self.lock();
        let Some(trials) = &mut state.next_trials else { return true };
        let next = trials.of(wording);
        let is_due = now.reached(*next);
        if is_due {
            *next = now.plus(TRIAL_LASTS);
        }
        is_due
    }

    /// What [`Self::may_fetch`] would say, without making a trial of it.
    #[must_use]
    pub fn would_fetch(&self, wording: Wording, now: Moment) -> bool {
        self.lock().next_trials.is_none_or(|mut trials| now.reached(*trials.of(wording)))
    }

    /// Whether fetches are stopped: the gauge, and what an explanation says. Nothing is tried by asking.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.lock().next_trials.is_some()
    }

    /// Notes a 403 that is not JSON as the answer to a fetch.
    #[must_use]
    pub fn on_block(&self, wording: Wording, now: Moment) -> Blocked {
        let mut state = self.lock();
        let next = now.plus(PAUSE);
        if wording == Wording::Callers {
            if let Some(trials) = &mut state.next_trials {
                trials.callers = next;
            }
            return Blocked::Counted;
        }
        state.in_a_row = state.in_a_row.saturating_add(1);
        if state.in_a_row < IN_A_ROW {
            return Blocked::Counted;
        }
        match state.next_trials.replace(Trials { ours: next, callers: next }) {
            None => Blocked::Began,
            Some(_) => Blocked::GoesOn,
        }
    }

    /// Notes any other answer to a fetch: the edge lets them through. A time-out or a failed connection is no answer.
    pub fn on_other(&self) {
        *self.lock() = State::default();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn fills_stop_for_a_minute_after_three_blocks_in_a_row() {
        let (clock, hand) = Clock::manual();
        let edge = EdgeBlocks::default();
        assert_eq!(edge.on_block(Wording::Ours, clock.now()), Blocked::Counted);
        assert_eq!(edge.on_block(Wording::Ours, clock.now()), Blocked::Counted);
        edge.on_other();
        assert_eq!(
            edge.on_block(Wording::Ours, clock.now()),
            Blocked::Counted,
            "an answer of the upstream broke the row"
        );
        assert_eq!(edge.on_block(Wording::Ours, clock.now()), Blocked::Counted);
        assert!(edge.may_fetch(Wording::Ours, clock.now()) && !edge.is_blocked());
        assert_eq!(edge.on_block(Wording::Ours, clock.now()), Blocked::Began);
        for _ in 0..60 {
            assert!(!edge.may_fetch(Wording::Ours, clock.now()) && edge.is_blocked());
            hand.advance(Duration::from_secs(1));
        }
        assert!(
            edge.would_fetch(Wording::Ours, clock.now()) && edge.would_fetch(Wording::Ours, clock.now()),
            "asking is no trial"
        );
        assert!(edge.may_fetch(Wording::Ours, clock.now()), "one tries again");
        assert!(!edge.would_fetch(Wording::Ours, clock.now()));
        assert!(
            !edge.may_fetch(Wording::Ours, clock.now()) && edge.is_blocked(),
            "and no second one meanwhile"
        );
    }

    #[test]
    fn a_blocked_edge_is_warned_of_once_and_tried_once_a_minute() {
        let (clock, hand) = Clock::manual();
        let edge = EdgeBlocks::default();
        let (mut warnings, mut fetches) = (0, 0);
        for _ in 0..600 {
            if edge.may_fetch(Wording::Ours, clock.now()) {
                fetches += 1;
                warnings += u32::from(edge.on_block(Wording::Ours, clock.now()) == Blocked::Began);
            }
            hand.advance(Duration::from_secs(1));
        }
        assert_eq!((warnings, fetches), (1, 3 + 9), "in ten minutes");
        edge.on_other();
        assert!(!edge.is_blocked());
        for expected in [Blocked::Counted, Blocked::Counted, Blocked::Began] {
            assert!(edge.may_fetch(Wording::Ours, clock.now()));
            assert_eq!(
                edge.on_block(Wording::Ours, clock.now()),
                expected,
                "it may be warned of anew once it had healed"
            );
        }
    }

    #[test]
    fn a_trial_that_was_never_answered_blocks_nobody_for_ever() {
        let (clock, hand) = Clock::manual();
        let edge = EdgeBlocks::default();
        for _ in 0..3 {
            let _ = edge.on_block(Wording::Ours, clock.now());
        }
        hand.advance(PAUSE);
        assert!(edge.may_fetch(Wording::Ours, clock.now()));
        hand.advance(TRIAL_LASTS);
        assert!(edge.may_fetch(Wording::Ours, clock.now()));
        edge.on_other();
        assert!(edge.may_fetch(Wording::Ours, clock.now()) && edge.may_fetch(Wording::Ours, clock.now()));
    }
    #[test]
    fn what_a_caller_words_stops_no_fetch_and_takes_no_trial_from_others() {
        let (clock, hand) = Clock::manual();
        let edge = EdgeBlocks::default();
        for _ in 0..1000 {
            assert_eq!(edge.on_block(Wording::Callers, clock.now()), Blocked::Counted);
        }
        assert!(!edge.is_blocked());
        for _ in 0..3 {
            let _ = edge.on_block(Wording::Ours, clock.now());
        }
        for wording in [Wording::Ours, Wording::Callers] {
            assert!(!edge.may_fetch(wording, clock.now()));
        }
        hand.advance(PAUSE);
        assert!(edge.may_fetch(Wording::Callers, clock.now()));
        assert_eq!(edge.on_block(Wording::Callers, clock.now()), Blocked::Counted);
        assert!(!edge.would_fetch(Wording::Callers, clock.now()), "its next is a minute later");
        assert!(edge.may_fetch(Wording::Ours, clock.now()), "the trial that tells was not taken");
        assert_eq!(edge.on_block(Wording::Ours, clock.now()), Blocked::GoesOn);
    }
}
