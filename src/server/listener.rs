//! Binding ports, and accepting connections for the lanes that serve them.
//!
//! One socket without `SO_REUSEPORT`: a second process on the same address must fail to start. A connection goes to the
//! lane with the fewest open ones. Accepting survives a lack of descriptors. While too many are open, the lanes are asked to
//! close silent ones for who comes; where none is silent, accepting pauses.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::{debug, warn};

use super::start_error::StartError;
use crate::clock::{Clock, Moment};
use crate::metrics::{ConnectionGuard, Metrics};

const BACKLOG: i32 = 1024;

/// Binds a port for accepting; `key` says in an error which one.
///
/// # Errors
///
/// If the system refuses, with the address and its reason.
pub(super) fn bind(key: &str, address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // On Windows the option would let two processes share the port.
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(std::net::TcpListener::from(socket))
    };
    bound().map_err(|error: io::Error| StartError(format!("{key} {address}: {error}")))
}

/// A connection on its way to the lane that serves it.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) held: Held,
}

/// What an open connection takes up; dropping it gives that back.
#[derive(Debug)]
pub(super) struct Held {
    _permit: OwnedSemaphorePermit,
    _load: Load,
    _counted: Option<ConnectionGuard>,
}

#[derive(Debug)]
struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a lane is told to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Serve this connection.
    Serve(Accepted),
    /// Close as many silent ones, if there are any.
    MakeRoom(usize),
}

/// One of those that serve connections.
#[derive(Debug)]
pub(super) struct Lane {
    open: Arc<AtomicUsize>,
    queue: mpsc::UnboundedSender<Order>,
}

impl Lane {
    /// A lane and what comes out of it. The queue needs no bound: the permits bound what is open in all.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (queue, orders) = mpsc::unbounded_channel();
        (Self { open: Arc::default(), queue }, orders)
    }
}

/// Accepts connections.
#[derive(Debug)]
pub(super) struct Acceptor {
    /// What the log calls it.
    port: &'static str,
    permits: Arc<Semaphore>,
    /// Silent connections that each lane closes at a time.
    batch: usize,
    lanes: Vec<Lane>,
    metrics: Option<Arc<Metrics>>,
    clock: Clock,
}

/// Silent connections that are closed at a time, over all lanes: looking for the first to go means looking at all, and a
/// flood would have that done for each of its connections.
const LARGEST_BATCH: usize = 32;
/// Where few may be open, each counts: of so many one goes.
const OPEN_FOR_ONE: usize = 256;
/// Who waits for room asks again after this long: others may have fallen silent.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);

impl Acceptor {
    /// Will keep at most `max_connections` open, counted in `metrics` if given.
    pub(super) fn new(
        port: &'static str,
        max_connections: usize,
        lanes: Vec<Lane>,
        metrics: Option<Arc<Metrics>>,
        clock: Clock,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        let batch = (max_connections / OPEN_FOR_ONE).clamp(1, LARGEST_BATCH).div_ceil(lanes.len().max(1));
        Self { port, permits, batch, lanes, metrics, clock }
    }

    /// Accepts until the other end of `stop` is dropped, then closes the port.
    pub(super) async fn run(self, listener: TcpListener, mut stop: oneshot::Receiver<()>) {
        let (mut shortage, mut crowd) = (Told::default(), Told::default());
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                _ = &mut stop => break,
                accepted = self.accept(&listener, &mut shortage) => accepted,
            };
            let stream = match stream.into_std() {
                Ok(stream) => stream,
                Err(error) => {
                    debug!(%peer, %error, "connection dropped");
                    continue;
                }
            };
            // Somebody is there before room is made: nobody is closed for the sake of an empty place.
            tokio::select! {
                biased;
                permit = self.permit(&mut crowd) => self.hand_over(stream, peer, permit),
                _ = &mut stop => break,
            }
        }
        self.empty_backlog(listener);
    }

    async fn accept(&self, listener: &TcpListener, told: &mut Told) -> (TcpStream, SocketAddr) {
        let next = || listener.accept();
        accept(&self.clock, told, next, || is_waited_for(listener), || self.ask_for_room()).await
    }

    async fn permit(&self, crowd: &mut Told) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                return permit;
            }
            if crowd.is_to_be_told(self.clock.now()) {
                let port = self.port;
                warn!(port, "the limit of connections is reached: silent ones are closed for new ones");
            }
            self.ask_for_room();
            tokio::select! {
                biased;
                permit = Arc::clone(&self.permits).acquire_owned() => {
                    return permit.expect("nobody closes the semaphore");
                }
                () = self.clock.sleep(ROOM_INTERVAL) => {}
            }
        }
    }

    fn ask_for_room(&self) {
        for lane in &self.lanes {
            // A lane that has ended holds nothing.
            lane.queue.send(Order::MakeRoom(self.batch)).ok();
        }
    }

    fn hand_over(&self, stream: std::net::TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let alive = self.lanes.iter().filter(|lane| !lane.queue.is_closed());
        let Some(lane) = alive.min_by_key(|lane| lane.open.load(Ordering::Relaxed)) else { return };
        lane.open.fetch_add(1, Ordering::Relaxed);
        let held = Held {
            _permit: permit,
            _load: Load(Arc::clone(&lane.open)),
            _counted: self.metrics.as_ref().map(|metrics| metrics.connection()),
        };
        if lane.queue.send(Order::Serve(Accepted { stream, peer, held })).is_err() {
            debug!(%peer, "connection dropped: its lane has ended");
        }
    }

    /// Takes what the system has accepted for us already: closing the port would reset it.
    fn empty_backlog(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            let Ok((stream, peer)) = listener.accept() else { return };
            if stream.set_nonblocking(true).is_ok() {
                self.hand_over(stream, peer, permit);
            }
        }
    }
}

