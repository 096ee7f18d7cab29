//! Crowds: thousands of reads at once are one call, and whoever leaves, panics or is closed under takes nobody along.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use instantly_proxy::caller::credential::Digester;
use instantly_proxy::classify::Target;
use instantly_proxy::clock::Clock;
use instantly_proxy::fetch::Storing;
use instantly_proxy::fetch::flight::{Crashed, FlightKey, Flights, Join};
use instantly_proxy::tick::Sequence;

use crate::support::labels::{CAMPAIGNS, LABELS, label, label_id, label_path, token};
use crate::support::{Answer, Caller, Recorded, TestUpstream, World, is_label_read, patiently, together};

fn is_write(request: &Recorded) -> bool {
    request.method == "PATCH"
}

/// Asks upstream whatever is stored, so that no proof falls due while others count calls.
async fn prove_anew(caller: &Caller) {
    caller.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_label("a-1");
}

#[tokio::test]
async fn ten_thousand_first_reads_of_one_credential_are_one_call() {
    const CONNECTIONS: usize = 10;
    let world = World::start();
    let caller = world.caller("a", 1);
    let connections: Vec<Caller> = (0..CONNECTIONS).map(|_| caller.over_http2()).collect();
    let gate = world.upstream.hold(is_label_read);
    let readers = together(10_000, |n| connections[n % CONNECTIONS].get(&label_path(1)).send());
    let (replies, ()) = tokio::join!(readers, async {
        gate.held(1).await;
        gate.release();
    });
    assert_eq!(world.label_reads(), 1);
    for reply in &replies {
        reply.assert_label("a-1");
    }
}

#[tokio::test]
async fn a_thousand_callers_of_twenty_credentials_on_an_expired_label_are_one_call() {
    let world = World::start_with(|config| config.cache.lead_labels.ttl = Duration::from_secs(20));
    for n in 1..=20 {
        world.vendor.admit(&token("a", n), "a");
    }
    let mut callers = Vec::new();
    for n in 1..=20 {
        callers.push(world.proven("a", n).await);
    }
    callers[0].get(&label_path(2)).send().await.assert_miss();
    world.proxy.advance_seconds(21);
    let before = world.label_reads();
    let gate = world.upstream.hold(is_label_read);
    let readers = together(1000, |n| callers[n % 20].get(&label_path(2)).send());
    let (replies, ()) = tokio::join!(readers, async {
        gate.held(1).await;
        world.round_trip(&callers[0]).await;
        gate.release();
    });
    assert_eq!(world.label_reads() - before, 1);
    for reply in &replies {
        reply.assert_label("a-2");
    }
}

#[tokio::test]
async fn leaders_that_leave_again_and_again_cost_their_followers_nothing() {
    const TRIALS: usize = 25;
    const FOLLOWERS: usize = 20;
    let world = World::start_with(|config| config.cache.lead_labels.ttl = Duration::from_secs(2));
    let (leader, follower) = (world.proven("a", 1).await, world.proven("a", 2).await);
    for trial in 0..TRIALS {
        world.proxy.advance_seconds(3);
        for caller in [&leader, &follower] {
            prove_anew(caller).await;
        }
        let before = world.label_reads();
        let gate = world.upstream.hold(|request| request.is("GET", &label_path(2)));
        let leading = tokio::spawn(leader.get(&label_path(2)).attempt());
        gate.held(1).await;
        let followers = together(FOLLOWERS, |_| follower.get(&label_path(2)).send());
        let (replies, ()) = tokio::join!(followers, async {
            leading.abort();
            world.round_trip(&follower).await;
            gate.release();
        });
        for reply in replies {
            reply.assert_label("a-2");
        }
        assert_eq!(world.label_reads() - before, 1, "trial {trial}");
    }
}

