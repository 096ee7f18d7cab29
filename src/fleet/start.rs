//! How a process becomes a replica: [`FleetSettings`] make a [`Fleet`] and the [`Link`](super::store::Link)'s task that is still to be started.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::apply::Applier;
use super::control::{Control, ControlSettings, MemberId, PARTS, Ring};
use super::driver::Driver;
use super::heard::Heard;
use super::lease::Lease;
use super::names::Names;
use super::roster::{self, About, Introduction};
use super::seal::{Sealer, Secret};
use super::store::{Mode, StoreSettings};
use super::{Fleet, Order, WhenLost};
use crate::cache::Cache;
use crate::caller::bindings::Bindings;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::resource::Resources;

/// What a fleet is made of.
#[derive(Debug)]
pub struct FleetSettings {
    /// Where the store is.
    pub store: StoreSettings,
    /// What all names in the store begin with.
    pub namespace: String,
    /// The first seals, each opens.
    pub secrets: Vec<Secret>,
    /// How long stored responses may be served after a good beat was sent.
    pub lease: Duration,
    /// How old a stored response may be that is served without a lease.
    pub alone_ttl: Duration,
    /// What becomes of label writes without a lease.
    pub when_lost: WhenLost,
}

/// A replica's link that is still to be started, once there is what notices change.
#[derive(Debug)]
#[must_use = "without its task the replica is alone for ever"]
pub struct Unlinked {
    fleet: Arc<Fleet>,
    settings: FleetSettings,
    heard: Arc<Heard>,
    lease: Arc<Lease>,
    orders: mpsc::UnboundedReceiver<Order>,
}

/// What notices change, and who carries the link.
#[derive(Debug)]
pub struct Linking {
    /// What is stored.
    pub cache: Arc<Cache>,
    /// What the API has proved and refused.
    pub bindings: Arc<Bindings>,
    /// What is cached.
    pub resources: Resources,
    /// Runs the link.
    pub runtime: Handle,
    /// The time.
    pub clock: Clock,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Fleet {
    /// A replica that is alone until its link is [started](Unlinked::start).
    pub fn new(settings: FleetSettings) -> (Arc<Self>, Unlinked) {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (lease, heard) = (Arc::<Lease>::default(), Arc::<Heard>::default());
        let fleet = Arc::new(Self {
            lease: Arc::clone(&lease),
            heard: Arc::clone(&heard),
            alone_ttl: settings.alone_ttl,
            when_lost: settings.when_lost,
            names: Arc::new(Names::new(&settings.namespace, &settings.secrets)),
            sealer: Arc::new(Sealer::new(&settings.secrets, &settings.namespace)),
            orders,
            replicas: AtomicU64::new(0),
        });
        let unlinked = Unlinked { fleet: Arc::clone(&fleet), settings, heard, lease, orders: ordered };
        (fleet, unlinked)
    }
}

impl Unlinked {
    /// Starts to connect, and goes on with that for as long as there is a handle of the fleet.
    pub fn start(self, linking: Linking) {
        let Self { fleet, settings, heard, lease, orders } = self;
        let Linking { cache, bindings, resources, runtime, clock, metrics } = linking;
        let member = MemberId(*Uuid::new_v4().as_bytes());
        let names = fleet.names.control();
        let bell = names.part("bell");
        let ring = match settings.store.mode {
            Mode::Standalone | Mode::Sentinel { .. } => Ring::Publish,
            Mode::Cluster => Ring::ShardPublish,
        };
        let control = Control::new(ControlSettings::new(settings.lease, bell.clone(), ring), member, lease);
        let sealer = Arc::clone(&fleet.sealer);
        let about = About {
            name: host_name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: clock.now().unix().as_secs(),
        };
        let driver = Driver {
            control,
            applier: Applier {
                cache,
                bindings,
                heard,
                sealer: Arc::clone(&sealer),
                resources,
                clock: clock.clone(),
                metrics,
            },
            fleet: Arc::downgrade(&fleet),
            settings: settings.store,
            bell,
            keys: PARTS.iter().map(|part| names.part(part)).collect(),
            roster: roster::names(names),
            introduction: Introduction::new(names, member, &about),
            sealer,
            orders,
            runtime: runtime.clone(),
            clock,
        };
        runtime.spawn(driver.run());
    }
}

/// What this machine, or pod, is called.
fn host_name() -> String {
    let name = rustix::system::uname();
    roster::plain_name(&name.nodename().to_string_lossy())
}
