//! Stale answers and refreshes ahead: when a response past its lifetime is served, how it says so, and when it is not.

use std::time::Duration;

use instantly_proxy::config::{Config, UpstreamDirectives};

use crate::support::labels::{CAMPAIGNS, LABELS, error, label, label_path, page};
use crate::support::{Answer, Caller, Reply, World, is_label_read, patiently};

/// Freshness lifetime here; after [`PAST`] of them a stored response is stale, whatever its jitter.
const TTL: u64 = 20;
/// Just after the end of every lifetime.
const PAST: u64 = TTL + 1;

/// A world of single reads whose lifetimes are short against a proof's, with these stale windows in seconds.
fn world(revalidate: u64, on_error: u64) -> World {
    World::start_shielded_with(|config| short_lived(config, revalidate, on_error))
}

fn short_lived(config: &mut Config, revalidate: u64, on_error: u64) {
    config.cache.list_fill = false;
    config.cache.write_through = false;
    config.cache.lead_labels.ttl = Duration::from_secs(TTL);
    config.cache.lead_labels.stale_while_revalidate = Duration::from_secs(revalidate);
    config.cache.lead_labels.stale_if_error = Duration::from_secs(on_error);
}

/// It is label 1 as stored before, past its lifetime by `staleness` seconds at least, and says why it was served.
#[track_caller]
fn assert_stale(reply: &Reply, staleness: u64, detail: &str) {
    reply.assert_label("a-1");
    let (least, most) =
        (i64::try_from(staleness).expect("small"), i64::try_from(staleness + TTL / 10).expect("small"));
    assert!((least..=most).contains(&-reply.ttl()), "{reply:?}");
    reply.assert_age(TTL + staleness);
    assert!(reply.cache_status().ends_with(&format!("; detail={detail}")), "{reply:?}");
}

/// Reads label 1 until it is younger than `age` seconds: what goes on behind an answer has ended.
#[track_caller]
fn young_again<'a>(caller: &'a Caller, age: u64) -> impl Future<Output = ()> + 'a {
    patiently("the refresh to end", async move {
        loop {
            let reply = caller.get(&label_path(1)).send().await;
            if reply.field("age").is_some_and(|now| now.parse::<u64>().expect("seconds") < age) {
                return;
            }
        }
    })
}

fn upstream_answers(world: &World, answer: &Answer) {
    let answer = answer.clone();
    world.upstream.script(move |_| Some(answer.clone()));
}

#[tokio::test]
async fn a_stale_label_is_served_while_one_fill_runs_behind_it() {
    let world = world(10, 0);
    let caller = world.proven("a", 1).await;
    world.vendor.put_label("a", 1, "new");
    world.proxy.advance_seconds(PAST);
    let gate = world.upstream.hold(is_label_read);
    for _ in 0..5 {
        assert_stale(&caller.get(&label_path(1)).send().await, 1, "stale-revalidating");
    }
    gate.held(1).await;
    gate.release();
    young_again(&caller, 1).await;
    caller.get(&label_path(1)).send().await.assert_label("new").assert_hit();
    assert_eq!(world.label_reads(), 2);
    let refreshes = [("purpose", "refresh"), ("status", "2xx")];
    world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", &refreshes, 1.0).await;
}

#[tokio::test]
async fn failing_answers_are_replaced_by_the_stale_label() {
    for status in [500, 502, 503, 504] {
        let world = world(0, 100);
        let caller = world.proven("a", 1).await;
        world.proxy.advance_seconds(PAST);
        upstream_answers(&world, &Answer::json(status, error(status, "no")));
        assert_stale(&caller.get(&label_path(1)).send().await, 1, "stale-error");
        world.upstream.clear_scripts();
        world.proxy.advance_seconds(5);
        caller.get(&label_path(1)).send().await.assert_label("a-1").assert_miss();
    }
}

