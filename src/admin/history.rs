//! [`History`]: what went on in the last hour, in steps of ten seconds.
//!
//! A step is the difference of two snapshots of the counters: requests cost nothing for it. It begins anew with the
//! process.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{Clock, Moment};
use crate::lock::Mutex;
use crate::metrics::{Gauges, Metrics, Pace, Snapshot};
use crate::outcome::{Avoided, Outcome};
use crate::proxy::Proxy;
use crate::purpose::Purpose;

/// Length of a step.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// Steps of an hour.
const STEPS: usize = 360;

/// The last hour.
#[derive(Default)]
pub(super) struct History(Mutex<Past>);

#[derive(Default)]
struct Past {
    latest: Option<Snapshot>,
    steps: VecDeque<Step>,
}

/// Ten seconds.
#[derive(Clone)]
struct Step {
    /// Unix time of its end, in seconds.
    at: u64,
    /// In the order of their enums.
    requests: Vec<u64>,
    calls: Vec<u64>,
    avoided: Vec<u64>,
    errors: u64,
    hit: [Option<f64>; 2],
    miss: [Option<f64>; 2],
    gauges: Gauges,
}

/// The history as columns: one number a step, oldest first.
#[derive(Serialize)]
pub(super) struct Columns {
    step_seconds: u64,
    /// Unix times at which the steps ended.
    at: Vec<u64>,
    /// Within each step: answered requests by outcome.
    requests: BTreeMap<&'static str, Vec<u64>>,
    /// Upstream calls by purpose.
    calls: BTreeMap<&'static str, Vec<u64>>,
    /// Calls that were not needed, by what spared them.
    avoided: BTreeMap<&'static str, Vec<u64>>,
    /// 5xx answers.
    errors: Vec<u64>,
    /// Milliseconds; null where there was no such answer.
    hit_p50_ms: Vec<Option<f64>>,
    hit_p99_ms: Vec<Option<f64>>,
    miss_p50_ms: Vec<Option<f64>>,
    miss_p99_ms: Vec<Option<f64>>,
    /// What the fullest account had used of its windows at the end of the step; 1 is all.
    used_of_second: Vec<f64>,
    used_of_minute: Vec<f64>,
    queued: Vec<u64>,
    gates_closed: Vec<u64>,
    breaker_open: Vec<bool>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("History")
    }
}

impl History {
    /// Ends a step every ten seconds, for ever.
    pub(super) async fn follow(&self, proxy: &Proxy, metrics: &Metrics, clock: &Clock) {
        self.end_step(metrics.snapshot(), proxy.gauges(), clock.now());
        loop {
            clock.sleep(STEP).await;
            self.end_step(metrics.snapshot(), proxy.gauges(), clock.now());
        }
    }

    fn end_step(&self, snapshot: Snapshot, gauges: Gauges, now: Moment) {
        let mut past = self.0.lock();
        if let Some(earlier) = past.latest.replace(snapshot.clone()) {
            if past.steps.len() == STEPS {
                past.steps.pop_front();
            }
            past.steps.push_back(Step::between(&earlier, &snapshot, gauges, now.unix().as_secs()));
        }
    }

    pub(super) fn columns(&self) -> Columns {
        let past = self.0.lock();
        let steps = &past.steps;
        let column = |counts: fn(&Step) -> &[u64], index: usize| {
            steps.iter().map(|step| counts(step).get(index).copied().unwrap_or(0)).collect()
        };
        Columns {
            step_seconds: STEP.as_secs(),
            at: steps.iter().map(|step| step.at).collect(),
            requests: Outcome::ALL
                .iter()
                .map(|outcome| (outcome.as_str(), column(|step| &step.requests, outcome.index())))
                .collect(),
            calls: Purpose::ALL
                .iter()
                .map(|purpose| (purpose.as_str(), column(|step| &step.calls, purpose.index())))
                .collect(),
            avoided: Avoided::ALL
                .iter()
                .map(|by| (by.as_str(), column(|step| &step.avoided, by.index())))
                .collect(),
            errors: steps.iter().map(|step| step.errors).collect(),
            hit_p50_ms: steps.iter().map(|step| step.hit[0]).collect(),
            hit_p99_ms: steps.iter().map(|step| step.hit[1]).collect(),
            miss_p50_ms: steps.iter().map(|step| step.miss[0]).collect(),
            miss_p99_ms: steps.iter().map(|step| step.miss[1]).collect(),
            used_of_second: steps.iter().map(|step| step.gauges.used_of_second).collect(),
            used_of_minute: steps.iter().map(|step| step.gauges.used_of_minute).collect(),
            queued: steps.iter().map(|step| step.gauges.queued).collect(),
            gates_closed: steps.iter().map(|step| step.gauges.gates_closed).collect(),
            breaker_open: steps.iter().map(|step| step.gauges.breaker_open).collect(),
        }
    }
}

impl Step {
    fn between(earlier: &Snapshot, later: &Snapshot, gauges: Gauges, at: u64) -> Self {
        let (before, now) = (&earlier.totals, &later.totals);
        let pace = |pace| [0.5, 0.99].map(|q| later.latency_ms(earlier, pace, q));
        Self {
            at,
            requests: differences(&before.requests, &now.requests),
            calls: differences(&before.upstream, &now.upstream),
            avoided: differences(&before.avoided, &now.avoided),
            errors: later.errors.saturating_sub(earlier.errors),
            hit: pace(Pace::Hit),
            miss: pace(Pace::Miss),
            gauges,
        }
    }
}

fn differences<T>(before: &[(T, u64)], now: &[(T, u64)]) -> Vec<u64> {
    before.iter().zip(now).map(|((_, then), (_, total))| total.saturating_sub(*then)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::StatusClass;
    use crate::resource::{LEAD_LABEL, Route};

    #[test]
    fn a_step_holds_what_went_on_in_it_and_an_hour_is_kept() {
        let (history, metrics) = (History::default(), Metrics::default());
        let (clock, hand) = Clock::manual();
        let hit = |ms| {
            metrics.request(
                Route::Item(&LEAD_LABEL),
                Outcome::Hit,
                StatusClass::Success,
                Duration::from_millis(ms),
            )
        };
        history.end_step(metrics.snapshot(), Gauges::default(), clock.now());
        assert_eq!(history.columns().at.len(), 0, "a step has a beginning");
        for step in 1..=STEPS as u64 + 5 {
            hand.advance(STEP);
            for _ in 0..step % 7 {
                hit(3);
                metrics.avoided(Avoided::Hit);
            }
            history.end_step(metrics.snapshot(), Gauges { queued: step, ..Gauges::default() }, clock.now());
        }
        let columns = history.columns();
        assert_eq!(columns.at.len(), STEPS);
        assert!(columns.at.windows(2).all(|pair| pair[1] - pair[0] == 10));
        let expected: Vec<u64> = (6..=STEPS as u64 + 5).map(|step| step % 7).collect();
        assert_eq!(columns.requests["hit"], expected);
        assert_eq!(columns.avoided["hit"], expected);
        assert!(columns.requests.values().all(|column| column.len() == STEPS));
        for (count, p99) in expected.iter().zip(&columns.hit_p99_ms) {
            assert_eq!(*count > 0, p99.is_some());
            assert!(p99.is_none_or(|ms| ms > 2.5 && ms <= 5.0), "{p99:?}");
        }
        assert_eq!(columns.queued[0], 6);
    }
}
