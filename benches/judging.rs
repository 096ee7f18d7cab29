//! What another organization's misses wait while lists of 4 MB arrive back to back: `cargo bench --bench judging`.
//!
//! Phases with and without the lists take turns in one run, so that both meet the same machine. The bar: p99 of the misses
//! with them is at most 5 ms above p99 without. Readers and upstream live in the same process and on the same cores.

#![expect(clippy::disallowed_methods, reason = "a bench measures in the time of the machine")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use instantly_proxy::clock::Clock;
use instantly_proxy::config::Config;
use instantly_proxy::server::Server;

const ROUNDS: usize = 10;
const MISSES: usize = 150;
/// Between two misses: they come steadily and are never a queue of their own.
const PACE: Duration = Duration::from_millis(5);
/// Below the 4 MiB up to which a list is read whole.
const LIST: usize = 4_000_000;

fn main() {
    let mut config = Config::default();
    config.upstream.url = format!("http://{}", upstream()).parse().expect("a URL");
    config.listen.address = ([127, 0, 0, 1], 0).into();
    config.admin.address = ([127, 0, 0, 1], 0).into();
    config.cache.list_fill = false;
    config.shield.requests_per_second = NonZeroU32::new(1_000_000).expect("not zero");
    config.shield.requests_per_minute = NonZeroU32::new(1_000_000).expect("not zero");
    config.log.level = "off".to_owned();
    let server = Server::start(config, Clock::system()).expect("a server on free ports starts");
    let address = server.data_address();

    let (wanted, lists) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (switch, count) = (Arc::clone(&wanted), Arc::clone(&lists));
    thread::spawn(move || {
        let mut reader = Reader::connect(address, "organization-of-lists");
        reader.get(&item(0));
        for page in 0.. {
            while !switch.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            reader.get(&format!("?starting_after={page}"));
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut reader = Reader::connect(address, "organization-of-items");
    let mut took = [Vec::new(), Vec::new()];
    let mut label = 0;
    for phase in 0..2 * ROUNDS {
        wanted.store(phase % 2 == 1, Ordering::SeqCst);
        // What is under way of the other kind ends.
        thread::sleep(Duration::from_millis(400));
        for _ in 0..MISSES {
            label += 1;
            let begun = Instant::now();
            reader.get(&item(label));
            took[phase % 2].push(begun.elapsed());
            thread::sleep(PACE);
        }
    }
    let [without, with] = took.map(|mut times| {
        times.sort();
        [times.len() / 2, times.len() * 99 / 100].map(|at| times[at].as_secs_f64() * 1e3)
    });
    println!(
        "{} misses without lists: p50 {:.2} ms, p99 {:.2} ms; beside {} lists of 4 MB: p50 {:.2} ms, p99 {:.2} ms; p99 is {:+.2} \
         ms (bar: +5)",
        ROUNDS * MISSES,
        without[0],
        without[1],
        lists.load(Ordering::SeqCst),
        with[0],
        with[1],
        with[1] - without[1],
    );
}

fn item(label: usize) -> String {
    format!("/01935c4b-0000-7abc-9def-{label:012x}")
}

/// A caller with a connection of its own.
struct Reader {
    connection: TcpStream,
    key: &'static str,
    received: Vec<u8>,
}

impl Reader {
    fn connect(address: SocketAddr, key: &'static str) -> Self {
        let connection = TcpStream::connect(address).expect("the server accepts");
        connection.set_nodelay(true).expect("the socket takes it");
        Self { connection, key, received: vec![0; 1 << 20] }
    }

    /// Reads a label or a page, and takes all of the answer.
    fn get(&mut self, target: &str) {
        let key = self.key;
        let request = format!(
            "GET /api/v2/lead-labels{target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n"
        );
        self.connection.write_all(request.as_bytes()).expect("the server reads");
        let mut length = 0;
        let head = loop {
            length += self.connection.read(&mut self.received[length..]).expect("the server answers");
            if let Some(end) = self.received[..length].windows(4).position(|end| end == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = String::from_utf8_lossy(&self.received[..head]).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        let body = text.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let mut left = head + body.parse::<usize>().expect("digits") - length;
        while left > 0 {
            left -= self.connection.read(&mut self.received).expect("the server goes on");
        }
    }
}

/// Answers each organization by its key: with a label, or with a page of 4 MB.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let organization =
        |lists: bool| format!("01920000-0000-7000-8000-0000000000{}", if lists { "6a" } else { "6b" });
    let label = move |id: &str, lists: bool, text: &str| {
        format!(r#"{{"id":"{id}","organization_id":"{}","label":"{text}"}}"#, organization(lists))
    };
    let mut page = String::from(r#"{"items":["#);
    for number in 0..100 {
        let items = label(&item(number)[1..], true, &r#"a \"quoted\" word "#.repeat(LIST / 100 / 18 - 10));
        page.push_str(if number == 0 { "" } else { "," });
        page.push_str(&items);
    }
    page.push_str("]}");
    assert!((LIST * 9 / 10..4 << 20).contains(&page.len()), "{}", page.len());
    let page = Arc::new(page);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, page) = (stream.expect("a client"), Arc::clone(&page));
            thread::spawn(move || {
                stream.set_nodelay(true).expect("the socket takes it");
                let mut head = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut head) {
                    let head = String::from_utf8_lossy(&head[..length]).into_owned();
                    let target = head.split(' ').nth(1).expect("a target");
                    let lists = head.contains("organization-of-lists");
                    let single = target.strip_prefix("/api/v2/lead-labels/").map(|id| label(id, lists, "x"));
                    let body = single.as_deref().unwrap_or(&page);
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    let _ =
                        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
                }
            });
        }
    });
    address
}
