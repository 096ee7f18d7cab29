//! [`Node`]: a server that is asked for what may be missed, and the task that keeps a connection to it.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::backoff::Backoff;
use super::breaker::Breaker;
use super::client::Wire;
use super::error::{StoreError, StoreErrorKind};
use super::find;
use super::reply::Reply;
use super::server::Server;
use super::way::{As, CONNECT, Way, within};
use crate::clock::Moment;
use crate::config::StoreAddress;
use crate::lock::Mutex;

/// A server, and the connection to it while there is one.
#[derive(Debug)]
pub(super) struct Node {
    line: Arc<Line>,
    keeper: AbortHandle,
}

/// What callers and the keeper share.
#[derive(Debug)]
struct Line {
    way: Way,
    /// The server; without one it is looked for at each connect.
    address: Option<StoreAddress>,
    wire: Mutex<Option<Wire>>,
    breaker: Mutex<Breaker>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Node {
    /// Begins to connect to this server, on that runtime; without an address to whichever server is the primary then.
    pub(super) fn start(way: Way, address: Option<StoreAddress>, runtime: &Handle) -> Arc<Self> {
        let line = Arc::new(Line { way, address, wire: Mutex::default(), breaker: Mutex::default() });
        let keeper = runtime.spawn(Arc::clone(&line).keep()).abort_handle();
        Arc::new(Self { line, keeper })
    }

    /// Asks over the connection that there is, until the deadline and for `shared.timeout` at most.
    pub(super) async fn ask(
        &self,
        deadline: Moment,
        ask: impl AsyncFnOnce(Wire) -> Result<Reply, StoreError>,
    ) -> Result<Reply, StoreError> {
        self.line.ask(deadline, ask).await
    }
}

impl Line {
    async fn ask(
        &self,
        deadline: Moment,
        ask: impl AsyncFnOnce(Wire) -> Result<Reply, StoreError>,
    ) -> Result<Reply, StoreError> {
        let clock = self.way.clock();
        let asked = clock.now();
        let timeout = self.way.settings().timeout;
        let wire = self.wire.lock().clone();
        let Some(wire) = wire else { return Err(StoreError::new(StoreErrorKind::Lost, "no connection")) };
        if !self.breaker.lock().lets_through(asked) {
            return Err(StoreError::new(StoreErrorKind::Lost, "the store has not answered of late"));
        }
        let own = asked.plus(timeout);
        let deadline = if deadline.uptime() < own.uptime() { deadline } else { own };
        let answer = within(clock, deadline, ask(wire.clone())).await;
        self.judge(&wire, asked, answer.as_ref().err().map(StoreError::kind));
        answer
    }

    /// What an answer, or none, says of the server and of the connection.
    fn judge(&self, wire: &Wire, asked: Moment, fault: Option<StoreErrorKind>) {
        let now = self.way.clock().now();
        // A caller that had little time left says nothing of the server.
        let waited_long = now.since(asked) >= self.way.settings().timeout / 2;
        match fault {
            Some(StoreErrorKind::Timeout) if !waited_long => {}
            Some(StoreErrorKind::Timeout | StoreErrorKind::Lost) => {
                self.breaker.lock().missed(now);
                self.give_up(wire);
            }
            // The next connection goes to the primary of then, with the password of then.
            Some(StoreErrorKind::ReadOnly | StoreErrorKind::NoReplicas | StoreErrorKind::NoAuth) => {
                self.breaker.lock().missed(now);
                self.give_up(wire);
            }
            Some(StoreErrorKind::Loading) => self.breaker.lock().missed(now),
            _ => self.breaker.lock().answered(),
        }
    }

    /// Ends a connection, if it is still the one in use.
    fn give_up(&self, wire: &Wire) {
        let mut current = self.wire.lock();
        if current.as_ref().is_some_and(|current| current.is(wire)) {
            *current = None;
            wire.end();
        }
    }

    /// Keeps a connection for as long as the node lives.
    async fn keep(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        loop {
            let began = self.way.clock().now();
            if let Ok((wire, mut pushes)) = self.connect().await {
                *self.wire.lock() = Some(wire);
                while pushes.recv().await.is_some() {}
                *self.wire.lock() = None;
                if self.way.clock().now().since(began) > CONNECT {
                    backoff.forget();
                }
            }
            self.way.clock().sleep(backoff.wait()).await;
        }
    }

    async fn connect(&self) -> Result<(Wire, mpsc::Receiver<Vec<u8>>), StoreError> {
        let address = match &self.address {
            Some(address) => address.clone(),
            None => find::primary(&self.way).await?,
        };
        let (wire, pushes) = self.way.connect(&address, As::User).await?;
        let deadline = self.way.clock().now().plus(CONNECT);
        // A replica takes connections, and no write.
        within(self.way.clock(), deadline, Server::ask(&wire)).await?;
        Ok((wire, pushes))
    }
}
