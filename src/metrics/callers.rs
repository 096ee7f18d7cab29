//! [`CallerSeries`]: what is counted of callers elsewhere, read at the moment of a scrape. A caller is a label only where the
//! configuration lists its name, so that the number of series does not grow with traffic.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::outcome::Outcome;

/// What is counted of callers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerNumbers {
    /// Of each name that the configuration lists, and of `other`.
    pub rows: Vec<CallerRow>,
    /// What did not count of what requests said of their callers, by reason.
    pub ignored: Vec<(&'static str, u64)>,
}

/// What is counted of one caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerRow {
    /// Its name.
    pub caller: String,
    /// Answered requests.
    pub requests: Vec<(Outcome, u64)>,
    /// Calls sent to the API.
    pub upstream_calls: u64,
    /// How long they waited for their turns.
    pub waited: Duration,
    /// Requests that were refused here, by reason.
    pub refused: Vec<(&'static str, u64)>,
    /// What limits that are observed alone would have done, by what that is.
    pub observed: Vec<(&'static str, u64)>,
}

type Source = Box<dyn Fn() -> CallerNumbers + Send + Sync>;

/// Nothing until somebody is followed.
#[derive(Clone, Default)]
pub(super) struct CallerSeries(Arc<OnceLock<Source>>);

impl fmt::Debug for CallerSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerSeries")
    }
}

impl CallerSeries {
    /// From now on this says what was counted. A process has one proxy: a second source is not heard.
    pub(super) fn follow(&self, numbers: impl Fn() -> CallerNumbers + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(numbers));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let series = |what| One { what, source: self.clone() };
        registry.register("caller_requests", "Requests answered, by caller", series(What::Requests));
        registry.register("caller_upstream_requests", "Calls sent, by caller", series(What::Calls));
        registry.register_with_unit(
            "caller_wait",
            "Time that calls waited for their turns, by caller",
            Unit::Seconds,
            series(What::Wait),
        );
        registry.register("caller_refusals", "Requests refused here, by caller", series(What::Refusals));
        let observed = "What limits that are observed alone would have done";
        registry.register("caller_observed", observed, series(What::Observed));
        let ignored = "What requests said of their callers and did not count";
        registry.register("caller_claims_ignored", ignored, series(What::Ignored));
    }
}

#[derive(Clone, Copy, Debug)]
enum What {
    Requests,
    Calls,
    Wait,
    Refusals,
    Observed,
    Ignored,
}

/// One metric of callers.
#[derive(Debug)]
struct One {
    what: What,
    source: CallerSeries,
}

impl One {
    fn row(&self, row: &CallerRow, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let caller = ("caller", row.caller.as_str());
        let by = |label: &'static str, counts: &[(&'static str, u64)], encoder: &mut MetricEncoder<'_>| {
            counts.iter().try_for_each(|(value, count)| {
                let labels = [caller, (label, *value)];
                let mut series = encoder.encode_family(&labels)?;
                series.encode_counter::<NoLabelSet, _, u64>(count, None)
            })
        };
        match self.what {
            What::Requests => {
                let counts: Vec<_> =
                    row.requests.iter().map(|(outcome, count)| (outcome.as_str(), *count)).collect();
                by("outcome", &counts, encoder)
            }
            What::Calls => encoder
                .encode_family(&[caller])?
                .encode_counter::<NoLabelSet, _, u64>(&row.upstream_calls, None),
            What::Wait => encoder
                .encode_family(&[caller])?
                .encode_counter::<NoLabelSet, _, u64>(&row.waited.as_secs_f64(), None),
            What::Refusals => by("reason", &row.refused, encoder),
            What::Observed => by("verdict", &row.observed, encoder),
            What::Ignored => Ok(()),
        }
    }
}

impl EncodeMetric for One {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Some(source) = self.source.0.get() else { return Ok(()) };
        let numbers = source();
        if matches!(self.what, What::Ignored) {
            return numbers.ignored.iter().try_for_each(|(reason, count)| {
                let labels = [("reason", *reason)];
                let mut series = encoder.encode_family(&labels)?;
                series.encode_counter::<NoLabelSet, _, u64>(count, None)
            });
        }
        numbers.rows.iter().try_for_each(|row| self.row(row, &mut encoder))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
