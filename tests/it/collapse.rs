//! Many reads, one fill: what followers share, what they do not, and that no caller's leaving harms another.
//!
//! A follower that came a moment too late is answered by the stored response instead: a test that needs to know which
//! of the two it was sends it on one HTTP/2 connection before a call that goes upstream and comes back.

use std::time::Duration;

use instantly_proxy::config::UpstreamDirectives;
use instantly_proxy::error::ErrorKind;

use crate::support::labels::{CAMPAIGNS, LABELS, error, label, label_path, token};
use crate::support::{Answer, Gate, Reply, World, is_label_read, together};

fn hold_label(world: &World, n: u32) -> Gate {
    world.upstream.hold(move |request| request.is("GET", &label_path(n)))
}

fn shared(reply: &Reply) -> bool {
    reply.cache_status() == "fwd=miss; collapsed" || reply.cache_status().starts_with("hit")
}

#[tokio::test]
async fn a_hundred_reads_of_a_cold_label_are_one_fill() {
    let world = World::start();
    let callers = [world.proven("a", 1).await, world.proven("a", 2).await, world.proven("a", 3).await];
    let gate = hold_label(&world, 2);
    let before = world.label_reads();
    let readers = together(100, |n| callers[n % 3].get(&label_path(2)).send());
    let (replies, ()) = tokio::join!(readers, async {
        gate.held(1).await;
        world.round_trip(&callers[0]).await;
        gate.release();
    });
    assert_eq!(world.label_reads() - before, 1);
    let leaders = replies.iter().filter(|reply| !shared(reply)).count();
    assert_eq!(leaders, 1);
    for reply in &replies {
        reply.assert_label("a-2");
    }
}

#[tokio::test]
async fn a_follower_says_that_it_was_collapsed_and_is_counted_so() {
    let world = World::start();
    let leader = world.proven("a", 1).await;
    let follower = world.proven("a", 2).await.over_http2();
    let gate = hold_label(&world, 2);
    let led = leader.get(&label_path(2)).spawn();
    gate.held(1).await;
    world.round_trip(&follower).await;
    let followed = follower.get(&label_path(2)).spawn();
    tokio::task::yield_now().await;
    world.round_trip(&follower).await;
    gate.release();
    led.await.expect("no panic").assert_miss();
    followed.await.expect("no panic").assert_label("a-2").assert_cache_status("fwd=miss; collapsed");
    let saved = [("by", "collapse")];
    let saved = world.proxy.metric("instantly_proxy_upstream_requests_avoided_total", &saved).await;
    assert!((saved - 1.0).abs() < f64::EPSILON, "{saved}");
}

#[tokio::test]
async fn a_hundred_identical_first_reads_of_one_credential_are_one_call() {
    let world = World::start();
    let caller = world.caller("a", 1);
    let gate = hold_label(&world, 1);
    let readers = together(100, |_| caller.get(&label_path(1)).send());
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
async fn different_labels_and_lists_do_not_share_a_fill() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let gate = world.upstream.hold(is_label_read);
    let targets = [label_path(2), label_path(3), LABELS.to_owned(), format!("{LABELS}?limit=1")];
    let readers = targets.map(|target| caller.get(&target).spawn());
    gate.held(4).await;
    gate.release();
    for reader in readers {
        reader.await.expect("no panic").assert_status(200).assert_miss();
    }
}

#[tokio::test]
async fn a_leader_that_hangs_up_takes_nobody_with_it() {
    let world = World::start();
    world.proven("a", 1).await;
    let follower = world.proven("a", 2).await;
    let gate = hold_label(&world, 2);
    let mut leader = world.proxy.raw().await;
    let bearer = token("a", 1);
    let path = label_path(2);
    leader.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\n\r\n")).await;
    gate.held(1).await;
    let followed = follower.get(&path).spawn();
    drop(leader);
    world.round_trip(&follower).await;
    gate.release();
    let followed = followed.await.expect("no panic");
    assert!(shared(followed.assert_label("a-2")), "{followed:?}");
    assert_eq!(gate.count(), 1);
}

#[tokio::test]
async fn everybody_may_hang_up_and_the_fill_is_still_stored() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let gate = hold_label(&world, 2);
    let mut raw = world.proxy.raw().await;
    let (path, bearer) = (label_path(2), token("a", 1));
    raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\n\r\n")).await;
    gate.held(1).await;
    drop(raw);
    world.round_trip(&caller).await;
    gate.release();
    let reply = caller.get(&path).send().await;
    assert!(shared(reply.assert_label("a-2")), "{reply:?}");
    assert_eq!(gate.count(), 1);
}

#[tokio::test]
async fn a_refusal_is_about_the_leaders_credential_alone() {
    for status in [401, 402, 403, 404] {
        let world = World::start();
        let (leader, follower) = (world.proven("a", 1).await, world.proven("a", 2).await);
        let refused = format!("Bearer {}", token("a", 1));
        world.upstream.script(move |request| {
            let refused =
                request.is("GET", &label_path(2)) && request.field("authorization") == Some(&refused);
            refused.then(|| Answer::json(status, error(status, "No.")))
        });
        let gate = hold_label(&world, 2);
        let led = leader.get(&label_path(2)).spawn();
        gate.held(1).await;
        let followed = follower.get(&label_path(2)).spawn();
        world.round_trip(&follower).await;
        gate.release();
        led.await.expect("no panic").assert_refused_upstream(status);
        followed.await.expect("no panic").assert_label("a-2");
        assert_eq!(gate.count(), 2, "one follower takes over");
    }
}