#[tokio::test]
async fn a_silent_upstream_is_replaced_by_the_stale_label_at_the_deadline() {
    let world = world(0, 100);
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(PAST);
    upstream_answers(&world, &Answer::hang());
    let reply = world.proxy.advancing("a stale answer", caller.get(&label_path(1)).send()).await;
    assert!(reply.assert_label("a-1").cache_status().ends_with("detail=stale-error"), "{reply:?}");
}

#[tokio::test]
async fn a_refused_connection_is_replaced_by_the_stale_label() {
    let world = world(0, 100);
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(PAST);
    world.upstream.break_networking().await;
    assert_stale(&caller.get(&label_path(1)).send().await, 1, "stale-error");
}

#[tokio::test]
async fn an_upstream_429_is_replaced_by_the_stale_label() {
    let world = world(0, 100);
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(PAST);
    upstream_answers(&world, &Answer::json(429, error(429, "slow down")).field("retry-after", "30"));
    assert_stale(&caller.get(&label_path(1)).send().await, 1, "stale-limit");
    let before = world.upstream.count();
    assert_stale(&caller.get(&label_path(1)).send().await, 1, "stale-limit");
    assert_eq!(world.upstream.count(), before, "the gate is closed");
}

#[tokio::test]
async fn a_short_budget_of_our_own_is_answered_from_the_stale_label() {
    let world = World::start_shielded_with(|config| {
        short_lived(config, 0, 100);
        config.shield.requests_per_second = 3.try_into().expect("not zero");
    });
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(PAST);
    for _ in 0..3 {
        caller.get(CAMPAIGNS).send().await.assert_status(200);
    }
    let before = world.upstream.count();
    assert_stale(&caller.get(&label_path(1)).send().await, 1, "stale-limit");
    assert_eq!(world.upstream.count(), before);
}

#[tokio::test]
async fn max_stale_narrows_the_windows_and_never_widens_them() {
    let world = world(0, 30);
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(TTL + 10);
    upstream_answers(&world, &Answer::json(500, error(500, "no")));
    let read = |directive: &str| caller.get(&label_path(1)).field("cache-control", directive).send();
    for narrow in ["max-stale=0", "max-stale=5", "min-fresh=1", "max-age=15", "no-cache"] {
        read(narrow).await.assert_refused_upstream(500);
    }
    for wide in ["max-stale", "max-stale=20", "max-stale=86400"] {
        assert_stale(&read(wide).await, 10, "stale-error");
    }
    world.proxy.advance_seconds(20);
    read("max-stale=86400").await.assert_refused_upstream(500);
}

#[tokio::test]
async fn each_window_ends() {
    let world = world(5, 10);
    let caller = world.proven("a", 1).await;
    upstream_answers(&world, &Answer::json(500, error(500, "no")));
    world.proxy.advance_seconds(TTL + 6);
    assert_stale(&caller.get(&label_path(1)).send().await, 6, "stale-error");
    world.proxy.advance_seconds(4);
    caller.get(&label_path(1)).send().await.assert_refused_upstream(500);
}

#[tokio::test]
async fn nothing_stale_is_served_beyond_the_proof_in_an_outage() {
    let world = world(0, 3600);
    let caller = world.proven("a", 1).await;
    upstream_answers(&world, &Answer::json(500, error(500, "no")));
    for second in (30..300).step_by(10) {
        world.proxy.advance_seconds(if second == 30 { 30 } else { 10 });
        let reply = caller.get(&label_path(1)).send().await;
        assert_stale(&reply, second - TTL, "stale-error");
    }
    world.proxy.advance_seconds(11);
    caller.get(&label_path(1)).send().await.assert_refused_upstream(500);
    world.caller("a", 2).get(&label_path(1)).send().await.assert_refused_upstream(500);
}

