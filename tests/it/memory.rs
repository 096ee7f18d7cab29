//! What calls under way hold of memory is one account: who finds no room is told so at once, small calls go on, and all of it
//! comes back.

use std::time::Duration;

use instantly_proxy::config::MaxHeldBytes;
use instantly_proxy::error::ErrorKind;
use instantly_proxy::held::{DOWNLOAD, UPLOAD};
use serde_json::json;

use crate::support::labels::{CAMPAIGNS, LABELS, Label, label, label_path, organization, page, token};
use crate::support::{Answer, Caller, RawConnection, Reply, World, patiently};

const MIB: usize = 1024 * 1024;
/// The least that can be configured, and what large calls may have of it.
const SIZE: usize = 8 * MIB;
const FOR_LARGE: usize = SIZE / 8 * 7;
const CHANGE: &str = r#"{"label":"changed"}"#;

/// A world of little memory, in which key 1 of `a` is proven.
async fn small_world() -> (World, Caller) {
    let world = World::start_with(|config| {
        config.listen.max_held_bytes = MaxHeldBytes::Bytes(SIZE as u64);
        config.cache.list_fill = false;
        config.cache.lead_label_lists.stale_if_error = Duration::from_secs(300);
    });
    let caller = world.proven("a", 1).await;
    (world, caller)
}

async fn held(world: &World) -> f64 {
    world.proxy.metric("instantly_proxy_held_bytes", &[]).await
}

/// Waits until nothing is held.
async fn all_is_given_back(world: &World) {
    patiently("what was held to be given back", async { while held(world).await > 0.0 {} }).await;
}

#[track_caller]
fn assert_no_room(reply: &Reply, kind: ErrorKind) {
    reply.assert_error(kind);
    assert_eq!((reply.status, reply.field("retry-after")), (503, Some("5")));
}

