//! Calls through a forward proxy: Debian's squid and tinyproxy, and one that is spoken to by TLS. What it refuses is never
//! taken for an answer of the API.

use std::convert::Infallible;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use instantly_proxy::clock::Clock;
use instantly_proxy::config::{ClientCertificate, Config, ForwardProxy, NoProxy, ProxyAuthorization};
use instantly_proxy::error::ErrorKind;
use instantly_proxy::simulator::{Simulator, SimulatorConfig};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;

use crate::support::labels::{CAMPAIGNS, LABELS, token};
use crate::support::{Answer, Caller, Serving, TestProxy, TestUpstream, World, patiently};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Squid,
    Tinyproxy,
}

/// A real forward proxy that lets `user:right` through, to some ports. Squid knows where `collector.test` is, and nobody else does.
struct Forward {
    child: Child,
    port: u16,
    folder: TempDir,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Another program may take a port between its being found free and the proxy's start.
const STARTS: usize = 5;

impl Forward {
    async fn start(kind: Kind, allowed: &[u16]) -> Self {
        for _ in 0..STARTS {
            if let Some(started) = Self::try_start(kind, allowed).await {
                return started;
            }
        }
        panic!("{kind:?} did not start in {STARTS} tries");
    }

    /// None where it ended instead of listening.
    async fn try_start(kind: Kind, allowed: &[u16]) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let at = |name: &str| folder.path().join(name).display().to_string();
        // Either gives up its rights, and must still get in.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
        let port = free_port();
        let ports = |between: &str| allowed.iter().map(u16::to_string).collect::<Vec<_>>().join(between);
        let configuration = match kind {
            Kind::Squid => {
                fs::write(at("hosts"), "127.0.0.1 localhost collector.test\n").expect("it is ours");
                let helper = at("helper");
                let script = "#!/bin/sh\nwhile read -r line; do [ \"$line\" = 'user right' ] && echo OK || echo ERR; done\n";
                fs::write(&helper, script).expect("it is ours");
                fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("it is ours");
                format!(
                    "http_port 127.0.0.1:{port}\npid_filename none\ncache deny all\nshutdown_lifetime 0 seconds\n\
                     access_log stdio:{}\ncache_log {}\ncoredump_dir {}\n\
                     auth_param basic program {helper}\nauth_param basic children 1 startup=1\n\
                     hosts_file {}\nacl known proxy_auth REQUIRED\nacl allowed port {}\n\
                     http_access deny !allowed\nhttp_access allow known\nhttp_access deny all\n",
                    at("access.log"),
                    at("cache.log"),
                    at(""),
                    at("hosts"),
                    ports(" "),
                )
            }
            Kind::Tinyproxy => format!(
                "Listen 127.0.0.1\nPort {port}\nTimeout 10\nAllow 127.0.0.1\nBasicAuth user right\n\
                 ConnectPort {}\nLogFile \"{}\"\nLogLevel Info\n",
                ports("\nConnectPort "),
                at("access.log")
            ),
        };
        fs::write(at("conf"), configuration).expect("it is ours");
        let mut command = match kind {
            Kind::Squid => Command::new("/usr/sbin/squid"),
            Kind::Tinyproxy => Command::new("/usr/bin/tinyproxy"),
        };
        match kind {
            Kind::Squid => command.args(["-N", "-f", &at("conf")]),
            Kind::Tinyproxy => command.args(["-d", "-c", &at("conf")]),
        };
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("squid and tinyproxy are installed: tests/run does it");
        let listens = patiently("a forward proxy", async {
            loop {
                if child.try_wait().expect("it is a child of ours").is_some() {
                    return false;
                }
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return true;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        listens.then_some(Self { child, port, folder })
    }

    fn settings(&self) -> ForwardProxy {
        ForwardProxy::at(format!("http://127.0.0.1:{}", self.port).parse().expect("a URL"))
    }

    /// What it has logged.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An API with TLS.
struct Stage {
    simulator: Simulator,
    folder: TempDir,
}

impl Stage {
    async fn start() -> Self {
        let config = SimulatorConfig { tls: true, ..SimulatorConfig::default() };
        let simulator = Simulator::start(config, Clock::system()).await.expect("a free port");
        let folder = TempDir::new().expect("a temporary folder can be made");
        let stage = Self { simulator, folder };
        stage.write("ca.pem", stage.simulator.ca_pem().expect("with TLS there is a root"));
        stage
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file can be written there");
        path
    }

    fn port(&self) -> u16 {
        let url: http::Uri = self.simulator.url().parse().expect("a URL");
        url.port_u16().expect("it has a port")
    }

    fn proxy(&self, forward: ForwardProxy, change: impl FnOnce(&mut Config)) -> TestProxy {
        // Never asked: the address is changed before anything starts.
        let nobody = TestUpstream::start(|_| Answer::status(500));
        TestProxy::start_with(&nobody, |config| {
            config.upstream.url = self.simulator.url().parse().expect("a URL");
            config.upstream.ca_file = Some(self.folder.path().join("ca.pem"));
            config.upstream.proxy = Some(forward);
            change(config);
        })
    }

    fn caller(&self, proxy: &TestProxy) -> Caller {
        proxy.caller(self.simulator.world().organizations()[0].keys()[0].secret())
    }

    fn item(&self, n: usize) -> String {
        format!("{LABELS}/{}", self.simulator.world().organizations()[0].labels()[n].id)
    }
}

async fn calls_go_through(kind: Kind) {
    let stage = Stage::start().await;
    let forward = Forward::start(kind, &[stage.port()]).await;
    let file = stage.write("authorization", "user:right\n");
    let authorization = Some(ProxyAuthorization::File(file));
    let proxy = stage.proxy(ForwardProxy { authorization, ..forward.settings() }, |_| {});
    let caller = stage.caller(&proxy);
    caller.get(&stage.item(0)).send().await.assert_status(200).assert_proof();
    caller.get(&stage.item(0)).send().await.assert_status(200).assert_hit();
    caller.get("/api/v2/campaigns").send().await.assert_status(200);

    // From here on the proxy refuses: nothing that it says is the API's word.
    stage.write("authorization", "user:wrong\n");
    proxy.reload(|_| {});
    let refused = caller.get(&stage.item(1)).send().await;
    assert_eq!(refused.error_kind(), Some(ErrorKind::EgressFailed));
    let passed = caller.get("/api/v2/campaigns").send().await;
    // Three of these are an API that cannot be reached.
    let failed = [Some(ErrorKind::EgressFailed), Some(ErrorKind::Unreachable)];
    assert!(failed.contains(&passed.error_kind()), "{passed:?}");
    caller.get(&stage.item(0)).send().await.assert_status(200).assert_hit();
    let url: http::Uri = stage.simulator.url().parse().expect("a URL");
    let target = format!("CONNECT {}", url.authority().expect("a host"));
    let log = forward.log();
    assert!(log.contains(&target), "{target}: {log}");
}

#[tokio::test]
async fn calls_go_through_squid_and_its_refusals_end_no_proof() {
    calls_go_through(Kind::Squid).await;
}

/// It answers 401 to a wrong password, as the API does to a revoked key.
#[tokio::test]
async fn calls_go_through_tinyproxy_and_its_401_ends_no_proof() {
    calls_go_through(Kind::Tinyproxy).await;
}

#[tokio::test]
async fn a_port_that_the_proxy_forbids_and_a_name_that_it_cannot_find_are_no_answers_of_the_api() {
    let stage = Stage::start().await;
    for kind in [Kind::Squid, Kind::Tinyproxy] {
        for (url, allowed) in
            [(stage.simulator.url(), free_port()), ("https://nowhere.invalid:8443".to_owned(), 8443)]
        {
            let forward = Forward::start(kind, &[allowed]).await;
            let authorization = Some(ProxyAuthorization::Given("user:right".to_owned()));
            let settings = ForwardProxy { authorization, ..forward.settings() };
            let proxy = stage.proxy(settings, |config| config.upstream.url = url.parse().expect("a URL"));
            let reply = proxy.caller("any").get("/api/v2/campaigns").send().await;
            assert_eq!(
                (reply.status, reply.error_kind()),
                (502, Some(ErrorKind::EgressFailed)),
                "{kind:?} {url}"
            );
        }
    }
}

#[tokio::test]
async fn without_credentials_or_without_a_proxy_there_calls_fail_and_what_is_excepted_goes_straight() {
    let stage = Stage::start().await;
    let forward = Forward::start(Kind::Squid, &[stage.port()]).await;
    let proxy = stage.proxy(forward.settings(), |_| {});
    let refused = stage.caller(&proxy).get(&stage.item(0)).send().await;
    assert_eq!(refused.error_kind(), Some(ErrorKind::EgressFailed));

    let nobody = ForwardProxy::at(format!("http://127.0.0.1:{}", free_port()).parse().expect("a URL"));
    let proxy = stage.proxy(nobody.clone(), |_| {});
    let refused = stage.caller(&proxy).get(&stage.item(0)).send().await;
    assert_eq!(refused.error_kind(), Some(ErrorKind::EgressFailed));

    let except = NoProxy::parse("127.0.0.0/8, localhost").expect("a list");
    let proxy = stage.proxy(ForwardProxy { except, ..nobody }, |_| {});
    stage.caller(&proxy).get(&stage.item(0)).send().await.assert_status(200);
}

/// A forward proxy that is spoken to by TLS and counts its tunnels, and the certificate that it shows.
async fn with_tls(tunnels: Arc<AtomicUsize>) -> (SocketAddr, String) {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("it can be made");
    let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()).into();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    let server =
        server.with_no_client_auth().with_single_cert(vec![issued.cert.der().clone()], key).expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, tunnels) = (acceptor.clone(), Arc::clone(&tunnels));
            tokio::spawn(async move {
                let mut stream = BufReader::new(acceptor.accept(stream).await.ok()?);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    stream.read_line(&mut head).await.ok().filter(|read| *read > 0)?;
                }
                // "user:right", RFC 7617.
                let is_known =
                    head.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpyawdoda==\r\n");
                let target = head.strip_prefix("CONNECT ")?.split(' ').next()?;
                if !is_known {
                    stream.write_all(b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n").await.ok()?;
                    return None;
                }
                let mut upstream = tokio::net::TcpStream::connect(target).await.ok()?;
                tunnels.fetch_add(1, Ordering::SeqCst);
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
                tokio::io::copy_bidirectional(&mut stream, &mut upstream).await.ok()
            });
        }
    });
    (address, issued.cert.pem())
}

