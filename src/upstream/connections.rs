//! [`UpstreamClient`]: connections of one kind, and how a call comes by one: an idle one of its own credential, the one that
//! label calls share, or a new one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::connect_time::ConnectTime;
use super::connector::{Connector, Protocols};
use super::http1::Http1;
use super::http2::{Attempt, Course, Http2, Shared};
use super::outgoing::Owner;
use super::pool::{Checkout, Idle, Pool};
use super::stream::{Link, Stream};
use crate::clock::{Clock, Moment};
use crate::error::{ErrorKind, ProxyError};

/// A connection that is in use all the time is closed at this age, less a random tenth: an upstream whose name moved is
/// followed.
const GREATEST_AGE: Duration = Duration::from_secs(300);

/// Connections of one kind, whose bytes are moved on the runtime that opened them; clones share them.
#[derive(Clone)]
pub struct UpstreamClient(pub(super) Arc<Connections>);

impl fmt::Debug for UpstreamClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamClient")
    }
}

/// See [`UpstreamClient`].
pub(super) struct Connections {
    /// Tells them from those of other clients.
    lane: u64,
    connector: Connector,
    /// The one that label calls share.
    shared: Option<Arc<Shared>>,
    /// The runtime that moves their bytes.
    home: Handle,
    pool: Pool,
    pace: Arc<ConnectTime>,
    numbers: Arc<AtomicU64>,
    clock: Clock,
}

/// What carries a call. Dropped without one, a connection goes back to where it came from.
#[derive(Debug)]
pub(super) enum Carrier {
    /// An HTTP/1.1 connection, for this call alone.
    Own(Held),
    /// The HTTP/2 connection.
    Shared(Http2),
}

/// An HTTP/1.1 connection in hand.
#[derive(Debug)]
pub(super) struct Held {
    connection: Option<Http1>,
    checkout: Option<Checkout>,
    /// Since when it has carried nothing: not since it was looked at for a call that did not go.
    since: Moment,
}

impl Held {
    fn new(idle: Idle, checkout: Checkout) -> Self {
        let Idle { connection, since } = idle;
        Self { connection: Some(connection), checkout: Some(checkout), since }
    }

    pub(super) fn link(&self) -> Option<Arc<Link>> {
        self.connection.as_ref().map(|connection| Arc::clone(&connection.link))
    }

    /// The connection, for a call.
    pub(super) fn take(mut self) -> Option<(Http1, Checkout)> {
        self.connection.take().zip(self.checkout.take())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let (Some(connection), Some(checkout)) = (self.connection.take(), &self.checkout) {
            checkout.put_back(Idle { connection, since: self.since });
        }
    }
}

impl Connections {
    pub(super) fn new(
        connector: Connector,
        protocols: Protocols,
        home: Handle,
        pool: Pool,
        pace: Arc<ConnectTime>,
        numbers: Arc<AtomicU64>,
    ) -> Self {
        let lane = numbers.fetch_add(1, Ordering::Relaxed);
        let shared = (protocols == Protocols::Http2Preferred).then(Arc::default);
        let clock = connector.clock().clone();
        Self { lane, connector, shared, home, pool, pace, numbers, clock }
    }

    /// A connection that is open and ready.
    pub(super) fn take(self: &Arc<Self>, owner: Owner) -> Option<Carrier> {
        let now = self.clock.now();
        if let Some(shared) = &self.shared {
            match shared.course(now) {
                Course::Open(open) => return Some(Carrier::Shared(open)),
                Course::Begin(attempt) => return self.succeed(shared, attempt).map(Carrier::Shared),
                Course::Wait(_) => return None,
                Course::Http1 => {}
            }
        }
        let (idle, checkout) = self.pool.take(self.lane, owner, now)?;
        Some(Carrier::Own(Held::new(idle, checkout)))
    }

    /// A connection for a call of this owner: one that is open, or a new one.
    ///
    /// # Errors
    ///
    /// What went wrong with connecting.
    pub(super) async fn connect(self: &Arc<Self>, owner: Owner) -> Result<Carrier, ProxyError> {
        let Some(shared) = &self.shared else { return self.own(owner).await };
        // On its own thread: a socket that was opened on another would end with that one.
        let (connections, shared) = (Arc::clone(self), Arc::clone(shared));
        let connecting = self.home.spawn(async move { connections.connect_at_home(&shared, owner).await });
        connecting.await.unwrap_or_else(|ended| Err(ErrorKind::Internal.error().because(ended)))
    }

