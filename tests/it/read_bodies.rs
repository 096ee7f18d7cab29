//! A label read with a body: one that says nothing is none, and any other sends the read on as it came, uncached.

use std::time::Duration;

use instantly_proxy::error::ErrorKind;

use crate::support::labels::{label_path, token};
use crate::support::{Framing, Streams, World};

fn read(method: &str, lines: &str, body: &str) -> String {
    let (target, lines, token) = (label_path(1), lines.replace('\n', "\r\n"), token("a", 1));
    format!("{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{lines}\r\n{body}")
}

fn chunked(body: &str) -> String {
    let chunk = if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) };
    read("GET", "Transfer-Encoding: chunked\n", &format!("{chunk}0\r\n\r\n"))
}

fn with_length(body: &str) -> String {
    read("GET", &format!("Content-Length: {}\n", body.len()), body)
}

/// What clients send that have no way to send none: n8n's legacy helper, axios, `json={}`.
const NOTHING: [&str; 6] = ["", "null", "{}", " {}\r\n", "\n\tnull ", "   "];

#[tokio::test]
async fn a_body_that_says_nothing_is_none() {
    let world = World::start();
    world.proven("a", 1).await;
    let (heads, longest) = (world.upstream.heads(), format!("{:62}{{}}", ""));
    for body in NOTHING.into_iter().chain([longest.as_str()]) {
        let mut raw = world.proxy.raw().await;
        for bytes in [chunked(body), with_length(body)] {
            raw.send(bytes).await;
            raw.read().await.reply().assert_hit();
        }
        raw.send(read("HEAD", &format!("Content-Length: {}\n", body.len()), body)).await;
        assert_eq!(raw.read_head_only().await.status(), 200);
        raw.send(with_length("")).await;
        raw.read().await.reply().assert_hit();
    }
    let authorization = format!("Bearer {}", token("a", 1));
    let mut streams = Streams::open(world.proxy.address()).await;
    for body in NOTHING {
        let fields = [("authorization", authorization.as_str())];
        let mut stream = streams.begin("GET", &label_path(1), &fields).await;
        streams.flushed().await;
        stream.end(body);
        stream.answer().await.expect("an answer").assert_hit();
    }
    assert_eq!(world.upstream.heads(), heads);
}

#[tokio::test]
async fn a_body_that_says_something_goes_upstream_with_its_read_uncached() {
    let world = World::start();
    world.proven("a", 1).await;
    let large = "x".repeat(200_000);
    let long_nothing = format!("{:63}{{}}", "");
    for body in ["[]", "{ }", "0", "{\"a\":1}", "nul", "{}{}", &large, &long_nothing] {
        for (bytes, framing) in
            [(chunked(body), Framing::Chunked), (with_length(body), Framing::Length(body.len()))]
        {
            let mut raw = world.proxy.raw().await;
            raw.send(bytes).await;
            let reply = raw.read().await.reply();
            reply.assert_status(200).assert_cache_status("fwd=bypass; detail=body");
            let seen = world.upstream.last();
            assert!(seen.is("GET", &label_path(1)) && seen.framing == framing, "{seen:?}");
            assert!(seen.text() == body, "{} of {} bytes", seen.body.len(), body.len());
        }
    }
    world.caller("a", 1).get(&label_path(1)).send().await.assert_hit();
}

/// What comes later than a head may come is no empty body, whatever it says in the end.
#[tokio::test]
async fn a_body_that_is_late_goes_upstream_with_its_read_uncached() {
    let hour = Duration::from_secs(3600);
    let world = World::start_with(|config| {
        config.listen.header_timeout = Duration::from_secs(1);
        config.listen.idle_timeout = hour;
    });
    world.proven("a", 1).await;
    let heads = world.upstream.heads();
    let mut raw = world.proxy.raw().await;
    raw.send(read("GET", "Content-Length: 2\n", "{")).await;
    world.proxy.advancing("the read to go on", world.upstream.heads_arrived(heads + 1)).await;
    raw.send("}").await;
    let reply = raw.read().await.reply();
    reply.assert_status(200).assert_cache_status("fwd=bypass; detail=body");
    assert_eq!(world.upstream.last().text(), "{}");
}

#[tokio::test]
async fn a_body_that_is_none_is_refused() {
    let world = World::start();
    world.proven("a", 1).await;
    let heads = world.upstream.heads();
    let mut raw = world.proxy.raw().await;
    raw.send(read("GET", "Transfer-Encoding: chunked\n", "2\r\n{}\r\nxyz\r\n")).await;
    raw.read().await.reply().assert_error(ErrorKind::BodyIncomplete);
    raw.assert_closed().await;
    assert_eq!(world.upstream.heads(), heads);
}

#[tokio::test]
async fn explain_says_that_a_body_makes_a_read_uncached() {
    let world = World::start();
    let told = world.proxy.admin_post(
        "/api/explain",
        &format!(
            "{{\"method\":\"GET\",\"path\":\"{}\",\"headers\":{{\"Authorization\":\"Bearer {}\",\"Content-Length\":\"9\"}}}}",
            label_path(1),
            token("a", 1)
        ),
    );
    let told = told.send().await;
    assert_eq!(told.assert_status(200).json()["bypass"], "body");
}
