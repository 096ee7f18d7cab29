//! What connections of their own cost: `cargo bench --bench handshakes`.
//!
//! Calls that pass through to a TLS upstream over HTTP/1.1, by 1, 10, 100 and 1,000 credentials in turn: how many
//! connections were opened for them, each of them a handshake, and what a call took of this process's CPU time, upstream and
//! callers included. The same calls by one credential are the comparison: they are what a pool that all callers share would
//! open.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use instantly_proxy::clock::Clock;
use instantly_proxy::config::{Burst, Config};
use instantly_proxy::server::Server;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Calls of each row, and how many of them are under way at once.
const CALLS: usize = 4_000;
const AT_ONCE: usize = 16;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let opened: Arc<AtomicUsize> = Arc::default();
    let (port, roots) = runtime.block_on(upstream(&opened, folder.path()));
    let mut config = Config::default();
    config.upstream.url = format!("https://localhost:{port}").parse().expect("a URL");
    config.upstream.ca_file = Some(roots);
    config.listen.address = ([127, 0, 0, 1], 0).into();
    config.admin.address = ([127, 0, 0, 1], 0).into();
    config.log.level = "off".to_owned();
    let unlimited = NonZeroU32::new(1_000_000).expect("not zero");
    (config.shield.requests_per_second, config.shield.requests_per_minute) = (unlimited, unlimited);
    config.shield.burst = Burst::Whole;
    println!("| credentials | calls | connections opened | CPU a call |\n|---|---|---|---|");
    for credentials in [1, 10, 100, 1_000] {
        // Each row on a process of its own would be the same: idle connections of another row are another's.
        let server = Server::start(config.clone(), Clock::system()).expect("a server on free ports starts");
        let before = (opened.load(Ordering::SeqCst), cpu());
        runtime.block_on(calls(server.data_address(), credentials));
        let took = (cpu() - before.1).as_secs_f64() * 1e6 / CALLS as f64;
        let connections = opened.load(Ordering::SeqCst) - before.0;
        println!("| {credentials} | {CALLS} | {connections} | {took:.0} µs |");
        server.shutdown(instantly_proxy::server::Shutdown::Now);
        let _ = server.wait();
    }
}

/// Lets each of so many credentials have its turn, again and again.
async fn calls(address: std::net::SocketAddr, credentials: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let callers = (0..AT_ONCE).map(|_| {
        let next = Arc::clone(&next);
        tokio::spawn(async move {
            let mut connection = TcpStream::connect(address).await.expect("the server accepts");
            connection.set_nodelay(true).expect("the socket takes it");
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= CALLS {
                    return;
                }
                let head = format!(
                    "GET /api/v2/campaigns HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key{}\r\n\r\n",
                    number % credentials
                );
                connection.write_all(head.as_bytes()).await.expect("it is open");
                read_answer(&mut connection).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("no panic");
    }
}

async fn read_answer(connection: &mut TcpStream) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n{}") {
        assert!(connection.read_buf(&mut read).await.expect("it is open") > 0, "an answer");
    }
    assert!(read.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&read));
}

/// An upstream that answers every request with `{}`, on a thread of its own.
async fn upstream(opened: &Arc<AtomicUsize>, folder: &std::path::Path) -> (u16, std::path::PathBuf) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let roots = folder.join("ca.pem");
    std::fs::write(&roots, cert.pem()).expect("a file");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a certificate with its key");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    let (opened, acceptor) = (Arc::clone(opened), TlsAcceptor::from(Arc::new(tls)));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).expect("a socket");
            while let Ok((stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, acceptor.clone()));
            }
        });
    });
    (port, roots)
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut read = Vec::new();
    loop {
        while !read.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut read).await {
                Ok(1..) => {}
                _ => return,
            }
        }
        // A label read of its own, by which the proxy asks whose a key is.
        let status = if read.starts_with(b"GET /api/v2/lead-labels") { "404 Not Found" } else { "200 OK" };
        read.clear();
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What this process has had of all cores.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = text.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
