//! [`Cluster`]: each key is asked of the node that owns its slot.
//!
//! Nobody is sent on: a call whose key has moved is a miss, and the slots are read again. Following would cost a call
//! another round trip, on a connection that may not be there, inside a deadline that is one round trip's.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::backoff::Backoff;
use super::client::Wire;
use super::error::{StoreError, StoreErrorKind};
use super::find;
use super::node::Node;
use super::reply::Reply;
use super::slots::Slots;
use super::way::{CONNECT, Way};
use crate::clock::Moment;
use crate::config::StoreAddress;
use crate::lock::RwLock;

/// The nodes of a Cluster, and the task that keeps what is known of them.
#[derive(Debug)]
pub(super) struct Cluster {
    map: Arc<Map>,
    keeper: AbortHandle,
}

#[derive(Debug)]
struct Map {
    way: Way,
    known: RwLock<Known>,
    /// Something was not where it was thought to be.
    doubted: Notify,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct Known {
    slots: Slots,
    nodes: HashMap<StoreAddress, Arc<Node>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Cluster {
    /// Begins to ask who has what, on that runtime.
    pub(super) fn start(way: Way, runtime: &Handle) -> Self {
        let map =
            Arc::new(Map { way, known: RwLock::default(), doubted: Notify::new(), runtime: runtime.clone() });
        let keeper = runtime.spawn(Arc::clone(&map).keep()).abort_handle();
        Self { map, keeper }
    }

    /// Asks the owner of a key, as [`Node::ask`] does.
    pub(super) async fn ask(
        &self,
        key: &[u8],
        deadline: Moment,
        ask: impl AsyncFnOnce(Wire) -> Result<Reply, StoreError>,
    ) -> Result<Reply, StoreError> {
        let answer = match self.map.node_of(key) {
            Ok(node) => node.ask(deadline, ask).await,
            Err(error) => Err(error),
        };
        let doubtful = |error: &StoreError| {
            use StoreErrorKind::{Lost, Moved, NoReplicas, ReadOnly, Timeout};
            matches!(error.kind(), Lost | Moved | NoReplicas | ReadOnly | Timeout)
        };
        if answer.as_ref().err().is_some_and(doubtful) {
            self.map.doubted.notify_one();
        }
        answer
    }
}

impl Map {
    fn node_of(&self, key: &[u8]) -> Result<Arc<Node>, StoreError> {
        let known = self.known.read();
        let node = known.slots.owner(key).ok().and_then(|owner| known.nodes.get(owner));
        node.cloned().ok_or_else(|| StoreError::new(StoreErrorKind::Moved, "nobody is known to have the key"))
    }

    /// Reads the slots, and again whenever they are doubted, for as long as the Cluster is asked.
    async fn keep(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        loop {
            let began = self.way.clock().now();
            if let Ok(slots) = find::slots(&self.way).await {
                self.take(slots);
                self.doubted.notified().await;
            }
            if self.way.clock().now().since(began) > CONNECT {
                backoff.forget();
            }
            // However many calls go astray, the nodes are asked at most so often.
            self.way.clock().sleep(backoff.wait()).await;
        }
    }

    /// Nodes that own nothing any more are let go, with their connections.
    fn take(&self, slots: Slots) {
        let mut known = self.known.write();
        let mut old = std::mem::take(&mut known.nodes);
        for owner in slots.owners() {
            if known.nodes.contains_key(owner) {
                continue;
            }
            let node = old
                .remove(owner)
                .unwrap_or_else(|| Node::start(self.way.clone(), Some(owner.clone()), &self.runtime));
            known.nodes.insert(owner.clone(), node);
        }
        known.slots = slots;
    }
}
