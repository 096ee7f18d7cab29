//! TLS on both sides: label calls share HTTP/2, pass-through has HTTP/1.1 to itself, and doubt about a certificate is an
//! error, never plaintext.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use instantly_proxy::clock::Clock;
use instantly_proxy::config::Config;
use instantly_proxy::error::ErrorKind;
use instantly_proxy::simulator::{Arrival, Simulator, SimulatorConfig};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::labels::{CAMPAIGNS, LABELS};
use crate::support::{Answer, Caller, ListensBehindTls, TestProxy, TestUpstream, patiently, together};

/// A simulator that speaks TLS, and a file with the root that it is to be trusted by.
struct Stage {
    simulator: Simulator,
    folder: TempDir,
}

impl Stage {
    async fn start() -> Self {
        let config = SimulatorConfig { tls: true, ..SimulatorConfig::default() };
        let simulator = Simulator::start(config, Clock::system()).await.expect("a free port");
        let stage = Self { simulator, folder: TempDir::new().expect("a temporary folder can be made") };
        stage.write("ca.pem", stage.simulator.ca_pem().expect("with TLS there is a root"));
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file can be written there");
    }

    /// A proxy in front of the simulator that trusts the roots of this file.
    fn proxy(&self, roots: &str) -> TestProxy {
        proxy_of(&self.simulator.url(), |config| config.upstream.ca_file = Some(self.path(roots)))
    }

    fn caller(&self, proxy: &TestProxy) -> Caller {
        proxy.caller(self.simulator.world().organizations()[0].keys()[0].secret())
    }

    fn item(&self, n: usize) -> String {
        format!("{LABELS}/{}", self.simulator.world().organizations()[0].labels()[n].id)
    }

    fn arrivals(&self, chosen: impl Fn(&Arrival) -> bool) -> Vec<Arrival> {
        self.simulator.counters().recent().into_iter().filter(chosen).collect()
    }
}

fn proxy_of(url: &str, change: impl FnOnce(&mut Config)) -> TestProxy {
    // Never asked: the address is changed before anything starts.
    let nobody = TestUpstream::start(|_| Answer::status(500));
    TestProxy::start_with(&nobody, |config| {
        config.upstream.url = url.parse().expect("an address");
        change(config);
    })
}

#[tokio::test]
async fn label_calls_share_http_2_and_each_pass_through_call_has_http_1_1_to_itself() {
    let stage = Stage::start().await;
    let proxy = stage.proxy("ca.pem");
    let caller = stage.caller(&proxy);
    caller.get(&stage.item(0)).send().await.assert_status(200).assert_proof();
    let reads = together(8, |n| caller.get(&stage.item(n + 1)).send());
    for read in reads.await {
        read.assert_status(200).assert_miss();
    }
    let changed = caller.patch(&stage.item(0), r#"{"label":"changed"}"#).send().await;
    changed.assert_label("changed");
    caller.get(&stage.item(0)).send().await.assert_label("changed").assert_miss();
    caller.get(&stage.item(0)).send().await.assert_hit();
    let calls = together(4, |_| caller.get(CAMPAIGNS).send());
    for call in calls.await {
        call.assert_status(200);
    }
    let labels = stage.arrivals(|arrival| arrival.target.starts_with(LABELS));
    assert_eq!(labels.len(), 11);
    assert!(labels.iter().all(|arrival| arrival.version == Version::HTTP_2), "{labels:?}");
    assert!(labels.iter().all(|arrival| arrival.connection == labels[0].connection), "one for all");
    let calls = stage.arrivals(|arrival| arrival.target == CAMPAIGNS);
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|arrival| arrival.version == Version::HTTP_11), "{calls:?}");
}