#[tokio::test]
async fn a_proxy_may_be_spoken_to_by_tls_and_every_connection_is_a_tunnel() {
    let stage = Stage::start().await;
    let tunnels = Arc::new(AtomicUsize::new(0));
    let (address, root) = with_tls(Arc::clone(&tunnels)).await;
    let settings = ForwardProxy {
        authorization: Some(ProxyAuthorization::Given("user:right".to_owned())),
        ca_file: Some(stage.write("proxy-ca.pem", &root)),
        ..ForwardProxy::at(format!("https://{address}").parse().expect("a URL"))
    };
    let proxy = stage.proxy(settings.clone(), |_| {});
    let caller = stage.caller(&proxy);
    caller.get(&stage.item(0)).send().await.assert_status(200);
    caller.get("/api/v2/campaigns").send().await.assert_status(200);
    let mut connections: Vec<_> =
        stage.simulator.counters().recent().iter().map(|arrival| arrival.connection).collect();
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections.len(), tunnels.load(Ordering::SeqCst), "none went past it");

    let untrusted = ForwardProxy { ca_file: None, ..settings };
    let proxy = stage.proxy(untrusted, |_| {});
    let refused = stage.caller(&proxy).get(&stage.item(0)).send().await;
    assert_eq!(refused.error_kind(), Some(ErrorKind::EgressFailed), "its certificate is not the API's");
}

