//! A modest load: services of three organizations that keep asking for lead labels, a call now and then that passes
//! through, and a write every ten seconds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::figures::Latencies;
use crate::clock::Clock;
use crate::simulator::Simulator;

/// Callers of each organization; each has a connection of its own.
const CALLERS: usize = 8;
/// Between two requests of a caller.
const PAUSE: Duration = Duration::from_millis(40);
/// Between two writes, of all organizations in turn.
const WRITE_EVERY: Duration = Duration::from_secs(10);
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
}

/// Starts the load against the proxy at `address`.
pub(super) fn start(
    simulator: &Arc<Simulator>,
    address: SocketAddr,
    clock: &Clock,
    latencies: &Arc<Latencies>,
) -> Load {
    let load = Load { stop: CancellationToken::new(), tasks: TaskTracker::new() };
    for (index, organization) in simulator.world().organizations().iter().enumerate() {
        let labels: Arc<[String]> = organization.labels().iter().map(|label| label.id.to_string()).collect();
        for number in 0..CALLERS {
            let caller = Caller {
                address,
                token: organization.keys()[READERS[number % READERS.len()]].bearer(),
                labels: Arc::clone(&labels),
                client: Client::builder(TokioExecutor::new()).build_http(),
            };
            let seed = (index * CALLERS + number) as u64;
            let (clock, latencies, stop) = (clock.clone(), Arc::clone(latencies), load.stop.clone());
            load.tasks.spawn(async move {
                stop.run_until_cancelled(caller.read(seed, &clock, &latencies)).await;
            });
        }
        let writer = Caller {
            address,
            token: organization.keys()[0].bearer(),
            labels,
            client: Client::builder(TokioExecutor::new()).build_http(),
        };
        let organizations = simulator.world().organizations().len();
        let (clock, stop) = (clock.clone(), load.stop.clone());
        load.tasks.spawn(async move {
            let turn = u32::try_from(index).unwrap_or_default();
            stop.run_until_cancelled(writer.write(turn, organizations, &clock)).await;
        });
    }
    load
}

struct Caller {
    address: SocketAddr,
    token: HeaderValue,
    labels: Arc<[String]>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Caller {
    async fn read(&self, seed: u64, clock: &Clock, latencies: &Latencies) {
        let mut random = fastrand::Rng::with_seed(seed);
        // Not all at once.
        clock.sleep(PAUSE.mul_f64(random.f64())).await;
        loop {
            match random.u64(..ROUND) {
                0 => self.timed_read("/api/v2/lead-labels?limit=100", clock, latencies).await,
                1 => drop(self.call(Method::GET, "/api/v2/campaigns", "").await),
                _ => {
                    let label = &self.labels[random.usize(..self.labels.len())];
                    self.timed_read(&format!("/api/v2/lead-labels/{label}"), clock, latencies).await;
                }
            }
            clock.sleep(PAUSE).await;
        }
    }

    async fn timed_read(&self, path: &str, clock: &Clock, latencies: &Latencies) {
        let begun = clock.now();
        if let Some(cache_status) = self.call(Method::GET, path, "").await {
            let took = clock.now().since(begun);
            if cache_status.to_str().is_ok_and(|value| value.contains("; hit")) {
                latencies.note_hit(took);
            } else {
                latencies.note_miss(took);
            }
        }
    }

    async fn write(&self, turn: u32, organizations: usize, clock: &Clock) {
        let round = WRITE_EVERY * u32::try_from(organizations).unwrap_or(1);
        clock.sleep(WRITE_EVERY * (turn + 1)).await;
        loop {
            let path = format!("/api/v2/lead-labels/{}", self.labels[0]);
            drop(self.call(Method::PATCH, &path, r#"{"description":"edited by the demonstration"}"#).await);
            clock.sleep(round).await;
        }
    }

    /// The `Cache-Status` of the answer, once all of it was read; nothing if there was none.
    async fn call(&self, method: Method, path: &str, body: &'static str) -> Option<HeaderValue> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, self.token.clone());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let answer = self.client.request(request.body(Full::from(body)).ok()?).await.ok()?;
        let cache_status = answer.headers().get("cache-status").cloned();
        answer.into_body().collect().await.ok()?;
        cache_status
    }
}
