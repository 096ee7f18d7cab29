//! The fast path and the long way answer alike, and the fast path answers nothing that is not a fresh hit.
//!
//! Which of them has answered shows in `Date` alone: the long way's is the machine's, the fast path's is that of the clock that
//! a test sets, which stands in another year. A field that nobody knows sends a request the long way.

use std::io::{Read, Write};
use std::net::TcpStream;

use instantly_proxy::config::Share;
use uuid::Uuid;

use crate::support::labels::{CAMPAIGNS, LABELS, label_path, organization, token};
use crate::support::{RawConnection, RawReply, World, patiently};

const LONG_WAY: &str = "x-long-way: 1";
/// That of the clock of tests.
const YEAR: &str = " 2027 ";

fn request(target: &str, key: &str, lines: &[&str]) -> String {
    let mut head = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n");
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head + "\r\n"
}

async fn ask(connection: &mut RawConnection, request: &str) -> RawReply {
    connection.send_whole(request).await;
    connection.read().await
}

fn is_fast(reply: &RawReply) -> bool {
    reply.head.values("date").iter().any(|date| date.contains(YEAR))
}

#[track_caller]
fn assert_fast(reply: &RawReply) {
    assert!(is_fast(reply), "the long way answered: {}", String::from_utf8_lossy(&reply.head.raw));
}

#[track_caller]
fn assert_long(reply: &RawReply) {
    assert!(!is_fast(reply), "the fast path answered: {}", String::from_utf8_lossy(&reply.head.raw));
}

/// All bytes of an answer, but the values of `Date` and of an id that was made here.
fn bytes(reply: &RawReply) -> String {
    let head = String::from_utf8(reply.head.raw.clone()).expect("a head of ASCII");
    let lines = head.split("\r\n").map(|line| match line.split_once(": ") {
        Some(("date", date)) => format!("date: {} bytes", date.len()),
        Some(("x-request-id", id)) => match Uuid::try_parse(id) {
            Ok(id) => format!("x-request-id: version {}", id.get_version_num()),
            Err(_) => line.to_owned(),
        },
        _ => line.to_owned(),
    });
    let head: Vec<_> = lines.collect();
    format!("{}{}", head.join("\r\n"), String::from_utf8_lossy(&reply.body))
}

/// A world in which label 1, and the list, of organizations `a`, `b` and `admin` are stored and their key 1 is proven, as is the
/// admin's that acts for `a`.
async fn stored() -> World {
    let world = World::start();
    for name in ["a", "b", "admin"] {
        let caller = world.proven(name, 1).await;
        caller.get(LABELS).send().await.assert_status(200);
    }
    world.acting_for("a").get(&label_path(1)).send().await.assert_status(200);
    world
}

#[tokio::test]
async fn both_ways_answer_with_the_same_bytes() {
    let world = stored().await;
    let (mut plain, mut long) = (world.proxy.raw().await, world.proxy.raw().await);
    let tag = ask(&mut plain, &request(&label_path(1), &token("a", 1), &[])).await;
    let tag = tag.head.values("etag")[0].to_owned();
    let (same, listed) = (format!("if-none-match: {tag}"), format!("if-none-match: \"x\", W/{tag}"));
    let workspace = format!("x-as-workspace: {}", organization("a"));
    let rows: [(&str, &[&str]); 9] = [
        ("a", &[]),
        ("b", &["accept: */*", "connection: keep-alive"]),
        ("a", &["x-request-id: abc/7"]),
        ("a", &["x-request-id: not sane"]),
        ("a", &[&same]),
        ("a", &[&listed, "X-Request-Id: 8"]),
        ("b", &[&same]),
        ("a", &["if-none-match: *"]),
        ("admin", &[&workspace]),
    ];
    for seconds in [0, 1, 30] {
        world.proxy.advance_seconds(seconds);
        for (name, lines) in rows {
            for target in [label_path(1), LABELS.to_owned()] {
                if name == "admin" && target == LABELS {
                    continue;
                }
                let (key, longer) = (token(name, 1), [lines, &[LONG_WAY]].concat());
                let fast = ask(&mut plain, &request(&target, &key, lines)).await;
                let other = ask(&mut long, &request(&target, &key, &longer)).await;
                assert_fast(&fast);
                assert_long(&other);
                assert_eq!(bytes(&fast), bytes(&other), "{name} {lines:?}");
                fast.reply().assert_hit();
            }
        }
    }
}

