//! [`Metrics`]: every counter and histogram, held by closed enums so that nothing is looked up on the way of a request.
//!
//! A hit costs three atomic additions. Names, labels and bounds are part of the contract with dashboards and alerts; the
//! number of series depends on the enums and the table of resources alone, never on tokens, ids or paths.

mod by_resource;
mod callers;
mod drops;
mod exposition;
mod failures;
mod labels;
#[cfg(target_os = "linux")]
mod process;
mod series;
mod shared;
mod sizes;
mod snapshot;
mod spans;

use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::error::ErrorKind;
use crate::outcome::{Avoided, BypassReason, CacheStatus, Outcome, StaleReason, StatusClass};
use crate::purpose::{Purpose, UpstreamStatus};
use crate::reason::{GateReason, ProofResult, RejectionReason};
use crate::resource::{RESOURCES, Resources, Route};

pub use by_resource::OfResource;
use callers::CallerSeries;
pub use callers::{CallerNumbers, CallerRow};
use drops::LogDrops;
pub use exposition::Exposition;
pub use failures::Failure;
use failures::Failures;
use series::{Counter, Durations, Histogram, Table, Totals as SeriesTotals};
use sizes::Sizes;

pub use labels::{
    AdminPath, CertificateOf, ClientRefusal, EvictionCause, InvalidationCause, ReloadResult, RetryResult,
};
pub use shared::{LeaseLoss, LinkState, LookupResult, Operation, OperationResult, Rejected, SharedSeries};
pub use sizes::Gauges;
pub use snapshot::{Pace, Snapshot};
pub use spans::{SpanLoss, SpanSeries};

/// Every counter and histogram of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    resources: Resources,
    requests: Table<Histogram, 3>,
    upstream: Table<Histogram, 2>,
    avoided: Table<Counter, 1>,
    bypasses: Table<Counter, 1>,
    stale: Table<Counter, 1>,
    proofs: Table<Counter, 1>,
    invalidations: Table<Counter, 1>,
    evictions: Table<Counter, 1>,
    gate_rejections: Table<Counter, 1>,
    admin_requests: Table<Counter, 2>,
    shield_wait: Table<Histogram, 0>,
    shield_rejections: Table<Counter, 1>,
    retries: Table<Counter, 1>,
    config_reloads: Table<Counter, 1>,
    failures: Failures,
    log_lines_dropped: LogDrops,
    callers: CallerSeries,
    client_refusals: Table<Counter, 1>,
    connections: Gauge,
    sizes: Sizes,
    certificates: Family<[(&'static str, &'static str); 1], Gauge>,
    spans: SpanSeries,
    shared: SharedSeries,
}

impl Metrics {
    /// Counts one answered request and its duration from head to the end of the head's answer.
    pub fn request(&self, route: Route, outcome: Outcome, status: StatusClass, duration: Duration) {
        let index = (route.index(self.resources) * Outcome::ALL.len() + outcome.index())
            * StatusClass::ALL.len()
            + status.index();
        let labels =
            || [("route", route.as_str()), ("outcome", outcome.as_str()), ("status", status.as_str())];
        self.requests.at(index, labels).observe(duration);
    }

    /// Counts one upstream call and its duration until the head of its answer, or its failure.
    pub fn upstream(&self, purpose: Purpose, status: UpstreamStatus, duration: Duration) {
        let index = purpose.index() * UpstreamStatus::ALL.len() + status.index();
        let labels = || [("purpose", purpose.as_str()), ("status", status.as_str())];
        self.upstream.at(index, labels).observe(duration);
    }

    /// Counts one upstream call that was not needed.
    pub fn avoided(&self, by: Avoided) {
        self.avoided.at(by.index(), || [("by", by.as_str())]).add_one();
    }

    /// Counts what an answer's `Cache-Status` says beyond its outcome: why it was stale, or not from the cache.
    pub fn cache_status(&self, said: CacheStatus) {
        match said {
            CacheStatus::Stale { reason, .. } => {
                self.stale.at(reason.index(), || [("reason", reason.as_str())]).add_one();
            }
            CacheStatus::Uncached(reason) => {
                self.bypasses.at(reason.index(), || [("reason", reason.as_str())]).add_one();
            }
            _ => {}
        }
    }

