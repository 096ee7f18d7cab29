//! The JSON of `/api/status`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::callers::Callers;
use super::fleet::Fleet;
use super::history::Columns;
use crate::fleet::overview::FleetOverview;
use crate::metrics::{Failure, Gauges, OfResource, Totals};
use crate::proxy::Overview;
use crate::shield::account::AccountKey;
use crate::shield::usage::Usage;

/// Sums since the start and sizes at this moment.
#[derive(Serialize)]
pub(super) struct Status {
    version: &'static str,
    uptime_seconds: u64,
    /// False from the moment at which the process begins to stop.
    ready: bool,
    /// Answered requests by outcome.
    requests: BTreeMap<&'static str, u64>,
    /// The same of each resource that is cached.
    resources: Vec<Resource>,
    upstream: Upstream,
    cache: Cache,
    held: Held,
    /// Credentials whose organization is known.
    bindings: u64,
    /// Open connections of the data port.
    connections: u64,
    shield: Shield,
    /// The other replicas, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<Fleet>,
    /// Callers and keys, where they are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    callers: Option<Callers>,
    /// Errors of the proxy's own, the latest first.
    errors: Vec<Error>,
    /// The last hour.
    history: Columns,
}

/// What a status is made of.
pub(super) struct Figures {
    pub(super) uptime: Duration,
    pub(super) ready: bool,
    pub(super) totals: Totals,
    pub(super) resources: Vec<OfResource>,
    pub(super) gauges: Gauges,
    pub(super) overview: Overview,
    pub(super) failures: Vec<Failure>,
    pub(super) fleet: Option<FleetOverview>,
    pub(super) callers: Option<Callers>,
    pub(super) history: Columns,
}

/// What was asked of a cached resource.
#[derive(Serialize)]
struct Resource {
    resource: &'static str,
    /// Its reads by outcome.
    reads: BTreeMap<&'static str, u64>,
    /// Those that needed no call of their own.
    avoided: u64,
    writes: u64,
}

impl From<OfResource> for Resource {
    fn from(of: OfResource) -> Self {
        Self {
            resource: of.resource.name,
            avoided: of.avoided(),
            reads: of.reads.iter().map(|(outcome, count)| (outcome.as_str(), *count)).collect(),
            writes: of.writes,
        }
    }
}

/// One kind of error.
#[derive(Serialize)]
struct Error {
    error: &'static str,
    message: &'static str,
    count: u64,
    /// Unix time of the latest, in seconds.
    latest: u64,
}

#[derive(Serialize)]
struct Upstream {
    /// Calls by purpose.
    calls: BTreeMap<&'static str, u64>,
    /// Calls that were not needed, by what spared them.
    avoided: BTreeMap<&'static str, u64>,
    /// Avoided less what keeping the cache going cost.
    saved: i64,
}

#[derive(Serialize)]
struct Cache {
    entries: u64,
    bytes: u64,
}

/// What calls under way hold of memory.
#[derive(Serialize)]
struct Held {
    bytes: u64,
    max_bytes: u64,
}

/// What keeps the API inside its limits, at this moment.
#[derive(Serialize)]
struct Shield {
    limits: Limits,
    /// For whom the limit is promised: callers whose organization is known, or all.
    limit_holds_for: &'static str,
    /// Calls of callers whose organization was not known: they spent from accounts of their own.
    calls_without_binding: u64,
    /// The busiest of the last minute.
    accounts: Vec<Account>,
    others: Others,
    breaker_open: bool,
    edge_blocked: bool,
    gates_closed: u64,
    queued: u64,
    /// 401s that are remembered.
    latched: u64,
    strangers: Strangers,
    rejections: BTreeMap<&'static str, u64>,
    retries: BTreeMap<&'static str, u64>,
}

/// What this process may send for one account.
#[derive(Serialize)]
struct Limits {
    per_second: u32,
    per_minute: u32,
}