#[tokio::test]
async fn both_ways_are_counted_alike() {
    let world = stored().await;
    let mut connection = world.proxy.raw().await;
    let labels = [("route", "lead_label"), ("outcome", "hit"), ("status", "2xx")];
    for (line, fast) in [("accept: */*", true), (LONG_WAY, false)] {
        let before = (
            world.proxy.metric("instantly_proxy_requests_total", &labels).await,
            world.proxy.metric("instantly_proxy_upstream_requests_avoided_total", &[("by", "hit")]).await,
        );
        for _ in 0..3 {
            let reply = ask(&mut connection, &request(&label_path(1), &token("a", 1), &[line])).await;
            assert_eq!(is_fast(&reply), fast);
        }
        let after = (
            world.proxy.metric("instantly_proxy_requests_total", &labels).await,
            world.proxy.metric("instantly_proxy_upstream_requests_avoided_total", &[("by", "hit")]).await,
        );
        assert_eq!((after.0 - before.0, after.1 - before.1), (3.0, 3.0), "{line}");
    }
}

/// What anything but an answer would follow from, and what is not there, is left to the long way.
#[tokio::test]
async fn the_fast_path_answers_nothing_that_is_not_proven_fresh_and_shared() {
    let world = stored().await;
    let mut connection = world.proxy.raw().await;
    let item = request(&label_path(1), &token("a", 1), &[]);
    for (key, target) in [
        (token("a", 2), label_path(1)),
        (token("a", 1), label_path(2)),
        (token("empty", 1), label_path(1)),
        ("nobody".to_owned(), label_path(1)),
        (token("a", 1), CAMPAIGNS.to_owned()),
    ] {
        assert_long(&ask(&mut connection, &request(&target, &key, &[])).await);
    }
    let mut fresh = world.proxy.raw().await;
    assert_fast(&ask(&mut fresh, &item).await);
    // Three quarters of a proof's age: it is renewed behind the answer.
    world.proxy.advance_seconds(46);
    let proofs = [("purpose", "proof"), ("status", "2xx")];
    let before = world.proxy.metric("instantly_proxy_upstream_requests_total", &proofs).await;
    let renewing = ask(&mut fresh, &item).await;
    assert_long(&renewing);
    renewing.reply().assert_hit();
    world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", &proofs, before + 1.0).await;
    patiently("the proof to be noted", async {
        while !is_fast(&ask(&mut world.proxy.raw().await, &item).await) {}
    })
    .await;
    // Past its age there is none.
    world.proxy.advance_seconds(61);
    assert_long(&ask(&mut world.proxy.raw().await, &item).await);
}

#[tokio::test]
async fn what_is_one_credentials_own_is_answered_the_long_way() {
    let world = World::start_with(|config| config.cache.share = Share::Credential);
    let caller = world.proven("a", 1).await;
    caller.get(&label_path(1)).send().await.assert_hit();
    for _ in 0..3 {
        let mut connection = world.proxy.raw().await;
        let reply = ask(&mut connection, &request(&label_path(1), &token("a", 1), &[])).await;
        assert_long(&reply);
        reply.reply().assert_hit();
    }
}

