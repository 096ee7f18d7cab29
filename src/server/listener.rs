//! Binding ports, and accepting connections for the lanes that serve them.
//!
//! One socket without `SO_REUSEPORT`: a second process on the same address must fail to start. A connection goes to the
//! lane with the fewest open ones. Accepting survives a lack of descriptors, and pauses while too many are open.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::{debug, warn};

use super::StartError;
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

/// One of those that serve connections.
#[derive(Debug)]
pub(super) struct Lane {
    open: Arc<AtomicUsize>,
    queue: mpsc::UnboundedSender<Accepted>,
}

impl Lane {
    /// A lane and what comes out of it. The queue needs no bound: the permits bound what is open in all.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Accepted>) {
        let (queue, accepted) = mpsc::unbounded_channel();
        (Self { open: Arc::default(), queue }, accepted)
    }
}

/// Accepts connections.
#[derive(Debug)]
pub(super) struct Acceptor {
    permits: Arc<Semaphore>,
    lanes: Vec<Lane>,
    metrics: Option<Arc<Metrics>>,
    clock: Clock,
}

impl Acceptor {
    /// Will keep at most `max_connections` open, counted in `metrics` if given.
    pub(super) fn new(
        max_connections: usize,
        lanes: Vec<Lane>,
        metrics: Option<Arc<Metrics>>,
        clock: Clock,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        Self { permits, lanes, metrics, clock }
    }

    /// Accepts until the other end of `stop` is dropped, then closes the port.
    pub(super) async fn run(self, listener: TcpListener, mut stop: oneshot::Receiver<()>) {
        let mut shortage = Shortage::default();
        loop {
            let permit = tokio::select! {
                biased;
                _ = &mut stop => break,
                permit = self.permit() => permit,
            };
            tokio::select! {
                biased;
                _ = &mut stop => break,
                (stream, peer) = accept(&self.clock, &mut shortage, || listener.accept()) => {
                    match stream.into_std() {
                        Ok(stream) => self.hand_over(stream, peer, permit),
                        Err(error) => debug!(%peer, %error, "connection dropped"),
                    }
                }
            }
        }
        self.empty_backlog(listener);
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.permits).acquire_owned().await.expect("nobody closes the semaphore")
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
        if lane.queue.send(Accepted { stream, peer, held }).is_err() {
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

/// Accepting fails at present: for want of descriptors or memory.
#[derive(Debug, Default)]
struct Shortage {
    failures: u32,
    warned: Option<Moment>,
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

    fn is_to_be_told(&mut self, now: Moment) -> bool {
        let told = self.warned.is_some_and(|warned| now.since(warned) < QUIET);
        if !told {
            self.warned = Some(now);
        }
        !told
    }
}

async fn accept<T>(clock: &Clock, shortage: &mut Shortage, accept: impl AsyncFn() -> io::Result<T>) -> T {
    loop {
        let error = match accept().await {
            Ok(accepted) => {
                shortage.failures = 0;
                return accepted;
            }
            Err(error) => error,
        };
        if is_of_one_connection(&error) {
            continue;
        }
        // Descriptors run out in bursts in which accepting fails and succeeds by turns: one line tells of all that.
        if shortage.is_to_be_told(clock.now()) {
            warn!(%error, "connections cannot be accepted at present; trying again");
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
        let (tries, mut shortage) = (Cell::new(0), Shortage::default());
        let accepting = accept(&clock, &mut shortage, async || {
            tries.set(tries.get() + 1);
            match tries.get() {
                1 | 2 => Err(io::Error::from_raw_os_error(EMFILE)),
                3 => Err(io::ErrorKind::ConnectionAborted.into()),
                _ => Ok("connection"),
            }
        });
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
        let mut shortage = Shortage::default();
        assert!(shortage.is_to_be_told(clock.now()));
        assert!(!shortage.is_to_be_told(clock.now()));
        hand.advance(QUIET);
        assert!(shortage.is_to_be_told(clock.now()));
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