#[tokio::test]
async fn a_leader_that_is_refused_again_and_again_is_replaced_by_one_follower() {
    let world = World::start_with(|config| config.cache.lead_labels.ttl = Duration::from_secs(2));
    let (leader, follower) = (world.proven("a", 1).await, world.proven("a", 2).await);
    let refused = format!("Bearer {}", token("a", 1));
    world.upstream.script(move |request| {
        let refused = request.is("GET", &label_path(2)) && request.field("authorization") == Some(&refused);
        refused.then(|| Answer::json(403, crate::support::labels::error(403, "No.")))
    });
    for trial in 0..15 {
        world.proxy.advance_seconds(3);
        for caller in [&leader, &follower] {
            prove_anew(caller).await;
        }
        let before = world.label_reads();
        let gate = world.upstream.hold(|request| request.is("GET", &label_path(2)));
        let leading = leader.get(&label_path(2)).spawn();
        gate.held(1).await;
        let followers = together(20, |_| follower.get(&label_path(2)).send());
        let (replies, ()) = tokio::join!(followers, async {
            world.round_trip(&follower).await;
            gate.release();
        });
        leading.await.expect("no panic").assert_refused_upstream(403);
        for reply in replies {
            reply.assert_label("a-2");
        }
        assert!(world.label_reads() - before <= 2, "trial {trial}: one take-over");
    }
}

#[tokio::test]
async fn fills_that_panic_wake_everybody_and_leave_no_key() {
    let (clock, _) = Clock::manual();
    let (flights, sequence) = (Flights::<u32>::default(), Sequence::default());
    let mut fields = HeaderMap::new();
    fields.insert("authorization", HeaderValue::from_static("Bearer a"));
    let credential = Digester::default().credential(&fields).expect("a credential").digest();
    let key = FlightKey::Own {
        credential,
        resource: "lead_label",
        target: Target::Item(label_id(1)),
        storing: Storing::Allowed,
    };
    let join = || flights.join(key.clone(), credential, |_| true, || None::<()>, || sequence.advance());
    for _ in 0..100 {
        let Join::Leading(_, publisher) = join() else { panic!("a key is stuck") };
        let followers: Vec<_> = (0..100)
            .map(|_| match join() {
                Join::Joined(flight) => flight,
                other => panic!("{other:?}"),
            })
            .collect();
        let fill = tokio::spawn(async move {
            let _held = publisher;
            // Not by panic!: it would fill the output with a hundred back-traces.
            std::panic::resume_unwind(Box::new("a fault of a fill"));
        });
        let deadline = clock.now().plus(Duration::from_secs(10));
        for flight in followers {
            let result = patiently("a crash to be told", flight.result(&clock, deadline)).await;
            assert_eq!(result, Ok(Err(Crashed)));
        }
        assert!(fill.await.is_err());
        assert!(flights.is_empty());
    }
}

#[tokio::test]
async fn redirects_are_passed_on_and_never_followed() {
    let elsewhere = TestUpstream::start(|_| Answer::json(200, label("b", 1, "elsewhere")));
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let location = format!("http://{}/api/v2/lead-labels/{}", elsewhere.address(), label_id(2));
    for status in [301, 302, 303, 307, 308] {
        world.upstream.clear_scripts();
        let answer = Answer::status(status).field("location", &location);
        world.upstream.script(move |_| Some(answer.clone()));
        let before = world.upstream.count();
        for target in [label_path(2), format!("{LABELS}?limit=3"), CAMPAIGNS.to_owned()] {
            let reply = caller.get(&target).send().await;
            reply.assert_refused_upstream(status);
            assert_eq!(reply.field("location"), Some(location.as_str()));
        }
        caller.patch(&label_path(2), "{}").send().await.assert_refused_upstream(status);
        assert_eq!(world.upstream.count() - before, 4, "{status}");
    }
    assert_eq!(elsewhere.connections(), 0);
    world.upstream.clear_scripts();
    caller.get(&label_path(2)).send().await.assert_label("a-2");
}

/// The upstream may close a pooled connection at any moment, and no request is written to one whose end has come. Of a write that
/// crosses it on the way nobody can tell whether it was read: that one is told 502.
#[tokio::test]
async fn writes_after_the_upstream_closed_its_idle_connections_arrive_exactly_once() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let vendor = world.vendor.clone();
    let closing = Arc::new(move |request: &Recorded| Some(vendor.answer(request).then_close()));
    world.upstream.script(move |request| closing(request));
    for n in 0..30 {
        let text = format!("change {n}");
        let changed = caller.patch(&label_path(1), &format!(r#"{{"label":"{text}"}}"#)).send().await;
        changed.assert_label(&text);
        world.upstream.closed(2 * n + 1).await;
        caller.post(CAMPAIGNS, "{}").send().await.assert_status(200);
        world.upstream.closed(2 * n + 2).await;
        assert_eq!(world.upstream.count_of(is_write), n + 1);
    }
}