/// How long to wait after each failure to accept: for want of descriptors or memory.
#[derive(Debug, Default)]
struct Shortage {
    failures: u32,
}

const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(60);

impl Shortage {
    fn wait(&mut self) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        wait
    }
}

/// When something was last told: what comes in bursts is one line a minute.
#[derive(Debug, Default)]
struct Told(Option<Moment>);

impl Told {
    fn is_to_be_told(&mut self, now: Moment) -> bool {
        let told = self.0.is_some_and(|last| now.since(last) < QUIET);
        if !told {
            self.0 = Some(now);
        }
        !told
    }
}

/// Whether a connection waits to be accepted. Where no descriptor is left, the system says so before it looks for one: it
/// is no sign that anybody wants room.
fn is_waited_for(listener: &TcpListener) -> bool {
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Accepts one connection; while that fails and somebody waits, `relieve` is called each time.
async fn accept<T>(
    clock: &Clock,
    told: &mut Told,
    accept: impl AsyncFn() -> io::Result<T>,
    is_waited_for: impl Fn() -> bool,
    relieve: impl Fn(),
) -> T {
    let mut shortage = Shortage::default();
    loop {
        let error = match accept().await {
            Ok(accepted) => return accepted,
            Err(error) => error,
        };
        if is_of_one_connection(&error) {
            continue;
        }
        if is_waited_for() {
            if told.is_to_be_told(clock.now()) {
                warn!(%error, "connections cannot be accepted at present; trying again");
            }
            relieve();
        }
        clock.sleep(shortage.wait()).await;
    }
}

/// The failure took its connection with it: the next one may be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;

    use super::*;

    const EMFILE: i32 = 24;

    #[tokio::test]
    async fn accepting_survives_a_lack_of_descriptors_and_waits_between_tries() {
        let (clock, hand) = Clock::manual();
        let (tries, relieved, mut told) = (Cell::new(0), Cell::new(0), Told::default());
        let next = async || {
            tries.set(tries.get() + 1);
            match tries.get() {
                1 | 2 => Err(io::Error::from_raw_os_error(EMFILE)),
                3 => Err(io::ErrorKind::ConnectionAborted.into()),
                _ => Ok("connection"),
            }
        };
        let accepting =
            accept(&clock, &mut told, next, || tries.get() > 1, || relieved.set(relieved.get() + 1));
        let mut accepting = pin!(accepting);
        for expected in [1, 2] {
            tokio::select! {
                biased;
                _ = &mut accepting => panic!("accepted after {} tries", tries.get()),
                () = std::future::ready(()) => assert_eq!(tries.get(), expected),
            }
            hand.advance(LONGEST_WAIT);
        }
        assert_eq!(accepting.await, "connection");
        assert_eq!(relieved.get(), 1, "nobody waited at the first try: nobody is closed for nobody");
    }

    #[tokio::test]
    async fn a_port_is_waited_for_while_a_connection_is_not_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(!is_waited_for(&listener));
        let _waiting = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(is_waited_for(&listener));
        let _accepted = listener.accept().await.unwrap();
        assert!(!is_waited_for(&listener));
    }

    #[test]
    fn the_wait_doubles_up_to_a_second() {
        let mut shortage = Shortage::default();
        let waits: Vec<_> = (0..12).map(|_| shortage.wait().as_millis()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000]);
    }

    #[test]
    fn a_burst_is_told_once() {
        let (clock, hand) = Clock::manual();
        let mut told = Told::default();
        assert!(told.is_to_be_told(clock.now()));
        assert!(!told.is_to_be_told(clock.now()));
        hand.advance(QUIET);
        assert!(told.is_to_be_told(clock.now()));
    }

    #[test]
    fn a_port_that_is_taken_is_named_with_the_reason() {
        let taken = bind("listen.address", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind("listen.address", address).unwrap_err().to_string();
        assert!(error.starts_with(&format!("listen.address {address}: ")), "{error}");
        assert!(error.contains("in use"), "{error}");
    }
}
