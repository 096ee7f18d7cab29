//! What a read may have after it waited, and how often a failing or limited upstream is asked.

use std::num::NonZeroU32;
use std::time::Duration;

use instantly_proxy::config::Config;
use instantly_proxy::error::ErrorKind;

use crate::support::labels::{CAMPAIGNS, LABELS, error, label, label_path, page, token};
use crate::support::{Answer, Caller, World, is_label_read, patiently};

/// Labels that are fresh for `ttl` seconds and may be stale for five minutes after a failure.
fn stale_after(ttl: u64) -> impl FnOnce(&mut Config) {
    move |config| {
        config.cache.lead_labels.ttl = Duration::from_secs(ttl);
        config.cache.lead_labels.stale_if_error = Duration::from_secs(300);
    }
}

fn a_minute_has(calls: u32) -> impl FnOnce(&mut Config) {
    move |config| config.shield.requests_per_minute = NonZeroU32::new(calls).expect("not zero")
}

fn fail_label_reads(world: &World, answer: impl Fn() -> Answer + Send + Sync + 'static) {
    world.upstream.script(move |request| is_label_read(request).then(&answer));
}

/// Waits until so many label reads have arrived upstream, and asserts that no other follows.
async fn assert_reads(world: &World, caller: &Caller, expected: usize) {
    patiently("the label reads", async {
        while world.label_reads() < expected {
            world.round_trip(caller).await;
        }
    })
    .await;
    world.round_trip(caller).await;
    assert_eq!(world.label_reads(), expected);
}

/// Waits until the read behind the hits has failed, and the proxy knows it: it is noted where it is counted.
async fn has_failed(world: &World) {
    world.proxy.metric_reaches("instantly_proxy_proofs_total", &[("result", "failed")], 1.0).await;
}

