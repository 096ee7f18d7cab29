//! An upstream that speaks HTTP/2 frame by frame: half answers, refusals, and one connection for all label calls.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, Method, Response};
use instantly_proxy::error::ErrorKind;
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::labels::{label, label_path, token};
use crate::support::{Caller, Http2Tls, TestProxy, patiently, proxy_before, together};

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Answers with the label.
    Answer,
    /// Announces the label, sends ten bytes of it, and resets with this reason.
    Cut(Reason),
    /// Sends the label whole, and no end; then resets with this reason.
    NoEnd(Reason),
    /// Refuses the stream before it looks at it.
    Refuse,
    /// The same once eight of them are here.
    RefuseEight,
    /// Answers, and takes no further streams on this connection (RFC 9113 §6.8).
    Leave,
    /// Answers with a head of so many bytes.
    LongHead(usize),
}

type Script = Arc<dyn Fn(&Method, usize) -> Deed + Send + Sync>;

/// Such an upstream, and a proxy in front of it.
struct Stage {
    proxy: TestProxy,
    connections: Arc<AtomicUsize>,
    /// Method and fields of each request that was not refused.
    processed: Arc<Mutex<Vec<(Method, HeaderMap)>>>,
    _folder: TempDir,
}

impl Stage {
    /// Does as `script` says with the request of this method and number, from 1.
    async fn start(script: impl Fn(&Method, usize) -> Deed + Send + Sync + 'static) -> Self {
        let Http2Tls { acceptor, roots, folder } = Http2Tls::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let processed = Arc::new(Mutex::new(Vec::new()));
        let served =
            Served { script: Arc::new(script), number: Arc::default(), processed: Arc::clone(&processed) };
        let accepted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let (acceptor, served) = (acceptor.clone(), served.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        served.serve(stream).await;
                    }
                });
            }
        });
        Self { proxy: proxy_before(address, roots), connections, processed, _folder: folder }
    }

    fn caller(&self) -> Caller {
        self.proxy.caller(&token("a", 1))
    }

    fn processed(&self, method: &Method) -> usize {
        self.processed.lock().expect("no panic").iter().filter(|(processed, _)| processed == method).count()
    }
}

#[derive(Clone)]
struct Served {
    script: Script,
    number: Arc<AtomicUsize>,
    processed: Arc<Mutex<Vec<(Method, HeaderMap)>>>,
}

impl Served {
    async fn serve<S>(self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((request, answer))) = connection.accept().await {
            let number = self.number.fetch_add(1, Ordering::SeqCst) + 1;
            let deed = (self.script)(request.method(), number);
            if !matches!(deed, Deed::Refuse | Deed::RefuseEight) {
                let (head, _) = request.into_parts();
                self.processed.lock().expect("no panic").push((head.method, head.headers));
            }
            perform(deed, answer);
            if deed == Deed::Leave {
                connection.graceful_shutdown();
            }
        }
    }
}

fn perform(deed: Deed, mut answer: SendResponse<Bytes>) {
    let body = Bytes::from(label("a", 1, "a-1"));
    let head = || Response::builder().header("content-type", "application/json");
    match deed {
        Deed::RefuseEight => {
            static EIGHT: Mutex<Vec<SendResponse<Bytes>>> = Mutex::new(Vec::new());
            let mut eight = EIGHT.lock().expect("no panic");
            eight.push(answer);
            if eight.len() == 8 {
                for mut answer in eight.drain(..) {
                    answer.send_reset(Reason::REFUSED_STREAM);
                }
            }
        }
        Deed::Refuse => answer.send_reset(Reason::REFUSED_STREAM),
        Deed::Answer | Deed::Leave => {
            let mut stream =
                answer.send_response(head().body(()).expect("a head"), false).expect("the stream is open");
            stream.send_data(body, true).expect("the stream is open");
        }
        Deed::Cut(reason) => {
            let announced = head().header("content-length", body.len()).body(()).expect("a head");
            let mut stream = answer.send_response(announced, false).expect("the stream is open");
            stream.send_data(body.slice(..10), false).expect("the stream is open");
            reset_once_sent(stream, reason);
        }
        Deed::NoEnd(reason) => {
            let mut stream =
                answer.send_response(head().body(()).expect("a head"), false).expect("the stream is open");
            stream.send_data(body, false).expect("the stream is open");
            reset_once_sent(stream, reason);
        }
        Deed::LongHead(length) => {
            let long = head().header("x-long", "x".repeat(length)).body(()).expect("a head");
            let mut stream = answer.send_response(long, false).expect("the stream is open");
            stream.send_data(body, true).expect("the stream is open");
        }
    }
}