    async fn connect_at_home(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        owner: Owner,
    ) -> Result<Carrier, ProxyError> {
        let arrived = self.clock.now();
        let deadline = arrived.plus(self.connector.timeout());
        loop {
            match shared.course(self.clock.now()) {
                Course::Open(open) => return Ok(Carrier::Shared(open)),
                Course::Http1 => return self.own(owner).await,
                Course::Begin(attempt) => match shared.open() {
                    Some(_) => {
                        if let Some(old) = self.succeed(shared, attempt) {
                            return Ok(Carrier::Shared(old));
                        }
                    }
                    None => return self.attempt(shared, attempt, owner).await,
                },
                Course::Wait(waiting) => {
                    let began_before = !arrived.since(waiting.begun).is_zero();
                    match self.clock.deadline(deadline, waiting.told()).await {
                        Ok(Ok(Some(open))) => return Ok(Carrier::Shared(open)),
                        Ok(Ok(None)) => {}
                        // It fails those whose deadline it ate: who came later tries for itself.
                        Ok(Err(_)) if began_before => {}
                        Ok(Err(error)) => return Err(error),
                        Err(elapsed) => return Err(ErrorKind::ConnectTimeout.error().because(elapsed)),
                    }
                }
            }
        }
    }

    /// Opens the connection that everybody waits for.
    async fn attempt(
        &self,
        shared: &Arc<Shared>,
        attempt: Attempt,
        owner: Owner,
    ) -> Result<Carrier, ProxyError> {
        let opened = async {
            let stream = self.open().await?;
            if stream.speaks_http2() { self.share(shared, stream).await.map(Ok) } else { Ok(Err(stream)) }
        };
        match opened.await {
            Ok(Ok(open)) => {
                attempt.opened(open.clone());
                Ok(Carrier::Shared(open))
            }
            Ok(Err(stream)) => {
                attempt.agreed_on_http1(self.clock.now());
                self.begin(stream, owner).await
            }
            Err(error) => {
                attempt.failed(&error);
                Err(error)
            }
        }
    }

    /// Opens the successor of a connection that has grown old, which goes on being used until it is there.
    fn succeed(self: &Arc<Self>, shared: &Arc<Shared>, attempt: Attempt) -> Option<Http2> {
        let old = shared.open()?;
        let (connections, shared) = (Arc::clone(self), Arc::clone(shared));
        self.home.spawn(async move {
            if let Err(error) = connections.attempt(&shared, attempt, None).await {
                tracing::debug!(error = %error.kind(), cause = error.causes(), "no new upstream connection");
            }
        });
        Some(old)
    }

    /// A new connection of the owner's; where the upstream agrees on HTTP/2 after all, everybody's.
    async fn own(self: &Arc<Self>, owner: Owner) -> Result<Carrier, ProxyError> {
        let now = self.clock.now();
        if let Some(taken) = self.pool.take(self.lane, owner, now) {
            let (idle, checkout) = taken;
            return Ok(Carrier::Own(Held::new(idle, checkout)));
        }
        let stream = self.open().await?;
        match &self.shared {
            Some(shared) if stream.speaks_http2() => self.share(shared, stream).await.map(Carrier::Shared),
            _ => self.begin(stream, owner).await,
        }
    }

    async fn begin(&self, stream: Stream, owner: Owner) -> Result<Carrier, ProxyError> {
        let checkout = self.pool.room(self.lane, owner);
        let connection = Http1::begin(stream, self.link(), self.expiry(), self.clock.clone()).await?;
        let idle = Idle { connection, since: self.clock.now() };
        Ok(Carrier::Own(Held::new(idle, checkout)))
    }

    async fn share(&self, shared: &Shared, stream: Stream) -> Result<Http2, ProxyError> {
        shared.share(stream, self.link(), self.expiry(), &self.clock).await
    }

    async fn open(&self) -> Result<Stream, ProxyError> {
        let begun = self.clock.now();
        let stream = self.connector.connect().await?;
        self.pace.note(self.clock.now().since(begun));
        Ok(stream)
    }

    fn link(&self) -> Arc<Link> {
        Link::new(self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// When a connection that is opened now is too old.
    fn expiry(&self) -> Moment {
        self.clock.now().plus(GREATEST_AGE.mul_f64(1.0 - 0.1 * fastrand::f64()))
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.pool.close(self.lane);
    }
}