#[tokio::test]
async fn nothing_from_before_a_write_is_served_stale() {
    let world = world(3600, 3600);
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(PAST);
    caller.patch(&label_path(1), r#"{"label":"new"}"#).send().await.assert_status(200);
    upstream_answers(&world, &Answer::json(500, error(500, "no")));
    caller.get(&label_path(1)).send().await.assert_refused_upstream(500);
}

#[tokio::test]
async fn what_was_read_while_a_write_settled_is_never_served_stale() {
    let world = world(3600, 3600);
    let caller = world.proven("a", 1).await;
    caller.patch(&label_path(1), r#"{"label":"new"}"#).send().await.assert_status(200);
    caller.get(&label_path(1)).send().await.assert_label("new").assert_miss();
    world.proxy.advance_seconds(2);
    upstream_answers(&world, &Answer::json(500, error(500, "no")));
    caller.get(&label_path(1)).send().await.assert_refused_upstream(500);
}

#[tokio::test]
async fn a_label_that_is_read_is_refreshed_before_it_becomes_stale() {
    let world = World::start_shielded_with(|config| {
        short_lived(config, 0, 0);
        (config.proof.max_age, config.proof.outage_max_age) =
            (Duration::from_secs(300), Duration::from_secs(300));
    });
    let caller = world.proven("a", 1).await;
    for _ in 0..300 {
        world.proxy.advance(Duration::from_millis(200));
        let reply = caller.get(&label_path(1)).send().await;
        // No later than now the refresh has been asked for: the last tenth begins 1.8 s before the end at the latest.
        if reply.assert_hit().ttl() < 1 {
            // It was asked for up to two seconds ago.
            young_again(&caller, 5).await;
        }
    }
    // Three lifetimes of 18 to 20 s, each cut by a tenth at most.
    assert!((3..=5).contains(&(world.label_reads() - 1)), "{}", world.label_reads());
}

#[tokio::test]
async fn nothing_is_refreshed_that_nobody_reads() {
    let world = world(3600, 3600);
    let caller = world.proven("a", 1).await;
    for _ in 0..20 {
        world.proxy.advance_seconds(2);
        world.round_trip(&caller).await;
    }
    assert_eq!(world.label_reads(), 1);
}

#[tokio::test]
async fn the_upstreams_directives_count_where_they_are_respected() {
    // (field, stored where respected, seconds for which it is fresh then)
    let rows = [
        ("no-store", false, 0),
        ("private", false, 0),
        ("no-cache", false, 0),
        ("max-age=0", false, 0),
        ("max-age=garbage", false, 0),
        ("max-age=10", true, 10),
        ("public, max-age=3600", true, TTL),
        ("public", true, TTL),
    ];
    for (directive, stored, lifetime) in rows {
        for respect in [true, false] {
            let world = World::start_shielded_with(|config| {
                short_lived(config, 0, 0);
                let directives =
                    if respect { UpstreamDirectives::Respect } else { UpstreamDirectives::Ignore };
                config.cache.lead_labels.upstream_directives = directives;
            });
            let answer = Answer::json(200, label("a", 1, "a-1")).field("cache-control", directive);
            world.upstream.reply_to("GET", &label_path(1), answer);
            let caller = world.proven("a", 1).await;
            let lifetime = if respect { lifetime } else { TTL };
            let again = caller.get(&label_path(1)).send().await;
            let hit = again.cache_status().starts_with("hit");
            assert_eq!(hit, stored || !respect, "{directive}, respected: {respect}: {again:?}");
            // Nine tenths of it are fresh whatever the jitter; all of it is over when it is over.
            world.proxy.advance_seconds(lifetime);
            let later = caller.get(&label_path(1)).send().await;
            assert!(later.cache_status().starts_with("fwd=miss"), "{directive}: {later:?}");
        }
    }
}

#[tokio::test]
async fn the_upstreams_age_counts() {
    let world = World::start_shielded_with(|config| {
        short_lived(config, 0, 0);
        config.cache.lead_labels.upstream_directives = UpstreamDirectives::Respect;
    });
    let aged =
        Answer::json(200, label("a", 1, "a-1")).field("cache-control", "max-age=15").field("age", "10");
    world.upstream.reply_to("GET", &label_path(1), aged);
    let caller = world.proven("a", 1).await;
    caller.get(&label_path(1)).send().await.assert_hit();
    world.proxy.advance_seconds(5);
    caller.get(&label_path(1)).send().await.assert_miss();
}

#[tokio::test]
async fn without_a_window_a_failure_is_told() {
    let world = world(0, 0);
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(PAST);
    world.upstream.break_networking().await;
    caller.get(&label_path(1)).send().await.assert_own_failure(&[502]);
}

#[tokio::test]
async fn a_failing_upstream_is_not_asked_again_by_every_stale_read() {
    for (revalidate, on_error) in [(100, 0), (0, 100)] {
        let world = world(revalidate, on_error);
        let caller = world.proven("a", 1).await;
        world.proxy.advance_seconds(PAST);
        upstream_answers(&world, &Answer::json(500, error(500, "no")));
        for _ in 0..100 {
            caller.get(&label_path(1)).send().await.assert_label("a-1");
            world.proxy.advance(Duration::from_millis(100));
        }
        // One attempt in two seconds, and the first.
        assert!(world.label_reads() <= 7, "{} calls", world.label_reads() - 1);
    }
}

/// What the upstream said of a list, and what the operator says of labels: (directives of lists, of labels, what the list
/// says, seconds after which a label of it is read, whether it is still fresh then).
#[tokio::test]
async fn labels_that_a_list_brings_keep_to_the_rules_of_labels() {
    use UpstreamDirectives::{Ignore, Respect};
    let rows = [
        (Ignore, Respect, "no-store", 0, false),
        (Ignore, Respect, "max-age=10", 8, true),
        (Ignore, Respect, "max-age=10", 10, false),
        (Respect, Ignore, "public", 30, true),
        (Respect, Respect, "max-age=3600", 30, true),
        (Ignore, Ignore, "no-store", 30, true),
    ];
    for (of_lists, of_labels, directive, seconds, fresh) in rows {
        let world = World::start_by_default_with(|config| {
            config.cache.lead_label_lists.ttl = Duration::from_secs(20);
            config.cache.lead_labels.stale_while_revalidate = Duration::ZERO;
            config.cache.lead_label_lists.upstream_directives = of_lists;
            config.cache.lead_labels.upstream_directives = of_labels;
        });
        let list = page(&[label("a", 1, "a-1"), label("a", 2, "a-2")], None);
        let list = Answer::json(200, list).field("cache-control", directive);
        world.upstream.reply_to("GET", LABELS, list);
        let caller = world.caller("a", 1);
        caller.get(LABELS).send().await.assert_status(200);
        world.proxy.advance_seconds(seconds);
        let reply = caller.get(&label_path(2)).send().await;
        let hit = reply.assert_label("a-2").cache_status().starts_with("hit");
        assert_eq!(hit, fresh, "{of_lists:?} {of_labels:?} {directive} {seconds}: {reply:?}");
    }
}

#[tokio::test]
async fn what_a_write_answered_is_stored_as_its_directives_allow() {
    for (directive, seconds, fresh) in
        [("no-store", 0, false), ("max-age=10", 8, true), ("max-age=10", 10, false)]
    {
        let world = World::start_shielded_with(|config| {
            config.cache.list_fill = false;
            config.cache.lead_labels.stale_while_revalidate = Duration::ZERO;
            config.cache.lead_labels.upstream_directives = UpstreamDirectives::Respect;
        });
        let caller = world.proven("a", 1).await;
        let answer = Answer::json(200, label("a", 1, "new")).field("cache-control", directive);
        world.upstream.reply_to("PATCH", &label_path(1), answer);
        caller.patch(&label_path(1), "{}").send().await.assert_label("new");
        world.proxy.advance_seconds(seconds);
        let reply = caller.get(&label_path(1)).send().await;
        assert_eq!(reply.cache_status().starts_with("hit"), fresh, "{directive} {seconds}: {reply:?}");
    }
}