    /// Counts one attempt to prove a credential.
    pub fn proof(&self, result: ProofResult) {
        self.proofs.at(result.index(), || [("result", result.as_str())]).add_one();
    }

    /// Counts one raise or removal.
    pub fn invalidation(&self, cause: InvalidationCause) {
        self.invalidations.at(cause.index(), || [("cause", cause.as_str())]).add_one();
    }

    /// Counts one stored response that the store let go.
    pub fn eviction(&self, cause: EvictionCause) {
        self.evictions.at(cause.index(), || [("cause", cause.as_str())]).add_one();
    }

    /// Counts one upstream answer that may not be stored.
    pub fn gate_rejection(&self, reason: GateReason) {
        self.gate_rejections.at(reason.index(), || [("reason", reason.as_str())]).add_one();
    }

    /// Counts how long one call waited for its turn.
    pub fn shield_wait(&self, waited: Duration) {
        self.shield_wait.at(0, || []).observe(waited);
    }

    /// Counts one call that was turned away here.
    pub fn shield_rejection(&self, reason: RejectionReason) {
        self.shield_rejections.at(reason.index(), || [("reason", reason.as_str())]).add_one();
    }

    /// Counts one failed call that might have been tried again.
    pub fn retry(&self, result: RetryResult) {
        self.retries.at(result.index(), || [("result", result.as_str())]).add_one();
    }

    /// Notes an error of our own at a Unix time.
    pub fn failure(&self, kind: ErrorKind, at: Duration) {
        self.failures.note(kind, at);
    }

