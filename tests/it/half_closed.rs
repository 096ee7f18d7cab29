//! A client that sends no more waits for its answer; one that has left altogether is given up.
//!
//! TCP says the same of both, until something is sent to them: then the system of the one that has left answers with a
//! reset. So such a client is sent `100 Continue` where its answer takes longer than to the next sweep.

use std::time::Duration;

use crate::support::labels::{CAMPAIGNS, label_path, token};
use crate::support::{RawConnection, World};

const LABELS: [(&str, &str); 2] = [("purpose", "pass_through"), ("status", "error")];

fn request(method: &str, target: &str, version: &str, body: &str) -> String {
    let (token, length) = (token("a", 1), body.len());
    format!(
        "{method} {target} HTTP/{version}\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Waits until the proxy has swept its connections a few times.
/// Waits until the end of its client has made a write of unknown fate.
async fn invalidated(world: &World) {
    let told = world.proxy.metric_reaches("instantly_proxy_cache_invalidations_total", &[], 1.0);
    world.proxy.advancing("the write to be given up", told).await;
}

async fn sweeps(world: &World, count: usize) {
    for _ in 0..count {
        world.proxy.advance_seconds(1);
        // Both workers are passed by the answers of the admin port, which is on the thread that wakes them.
        for _ in 0..20 {
            world.proxy.metrics_text().await;
        }
    }
}

#[tokio::test]
async fn whoever_sends_no_more_gets_its_answer_every_time() {
    let world = World::start();
    world.proven("a", 1).await;
    let label = label_path(1);
    for _ in 0..25 {
        for (method, target, body) in [
            ("GET", label.as_str(), ""),
            ("GET", CAMPAIGNS, ""),
            ("POST", "/api/v2/x", "{}"),
            ("PATCH", label.as_str(), "{\"label\":\"a-1\"}"),
            ("GET", "/api/v2/lead-labels", ""),
        ] {
            for version in ["1.1", "1.0"] {
                let mut raw = world.proxy.raw().await;
                raw.send(request(method, target, version, body)).await;
                raw.half_close().await;
                assert_eq!(raw.read().await.status(), 200, "{method} {target} {version}");
                raw.assert_closed().await;
            }
        }
    }
}

#[tokio::test]
async fn the_admin_port_answers_whoever_sends_no_more() {
    let world = World::start();
    for target in ["/livez", "/readyz", "/metrics"] {
        let mut raw = RawConnection::open(world.proxy.operator().address()).await;
        raw.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        raw.half_close().await;
        assert_eq!(raw.read().await.status(), 200, "{target}");
        raw.assert_closed().await;
    }
}

#[tokio::test]
async fn whoever_sends_no_more_waits_as_long_as_its_answer_takes() {
    let world = World::start();
    world.proven("a", 1).await;
    let held = world.upstream.hold(|request| request.target == "/api/v2/x");
    let (mut newer, mut older) = (world.proxy.raw().await, world.proxy.raw().await);
    newer.send(request("POST", "/api/v2/x", "1.1", "{}")).await;
    older.send(request("POST", "/api/v2/x", "1.0", "{}")).await;
    held.held(2).await;
    newer.half_close().await;
    older.half_close().await;
    world.proxy.advancing("the question", async { assert_eq!(newer.read().await.status(), 100) }).await;
    sweeps(&world, 20).await;
    held.release();
    for raw in [&mut newer, &mut older] {
        // HTTP/1.0 knows no interim answers, and one question is enough.
        assert_eq!(raw.read().await.status(), 200);
        raw.assert_closed().await;
    }
}

#[tokio::test]
async fn whoever_has_left_is_given_up() {
    let world = World::start();
    world.proven("a", 1).await;
    let held = world.upstream.hold(|request| request.target == "/api/v2/x");
    let mut raw = world.proxy.raw().await;
    raw.send(request("POST", "/api/v2/x", "1.1", "{}")).await;
    held.held(1).await;
    drop(raw);
    let given_up = world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", &LABELS, 1.0);
    world.proxy.advancing("the call to be given up", given_up).await;
}

#[tokio::test]
async fn a_reset_gives_a_call_up_at_once_before_and_behind_the_end() {
    for half_closed in [false, true] {
        let world = World::start();
        world.proven("a", 1).await;
        let held = world.upstream.hold(|request| request.target == "/api/v2/x");
        let mut raw = world.proxy.raw().await;
        raw.send(request("POST", "/api/v2/x", "1.1", "{}")).await;
        held.held(1).await;
        if half_closed {
            raw.half_close().await;
        }
        raw.reset();
        let given_up = world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", &LABELS, 1.0);
        if half_closed {
            world.proxy.advancing("the call to be given up", given_up).await;
        } else {
            given_up.await;
        }
    }
}

#[tokio::test]
async fn a_write_whose_client_left_while_it_waited_for_its_turn_is_not_sent() {
    let world = World::start_shielded_with(|config| {
        config.shield.requests_per_second = 1.try_into().expect("not zero");
        config.shield.max_wait = Duration::from_secs(60);
    });
    let caller = world.proven("a", 1).await;
    let before: Vec<_> = (0..6).map(|_| caller.get(CAMPAIGNS).spawn()).collect();
    world.proxy.metric_reaches("instantly_proxy_shield_queued", &[], 6.0).await;
    let mut raw = world.proxy.raw().await;
    raw.send(request("PATCH", &label_path(1), "1.1", "{\"label\":\"new\"}")).await;
    world.proxy.metric_reaches("instantly_proxy_shield_queued", &[], 7.0).await;
    drop(raw);
    let served = async {
        for call in before {
            call.await.expect("no panic").assert_status(200);
        }
        while world.proxy.metric("instantly_proxy_shield_queued", &[]).await > 0.0 {}
    };
    world.proxy.advancing("the queue to empty", served).await;
    let refused = [("route", "lead_label_write"), ("status", "none")];
    world.proxy.metric_reaches("instantly_proxy_requests_total", &refused, 1.0).await;
    assert_eq!(world.upstream.count_of(|request| request.method == "PATCH"), 0);
}

/// The API may take something else for a key.
#[tokio::test]
async fn a_write_with_another_kind_of_key_counts_as_one_when_its_client_leaves() {
    for (query, line) in [("?api_key=k", ""), ("", "Cookie: session=s\r\n"), ("", "X-Api-Key: k\r\n")] {
        let world = World::start();
        let caller = world.proven("a", 1).await;
        caller.get("/api/v2/lead-labels").send().await.assert_status(200);
        let held = world.upstream.hold(|request| request.method == "DELETE");
        let mut raw = world.proxy.raw().await;
        let head = request("DELETE", &format!("{}{query}", label_path(1)), "1.1", "");
        raw.send(head.replace(&format!("Authorization: Bearer {}\r\n", token("a", 1)), line)).await;
        held.held(1).await;
        raw.half_close().await;
        invalidated(&world).await;
        let list = caller.get("/api/v2/lead-labels").send().await;
        assert!(!list.cache_status().contains("hit"), "{query}{line}: {list:?}");
        held.release();
    }
}

/// It cannot come to anything, whoever leaves.
#[tokio::test]
async fn a_write_without_a_key_whose_client_sends_no_more_shuts_nothing_out() {
    for key in [true, false] {
        let world = World::start();
        let caller = world.proven("a", 1).await;
        caller.get("/api/v2/lead-labels").send().await.assert_status(200);
        let held = world.upstream.hold(|request| request.method == "DELETE");
        let mut raw = world.proxy.raw().await;
        let head = request("DELETE", &label_path(1), "1.1", "");
        let line = format!("Authorization: Bearer {}\r\n", token("a", 1));
        raw.send(if key { head } else { head.replace(&line, "") }).await;
        held.held(1).await;
        raw.half_close().await;
        if key {
            invalidated(&world).await;
        } else {
            sweeps(&world, 3).await;
            let told = world.proxy.metric("instantly_proxy_cache_invalidations_total", &[]).await;
            assert!(told < 0.5, "{told}");
        }
        let list = caller.get("/api/v2/lead-labels").send().await;
        assert_eq!(list.cache_status().contains("hit"), !key, "{list:?}");
        held.release();
    }
}
