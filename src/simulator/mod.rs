//! The simulator: a stand-in for the Instantly API that behaves as its documents and its users say, on a real socket.
//!
//! It promises the documented shapes, words, scopes and rate windows, the habits of the edge in front of the API, a
//! [`World`] that a seed alone decides, [`Faults`] on command and [`Counters`] of what arrived. It knows nothing of the
//! proxy: demo, tests and benches put that between it and a client. Where the vendor is silent it chooses one behaviour
//! and says so beside the code: lists are newest first and 100 long by default, calls over the limit take nothing from
//! it, PATCH never changes a label's number, a label that a key makes has no user who made it.
//!
//! A request goes `serve` -> `api` -> `caller`, `limits`, `faults` -> `labels`, `custom_tags` and its like, `accounts`,
//! `group_members`, `leads`, `reference`, `transfers` -> `edge`.

mod accounts;
mod answer;
mod api;
mod book;
mod caller;
mod campaigns;
mod config;
mod counters;
mod custom_tags;
mod edge;
mod fault;
mod faults;
mod gate;
mod group_members;
mod hits;
mod keys;
mod labels;
mod lead_lists;
mod leads;
mod limits;
mod operation;
mod organization;
mod ownership;
mod query;
mod reference;
mod serve;
mod shelf;
mod sketch;
mod tls;
mod transfers;
mod workspaces;
mod world;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use book::{Deletion, Interest, Label, Timestamp};
pub use config::SimulatorConfig;
pub use counters::{Arrival, Counters};
pub use fault::{Canned, Fault};
pub use faults::{Aim, FaultId, Faults};
pub use gate::Gate;
pub use keys::Key;
pub use limits::{Limits, Peak};
pub use operation::{Operation, Verb};
pub use organization::Organization;
pub use ownership::Grants;
pub use transfers::download_byte;
pub use world::World;

use api::Api;
use serve::Tasks;
use tls::Identity;

use crate::clock::Clock;
use crate::lock::Mutex;

/// A running simulator. Dropping it cuts every connection and frees the port, as [`Simulator::stop`] does.
#[derive(Debug)]
pub struct Simulator {
    api: Arc<Api>,
    address: SocketAddr,
    ca_pem: Option<String>,
    tasks: Tasks,
    connections: Connections,
}

impl Simulator {
    /// Binds the port and serves it on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub async fn start(config: SimulatorConfig, clock: Clock) -> io::Result<Self> {
        let identity = if config.tls { Some(Identity::generate()?) } else { None };
        let (tls, ca_pem) = identity.map(|identity| (identity.server, identity.ca_pem)).unzip();
        let listener = TcpListener::bind(config.address).await?;
        let address = listener.local_addr()?;
        let api = Arc::new(Api::new(&config, clock));
        let tasks = Tasks { stop: CancellationToken::new(), tracker: TaskTracker::new() };
        let connections = Connections::under(&tasks.stop);
        let cut = {
            let connections = connections.clone();
            move || connections.token()
        };
        tasks.tracker.spawn(serve::accept(listener, tls, Arc::clone(&api), tasks.clone(), cut));
        Ok(Self { api, address, ca_pem, tasks, connections })
    }

    /// The address, with the port that was really taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client sets as base URL: `http://127.0.0.1:PORT`, or `https://localhost:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        match self.ca_pem {
            Some(_) => format!("https://localhost:{}", self.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// With TLS: the root certificate that a client has to trust.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Organizations, keys and labels.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.api.world
    }

    /// What goes wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.api.faults
    }

    /// What arrived.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.api.counters
    }

    /// Answers 401 to this key from now on; requests under way are answered as they began.
    pub fn revoke(&self, key: &Key) {
        key.revoke();
    }

    /// Takes a revocation back.
    pub fn restore(&self, key: &Key) {
        key.restore();
    }

    /// Changes a label as the web app does: at once, and unseen by whatever is in front. False if there is none with
    /// this id.
    pub fn edit_label(&self, organization: Uuid, id: Uuid, edit: impl FnOnce(&mut Label)) -> bool {
        let now = self.api.clock.now().uptime();
        self.world().organization(organization).is_some_and(|found| found.edit_label(id, now, edit))
    }

    /// Sets the rate windows of every workspace anew; calls already counted stay counted.
    pub fn set_limits(&self, limits: Limits) {
        for organization in self.world().every_organization() {
            organization.account().set_limits(limits);
        }
    }

    /// Cuts every open connection, and goes on accepting.
    pub fn disconnect(&self) {
        self.connections.cut();
    }

    /// Cuts every connection, frees the port, and returns when all tasks have ended.
    pub async fn stop(self) {
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        self.tasks.tracker.wait().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.tasks.stop.cancel();
    }
}

/// What ends the connections that are open, apart from those to come.
#[derive(Clone, Debug)]
struct Connections {
    stop: CancellationToken,
    current: Arc<Mutex<CancellationToken>>,
}

impl Connections {
    fn under(stop: &CancellationToken) -> Self {
        Self { stop: stop.clone(), current: Arc::new(Mutex::new(stop.child_token())) }
    }

    fn token(&self) -> CancellationToken {
        self.current.lock().clone()
    }

    fn cut(&self) {
        let mut current = self.current.lock();
        std::mem::replace(&mut *current, self.stop.child_token()).cancel();
    }
}
