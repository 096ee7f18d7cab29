//! Callers and keys, as `/api/status` shows them: the bill.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::callers::figures::{Figure, Figures};
use crate::callers::{Bill, Limit, Refused, Shown};
use crate::config::Mode;
use crate::outcome::{BypassReason, Outcome};

/// Callers and keys since they were first seen, in the last hour and in the last minute.
#[derive(Serialize)]
pub(super) struct Callers {
    /// The busiest first; `other` holds all that are not told apart.
    callers: Vec<Row>,
    credentials: Vec<Row>,
    /// Of the names that the configuration lists.
    limits: Vec<Limits>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    total: Numbers,
    hour: Numbers,
    minute: Numbers,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refusal>,
}

/// What is zero is left out, but for requests and calls.
#[derive(Serialize)]
struct Numbers {
    requests: u64,
    upstream_calls: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    outcomes: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    bypasses: BTreeMap<&'static str, u64>,
    #[serde(flatten)]
    more: BTreeMap<&'static str, u64>,
}

/// The last time that the API refused a key.
#[derive(Serialize)]
struct Refusal {
    status: u16,
    route: String,
    caller: String,
    /// Unix time in seconds.
    at: u64,
}

#[derive(Serialize)]
struct Limits {
    name: String,
    weight: u32,
    priority: &'static str,
    /// Calls a minute, of all replicas together.
    requests_per_minute: Option<u32>,
    /// What of that is this process's: it is divided by the replicas that were seen.
    requests_per_minute_here: Option<u32>,
    replicas: u32,
    observe: bool,
}

impl Callers {
    pub(super) fn new(bill: Bill, limits: (Vec<(String, std::sync::Arc<Limit>)>, u32)) -> Self {
        let (named, replicas) = limits;
        Self {
            callers: rows(bill.callers),
            credentials: rows(bill.credentials),
            limits: named.into_iter().map(|(name, limit)| Limits::new(name, &limit, replicas)).collect(),
        }
    }
}

impl Limits {
    fn new(name: String, limit: &Limit, replicas: u32) -> Self {
        let cap = limit.cap.map(std::num::NonZeroU32::get);
        Self {
            name,
            weight: limit.weight.get(),
            priority: limit.priority.as_str(),
            requests_per_minute: cap,
            requests_per_minute_here: cap.map(|cap| (cap / replicas.max(1)).max(1)),
            replicas,
            observe: limit.mode == Mode::Observe,
        }
    }
}

fn rows(mut shown: Vec<Shown>) -> Vec<Row> {
    shown.sort_by_cached_key(|row| std::cmp::Reverse((row.hour.requests(), row.total.requests())));
    shown.into_iter().map(Row::from).collect()
}

impl From<Shown> for Row {
    fn from(shown: Shown) -> Self {
        Self {
            name: shown.name.into(),
            total: Numbers::from(&shown.total),
            hour: Numbers::from(&shown.hour),
            minute: Numbers::from(&shown.minute),
            refused: shown.refused.map(Refusal::from),
        }
    }
}

impl From<&Figures> for Numbers {
    fn from(figures: &Figures) -> Self {
        let counted = |count: &(&'static str, u64)| count.1 > 0;
        let outcomes = Outcome::ALL.iter().map(|outcome| (outcome.as_str(), figures.requests_of(*outcome)));
        let bypasses = BypassReason::ALL.iter().map(|reason| (reason.as_str(), figures.bypasses(*reason)));
        let more = Figure::ALL.iter().filter(|figure| **figure != Figure::UpstreamCalls);
        Self {
            requests: figures.requests(),
            upstream_calls: figures.of(Figure::UpstreamCalls),
            outcomes: outcomes.filter(counted).collect(),
            bypasses: bypasses.filter(counted).collect(),
            more: more.map(|figure| (figure.as_str(), figures.of(*figure))).filter(counted).collect(),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let Refused { status, route, caller, at } = refused;
        Self { status, route, caller: caller.into(), at: at.as_secs() }
    }
}
