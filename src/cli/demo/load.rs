//! A modest load: services of three organizations that keep asking for lead labels, a call now and then that passes
//! through, and a write every ten seconds. In a fleet the callers are spread over the replicas, and what is written through one
//! is read at once through all others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Client, Heard};
use super::figures::{Observed, ReadBack};
use crate::clock::Clock;
use crate::simulator::Simulator;

/// Callers of each organization; each has a connection of its own.
const CALLERS: usize = 8;
/// Between two requests of a caller.
const PAUSE: Duration = Duration::from_millis(40);
/// Between two writes, of all organizations in turn.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// The same in a fleet, where they are what is to be seen, and when the first is.
const WRITE_EVERY_IN_FLEET: Duration = Duration::from_secs(5);
const FIRST_WRITE_IN_FLEET: Duration = Duration::from_secs(2);
/// Of this many requests of a caller one is a list, and one passes through.
const ROUND: u64 = 25;
/// Positions of the keys whose scopes allow reading labels.
const READERS: [usize; 4] = [0, 1, 3, 4];

/// A load under way.
pub(super) struct Load {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Load {
    /// Ends it and waits for the last answer.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn spawn(&self, caller: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(caller).await;
        });
    }
}

/// Starts the load against the proxies at these addresses.
pub(super) fn start(
    simulator: &Arc<Simulator>,
    addresses: &Arc<[SocketAddr]>,
    clock: &Clock,
    observed: &Arc<Observed>,
) -> Load {
    let load = Load { stop: CancellationToken::new(), tasks: TaskTracker::new() };
    let organizations = simulator.world().organizations();
    for (index, organization) in organizations.iter().enumerate() {
        let labels: Arc<[String]> = organization.labels().iter().map(|label| label.id.to_string()).collect();
        let caller = |turn: usize, key: usize| Caller {
            addresses: Arc::clone(addresses),
            own: turn % addresses.len(),
            labels: Arc::clone(&labels),
            client: Client::new(&organization.keys()[key], clock),
            observed: Arc::clone(observed),
        };
        for number in 0..CALLERS {
            let turn = index * CALLERS + number;
            let caller = caller(turn, READERS[number % READERS.len()]);
            load.spawn(async move { caller.read(turn as u64).await });
        }
        let writer = caller(index, 0);
        let (first, every) = match addresses.len() {
            1 => (WRITE_EVERY, WRITE_EVERY),
            _ => (FIRST_WRITE_IN_FLEET, WRITE_EVERY_IN_FLEET),
        };
        let times = |count: usize| every * u32::try_from(count).unwrap_or(u32::MAX);
        let (first, round) = (first + times(index), times(organizations.len()));
        load.spawn(async move { writer.write(first, round).await });
    }
    load
}

struct Caller {
    addresses: Arc<[SocketAddr]>,
    /// Which of them it asks.
    own: usize,
    labels: Arc<[String]>,
    client: Client,
    observed: Arc<Observed>,
}

impl Caller {
    async fn read(&self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        // Not all at once.
        self.client.clock().sleep(PAUSE.mul_f64(random.f64())).await;
        loop {
            match random.u64(..ROUND) {
                0 => self.timed_read("/api/v2/lead-labels?limit=100").await,
                1 => drop(self.client.get(self.addresses[self.own], "/api/v2/campaigns").await),
                _ => {
                    let label = &self.labels[random.usize(..self.labels.len())];
                    self.timed_read(&format!("/api/v2/lead-labels/{label}")).await;
                }
            }
            self.client.clock().sleep(PAUSE).await;
        }
    }

    async fn timed_read(&self, path: &str) {
        let Some(heard) = self.client.get(self.addresses[self.own], path).await else { return };
        if heard.is_hit() {
            self.observed.latencies.note_hit(heard.took);
        } else if heard.cache_status.is_some() {
            self.observed.latencies.note_miss(heard.took);
        }
    }

    async fn write(&self, first: Duration, round: Duration) {
        let path = format!("/api/v2/lead-labels/{}", self.labels[0]);
        self.client.clock().sleep(first).await;
        for number in 1_u64.. {
            let written = format!("edited by the demonstration, {number}");
            let body = format!(r#"{{"description":"{written}"}}"#);
            let heard = self.client.call(self.addresses[self.own], Method::PATCH, &path, body).await;
            if let Some(heard) = heard.filter(|heard| heard.status.is_success()) {
                self.observed.latencies.note_write(heard.took);
                self.read_back(&path, &written).await;
            }
            self.client.clock().sleep(round).await;
        }
    }

    /// Reads what was written through every other replica.
    async fn read_back(&self, path: &str, written: &str) {
        for other in (0..self.addresses.len()).filter(|other| *other != self.own) {
            let heard = self.client.get(self.addresses[other], path).await;
            // Who was turned away has seen nothing.
            let Some(Heard { status: StatusCode::OK, body, .. }) = heard else { continue };
            let is_new = String::from_utf8_lossy(&body).contains(written);
            self.observed.writes.note_read_back(if is_new { ReadBack::New } else { ReadBack::Old });
        }
    }
}
