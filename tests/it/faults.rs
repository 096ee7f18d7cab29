//! A broken upstream costs the answers that need it, and nothing afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use instantly_proxy::config::Config;
use instantly_proxy::error::ErrorKind;

use crate::support::labels::{CAMPAIGNS, error, label, label_path, token};
use crate::support::{Answer, Caller, World, is_label_read, together};

/// The shortest time-outs that a test needs to tell apart.
fn impatient(config: &mut Config) {
    config.upstream.fill_timeout = Duration::from_secs(10);
    config.upstream.first_byte_timeout = Duration::from_secs(20);
    config.upstream.idle_timeout = Duration::from_secs(15);
}

/// Everything works: what is cached, what is not, what passes through, what writes.
///
/// The first read goes the way of every fill: what failed before it has ended when it is back.
async fn assert_sound(world: &World, caller: &Caller) {
    world.upstream.clear_scripts();
    caller.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_label("a-1");
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    caller.get(CAMPAIGNS).send().await.assert_status(200);
    caller.patch(&label_path(3), r#"{"label":"changed"}"#).send().await.assert_label("changed");
    caller.get(&label_path(3)).send().await.assert_label("changed");
}

#[tokio::test]
async fn an_upstream_that_refuses_connections_is_a_502_and_hits_go_on() {
    let world = World::start_with(impatient);
    let caller = world.proven("a", 1).await;
    world.upstream.break_networking().await;
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    for target in [label_path(2), CAMPAIGNS.to_owned()] {
        let sent = caller.get(&target).send();
        let reply = world.proxy.advancing("a call that cannot connect", sent).await;
        reply.assert_own_failure(&[502, 503, 504]);
    }
    let sent = caller.post(CAMPAIGNS, "{}").send();
    world.proxy.advancing("a call that cannot connect", sent).await.assert_own_failure(&[502, 503, 504]);
    world.upstream.heal_networking().await;
    world.proxy.advance_seconds(10);
    assert_sound(&world, &caller).await;
}

#[tokio::test]
async fn a_read_of_a_silent_upstream_ends_at_its_own_deadline() {
    let world = World::start_with(impatient);
    let caller = world.proven("a", 1).await;
    world.upstream.script(|request| is_label_read(request).then(Answer::hang));
    let reading = caller.get(&label_path(2)).spawn();
    world.upstream.arrived(2).await;
    world.proxy.advance(Duration::from_millis(9_900));
    caller.get(&label_path(1)).send().await.assert_hit();
    assert!(!reading.is_finished(), "not before its time");
    world.proxy.advance(Duration::from_millis(200));
    reading.await.expect("no panic").assert_error(ErrorKind::UpstreamTimeout);
    world.proxy.advance_seconds(10);
    assert_sound(&world, &caller).await;
}

#[tokio::test]
async fn a_silent_upstream_does_not_hold_the_reads_of_others() {
    let world = World::start_with(impatient);
    let (a, b) = (world.proven("a", 1).await, world.proven("b", 1).await);
    let gate = world.upstream.hold(|request| request.is("GET", &label_path(2)));
    let stuck = a.get(&label_path(2)).spawn();
    gate.held(1).await;
    b.get(&label_path(3)).send().await.assert_label("b-3").assert_miss();
    a.get(&label_path(3)).send().await.assert_label("a-3").assert_miss();
    a.get(CAMPAIGNS).send().await.assert_status(200);
    gate.release();
    stuck.await.expect("no panic").assert_label("a-2");
}

#[tokio::test]
async fn a_pass_through_call_waits_longer_than_a_read_and_then_is_a_504() {
    let world = World::start_with(impatient);
    let caller = world.proven("a", 1).await;
    world.upstream.reply_to("GET", CAMPAIGNS, Answer::hang());
    let calling = caller.get(CAMPAIGNS).spawn();
    world.upstream.arrived(2).await;
    world.proxy.advance_seconds(14);
    caller.get(&label_path(1)).send().await.assert_hit();
    assert!(!calling.is_finished(), "not before its time");
    let calling = async { calling.await.expect("no panic") };
    world.proxy.advancing("a call to time out", calling).await.assert_error(ErrorKind::UpstreamTimeout);
    assert_sound(&world, &caller).await;
}

#[tokio::test]
async fn an_answer_that_stops_midway_ends() {
    let world = World::start_with(impatient);
    let caller = world.proven("a", 1).await;
    world.upstream.reply_to("GET", &label_path(2), Answer::json(200, label("a", 2, "a-2")).stall_after(30));
    let reading = caller.get(&label_path(2)).send();
    let reply = world.proxy.advancing("a read to time out", reading).await;
    reply.assert_own_failure(&[502, 504]);
    world.upstream.reply_to("GET", CAMPAIGNS, Answer::json(200, "abcdef").stall_after(3));
    let calling = caller.get(CAMPAIGNS).attempt();
    let outcome = world.proxy.advancing("a call to be cut", calling).await;
    assert!(outcome.as_ref().map_or(true, |reply| reply.status >= 500), "{outcome:?}");
    world.proxy.advance_seconds(10);
    assert_sound(&world, &caller).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_is_a_502_and_the_next_one_works() {
    for answer in [
        Answer::close(),
        Answer::json(200, label("a", 2, "a-2")).cut_after(40),
        Answer::raw("garbage\r\n\r\n"),
    ] {
        let world = World::start_with(impatient);
        let caller = world.proven("a", 1).await;
        world.upstream.script(move |_| Some(answer.clone()));
        caller.get(&label_path(2)).send().await.assert_error(ErrorKind::BadUpstreamAnswer);
        let outcome = caller.post(CAMPAIGNS, "{}").attempt().await;
        assert!(outcome.as_ref().map_or(true, |reply| reply.status == 502), "{outcome:?}");
        assert_sound(&world, &caller).await;
    }
}

#[tokio::test]
async fn a_read_that_failed_at_once_is_tried_once_more_and_a_post_never() {
    let world = World::start_with(impatient);
    let caller = world.proven("a", 1).await;
    for status in [502, 503, 504] {
        world.upstream.clear_scripts();
        let answer = Answer::json(status, error(status, "Oops."));
        world.upstream.script(move |request| (request.target != label_path(1)).then(|| answer.clone()));
        let before = world.upstream.count();
        let posted = caller.post(CAMPAIGNS, "{}").send().await;
        posted.assert_refused_upstream(status);
        assert_eq!(world.upstream.count() - before, 1, "{status}");
        let read = caller.get(&label_path(2)).send().await;
        assert!(read.status >= 500, "{read:?}");
        assert!(world.upstream.count() - before <= 3, "{status}: once more at most");
    }
}

#[tokio::test]
async fn a_flood_of_failures_leaves_no_key_stuck() {
    let world = World::start_with(impatient);
    let caller = world.proven("a", 1).await;
    world.upstream.script(|request| {
        let n = request.connection + request.target.len();
        Some(if n.is_multiple_of(2) { Answer::close() } else { Answer::json(500, error(500, "Oops.")) })
    });
    let readers = together(60, |n| {
        let path = label_path(2 + u32::try_from(n % 5).expect("small"));
        caller.get(&path).send()
    });
    let replies = world.proxy.advancing("sixty reads to fail", readers).await;
    assert!(replies.iter().all(|reply| reply.status >= 500), "{replies:?}");
    world.proxy.advance_seconds(10);
    assert_sound(&world, &caller).await;
}

#[tokio::test]
async fn callers_that_leave_take_nothing_with_them() {
    let world = World::start_with(impatient);
    let caller = world.proven("a", 1).await;
    let gate = world.upstream.hold(|request| request.target != label_path(1));
    let token = token("a", 1);
    for path in [label_path(2), CAMPAIGNS.to_owned()] {
        for _ in 0..10 {
            let mut raw = world.proxy.raw().await;
            raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"))
                .await;
            drop(raw);
        }
    }
    caller.get(&label_path(1)).send().await.assert_hit();
    gate.release();
    assert_sound(&world, &caller).await;
}

#[tokio::test]
async fn a_reader_that_stalls_in_a_download_is_cut_and_holds_no_connection_up_or_down() {
    let world = World::start_with(impatient);
    let download = Answer::body(200, "application/octet-stream", vec![b'd'; 64 * 1024 * 1024]);
    world.upstream.reply_to("GET", CAMPAIGNS, download);
    let mut raw = world.proxy.raw().await;
    let token = token("a", 1);
    raw.send(format!("GET {CAMPAIGNS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
    world.upstream.arrived(1).await;
    let cut = async { while world.proxy.metric("instantly_proxy_connections", &[]).await > 0.0 {} };
    world.proxy.advancing_unconnected("a stalled reader to be cut", cut).await;
    drop(raw);
}

#[tokio::test]
async fn a_suspended_machine_finds_its_stored_answers_old() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.vendor.put_label("a", 1, "later");
    world.proxy.clock().jump_wall_ahead(Duration::from_secs(3600));
    caller.get(&label_path(1)).send().await.assert_label("later").assert_proof();
}

/// R1: by either clock, also where the first try failed.
#[tokio::test]
async fn a_proof_is_no_younger_than_the_try_that_gave_it_after_a_wall_clock_was_set_back() {
    let world = World::start();
    let caller = world.caller("a", 1);
    let has_failed = AtomicBool::new(false);
    world.upstream.script(move |request| {
        let fails = is_label_read(request) && !has_failed.swap(true, Ordering::Relaxed);
        fails.then(|| Answer::json(503, error(503, "no")))
    });
    let gate = world.upstream.hold(is_label_read);
    let read = caller.get(&label_path(1)).spawn();
    gate.held(1).await;
    world.proxy.clock().jump_wall_back(Duration::from_secs(3600));
    gate.release();
    let read = world.proxy.advancing("a read that is tried again", read).await;
    read.expect("no panic").assert_label("a-1");
    assert_eq!(world.label_reads(), 2);
    world.proxy.clock().jump_wall_ahead(Duration::from_secs(120));
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
}

#[tokio::test]
async fn a_wall_clock_set_back_makes_nothing_younger_and_breaks_nothing() {
    let world = World::start_with(|config| config.cache.lead_labels.ttl = Duration::from_secs(30));
    let caller = world.proven("a", 1).await;
    world.proxy.clock().jump_wall_back(Duration::from_secs(10 * 365 * 86_400));
    caller.get(&label_path(1)).send().await.assert_hit().assert_age(0);
    world.proxy.advance_seconds(31);
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_miss();
}
