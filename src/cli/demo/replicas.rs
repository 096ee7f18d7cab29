//! [`Replicas`]: the proxies of a demonstration, one or a fleet.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::super::failure::Failure;
use super::store::LocalStore;
use crate::clock::Clock;
use crate::config::{Config, Shared};
use crate::metrics::Metrics;
use crate::received::Received;
use crate::server::{Server, Shutdown};
use crate::simulator::Simulator;

/// They find each other in half a second; a machine that is busy may take longer.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// The proxies, and the store of a fleet.
pub(super) struct Replicas {
    servers: Vec<Server>,
    store: Option<LocalStore>,
}

impl Replicas {
    /// One proxy by itself.
    pub(super) fn one(simulator: &Simulator, clock: &Clock) -> Result<Self, Failure> {
        Ok(Self { servers: vec![start(simulator, None, clock)?], store: None })
    }

    /// So many as a fleet, with a store of their own.
    pub(super) async fn fleet(count: u16, simulator: &Simulator, clock: &Clock) -> Result<Self, Failure> {
        let store = LocalStore::start(clock).await.map_err(Failure::failed)?;
        let servers = (0..count).map(|_| start(simulator, Some(store.shared()), clock));
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        let replicas = Self { servers, store: Some(store) };
        replicas.met(clock).await?;
        Ok(replicas)
    }

    /// Waits until each has confirmed a purge: then it is a member, and has had a lease.
    async fn met(&self, clock: &Clock) -> Result<(), Failure> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let begun = clock.now();
        while clock.now().since(begun) < PATIENCE {
            if confirmed(&client, self.servers[0].admin_address()).await == Some(self.servers.len()) {
                return Ok(());
            }
            clock.sleep(LOOK).await;
        }
        Err(Failure::failed(format!(
            "the replicas did not meet in their store within {} s",
            PATIENCE.as_secs()
        )))
    }

    /// What there is, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let store = self.store.iter();
        let store =
            store.map(|store| format!("store            {} on 127.0.0.1:{}", store.program(), store.port()));
        let servers = self.servers.iter().flat_map(|server| {
            let (data, admin) = (server.data_address(), server.admin_address());
            [format!("proxy            http://{data}"), format!("dashboard        http://{admin}/")]
        });
        store.chain(servers).collect()
    }

    /// Where they take requests.
    pub(super) fn addresses(&self) -> Arc<[SocketAddr]> {
        self.servers.iter().map(Server::data_address).collect()
    }

    /// What each counts.
    pub(super) fn metrics(&self) -> Vec<Arc<Metrics>> {
        self.servers.iter().map(Server::metrics).collect()
    }

    /// Ends them, and then the store. Blocks.
    pub(super) fn stop(self) {
        let Self { servers, store } = self;
        for server in &servers {
            server.shutdown(Shutdown::Now);
        }
        for server in servers {
            let _ = server.wait();
        }
        drop(store);
    }
}

/// Defaults, on free ports, in front of the simulator.
fn start(simulator: &Simulator, shared: Option<Shared>, clock: &Clock) -> Result<Server, Failure> {
    let mut config = Config::default();
    config.listen.address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.admin.address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.upstream.url = simulator.url().parse().map_err(Failure::failed)?;
    config.shared = shared;
    Server::start(config, clock.clone()).map_err(Failure::failed)
}

/// How many replicas have confirmed a purge of everything.
async fn confirmed(client: &Client<HttpConnector, Full<Bytes>>, admin: SocketAddr) -> Option<usize> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{admin}/api/purge"))
        .header(HOST, admin.to_string())
        .header(CONTENT_TYPE, "application/json");
    let answer = client.request(request.body(Full::from("{}")).ok()?).await.ok()?;
    let answer = Received::answer(answer, &Method::POST);
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    let told: Value = serde_json::from_slice(&body).ok()?;
    Some(told["replicas"]["confirmed"].as_array()?.len())
}