#[tokio::test]
async fn readers_that_stall_in_lists_too_large_to_keep_hold_up_nobody_elses_labels() {
    let stage = Stage::start().await;
    let proxy = stage.proxy("ca.pem");
    let caller = stage.caller(&proxy);
    let long = format!(r#"{{"description":"{}"}}"#, "x".repeat(900 * 1024));
    for n in 1..12 {
        caller.patch(&stage.item(n), &long).send().await.assert_status(200);
    }
    let key = stage.simulator.world().organizations()[0].keys()[0].secret().to_owned();
    let mut stalled = Vec::new();
    for limit in 50..58 {
        let mut reader = proxy.raw().await;
        let head = format!(
            "GET {LABELS}?limit={limit} HTTP/1.1\r\nhost: proxy\r\nauthorization: Bearer {key}\r\n\r\n"
        );
        reader.send(head).await;
        assert_eq!(reader.read_head_only().await.status(), 200);
        stalled.push(reader);
    }
    caller.get(&stage.item(0)).send().await.assert_status(200);
}

#[tokio::test]
async fn new_roots_hold_for_new_connections_and_broken_ones_change_nothing() {
    let stage = Stage::start().await;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    stage.write("roots.pem", &other.cert.pem());
    let proxy = stage.proxy("roots.pem");
    let caller = stage.caller(&proxy);
    caller.get(CAMPAIGNS).send().await.assert_error(ErrorKind::UntrustedCertificate);
    stage.write("roots.pem", stage.simulator.ca_pem().expect("with TLS there is a root"));
    let trusted = async { while caller.get(CAMPAIGNS).send().await.status != 200 {} };
    proxy.advancing("the file to be looked at", trusted).await;
    stage.write("roots.pem", "no certificate");
    for _ in 0..3 {
        proxy.advance_seconds(60);
        caller.get(CAMPAIGNS).send().await.assert_status(200);
    }
}

#[tokio::test]
async fn an_upstream_that_the_roots_do_not_know_is_never_sent_a_request() {
    let stage = Stage::start().await;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    stage.write("other.pem", &other.cert.pem());
    let proxy = stage.proxy("other.pem");
    let caller = stage.caller(&proxy);
    caller.get(&stage.item(0)).send().await.assert_error(ErrorKind::UntrustedCertificate);
    let called = caller.get(CAMPAIGNS).send().await;
    called.assert_error(ErrorKind::UntrustedCertificate);
    assert_eq!(called.field("proxy-status"), Some("instantly-proxy; error=tls_certificate_error"));
    let written = caller.patch(&stage.item(0), r#"{"label":"changed"}"#).send().await;
    written.assert_error(ErrorKind::UntrustedCertificate).assert_status(502);
    // Three failures open the breaker.
    caller.get(CAMPAIGNS).send().await.assert_error(ErrorKind::Unreachable);
    assert_eq!(stage.simulator.counters().requests(), 0);
}

#[tokio::test]
async fn a_certificate_that_signed_itself_as_an_authority_is_trusted_by_its_own_file() {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let own = params.self_signed(&key).expect("a certificate");
    let look_alike = params.self_signed(&rcgen::KeyPair::generate().expect("a key")).expect("another");
    let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .expect("they fit");
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    let folder = TempDir::new().expect("a temporary folder can be made");
    for (certificate, trusted) in [(&own, true), (&look_alike, false)] {
        let file = folder.path().join("ca.pem");
        fs::write(&file, certificate.pem()).expect("a file can be written there");
        let proxy = proxy_of(&format!("https://localhost:{port}"), |config| {
            config.upstream.ca_file = Some(file);
        });
        let called = proxy.caller("key").get(CAMPAIGNS).send().await;
        match trusted {
            true => called.assert_status(200),
            false => called.assert_error(ErrorKind::UntrustedCertificate),
        };
    }
    serving.abort();
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let stage = Stage::start().await;
    let port = stage.simulator.address().port();
    // Another address of this machine, for which the certificate does not stand.
    let proxy = proxy_of(&format!("https://127.0.0.2:{port}"), |config| {
        config.upstream.ca_file = Some(stage.path("ca.pem"));
    });
    // The simulator does not listen there: forward the bytes.
    let listener = TcpListener::bind(("127.0.0.2", port)).await.expect("loopback has many addresses");
    let address = stage.simulator.address();
    let forwarding = tokio::spawn(async move {
        let (mut inbound, _) = listener.accept().await.expect("a connection");
        let mut outbound = TcpStream::connect(address).await.expect("the simulator accepts");
        let _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await;
    });
    let caller = stage.caller(&proxy);
    caller.get(&stage.item(0)).send().await.assert_error(ErrorKind::UntrustedCertificate);
    assert_eq!(stage.simulator.counters().requests(), 0);
    forwarding.abort();
}

#[tokio::test]
async fn an_upstream_that_speaks_plaintext_where_tls_is_due_gets_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let listening = tokio::spawn(async move {
        let mut heard = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut bytes = vec![0; 4096];
            let length = stream.read(&mut bytes).await.unwrap_or_default();
            heard.push(bytes[..length].to_vec());
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            if heard.len() == 2 {
                return heard;
            }
        }
    });
    let proxy = proxy_of(&format!("https://localhost:{port}"), |_| {});
    let caller = proxy.caller("c2VjcmV0OmNhbmFyeQ==");
    let called = caller.get(CAMPAIGNS).send().await;
    called.assert_error(ErrorKind::TlsFailed);
    assert_eq!(called.field("proxy-status"), Some("instantly-proxy; error=tls_protocol_error"));
    caller.get(LABELS).send().await.assert_error(ErrorKind::TlsFailed);
    for bytes in patiently("two connections", listening).await.expect("no panic") {
        const HANDSHAKE: u8 = 0x16;
        assert_eq!(bytes.first(), Some(&HANDSHAKE));
        assert!(!bytes.windows(4).any(|part| part == b"HTTP" || part == b"c2Vj"), "plaintext");
    }
}

#[tokio::test]
async fn clients_come_by_tls_with_http_2_and_http_1_1_and_share_what_is_stored() {
    let stage = Stage::start().await;
    let tls = ListensBehindTls::new();
    let proxy = proxy_of(&stage.simulator.url(), |config| {
        config.upstream.ca_file = Some(stage.path("ca.pem"));
        config.listen.tls = Some(tls.config());
    });
    let bearer = stage.simulator.world().organizations()[0].keys()[0].bearer();
    let request = |target: &str| {
        let request = Request::get(target).header("authorization", &bearer);
        let request = if target.starts_with('/') { request.header("host", "localhost") } else { request };
        request.body(Full::<Bytes>::default()).expect("a request")
    };
    let item = stage.item(0);

    let io = TokioIo::new(tls.connect(proxy.address(), b"http/1.1").await);
    let (mut one, connection) = http1::handshake(io).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let first = patiently("an answer", one.send_request(request(&item))).await.expect("an answer");
    assert_eq!(first.headers()["cache-status"], "instantly-proxy; fwd=request; detail=proof");
    let first = first.into_body().collect().await.expect("a whole answer").to_bytes();

    let io = TokioIo::new(tls.connect(proxy.address(), b"h2").await);
    let (mut two, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    tokio::spawn(connection);
    let sent = two.send_request(request(&format!("https://localhost{item}")));
    let second = patiently("an answer", sent).await.expect("an answer");
    let status = second.headers()["cache-status"].to_str().expect("text").to_owned();
    assert!(status.starts_with("instantly-proxy; hit"), "{status}");
    let second = second.into_body().collect().await.expect("a whole answer").to_bytes();
    assert_eq!(first, second);
    assert_eq!(stage.simulator.counters().requests(), 1);
}
