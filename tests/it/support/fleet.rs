//! [`TestFleet`]: several proxies in this process in front of one vendor, with a real store between them and real time.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use http::Uri;
use instantly_proxy::clock::Clock;
use instantly_proxy::config::{Config, MaxHeldBytes, Shared, StoreAddress};
use instantly_proxy::server::{Server, Shutdown, StartError};
use tempfile::TempDir;

use super::caller::Caller;
use super::labels::{label_path, token};
use super::mixed::{LIST, TAG, Vendors};
use super::patience::patiently;
use super::proxy::lower_the_shield;
use super::store::{Engine, TestStore};
use super::upstream::TestUpstream;
use super::vendor::Vendor;
use super::world::is_label_read;

/// A machine that is busy with other tests is no store that is slow: an answer may take a second, and a lease lasts five.
pub fn patient(config: &mut Config) {
    let shared = config.shared.as_mut().expect("it is a fleet");
    (shared.store.timeout, shared.lease) = (Duration::from_secs(1), Duration::from_secs(5));
}

/// Replicas of one fleet.
pub struct TestFleet {
    /// First, so that they stop first.
    pub replicas: Vec<Replica>,
    /// What they share.
    pub store: TestStore,
    /// What they talk to.
    pub upstream: TestUpstream,
    /// What answers there.
    pub vendor: Vendor,
    /// The same, with custom tags and lead lists beside its labels.
    pub vendors: Vendors,
    secrets: TempDir,
}

/// One proxy of a fleet; dropped, it is cut and awaited.
pub struct Replica {
    server: Option<Server>,
    data: SocketAddr,
    admin: Caller,
}

impl TestFleet {
    /// So many replicas on a server of this engine, each with a lease.
    pub async fn start(engine: Engine, count: usize) -> Self {
        Self::start_with(engine, count, |_| {}).await
    }

    /// The same with a change of each configuration.
    pub async fn start_with(engine: Engine, count: usize, change: impl Fn(&mut Config)) -> Self {
        let mut fleet = Self::without_replicas(engine);
        for _ in 0..count {
            fleet.add(&change).await;
        }
        fleet
    }

    /// Vendor and store alone.
    pub fn without_replicas(engine: Engine) -> Self {
        let vendors = Vendors::of(&[TAG, LIST]);
        let (vendor, upstream) = (vendors.labels.clone(), vendors.upstream());
        let store = TestStore::start_with(engine, &["maxmemory-policy volatile-lru"]);
        let secrets = TempDir::new().expect("a directory can be made");
        std::fs::write(secrets.path().join("secrets"), "0123456789abcdef0123456789abcdef\n")
            .expect("it is ours");
        Self { replicas: Vec::new(), store, upstream, vendor, vendors, secrets }
    }

    /// One more replica, which has a lease when this returns.
    pub async fn add(&mut self, change: impl Fn(&mut Config)) -> &Replica {
        let replica = self.replica(change);
        replica.has_lease().await;
        self.replicas.push(replica);
        self.replicas.last().expect("it was added")
    }

    /// A replica that may have no lease yet.
    pub fn replica(&self, change: impl Fn(&mut Config)) -> Replica {
        let server = self.start_server(change).expect("a proxy on free ports starts");
        let (data, admin) = (server.data_address(), Caller::anonymous(server.admin_address()));
        Replica { server: Some(server), data, admin }
    }

    /// Starts a proxy.
    pub fn start_server(&self, change: impl Fn(&mut Config)) -> Result<Server, StartError> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config::default();
        config.listen.address = free;
        config.listen.workers = NonZeroUsize::new(1);
        config.listen.max_held_bytes = MaxHeldBytes::Bytes(256 << 20);
        config.admin.address = free;
        config.upstream.url =
            format!("http://{}", self.upstream.address()).parse::<Uri>().expect("an address");
        config.log.level = "off".to_owned();
        lower_the_shield(&mut config);
        config.cache.write_through = true;
        config.listen.drain_delay = Duration::ZERO;
        let address = StoreAddress::new("127.0.0.1", self.store.port());
        config.shared = Some(Shared::at(address, self.secrets.path().join("secrets")));
        change(&mut config);
        Server::start(config, Clock::system())
    }

    /// How many label reads have arrived upstream.
    pub fn label_reads(&self) -> usize {
        self.upstream.count_of(is_label_read)
    }

    /// A client of each replica with key `n` of the organization with this name.
    pub fn callers(&self, name: &str, n: u32) -> Vec<Caller> {
        self.replicas.iter().map(|replica| replica.caller(name, n)).collect()
    }

    /// Label 1 is stored at every replica for that organization.
    pub async fn warm(&self, name: &str, n: u32) -> Vec<Caller> {
        let callers = self.callers(name, n);
        for caller in &callers {
            caller.get(&label_path(1)).send().await.assert_status(200);
            // Without a lease, which a machine that stands still can cost it, nothing may be stored here.
            patiently("the label to be stored", async {
                while !caller.get(&label_path(1)).send().await.cache_status().starts_with("hit") {}
            })
            .await;
        }
        callers
    }
}

impl Replica {
    /// A client with key `n` of the organization with this name.
    pub fn caller(&self, name: &str, n: u32) -> Caller {
        Caller::anonymous(self.data).with_token(&token(name, n))
    }

    /// A client of the admin port.
    pub const fn admin(&self) -> &Caller {
        &self.admin
    }

    /// Waits until it has a lease.
    pub async fn has_lease(&self) {
        self.until("a lease", |status| status["fleet"]["lease"] == true).await;
    }

    /// Waits until it is alone.
    pub async fn is_alone(&self) {
        self.until("to be alone", |status| status["fleet"]["lease"] == false).await;
    }

    /// Waits until its status is so; the asking takes the time that it needs.
    pub async fn until(&self, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) {
        patiently(what, async {
            while !is_so(&self.admin.get("/api/status").send().await.json()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown(Shutdown::Now);
            let _ = server.wait();
        }
    }
}
