//! [`HoldBackoff`]: how long an organization's calls are held when the upstream answers 429.
//!
//! It follows `Retry-After` within bounds, and doubles its own guess where there is none. Calls that were under way
//! together are refused together: they count once. To hold the calls, and to let one go first when the hold
//! ends, is left to the account.

use std::time::Duration;

use crate::clock::Moment;

/// The shortest wait, and the first guess.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest wait that the upstream is granted; a longer one is probed then.
const LONGEST: Duration = Duration::from_secs(120);
/// Guesses grow to this, to which up to a quarter is added: a minute at most.
const LONGEST_GUESS: Duration = Duration::from_secs(48);

/// What one organization's 429s have come to.
#[derive(Debug)]
pub struct HoldBackoff {
    /// The next guess, before jitter.
    guess: Duration,
    hold: Option<Hold>,
    jitter: fastrand::Rng,
}

/// The latest hold.
#[derive(Clone, Copy, Debug)]
struct Hold {
    since: Moment,
    until: Moment,
}

impl Default for HoldBackoff {
    fn default() -> Self {
        Self::with_jitter(fastrand::Rng::new())
    }
}

impl HoldBackoff {
    /// No hold yet; jitter comes from `jitter`.
    #[must_use]
    pub const fn with_jitter(jitter: fastrand::Rng) -> Self {
        Self { guess: SHORTEST, hold: None, jitter }
    }

    /// Notes a 429 at `now` to a call that left at `sent`, with what [`retry_after::of`](super::retry_after::of) read.
    /// Returns for how long from `now` calls are to be held; never less than what is left of an earlier wait.
    pub fn on_limited(&mut self, sent: Moment, retry_after: Option<Duration>, now: Moment) -> Duration {
        let left = self.hold.map_or(Duration::ZERO, |hold| hold.left(now));
        let together = self.hold.filter(|hold| hold.saw_leave(sent));
        let wait = match (retry_after, together) {
            (Some(asked), _) => asked.clamp(SHORTEST, LONGEST),
            (None, Some(_)) => Duration::ZERO,
            (None, None) => self.next_guess(),
        };
        let wait = wait.max(left);
        self.hold = Some(Hold { since: together.map_or(now, |hold| hold.since), until: now.plus(wait) });
        wait
    }

    /// Notes an answer other than 429 to a call that left at `sent`: one that left after the hold ends
    /// the doubling.
    pub fn on_success(&mut self, sent: Moment) {
        if !self.hold.is_some_and(|hold| hold.saw_leave(sent)) {
            self.guess = SHORTEST;
        }
    }

    /// Whether nothing of it matters any more: it is longer ago than any hold lasts, and the next
    /// 429 is a first one.
    #[must_use]
    pub fn is_over(&self, now: Moment) -> bool {
        self.hold.is_none_or(|hold| now.reached(hold.until.plus(LONGEST)))
    }

    fn next_guess(&mut self) -> Duration {
        let guess = self.guess;
        self.guess = (guess * 2).min(LONGEST_GUESS);
        // Only ever longer: a guess must not become a call that comes too early.
        guess + guess.mul_f64(self.jitter.f64() / 4.0)
    }
}

impl Hold {
    /// Whether a call that left at `sent` was under way when the hold began. Nothing leaves at the moment of its beginning
    /// itself but what was let through before.
    fn saw_leave(self, sent: Moment) -> bool {
        sent.uptime() <= self.since.uptime()
    }

