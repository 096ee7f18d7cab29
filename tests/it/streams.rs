//! Bodies that pass through are streams: whole, unchanged, in constant memory, and no faster than they are read.
//!
//! The program runs as a child, so that its memory is its own; the simulator runs here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instantly_proxy::clock::Clock;
use instantly_proxy::simulator::{Simulator, SimulatorConfig, download_byte};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Serving, patiently};

const MIB: u64 = 1024 * 1024;
/// What goes each way, once with its length and once in chunks.
const SIZE: u64 = 1024 * MIB;
/// By how much the proxy's memory may grow by all of that.
const GROWTH: u64 = 32 * MIB;
/// What sockets and buffers between two ends may swallow.
const BUFFERS: u64 = 48 * MIB;

/// The bytes of the simulator's downloads, as many as are left.
struct Pattern {
    left: u64,
    announced: bool,
    block: Bytes,
}

impl Pattern {
    fn new(size: u64, announced: bool) -> Self {
        Self { left: size, announced, block: block() }
    }
}

impl http_body::Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.left.min(self.block.len() as u64);
        self.left -= length;
        let length = usize::try_from(length).expect("a block is small");
        Poll::Ready((length > 0).then(|| Ok(Frame::data(self.block.slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.announced { SizeHint::with_exact(self.left) } else { SizeHint::default() }
    }
}

/// A whole number of the pattern's periods, so that one block follows another without a seam.
fn block() -> Bytes {
    (0..251 * 256).map(download_byte).collect::<Vec<u8>>().into()
}

fn hash_of_pattern(size: u64) -> blake3::Hash {
    let (mut hasher, block, mut left) = (blake3::Hasher::new(), block(), size);
    while left > 0 {
        let length = left.min(block.len() as u64);
        hasher.update(&block[..usize::try_from(length).expect("a block is small")]);
        left -= length;
    }
    hasher.finalize()
}

async fn send<B>(address: SocketAddr, request: Request<B>) -> Response<Incoming>
where
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(address).await.expect("the port accepts");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    sender.send_request(request).await.expect("an answer")
}

async fn upload(serving: &Serving, token: &str, body: Pattern) {
    let size = body.left;
    let request = Request::post("/api/v2/sim/upload").header("host", "proxy");
    let request = request.header("authorization", format!("Bearer {token}")).body(body).expect("a request");
    let answer = send(serving.data, request).await;
    assert_eq!(answer.status(), 200);
    let told = answer.into_body().collect().await.expect("a whole answer").to_bytes();
    let told: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
    assert_eq!(told["bytes"], size);
    assert_eq!(told["blake3"], hash_of_pattern(size).to_hex().as_str());
}

async fn download(serving: &Serving, token: &str, size: u64, chunked: bool) {
    let target = format!("/api/v2/sim/download?bytes={size}&chunked={chunked}");
    let request = Request::get(target).header("host", "proxy");
    let request = request.header("authorization", format!("Bearer {token}"));
    let answer = send(serving.data, request.body(Empty::<Bytes>::new()).expect("a request")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers().contains_key("content-length"), !chunked);
    let (mut body, mut hasher, mut read) = (answer.into_body(), blake3::Hasher::new(), 0);
    while let Some(frame) = body.frame().await {
        let data = frame.expect("no cut").into_data().expect("no trailers");
        hasher.update(&data);
        read += data.len() as u64;
    }
    assert_eq!(read, size);
    assert_eq!(hasher.finalize(), hash_of_pattern(size));
}

#[tokio::test]
async fn a_gibibyte_each_way_passes_unchanged_in_constant_memory() {
    let simulator = Simulator::start(SimulatorConfig::default(), Clock::system()).await.expect("a free port");
    let token = simulator.world().organizations()[0].keys()[0].secret().to_owned();
    let serving = Serving::start(&simulator.url(), &[]).await;
    // What the first of each kind needs is not what a large one costs.
    upload(&serving, &token, Pattern::new(MIB, true)).await;
    download(&serving, &token, MIB, false).await;
    let before = serving.process.peak_memory();
    for chunked in [false, true] {
        patiently("an upload", upload(&serving, &token, Pattern::new(SIZE, !chunked))).await;
        patiently("a download", download(&serving, &token, SIZE, chunked)).await;
    }
    let growth = serving.process.peak_memory().saturating_sub(before);
    assert!(growth <= GROWTH, "{} MiB more than at rest", growth / MIB);
    assert_eq!(simulator.counters().uploaded_bytes(), 2 * SIZE + MIB);
}

/// An upstream of raw bytes on a free port; `sent` and `read` tell what went through it.
#[derive(Clone, Default)]
struct Tap {
    sent: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
}

impl Tap {
    /// Answers one request with `size` bytes, as fast as they are taken.
    async fn pour(self, listener: TcpListener, size: u64) {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await.expect("a request");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {size}\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("taken");
        let (block, mut left) = (vec![b'x'; 65_536], size);
        while left > 0 {
            let length = usize::try_from(left.min(block.len() as u64)).expect("a block is small");
            stream.write_all(&block[..length]).await.expect("taken");
            self.sent.fetch_add(length as u64, Ordering::SeqCst);
            left -= length as u64;
        }
    }

    /// Waits until nothing has moved for many answers of the proxy.
    async fn still(&self, serving: &Serving, moved: &AtomicU64) -> u64 {
        let operator = serving.operator();
        let (mut last, mut quiet) = (0, 0);
        while quiet < 300 {
            operator.get("/livez").send().await.assert_status(200);
            let now = moved.load(Ordering::SeqCst);
            quiet = if now == last && now > 0 { quiet + 1 } else { 0 };
            last = now;
        }
        last
    }
}

#[tokio::test]
async fn an_upstream_sends_no_faster_than_its_reader_reads() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let tap = Tap::default();
    let size = 192 * MIB;
    let pouring = tokio::spawn(tap.clone().pour(listener, size));
    let serving = Serving::start(&url, &[]).await;
    let before = serving.process.peak_memory();

    let mut reader = TcpStream::connect(serving.data).await.expect("the port accepts");
    let request = "GET /api/v2/campaigns HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\n\r\n";
    reader.write_all(request.as_bytes()).await.expect("taken");
    let taken = patiently("the upstream to stall", tap.still(&serving, &tap.sent)).await;
    assert!(taken <= BUFFERS, "{} MiB were taken from the upstream unread", taken / MIB);
    let growth = serving.process.peak_memory().saturating_sub(before);
    assert!(growth <= GROWTH, "{} MiB more than at rest", growth / MIB);

    let mut rest = vec![0; 1 << 20];
    let mut read = 0;
    loop {
        match patiently("the rest", reader.read(&mut rest)).await.expect("no cut") {
            0 => break,
            length => read += length as u64,
        }
    }
    pouring.await.expect("no panic");
    assert!(read > size, "all of it, and a head: {read}");
}