#[tokio::test]
async fn when_the_label_is_gone_every_credential_hears_it_from_the_vendor() {
    let world = World::start();
    let callers = [world.proven("a", 1).await, world.proven("a", 2).await, world.proven("a", 3).await];
    let gate = hold_label(&world, 7);
    let readers = together(30, |n| callers[n % 3].get(&label_path(7)).send());
    let (replies, ()) = tokio::join!(readers, async {
        gate.held(1).await;
        gate.release();
    });
    for reply in &replies {
        reply.assert_refused_upstream(404);
    }
    for n in 1..=3 {
        assert!(world.vendor.calls(&token("a", n)) >= 2, "key {n} was asked about itself");
    }
}

#[tokio::test]
async fn an_empty_list_answers_the_leader_alone() {
    let world = World::start();
    let (leader, follower) = (world.proven("a", 1).await, world.proven("a", 2).await);
    let target = format!("{LABELS}?interest_status=negative");
    let path = target.clone();
    let gate = world.upstream.hold(move |request| request.is("GET", &path));
    let led = leader.get(&target).spawn();
    gate.held(1).await;
    let followed = follower.get(&target).spawn();
    gate.release();
    for reader in [led, followed] {
        reader.await.expect("no panic").assert_text(r#"{"items":[]}"#);
    }
    assert_eq!(gate.count(), 2);
}

#[tokio::test]
async fn a_server_error_answers_everybody_and_sticks_to_nobody() {
    let world = World::start();
    let callers = [world.proven("a", 1).await, world.proven("a", 2).await];
    world.upstream.reply_to("GET", &label_path(2), Answer::json(500, error(500, "Oops.")));
    let gate = hold_label(&world, 2);
    let readers = together(10, |n| callers[n % 2].get(&label_path(2)).send());
    let (replies, ()) = tokio::join!(readers, async {
        gate.held(1).await;
        world.round_trip(&callers[0]).await;
        gate.release();
    });
    assert!(replies.iter().all(|reply| reply.status >= 500), "{replies:?}");
    world.upstream.clear_scripts();
    callers[0].get(&label_path(2)).send().await.assert_label("a-2");
}

#[tokio::test]
async fn every_read_of_a_silent_flight_times_out_at_its_own_deadline_and_the_key_is_not_stuck() {
    let world = World::start_with(|config| config.upstream.fill_timeout = Duration::from_secs(10));
    let caller = world.proven("a", 1).await;
    world.upstream.reply_to("GET", &label_path(2), Answer::hang());
    let readers = together(5, |_| caller.get(&label_path(2)).send());
    let replies = world.proxy.advancing("five reads to time out", readers).await;
    for reply in &replies {
        reply.assert_error(ErrorKind::UpstreamTimeout);
    }
    world.upstream.clear_scripts();
    world.proxy.advance_seconds(10);
    caller.get(&label_path(3)).send().await.assert_label("a-3");
    caller.get(&label_path(2)).send().await.assert_label("a-2");
}

#[tokio::test]
async fn while_a_first_proof_is_under_way_other_reads_of_the_credential_wait_for_it() {
    let world = World::start();
    world.proven("a", 1).await.get(&label_path(2)).send().await.assert_miss();
    let caller = world.caller("a", 2).over_http2();
    let connecting = caller.get(&label_path(1)).field("cache-control", "only-if-cached");
    connecting.send().await.assert_error(ErrorKind::OnlyIfCached);
    let gate = hold_label(&world, 1);
    let proving = caller.get(&label_path(1)).spawn();
    gate.held(1).await;
    let waiting = caller.get(&label_path(2)).spawn();
    tokio::task::yield_now().await;
    world.round_trip(&caller).await;
    gate.release();
    proving.await.expect("no panic").assert_proof();
    waiting.await.expect("no panic").assert_label("a-2").assert_hit();
}

#[tokio::test]
async fn they_wait_for_one_second_at_most() {
    let world = World::start();
    let caller = world.caller("a", 1);
    let first = hold_label(&world, 1);
    let proving = caller.get(&label_path(1)).spawn();
    first.held(1).await;
    let sent = caller.get(&label_path(2)).send();
    let reply = world.proxy.advancing("a read that waits for a proof", sent).await;
    reply.assert_label("a-2").assert_proof();
    first.release();
    proving.await.expect("no panic").assert_label("a-1");
}

/// R7: what is not stored is nobody else's, so nobody waits for it.
#[tokio::test]
async fn a_label_that_the_api_says_not_to_store_is_fetched_by_each_of_its_readers_at_once() {
    let world = World::start_with(|config| {
        config.cache.lead_labels.upstream_directives = UpstreamDirectives::Respect;
    });
    let readers = [world.proven("a", 1).await, world.proven("a", 2).await, world.proven("a", 3).await];
    world.upstream.script(|request| {
        request
            .is("GET", &label_path(2))
            .then(|| Answer::json(200, label("a", 2, "a-2")).field("cache-control", "no-store"))
    });
    readers[0].get(&label_path(2)).send().await.assert_label("a-2").assert_unstored();
    let gate = hold_label(&world, 2);
    let reading = together(3, |n| readers[n].get(&label_path(2)).send());
    let (replies, ()) = tokio::join!(reading, async {
        gate.held(3).await;
        gate.release();
    });
    for reply in &replies {
        reply.assert_label("a-2").assert_unstored();
    }
}

#[tokio::test]
async fn a_pass_through_call_is_never_shared() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let gate = world.upstream.hold(|request| request.target == CAMPAIGNS);
    let readers = together(5, |_| caller.get(CAMPAIGNS).send());
    let (replies, ()) = tokio::join!(readers, async {
        gate.held(5).await;
        gate.release();
    });
    for reply in &replies {
        reply.assert_status(200).assert_cache_status("fwd=bypass");
    }
}
