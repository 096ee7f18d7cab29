//! [`Proxy`]: everything that requests share, and [`Worker`], a thread's share of it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::caller_numbers;
use crate::cache::Cache;
use crate::caller::bindings::Bindings;
use crate::caller::credential::Digester;
use crate::callers::Callers;
use crate::clock::{Clock, Moment};
use crate::config::{Config, Shared, StoreMode};
use crate::fence::Fence;
use crate::fetch::{self, Fetcher};
use crate::fleet::Fleet;
use crate::fleet::account::{Carrier, Slots, Unsaid};
use crate::fleet::start::{Linking, Unlinked};
use crate::held::Held;
use crate::lock::Mutex;
use crate::metrics::{Gauges, Metrics};
use crate::organization::Organizations;
use crate::origin::{self, Origin};
use crate::resource::Resources;
use crate::rules::{Copied, Rulebook, Rules};
use crate::setup_error::SetupError;
use crate::shield::Shield;
use crate::telemetry::Tracing;
use crate::upstream::client::Upstream;
use crate::upstream::connections::UpstreamClient;
use crate::upstream::permits::Permits;
use crate::upstream::way::Way;

/// Everything that requests share; one per process.
#[derive(Debug)]
pub struct Proxy {
    /// What it caches.
    pub(super) resources: Resources,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) digester: Arc<Digester>,
    /// Who calls, and what is counted of each.
    pub(super) callers: Arc<Callers>,
    /// When a client was last said to be refused because of its certificate.
    pub(super) refused_clients: Mutex<Option<Moment>>,
    /// What the API has proved and refused of each credential.
    pub(super) bindings: Arc<Bindings>,
    /// What is stored.
    pub(super) cache: Arc<Cache>,
    /// One upstream read for many.
    pub(crate) fetcher: Arc<Fetcher>,
    /// The only way out.
    pub(super) origin: Arc<Origin>,
    /// The other replicas, where there are any.
    pub(super) fleet: Option<Arc<Fleet>>,
    pub(super) rulebook: Rulebook,
    /// Spans, where they are asked for.
    pub(super) tracing: Option<Tracing>,
    /// What a load balancer asks.
    pub(super) health_path: Option<Box<str>>,
    /// What calls hold of memory.
    pub(super) held: Held,
    /// Label writes under way, which go on when their clients leave.
    pub(super) writes: TaskTracker,
    /// Runs everything that outlives a caller, and the label connections.
    pub(super) runtime: Handle,
}

/// A worker's share of the proxy: answers requests on the thread that read them.
#[derive(Clone, Debug)]
pub struct Worker {
    pub(super) proxy: Arc<Proxy>,
    pub(super) copied: Copied<PassThrough>,
}

/// A worker's way to the upstream for what it passes through.
#[derive(Clone, Debug)]
pub(super) struct PassThrough {
    pub(super) way: Arc<Way>,
    pub(super) client: UpstreamClient,
}

impl Worker {
    pub(super) fn pass_through_client(&self) -> UpstreamClient {
        self.copied.more().client
    }
}

