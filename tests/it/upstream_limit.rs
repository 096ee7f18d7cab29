//! An upstream 429: that organization is left alone for as long as it asks, within bounds, and nobody else is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use instantly_proxy::error::ErrorKind;

use crate::support::labels::{CAMPAIGNS, error, label_path, organization, token};
use crate::support::{Answer, Caller, Recorded, Reply, World, patiently};

/// What the test's clock calls the time at its start, in seconds since 1970: Fri, 15 Jan 2027 08:00:00 GMT.
const START: u64 = 1_800_000_000;

/// Whether a request carries one of the keys of this organization.
fn comes_from(request: &Recorded, name: &str) -> bool {
    (1..=3).any(|n| request.field("authorization") == Some(format!("Bearer {}", token(name, n)).as_str()))
}

fn calls_of(world: &World, name: &'static str) -> usize {
    world.upstream.count_of(|request| comes_from(request, name))
}

/// Every call of organization `a` is answered 429 with these fields until the switch is turned.
fn limit(world: &World, retry_after: &[&str]) -> Arc<AtomicBool> {
    let limited = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&limited);
    let answer = Answer::json(429, error(429, "slow down"));
    let answer = retry_after.iter().fold(answer, |answer, value| answer.field("retry-after", value));
    world.upstream.script(move |request| {
        (comes_from(request, "a") && limited.load(Ordering::SeqCst)).then(|| answer.clone())
    });
    switch
}

async fn at_once(caller: &Caller) -> Reply {
    caller.get(CAMPAIGNS).field("prefer", "wait=0").send().await
}

fn retry_after(reply: &Reply) -> u64 {
    reply.field("retry-after").expect("when to come again").parse().expect("seconds")
}

/// A shielded world with a caller of `a` and one of `b` that both have label 1.
async fn world() -> (World, Caller, Caller) {
    let world = World::start_shielded_with(|config| config.cache.list_fill = false);
    let (a, b) = (world.proven("a", 1).await, world.proven("b", 1).await);
    (world, a, b)
}

#[tokio::test]
async fn nobody_of_the_organization_calls_before_the_time_is_over() {
    // (Retry-After lines, least and most seconds for which nothing is sent)
    let rows: &[(&[&str], u64, u64)] = &[
        (&["7"], 7, 7),
        (&["1"], 1, 1),
        (&["0"], 1, 1),
        (&["120"], 120, 120),
        (&["121"], 120, 120),
        (&["3600"], 120, 120),
        (&["99999999999999999999999999"], 120, 120),
        (&["Fri, 15 Jan 2027 08:00:30 GMT"], 30, 30),
        (&["Friday, 15-Jan-27 08:00:30 GMT"], 30, 30),
        (&["Fri Jan 15 08:00:30 2027"], 30, 30),
        (&["Fri, 15 Jan 2027 07:00:00 GMT"], 1, 2),
        (&["Fri, 15 Jan 2038 08:00:00 GMT"], 120, 120),
        (&["-5"], 1, 2),
        (&["1.5"], 1, 2),
        (&["soon"], 1, 2),
        (&[""], 1, 2),
        (&[], 1, 2),
        (&["5", "9"], 9, 9),
    ];
    assert_eq!(START % 60, 0, "the dates above are told from the start");
    for (lines, least, most) in rows {
        let (world, a, b) = world().await;
        let limited = limit(&world, lines);
        a.get(CAMPAIGNS).send().await.assert_refused_upstream(429);
        limited.store(false, Ordering::SeqCst);
        let before = calls_of(&world, "a");
        let refused = at_once(&a).await;
        refused.assert_error(ErrorKind::GateClosed);
        assert!((*least..=*most).contains(&retry_after(&refused)), "{lines:?}: {refused:?}");
        at_once(&b).await.assert_status(200);
        a.get(&label_path(1)).send().await.assert_hit();

        world.proxy.advance(Duration::from_millis(least * 1000 - 1));
        let refused = at_once(&a).await;
        refused.assert_error(ErrorKind::GateClosed);
        assert_eq!(calls_of(&world, "a"), before, "{lines:?}");
        world.proxy.advance(Duration::from_millis((most - least) * 1000 + 1));
        at_once(&a).await.assert_status(200);
        at_once(&a).await.assert_status(200);
    }
}

