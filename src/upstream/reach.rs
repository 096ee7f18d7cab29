//! Whether the upstream can be reached: what each call says of it, and the connections that are tried to find out.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::client::Upstream;
use super::connector::{Connector, Protocols};
use crate::clock::Clock;
use crate::error::{Counts, ErrorKind, ProxyError};
use crate::purpose::Purpose;
use crate::shield::breaker::{Breaker, Reaction};

impl Upstream {
    /// Whether the upstream cannot be reached.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.breaker.is_open(self.clock.now())
    }

    /// When to come again, if a call would not be sent now: asked before a call waits for anything and spends its slot.
    #[must_use]
    pub fn refuses(&self) -> Option<Duration> {
        self.breaker.refuses(self.clock.now())
    }

    /// Tells the breaker of an answer, whatever its status.
    pub(super) fn note_success(&self) {
        if self.breaker.on_success() {
            tracing::info!("the upstream is reachable again");
        }
    }

    /// Tells the breaker what a failure says of the upstream's reachability, on the connection with this number if there
    /// was one.
    pub(super) fn note_failure_of(&self, purpose: Purpose, error: &ProxyError, connection: Option<u64>) {
        let counts = match error.kind().counts() {
            Counts::Always => true,
            Counts::OfReads => !matches!(purpose, Purpose::PassThrough | Purpose::Write),
            Counts::OfSilence => error.is_silence(),
            Counts::Never => false,
        };
        if !counts {
            return;
        }
        let number = connection.unwrap_or_else(|| self.numbers.fetch_add(1, Ordering::Relaxed));
        match self.breaker.on_failure(number, self.clock.now()) {
            Reaction::Counted => {}
            Reaction::Opened => tracing::error!("the upstream cannot be reached"),
            Reaction::Suspected => self.find_out(),
        }
    }

    /// Tries connections, so that few calls suffice to tell a dead upstream.
    fn find_out(&self) {
        let connector = self.connector(Protocols::Http2Preferred);
        let trial = Trial {
            connector,
            breaker: self.breaker.clone(),
            numbers: Arc::clone(&self.numbers),
            clock: self.clock.clone(),
        };
        tokio::spawn(trial.run());
    }
}

/// Connections that are tried to find out whether the upstream is dead.
struct Trial {
    connector: Connector,
    breaker: Breaker,
    numbers: Arc<AtomicU64>,
    clock: Clock,
}

impl Trial {
    async fn run(self) {
        while let Some(at) = self.breaker.next_trial() {
            self.clock.sleep_until(at).await;
            if !self.breaker.take_trial(self.clock.now()) {
                continue;
            }
            let connector = self.connector.clone();
            let (breaker, clock) = (self.breaker.clone(), self.clock.clone());
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            // They overlap: a connection that times out takes longer than the time between two. A connection that comes
            // about says nothing, for a frozen process still accepts it.
            tokio::spawn(async move {
                // What runs out here says nothing of the upstream.
                let failed =
                    connector.connect().await.is_err_and(|error| error.kind() != ErrorKind::OutOfResources);
                if failed && breaker.on_failure(number, clock.now()) == Reaction::Opened {
                    tracing::error!("the upstream cannot be reached");
                }
            });
        }
    }
}

impl ProxyError {
    /// Whether a connection went silent: an HTTP/2 PING was not answered in time.
    fn is_silence(&self) -> bool {
        let mut cause = Error::source(self);
        while let Some(error) = cause {
            if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}