    fn left(self, now: Moment) -> Duration {
        // By the clock that cannot be set back: by the other one, what is left would grow.
        let left = self.until.uptime().saturating_sub(now.uptime());
        if now.reached(self.until) { Duration::ZERO } else { left }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{Clock, ManualClock};

    struct World {
        backoff: HoldBackoff,
        clock: Clock,
        hand: ManualClock,
    }

    fn world(seed: u64) -> World {
        let (clock, hand) = Clock::manual();
        World { backoff: HoldBackoff::with_jitter(fastrand::Rng::with_seed(seed)), clock, hand }
    }

    impl World {
        /// A call that leaves now and is refused a tenth of a second later.
        fn refused(&mut self, retry_after: Option<u64>) -> Duration {
            let sent = self.clock.now();
            self.hand.advance(Duration::from_millis(100));
            self.backoff.on_limited(sent, retry_after.map(Duration::from_secs), self.clock.now())
        }
    }

    /// F6.
    #[test]
    fn what_the_upstream_asks_for_is_kept_between_a_second_and_two_minutes() {
        for (asked, expected) in [(0, 1), (1, 1), (7, 7), (120, 120), (121, 120), (1 << 31, 120)] {
            assert_eq!(world(1).refused(Some(asked)), Duration::from_secs(expected), "{asked}");
        }
    }

    /// F6.
    #[test]
    fn a_429_that_asks_for_nothing_doubles_to_a_minute_and_a_success_ends_it() {
        let mut world = world(2);
        for base in [1, 2, 4, 8, 16, 32, 48, 48, 48] {
            let wait = world.refused(None);
            let base = Duration::from_secs(base);
            assert!(wait >= base && wait <= base * 5 / 4, "{wait:?} for {base:?}");
            world.hand.advance(wait);
        }
        world.backoff.on_success(world.clock.now());
        let wait = world.refused(None);
        assert!(wait < Duration::from_secs(2), "{wait:?}");
    }

    #[test]
    fn calls_that_were_under_way_together_count_once() {
        let mut world = world(3);
        let sent = world.clock.now();
        world.hand.advance(Duration::from_millis(50));
        let first = world.backoff.on_limited(sent, None, world.clock.now());
        world.hand.advance(Duration::from_millis(200));
        for _ in 0..20 {
            let left = world.backoff.on_limited(sent, None, world.clock.now());
            assert_eq!(left, first - Duration::from_millis(200), "neither longer nor doubled");
        }
        world.backoff.on_success(sent);
        world.hand.advance(first);
        assert!(
            world.refused(None) >= Duration::from_secs(2),
            "an answer from before does not end the doubling"
        );
    }

    #[test]
    fn of_two_waits_the_longer_one_holds() {
        let mut world = world(4);
        let sent = world.clock.now();
        assert_eq!(world.refused(Some(60)), Duration::from_secs(60));
        world.hand.advance(Duration::from_secs(10));
        let now = world.clock.now();
        assert_eq!(
            world.backoff.on_limited(sent, Some(Duration::from_secs(5)), now),
            Duration::from_secs(50)
        );
        assert_eq!(
            world.backoff.on_limited(sent, Some(Duration::from_secs(90)), now),
            Duration::from_secs(90)
        );
        world.hand.advance(Duration::from_secs(90));
        assert_eq!(world.refused(Some(5)), Duration::from_secs(5), "a wait that is over holds nobody");
    }

    #[test]
    fn a_wall_clock_that_is_set_back_makes_no_wait_longer() {
        let mut world = world(5);
        let sent = world.clock.now();
        assert_eq!(world.refused(Some(3)), Duration::from_secs(3));
        world.hand.advance(Duration::from_secs(1));
        world.hand.jump_wall_back(Duration::from_secs(3600));
        let left = world.backoff.on_limited(sent, Some(Duration::from_secs(1)), world.clock.now());
        assert_eq!(left, Duration::from_secs(2));
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_two_minutes_or_cut_short(seed in any::<u64>()) {
            let mut world = world(seed);
            let mut script = fastrand::Rng::with_seed(seed);
            let mut until = world.clock.now();
            for step in 0..200 {
                world.hand.advance(Duration::from_millis(script.u64(0..5_000)));
                if script.u8(..) < 20 {
                    world.hand.jump_wall_back(Duration::from_secs(script.u64(0..1_000_000)));
                }
                if script.bool() {
                    world.backoff.on_success(world.clock.now());
                    continue;
                }
                let wait = world.refused(script.bool().then(|| script.u64(0..400)));
                let now = world.clock.now();
                prop_assert!(wait <= Duration::from_secs(120), "seed {seed} step {step}: {wait:?}");
                let ends = now.plus(wait).uptime();
                prop_assert!(ends >= until.uptime(), "seed {seed} step {step}: {wait:?}");
                until = now.plus(wait);
            }
        }
    }
}