#[tokio::test]
async fn one_probe_goes_when_the_time_is_over_and_the_rest_after_it() {
    let (world, first, _) = world().await;
    let second = world.proven("a", 2).await;
    let limited = limit(&world, &["5"]);
    first.get(CAMPAIGNS).send().await.assert_refused_upstream(429);
    world.proxy.advance_seconds(5);
    limited.store(false, Ordering::SeqCst);
    let gate = world.upstream.hold(|request| request.target == CAMPAIGNS);
    let probe = first.get(CAMPAIGNS).spawn();
    gate.held(1).await;
    let turned_away = at_once(&second).await;
    turned_away.assert_error(ErrorKind::GateClosed);
    assert_eq!(turned_away.field("retry-after"), Some("1"));
    let waiting: Vec<_> = (0..5).map(|_| second.get(CAMPAIGNS).spawn()).collect();
    world.proxy.metric_reaches("instantly_proxy_shield_queued", &[], 5.0).await;
    assert_eq!(gate.count(), 1);
    gate.release();
    probe.await.expect("no panic").assert_status(200);
    for call in waiting {
        call.await.expect("no panic").assert_status(200);
    }
}

#[tokio::test]
async fn a_probe_that_is_limited_too_closes_the_gate_again() {
    let (world, caller, _) = world().await;
    let _limited = limit(&world, &["5"]);
    for round in 1..=4 {
        caller.get(CAMPAIGNS).send().await.assert_refused_upstream(429);
        assert_eq!(world.upstream.count_of(|request| request.target == CAMPAIGNS), round);
        at_once(&caller).await.assert_error(ErrorKind::GateClosed);
        world.proxy.advance_seconds(5);
    }
}

#[tokio::test]
async fn without_a_time_the_wait_doubles_to_a_minute_and_starts_anew_after_a_success() {
    let (world, caller, _) = world().await;
    let limited = limit(&world, &[]);
    for wait in [1, 2, 4, 8, 16, 32, 48, 48] {
        caller.get(CAMPAIGNS).send().await.assert_refused_upstream(429);
        let told = retry_after(at_once(&caller).await.assert_error(ErrorKind::GateClosed));
        assert!((wait..=(wait + wait / 4 + 1).min(60)).contains(&told), "{told} for {wait}");
        world.proxy.advance_seconds(told);
    }
    limited.store(false, Ordering::SeqCst);
    at_once(&caller).await.assert_status(200);
    limited.store(true, Ordering::SeqCst);
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(429);
    assert!(retry_after(&at_once(&caller).await) <= 2);
}

#[tokio::test]
async fn calls_that_wait_are_told_at_once_when_the_gate_closes() {
    let world = World::start_shielded_with(|config| {
        config.cache.list_fill = false;
        config.shield.requests_per_second = 1.try_into().expect("not zero");
        config.shield.max_wait = Duration::from_secs(4);
    });
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(2);
    let _limited = limit(&world, &["40"]);
    let gate = world.upstream.hold(|request| request.target == CAMPAIGNS);
    let limited = caller.get(CAMPAIGNS).spawn();
    gate.held(1).await;
    let waiting = [caller.get(CAMPAIGNS).spawn(), caller.get(&label_path(2)).spawn()];
    world.proxy.metric_reaches("instantly_proxy_shield_queued", &[], 2.0).await;
    gate.release();
    limited.await.expect("no panic").assert_refused_upstream(429);
    for call in waiting {
        let reply = call.await.expect("no panic");
        reply.assert_error(ErrorKind::GateClosed);
        assert_eq!(reply.field("retry-after"), Some("40"));
    }
    assert_eq!(gate.count(), 1);
}

#[tokio::test]
async fn hits_go_on_and_proofs_last_while_the_gate_is_closed() {
    let (world, caller, other) = world().await;
    let _limited = limit(&world, &["3600"]);
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(429);
    for second in 0..110 {
        caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit().assert_age(second);
        world.proxy.advance_seconds(1);
    }
    assert_eq!(calls_of(&world, "a"), 2);
    other.get(CAMPAIGNS).send().await.assert_status(200);
}

