//! A proof is an upstream answer, it ages from the moment at which its read was sent, and a refusal ends it.
//!
//! Where a test needs an old proof and a stored response that is still fresh, the label's lifetime is an hour.

use std::time::Duration;

use instantly_proxy::config::Config;

use crate::support::labels::{CAMPAIGNS, LABELS, error, label, label_path, token};
use crate::support::{Answer, Caller, Recorded, Reply, World, is_label_read};

/// Lifetimes far beyond every age of a proof.
fn long_lived(config: &mut Config) {
    config.cache.lead_labels.ttl = Duration::from_secs(3600);
    config.cache.lead_label_lists.ttl = Duration::from_secs(3600);
}

fn carries(request: &Recorded, token: &str) -> bool {
    request.field("authorization").is_some_and(|value| value.ends_with(token))
}

fn refusal(status: u16) -> Answer {
    Answer::json(status, error(status, "No."))
}

/// Label 1 is a hit.
async fn assert_proven(caller: &Caller) {
    caller.get(&label_path(1)).send().await.assert_hit();
}

/// Label 1, although cached, is asked upstream.
async fn assert_unproven(caller: &Caller) {
    caller.get(&label_path(1)).send().await.assert_status(200).assert_proof();
}

#[tokio::test]
async fn a_read_hits_until_its_proof_is_sixty_seconds_old() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(44);
    assert_proven(&caller).await;
    world.round_trip(&caller).await;
    assert_eq!(world.label_reads(), 1, "nothing is proven again before three quarters of the minute");
    let gate = world.upstream.hold(is_label_read);
    world.proxy.advance_seconds(15);
    assert_proven(&caller).await;
    gate.held(1).await;
}

#[tokio::test]
async fn a_credential_that_did_not_read_for_a_minute_is_asked_again() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(61);
    assert_unproven(&caller).await;
    assert_proven(&caller).await;
    assert_eq!(world.label_reads(), 2);
}

/// A cache on the way says nothing of a key now.
#[tokio::test]
async fn a_proof_is_as_old_as_the_answer_that_brings_it() {
    let world = World::start_with(long_lived);
    let caller = world.caller("a", 1);
    let old = |age| Answer::json(200, label("a", 1, "a-1")).field("age", age);
    world.upstream.reply_to("GET", &label_path(1), old("50"));
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    world.proxy.advance_seconds(15);
    world.upstream.clear_scripts();
    assert_unproven(&caller).await;
    // And makes no younger one old.
    world.upstream.reply_to("GET", &label_path(1), old("80"));
    world.proxy.advance_seconds(15);
    caller.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_label("a-1");
    assert_proven(&caller).await;
}

/// However late it was asked for: a cache on the way may have had it since before the refusal.
#[tokio::test]
async fn an_answer_with_an_age_proves_nothing_for_a_key_that_was_refused() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    world.vendor.revoke(&token("a", 1));
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    let old = Answer::json(200, label("a", 3, "a-3")).field("age", "5");
    world.upstream.reply_to("GET", &label_path(3), old);
    caller.get(&label_path(3)).send().await.assert_label("a-3");
    caller.get(&label_path(1)).send().await.assert_refused_upstream(401);
}

#[tokio::test]
async fn use_does_not_lengthen_a_proof() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    for _ in 0..4 {
        world.proxy.advance_seconds(11);
        assert_proven(&caller).await;
    }
    world.proxy.advance_seconds(17);
    assert_unproven(&caller).await;
}

#[tokio::test]
async fn from_three_quarters_of_the_age_on_one_read_proves_in_the_background() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    let gate = world.upstream.hold(is_label_read);
    world.proxy.advance_seconds(46);
    for _ in 0..5 {
        assert_proven(&caller).await;
    }
    gate.held(1).await;
    world.round_trip(&caller).await;
    assert_eq!(gate.count(), 1, "one proof in flight for a credential");
    gate.release();
    world.proxy.metric_reaches("instantly_proxy_proofs_total", &[("result", "renewed")], 1.0).await;
    world.proxy.advance_seconds(40);
    assert_proven(&caller).await;
    assert_eq!(world.label_reads(), 2);
}

