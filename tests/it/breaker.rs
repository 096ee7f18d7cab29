//! A dead upstream: found out soon, answered for from the store, asked again with one call; and reads that are tried twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use instantly_proxy::error::ErrorKind;

use crate::support::labels::{CAMPAIGNS, LABELS, error, label_path, token};
use crate::support::{Answer, Caller, World, is_label_read, patiently, together};

/// A shielded world of single reads.
fn world() -> World {
    World::start_shielded_with(|config| config.cache.list_fill = false)
}

async fn is_open(world: &World) -> bool {
    world.proxy.metric("instantly_proxy_breaker_open", &[]).await > 0.0
}

/// Reads what is not stored until a connection is refused; no more than `within` goes by until the breaker is open.
async fn opens_within(world: &World, caller: &Caller, within: Duration) {
    let step = Duration::from_millis(10);
    let mut gone = Duration::ZERO;
    // A connection that was kept open is found to be cut first.
    while caller.get(&label_path(3)).send().await.error_kind() != Some(ErrorKind::ConnectFailed) {}
    while !is_open(world).await {
        assert!(gone < within, "the breaker did not open within {within:?}");
        world.proxy.advance(step);
        gone += step;
    }
}

/// A world whose upstream was there for one proven caller of `a`, and is known to be dead now.
async fn dead_upstream() -> (World, Caller) {
    let world = world();
    let caller = world.proven("a", 1).await;
    world.upstream.break_networking().await;
    opens_within(&world, &caller, Duration::from_secs(5)).await;
    (world, caller)
}

#[tokio::test]
async fn one_refused_call_suffices_to_find_out_within_five_seconds() {
    let (world, caller) = dead_upstream().await;
    for target in [label_path(2), CAMPAIGNS.to_owned()] {
        let reply = caller.get(&target).send().await;
        reply.assert_error(ErrorKind::Unreachable);
        assert_eq!(reply.status, 503);
        assert_eq!(reply.field("retry-after"), Some("1"));
    }
    caller.delete(&label_path(2)).send().await.assert_error(ErrorKind::Unreachable);
    world.caller("b", 1).get(&label_path(1)).send().await.assert_error(ErrorKind::Unreachable);
}

/// Nobody would ever end an alert on it.
#[tokio::test]
async fn an_idle_proxy_does_not_call_the_upstream_dead_for_ever() {
    let (world, caller) = dead_upstream().await;
    caller.get(&label_path(2)).send().await.assert_error(ErrorKind::Unreachable);
    world.proxy.advance_seconds(59);
    assert!(is_open(&world).await, "somebody was turned away less than a minute ago");
    world.proxy.advance_seconds(2);
    assert!(!is_open(&world).await);
}

#[tokio::test]
async fn hits_and_stale_answers_go_on() {
    let world = World::start_shielded_with(|config| {
        config.cache.list_fill = false;
        config.cache.lead_labels.ttl = Duration::from_secs(20);
        config.cache.lead_labels.stale_while_revalidate = Duration::ZERO;
    });
    let caller = world.proven("a", 1).await;
    world.upstream.break_networking().await;
    opens_within(&world, &caller, Duration::from_secs(5)).await;
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    world.proxy.advance_seconds(20);
    let stale = caller.get(&label_path(1)).send().await;
    assert!(stale.assert_label("a-1").cache_status().ends_with("detail=stale-error"), "{stale:?}");
}

#[tokio::test]
async fn ten_minutes_without_an_upstream_are_bridged_as_long_as_the_proof_allows() {
    let world = world();
    let caller = world.proven("a", 1).await;
    let renewed = world.proven("a", 2).await;
    world.upstream.break_networking().await;
    // What `advancing` lets go by is in the age of what was answered last.
    let mut age = 0;
    for second in 0..600_u64 {
        for reader in [&caller, &renewed] {
            let reply = world.proxy.advancing("an answer", reader.get(&label_path(1)).send()).await;
            if age < 297 {
                reply.assert_label("a-1");
                age = reply.field("age").and_then(|age| age.parse().ok()).expect("seconds");
            } else if second > 300 {
                assert!(matches!(reply.status, 502 | 503), "{second}: {reply:?}");
                reply.assert_own_failure(&[502, 503]);
            }
        }
        world.proxy.advance_seconds(1);
    }
}

