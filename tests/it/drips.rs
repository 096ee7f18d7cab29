//! A body that drips holds nobody up: it takes no place before it is there, and ends when it is too slow.

use std::num::NonZeroUsize;
use std::time::Duration;

use instantly_proxy::error::ErrorKind;

use crate::support::labels::{CAMPAIGNS, label_path, token};
use crate::support::{Answer, RawConnection, World};

fn upload(method: &str, target: &str, token: &str, length: usize) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// Sends a piece for each second of the proxy's time until an answer comes; how many went. The world has one worker.
async fn drip(world: &World, raw: &mut RawConnection, piece: &str, pieces: usize) -> usize {
    let ticker = world.proxy.anonymous();
    // What has come and what is due is done once the worker has answered twice: the first answer may overtake it.
    let worker_is_idle = async || {
        for _ in 0..2 {
            ticker.request("OPTIONS", CAMPAIGNS).send().await.assert_error(ErrorKind::MethodNotAllowed);
        }
    };
    for sent in 0..pieces {
        raw.send(piece).await;
        worker_is_idle().await;
        world.proxy.advance_seconds(1);
        worker_is_idle().await;
        if raw.has_answer().await {
            return sent;
        }
    }
    pieces
}

#[tokio::test]
async fn strangers_whose_bodies_never_come_keep_nobody_out() {
    let world = World::start();
    let mut dripping = Vec::new();
    for number in 0..70 {
        let mut raw = world.proxy.raw().await;
        raw.send(upload("POST", "/api/v2/x", &format!("stranger-{number}"), 100_000)).await;
        raw.send("x").await;
        dripping.push(raw);
    }
    let heads = world.upstream.heads();
    for n in 1..=3 {
        world.caller("b", n).get(CAMPAIGNS).send().await.assert_status(200);
    }
    assert!(world.upstream.heads() > heads);
    assert_eq!(world.upstream.count_of(|request| request.target == "/api/v2/x"), 0);
}

#[tokio::test]
async fn a_strangers_upload_goes_once_its_beginning_is_there() {
    let world = World::start();
    world.upstream.reply_to("POST", "/api/v2/x", Answer::json(200, "{}"));
    let mut raw = world.proxy.raw().await;
    raw.send(upload("POST", "/api/v2/x", &token("b", 1), 100_000)).await;
    raw.send("x".repeat(64 * 1024)).await;
    world.upstream.heads_arrived(1).await;
    raw.send("y".repeat(100_000 - 64 * 1024)).await;
    assert_eq!(raw.read().await.status(), 200);
    let seen =
        world.upstream.requests().into_iter().find(|seen| seen.target == "/api/v2/x").expect("it came");
    assert_eq!(seen.body.len(), 100_000);
}

#[tokio::test]
async fn an_upload_below_its_least_rate_is_told_so_and_cut() {
    let world = World::start_with(|config| config.listen.workers = Some(NonZeroUsize::MIN));
    world.proven("a", 1).await;
    for (method, target) in [("POST", "/api/v2/x"), ("PATCH", &label_path(1)), ("GET", "/api/v2/x")] {
        let (whole, heads) = (world.upstream.count(), world.upstream.heads());
        let mut raw = world.proxy.raw().await;
        raw.send(upload(method, target, &token("a", 1), 100_000)).await;
        // A write waits for all of its body; the others have a time to connect in.
        if method != "PATCH" {
            world.upstream.heads_arrived(heads + 1).await;
        }
        let sent = drip(&world, &mut raw, "x", 60).await;
        // Each piece may be read some seconds of its time late.
        assert!((15..60).contains(&sent), "{method}: {sent} s");
        raw.read().await.reply().assert_error(ErrorKind::UploadTooSlow);
        raw.assert_closed().await;
        assert_eq!(world.upstream.count(), whole, "{method}");
    }
}

#[tokio::test]
async fn an_upload_at_its_least_rate_takes_its_time() {
    let world = World::start_with(|config| {
        config.listen.min_upload_rate = 1;
        config.listen.workers = Some(NonZeroUsize::MIN);
    });
    world.proven("a", 1).await;
    let heads = world.upstream.heads();
    let mut raw = world.proxy.raw().await;
    raw.send(upload("POST", "/api/v2/x", &token("a", 1), 400)).await;
    world.upstream.heads_arrived(heads + 1).await;
    // More than the rate: a piece may be read a second late.
    drip(&world, &mut raw, "0123456789", 40).await;
    assert_eq!(raw.read().await.status(), 200);
    assert_eq!(world.upstream.last().body.len(), 400);
}

#[tokio::test]
async fn an_upload_that_the_upstream_does_not_take_is_not_slow() {
    let world = World::start_with(|config| {
        config.upstream.idle_timeout = Duration::from_secs(3600);
        config.upstream.first_byte_timeout = Duration::from_secs(3600);
    });
    world.proven("a", 1).await;
    let held = world.upstream.hold(|request| request.target == "/api/v2/x");
    let mut raw = world.proxy.raw().await;
    raw.send(upload("POST", "/api/v2/x", &token("a", 1), 4)).await;
    raw.send("abcd").await;
    held.held(1).await;
    for _ in 0..60 {
        world.proxy.advance_seconds(1);
        world.proxy.metrics_text().await;
    }
    held.release();
    assert_eq!(raw.read().await.status(), 200);
}

/// The deadline comes nearer when the body has ended, and whoever sleeps until the old one is told.
#[tokio::test]
async fn an_answer_is_overdue_by_the_first_byte_time_out_though_the_idle_time_out_is_longer() {
    let world = World::start_with(|config| {
        config.upstream.first_byte_timeout = Duration::from_secs(5);
        config.upstream.idle_timeout = Duration::from_secs(60);
    });
    world.proven("a", 1).await;
    let held = world.upstream.hold(|request| request.target == "/api/v2/x");
    let heads = world.upstream.heads();
    let mut raw = world.proxy.raw().await;
    raw.send(upload("POST", "/api/v2/x", &token("a", 1), 4)).await;
    world.upstream.heads_arrived(heads + 1).await;
    raw.send("abcd").await;
    held.held(1).await;
    world.proxy.advance_seconds(5);
    raw.read().await.reply().assert_error(ErrorKind::UpstreamTimeout);
}

/// A body of which all was read before its call took a place has ended as well.
#[tokio::test]
async fn an_answer_to_a_body_that_was_read_before_is_overdue_by_the_first_byte_time_out() {
    let world = World::start_with(|config| {
        config.upstream.first_byte_timeout = Duration::from_secs(5);
        config.upstream.idle_timeout = Duration::from_secs(60);
    });
    let held = world.upstream.hold(|request| request.target == "/api/v2/x");
    let mut raw = world.proxy.raw().await;
    raw.send(upload("POST", "/api/v2/x", &token("b", 1), 64 * 1024)).await;
    raw.send("x".repeat(64 * 1024)).await;
    held.held(1).await;
    world.proxy.advance_seconds(5);
    raw.read().await.reply().assert_error(ErrorKind::UpstreamTimeout);
}