impl Proxy {
    /// Sets up the store for `resources`, the bindings and the way to the upstream. `runtime` runs everything that outlives a caller.
    ///
    /// # Errors
    ///
    /// If the roots to trust cannot be read.
    pub fn new(
        config: &Config,
        resources: Resources,
        clock: Clock,
        metrics: Arc<Metrics>,
        runtime: Handle,
    ) -> Result<Arc<Self>, SetupError> {
        let egress = config.upstream.proxy.as_ref();
        let tracing = Tracing::start(&config.telemetry, egress, &metrics, clock.clone(), runtime.clone())?;
        let upstream = Upstream::new(&config.upstream, clock.clone(), Arc::clone(&metrics), tracing.clone())?;
        let held = Held::new(usize::try_from(config.listen.max_held_bytes.resolve()).unwrap_or(usize::MAX));
        let organizations = Organizations::new(resources);
        let (fleet, unlinked) = fleet_of(config, &clock, &metrics, &runtime)?.unzip();
        let (bindings, fence) =
            (Arc::new(Bindings::new(config.proof.max_credentials)), Arc::new(Fence::of(organizations)));
        let origin = Arc::new(Origin::new(origin::Parts {
            upstream,
            permits: Permits::new(config.upstream.max_connections, clock.clone()),
            shield: Shield::new(&config.shield, clock.clone()),
            bindings: Arc::clone(&bindings),
            fleet: fleet.clone(),
            sequence: Arc::clone(fence.sequence()),
            tracing: tracing.clone(),
            runtime: runtime.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        }));
        let max_bytes = config.cache.max_bytes;
        let cache = Arc::new(Cache::new(max_bytes, fence, clock.clone(), Arc::clone(&metrics)));
        let digester = fleet.as_ref().map_or_else(Digester::default, |fleet| fleet.names().digester());
        let digester = Arc::new(digester);
        let fetcher = Arc::new(Fetcher::new(fetch::Parts {
            origin: Arc::clone(&origin),
            cache: Arc::clone(&cache),
            bindings: Arc::clone(&bindings),
            resources,
            fleet: fleet.clone(),
            held: held.clone(),
            digester: Arc::clone(&digester),
            tracing: tracing.clone(),
            runtime: runtime.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        }));
        let proxy = Arc::new(Self {
            resources,
            health_path: config.listen.health_path.as_deref().map(Into::into),
            digester,
            callers: Arc::default(),
            refused_clients: Mutex::default(),
            origin,
            bindings,
            cache,
            fetcher,
            fleet: fleet.clone(),
            held,
            rulebook: Rulebook::new(Rules::new(config)),
            writes: TaskTracker::new(),
            runtime,
            tracing,
            clock,
            metrics,
        });
        proxy.set_callers(config.callers.as_ref())?;
        proxy.begin_upkeep(config, unlinked);
        Ok(proxy)
    }

    /// Begins what goes on behind requests.
    fn begin_upkeep(self: &Arc<Self>, config: &Config, unlinked: Option<Unlinked>) {
        let callers = Arc::clone(&self.callers);
        self.metrics.follow_callers(move || caller_numbers::numbers(&callers));
        if let Some(unlinked) = unlinked {
            unlinked.start(self.linking());
        }
        if let (Some(shared), Some(fleet)) = (&config.shared, &self.fleet) {
            self.share_budget(config, shared, fleet);
        }
        self.runtime.spawn(hand_out_turns(Arc::downgrade(self), self.clock.clone()));
        self.runtime.spawn(keep_tidy(Arc::downgrade(self), self.clock.clone()));
    }

    /// Accounts take their calls from what all replicas may send.
    fn share_budget(&self, config: &Config, shared: &Shared, fleet: &Arc<Fleet>) {
        let shield = self.origin.shield();
        let timeout = shared.store.timeout;
        let orders = shield.connect_store(&config.shield, timeout);
        let carrier = Carrier {
            fleet: Arc::clone(fleet),
            data: Arc::clone(fleet.data()),
            budget: shield.budget.downgrade(),
            clock: self.clock.clone(),
            timeout,
            slots: match shared.store.mode {
                StoreMode::Standalone | StoreMode::Sentinel { .. } => Slots::One,
                StoreMode::Cluster => Slots::Many,
            },
            unsaid: Unsaid::default(),
        };
        self.runtime.spawn(carrier.carry(orders));
    }