#[tokio::test]
async fn every_proven_read_is_answered_to_the_last_second_of_its_proof() {
    let (world, caller) = dead_upstream().await;
    let start = caller
        .get(&label_path(1))
        .send()
        .await
        .field("age")
        .expect("an age")
        .parse::<u64>()
        .expect("seconds");
    for _ in start..299 {
        caller.get(&label_path(1)).send().await.assert_label("a-1");
        world.proxy.advance_seconds(1);
    }
    caller.get(&label_path(1)).send().await.assert_label("a-1");
    // An age is told in whole seconds: it may have been just that.
    world.proxy.advance(Duration::from_millis(1_010));
    caller.get(&label_path(1)).send().await.assert_own_failure(&[502, 503]);
}

#[tokio::test]
async fn one_probe_heals_it() {
    let (world, caller) = dead_upstream().await;
    world.upstream.heal_networking().await;
    world.proxy.advance_seconds(1);
    let gate = world.upstream.hold(|_| true);
    let probe = caller.get(CAMPAIGNS).spawn();
    gate.held(1).await;
    for _ in 0..5 {
        caller.get(CAMPAIGNS).send().await.assert_error(ErrorKind::Unreachable);
    }
    assert_eq!(gate.count(), 1);
    gate.release();
    probe.await.expect("no panic").assert_status(200);
    let replies = together(5, |_| caller.get(CAMPAIGNS).send()).await;
    for reply in &replies {
        reply.assert_status(200);
    }
    assert!(!is_open(&world).await);
}

#[tokio::test]
async fn a_probe_goes_once_a_second_while_it_stays_dead() {
    let (world, caller) = dead_upstream().await;
    let probes = || world.proxy.metric("instantly_proxy_upstream_requests_total", &[("status", "error")]);
    let before = probes().await;
    for _ in 0..100 {
        let _ = caller.get(CAMPAIGNS).send().await.assert_own_failure(&[502, 503]);
        world.proxy.advance(Duration::from_millis(100));
    }
    let during = probes().await - before;
    // A GET that failed may be tried once more, within the tenth.
    assert!((9.0..=12.0).contains(&during), "{during}");
}

#[tokio::test]
async fn answers_of_whatever_status_never_open_it() {
    let world = world();
    let caller = world.proven("a", 1).await;
    world.upstream.script(|_| Some(Answer::json(503, error(503, "down"))));
    for _ in 0..50 {
        caller.get(CAMPAIGNS).send().await.assert_refused_upstream(503);
    }
    assert!(!is_open(&world).await);
}

/// Enough calls that a tenth of them is a retry.
async fn offer(caller: &Caller, calls: usize) {
    for _ in 0..calls {
        caller.get(CAMPAIGNS).send().await.assert_status(200);
    }
}

