//! HTTP/1.1, HTTP/2 by prior knowledge, and both over TLS by ALPN.

use std::fs;
use std::path::PathBuf;
use std::pin::pin;

use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::config::ListenTls;

type Sender = http2::SendRequest<Empty<Bytes>>;

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://a{path}")).body(Empty::new()).unwrap()
}

async fn http2_on<I: AsyncRead + AsyncWrite + Send + Unpin + 'static>(io: I) -> Sender {
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

async fn http2_to(server: &TestServer) -> Sender {
    http2_on(tokio::net::TcpStream::connect(server.server.data_address()).await.unwrap()).await
}

#[test]
fn requests_on_one_http1_connection_are_answered_in_turn() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.get("/").get("/");
    for _ in 0..2 {
        let (head, body) = client.answer();
        assert!(head.contains("\r\ndate: ") && !head.contains("connection:"), "{head}");
        assert_eq!(body, b"hello");
    }
}

#[tokio::test]
async fn http2_by_prior_knowledge_is_answered() {
    let server = TestServer::start();
    let response = http2_to(&server).await.send_request(get("/big")).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), BIG);
}

/// A frame of HTTP/2 (RFC 9113 §4.1) on the connection itself.
pub(super) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, 0, 0, 0, 0, 0], payload].concat()
}

/// All that a client sends at once is read, the frames behind the preface as well: a lost one would put the bytes of the next
/// in its place.
#[test]
fn no_frame_of_a_first_flight_of_http2_is_lost() {
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    let server = TestServer::start();
    for pings in [1, 50, 58, 59, 150, 400] {
        let mut client = server.connect();
        let pings: Vec<[u8; 8]> = (0..pings).map(u64::to_be_bytes).collect();
        let mut flight = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, b"")].concat();
        pings.iter().for_each(|ping| flight.extend(frame(PING, ping)));
        client.send(&flight);
        let mut answered = Vec::new();
        while answered.len() < pings.len() {
            let mut head = [0; 9];
            client.0.read_exact(&mut head).expect("an answer to each");
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            client.0.read_exact(&mut payload).expect("a whole frame");
            if head[3] == PING {
                answered.push(<[u8; 8]>::try_from(payload).unwrap());
            }
        }
        assert_eq!(answered, pings);
    }
}

#[tokio::test]
async fn an_http2_stream_under_way_ends_whole_while_the_server_stops() {
    let server = TestServer::start();
    let mut sender = http2_to(&server).await;
    let mut held = pin!(sender.send_request(get("/held")));
    tokio::select! {
        biased;
        _ = &mut held => panic!("answered before it was let go"),
        path = async { server.arrivals.lock().unwrap().try_recv() } => drop(path),
    }
    while server.arrivals.lock().unwrap().try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    server.server.shutdown(Shutdown::WithoutDelay);
    while tokio::net::TcpStream::connect(server.server.data_address()).await.is_ok() {}
    server.gate.add_permits(1);
    let body = held.await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "held");
    let server = server.server;
    assert_eq!(tokio::task::spawn_blocking(move || server.wait()).await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn a_client_that_resets_every_stream_is_sent_away_after_a_few_hundred() {
    let server = TestServer::start();
    let mut sender = http2_to(&server).await;
    let mut reached = 0;
    while sender.ready().await.is_ok() {
        let mut request = Box::pin(sender.send_request(get("/held")));
        loop {
            tokio::select! {
                biased;
                _ = &mut request => break,
                () = tokio::task::yield_now() => {}
            }
            if server.arrivals.lock().unwrap().try_recv().is_ok() {
                reached += 1;
                break;
            }
        }
    }
    assert!((200..=500).contains(&reached), "{reached}");
}

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        files.renew();
        files
    }

    fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(self.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        fs::write(self.path("certificate.pem"), made.cert.pem()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configure(&self, config: &mut Config) {
        config.listen.tls = Some(ListenTls {
            certificate: self.path("certificate.pem"),
            key: self.path("key.pem"),
            clients: None,
        });
    }

    /// Connects and trusts nothing but the certificate that is in the file now.
    async fn connect(
        &self,
        address: SocketAddr,
        alpn: &[u8],
    ) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("certificate.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = tokio::net::TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

#[tokio::test]
async fn tls_speaks_what_was_agreed_by_alpn() {
    let files = Files::new();
    let server = TestServer::start_with(|config| files.configure(config));
    let address = server.server.data_address();

    let stream = files.connect(address, b"h2").await.unwrap();
    let response = http2_on(stream).await.send_request(get("/")).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);

    let stream = TokioIo::new(files.connect(address, b"http/1.1").await.unwrap());
    let (mut sender, connection) = http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "a").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (http::Version::HTTP_11, 200));
}

#[tokio::test]
async fn answers_from_memory_and_the_librarys_take_turns_over_tls() {
    let files = Files::new();
    let server = TestServer::start_with(|config| files.configure(config));
    let mut stream = files.connect(server.server.data_address(), b"http/1.1").await.unwrap();
    for (path, length) in [("/fast/5", 5), ("/", 5), ("/fast/60000", 60_000), ("/fast/0", 0), ("/", 5)] {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert_eq!(head.contains("fast: yes"), path != "/", "{head}");
        stream.read_exact(&mut vec![0; length]).await.unwrap();
    }
    stream.write_all(format!("GET /fast/{BIG} HTTP/1.1\r\nhost: b\r\n\r\n").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > BIG && rest[rest.len() - BIG..].iter().all(|byte| *byte == b'b'));
}

#[test]
fn a_silent_tls_handshake_is_closed_at_the_header_time_out() {
    let files = Files::new();
    let server = TestServer::start_with(|config| files.configure(config));
    for beginning in [&b""[..], b"\x16\x03\x01"] {
        let mut client = server.connect();
        client.send(beginning);
        let passed = server.advance_until_closed(&mut client);
        assert!(passed >= Duration::from_secs(10), "{passed:?}");
    }
}

#[tokio::test]
async fn a_changed_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let files = Files::new();
    let server = TestServer::start_with(|config| files.configure(config));
    let address = server.server.data_address();
    let good = fs::read(files.path("certificate.pem")).unwrap();
    fs::write(files.path("certificate.pem"), "broken").unwrap();
    server.hand.advance(Duration::from_secs(60));
    fs::write(files.path("certificate.pem"), good).unwrap();
    files.connect(address, b"h2").await.unwrap();
    files.renew();
    while files.connect(address, b"h2").await.is_err() {
        server.hand.advance(Duration::from_secs(10));
    }
}

#[test]
fn certificate_files_that_are_no_good_are_named_at_start() {
    let files = Files::new();
    let other = Files::new();
    let rows: [(&str, PathBuf, PathBuf); 4] = [
        ("listen.tls.certificate", files.path("none"), files.path("key.pem")),
        ("listen.tls.certificate", files.path("key.pem"), files.path("key.pem")),
        ("listen.tls.key", files.path("certificate.pem"), files.path("certificate.pem")),
        ("listen.tls.key", files.path("certificate.pem"), other.path("key.pem")),
    ];
    for (key, certificate, private) in rows {
        let named = if key.ends_with("key") { private.clone() } else { certificate.clone() };
        let files = ListenTls { certificate, key: private, clients: None };
        let error = Certificate::read(&files, Arc::default()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{key} {}: ", named.display())), "{error}");
    }
}
