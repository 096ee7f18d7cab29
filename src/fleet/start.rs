//! How a process becomes a replica: the configuration makes a [`Fleet`], whose link is started once there is what notices
//! change.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::apply::Applier;
use super::control::{Control, ControlSettings, MemberId, PARTS, Ring};
use super::driver::Driver;
use super::heard::Heard;
use super::lease::Lease;
use super::names::Names;
use super::roster::{self, About, Introduction};
use super::seal::{Sealer, Secret};
use super::store::Data;
use super::tier::{self, ShareProofs, Tier, times::StoreClock};
use super::{Fleet, Order};
use crate::cache::Cache;
use crate::caller::bindings::Bindings;
use crate::clock::Clock;
use crate::config::{Shared, files};
use crate::lock::Mutex;
use crate::metrics::{LinkState, Metrics, SharedSeries};
use crate::resource::Resources;
use crate::setup_error::SetupError;

/// A replica's link that is still to be started, once there is what notices change.
#[derive(Debug)]
#[must_use = "without its task the replica is alone for ever"]
pub struct Unlinked {
    fleet: Arc<Fleet>,
    settings: Shared,
    heard: Arc<Heard>,
    lease: Arc<Lease>,
    times: Arc<StoreClock>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
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
    /// A replica that is alone until its link is [started](Unlinked::start). What it shares is of `upstream`, by scheme and
    /// authority; `runtime` carries its connections.
    ///
    /// # Errors
    ///
    /// If the secrets cannot be read.
    pub fn new(
        shared: &Shared,
        upstream: &str,
        clock: &Clock,
        series: &SharedSeries,
        runtime: &Handle,
    ) -> Result<(Arc<Self>, Unlinked), SetupError> {
        let secrets = files::shared_secrets(&shared.secret_file);
        let secrets = secrets.map_err(|problem| SetupError(format!("shared.secret_file {problem}")))?;
        let secrets: Vec<_> = secrets.expose().filter_map(Secret::new).collect();
        let (orders, ordered) = mpsc::unbounded_channel();
        let (lease, heard, times): (Arc<Lease>, Arc<Heard>, Arc<StoreClock>) = Default::default();
        let names = Arc::new(Names::new(&shared.namespace, &secrets));
        let sealer = Arc::new(Sealer::new(&secrets, &shared.namespace));
        let data = Arc::new(Data::start(shared.store.clone(), clock.clone(), series.clone(), runtime));
        let tier = Arc::new(Tier::new(tier::Parts {
            lease: Arc::clone(&lease),
            heard: Arc::clone(&heard),
            times: Arc::clone(&times),
            data: Arc::clone(&data),
            names: Arc::clone(&names),
            sealer: Arc::clone(&sealer),
            authority: upstream.into(),
            proofs: if shared.share_proofs { ShareProofs::Yes } else { ShareProofs::No },
            timeout: shared.store.timeout,
            runtime: runtime.clone(),
            clock: clock.clone(),
            series: series.clone(),
        }));
        let fleet = Arc::new(Self {
            lease: Arc::clone(&lease),
            heard: Arc::clone(&heard),
            alone_ttl: shared.alone_ttl,
            when_lost: shared.when_lost,
            names,
            sealer,
            data,
            tier,
            orders,
            seen: Mutex::default(),
            changed: Notify::new(),
            unsure: Mutex::default(),
            unsure_of_gone: Mutex::default(),
            clock: clock.clone(),
        });
        let settings = shared.clone();
        let unlinked = Unlinked { fleet: Arc::clone(&fleet), settings, heard, lease, times, orders: ordered };
        Ok((fleet, unlinked))
    }
}

impl Unlinked {
    /// Starts to connect, and goes on with that for as long as there is a handle of the fleet.
    pub fn start(self, linking: Linking) {
        let Self { fleet, settings, heard, lease, times, orders } = self;
        let Linking { cache, bindings, resources, runtime, clock, metrics } = linking;
        metrics.shared().show();
        let member = MemberId(*Uuid::new_v4().as_bytes());
        let names = fleet.names.control();
        let bell = names.part("bell");
        // How it is rung is known with the server.
        let ring = Ring::Publish;
        let control = Control::new(ControlSettings::new(settings.lease, bell.clone(), ring), member, lease);
        let sealer = Arc::clone(&fleet.sealer);
        let about = About {
            name: host_name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: clock.now().unix().as_secs(),
            tells_all_writes: settings.tell_all_writes,
        };
        let driver = Driver {
            control,
            applier: Applier {
                cache,
                bindings,
                heard,
                sealer: Arc::clone(&sealer),
                times,
                resources,
                clock: clock.clone(),
                metrics: Arc::clone(&metrics),
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
            metrics,
        };
        let series = driver.metrics.shared().clone();
        let linked = runtime.spawn(driver.run());
        runtime.spawn(async move {
            // Its handle is no one's any more: what is asked of it is answered as by a replica that is alone.
            if let Err(failed) = linked.await
                && failed.is_panic()
            {
                series.link_up(LinkState::Down);
                tracing::error!(error = %failed, "the link to the fleet failed: this replica is alone until it starts again");
            }
        });
    }
}

/// What this machine, or pod, is called.
fn host_name() -> String {
    let name = rustix::system::uname();
    roster::plain_name(&name.nodename().to_string_lossy())
}