/// Answers 200 to whoever shows a certificate that this one has signed.
#[tokio::test]
async fn a_client_certificate_is_shown_to_an_upstream_that_asks_for_one() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("it is ours");
        path
    };
    let server = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("it can be made");
    let client = rcgen::generate_simple_self_signed(["the-proxy".to_owned()]).expect("it can be made");
    let ca_file = write("ca.pem", server.cert.pem());
    let shown = ClientCertificate {
        certificate: write("client.crt", client.cert.pem()),
        key: write("client.key", client.signing_key.serialize_pem()),
    };
    let mut roots = RootCertStore::empty();
    roots.add(client.cert.der().clone()).expect("it is a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .expect("roots");
    let key = PrivatePkcs8KeyDer::from(server.signing_key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    let config = config.with_client_cert_verifier(verifier);
    let config = config.with_single_cert(vec![server.cert.der().clone()], key).expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(acceptor.accept(stream).await.ok()?);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    stream.read_line(&mut head).await.ok().filter(|read| *read > 0)?;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()
            });
        }
    });
    let nobody = TestUpstream::start(|_| Answer::status(500));
    for (client, status) in [(Some(shown), 200), (None, 502)] {
        let proxy = TestProxy::start_with(&nobody, |config| {
            config.upstream.url = format!("https://{address}").parse().expect("a URL");
            config.upstream.ca_file = Some(ca_file.clone());
            config.upstream.client = client;
        });
        assert_eq!(proxy.caller("any").get("/api/v2/campaigns").send().await.status, status);
        let ends = "instantly_proxy_certificate_expiry_timestamp_seconds";
        let end = proxy.metric(ends, &[("certificate", "upstream")]).await;
        assert_eq!(end > 0.0, status == 200);
    }
}