    /// Errors of our own since the start, the latest first.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        self.failures.latest()
    }

    /// Counts one attempt to read the configuration again.
    pub fn config_reload(&self, result: ReloadResult) {
        self.config_reloads.at(result.index(), || [("result", result.as_str())]).add_one();
    }

    /// From now on dropped lines of the log are read from here.
    pub fn follow_log(&self, dropped: impl Fn() -> u64 + Send + Sync + 'static) {
        self.log_lines_dropped.follow(dropped);
    }

    /// From now on what is counted of callers is read from here.
    pub fn follow_callers(&self, numbers: impl Fn() -> CallerNumbers + Send + Sync + 'static) {
        self.callers.follow(numbers);
    }

    /// Counts one client that was refused in its handshake because of its certificate.
    pub fn client_refused(&self, reason: ClientRefusal) {
        self.client_refusals.at(reason.index(), || [("reason", reason.as_str())]).add_one();
    }

    /// Counts one request to the admin listener.
    pub fn admin_request(&self, path: AdminPath, status: StatusClass) {
        let index = path.index() * StatusClass::ALL.len() + status.index();
        self.admin_requests.at(index, || [("path", path.as_str()), ("status", status.as_str())]).add_one();
    }

    /// Counts one open connection of the data port for as long as the guard lives.
    #[must_use]
    pub fn connection(&self) -> ConnectionGuard {
        self.connections.inc();
        ConnectionGuard(self.connections.clone())
    }

    /// From now on this is when a certificate of ours ends, since 1970.
    pub fn certificate(&self, of: CertificateOf, end: Duration) {
        let end = i64::try_from(end.as_secs()).unwrap_or(i64::MAX);
        self.certificates.get_or_create(&[("certificate", of.as_str())]).set(end);
    }

    /// What is counted of spans.
    #[must_use]
    pub const fn spans(&self) -> &SpanSeries {
        &self.spans
    }

    /// What is counted of the fleet and its store.
    #[must_use]
    pub const fn shared(&self) -> &SharedSeries {
        &self.shared
    }

    /// Everything as OpenMetrics text; `gauges` are the sizes at this moment.
    #[must_use]
    pub fn render(&self, gauges: Gauges) -> String {
        self.sizes.set(gauges);
        let mut page = String::new();
        text::encode(&mut page, &self.registry).expect("a string takes everything");
        // The library writes an empty set of labels, which readers by hand do not expect.
        page.replace("{} ", " ")
    }

    /// The same in either format.
    #[must_use]
    pub fn render_in(&self, format: Exposition, gauges: Gauges) -> String {
        let page = self.render(gauges);
        match format {
            Exposition::OpenMetrics => page,
            Exposition::Classic => exposition::classic_of(&page),
        }
    }

    /// Sums since the start, for the status page.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            requests: Outcome::ALL.iter().map(|outcome| (*outcome, 0)).collect(),
            upstream: Purpose::ALL.iter().map(|purpose| (*purpose, 0)).collect(),
            avoided: Avoided::ALL.iter().map(|by| (*by, 0)).collect(),
            rejections: RejectionReason::ALL.iter().map(|reason| (*reason, 0)).collect(),
            retries: RetryResult::ALL.iter().map(|result| (*result, 0)).collect(),
            connections: u64::try_from(self.connections.get()).unwrap_or_default(),
        };
        for (index, histogram) in self.requests.occurred() {
            totals.requests[index / StatusClass::ALL.len() % Outcome::ALL.len()].1 += histogram.count();
        }
        for (index, histogram) in self.upstream.occurred() {
            totals.upstream[index / UpstreamStatus::ALL.len()].1 += histogram.count();
        }
        for (index, counter) in self.avoided.occurred() {
            totals.avoided[index].1 += counter.value();
        }
        for (index, counter) in self.shield_rejections.occurred() {
            totals.rejections[index].1 += counter.value();
        }
        for (index, counter) in self.retries.occurred() {
            totals.retries[index].1 += counter.value();
        }
        totals
    }

    fn register(&self, registry: &mut Registry) {
        let (requests, upstream) = (self.requests.clone(), self.upstream.clone());
        registry.register("requests", "Requests answered", SeriesTotals(requests.clone()));
        registry.register_with_unit(
            "request_duration",
            "From the head of a request to the head of its answer",
            Unit::Seconds,
            Durations { table: requests, merged: StatusClass::ALL.len() },
        );
        registry.register("upstream_requests", "Calls sent to the upstream", SeriesTotals(upstream.clone()));
        registry.register_with_unit(
            "upstream_request_duration",
            "From the start of an upstream call to the head of its answer, or its failure",
            Unit::Seconds,
            Durations { table: upstream, merged: UpstreamStatus::ALL.len() },
        );
        let avoided = "Answers that needed no upstream call of their own";
        registry.register("upstream_requests_avoided", avoided, self.avoided.clone());
        let bypasses = "Label reads that may not be cached";
        registry.register("bypasses", bypasses, self.bypasses.clone());
        registry.register("stale_served", "Answers that were past their lifetime", self.stale.clone());
        self.sizes.register(registry);
        registry.register("cache_evictions", "Stored responses let go", self.evictions.clone());
        registry.register("cache_invalidations", "Raises and removals", self.invalidations.clone());
        registry.register("proofs", "Attempts to prove a credential", self.proofs.clone());
        let wait = "From the wish to call the upstream to the turn of that call";
        registry.register_with_unit(
            "shield_wait",
            wait,
            Unit::Seconds,
            Durations { table: self.shield_wait.clone(), merged: 1 },
        );
        registry.register("shield_rejections", "Calls turned away here", self.shield_rejections.clone());
        registry.register("errors", "Answers that are errors of the proxy's own", self.failures.clone());
        registry.register("retries", "Failed reads that might be tried again", self.retries.clone());
        registry.register(
            "config_reloads",
            "Attempts to read the configuration again",
            self.config_reloads.clone(),
        );
        let dropped = "Lines of the log that found its queue full";
        registry.register("log_lines_dropped", dropped, self.log_lines_dropped.clone());
        registry.register("admin_requests", "Requests to the admin port", self.admin_requests.clone());
        let gate = "Upstream answers that may not be stored";
        registry.register("response_gate_rejections", gate, self.gate_rejections.clone());
        registry.register("connections", "Open connections of the data port", self.connections.clone());
        self.callers.register(registry);
        let refused = "Clients refused in the handshake because of their certificates";
        registry.register("client_certificate_refusals", refused, self.client_refusals.clone());
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When a certificate of ours ends, since 1970",
            Unit::Seconds,
            self.certificates.clone(),
        );
        self.spans.register(registry);
        self.shared.register(registry);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "What is running", Info::new(version));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::of(RESOURCES)
    }
}

