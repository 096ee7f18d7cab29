//! The JSON of `/api/status`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::metrics::{Gauges, Totals};

/// Sums since the start and sizes at this moment.
#[derive(Serialize)]
pub(super) struct Status {
    version: &'static str,
    uptime_seconds: u64,
    /// False from the moment at which the process begins to stop.
    ready: bool,
    /// Answered requests by outcome.
    requests: BTreeMap<&'static str, u64>,
    upstream: Upstream,
    cache: Cache,
    /// Credentials whose organization is known.
    bindings: u64,
    /// Open connections of the data port.
    connections: u64,
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

impl Status {
    pub(super) fn new(uptime: Duration, ready: bool, totals: &Totals, gauges: Gauges) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: uptime.as_secs(),
            ready,
            requests: totals.requests.iter().map(|(outcome, count)| (outcome.as_str(), *count)).collect(),
            upstream: Upstream {
                calls: totals.upstream.iter().map(|(purpose, count)| (purpose.as_str(), *count)).collect(),
                avoided: totals.avoided.iter().map(|(by, count)| (by.as_str(), *count)).collect(),
                saved: totals.saved(),
            },
            cache: Cache { entries: gauges.cache_entries, bytes: gauges.cache_bytes },
            bindings: gauges.bindings,
            connections: totals.connections,
        }
    }
}