#[derive(Serialize)]
struct Account {
    /// Whose: an organization's, a caller's that is not known, or everybody's.
    account: &'static str,
    organization: Option<String>,
    used_of_second: u32,
    used_of_minute: u32,
    queued: usize,
    /// What it may spend of the limits, 1 being all: less since the API answered 429 below them.
    allowed_ratio: f64,
    /// How long the API's own 429 still holds.
    closed_for_seconds: Option<u64>,
    calls: u64,
    avoided: Option<u64>,
}

/// All other accounts.
#[derive(Serialize)]
struct Others {
    accounts: usize,
    used_of_minute: u64,
    queued: usize,
    calls: u64,
    avoided: u64,
}

#[derive(Serialize)]
struct Strangers {
    in_flight: usize,
    waiting: usize,
}

impl Shield {
    fn new(totals: &Totals, gauges: Gauges, overview: &Overview) -> Self {
        let accounts = &overview.accounts;
        Self {
            limits: Limits { per_second: accounts.limits.per_second, per_minute: accounts.limits.per_minute },
            limit_holds_for: if overview.single_workspace { "all_callers" } else { "bound_callers" },
            calls_without_binding: overview.unbound,
            accounts: accounts
                .busiest
                .iter()
                .zip(&overview.avoided)
                .map(|(usage, avoided)| Account::new(usage, *avoided))
                .collect(),
            others: Others {
                accounts: accounts.others,
                used_of_minute: accounts.others_minute,
                queued: accounts.others_queued,
                calls: accounts.others_calls,
                avoided: overview.others_avoided,
            },
            breaker_open: gauges.breaker_open,
            edge_blocked: gauges.edge_blocked,
            gates_closed: gauges.gates_closed,
            queued: gauges.queued,
            latched: gauges.latched,
            strangers: Strangers {
                in_flight: overview.strangers_in_flight,
                waiting: overview.strangers_waiting,
            },
            rejections: totals.rejections.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
            retries: totals.retries.iter().map(|(result, count)| (result.as_str(), *count)).collect(),
        }
    }
}

impl Account {
    fn new(usage: &Usage, avoided: Option<u64>) -> Self {
        let (account, organization) = match usage.account {
            AccountKey::Organization(id) => ("organization", Some(id.to_string())),
            AccountKey::Authorization(_) => ("authorization", None),
            AccountKey::Everybody => ("everybody", None),
        };
        Self {
            account,
            organization,
            used_of_second: usage.second,
            used_of_minute: usage.minute,
            queued: usage.queued,
            allowed_ratio: usage.allowed.ratio(),
            closed_for_seconds: usage.closed_for.map(seconds),
            calls: usage.calls,
            avoided,
        }
    }
}

/// Rounded up, as `Retry-After` is.
fn seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

impl Status {
    pub(super) fn new(figures: Figures) -> Self {
        let Figures { uptime, ready, totals, resources, gauges, overview, failures, fleet, callers, history } =
            figures;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: uptime.as_secs(),
            ready,
            requests: totals.requests.iter().map(|(outcome, count)| (outcome.as_str(), *count)).collect(),
            resources: resources.into_iter().map(Resource::from).collect(),
            upstream: Upstream {
                calls: totals.upstream.iter().map(|(purpose, count)| (purpose.as_str(), *count)).collect(),
                avoided: totals.avoided.iter().map(|(by, count)| (by.as_str(), *count)).collect(),
                saved: totals.saved(),
            },
            cache: Cache { entries: gauges.cache_entries, bytes: gauges.cache_bytes },
            held: Held { bytes: gauges.held_bytes, max_bytes: gauges.held_bytes_limit },
            bindings: gauges.bindings,
            connections: totals.connections,
            shield: Shield::new(&totals, gauges, &overview),
            fleet: fleet.map(Fleet::from),
            callers,
            errors: failures
                .into_iter()
                .map(|failure| Error {
                    error: failure.kind.as_str(),
                    message: failure.kind.message(),
                    count: failure.count,
                    latest: failure.latest,
                })
                .collect(),
            history,
        }
    }
}