#[tokio::test]
async fn a_client_sends_no_faster_than_the_upstream_reads() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let serving = Serving::start(&url, &[]).await;
    let before = serving.process.peak_memory();
    let size = 192 * MIB;

    let (tap, address) = (Tap::default(), serving.data);
    let counted = tap.clone();
    let sending = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.expect("the port accepts");
        let head =
            format!("POST /api/v2/sim/upload HTTP/1.1\r\nhost: proxy\r\ncontent-length: {size}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("taken");
        let block = vec![b'x'; 65_536];
        for _ in 0..size / block.len() as u64 {
            stream.write_all(&block).await.expect("taken");
            counted.sent.fetch_add(block.len() as u64, Ordering::SeqCst);
        }
        stream
    });
    let (mut upstream, _) = patiently("a call", listener.accept()).await.expect("a connection");
    let taken = patiently("the client to stall", tap.still(&serving, &tap.sent)).await;
    assert!(taken <= BUFFERS, "{} MiB were taken from the client unread", taken / MIB);
    let growth = serving.process.peak_memory().saturating_sub(before);
    assert!(growth <= GROWTH, "{} MiB more than at rest", growth / MIB);

    let mut rest = vec![0; 1 << 20];
    while tap.read.load(Ordering::SeqCst) < size {
        let length = patiently("the rest", upstream.read(&mut rest)).await.expect("no cut");
        assert!(length > 0, "the upload was cut");
        tap.read.fetch_add(length as u64, Ordering::SeqCst);
    }
    drop(sending.await.expect("no panic"));
}
