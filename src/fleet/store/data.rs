//! [`Data`]: the connection for what may be missed: entries, proofs, accounts.
//!
//! A call goes at once or not at all: nobody waits for a connection to come back. A call that waited for long without a
//! reply ends the connection for all, because what is frozen for one is frozen for all, and after five misses in a row the
//! store is not asked for a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::client::Wire;
use super::cluster::Cluster;
use super::error::StoreError;
use super::node::Node;
use super::reply::Reply;
use super::script::Script;
use super::way::{Way, run};
use crate::clock::{Clock, Moment};
use crate::config::{StoreMode, StoreSettings};
use crate::metrics::{Operation, OperationResult, SharedSeries};

/// The connections for what may be missed.
#[derive(Debug)]
pub struct Data {
    servers: Servers,
    clock: Clock,
    series: SharedSeries,
}

/// Who is asked.
#[derive(Debug)]
enum Servers {
    /// One, for every key.
    One(Arc<Node>),
    /// The owner of the key's slot.
    Cluster(Cluster),
}

impl Data {
    /// Begins to connect, and goes on with that for as long as this lives, on that runtime.
    #[must_use]
    pub fn start(settings: StoreSettings, clock: Clock, series: SharedSeries, runtime: &Handle) -> Self {
        let way = Way::new(settings, clock.clone());
        let servers = match way.settings().mode {
            StoreMode::Cluster => Servers::Cluster(Cluster::start(way, runtime)),
            StoreMode::Standalone | StoreMode::Sentinel { .. } => {
                Servers::One(Node::start(way, None, runtime))
            }
        };
        Self { servers, clock, series }
    }

    /// Runs a script. All keys lie in one slot. The call ends at the deadline, or after `shared.timeout` if that is earlier.
    ///
    /// # Errors
    ///
    /// If there is no connection, no reply in time, or the server refused.
    pub async fn call(
        &self,
        operation: Operation,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
        deadline: Moment,
    ) -> Result<Reply, StoreError> {
        let asked = self.clock.now();
        let key = keys.first().copied().unwrap_or_default();
        let answer = self.ask(key, deadline, async |wire| run(&wire, script, keys, args).await).await;
        self.count(operation, asked, &answer);
        answer
    }

    /// Stores a value under a key for as long as it lives, and in whole milliseconds.
    ///
    /// # Errors
    ///
    /// As for [`Self::call`].
    pub async fn set(
        &self,
        operation: Operation,
        key: &[u8],
        value: &[u8],
        lives: Duration,
        deadline: Moment,
    ) -> Result<(), StoreError> {
        let lives = lives.as_millis().max(1).to_string();
        let words: [&[u8]; 5] = [b"SET", key, value, b"PX", lives.as_bytes()];
        let asked = self.clock.now();
        let answer = self.ask(key, deadline, async |wire| wire.ask(&words).await).await;
        self.count(operation, asked, &answer);
        answer.map(drop)
    }

    async fn ask(
        &self,
        key: &[u8],
        deadline: Moment,
        ask: impl AsyncFnOnce(Wire) -> Result<Reply, StoreError>,
    ) -> Result<Reply, StoreError> {
        match &self.servers {
            Servers::One(node) => node.ask(deadline, ask).await,
            Servers::Cluster(cluster) => cluster.ask(key, deadline, ask).await,
        }
    }

    fn count(&self, operation: Operation, asked: Moment, answer: &Result<Reply, StoreError>) {
        let result = answer.as_ref().err().map_or(OperationResult::Answered, StoreError::result);
        self.series.operation(operation, result, self.clock.now().since(asked));
    }
}