/// R5.
#[tokio::test]
async fn a_read_that_fails_after_a_write_is_not_answered_with_what_was_before_it() {
    let world = World::start_with(stale_after(30));
    let (reader, writer) = (world.proven("a", 1).await, world.proven("a", 2).await);
    world.proxy.advance_seconds(35);
    fail_label_reads(&world, || Answer::json(500, error(500, "no")));
    let gate = world.upstream.hold(|request| request.is("GET", &label_path(1)));
    let read = reader.get(&label_path(1)).spawn();
    gate.held(1).await;
    writer.patch(&label_path(1), r#"{"label":"new"}"#).send().await.assert_status(200);
    gate.release();
    read.await.expect("no panic").assert_status(502);
}

/// RFC 9111 §4.2.3.
#[tokio::test]
async fn the_age_of_a_stale_answer_counts_the_wait_for_the_fill_that_failed() {
    let world = World::start_with(stale_after(30));
    let reader = world.proven("a", 1).await;
    world.proxy.advance_seconds(35);
    let gate = world.upstream.hold(|request| request.is("GET", &label_path(1)));
    let read = reader.get(&label_path(1)).spawn();
    gate.held(1).await;
    world.proxy.advance_seconds(10);
    let reply = read.await.expect("no panic");
    reply.assert_label("a-1").assert_age(45);
}

#[tokio::test]
async fn a_failing_upstream_is_asked_for_a_proof_every_two_seconds_not_at_every_hit() {
    let world = World::start();
    let reader = world.proven("a", 1).await;
    fail_label_reads(&world, || Answer::json(500, error(500, "no")));
    world.proxy.advance_seconds(46);
    let before = world.label_reads();
    for _ in 0..20 {
        reader.get(&label_path(1)).send().await.assert_hit();
        world.round_trip(&reader).await;
    }
    has_failed(&world).await;
    assert_eq!(world.label_reads() - before, 1);
    world.proxy.advance_seconds(2);
    reader.get(&label_path(1)).send().await.assert_hit();
    assert_reads(&world, &reader, before + 2).await;
}

#[tokio::test]
async fn a_failing_upstream_is_asked_for_a_younger_label_every_two_seconds_not_at_every_hit() {
    let world = World::start_with(|config| {
        stale_after(20)(config);
        config.cache.lead_labels.stale_while_revalidate = Duration::from_secs(30);
    });
    let reader = world.proven("a", 1).await;
    fail_label_reads(&world, || Answer::json(500, error(500, "no")));
    world.proxy.advance_seconds(21);
    let before = world.label_reads();
    for _ in 0..20 {
        reader.get(&label_path(1)).send().await.assert_label("a-1");
        world.round_trip(&reader).await;
    }
    has_failed(&world).await;
    assert_eq!(world.label_reads() - before, 1);
    world.proxy.advance_seconds(2);
    reader.get(&label_path(1)).send().await.assert_label("a-1");
    assert_reads(&world, &reader, before + 2).await;
}

/// F6.
#[tokio::test]
async fn a_gate_whose_time_is_over_is_tried_although_something_stale_would_do() {
    let world = World::start_with(stale_after(10));
    let reader = world.proven("a", 1).await;
    world.proxy.advance_seconds(12);
    fail_label_reads(&world, || Answer::json(429, error(429, "slow")).field("retry-after", "5"));
    let limited = reader.get(&label_path(1)).send().await;
    limited.assert_label("a-1").assert_age(12);
    world.upstream.clear_scripts();
    world.proxy.advance_seconds(6);
    reader.get(&label_path(1)).send().await.assert_label("a-1").assert_miss();
}

/// F1.
#[tokio::test]
async fn calls_that_an_unreachable_upstream_never_saw_cost_no_budget() {
    let world = World::start_with(a_minute_has(20));
    let reader = world.proven("a", 1).await;
    world.upstream.break_networking().await;
    for n in 100..140 {
        reader.get(&label_path(n)).send().await.assert_own_failure(&[502, 503]);
    }
    world.upstream.heal_networking().await;
    world.proxy.advance_seconds(2);
    reader.get(&label_path(2)).send().await.assert_label("a-2");
}

/// R1: a short budget of our own is no outage.
#[tokio::test]
async fn an_old_proof_does_not_do_while_its_own_attempt_waits_for_our_budget() {
    let world = World::start_with(a_minute_has(2));
    let reader = world.proven("a", 1).await;
    world.proxy.advance_seconds(2);
    world.round_trip(&reader).await;
    world.proxy.advance(Duration::from_millis(59_005));
    world.round_trip(&reader).await;
    world.proxy.advance(Duration::from_millis(200));
    let read = reader.get(&label_path(1)).send();
    world.proxy.advancing("a read of an old proof", read).await.assert_label("a-1").assert_proof();
}

/// R1: a 429 is no failure of the upstream; what it says ends with its gate.
#[tokio::test]
async fn an_old_proof_does_not_do_once_the_gate_is_open_again() {
    let world = World::start();
    let reader = world.proven("a", 1).await;
    world.proxy.advance_seconds(61);
    fail_label_reads(&world, || Answer::json(429, error(429, "slow")).field("retry-after", "1"));
    reader.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    world.upstream.clear_scripts();
    world.proxy.advance(Duration::from_millis(2_500));
    reader.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
}

#[tokio::test]
async fn a_call_that_would_not_wait_does_not_wait_for_a_connection_either() {
    let world = World::start_with(|config| config.upstream.max_connections = 4);
    let caller = world.proven("a", 1).await;
    let gate = world.upstream.hold(|request| request.is("GET", CAMPAIGNS));
    let first = caller.get(CAMPAIGNS).spawn();
    gate.held(1).await;
    let second = caller.get("/api/v2/leads").field("prefer", "wait=0").send();
    patiently("an answer without a wait", second).await.assert_error(ErrorKind::NoConnection);
    gate.release();
    first.await.expect("no panic").assert_status(200);
}

#[tokio::test]
async fn a_refusal_that_comes_slowly_keeps_its_connections_place() {
    let world = World::start_with(|config| config.upstream.max_connections = 4);
    let caller = world.proven("a", 1).await;
    world.upstream.script(|request| {
        let slow = || Answer::json(401, "x".repeat(8192)).stall_after(6000);
        request.is("GET", "/api/v2/leads").then(slow)
    });
    let mut raw = world.proxy.raw().await;
    let key = token("a", 1);
    raw.send(format!("GET /api/v2/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n")).await;
    assert_eq!(raw.read_head_only().await.status(), 401);
    let second = caller.get(CAMPAIGNS).field("prefer", "wait=0").send();
    patiently("an answer without a wait", second).await.assert_error(ErrorKind::NoConnection);
}

#[tokio::test]
async fn a_label_that_the_list_does_not_bring_is_refreshed_by_itself() {
    let world = World::start_with(|config| {
        stale_after(20)(config);
        config.cache.list_fill = true;
        config.cache.lead_labels.stale_while_revalidate = Duration::from_secs(30);
    });
    world.upstream.script(|request| {
        let is_list = request.method == "GET" && request.target.starts_with(&format!("{LABELS}?"));
        is_list.then(|| Answer::json(200, page(&[label("a", 1, "a-1")], None)))
    });
    let reader = world.proven("a", 1).await;
    // Without an account: what nobody waits for gives way for two seconds to whoever waits for the same one.
    let nobody = world.proxy.anonymous();
    reader.get(&format!("{LABELS}?limit=100")).send().await.assert_status(200);
    reader.get(&label_path(2)).send().await.assert_label("a-2");
    world.proxy.advance_seconds(21);
    let before = world.label_reads();
    for _ in 0..20 {
        reader.get(&label_path(2)).send().await.assert_label("a-2");
        world.round_trip(&nobody).await;
    }
    patiently("the label as it is now", async {
        let is_stale = async || {
            let reply = reader.get(&label_path(2)).send().await;
            reply.field("cache-status").is_some_and(|status| status.contains("stale"))
        };
        while is_stale().await {}
    })
    .await;
    let calls = world.label_reads() - before;
    assert!(calls <= 2, "{calls} calls to refresh one label");
    reader.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
}

#[tokio::test]
async fn who_leads_a_fill_that_others_wait_longer_for_leaves_at_its_own_time() {
    let world = World::start_with(|config| config.shield.max_wait = Duration::from_secs(8));
    let (leader, follower) = (world.proven("a", 1).await, world.proven("a", 2).await);
    world.upstream.reply_to(
        "GET",
        &label_path(3),
        Answer::json(429, error(429, "slow")).field("retry-after", "1"),
    );
    leader.get(&label_path(3)).send().await.assert_status(429);
    world.upstream.clear_scripts();
    world.proxy.advance(Duration::from_millis(1_200));
    let gate = world.upstream.hold(|request| request.is("GET", &label_path(3)));
    let probe = leader.get(&label_path(3)).spawn();
    gate.held(1).await;
    let led = leader.get(&label_path(2)).field("prefer", "wait=1").spawn();
    world.proxy.metric_reaches("instantly_proxy_shield_queued", &[], 1.0).await;
    let followed = follower.get(&label_path(2)).spawn();
    let led = world.proxy.advancing("the one who leads", led).await;
    led.expect("no panic").assert_status(429);
    gate.release();
    followed.await.expect("no panic").assert_label("a-2");
    probe.await.expect("no panic").assert_label("a-3");
}

/// R7.
#[tokio::test]
async fn a_block_of_the_edge_is_for_the_one_whose_fill_it_met() {
    let world = World::start();
    let leader = world.proven("a", 1).await;
    let follower = world.proven("a", 2).await.over_http2();
    let token = token("a", 1);
    world.upstream.script(move |request| {
        let is_leaders = request.field("authorization").is_some_and(|value| value.ends_with(&token));
        (is_leaders && request.is("GET", &label_path(2))).then(Answer::edge_block)
    });
    let gate = world.upstream.hold(|request| request.is("GET", &label_path(2)));
    let led = leader.get(&label_path(2)).spawn();
    gate.held(1).await;
    world.round_trip(&follower).await;
    let followed = follower.get(&label_path(2)).spawn();
    tokio::task::yield_now().await;
    world.round_trip(&follower).await;
    gate.release();
    led.await.expect("no panic").assert_status(403);
    followed.await.expect("no panic").assert_label("a-2");
}

#[tokio::test]
async fn an_old_proof_does_at_once_for_another_label_while_the_attempt_is_late() {
    let world = World::start_with(|config| config.cache.list_fill = false);
    let reader = world.proven("a", 1).await;
    reader.get(&label_path(2)).send().await.assert_label("a-2");
    world.proxy.advance_seconds(61);
    let gate = world.upstream.hold(is_label_read);
    let first = reader.get(&label_path(1)).spawn();
    gate.held(1).await;
    world.proxy.advance_seconds(1);
    first.await.expect("no panic").assert_label("a-1").assert_hit();
    let before = world.label_reads();
    // Time stands: it does not wait.
    reader.get(&label_path(2)).send().await.assert_label("a-2");
    world.proxy.advance_seconds(1);
    for _ in 0..20 {
        world.round_trip(&reader).await;
    }
    assert_eq!(world.label_reads(), before, "an upstream that does not answer was asked again");
}