#[tokio::test]
async fn a_limited_label_read_is_told_once_and_not_tried_again() {
    let (world, caller, _) = world().await;
    let _limited = limit(&world, &["30"]);
    let reply = caller.get(&label_path(2)).send().await;
    reply.assert_refused_upstream(429);
    assert_eq!(reply.field("retry-after"), Some("30"));
    world.proxy.advance_seconds(10);
    let reply = caller.get(&label_path(2)).send().await;
    reply.assert_error(ErrorKind::GateClosed);
    assert_eq!(reply.field("retry-after"), Some("20"));
    assert_eq!(world.upstream.count_of(|request| request.is("GET", &label_path(2))), 1);
}

#[tokio::test]
async fn a_limited_write_closes_the_gate_and_writes_wait_for_it() {
    let (world, caller, _) = world().await;
    let limited = limit(&world, &["1"]);
    let write = || caller.patch(&label_path(1), r#"{"label":"new"}"#);
    write().send().await.assert_refused_upstream(429);
    limited.store(false, Ordering::SeqCst);
    let waiting = write().spawn();
    world.proxy.metric_reaches("instantly_proxy_shield_queued", &[], 1.0).await;
    world.proxy.advance_window();
    waiting.await.expect("no panic").assert_label("new");
}

#[tokio::test]
async fn an_admin_that_is_limited_for_a_workspace_is_limited_itself() {
    let world = World::start_shielded_with(|config| config.cache.list_fill = false);
    let own = world.proven("admin", 1).await;
    let member = world.proven("a", 1).await;
    let acting = world.acting_for("a");
    acting.get(&label_path(1)).send().await.assert_label("a-1");
    let answer = Answer::json(429, error(429, "slow down")).field("retry-after", "9");
    let workspace = organization("a").to_string();
    world
        .upstream
        .script(move |request| (request.field("x-as-workspace") == Some(&workspace)).then(|| answer.clone()));
    acting.get(CAMPAIGNS).send().await.assert_refused_upstream(429);
    for caller in [&own, &member, &acting] {
        at_once(caller).await.assert_error(ErrorKind::GateClosed);
    }
    patiently("both gates to be shown", async {
        while world.proxy.metric("instantly_proxy_shield_gates_closed", &[]).await < 2.0 {}
    })
    .await;
}

#[tokio::test]
async fn who_shared_a_limited_read_is_told_the_truth_too() {
    for (line, seconds) in [("Fri, 15 Jan 2027 08:00:30 GMT", "30"), ("3600", "120"), ("7", "7")] {
        let (world, leader, _) = world().await;
        let follower = world.proven("a", 2).await.over_http2();
        let _limited = limit(&world, &[line]);
        let gate = world.upstream.hold(|request| request.is("GET", &label_path(2)));
        let led = leader.get(&label_path(2)).spawn();
        gate.held(1).await;
        let followed = follower.get(&label_path(2)).spawn();
        tokio::task::yield_now().await;
        follower.get(&label_path(1)).send().await.assert_hit();
        gate.release();
        led.await.expect("no panic").assert_refused_upstream(429);
        let reply = followed.await.expect("no panic");
        reply.assert_own_failure(&[429]);
        assert_eq!(reply.field("retry-after"), Some(seconds), "{line}: {reply:?}");
        assert_eq!(gate.count(), 1);
    }
}

#[tokio::test]
async fn calls_that_are_turned_away_make_no_idle_connection_younger() {
    let (world, caller, _) = world().await;
    let limited = limit(&world, &["60"]);
    caller.get(&label_path(2)).send().await.assert_refused_upstream(429);
    let used = world.upstream.last().connection;
    world.proxy.advance_seconds(40);
    at_once(&caller).await.assert_error(ErrorKind::GateClosed);
    caller.get(&label_path(2)).field("prefer", "wait=0").send().await.assert_error(ErrorKind::GateClosed);
    world.proxy.advance_seconds(20);
    limited.store(false, Ordering::SeqCst);
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    assert_ne!(world.upstream.last().connection, used, "it was idle for a minute");
}
