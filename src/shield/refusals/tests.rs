use http::{HeaderMap, Method};
use proptest::prelude::*;

use super::*;
use crate::caller::credential::Digester;
use crate::clock::{Clock, ManualClock};

struct World {
    refusals: RememberedRefusals,
    digester: Digester,
    clock: Clock,
    hand: ManualClock,
}

fn world() -> World {
    let (clock, hand) = Clock::manual();
    World { refusals: RememberedRefusals::default(), digester: Digester::default(), clock, hand }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl World {
    fn credential(&self, token: &str) -> CredentialDigest {
        let mut fields = HeaderMap::new();
        fields.insert("authorization", HeaderValue::try_from(format!("Bearer {token}")).unwrap());
        self.digester.credential(&fields).unwrap().digest()
    }

    fn route(&self, path: &str) -> RouteDigest {
        self.digester.route(&Method::GET, path)
    }

    /// A call that leaves now and is refused a tenth of a second later.
    fn refuse(&self, credential: CredentialDigest, route: RouteDigest) {
        let sent = self.clock.now();
        self.hand.advance(Duration::from_millis(100));
        self.refusals.on_unauthorized(credential, route, sent, Unauthorized::default(), self.clock.now());
    }

    fn remaining(&self, credential: CredentialDigest, route: RouteDigest) -> Option<Duration> {
        self.refusals.check(credential, route, self.clock.now()).map(|refusal| refusal.remaining)
    }
}

/// T10.
#[test]
fn a_401_is_remembered_for_a_second_that_doubles_to_ten_while_it_repeats() {
    let world = world();
    let (key, emails) = (world.credential("a"), world.route("/api/v2/emails"));
    assert_eq!(world.remaining(key, emails), None);
    for lasts in [1, 2, 4, 8, 10, 10] {
        world.refuse(key, emails);
        assert_eq!(world.remaining(key, emails), Some(seconds(lasts)));
        world.hand.advance(seconds(lasts) - Duration::from_millis(1));
        assert_eq!(world.remaining(key, emails), Some(Duration::from_millis(1)));
        world.hand.advance(Duration::from_millis(1));
        assert_eq!(world.remaining(key, emails), None);
    }
    world.refusals.on_other_answer(key, emails);
    world.refuse(key, emails);
    assert_eq!(world.remaining(key, emails), Some(seconds(1)), "any other answer ends it");
    world.refusals.on_other_answer(key, emails);
    assert_eq!(world.remaining(key, emails), None);
}

#[test]
fn a_key_that_lacks_one_scope_notices_nothing_elsewhere() {
    let world = world();
    let (key, other) = (world.credential("a"), world.credential("b"));
    let (emails, labels) = (world.route("/api/v2/emails/1"), world.route("/api/v2/lead-labels"));
    world.refuse(key, emails);
    assert!(world.remaining(key, world.route("/api/v2/emails/2")).is_some());
    assert_eq!(world.remaining(key, labels), None);
    assert_eq!(world.remaining(key, world.digester.route(&Method::POST, "/api/v2/emails/1")), None);
    assert_eq!(world.remaining(other, emails), None);
    world.refusals.on_other_answer(key, labels);
    assert!(world.remaining(key, emails).is_some(), "nor does its answer elsewhere end it");
}

#[test]
fn calls_that_were_under_way_together_count_once() {
    let world = world();
    let (key, route) = (world.credential("a"), world.route("/api/v2/emails"));
    let sent = world.clock.now();
    world.refuse(key, route);
    for _ in 0..20 {
        world.refusals.on_unauthorized(key, route, sent, Unauthorized::default(), world.clock.now());
    }
    assert_eq!(world.remaining(key, route), Some(seconds(1)));
}

#[test]
fn the_vendors_words_are_kept_if_they_are_few() {
    let world = world();
    let (key, route) = (world.credential("a"), world.route("/api/v2/emails"));
    let answer = |body: &[u8]| {
        let html = HeaderValue::from_static("text/html");
        let now = world.clock.now();
        world.refusals.on_unauthorized(key, route, now, Unauthorized::new(Some(&html), body), now);
        world.refusals.check(key, route, now).unwrap().answer
    };
    let kept = answer(&[b'x'; 1024]);
    assert_eq!((kept.body.len(), kept.content_type.as_ref().unwrap().as_bytes()), (1024, &b"text/html"[..]));
    let replaced = answer(&[b'x'; 1025]);
    let body: serde_json::Value = serde_json::from_slice(&replaced.body).unwrap();
    assert_eq!(body["statusCode"], 401);
    assert_eq!(*replaced, Unauthorized::default());
}

/// A slice of the answer would hold the whole read buffer of the connection that it came on.
#[test]
fn what_is_kept_of_an_answer_shares_no_memory_with_it() {
    let buffer = Bytes::from([&b"text/html; charset=x"[..], b"No such key"].concat());
    let media_type = HeaderValue::from_maybe_shared(buffer.slice(..20)).unwrap();
    let kept = Unauthorized::new(Some(&media_type), &buffer.slice(20..));
    drop(media_type);
    assert!(buffer.is_unique(), "something of it is held");
    assert_eq!(
        (kept.content_type.unwrap(), &kept.body[..]),
        (buffer[..20].try_into().unwrap(), &buffer[20..])
    );

    let long = HeaderValue::try_from("x".repeat(MAX_MEDIA_TYPE + 1)).unwrap();
    assert_eq!(Unauthorized::new(Some(&long), b"No such key"), Unauthorized::default());
}

#[test]
fn a_401_is_forgotten_by_time_and_not_only_when_the_table_is_full() {
    let world = world();
    let route = world.route("/api/v2/emails");
    for number in 0..100 {
        world.refuse(world.credential(&number.to_string()), route);
    }
    // One that is asked about all the time is not kept the longer for it.
    for _ in 0..30 {
        world.hand.advance(seconds(1));
        world.remaining(world.credential("0"), route);
        world.refusals.tidy(world.clock.now());
    }
    assert_eq!(world.refusals.lock().len(), 0);
    world.refuse(world.credential("0"), route);
    assert_eq!(world.remaining(world.credential("0"), route), Some(FIRST), "it repeats nothing");
    world.refusals.tidy(world.clock.now());
    assert_eq!(world.refusals.lock().len(), 1);
}

#[test]
fn the_table_is_bounded_and_counts_what_holds() {
    let world = world();
    let route = world.route("/api/v2/emails");
    let sent = world.clock.now();
    for number in 0..REMEMBERED_REFUSALS.get() + 100 {
        let key = world.credential(&number.to_string());
        world.refusals.on_unauthorized(key, route, sent, Unauthorized::default(), sent);
    }
    assert_eq!(world.refusals.count(world.clock.now()), REMEMBERED_REFUSALS.get());
    world.hand.advance(seconds(1));
    assert_eq!(world.refusals.count(world.clock.now()), 0);
}

/// T10: a loop that asks ten times a second for ten minutes.
#[test]
fn a_loop_with_a_dead_key_costs_the_upstream_one_call_in_ten_seconds() {
    let world = world();
    let (key, route) = (world.credential("a"), world.route("/api/v2/emails"));
    let mut calls = 0;
    for _ in 0..6000 {
        if world.remaining(key, route).is_none() {
            calls += 1;
            world.refusals.on_unauthorized(
                key,
                route,
                world.clock.now(),
                Unauthorized::default(),
                world.clock.now(),
            );
        }
        world.hand.advance(Duration::from_millis(100));
    }
    assert!((60..=64).contains(&calls), "{calls}");
}

proptest! {
    #[test]
    fn nobody_is_latched_for_more_than_ten_seconds_or_after_another_answer(seed in any::<u64>()) {
        let world = world();
        let mut script = fastrand::Rng::with_seed(seed);
        let keys: Vec<_> = ["a", "b"].iter().map(|token| world.credential(token)).collect();
        let routes: Vec<_> = ["/a/b/c", "/a/b/d"].iter().map(|path| world.route(path)).collect();
        for step in 0..200 {
            world.hand.advance(Duration::from_millis(script.u64(0..4000)));
            if script.u8(..) < 20 {
                world.hand.jump_wall_back(seconds(script.u64(0..1_000_000)));
            }
            let (key, route) = (*script.choice(&keys).unwrap(), *script.choice(&routes).unwrap());
            if script.bool() {
                world.refuse(key, route);
                let remaining = world.remaining(key, route);
                prop_assert!(remaining.is_some_and(|left| left <= LONGEST), "seed {seed} step {step}: {remaining:?}");
            } else {
                world.refusals.on_other_answer(key, route);
                prop_assert_eq!(world.remaining(key, route), None, "seed {} step {}", seed, step);
            }
        }
    }
}
