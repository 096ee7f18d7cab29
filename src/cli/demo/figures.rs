//! What the demonstration shows: a line a second, and a summary.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::lock::Mutex;
use crate::metrics::Metrics;
use crate::outcome::Outcome;

/// Latencies that the load saw, in microseconds.
#[derive(Debug)]
pub(super) struct Latencies(Mutex<ByOutcome>);

#[derive(Debug)]
struct ByOutcome {
    hits: Histogram<u64>,
    misses: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        // One microsecond to one minute, three digits: what comes from outside is counted as the nearest bound.
        let empty = || Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are sound");
        Self(Mutex::new(ByOutcome { hits: empty(), misses: empty() }))
    }
}

impl Latencies {
    /// Notes a read that was answered from the store.
    pub(super) fn note_hit(&self, took: Duration) {
        self.0.lock().hits.saturating_record(micros(took));
    }

    /// Notes a read that was answered in another way.
    pub(super) fn note_miss(&self, took: Duration) {
        self.0.lock().misses.saturating_record(micros(took));
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// Counters of the proxy at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    elapsed: Duration,
    requests: u64,
    errors: u64,
    reads: u64,
    hits: u64,
    upstream: u64,
    avoided: u64,
}

impl Figures {
    pub(super) fn of(metrics: &Metrics, elapsed: Duration) -> Self {
        let totals = metrics.totals();
        let requests = |wanted: &[Outcome]| -> u64 {
            totals
                .requests
                .iter()
                .filter(|(outcome, _)| wanted.contains(outcome))
                .map(|(_, count)| count)
                .sum()
        };
        Self {
            elapsed,
            requests: requests(Outcome::ALL),
            errors: requests(&[Outcome::Error]),
            reads: requests(&[Outcome::Hit, Outcome::Stale, Outcome::Collapsed, Outcome::Miss]),
            hits: requests(&[Outcome::Hit, Outcome::Stale]),
            upstream: totals.upstream.iter().map(|(_, count)| count).sum(),
            avoided: totals.avoided.iter().map(|(_, count)| count).sum(),
        }
    }

    fn hit_ratio(&self) -> f64 {
        if self.reads == 0 { 0.0 } else { self.hits as f64 / self.reads as f64 * 100.0 }
    }

    /// The last second, and the ratio so far.
    pub(super) fn line_since(&self, before: &Self) -> String {
        format!(
            "{:>4} s  {:>5} requests/s  hit ratio {:>5.1} %  upstream {:>4}/s  avoided {:>5}/s  errors {}",
            self.elapsed.as_secs(),
            self.requests - before.requests,
            self.hit_ratio(),
            self.upstream - before.upstream,
            self.avoided - before.avoided,
            self.errors,
        )
    }

    /// The whole run.
    pub(super) fn summary(&self, latencies: &Latencies) -> String {
        let mut text = format!("after {:.1} s\n", self.elapsed.as_secs_f64());
        let mut row = |name: &str, value: String| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {name:<24}{value}");
        };
        row("requests answered", self.requests.to_string());
        row("label reads answered", self.reads.to_string());
        row("hit ratio", format!("{:.1} %", self.hit_ratio()));
        row("upstream calls made", self.upstream.to_string());
        row("upstream calls avoided", self.avoided.to_string());
        row("errors", self.errors.to_string());
        let latencies = latencies.0.lock();
        for (name, histogram) in [("hits", &latencies.hits), ("misses", &latencies.misses)] {
            let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
            row(&format!("{name} p50 / p99"), format!("{:.2} ms / {:.2} ms", at(0.5), at(0.99)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Avoided, StatusClass};
    use crate::resource::{LEAD_LABEL, Route};

    #[test]
    fn the_summary_tells_reads_hits_and_what_was_avoided() {
        let metrics = Metrics::default();
        for outcome in [Outcome::Miss, Outcome::Hit, Outcome::Hit, Outcome::Hit, Outcome::Forwarded] {
            metrics.request(
                Route::Item(&LEAD_LABEL),
                outcome,
                StatusClass::Success,
                Duration::from_millis(1),
            );
        }
        (0..3).for_each(|_| metrics.avoided(Avoided::Hit));
        let latencies = Latencies::default();
        latencies.note_hit(Duration::from_micros(500));
        let summary = Figures::of(&metrics, Duration::from_secs(2)).summary(&latencies);
        for line in [
            "requests answered       5",
            "label reads answered    4",
            "hit ratio               75.0 %",
            "upstream calls avoided  3",
            "hits p50 / p99          0.50 ms / 0.50 ms",
        ] {
            assert!(summary.contains(line), "{line} in\n{summary}");
        }
    }
}