#[tokio::test]
async fn a_busy_credential_never_waits_for_its_proof() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    for round in 1..=10 {
        world.proxy.advance_seconds(46);
        assert_proven(&caller).await;
        let renewed = f64::from(round);
        world.proxy.metric_reaches("instantly_proxy_proofs_total", &[("result", "renewed")], renewed).await;
    }
    assert_eq!(world.label_reads(), 11);
}

#[tokio::test]
async fn a_token_revoked_in_silence_stops_within_the_age_of_its_proof() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    world.vendor.revoke(&token("a", 1));
    world.proxy.advance_seconds(40);
    assert_proven(&caller).await;
    world.proxy.advance_seconds(21);
    caller.get(&label_path(1)).send().await.assert_refused_upstream(401);
    caller.get(&label_path(1)).send().await.assert_status(401);
}

#[tokio::test]
async fn a_background_proof_that_is_refused_ends_the_hits() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    world.vendor.revoke(&token("a", 1));
    world.proxy.advance_seconds(46);
    assert_proven(&caller).await;
    world.proxy.metric_reaches("instantly_proxy_proofs_total", &[("result", "refused")], 1.0).await;
    caller.get(&label_path(1)).send().await.assert_status(401);
}

#[tokio::test]
async fn a_401_on_any_path_ends_the_hits_at_once() {
    for target in [CAMPAIGNS.to_owned(), label_path(2), format!("{LABELS}?search=a")] {
        let world = World::start();
        let caller = world.proven("a", 1).await;
        let other = world.proven("a", 2).await;
        world.vendor.revoke(&token("a", 1));
        caller.get(&target).send().await.assert_refused_upstream(401);
        caller.get(&label_path(1)).send().await.assert_status(401);
        assert_proven(&other).await;
    }
}

#[tokio::test]
async fn a_401_to_a_write_ends_the_hits_at_once() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.vendor.revoke(&token("a", 1));
    caller.patch(&label_path(2), r#"{"label":"x"}"#).send().await.assert_refused_upstream(401);
    caller.get(&label_path(1)).send().await.assert_refused_upstream(401);
}

#[tokio::test]
async fn a_401_ends_the_proofs_of_every_credential_with_that_authorization() {
    let world = World::start();
    let plain = world.proven("admin", 1).await;
    let for_b = world.acting_for("b");
    for_b.get(&label_path(1)).send().await.assert_proof();
    world.upstream.script(|request| {
        (request.target == CAMPAIGNS && request.field("x-as-workspace").is_some()).then(|| refusal(401))
    });
    for_b.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    assert_unproven(&plain).await;
    assert_unproven(&for_b).await;
}

#[tokio::test]
async fn a_402_on_any_path_ends_the_proofs_of_this_credential_alone() {
    let world = World::start();
    let plain = world.proven("admin", 1).await;
    let for_b = world.acting_for("b");
    for_b.get(&label_path(1)).send().await.assert_proof();
    world.upstream.script(|request| {
        (request.target == CAMPAIGNS && request.field("x-as-workspace").is_some()).then(|| refusal(402))
    });
    for_b.get(CAMPAIGNS).send().await.assert_refused_upstream(402);
    assert_proven(&plain).await;
    assert_unproven(&for_b).await;
}

#[tokio::test]
async fn a_json_403_on_a_label_path_ends_the_proofs_of_this_credential_alone() {
    let world = World::start();
    let (caller, other) = (world.proven("a", 1).await, world.proven("a", 2).await);
    let refused = token("a", 1);
    world.upstream.script(move |request| {
        (request.target == label_path(2) && carries(request, &refused)).then(|| refusal(403))
    });
    caller.get(&label_path(2)).send().await.assert_refused_upstream(403);
    assert_proven(&other).await;
    assert_unproven(&caller).await;
}

