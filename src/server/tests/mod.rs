//! The server over real sockets, with a handler whose answers a test holds back and lets go.
//!
//! Time stands still until a test moves it; that the sweep has passed is seen by what it does to a connection.

mod crowd;
mod drain;
mod fast_path;
mod floods;
mod limits;
mod protocols;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

use super::*;
use crate::clock::ManualClock;
use crate::guard::Fragment;
use crate::received::Received;

/// Larger than what the sockets' buffers take, so that most of it waits for its reader.
const BIG: usize = 32 * 1024 * 1024;

/// Answers `/big` with [`BIG`] bytes, `/held` once a test lets it, `/read` once it has the request's body, and anything else at once; from memory what [`fast_path`]
/// says.
#[derive(Clone)]
struct Scripted {
    gate: Arc<Semaphore>,
    arrivals: mpsc::Sender<String>,
}

impl Handler for Scripted {
    fn answer(
        &self,
        head: Parts,
        body: Received,
        _peer: Peer,
    ) -> impl Future<Output = Response<Body>> + 'static {
        let Self { gate, arrivals } = self.clone();
        async move {
            // Held until it has answered, as by who may still read it.
            let mut body = body;
            let path = head.uri.path().to_owned();
            let fragment = if head.extensions.get::<Fragment>().is_some() { "#" } else { "" };
            arrivals.send(format!("{path}{fragment}")).ok();
            match path.as_str() {
                "/big" => Response::new(Body::whole(Bytes::from(vec![b'b'; BIG]))),
                "/held" => {
                    gate.acquire().await.unwrap().forget();
                    Response::new(Body::whole(Bytes::from_static(b"held")))
                }
                "/read" => {
                    while body.frame().await.is_some() {}
                    Response::new(Body::whole(Bytes::from_static(b"read")))
                }
                _ => Response::new(Body::whole(Bytes::from_static(b"hello"))),
            }
        }
    }

    fn answer_from_memory(
        &self,
        request: &[u8],
        _client: crate::proxy::Client<'_>,
        head: &mut Vec<u8>,
    ) -> Option<FromMemory> {
        fast_path::answer(request, head)
    }
}

struct TestServer {
    server: Server,
    hand: ManualClock,
    gate: Arc<Semaphore>,
    arrivals: Mutex<mpsc::Receiver<String>>,
}

impl TestServer {
    fn start() -> Self {
        Self::start_with(|_| ())
    }

    fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.listen.address = ([127, 0, 0, 1], 0).into();
        config.admin.address = ([127, 0, 0, 1], 0).into();
        change(&mut config);
        let (clock, hand) = Clock::manual();
        let gate = Arc::new(Semaphore::new(0));
        let (arrived, arrivals) = mpsc::channel();
        let handler = Scripted { gate: Arc::clone(&gate), arrivals: arrived };
        let server = Server::start_with(RESOURCES, config, clock, move |_| handler.clone()).unwrap();
        Self { server, hand, gate, arrivals: Mutex::new(arrivals) }
    }

    fn connect(&self) -> Client {
        Client(TcpStream::connect(self.server.data_address()).unwrap())
    }

    fn admin(&self) -> Client {
        Client(TcpStream::connect(self.server.admin_address()).unwrap())
    }

    /// Path of the next request that reached the handler.
    fn arrival(&self) -> String {
        self.arrivals.lock().unwrap().recv().unwrap()
    }

    /// Moves time in steps of a second until `done`; says how far.
    #[track_caller]
    fn advance_until(&self, mut done: impl FnMut() -> bool) -> Duration {
        const LONGEST: Duration = Duration::from_secs(600);
        let step = Duration::from_secs(1);
        let mut passed = Duration::ZERO;
        while !done() {
            assert!(passed < LONGEST, "nothing happened for {LONGEST:?}");
            self.hand.advance(step);
            passed += step;
        }
        passed
    }

    /// Moves time until the server has closed the connection; says how far. Time goes on while the thread that sweeps the
    /// connection has no core: so this is no less than it took, and may be more.
    #[track_caller]
    fn advance_until_closed(&self, client: &mut Client) -> Duration {
        self.advance_until_closed_beside(client, || ())
    }

    /// The same with a round trip in each step: one through the thread that sweeps keeps its sweep up with the steps, and what
    /// is said has an upper bound, too.
    #[track_caller]
    fn advance_until_closed_beside(&self, client: &mut Client, mut round_trip: impl FnMut()) -> Duration {
        // How long to look before the next step.
        client.0.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        self.advance_until(|| {
            round_trip();
            client.is_closed()
        })
    }
}

struct Client(TcpStream);

impl Client {
    fn send(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.write_all(bytes).unwrap();
        self
    }

    fn get(&mut self, path: &str) -> &mut Self {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes())
    }

    /// The next answer: its head in lower case, and its body.
    #[track_caller]
    fn answer(&mut self) -> (String, Vec<u8>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).expect("the whole body");
        (head, body)
    }

    #[track_caller]
    fn assert_answer(&mut self, status: u16) {
        let (head, _) = self.answer();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
    }

    /// Whether the server has closed the connection; what it sent before is thrown away.
    fn is_closed(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.0.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return false;
                }
                Err(_) => return true,
            }
        }
    }
}
