//! The way of a request, on one screen: [`Worker::handle`].
//!
//! Guard, classify, identify, key, look up, decide, fly, gate, store, answer. **Identify before key, key before look-up,
//! no look-up without an organization**: a stored byte cannot be reached but through a proof that the upstream gave this
//! very credential. `read` holds the order of steps for label reads, `fill` what a flight does, `write` label writes,
//! `forward` everything else, and `exchange::Exchange::finish` is the one place that maps errors, sets the fields that
//! every answer carries, counts and logs.

mod answer;
mod background;
mod dispatch;
mod doubt;
mod exchange;
mod explain;
mod explanation;
mod fill;
mod flying;
mod forward;
mod introduce;
mod judging;
mod learn;
mod lookup;
mod obstacle;
mod overview;
mod posted;
mod purge;
mod read;
mod receive;
mod reload;
mod rules;
mod settle;
mod sharing;
mod trace;
mod turn;
mod whole;
mod write;

use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use http::request::Parts;
use http::{Response, StatusCode};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

pub use self::explanation::{Conclusion, Explanation, Proof};
pub use self::overview::Overview;
pub use self::purge::{Purge, Purged};
pub use self::reload::Prepared;
use self::rules::{Copied, Rulebook, Rules};
use crate::body::{self, Body};
use crate::cache::flight::Flights;
use crate::cache::store::Store;
use crate::caller::attempts::Attempts;
use crate::caller::bindings::Bindings;
use crate::caller::credential::Digester;
use crate::classify::{Class, classify};
use crate::clock::Clock;
use crate::config::Config;
use crate::fence::Fence;
use crate::guard;
use crate::held::Held;
use crate::metrics::{Gauges, Metrics};
use crate::outcome::{BypassReason, CacheStatus, Outcome, Route, StatusClass};
use crate::peer::Peer;
use crate::received::Received;
use crate::shield::Shield;
use crate::telemetry::Tracing;
use crate::upstream::client::Upstream;
use crate::upstream::connections::UpstreamClient;
use crate::upstream::permits::Permits;
use crate::upstream::way::{Way, public_client};

/// Everything that requests share; one per process.
#[derive(Debug)]
pub struct Proxy {
    clock: Clock,
    metrics: Arc<Metrics>,
    digester: Digester,
    bindings: Bindings,
    attempts: Attempts,
    fence: Fence,
    store: Store,
    flights: Flights<fill::Landing>,
    upstream: Upstream,
    label_client: Mutex<UpstreamClient>,
    permits: Permits,
    shield: Shield,
    /// Callers that were introduced by a list read of late.
    introduced: introduce::Introduced,
    rulebook: Rulebook,
    /// Spans, where they are asked for.
    tracing: Option<Tracing>,
    /// What calls hold of memory.
    held: Held,
    judging: judging::Judging,
    /// Label writes under way, which go on when their clients leave.
    writes: TaskTracker,
    /// Runs everything that outlives a caller, and the label connections.
    runtime: Handle,
    draining: AtomicBool,
}

/// Why a proxy could not be set up.
#[derive(Debug)]
pub struct SetupError(pub String);

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SetupError {}

/// A worker's share of the proxy: answers requests on the thread that read them.
#[derive(Clone, Debug)]
pub struct Worker {
    proxy: Arc<Proxy>,
    copied: Copied<PassThrough>,
}

/// A worker's way to the upstream for what it passes through.
#[derive(Clone, Debug)]
struct PassThrough {
    way: Arc<Way>,
    client: UpstreamClient,
}

impl Worker {
    /// Answers one request; never fails: a failure is an answer.
    ///
    /// Its parts come one by one, and nothing wraps it: a future keeps room for each value that it is handed and for each
    /// that it makes of that, and every idle connection keeps the future of its latest request.
    pub async fn handle(self: Rc<Self>, mut head: Parts, body: Received, peer: Peer) -> Response<Body> {
        let proxy = &self.proxy;
        let mut exchange = exchange::Exchange::begin(proxy, &head, peer, self.rules());
        if let Some(context) = exchange.trace() {
            head.extensions.insert(context);
        }
        let place = match guard::check(&head, proxy.upstream.pseudonym()) {
            Ok(place) => place,
            Err(refused) => return exchange.finish(Err(refused.error())),
        };
        let class = classify(&head, place);
        exchange.classified(&class);
        let asked = exchange.asked();
        let answer = match class {
            Class::Read(read) if !body::is_empty(&body) => {
                Box::pin(self.read_with_body(head, body, read, asked)).await
            }
            Class::Read(read) => match proxy.read(&head, read, asked).await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => {
                    let status = CacheStatus::Uncached(BypassReason::EdgeBlock);
                    Box::pin(self.forward(head, self.posted(body, asked), status, asked)).await
                }
                Err(error) => Err(error),
            },
            Class::Write { resource, item } => {
                let subject = write::Subject { resource, item };
                Box::pin(proxy.write(head, body, subject, (asked, exchange.peer()))).await
            }
            Class::Uncached { reason, .. } => {
                let status = CacheStatus::Uncached(reason);
                Box::pin(self.forward(head, self.posted(body, asked), status, asked)).await
            }
            Class::PassThrough => {
                let body = self.posted(body, asked);
                Box::pin(self.forward(head, body, CacheStatus::PassThrough, asked)).await
            }
        };
        exchange.finish(answer)
    }

    /// Counts and logs a request whose head could not be read, and that got this status without a body.
    pub fn note_unreadable(&self, peer: &Peer, status: StatusCode, fault: &hyper::Error) {
        let class = StatusClass::of(status);
        self.proxy.metrics.request(Route::Refused, Outcome::Rejected, class, Duration::ZERO);
        let (status, cause) = (status.as_u16(), fault.to_string());
        tracing::info!(peer = peer.as_str(), status, cause, "request that cannot be read");
    }

    /// What holds for a request that begins now.
    fn rules(&self) -> Arc<Rules> {
        self.copied.rules(&self.proxy.rulebook, |old| self.proxy.pass_through(Some(old)))
    }

    fn pass_through_client(&self) -> UpstreamClient {
        self.copied.more().client
    }
}