impl Metrics {
    /// Those of a process with these resources.
    #[must_use]
    pub fn of(resources: Resources) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            resources,
            requests: Table::of(Route::count(resources) * Outcome::ALL.len() * StatusClass::ALL.len()),
            upstream: Table::of(Purpose::ALL.len() * UpstreamStatus::ALL.len()),
            avoided: Table::shown("by", Avoided::ALL.iter().map(|by| by.as_str())),
            bypasses: Table::shown("reason", BypassReason::ALL.iter().map(|reason| reason.as_str())),
            stale: Table::shown("reason", StaleReason::ALL.iter().map(|reason| reason.as_str())),
            proofs: Table::shown("result", ProofResult::ALL.iter().map(|result| result.as_str())),
            invalidations: Table::shown("cause", InvalidationCause::ALL.iter().map(|cause| cause.as_str())),
            evictions: Table::shown("cause", EvictionCause::ALL.iter().map(|cause| cause.as_str())),
            gate_rejections: Table::shown("reason", GateReason::ALL.iter().map(|reason| reason.as_str())),
            admin_requests: Table::of(AdminPath::ALL.len() * StatusClass::ALL.len()),
            shield_wait: Table::of(1),
            shield_rejections: Table::shown(
                "reason",
                RejectionReason::ALL.iter().map(|reason| reason.as_str()),
            ),
            retries: Table::shown("result", RetryResult::ALL.iter().map(|result| result.as_str())),
            config_reloads: Table::shown("result", ReloadResult::ALL.iter().map(|result| result.as_str())),
            failures: Failures::default(),
            log_lines_dropped: LogDrops::default(),
            callers: CallerSeries::default(),
            client_refusals: Table::shown("reason", ClientRefusal::ALL.iter().map(|reason| reason.as_str())),
            connections: Gauge::default(),
            sizes: Sizes::default(),
            certificates: Family::default(),
            spans: SpanSeries::default(),
            shared: SharedSeries::default(),
        };
        let mut registry = Registry::default();
        metrics.register(registry.sub_registry_with_prefix("instantly_proxy"));
        #[cfg(target_os = "linux")]
        registry.register_collector(Box::<process::ProcessCollector>::default());
        metrics.registry = registry;
        metrics
    }
}

/// Keeps one connection counted; dropping it ends that.
#[derive(Debug)]
pub struct ConnectionGuard(Gauge);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Sums since the start; every variant has its row, in the order of its enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered.
    pub requests: Vec<(Outcome, u64)>,
    /// Calls sent to the upstream.
    pub upstream: Vec<(Purpose, u64)>,
    /// Upstream calls that were not needed.
    pub avoided: Vec<(Avoided, u64)>,
    /// Calls turned away here.
    pub rejections: Vec<(RejectionReason, u64)>,
    /// Failed reads that might be tried again.
    pub retries: Vec<(RetryResult, u64)>,
    /// Connections of the data port that are open now.
    pub connections: u64,
}

impl Totals {
    /// Calls avoided less the calls that only keep the cache going; below zero while those outweigh what they bring.
    #[must_use]
    pub fn saved(&self) -> i64 {
        let upkeep = |purpose: &Purpose| match purpose {
            Purpose::Proof | Purpose::Refresh | Purpose::ListFill => true,
            Purpose::Fill | Purpose::Write | Purpose::PassThrough => false,
        };
        let avoided: u64 = self.avoided.iter().map(|(_, count)| count).sum();
        let spent: u64 =
            self.upstream.iter().filter(|(purpose, _)| upkeep(purpose)).map(|(_, count)| count).sum();
        avoided.cast_signed().saturating_sub(spent.cast_signed())
    }
}

#[cfg(test)]
mod tests;
