//! The running process: listeners, workers, drain.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;

/// A running proxy: its threads, its two ports.
#[derive(Debug)]
pub struct Server {}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Readiness off, accept for `drain_delay`, then end what is under way within `drain_timeout`.
    Graceful,
    /// The same without the delay.
    WithoutDelay,
    /// Cut everything.
    Now,
}

/// What a stop had to cut when the drain time-out expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections with a request under way.
    pub cut: usize,
}

/// Why the server could not start: the address and the system's reason, or what could not be read.
#[derive(Debug)]
pub struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl Server {
    /// Binds both ports, starts the threads, and returns once both ports accept.
    ///
    /// # Errors
    ///
    /// If a port is taken or a file cannot be read.
    pub fn start(_config: Config, _clock: Clock) -> Result<Self, StartError> {
        Err(StartError("not built".to_owned()))
    }

    /// The data port's address, with the port that was really taken.
    #[must_use]
    pub fn data_address(&self) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 0))
    }

    /// The admin port's address, with the port that was really taken.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 0))
    }

    /// The process's counters.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::default()
    }

    /// Begins to stop; may be called again with a harder way.
    pub fn shutdown(&self, _how: Shutdown) {}

    /// Blocks until everything has stopped.
    #[must_use]
    pub fn wait(&self) -> Drained {
        Drained::default()
    }
}
