//! The way of a request, on one screen.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use uuid::Uuid;

use crate::body::Body;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::ErrorKind;
use crate::metrics::{Gauges, Metrics};

/// Everything that requests share; one per process.
#[derive(Debug)]
pub struct Proxy {}

/// Why a proxy could not be set up: an unreadable root certificate, mostly.
#[derive(Debug)]
pub struct SetupError(pub String);

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SetupError {}

/// What a purge is to reach; nothing given is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// This organization alone.
    pub organization: Option<Uuid>,
    /// This label (and every list, which may hold it) alone.
    pub label: Option<Uuid>,
}

/// What a purge took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Stored responses.
    pub entries: u64,
    /// Their bytes, keys and overhead included.
    pub bytes: u64,
    /// Proofs of credentials, which must be earned again.
    pub proofs: u64,
}

impl Proxy {
    /// Sets up the store, the bindings and the way to the upstream. `flights` runs everything that outlives a caller.
    ///
    /// # Errors
    ///
    /// If the roots to trust cannot be read.
    pub fn new(
        _config: &Config,
        _clock: Clock,
        _metrics: Arc<Metrics>,
        _flights: tokio::runtime::Handle,
    ) -> Result<Arc<Self>, SetupError> {
        Ok(Arc::new(Self {}))
    }

    /// The part of the proxy that belongs to one worker thread; made on that thread's runtime.
    #[must_use]
    pub fn worker(self: &Arc<Self>) -> Worker {
        Worker { _proxy: Arc::clone(self) }
    }

    /// From now on no fill that begins is stored: what a draining process does.
    pub fn stop_storing(&self) {}

    /// Takes stored responses away, and proofs with them where an organization or everything is named.
    pub fn purge(&self, _what: Purge) -> Purged {
        Purged::default()
    }

    /// Sizes at this moment.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges::default()
    }
}

/// A worker's share of the proxy: answers requests.
#[derive(Clone, Debug)]
pub struct Worker {
    _proxy: Arc<Proxy>,
}

impl Worker {
    /// Answers one request; never fails: a failure is an answer.
    pub async fn handle(&self, _request: Request<Incoming>, _peer: SocketAddr) -> Response<Body> {
        ErrorKind::Internal.error().response()
    }
}