impl Proxy {
    /// Sets up the store, the bindings and the way to the upstream. `runtime` runs everything that outlives a caller.
    ///
    /// # Errors
    ///
    /// If the roots to trust cannot be read.
    pub fn new(
        config: &Config,
        clock: Clock,
        metrics: Arc<Metrics>,
        runtime: Handle,
    ) -> Result<Arc<Self>, SetupError> {
        let tracing = match config.telemetry.otlp_endpoint {
            None => None,
            Some(_) => Tracing::start(&config.telemetry, public_client()?, clock.clone(), runtime.clone())?,
        };
        let upstream = Upstream::new(&config.upstream, clock.clone(), Arc::clone(&metrics), tracing.clone())?;
        let held = Held::new(usize::try_from(config.listen.max_held_bytes.resolve()).unwrap_or(usize::MAX));
        let proxy = Arc::new(Self {
            digester: Digester::default(),
            bindings: Bindings::new(config.proof.max_credentials),
            attempts: Attempts::default(),
            fence: Fence::default(),
            store: Store::new(config.cache.max_bytes, Arc::clone(&metrics)),
            held,
            judging: judging::Judging::new(runtime.clone()),
            flights: Flights::default(),
            label_client: Mutex::new(upstream.label_client(runtime.clone())),
            permits: Permits::new(config.upstream.max_connections, clock.clone()),
            shield: Shield::new(&config.shield, clock.clone()),
            introduced: introduce::Introduced::default(),
            rulebook: Rulebook::new(Rules::new(config)),
            writes: TaskTracker::new(),
            runtime,
            draining: AtomicBool::new(false),
            tracing,
            upstream,
            clock,
            metrics,
        });
        proxy.runtime.spawn(proxy.shield.budget.hand_out());
        proxy.runtime.spawn(keep_tidy(Arc::downgrade(&proxy), proxy.clock.clone()));
        Ok(proxy)
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

    /// From now on no fill is stored, not even one under way: what a draining process does. Its successor may already
    /// answer writes that this process will not hear of.
    pub fn stop_storing(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Waits for the label writes that are under way, whose clients may have left; none may begin any more.
    pub async fn writes_ended(&self) {
        self.writes.close();
        self.writes.wait().await;
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Sizes at this moment.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let (cache_entries, cache_bytes) = self.store.size();
        let now = self.clock.now();
        let used = self.shield.budget.used_ratio(now);
        Gauges {
            cache_entries,
            cache_bytes,
            held_bytes: self.held.bytes() as u64,
            held_bytes_limit: self.held.size() as u64,
            bindings: self.bindings.len() as u64,
            gates_closed: self.shield.budget.closed(now) as u64,
            queued: self.shield.budget.queued() as u64,
            latched: self.shield.latch.count(now) as u64,
            used_of_second: used.second,
            used_of_minute: used.minute,
            breaker_open: self.upstream.is_unreachable(),
            edge_blocked: self.shield.edge.is_blocked(),
        }
    }
}

/// Lets go of what has expired or is idle, until the proxy is gone.
async fn keep_tidy(proxy: Weak<Proxy>, clock: Clock) {
    loop {
        clock.sleep(Duration::from_secs(1)).await;
        let Some(proxy) = proxy.upgrade() else { return };
        proxy.store.tidy();
        proxy.upstream.tidy();
        let now = clock.now();
        proxy.shield.tidy(now);
        proxy.flights.tidy(now);
        proxy.introduced.tidy(now);
        proxy.fence.organizations().forget_idle(proxy.fence.sequence(), now);
    }
}
