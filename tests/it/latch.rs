//! Refused keys: a 401 is remembered for a moment, and callers that nobody has vouched for come in a few at a time.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use instantly_proxy::error::ErrorKind;

use crate::support::labels::{CAMPAIGNS, LABELS, error, label_path, token};
use crate::support::{Answer, Caller, RawConnection, Recorded, Reply, World};

/// A route of its own beside that of [`CAMPAIGNS`].
const ACCOUNTS: &str = "/api/v2/accounts";
/// The vendor's words, told from any of ours.
const REFUSED: &str = "Your key lacks a scope";

/// Answers requests that match with the vendor's 401 until the switch is turned.
fn refuse(world: &World, matches: impl Fn(&Recorded) -> bool + Send + Sync + 'static) -> Arc<AtomicBool> {
    let refused = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&refused);
    world.upstream.script(move |request| {
        let refuse = refused.load(Ordering::SeqCst) && matches(request);
        refuse.then(|| Answer::json(401, error(401, REFUSED)))
    });
    switch
}

fn calls_to(world: &World, target: &str) -> usize {
    world.upstream.count_of(|request| request.target == target)
}

/// The vendor's 401, said again by the proxy.
#[track_caller]
fn assert_latched(reply: &Reply) {
    reply.assert_status(401).assert_text(&error(401, REFUSED));
    assert_eq!(reply.field("proxy-status"), Some("instantly-proxy; error=http_request_denied"));
    assert_eq!(reply.field("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(reply.field("cache-status"), None, "nothing was asked");
}

#[tokio::test]
async fn a_refusal_is_remembered_from_one_second_to_ten() {
    let world = World::start_shielded();
    let caller = world.proven("a", 1).await;
    refuse(&world, |request| request.target == CAMPAIGNS);
    for (calls, seconds) in [1, 2, 4, 8, 10, 10, 10].into_iter().enumerate() {
        caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401).assert_text(&error(401, REFUSED));
        assert_latched(&caller.get(CAMPAIGNS).send().await);
        world.proxy.advance(Duration::from_millis(seconds * 1000 - 1));
        assert_latched(&caller.get(&format!("{CAMPAIGNS}/1?of=the-same-route")).send().await);
        world.proxy.advance(Duration::from_millis(1));
        assert_eq!(calls_to(&world, CAMPAIGNS), calls + 1);
    }
}

#[tokio::test]
async fn any_other_answer_ends_it() {
    for other in [200, 402, 404, 500] {
        let world = World::start_shielded();
        let caller = world.proven("a", 1).await;
        let refused = refuse(&world, |request| request.target == CAMPAIGNS);
        for seconds in [1, 2, 4] {
            caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
            world.proxy.advance_seconds(seconds);
        }
        refused.store(false, Ordering::SeqCst);
        world.upstream.reply_to("GET", &format!("{CAMPAIGNS}/1"), Answer::json(other, "{}"));
        caller.get(&format!("{CAMPAIGNS}/1")).send().await.assert_refused_upstream(other);
        refused.store(true, Ordering::SeqCst);
        caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
        world.proxy.advance_seconds(1);
        caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    }
}

#[tokio::test]
async fn other_routes_and_other_keys_notice_nothing() {
    let world = World::start_shielded();
    let (caller, other) = (world.proven("a", 1).await, world.proven("a", 2).await);
    let bearer = format!("Bearer {}", token("a", 1));
    refuse(&world, move |request| {
        request.is("GET", CAMPAIGNS) && request.field("authorization") == Some(&bearer)
    });
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    assert_latched(&caller.get(CAMPAIGNS).send().await);
    caller.get(ACCOUNTS).send().await.assert_status(200);
    caller.post(CAMPAIGNS, "{}").send().await.assert_status(200);
    other.get(CAMPAIGNS).send().await.assert_status(200);
    other.get(&label_path(1)).send().await.assert_hit();
}

#[tokio::test]
async fn a_latched_refusal_ends_no_proof() {
    let world = World::start_shielded();
    let caller = world.proven("a", 1).await;
    refuse(&world, |request| request.target == CAMPAIGNS);
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    for _ in 0..3 {
        assert_latched(&caller.get(CAMPAIGNS).send().await);
        caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    }
    // The second refusal on the route, with a label read in between, is one of scope.
    world.proxy.advance_seconds(1);
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
}

#[tokio::test]
async fn refused_label_reads_and_writes_are_remembered_too() {
    let world = World::start_shielded();
    let caller = world.proven("a", 1).await;
    refuse(&world, |request| request.target.starts_with(LABELS));
    caller.get(&label_path(2)).send().await.assert_refused_upstream(401);
    assert_latched(&caller.get(&label_path(3)).send().await);
    assert_latched(&caller.get(LABELS).send().await);
    caller.delete(&label_path(1)).send().await.assert_refused_upstream(401);
    assert_latched(&caller.delete(&label_path(1)).send().await);
    let head = caller.head(&label_path(2)).send().await;
    assert_eq!((head.status, head.body.len()), (401, 0));
    assert_eq!(world.label_reads(), 2);
    caller.get(CAMPAIGNS).send().await.assert_status(200);
}

/// A client on another machine that has sent a GET of [`CAMPAIGNS`] with this token.
async fn calling_from(world: &World, source: Ipv4Addr, token: &str) -> RawConnection {
    let mut connection = RawConnection::open_from(source, world.proxy.address()).await;
    let request = format!(
        "GET {CAMPAIGNS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nPrefer: wait=0\r\n\r\n"
    );
    connection.send(request).await;
    connection
}

fn garbage(world: &World, n: u32) -> Caller {
    world.caller("nobody", n)
}

#[tokio::test]
async fn a_stranger_has_eight_calls_under_way_at_most() {
    let world = World::start_shielded();
    let gate = world.upstream.hold(|request| request.target == CAMPAIGNS);
    let caller = world.caller("a", 1);
    let calls: Vec<_> = (0..8).map(|_| caller.get(CAMPAIGNS).spawn()).collect();
    gate.held(8).await;
    let ninth = caller.get(CAMPAIGNS).field("prefer", "wait=0").send().await;
    ninth.assert_error(ErrorKind::TooManyStrangers);
    assert_eq!(ninth.field("retry-after"), Some("1"));
    let patient = caller.get(CAMPAIGNS).spawn();
    gate.release();
    for call in calls.into_iter().chain([patient]) {
        call.await.expect("no panic").assert_status(200);
    }
    // Known now: the budget alone limits it.
    let gate = world.upstream.hold(|request| request.target == CAMPAIGNS);
    let calls: Vec<_> = (0..20).map(|_| caller.get(CAMPAIGNS).field("prefer", "wait=0").spawn()).collect();
    gate.held(20).await;
    gate.release();
    for call in calls {
        call.await.expect("no panic").assert_status(200);
    }
}

#[tokio::test]
async fn strangers_have_sixty_four_calls_under_way_together_and_half_of_them_from_one_address() {
    let world = World::start_shielded();
    let known = world.proven("a", 1).await;
    let gate = world.upstream.hold(|request| request.target == CAMPAIGNS);
    let mut held = Vec::new();
    for (last_byte, calls) in [(2, 32), (3, 32)] {
        let source = Ipv4Addr::new(127, 0, 0, last_byte);
        for n in 0..calls {
            held.push(calling_from(&world, source, &token("nobody", u32::from(last_byte) * 100 + n)).await);
        }
        gate.held(held.len()).await;
        let mut one_more = calling_from(&world, source, &token("nobody", 1)).await;
        one_more.read().await.reply().assert_error(ErrorKind::TooManyStrangers);
    }
    let mut from_elsewhere = calling_from(&world, Ipv4Addr::new(127, 0, 0, 4), &token("b", 1)).await;
    from_elsewhere.read().await.reply().assert_error(ErrorKind::TooManyStrangers);
    known.get(&label_path(2)).send().await.assert_label("a-2");
    known.get(ACCOUNTS).field("prefer", "wait=0").send().await.assert_status(200);
    gate.release();
    for connection in &mut held {
        assert_eq!(connection.read().await.status(), 401);
    }
}

#[tokio::test]
async fn refusals_of_strangers_come_to_a_burst_and_a_few_a_second() {
    let world = World::start_shielded();
    let known = world.proven("a", 1).await;
    let sources = [2, 3].map(|last_byte| Ipv4Addr::new(127, 0, 0, last_byte));
    let (mut refused, mut turned_away, mut tokens) = (0, 0, 0);
    for _ in 0..10 {
        for n in 0..100 {
            tokens += 1;
            let mut connection = calling_from(&world, sources[n % 2], &token("nobody", tokens)).await;
            let reply = connection.read().await.reply();
            match reply.status {
                401 => refused += 1,
                _ => {
                    reply.assert_error(ErrorKind::TooManyStrangers);
                    assert!(reply.field("retry-after").is_some());
                    turned_away += 1;
                }
            }
        }
        known.get(ACCOUNTS).send().await.assert_status(200);
        known.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
        world.proxy.advance_seconds(1);
    }
    // 50 at once and 5 in each of the nine seconds since.
    assert!((90..=95).contains(&refused), "{refused} refused, {turned_away} turned away");
    assert_eq!(world.upstream.count_of(|request| request.target == CAMPAIGNS), refused);
}

#[tokio::test]
async fn one_address_spends_half_of_the_refusals_and_newcomers_elsewhere_come_in() {
    let world = World::start_shielded();
    let mut refused = 0;
    for n in 0..60 {
        let reply = garbage(&world, n).get(CAMPAIGNS).field("prefer", "wait=0").send().await;
        refused += usize::from(reply.status == 401);
    }
    assert_eq!(refused, 25);
    world.caller("a", 1).get(CAMPAIGNS).send().await.assert_error(ErrorKind::TooManyStrangers);
    let mut newcomer = calling_from(&world, Ipv4Addr::new(127, 0, 0, 9), &token("a", 1)).await;
    newcomer.read().await.reply().assert_status(200);
    // One answer that is no refusal, and it is known wherever it comes from.
    world.caller("a", 1).get(CAMPAIGNS).send().await.assert_status(200);
}

#[tokio::test]
async fn a_dead_key_in_a_loop_costs_a_call_in_ten_seconds() {
    let world = World::start_shielded();
    let caller = world.proven("a", 1).await;
    world.vendor.revoke(&token("a", 1));
    let before = world.upstream.count();
    for _ in 0..600 {
        caller.get(&label_path(2)).send().await.assert_status(401);
        world.proxy.advance(Duration::from_millis(500));
    }
    // 300 s in tens, and the doubling before.
    let calls = world.upstream.count() - before;
    assert!(calls <= 36, "{calls}");
}