#[tokio::test]
async fn a_read_that_failed_on_the_way_is_tried_once_more() {
    for status in [502, 503, 504] {
        for target in [label_path(2), CAMPAIGNS.to_owned()] {
            let world = world();
            let caller = world.proven("a", 1).await;
            offer(&caller, 10).await;
            let tries = Arc::new(AtomicUsize::new(0));
            let (counter, failing) = (Arc::clone(&tries), target.clone());
            world.upstream.script(move |request| {
                (request.target == failing && counter.fetch_add(1, Ordering::SeqCst) == 0)
                    .then(|| Answer::json(status, error(status, "once")))
            });
            caller.get(&target).send().await.assert_status(200);
            assert_eq!(tries.load(Ordering::SeqCst), 2);
            let answered = [("result", "answered")];
            world.proxy.metric_reaches("instantly_proxy_retries_total", &answered, 1.0).await;
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_once_more() {
    let world = world();
    let caller = world.proven("a", 1).await;
    offer(&caller, 20).await;
    world.upstream.break_networking().await;
    while caller.get(&label_path(3)).send().await.error_kind() != Some(ErrorKind::ConnectFailed) {}
    let retries = world.proxy.metric("instantly_proxy_retries_total", &[("result", "failed")]).await;
    assert!((1.0..=2.0).contains(&retries), "{retries}");
}

#[tokio::test]
async fn other_failures_and_writes_are_tried_once() {
    let world = world();
    let caller = world.proven("a", 1).await;
    offer(&caller, 50).await;
    for status in [400, 404, 500, 501] {
        world.upstream.reply_to("GET", "/api/v2/once", Answer::json(status, "{}"));
        caller.get("/api/v2/once").send().await.assert_refused_upstream(status);
    }
    assert_eq!(world.upstream.count_of(|request| request.is("GET", "/api/v2/once")), 4);
    world.upstream.script(|request| (request.method != "GET").then(|| Answer::json(503, "{}")));
    caller.patch(&label_path(1), "{}").send().await.assert_refused_upstream(503);
    caller.delete(&label_path(1)).send().await.assert_refused_upstream(503);
    caller.post(LABELS, "{}").send().await.assert_refused_upstream(503);
    caller.post(CAMPAIGNS, "{}").send().await.assert_refused_upstream(503);
    caller.delete(CAMPAIGNS).send().await.assert_refused_upstream(503);
    assert_eq!(world.upstream.count_of(|request| request.method != "GET"), 5);
}

#[tokio::test]
async fn a_failing_upstream_gets_a_tenth_more_calls_at_most() {
    let world = World::start_shielded_with(|config| {
        config.cache.list_fill = false;
        config.shield.requests_per_second = 1_000_000.try_into().expect("not zero");
    });
    let caller = world.proven("a", 1).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    world.upstream.script(move |_| {
        counter
            .fetch_add(1, Ordering::SeqCst)
            .is_multiple_of(2)
            .then(|| Answer::json(503, error(503, "half of them")))
    });
    let offered = 400;
    for n in 0..offered {
        let reply = caller.get(CAMPAIGNS).send().await;
        assert!(matches!(reply.status, 200 | 503), "{n}: {reply:?}");
        world.proxy.advance(Duration::from_millis(25));
    }
    let tries = calls.load(Ordering::SeqCst);
    assert!(tries <= offered * 11 / 10, "{tries}");
    assert!(tries > offered, "none was tried again");
}

#[tokio::test]
async fn retries_count_in_the_budget() {
    let world = World::start_shielded_with(|config| {
        config.cache.list_fill = false;
        config.shield.requests_per_minute = 21.try_into().expect("not zero");
    });
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(62);
    offer(&caller, 19).await;
    world.upstream.script(|_| Some(Answer::json(503, error(503, "down"))));
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(503);
    caller.get(CAMPAIGNS).field("prefer", "wait=0").send().await.assert_error(ErrorKind::OverBudget);
    assert_eq!(world.upstream.count(), 1 + 21);
}

#[tokio::test]
async fn a_dead_upstream_is_no_refusal_of_a_key() {
    let (world, caller) = dead_upstream().await;
    world.upstream.heal_networking().await;
    world.proxy.advance_seconds(2);
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    patiently("reads to go on", async { while is_open(&world).await {} }).await;
    assert!(world.upstream.count_of(is_label_read) >= 2);
    assert_eq!(world.vendor.calls(&token("a", 1)), world.upstream.count());
}

#[tokio::test]
async fn a_call_that_may_not_go_takes_the_probe_from_nobody() {
    let world = world();
    let (limited, caller) = (world.proven("a", 1).await, world.proven("b", 1).await);
    let slow_down = Answer::json(429, error(429, "slow down")).field("retry-after", "60");
    world.upstream.reply_to("GET", &label_path(2), slow_down);
    limited.get(&label_path(2)).send().await.assert_refused_upstream(429);
    world.upstream.clear_scripts();
    world.upstream.script(|request| is_label_read(request).then(Answer::hang));
    let before = world.upstream.count();
    let hanging = [3, 4, 5].map(|n| caller.get(&label_path(n)).spawn());
    world.upstream.arrived(before + 3).await;
    patiently("the breaker to open", async {
        while !is_open(&world).await {
            world.proxy.advance_seconds(1);
        }
    })
    .await;
    for call in hanging {
        call.await.expect("no panic").assert_own_failure(&[503, 504]);
    }
    world.upstream.clear_scripts();
    world.proxy.advance_seconds(1);
    // It has a connection that it could use, but not the leave to.
    let turned_away = limited.get(&label_path(6)).field("prefer", "wait=0").send().await;
    turned_away.assert_error(ErrorKind::GateClosed);
    caller.get(&label_path(2)).send().await.assert_label("b-2");
}
