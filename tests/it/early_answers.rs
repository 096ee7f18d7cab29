//! An answer that is given before its upload has been read arrives, however much the client goes on sending.

use instantly_proxy::error::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::labels::{CAMPAIGNS, label_path, token};
use crate::support::{Answer, RawReply, Streams, TestProxy, TestUpstream, World, patiently};

/// More than the sockets' buffers take.
const LENGTH: usize = 24 * 1024 * 1024;

/// Sends a head and then all of a large body, as most clients do, before it looks for an answer.
async fn upload(world: &World, method: &str, target: &str, token: &str, fields: &str) -> RawReply {
    let mut raw = world.proxy.raw().await;
    let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{fields}");
    raw.send(format!("{head}Content-Length: {LENGTH}\r\n\r\n")).await;
    raw.send_whole(vec![b'x'; LENGTH]).await;
    let reply = raw.read().await;
    raw.assert_closed().await;
    reply
}

#[tokio::test]
async fn a_refusal_arrives_though_the_upload_was_not_read() {
    let world = World::start();
    world.proven("a", 1).await;
    let (token, label) = (token("a", 1), label_path(1));
    for _ in 0..4 {
        let reply = upload(&world, "PATCH", &label, &token, "").await;
        reply.reply().assert_error(ErrorKind::BodyTooLarge);
        let reply = upload(&world, "POST", "/api/v2/x", &token, "X-HTTP-Method: PUT\r\n").await;
        reply.reply().assert_error(ErrorKind::MethodOverride);
        let reply = upload(&world, "OPTIONS", "/api/v2/x", &token, "").await;
        reply.reply().assert_error(ErrorKind::MethodNotAllowed);
    }
}

#[tokio::test]
async fn a_remembered_401_arrives_though_the_upload_was_not_read() {
    let world = World::start();
    let refused = world.proxy.caller("not-a-key").post("/api/v2/x", "{}").send().await;
    refused.assert_refused_upstream(401);
    for _ in 0..4 {
        let reply = upload(&world, "POST", "/api/v2/x", "not-a-key", "").await;
        assert_eq!(reply.status(), 401);
    }
    assert_eq!(world.upstream.count_of(|request| request.target == "/api/v2/x"), 1);
}

#[tokio::test]
async fn an_early_answer_to_a_long_upload_says_that_its_connection_ends() {
    let world = World::start();
    world.proven("a", 1).await;
    let (token, label) = (token("a", 1), label_path(1));
    let reply = upload(&world, "PATCH", &label, &token, "").await.reply();
    assert_eq!((reply.status, reply.field("connection")), (413, Some("close")));
}

/// Java's client asks for h2c with its first request; nobody gives it that, and its connection ends like any other.
#[tokio::test]
async fn a_refusal_arrives_at_who_asks_to_switch_protocols_and_goes_on_sending() {
    let world = World::start();
    world.proven("a", 1).await;
    let fields = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n";
    for _ in 0..4 {
        let reply = upload(&world, "PATCH", &label_path(1), &token("a", 1), fields).await;
        reply.reply().assert_error(ErrorKind::BodyTooLarge);
    }
}

/// The head of a request that is refused whatever its body is, of two bytes.
fn refused(fields: &str) -> String {
    let token = token("a", 1);
    format!(
        "OPTIONS /api/v2/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{fields}Content-Length: 2\r\n\r\n"
    )
}

#[tokio::test]
async fn a_connection_goes_on_behind_a_refusal_with_a_short_body_that_comes_with_its_head_or_behind_it() {
    let world = World::start();
    let mut raw = world.proxy.raw().await;
    for _ in 0..4 {
        raw.send(format!("{}{{}}", refused(""))).await;
        let reply = raw.read().await.reply();
        assert_eq!((reply.status, reply.field("connection")), (405, None));
    }
    for _ in 0..40 {
        raw.send(refused("")).await;
        raw.send("{}").await;
        let reply = raw.read().await.reply();
        assert_eq!((reply.status, reply.field("connection")), (405, None));
    }
}

#[tokio::test]
async fn who_sends_no_short_body_is_refused_all_the_same_and_told_that_the_connection_ends() {
    let world = World::start();
    let mut raw = world.proxy.raw().await;
    raw.send(refused("")).await;
    let reply = world.proxy.advancing("the answer", raw.read()).await.reply();
    assert_eq!((reply.status, reply.field("connection")), (405, Some("close")));
    raw.assert_closed().await;
}

#[tokio::test]
async fn who_asks_before_it_sends_is_refused_at_once_and_told_that_the_connection_ends() {
    let world = World::start();
    let mut raw = world.proxy.raw().await;
    raw.send(refused("Expect: 100-continue\r\n")).await;
    let reply = raw.read().await.reply();
    assert_eq!((reply.status, reply.field("connection")), (405, Some("close")));
    raw.assert_closed().await;
}

#[tokio::test]
async fn a_429_arrives_though_the_upload_was_not_read() {
    let world = World::start_shielded_with(|config| {
        config.shield.requests_per_second = 1.try_into().expect("not zero");
    });
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(2);
    caller.get(CAMPAIGNS).send().await.assert_status(200);
    for _ in 0..4 {
        let reply = upload(&world, "POST", "/api/v2/x", &token("a", 1), "Prefer: wait=0\r\n").await;
        reply.reply().assert_error(ErrorKind::OverBudget);
    }
}

#[tokio::test]
async fn what_a_client_goes_on_sending_is_thrown_away_for_a_while_only() {
    let world = World::start();
    world.proven("a", 1).await;
    let mut raw = world.proxy.raw().await;
    let (token, label) = (token("a", 1), label_path(1));
    let head = format!("PATCH {label} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n");
    raw.send(format!("{head}Content-Length: {LENGTH}\r\n\r\n")).await;
    raw.read().await.reply().assert_error(ErrorKind::BodyTooLarge);
    raw.assert_closed().await;
    // Only our side has ended; the connection is still counted.
    world.proxy.metric_reaches("instantly_proxy_connections", &[], 1.0).await;
    let closed = async { while world.proxy.metric("instantly_proxy_connections", &[]).await > 0.0 {} };
    world.proxy.advancing_unconnected("the connection to be closed", closed).await;
}

#[tokio::test]
async fn an_upload_that_the_upstream_answered_early_keeps_no_connection_to_it() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = upstream.local_addr().expect("an address");
    let nobody = TestUpstream::start(|_| Answer::status(500));
    let proxy = TestProxy::start_with(&nobody, |config| {
        config.upstream.url = format!("http://{address}").parse().expect("an address");
    });
    let mut streams = Streams::open(proxy.address()).await;
    let authorization = format!("Bearer {}", token("a", 1));
    let fields = [("authorization", authorization.as_str()), ("content-length", "100000")];
    let mut upload = streams.begin("POST", "/api/v2/x", &fields).await;
    upload.send(vec![b'x'; 70_000]);
    let (mut connection, _) = patiently("a connection", upstream.accept()).await.expect("a connection");
    let mut read = vec![0; 100_000];
    patiently("the head", connection.read(&mut read)).await.expect("its first bytes");
    connection.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await.expect("it is read");
    assert_eq!(upload.answer().await.expect("an answer").status, 403);
    // The client neither goes on nor leaves.
    patiently("the end of the connection", async {
        while connection.read(&mut read).await.is_ok_and(|bytes| bytes > 0) {}
    })
    .await;
    drop((upload, streams));
}