#[tokio::test]
async fn a_refusal_of_a_reply_label_is_one_on_a_label_path() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let path = format!("{LABELS}/ai-reply-label");
    for status in [403, 401, 401, 401] {
        world.upstream.reply_to("POST", &path, refusal(status));
        caller.post(&path, "{}").send().await.assert_refused_upstream(status);
        world.proxy.advance_seconds(15);
        assert_unproven(&caller).await;
    }
}

#[tokio::test]
async fn a_json_403_on_another_path_ends_nothing() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.upstream.reply_to("GET", CAMPAIGNS, refusal(403));
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(403);
    assert_proven(&caller).await;
}

#[tokio::test]
async fn a_403_of_the_edge_ends_nothing() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.upstream.reply_to("GET", CAMPAIGNS, Answer::edge_block());
    world.upstream.reply_to("GET", &label_path(2), Answer::edge_block());
    for target in [CAMPAIGNS.to_owned(), label_path(2)] {
        caller.get(&target).send().await.assert_refused_upstream(403);
        assert_proven(&caller).await;
    }
}

#[tokio::test]
async fn a_200_that_was_asked_for_before_a_refusal_proves_and_stores_nothing() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.upstream.reply_to("GET", CAMPAIGNS, refusal(401));
    let gate = world.upstream.hold(|request| request.target == label_path(2));
    let late = caller.get(&label_path(2)).spawn();
    gate.held(1).await;
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    gate.release();
    let late = late.await.expect("no panic");
    assert!(!late.cache_status().contains("stored"), "{late:?}");
    assert_unproven(&caller).await;
    caller.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
}

#[tokio::test]
async fn a_follower_whose_proof_ended_meanwhile_is_not_served() {
    let world = World::start();
    let (leader, follower) = (world.proven("a", 1).await, world.proven("a", 2).await);
    let gate = world.upstream.hold(|request| request.target == label_path(2));
    let led = leader.get(&label_path(2)).spawn();
    gate.held(1).await;
    let followed = follower.get(&label_path(2)).spawn();
    world.round_trip(&follower).await;
    world.vendor.revoke(&token("a", 2));
    follower.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    gate.release();
    led.await.expect("no panic").assert_label("a-2");
    followed.await.expect("no panic").assert_status(401);
}

#[tokio::test]
async fn a_read_after_a_refusal_gets_no_answer_that_was_asked_for_before_it() {
    let world = World::start();
    let caller = world.caller("a", 1);
    let gate = world.upstream.hold(is_label_read);
    let before = caller.get(&label_path(1)).spawn();
    gate.held(1).await;
    world.vendor.revoke(&token("a", 1));
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    let after = caller.get(&label_path(1)).spawn();
    world.round_trip(&caller).await;
    gate.release();
    before.await.expect("no panic").assert_label("a-1");
    after.await.expect("no panic").assert_refused_upstream(401);
}

#[tokio::test]
async fn reads_that_share_a_refusal_ask_once() {
    let world = World::start();
    let caller = world.caller("a", 1).over_http2();
    world.vendor.revoke(&token("a", 1));
    world.round_trip(&caller).await;
    let gate = world.upstream.hold(is_label_read);
    let readers: Vec<_> = (0..8).map(|_| caller.get(&label_path(1)).spawn()).collect();
    gate.held(1).await;
    // On the same connection: whatever was sent before it has been begun when it is back.
    world.round_trip(&caller).await;
    gate.release();
    for reader in readers {
        reader.await.expect("no panic").assert_refused_upstream(401);
    }
    assert_eq!(world.label_reads(), 1);
}

#[tokio::test]
async fn a_401_for_want_of_a_scope_is_learnt_and_then_ends_nothing() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.upstream.reply_to("GET", CAMPAIGNS, refusal(401));
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    assert_unproven(&caller).await;
    world.proxy.advance_seconds(15);
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    assert_proven(&caller).await;
    world.upstream.reply_to("GET", "/api/v2/accounts", refusal(401));
    caller.get("/api/v2/accounts").send().await.assert_refused_upstream(401);
    assert_unproven(&caller).await;
}

