//! Sizes and states that are read at the moment of a scrape.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Values that are read at the moment of a scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Stored responses.
    pub cache_entries: u64,
    /// Bytes that they take, keys and overhead included.
    pub cache_bytes: u64,
    /// Bytes that calls under way hold.
    pub held_bytes: u64,
    /// Bytes that they may hold.
    pub held_bytes_limit: u64,
    /// Credentials whose organization is known.
    pub bindings: u64,
    /// Organizations that the upstream limits.
    pub gates_closed: u64,
    /// Calls that wait for their turn.
    pub queued: u64,
    /// 401s that are remembered.
    pub latched: u64,
    /// What the fullest account has used of the second's window, 1 being all.
    pub used_of_second: f64,
    /// The same of the minute's.
    pub used_of_minute: f64,
    /// What the account that is lowered most may spend of its limits, 1 being all.
    pub allowed: f64,
    /// Whether the breaker is open.
    pub breaker_open: bool,
    /// Whether the edge turns fetches away.
    pub edge_blocked: bool,
}

/// The series behind [`Gauges`].
#[derive(Debug, Default)]
pub(super) struct Sizes {
    cache_entries: Gauge,
    cache_bytes: Gauge,
    held_bytes: Gauge,
    held_bytes_limit: Gauge,
    bindings: Gauge,
    gates_closed: Gauge,
    queued: Gauge,
    latched: Gauge,
    used: Family<[(&'static str, &'static str); 1], Gauge<f64, AtomicU64>>,
    allowed: Gauge<f64, AtomicU64>,
    breaker_open: Gauge,
    edge_blocked: Gauge,
}

impl Sizes {
    pub(super) fn set(&self, gauges: Gauges) {
        let rows = [
            (&self.cache_entries, gauges.cache_entries),
            (&self.cache_bytes, gauges.cache_bytes),
            (&self.held_bytes, gauges.held_bytes),
            (&self.held_bytes_limit, gauges.held_bytes_limit),
            (&self.bindings, gauges.bindings),
            (&self.gates_closed, gauges.gates_closed),
            (&self.queued, gauges.queued),
            (&self.latched, gauges.latched),
            (&self.breaker_open, gauges.breaker_open.into()),
            (&self.edge_blocked, gauges.edge_blocked.into()),
        ];
        for (gauge, value) in rows {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.allowed.set(gauges.allowed);
        for (window, used) in [("second", gauges.used_of_second), ("minute", gauges.used_of_minute)] {
            self.used.get_or_create(&[("window", window)]).set(used);
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("cache_entries", "Stored responses", self.cache_entries.clone());
        let bytes = "Memory that stored responses take, keys and overhead included";
        registry.register_with_unit("cache", bytes, Unit::Bytes, self.cache_bytes.clone());
        let held = "Memory that calls under way hold";
        registry.register_with_unit("held", held, Unit::Bytes, self.held_bytes.clone());
        let limit = "Memory that calls under way may hold";
        registry.register_with_unit("held_limit", limit, Unit::Bytes, self.held_bytes_limit.clone());
        let rows = [
            ("bindings", "Credentials whose organization is known", &self.bindings),
            ("shield_gates_closed", "Organizations that the upstream limits", &self.gates_closed),
            ("shield_queued", "Calls that wait for their turn", &self.queued),
            ("shield_latched", "Refusals of keys that are remembered", &self.latched),
            ("breaker_open", "Whether the upstream cannot be reached", &self.breaker_open),
            ("edge_blocked", "Whether the edge turns the proxy's own reads away", &self.edge_blocked),
        ];
        for (name, help, gauge) in rows {
            registry.register(name, help, gauge.clone());
        }
        let used = "What the fullest account has used of its windows; 1 is all";
        registry.register("shield_budget_used_ratio", used, self.used.clone());
        let allowed = "What the most lowered account may spend of its limits; 1 is all, and none is lowered";
        registry.register("shield_budget_allowed_ratio", allowed, self.allowed.clone());
    }
}