/// Writers that have sent all of 1 MiB but the last byte: as many as there is room for.
async fn slow_writers(world: &World) -> Vec<RawConnection> {
    const LENGTH: usize = MIB - 100;
    let mut writers = Vec::new();
    let padding = "x".repeat(LENGTH - r#"{"label":""}"#.len());
    let token = token("a", 1);
    for _ in 0..FOR_LARGE / MIB {
        let mut writer = world.proxy.raw().await;
        writer
            .send(format!(
                "PATCH {} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {LENGTH}\r\n\r\n{{\"label\":\"{padding}\"",
                label_path(1)
            ))
            .await;
        writers.push(writer);
    }
    #[expect(clippy::cast_precision_loss)]
    let all = (writers.len() * LENGTH) as f64;
    world.proxy.metric_reaches("instantly_proxy_held_bytes", &[], all).await;
    writers
}

#[tokio::test]
async fn large_writes_hold_no_more_memory_than_they_may_and_small_ones_go_on() {
    let (world, caller) = small_world().await;
    world.upstream.reply_to("PATCH", &label_path(1), Answer::json(200, label("a", 1, "x")));
    let writers = slow_writers(&world).await;
    let large = format!(r#"{{"label":"{}"}}"#, "x".repeat(MIB - 100));
    let calls = world.upstream.heads();
    // The answer may overtake the body, and the connection end under it.
    if let Ok(refused) = world.caller("a", 1).patch(&label_path(1), &large).attempt().await {
        assert_no_room(&refused, ErrorKind::NoMemory);
    }
    let refused = [("route", "lead_label_write"), ("outcome", "error"), ("status", "5xx")];
    world.proxy.metric_reaches("instantly_proxy_requests_total", &refused, 1.0).await;
    assert_eq!(world.upstream.heads(), calls, "nothing of it was sent");
    caller.patch(&label_path(1), CHANGE).send().await.assert_status(200);
    for mut writer in writers {
        writer.send("}").await;
        writer.read().await.reply().assert_status(200);
    }
    all_is_given_back(&world).await;
    caller.patch(&label_path(1), &large).send().await.assert_status(200);
}

/// Whoever can connect can announce a body, and send as little of it as it likes.
#[tokio::test]
async fn bodies_of_unverified_callers_leave_the_memory_of_others_alone() {
    const PART: f64 = (2 * MIB) as f64;
    for (method, target, strangers, sent) in
        [("PATCH", label_path(1), 40, 60 * 1024), ("POST", CAMPAIGNS.to_owned(), 300, 0)]
    {
        let (world, caller) = small_world().await;
        world.upstream.reply_to("PATCH", &label_path(1), Answer::json(200, label("a", 1, "x")));
        let mut open = Vec::new();
        for number in 0..strangers {
            let mut stranger = world.proxy.raw().await;
            stranger
                .send(format!(
                    "{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
                     Content-Type: application/json\r\nContent-Length: 500000\r\n\r\n{}",
                    token("b", number),
                    "x".repeat(sent)
                ))
                .await;
            open.push(stranger);
        }
        let refused = [("outcome", "error"), ("status", "5xx")];
        world.proxy.metric_reaches("instantly_proxy_requests_total", &refused, 1.0).await;
        assert!(held(&world).await <= PART, "{method}");
        let large = format!(r#"{{"label":"{}"}}"#, "x".repeat(MIB - 100));
        caller.patch(&label_path(1), &large).send().await.assert_status(200);
        drop(open);
        all_is_given_back(&world).await;
    }
}

#[tokio::test]
async fn calls_that_pass_through_hold_what_may_be_buffered_of_them_for_as_long_as_they_last() {
    let long = "x".repeat(2 * UPLOAD);
    for (body, each) in [("", DOWNLOAD), ("{}", DOWNLOAD + 2), (long.as_str(), DOWNLOAD + UPLOAD)] {
        let (world, caller) = small_world().await;
        let call_of = |caller: &Caller| match body {
            "" => caller.get(CAMPAIGNS),
            _ => caller.post(CAMPAIGNS, body),
        };
        let call = || call_of(&caller);
        let gate = world.upstream.hold(|request| request.target == CAMPAIGNS);
        let room = FOR_LARGE / each;
        let calls: Vec<_> = (0..room).map(|_| call().spawn()).collect();
        gate.held(room).await;
        #[expect(clippy::cast_precision_loss)]
        let all = (room * each) as f64;
        assert_eq!(held(&world).await, all);
        let heads = world.upstream.heads();
        // The answer may overtake a long body, and the connection end under it.
        match call_of(&world.caller("a", 1)).attempt().await {
            Ok(refused) => assert_no_room(&refused, ErrorKind::NoMemory),
            Err(cut) => assert!(body.len() > 2, "{cut}"),
        }
        assert_eq!(world.upstream.heads(), heads, "nothing of it was sent");
        caller.get(&label_path(1)).send().await.assert_hit();
        gate.release();
        for call in calls {
            call.await.expect("no panic").assert_status(200);
        }
        all_is_given_back(&world).await;
        call().send().await.assert_status(200);
    }
}

#[tokio::test]
async fn an_answer_that_finds_no_room_is_replaced_by_a_stale_one_or_an_error_and_says_nothing_of_the_api() {
    let (world, caller) = small_world().await;
    let large =
        Label { description: Some("x".repeat(64 * 1024)), ..Label::new(organization("a"), 2, "large") };
    let another = format!("{LABELS}?limit=1");
    for target in [LABELS, &another] {
        world.upstream.reply_to("GET", target, Answer::json(200, page(&[large.json()], None)));
    }
    caller.get(LABELS).send().await.assert_status(200);
    world.proxy.advance_seconds(61);
    let fresh = caller.get(&label_path(1)).send().await;
    fresh.assert_status(200);

    let writers = slow_writers(&world).await;
    let stale = caller.get(LABELS).send().await;
    assert!(stale.assert_status(200).cache_status().ends_with("detail=stale-error"), "{stale:?}");
    assert_no_room(&caller.get(&another).send().await, ErrorKind::NoMemoryForAnswer);
    // The API answered: it counts as one that can be asked.
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    drop(writers);
    all_is_given_back(&world).await;
    caller.get(LABELS).send().await.assert_status(200).assert_miss();
    all_is_given_back(&world).await;
}

#[tokio::test]
async fn the_status_page_says_what_is_held_and_what_may_be() {
    let (world, caller) = small_world().await;
    let gate = world.upstream.hold(|request| request.target == CAMPAIGNS);
    let call = caller.get(CAMPAIGNS).spawn();
    gate.held(1).await;
    let status: serde_json::Value = world.proxy.admin_get("/api/status").send().await.json();
    assert_eq!(status["held"], json!({"bytes": DOWNLOAD, "max_bytes": SIZE}));
    gate.release();
    call.await.expect("no panic").assert_status(200);
}