    /// What the notices of other replicas change.
    fn linking(&self) -> Linking {
        Linking {
            cache: Arc::clone(&self.cache),
            bindings: Arc::clone(&self.bindings),
            resources: self.resources,
            runtime: self.runtime.clone(),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// The part of the proxy that belongs to one worker thread; made on that thread's runtime.
    #[must_use]
    pub fn worker(self: &Arc<Self>) -> Worker {
        Worker { proxy: Arc::clone(self), copied: self.rulebook.copy(self.pass_through(None)) }
    }

    /// Sends the spans that are queued, if there are any to send; blocks for two seconds at most.
    pub fn end_traces(&self) {
        if let Some(tracing) = &self.tracing {
            tracing.end();
        }
    }

    /// From now on no fetch is stored, not even one under way: what a draining process does. Its successor may already
    /// answer writes that this process will not hear of.
    pub fn stop_storing(&self) {
        self.cache.close();
    }

    /// Takes this replica out of the fleet: the last thing that it does.
    pub async fn leave_fleet(&self) {
        if let Some(fleet) = &self.fleet {
            fleet.leave().await;
        }
    }

    /// Waits for the label writes that are under way, whose clients may have left; none may begin any more.
    pub async fn writes_ended(&self) {
        self.writes.close();
        self.writes.wait().await;
    }

    /// Sizes at this moment.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let (cache_entries, cache_bytes) = self.cache.size();
        let now = self.clock.now();
        let used = self.origin.shield().budget.used_ratio(now);
        Gauges {
            cache_entries,
            cache_bytes,
            held_bytes: self.held.bytes() as u64,
            held_bytes_limit: self.held.size() as u64,
            bindings: self.bindings.count() as u64,
            gates_closed: self.origin.shield().budget.closed(now) as u64,
            queued: self.origin.shield().budget.queued() as u64,
            latched: self.origin.shield().refusals.count(now) as u64,
            used_of_second: used.second,
            used_of_minute: used.minute,
            allowed: self.origin.shield().budget.least_allowed(now).ratio(),
            breaker_open: self.origin.upstream().is_unreachable(),
            edge_blocked: self.origin.shield().edge.is_blocked(),
        }
    }
}

/// Hands out the turns of the budget until the proxy is gone.
async fn hand_out_turns(proxy: Weak<Proxy>, clock: Clock) {
    let hand_out = || {
        let proxy = proxy.upgrade()?;
        Some(proxy.runtime.spawn(proxy.origin.shield().budget.hand_out()))
    };
    keep_handing_out(hand_out, &clock).await;
}

/// Begins anew, after a second, each time that handing out turns panics: whoever waits would wait in vain.
async fn keep_handing_out(hand_out: impl Fn() -> Option<JoinHandle<()>>, clock: &Clock) {
    while let Some(handing) = hand_out() {
        match handing.await {
            Err(failed) if failed.is_panic() => tracing::error!(error = %failed, "handing out turns failed"),
            _ => return,
        }
        clock.sleep(Duration::from_secs(1)).await;
    }
}

/// Lets go of what has expired or is idle, until the proxy is gone.
async fn keep_tidy(proxy: Weak<Proxy>, clock: Clock) {
    loop {
        clock.sleep(Duration::from_secs(1)).await;
        let Some(proxy) = proxy.upgrade() else { return };
        let now = clock.now();
        proxy.cache.tidy();
        proxy.origin.tidy(now);
        proxy.fetcher.tidy(now);
        proxy.callers.tidy(now.uptime());
    }
}

/// The fleet that a process is to be one of, and its link, which is not begun yet.
fn fleet_of(
    config: &Config,
    clock: &Clock,
    metrics: &Metrics,
    runtime: &Handle,
) -> Result<Option<(Arc<Fleet>, Unlinked)>, SetupError> {
    let upstream_url = config.upstream.url.to_string();
    let make = |shared| Fleet::new(shared, &upstream_url, clock, metrics.shared(), runtime);
    config.shared.as_ref().map(make).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn handing_out_turns_begins_anew_a_second_after_each_panic() {
        let (clock, hand) = Clock::manual();
        let begun = Mutex::new(Vec::new());
        let hand_out = || {
            let mut begun = begun.lock();
            begun.push(clock.now());
            let times = begun.len();
            Some(tokio::spawn(async move { assert!(times > 2, "the panic that is meant") }))
        };
        let time_passes = async {
            loop {
                hand.advance(Duration::from_millis(100));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = keep_handing_out(hand_out, &clock) => {}
            () = time_passes => {}
        }
        let begun = begun.lock();
        assert_eq!(begun.len(), 3, "what ends by itself is over");
        assert!(begun.windows(2).all(|two| two[1].since(two[0]) >= Duration::from_secs(1)));
    }
}