/// R1: a read that begins after a write was answered sees what was written.
#[tokio::test]
async fn no_old_value_follows_the_answer_to_a_write() {
    let world = World::start();
    let (caller, key) = (world.proven("a", 1).await, token("a", 1));
    let mut connection = world.proxy.raw().await;
    let read = request(&label_path(1), &key, &[]);
    for round in 0..30 {
        let text = format!("round-{round}");
        caller.patch(&label_path(1), &format!(r#"{{"label":"{text}"}}"#)).send().await.assert_status(200);
        let first = ask(&mut connection, &read).await;
        assert_long(&first);
        first.reply().assert_label(&text);
        // What was read while the write settles is fresh for a second.
        let second = ask(&mut connection, &read).await;
        second.reply().assert_label(&text);
        world.proxy.advance_seconds(6);
        ask(&mut connection, &read).await.reply().assert_label(&text);
        ask(&mut connection, &read).await.reply().assert_label(&text).assert_hit();
    }
}

#[tokio::test]
async fn a_write_of_another_key_ends_what_the_fast_path_answers_at_once() {
    let world = World::start();
    let (reader, writer) = (world.proven("a", 1).await, world.proven("a", 2).await);
    reader.get(&label_path(1)).send().await.assert_hit();
    let mut connection = world.proxy.raw().await;
    let read = request(&label_path(1), &token("a", 1), &[]);
    assert_fast(&ask(&mut connection, &read).await);
    writer.patch(&label_path(1), r#"{"label":"new"}"#).send().await.assert_status(200);
    let reply = ask(&mut connection, &read).await;
    assert_long(&reply);
    reply.reply().assert_label("new");
}

#[tokio::test]
async fn a_refused_key_gets_nothing_from_the_fast_path() {
    let world = stored().await;
    let mut connection = world.proxy.raw().await;
    let read = request(&label_path(1), &token("a", 1), &[]);
    assert_fast(&ask(&mut connection, &read).await);
    world.vendor.revoke(&token("a", 1));
    world.caller("a", 1).get(&label_path(3)).send().await.assert_status(401);
    let reply = ask(&mut connection, &read).await;
    assert_long(&reply);
    assert_ne!(reply.status(), 200);
}

/// The thread's buffers have held everybody's requests and answers by then.
#[tokio::test]
async fn readers_of_a_byte_at_a_time_see_no_byte_of_another_caller() {
    let world = stored().await;
    let names = ["a", "b", "admin"];
    let mut readers = Vec::new();
    for n in 0..12 {
        let mut stream = TcpStream::connect(world.proxy.address()).expect("the port accepts");
        stream
            .write_all(request(LABELS, &token(names[n % 3], 1), &["accept: */*"]).as_bytes())
            .expect("it reads");
        readers.push((names[n % 3], stream));
    }
    for (name, mut stream) in readers {
        let (mut came, mut byte, mut length) = (Vec::new(), [0], usize::MAX);
        while came.len() < length {
            stream.read_exact(&mut byte).expect("an answer");
            came.push(byte[0]);
            if length == usize::MAX && came.ends_with(b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&came);
                let body = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                length = came.len() + body.expect("a length").parse::<usize>().expect("a number");
                assert!(head.contains(YEAR), "the long way answered: {head}");
            }
        }
        let text = String::from_utf8(came).expect("text");
        assert!(text.contains(&format!("\"{name}-1\"")), "{text}");
        for other in names.into_iter().filter(|other| *other != name) {
            assert!(!text.contains(&format!("\"{other}-")), "{name} sees {other}: {text}");
        }
        assert!(names.iter().all(|name| !text.contains(&token(name, 1))), "{text}");
        stream.set_nonblocking(true).expect("a socket");
        assert!(stream.read(&mut byte).is_err(), "nothing is behind it");
    }
}

#[tokio::test]
async fn a_head_in_pieces_or_behind_another_is_answered_alike() {
    let world = stored().await;
    let read = request(&label_path(1), &token("a", 1), &["x-request-id: 7"]);
    let mut connection = world.proxy.raw().await;
    let whole = ask(&mut connection, &read).await;
    assert_fast(&whole);
    for at in (1..read.len()).step_by(7) {
        connection.send_whole(&read[..at]).await;
        // The other request goes to the same thread or another: either way time passes.
        world.proxy.metric("instantly_proxy_requests_total", &[]).await;
        connection.send_whole(&read[at..]).await;
        assert_eq!(bytes(&connection.read().await), bytes(&whole));
    }
    connection.send_whole(read.repeat(5)).await;
    for _ in 0..5 {
        assert_eq!(bytes(&connection.read().await), bytes(&whole));
    }
}

#[tokio::test]
async fn heads_that_are_made_at_random_are_answered_alike_by_both_ways() {
    const LINES: &[&str] = &[
        "Accept: application/json",
        "accept:",
        "User-Agent:\tx y ",
        "Accept-Encoding: gzip",
        "Connection: keep-alive",
        "connection: x",
        "X-Request-Id: abc",
        "x-request-id: a b",
        "If-None-Match: *",
        "If-None-Match: \"a",
        "content-type: text/plain",
        "Cookie: a=b",
        "Cookie: __cf_bm=1",
        "Cache-Control: max-age=0",
        "cache-control: only-if-cached",
        "Pragma: no-cache",
        "Prefer: wait=1",
        "X-Forwarded-For: 1.2.3.4",
        "x-forwarded-host: evil",
        "traceparent: 00-0-0-00",
        "x-http-method-override: DELETE",
        "Content-Length: 0",
        "x_as_workspace: 1",
        "x-as-workspace: 1",
        "X-Tenant: b",
        "via: 1.1 a",
        "range: bytes=0-1",
        "Host: other",
        "Authorization: Bearer x",
        "TE: gzip",
        "te: trailers",
        "accept-language: \u{e9}",
        "priority: u=1",
    ];
    let seed = Uuid::new_v4().as_u128() as u64;
    println!("seed {seed}");
    let world = stored().await;
    let mut state = seed;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut fast = 0;
    for _ in 0..300 {
        let lines: Vec<_> = (0..next(4)).map(|_| LINES[next(LINES.len())]).collect();
        let target =
            [label_path(1), LABELS.to_owned(), format!("{}/", label_path(1)), format!("{LABELS}?search=a")];
        let target = &target[[0, 0, 0, 1, 1, 2, 3][next(7)]];
        let key = token(["a", "b", "empty"][[0, 0, 1, 1, 2][next(5)]], 1);
        let (mut one, mut other) = (world.proxy.raw().await, world.proxy.raw().await);
        let answer = ask(&mut one, &request(target, &key, &lines)).await;
        let long = ask(&mut other, &request(target, &key, &[&lines[..], &[LONG_WAY]].concat())).await;
        assert_long(&long);
        if is_fast(&answer) {
            fast += 1;
            assert_eq!(bytes(&answer), bytes(&long), "{target} {lines:?}");
            answer.reply().assert_hit();
        } else {
            assert_eq!(answer.status(), long.status(), "{target} {lines:?}");
        }
    }
    assert!(fast > 30, "{fast} of 300: the comparison says little");
}