/// An OpenTelemetry collector that is asked by `https`, on 127.0.0.1 and for that name or `collector.test`.
struct HttpsCollector {
    port: u16,
    /// Its own certificate, which is its root as well.
    root: String,
    batches: Arc<AtomicUsize>,
}

impl HttpsCollector {
    async fn start() -> Self {
        let names = ["127.0.0.1".to_owned(), "collector.test".to_owned()];
        let issued = rcgen::generate_simple_self_signed(names).expect("it can be made");
        let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions");
        let server = server.with_no_client_auth().with_single_cert(vec![issued.cert.der().clone()], key);
        let acceptor = TlsAcceptor::from(Arc::new(server.expect("a pair")));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let batches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&batches);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    let stream = TokioIo::new(acceptor.accept(stream).await.ok()?);
                    let service = service_fn(|request: Request<Incoming>| {
                        let counted = Arc::clone(&counted);
                        async move {
                            let is_batch = request.uri().path() == "/v1/traces";
                            let whole = request.into_body().collect().await;
                            counted.fetch_add(usize::from(is_batch && whole.is_ok()), Ordering::SeqCst);
                            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                        }
                    });
                    http1::Builder::new().serve_connection(stream, service).await.ok()
                });
            }
        });
        Self { port, root: issued.cert.pem(), batches }
    }

    async fn has_a_batch(&self) {
        patiently("a batch", async {
            while self.batches.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// The API is asked for in plaintext and straight, and spans go through the proxy all the same: by a name that the proxy alone
/// knows, under roots that the operator names.
#[tokio::test]
async fn spans_go_through_the_proxy_of_the_environment_where_calls_do_not() {
    let collector = HttpsCollector::start().await;
    let forward = Forward::start(Kind::Squid, &[collector.port]).await;
    let upstream = TestUpstream::of(&World::vendor());
    let url = format!("http://{}", upstream.address());
    let folder = TempDir::new().expect("a temporary folder can be made");
    let root = folder.path().join("ca.pem");
    fs::write(&root, &collector.root).expect("it is ours");
    let serving = Serving::start(
        &url,
        &[
            ("HTTPS_PROXY", &format!("http://user:right@127.0.0.1:{}", forward.port)),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("https://collector.test:{}", collector.port)),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", root.to_str().expect("a plain name")),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ],
    )
    .await;
    serving.caller(&token("a", 1)).get(CAMPAIGNS).send().await.assert_status(200);
    collector.has_a_batch().await;
    // Squid tells of a tunnel when it ends.
    serving.process.signal("TERM");
    assert_eq!(serving.process.ended().await, Some(0));
    let target = format!("CONNECT collector.test:{}", collector.port);
    patiently("a line of its log", async {
        while !forward.log().contains(&target) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!forward.log().contains(&upstream.address().to_string()), "{}", forward.log());
    assert!(serving.process.stdout().contains("spans to https://collector.test"));
}

/// Every byte that leaves, calls and spans, leaves through a tunnel.
#[tokio::test(flavor = "multi_thread")]
async fn calls_and_spans_go_through_tinyproxy_and_nothing_past_it() {
    let (stage, collector) = (Stage::start().await, HttpsCollector::start().await);
    let forward = Forward::start(Kind::Tinyproxy, &[stage.port(), collector.port]).await;
    let authorization = Some(ProxyAuthorization::Given("user:right".to_owned()));
    let root = stage.write("collector-ca.pem", &collector.root);
    let proxy = stage.proxy(ForwardProxy { authorization, ..forward.settings() }, |config| {
        let endpoint = format!("https://127.0.0.1:{}", collector.port);
        config.telemetry.otlp_endpoint = Some(endpoint.parse().expect("a URL"));
        config.telemetry.ca_file = Some(root);
    });
    stage.caller(&proxy).get(&stage.item(0)).send().await.assert_status(200);
    // Its end sends what is queued, and blocks meanwhile.
    drop(proxy);
    collector.has_a_batch().await;
    let url: http::Uri = stage.simulator.url().parse().expect("a URL");
    for target in [url.authority().expect("a host").to_string(), format!("127.0.0.1:{}", collector.port)] {
        assert!(forward.log().contains(&format!("CONNECT {target}")), "{target}: {}", forward.log());
    }
}
