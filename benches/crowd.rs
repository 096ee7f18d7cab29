//! A thousand reads of one label that nobody has yet: `cargo bench --bench crowd`.
//!
//! Prints how many calls the upstream got, and how long after its answer the last reader had its own. The bars: one call,
//! and 20 ms. The readers live in the same process and on the same cores, and their part of it is in the figure: for
//! comparison, what as many hits take on the same connections.

#![expect(clippy::disallowed_methods, reason = "a bench measures in the time of the machine")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use instantly_proxy::clock::Clock;
use instantly_proxy::config::Config;
use instantly_proxy::server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READERS: usize = 1000;
const ROUNDS: usize = 9;

/// Answers label reads; holds those of a round's label back until it is told to go on.
struct Upstream {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    go_on: mpsc::Sender<()>,
    answered: mpsc::Receiver<Instant>,
}

fn main() {
    let upstream = upstream();
    let mut config = Config::default();
    config.upstream.url = format!("http://{}", upstream.address).parse().expect("a URL");
    config.listen.address = ([127, 0, 0, 1], 0).into();
    config.admin.address = ([127, 0, 0, 1], 0).into();
    config.cache.list_fill = false;
    let server = Server::start(config, Clock::system()).expect("a server on free ports starts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let took: Vec<_> = (0..ROUNDS).map(|round| runtime.block_on(crowd(&server, &upstream, round))).collect();
    let median = |which: usize| {
        let mut times: Vec<_> = took.iter().map(|times| times[which].as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    };
    println!(
        "{READERS} readers of one label, {ROUNDS} rounds: {} calls; the last reader answered {:.1} ms after the upstream; as \
         many hits on the same connections: {:.1} ms (medians)",
        upstream.calls.load(Ordering::SeqCst) - 1,
        median(0),
        median(1),
    );
}

/// One round: how long after the upstream's answer the last reader had its own, and what it takes when it is stored.
async fn crowd(server: &Server, upstream: &Upstream, round: usize) -> [Duration; 2] {
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut connection = TcpStream::connect(server.data_address()).await.expect("the server accepts");
        connection.set_nodelay(true).expect("the socket takes it");
        // The first proves the credential, before anything is counted.
        if round == 0 && readers.is_empty() {
            ask(&mut connection, 0).await;
            answer(&mut connection).await;
        }
        readers.push(connection);
    }
    for reader in &mut readers {
        ask(reader, round + 1).await;
    }
    // All of them must wait by then; there is no telling from outside.
    tokio::time::sleep(Duration::from_millis(300)).await;
    upstream.go_on.send(()).expect("the upstream lives");
    let mut readers = answers(readers).await;
    let waited = Instant::now() - upstream.answered.recv().expect("the upstream answered");
    let begun = Instant::now();
    for reader in &mut readers {
        ask(reader, round + 1).await;
    }
    answers(readers).await;
    [waited, begun.elapsed()]
}

/// Takes the answer of each, side by side.
async fn answers(readers: Vec<TcpStream>) -> Vec<TcpStream> {
    let taken = readers.into_iter().map(|mut reader| {
        tokio::spawn(async move {
            answer(&mut reader).await;
            reader
        })
    });
    let mut readers = Vec::with_capacity(READERS);
    for reader in taken.collect::<Vec<_>>() {
        readers.push(reader.await.expect("every reader is answered"));
    }
    readers
}

async fn ask(connection: &mut TcpStream, label: usize) {
    let request = format!(
        "GET /api/v2/lead-labels/{} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer abcdefghijkl\r\n\r\n",
        id(label)
    );
    connection.write_all(request.as_bytes()).await.expect("the server reads");
}

async fn answer(connection: &mut TcpStream) {
    let mut received = vec![0; 2048];
    let length = connection.read(&mut received).await.expect("the server answers");
    assert!(
        received[..length].starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&received[..length])
    );
}

fn id(label: usize) -> String {
    format!("01935c4b-0000-7abc-9def-{label:012x}")
}

fn upstream() -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (calls, (go_on, may_go_on), (tell, answered)) =
        (Arc::new(AtomicUsize::new(0)), mpsc::channel(), mpsc::channel());
    let (counted, may_go_on) = (Arc::clone(&calls), Arc::new(Mutex::new(may_go_on)));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let (counted, may_go_on, tell) = (Arc::clone(&counted), Arc::clone(&may_go_on), tell.clone());
            thread::spawn(move || {
                let mut head = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut head) {
                    let head = String::from_utf8_lossy(&head[..length]).into_owned();
                    let id = head.split(['/', ' ']).nth(5).expect("a label's path").to_owned();
                    counted.fetch_add(1, Ordering::SeqCst);
                    let held = !id.ends_with("000000000000");
                    if held {
                        may_go_on.lock().expect("no panic").recv().expect("the bench lives");
                    }
                    let body = format!(
                        r#"{{"id":"{id}","organization_id":"01920000-0000-7000-8000-000000000061","label":"x"}}"#
                    );
                    let sent = Instant::now();
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if held {
                        tell.send(sent).expect("the bench lives");
                    }
                }
            });
        }
    });
    Upstream { address, calls, go_on, answered }
}
