//! A body is taken for whole only if it was sent whole: what a client calls off is not done, and what is cut on one side
//! is cut on the other.

use h2::Reason;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::labels::{CAMPAIGNS, LABELS, label_path, token};
use crate::support::{Answer, Streams, TestProxy, TestUpstream, World, patiently};

/// Every way in which clients leave a stream; Node's `req.destroy()` says `NO_ERROR`.
const REASONS: [Reason; 4] =
    [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::REFUSED_STREAM];

fn authorization() -> String {
    format!("Bearer {}", token("a", 1))
}

/// Leaves a label write of this method after these bytes of its body, once for each reason, and shows that a whole one
/// behind them is the only one that the vendor sees.
async fn assert_called_off(method: &str, target: &str, length: Option<&str>, sent: &'static [u8]) {
    let world = World::start();
    world.proven("a", 1).await;
    let heads = world.upstream.heads();
    let authorization = authorization();
    let mut fields = vec![("authorization", authorization.as_str()), ("content-type", "application/json")];
    fields.extend(length.map(|length| ("content-length", length)));
    let mut streams = Streams::open(world.proxy.address()).await;
    for (count, reason) in (1..).zip(REASONS) {
        let mut stream = streams.begin(method, target, &fields).await;
        if !sent.is_empty() {
            stream.send(sent);
        }
        streams.flushed().await;
        stream.reset(reason);
        streams.flushed().await;
        let labels = [("route", "lead_label_write")];
        world.proxy.metric_reaches("instantly_proxy_requests_total", &labels, f64::from(count)).await;
        assert_eq!(world.upstream.heads(), heads, "{reason}: something went upstream");
    }
    let whole = world.caller("a", 1).over_http2().patch(&label_path(1), "{\"label\":\"new\"}").send().await;
    whole.assert_status(200);
    assert_eq!(world.upstream.heads(), heads + 1);
}

#[tokio::test]
async fn a_label_write_that_is_left_inside_its_body_is_not_sent() {
    let half = b"{\"label\":\"ha";
    assert_called_off("PATCH", &label_path(1), Some("40"), half).await;
    assert_called_off("POST", LABELS, None, b"{\"label\":\"half\"}").await;
}

#[tokio::test]
async fn a_called_off_delete_deletes_nothing() {
    for length in [None, Some("0"), Some("26")] {
        assert_called_off("DELETE", &label_path(1), length, b"").await;
    }
}

/// An upstream that hands its connections over as they come.
async fn listening() -> (TcpListener, TestUpstream, TestProxy) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let upstream = TestUpstream::start(|_| Answer::close());
    let proxy = TestProxy::start_with(&upstream, |config| config.upstream.url = url.parse().expect("a url"));
    (listener, upstream, proxy)
}

/// What came until the connection ended.
async fn all_of(mut upstream: TcpStream) -> String {
    let mut read = Vec::new();
    let _ = patiently("the end of the upload", upstream.read_to_end(&mut read)).await;
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn an_upload_that_is_left_is_cut_upstream_and_never_ended() {
    let (listener, _upstream, proxy) = listening().await;
    let authorization = authorization();
    for method in ["POST", "DELETE", "GET"] {
        for length in [None, Some("100000")] {
            for reason in REASONS {
                let mut fields = vec![("authorization", authorization.as_str())];
                fields.extend(length.map(|length| ("content-length", length)));
                let mut streams = Streams::open(proxy.address()).await;
                let mut stream = streams.begin(method, CAMPAIGNS, &fields).await;
                // As much as a caller that is not known must have sent.
                stream.send("x".repeat(64 * 1024));
                let (upstream, _) = patiently("the call", listener.accept()).await.expect("a connection");
                let mut begun = [0; 1];
                patiently("its head", upstream.peek(&mut begun)).await.expect("a head");
                streams.flushed().await;
                stream.reset(reason);
                let seen = all_of(upstream).await;
                let whole = seen.ends_with("\r\n0\r\n\r\n") || length.is_none() && !seen.contains("chunked");
                assert!(!whole, "{method} {length:?} {reason}: the upload was ended: {seen}");
            }
        }
    }
}

#[tokio::test]
async fn a_called_off_call_with_an_announced_length_of_zero_is_not_sent() {
    let world = World::start();
    world.proven("a", 1).await;
    let (heads, authorization) = (world.upstream.heads(), authorization());
    let mut streams = Streams::open(world.proxy.address()).await;
    for (count, reason) in (1..).zip(REASONS) {
        let fields = [("authorization", authorization.as_str()), ("content-length", "0")];
        let stream = streams.begin("DELETE", "/api/v2/campaigns/x", &fields).await;
        streams.flushed().await;
        stream.reset(reason);
        streams.flushed().await;
        let labels = [("route", "pass_through")];
        world.proxy.metric_reaches("instantly_proxy_requests_total", &labels, f64::from(count)).await;
        assert_eq!(world.upstream.heads(), heads, "{reason}: something went upstream");
    }
}

/// RFC 9113 §8.1: a server that has answered early may stop the upload so.
#[tokio::test]
async fn an_early_answer_is_whole_and_its_upload_is_stopped_without_an_error() {
    let world = World::start();
    world.proven("a", 1).await;
    let authorization = authorization();
    let mut streams = Streams::open(world.proxy.address()).await;
    let fields = [("authorization", authorization.as_str()), ("content-length", "2000000")];
    let mut stream = streams.begin("PATCH", &label_path(1), &fields).await;
    let reply = stream.answer().await.expect("a whole answer");
    reply.assert_error(instantly_proxy::error::ErrorKind::BodyTooLarge);
    assert_eq!(stream.was_reset().await, Reason::NO_ERROR);
}