/// h2 drops what waits in a stream that is reset: the reset follows when the bytes are out.
fn reset_once_sent(mut stream: h2::SendStream<Bytes>, reason: Reason) {
    tokio::spawn(async move {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        stream.send_reset(reason);
    });
}

/// RFC 9113 §8.1: a reset is no end, whatever its reason.
#[tokio::test]
async fn half_an_answer_is_an_error_and_a_whole_one_without_its_end_is_not_stored() {
    for deed in [
        Deed::Cut(Reason::NO_ERROR),
        Deed::Cut(Reason::CANCEL),
        Deed::NoEnd(Reason::NO_ERROR),
        Deed::NoEnd(Reason::INTERNAL_ERROR),
    ] {
        let stage = Stage::start(move |_, number| if number <= 2 { deed } else { Deed::Answer }).await;
        let caller = stage.caller();
        for _ in 0..2 {
            let reply = caller.get(&label_path(1)).send().await;
            reply.assert_error(ErrorKind::BadUpstreamAnswer);
        }
        caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
        caller.get(&label_path(1)).send().await.assert_hit();
    }
}

/// RFC 9113 §8.7.
#[tokio::test]
async fn reads_and_writes_that_the_upstream_refused_are_sent_again_and_processed_once() {
    let stage = Stage::start(|_, number| if number % 2 == 1 { Deed::Refuse } else { Deed::Answer }).await;
    let caller = stage.caller();
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    let changed = caller.patch(&label_path(1), r#"{"label":"a-1"}"#).send().await;
    changed.assert_status(200).assert_label("a-1");
    assert_eq!((stage.processed(&Method::GET), stage.processed(&Method::PATCH)), (1, 1));
    assert_eq!(stage.proxy.metric("instantly_proxy_retries_total", &[]).await, 0.0);
}

#[tokio::test]
async fn a_write_that_is_refused_again_and_again_has_had_no_effect_and_says_so() {
    let stage =
        Stage::start(|method, _| if method == Method::PATCH { Deed::Refuse } else { Deed::Answer }).await;
    let caller = stage.caller();
    caller.get(&label_path(1)).send().await.assert_proof();
    let refused = caller.patch(&label_path(1), r#"{"label":"x"}"#).send().await;
    refused.assert_error(ErrorKind::NotTaken);
    caller.get(&label_path(1)).send().await.assert_hit();
}

#[tokio::test]
async fn a_read_that_is_refused_again_and_again_is_answered_with_the_stale_label() {
    let refuses = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&refuses);
    let stage =
        Stage::start(move |_, _| if asked.load(Ordering::SeqCst) { Deed::Refuse } else { Deed::Answer })
            .await;
    stage.proxy.reload(|config| {
        config.cache.lead_labels.ttl = Duration::from_secs(20);
        config.cache.lead_labels.stale_while_revalidate = Duration::ZERO;
        config.cache.lead_labels.stale_if_error = Duration::from_secs(100);
    });
    let caller = stage.caller();
    caller.get(&label_path(1)).send().await.assert_proof();
    stage.proxy.advance_seconds(25);
    refuses.store(true, Ordering::SeqCst);
    let reply = caller.get(&label_path(1)).send().await;
    reply.assert_label("a-1");
    assert!(reply.cache_status().ends_with("; detail=stale-error"), "{reply:?}");
}

#[tokio::test]
async fn a_head_over_its_bound_is_told_from_a_refusal_and_not_asked_for_again() {
    let stage = Stage::start(
        |_, number| if number == 1 { Deed::LongHead(70 * 1024) } else { Deed::LongHead(40 * 1024) },
    )
    .await;
    let caller = stage.caller();
    caller.get(&label_path(1)).send().await.assert_error(ErrorKind::BadAnswerHead);
    assert_eq!(stage.processed(&Method::GET), 1);
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
}

#[tokio::test]
async fn calls_that_find_no_connection_wait_for_one_and_carry_no_host() {
    let stage = Stage::start(|_, _| Deed::Answer).await;
    let calls = together(40, |n| {
        stage.proxy.caller(&token("a", u32::try_from(n).expect("small") + 1)).get(&label_path(1)).send()
    });
    for call in calls.await {
        call.assert_status(200);
    }
    assert_eq!(stage.connections.load(Ordering::SeqCst), 1);
    let processed = stage.processed.lock().expect("no panic");
    assert!(processed.iter().all(|(_, fields)| !fields.contains_key("host")));
}

#[tokio::test]
async fn an_upstream_that_leaves_after_every_answer_loses_no_call() {
    let stage = Stage::start(|_, _| Deed::Leave).await;
    let caller = stage.caller();
    for _ in 0..5 {
        caller.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_status(200);
        caller.patch(&label_path(1), r#"{"label":"a-1"}"#).send().await.assert_status(200);
        for read in together(8, |n| {
            stage.proxy.caller(&token("a", u32::try_from(n).expect("small") + 10)).get(&label_path(1)).send()
        })
        .await
        {
            read.assert_status(200);
        }
        stage.proxy.advance_seconds(61);
    }
    assert_eq!(stage.processed(&Method::PATCH), 5);
    assert_eq!(stage.proxy.metric("instantly_proxy_retries_total", &[]).await, 0.0);
}

#[tokio::test]
async fn a_refused_call_of_an_unverified_caller_does_not_wait_for_its_own_place() {
    let stage = Stage::start(|_, number| if number <= 8 { Deed::RefuseEight } else { Deed::Answer }).await;
    let caller = stage.caller();
    // As many as an unverified caller may have under way.
    let patch = || caller.patch(&label_path(1), r#"{"label":"x"}"#).field("prefer", "wait=0");
    for answer in together(8, |_| patch().send()).await {
        answer.assert_status(200);
    }
}

/// Serves labels over HTTP/1.1 until the other side ends the connection.
async fn serve_http1(mut stream: TlsStream<TcpStream>, served: Arc<AtomicUsize>) {
    let body = label("a", 1, "a-1");
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            served.fetch_add(1, Ordering::SeqCst);
            let fields = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
            let answer = format!("{fields}Content-Length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// An upstream that moves, and whose new place speaks no HTTP/2, is followed.
#[tokio::test]
async fn a_connection_that_is_too_old_is_given_up_for_one_that_speaks_http1_too() {
    let Http2Tls { acceptor, roots, folder: _folder } = Http2Tls::new();
    let mut config = ServerConfig::clone(acceptor.config());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let http1 = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let moved = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&moved);
    tokio::spawn(async move {
        let (first, _) = listener.accept().await.expect("a connection");
        let served = Served {
            script: Arc::new(|_, _| Deed::Answer),
            number: Arc::default(),
            processed: Arc::default(),
        };
        tokio::spawn(async move { served.serve(acceptor.accept(first).await.expect("TLS")).await });
        while let Ok((next, _)) = listener.accept().await {
            let (http1, counted) = (http1.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                if let Ok(stream) = http1.accept(next).await {
                    serve_http1(stream, counted).await;
                }
            });
        }
    });
    let proxy = proxy_before(address, roots);
    let caller = proxy.caller(&token("a", 1));
    caller.get(&label_path(1)).send().await.assert_status(200);
    assert_eq!(moved.load(Ordering::SeqCst), 0);
    proxy.advance_seconds(301);
    patiently("calls to the new place", async {
        while moved.load(Ordering::SeqCst) < 3 {
            proxy.advance_seconds(1);
            caller.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_status(200);
        }
    })
    .await;
}