#[tokio::test]
async fn a_401_on_a_label_path_always_counts() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.upstream.reply_to("GET", &label_path(2), refusal(401));
    for _ in 0..3 {
        caller.get(&label_path(2)).send().await.assert_refused_upstream(401);
        world.proxy.advance_seconds(15);
        assert_unproven(&caller).await;
    }
}

#[tokio::test]
async fn a_moved_token_is_served_nothing_of_its_old_organization() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    world.vendor.admit(&token("a", 1), "b");
    world.proxy.advance_seconds(61);
    let first = caller.get(&label_path(1)).send().await;
    assert!(!first.text().contains("a-1"), "{first:?}");
    for _ in 0..2 {
        caller.get(&label_path(1)).send().await.assert_label("b-1");
    }
}

/// A read while the upstream fails: time goes on, because the proxy may wait a second for its own attempt.
async fn read_in_outage(world: &World, caller: &Caller) -> Reply {
    let sent = caller.get(&label_path(1)).send();
    world.proxy.advancing("a read while the upstream is down", sent).await
}

#[tokio::test]
async fn a_dead_upstream_is_outlived_until_the_proof_is_five_minutes_old() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    world.upstream.break_networking().await;
    for _ in 0..4 {
        world.proxy.advance_seconds(55);
        read_in_outage(&world, &caller).await.assert_label("a-1").assert_hit();
    }
    world.proxy.advance_seconds(100);
    read_in_outage(&world, &caller).await.assert_own_failure(&[502, 503, 504]);
    world.upstream.heal_networking().await;
    world.proxy.advance_seconds(10);
    assert_unproven(&caller).await;
    assert_proven(&caller).await;
}

#[tokio::test]
async fn a_failing_upstream_is_outlived_too_and_a_silent_one() {
    for answer in [refusal(500), Answer::edge_block(), Answer::hang(), Answer::close()] {
        let world = World::start_with(long_lived);
        let caller = world.proven("a", 1).await;
        world.upstream.script(move |_| Some(answer.clone()));
        world.proxy.advance_seconds(61);
        read_in_outage(&world, &caller).await.assert_label("a-1").assert_hit();
    }
}

#[tokio::test]
async fn a_read_that_waits_out_a_slow_upstream_is_served_nothing_that_ended_meanwhile() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(61);
    let gate = world.upstream.hold(is_label_read);
    let waiting = caller.get(&label_path(1)).spawn();
    gate.held(1).await;
    world.vendor.revoke(&token("a", 1));
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    world.proxy.advance_seconds(2);
    world.round_trip(&caller).await;
    gate.release();
    // If its patience has not ended yet, what it gets is the vendor's own answer to its own, earlier call.
    let answer = waiting.await.expect("no panic");
    let own = answer.status == 200 && answer.cache_status() == "fwd=request; detail=proof";
    assert!(own || answer.status == 401, "{answer:?}");
    caller.get(&label_path(1)).send().await.assert_status(401);
}

#[tokio::test]
async fn a_read_that_waits_out_a_slow_upstream_is_served_nothing_that_was_purged_meanwhile() {
    let world = World::start_with(long_lived);
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(61);
    let gate = world.upstream.hold(is_label_read);
    let waiting = caller.get(&label_path(1)).spawn();
    gate.held(1).await;
    world.vendor.put_label("a", 1, "later");
    world.proxy.admin_post("/api/purge", "{}").send().await.assert_status(200);
    world.proxy.advance_seconds(2);
    gate.held(2).await;
    gate.release();
    waiting.await.expect("no panic").assert_label("later").assert_proof();
}

#[tokio::test]
async fn an_outage_serves_nobody_who_never_had_a_proof() {
    let world = World::start();
    world.proven("a", 1).await;
    world.upstream.break_networking().await;
    let unproven = world.caller("a", 2);
    read_in_outage(&world, &unproven).await.assert_own_failure(&[502, 503, 504]);
}
