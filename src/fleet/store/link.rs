//! [`Link`]: the control link, to the server that owns the control slot.
//!
//! It is made once and ends when it is lost. What it read of the server when it was made, the `run_id` above all, is then
//! true of every answer that it gives: a connection that came back by itself would go on sending an old one to a server that
//! has forgotten everything.

use tokio::sync::mpsc;

use super::client::{Subscribe, Wire};
use super::error::StoreError;
use super::find;
use super::reply::Reply;
use super::script::Script;
use super::server::Server;
use super::way::{As, CONNECT, First, Way, run, within};
use crate::clock::Clock;
use crate::config::{StoreAddress, StoreMode, StoreSettings};
use crate::metrics::{Operation, OperationResult, SharedSeries};

/// One connection to the server that owns the control slot, subscribed to the bell.
#[derive(Debug)]
pub struct Link {
    wire: Wire,
    way: Way,
    address: StoreAddress,
    server: Server,
    series: SharedSeries,
}

/// What the bell brings, for as long as the [`Link`] lasts.
#[derive(Debug)]
pub struct Bells(mpsc::Receiver<Vec<u8>>);

impl Bells {
    /// The next message of the bell's channel; `None` once the link is lost. Cancel-safe.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        self.0.recv().await
    }
}

impl Link {
    /// Finds the server, connects to it, asks what it is and subscribes to the channel of this name, whose hash tag is the
    /// control slot's; 2 s at most. The link lives on the runtime that this is called on.
    ///
    /// # Errors
    ///
    /// [`ReadOnly`](super::StoreErrorKind::ReadOnly) of a replica, [`TooOld`](super::StoreErrorKind::TooOld), and whatever connecting fails of.
    pub async fn connect(
        first: &First,
        settings: &StoreSettings,
        bell: &[u8],
        clock: &Clock,
        series: &SharedSeries,
    ) -> Result<(Self, Bells), StoreError> {
        let way = Way::beginning_with(first.clone(), settings.clone(), clock.clone());
        let deadline = clock.now().plus(CONNECT);
        // Boxed, or whoever connects would be as large as all of its steps.
        within(clock, deadline, Box::pin(Self::connect_by(way, bell, series.clone()))).await
    }

    async fn connect_by(way: Way, bell: &[u8], series: SharedSeries) -> Result<(Self, Bells), StoreError> {
        let address = find::owner(&way, bell).await?;
        let (wire, pushes) = way.connect(&address, As::User).await?;
        let server = Server::ask(&wire).await?;
        wire.subscribe(Subscribe::Everywhere, bell).await?;
        if way.settings().mode == StoreMode::Cluster && server.knows_slot_channels() {
            wire.subscribe(Subscribe::InSlot, bell).await?;
        }
        Ok((Self { wire, way, address, server, series }, Bells(pushes)))
    }

    /// Which run of the server process this is: another one after each restart.
    #[must_use]
    pub fn run_id(&self) -> &str {
        self.server.run_id()
    }

    /// What the server is, as it says: `Valkey 8.0.1`.
    #[must_use]
    pub fn version(&self) -> String {
        self.server.version()
    }

    /// Whether the server knows `#!lua` lines with flags at the head of a script: Redis and Valkey from 7.0 on.
    #[must_use]
    pub fn knows_script_flags(&self) -> bool {
        self.server.knows_script_flags()
    }

    /// Whether it has subscribed to a channel of the control slot as well, so that `SPUBLISH` rings the bell: in a Cluster, from
    /// 7.0 on.
    #[must_use]
    pub fn hears_slot_channels(&self) -> bool {
        self.way.settings().mode == StoreMode::Cluster && self.server.knows_slot_channels()
    }

    /// The server that it goes to.
    #[must_use]
    pub const fn address(&self) -> &StoreAddress {
        &self.address
    }

    /// Whether it has been lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.wire.is_over()
    }

    /// Runs a script, within `shared.timeout`. A call without an answer leaves the link as it is: replies come in order, and
    /// one that is late is nobody's. Whether to give it up is its owner's to say.
    ///
    /// # Errors
    ///
    /// If there was no answer in time, or the server refused.
    pub async fn call(
        &self,
        operation: Operation,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<Reply, StoreError> {
        let (clock, asked) = (self.way.clock(), self.way.clock().now());
        let deadline = asked.plus(self.way.settings().timeout);
        let answer = within(clock, deadline, run(&self.wire, script, keys, args)).await;
        let result = answer.as_ref().err().map_or(OperationResult::Answered, StoreError::result);
        self.series.operation(operation, result, clock.now().since(asked));
        answer
    }
}
