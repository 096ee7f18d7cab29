use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, ManualClock};

struct World {
    breaker: Breaker,
    clock: Clock,
    hand: ManualClock,
}

fn world() -> World {
    let (clock, hand) = Clock::manual();
    World { breaker: Breaker::default(), clock, hand }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl World {
    fn fail(&self, connection: u64) -> Reaction {
        self.breaker.on_failure(connection, self.clock.now())
    }

    fn admit(&self) -> Verdict {
        self.breaker.admit(self.clock.now())
    }

    fn is_open(&self) -> bool {
        self.breaker.is_open(self.clock.now())
    }

    /// An open breaker.
    fn open(&self) {
        for connection in 0..3 {
            self.fail(connection);
        }
        assert!(self.is_open());
    }

    /// Seconds until it opens after a first failure, if each trial fails `takes` after it began.
    fn opens_after(&self, takes: Duration) -> Option<Duration> {
        let began = self.clock.now();
        self.hand.advance(takes);
        assert_eq!(self.fail(0), Reaction::Suspected);
        let mut failing = Vec::new();
        for connection in 1..10_000 {
            let now = self.clock.now();
            if self.breaker.take_trial(now) {
                failing.push(now.plus(takes));
            }
            if let Some(at) = failing.iter().position(|at| now.reached(*at)) {
                failing.remove(at);
                if self.fail(connection) == Reaction::Opened {
                    return Some(self.clock.now().since(began));
                }
            }
            self.hand.advance(millis(10));
        }
        None
    }
}

/// When, in milliseconds, and on which connection a call failed; `None` for an answer.
type Event = (u64, Option<u64>);

#[test]
fn it_opens_after_three_failures_on_two_connections_in_five_seconds() {
    let cases: &[(&str, &[Event], bool)] = &[
        ("two failures", &[(0, Some(1)), (0, Some(2))], false),
        ("three on three", &[(0, Some(1)), (0, Some(2)), (0, Some(3))], true),
        ("three on two", &[(0, Some(1)), (0, Some(1)), (0, Some(2))], true),
        ("many on one", &[(0, Some(1)), (0, Some(1)), (0, Some(1)), (0, Some(1)), (0, Some(1))], false),
        ("many on one, then another", &[(0, Some(1)), (0, Some(1)), (0, Some(1)), (0, Some(2))], true),
        ("just inside", &[(0, Some(1)), (2500, Some(2)), (5000, Some(3))], true),
        ("just outside", &[(0, Some(1)), (2500, Some(2)), (5001, Some(3))], false),
        ("outside, then inside", &[(0, Some(1)), (2500, Some(2)), (5001, Some(3)), (5100, Some(1))], true),
        ("an answer among them", &[(0, Some(1)), (1, Some(2)), (2, None), (3, Some(3))], false),
        ("an answer before them", &[(0, None), (1, Some(1)), (2, Some(2)), (3, Some(3))], true),
    ];
    for (name, events, expected) in cases {
        let world = world();
        let start = world.clock.now();
        for (at, event) in *events {
            let passed = world.clock.now().since(start);
            world.hand.advance(millis(*at) - passed);
            match event {
                Some(connection) => {
                    world.fail(*connection);
                }
                None => assert!(!world.breaker.on_success(), "{name}"),
            }
        }
        assert_eq!(world.is_open(), *expected, "{name}");
        assert_eq!(matches!(world.admit(), Verdict::Go), !expected, "{name}");
    }
}

/// F1: one call in an otherwise idle process is enough.
#[test]
fn trials_find_a_dead_upstream_within_five_seconds() {
    assert_eq!(world().opens_after(Duration::ZERO), Some(millis(500)), "refused");
    let unreachable = world().opens_after(millis(2000));
    assert!(unreachable.is_some_and(|after| after < millis(5000)), "{unreachable:?}");
}

#[test]
fn trials_are_due_at_fixed_times_and_taken_once() {
    let world = world();
    assert_eq!(world.breaker.next_trial(), None);
    let start = world.clock.now();
    assert_eq!(world.breaker.suspect(start), Reaction::Suspected);
    assert_eq!(world.fail(1), Reaction::Counted, "one suspicion at a time");
    for after in [200, 500, 1000] {
        assert_eq!(world.breaker.next_trial(), Some(start.plus(millis(after))));
        assert!(!world.breaker.take_trial(world.clock.now()));
        world.hand.advance(start.plus(millis(after)).since(world.clock.now()));
        assert!(world.breaker.take_trial(world.clock.now()) && !world.breaker.take_trial(world.clock.now()));
    }
    assert_eq!(world.breaker.next_trial(), None);
    assert_eq!(world.fail(1), Reaction::Counted);
    world.hand.advance(millis(4000));
    assert_eq!(world.fail(1), Reaction::Suspected, "five seconds later anew");
    assert!(!world.breaker.on_success());
    assert_eq!(world.breaker.next_trial(), None, "an answer ends a suspicion");
}

#[test]
fn an_open_breaker_lets_one_probe_a_second_through_and_is_honest_about_the_next() {
    let world = world();
    world.open();
    assert!(matches!(world.admit(), Verdict::Refuse { retry_after } if retry_after == millis(1000)));
    world.hand.advance(millis(400));
    assert!(matches!(world.admit(), Verdict::Refuse { retry_after } if retry_after == millis(600)));
    world.hand.advance(millis(600));
    let Verdict::Probe(probe) = world.admit() else { panic!("the first one to ask after a second") };
    assert!(matches!(world.admit(), Verdict::Refuse { .. }), "one at a time");
    assert_eq!(world.fail(9), Reaction::Counted);
    drop(probe);
    assert!(matches!(world.admit(), Verdict::Refuse { .. }), "a failed probe is not repeated at once");
    world.hand.advance(millis(1000));
    let Verdict::Probe(probe) = world.admit() else { panic!("the next second") };
    assert!(world.breaker.on_success(), "one answer heals it");
    drop(probe);
    assert!(matches!(world.admit(), Verdict::Go) && !world.is_open());
    assert_eq!(world.fail(1), Reaction::Suspected, "what was before is forgotten");
}

#[test]
fn a_probe_whose_caller_vanishes_blocks_nobody() {
    let world = world();
    world.open();
    world.hand.advance(millis(1500));
    drop(world.admit());
    world.hand.advance(millis(1000));
    let Verdict::Probe(hanging) = world.admit() else { panic!("the next one probes") };
    world.hand.advance(millis(4999));
    assert!(matches!(world.admit(), Verdict::Refuse { .. }));
    world.hand.advance(millis(1));
    let Verdict::Probe(next) = world.admit() else { panic!("a probe that hangs is not waited for") };
    drop(hanging);
    world.hand.advance(millis(1000));
    assert!(
        matches!(world.admit(), Verdict::Refuse { .. }),
        "the end of the old one is not that of the new one"
    );
    drop(next);
    assert!(matches!(world.admit(), Verdict::Probe(_)));
}

#[test]
fn it_lapses_where_nobody_asks_for_a_minute_and_not_before() {
    let world = world();
    world.open();
    for refused in 0..10 {
        world.hand.advance(millis(59_000));
        assert!(world.is_open(), "somebody asked 59 s ago, {refused}");
        drop(world.admit());
        assert!(world.breaker.refuses(world.clock.now()).is_some());
    }
    world.hand.advance(millis(59_000));
    world.fail(7);
    world.hand.advance(millis(59_999));
    assert!(world.is_open(), "what fails confirms it");
    world.hand.advance(millis(1));
    assert!(!world.is_open());
    assert!(matches!(world.admit(), Verdict::Go));
    assert_eq!(world.breaker.refuses(world.clock.now()), None);
    assert_eq!(world.fail(1), Reaction::Suspected, "what was before is forgotten");
}

#[test]
fn a_wall_clock_that_is_set_back_makes_nobody_wait_longer() {
    let world = world();
    world.open();
    world.hand.jump_wall_back(Duration::from_secs(86_400 * 365 * 10));
    assert!(matches!(world.admit(), Verdict::Refuse { retry_after } if retry_after <= millis(1000)));
    world.hand.advance(millis(1000));
    assert!(matches!(world.admit(), Verdict::Probe(_)));
}

#[test]
fn ten_minutes_of_a_dead_upstream_cost_one_probe_a_second() {
    let world = world();
    world.open();
    let (mut probes, mut refused) = (0, 0);
    for call in 0..12_000 {
        match world.admit() {
            Verdict::Go => panic!("at call {call}"),
            Verdict::Refuse { retry_after } => {
                assert!(!retry_after.is_zero() && retry_after <= millis(1000));
                refused += 1;
            }
            Verdict::Probe(_probe) => {
                world.fail(call);
                probes += 1;
            }
        }
        world.hand.advance(millis(50));
    }
    assert_eq!((probes, refused), (599, 11_401));
}

proptest! {
    /// What is said of the latest three failures holds of all of them.
    #[test]
    fn it_is_open_only_after_failures_without_an_answer_among_them(seed in any::<u64>()) {
        let world = world();
        let mut script = fastrand::Rng::with_seed(seed);
        let mut failures: Vec<(u64, Moment)> = Vec::new();
        let mut open = false;
        for step in 0..300 {
            world.hand.advance(millis(script.u64(0..3000)));
            let now = world.clock.now();
            if script.u8(..) < 40 {
                prop_assert_eq!(world.breaker.on_success(), open, "seed {} step {}", seed, step);
                failures.clear();
                open = false;
            } else {
                let connection = script.u64(0..3);
                world.breaker.on_failure(connection, now);
                failures.push((connection, now));
                failures.retain(|(_, at)| now.since(*at) <= Duration::from_secs(5));
                let elsewhere = failures.iter().any(|(other, _)| *other != failures[0].0);
                open = open || failures.len() >= 3 && elsewhere;
            }
            prop_assert_eq!(world.is_open(), open, "seed {} step {}", seed, step);
        }
    }

    #[test]
    fn there_is_never_more_than_one_probe_and_always_another_one(seed in any::<u64>()) {
        let world = world();
        world.open();
        let mut script = fastrand::Rng::with_seed(seed);
        let mut held: Option<(Probe, Moment)> = None;
        for step in 0..300 {
            world.hand.advance(millis(script.u64(0..900)));
            let now = world.clock.now();
            if script.bool() {
                held = None;
            }
            if let Verdict::Probe(probe) = world.admit() {
                let hung = held.as_ref().is_none_or(|(_, begun)| now.since(*begun) >= PROBE_MAX_WAIT);
                prop_assert!(hung, "seed {} step {}", seed, step);
                held = Some((probe, now));
            }
        }
        world.hand.advance(PROBE_MAX_WAIT);
        prop_assert!(matches!(world.admit(), Verdict::Probe(_)), "seed {}", seed);
    }
}
