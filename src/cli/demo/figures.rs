//! What the demonstration shows: a line a second, and a summary.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::lock::Mutex;
use crate::metrics::Metrics;
use crate::outcome::Outcome;

/// What the load saw.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) latencies: Latencies,
    pub(super) writes: Writes,
}

/// What became of writes: read at once through every other replica, each must show what was just written.
#[derive(Debug, Default)]
pub(super) struct Writes {
    read_back: AtomicU64,
    old: AtomicU64,
}

impl Writes {
    /// Notes what one replica showed of a write that another one had answered.
    pub(super) fn note_read_back(&self, seen: ReadBack) {
        self.read_back.fetch_add(1, Ordering::Relaxed);
        if seen == ReadBack::Old {
            self.old.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What a read behind a write showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadBack {
    New,
    Old,
}

/// How long answers took, as clients see it ([`Heard::took`](super::client::Heard::took)).
#[derive(Debug)]
pub(super) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        // One microsecond to one minute, three digits: what comes from outside is counted as the nearest bound.
        Self(Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are sound"))
    }
}

impl Times {
    /// Notes one.
    pub(super) fn note(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Within how many milliseconds this part of the answers came.
    pub(super) fn milliseconds(&self, part: f64) -> f64 {
        self.0.value_at_quantile(part) as f64 / 1000.0
    }

    /// `0.41 ms / 2.10 ms`: the median, and what 99 of 100 keep to.
    pub(super) fn text(&self) -> String {
        if self.0.is_empty() {
            return "none".to_owned();
        }
        format!("{:.2} ms / {:.2} ms", self.milliseconds(0.5), self.milliseconds(0.99))
    }
}

/// Latencies that the load saw.
#[derive(Debug, Default)]
pub(super) struct Latencies(Mutex<ByOutcome>);

#[derive(Debug, Default)]
struct ByOutcome {
    hits: Times,
    misses: Times,
    writes: Times,
}

impl Latencies {
    /// Notes a read that was answered from the store.
    pub(super) fn note_hit(&self, took: Duration) {
        self.0.lock().hits.note(took);
    }

    /// Notes a read that was answered in another way.
    pub(super) fn note_miss(&self, took: Duration) {
        self.0.lock().misses.note(took);
    }

    /// Notes a write.
    pub(super) fn note_write(&self, took: Duration) {
        self.0.lock().writes.note(took);
    }
}

/// Counters of all proxies together at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    elapsed: Duration,
    replicas: usize,
    requests: u64,
    errors: u64,
    reads: u64,
    hits: u64,
    upstream: u64,
    avoided: u64,
}

impl Figures {
    pub(super) fn of(replicas: &[Arc<Metrics>], elapsed: Duration) -> Self {
        let mut figures = Self { elapsed, replicas: replicas.len(), ..Self::default() };
        for metrics in replicas {
            figures.add(metrics);
        }
        figures
    }

    fn add(&mut self, metrics: &Metrics) {
        let totals = metrics.totals();
        let requests = |wanted: &[Outcome]| -> u64 {
            let wanted = totals.requests.iter().filter(|(outcome, _)| wanted.contains(outcome));
            wanted.map(|(_, count)| count).sum()
        };
        self.requests += requests(Outcome::ALL);
        self.errors += requests(&[Outcome::Error]);
        self.reads +=
            requests(&[Outcome::Hit, Outcome::Stale, Outcome::Collapsed, Outcome::Miss, Outcome::Bypass]);
        self.hits += requests(&[Outcome::Hit, Outcome::Stale]);
        self.upstream += totals.upstream.iter().map(|(_, count)| count).sum::<u64>();
        self.avoided += totals.avoided.iter().map(|(_, count)| count).sum::<u64>();
    }

    /// Hits of all label reads, in hundredths.
    pub(super) fn hit_ratio(&self) -> f64 {
        if self.reads == 0 { 0.0 } else { self.hits as f64 / self.reads as f64 * 100.0 }
    }

    /// The last second, and the ratio so far.
    pub(super) fn line_since(&self, before: &Self) -> String {
        format!(
            "{:>4} s  {:>5} requests/s  hit ratio {:>5.1} %  upstream {:>4}/s  avoided {:>5}/s  errors {}",
            self.elapsed.as_secs(),
            self.requests.saturating_sub(before.requests),
            self.hit_ratio(),
            self.upstream.saturating_sub(before.upstream),
            self.avoided.saturating_sub(before.avoided),
            self.errors,
        )
    }

    /// The whole run.
    pub(super) fn summary(&self, observed: &Observed) -> String {
        let mut text = format!("after {:.1} s\n", self.elapsed.as_secs_f64());
        let mut row = |name: &str, value: String| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {name:<24}{value}");
        };
        if self.replicas > 1 {
            row("replicas", self.replicas.to_string());
        }
        row("requests answered", self.requests.to_string());
        row("label reads answered", self.reads.to_string());
        row("hit ratio", format!("{:.1} %", self.hit_ratio()));
        row("upstream calls made", self.upstream.to_string());
        row("upstream calls avoided", self.avoided.to_string());
        row("errors", self.errors.to_string());
        if self.replicas > 1 {
            let Writes { read_back, old } = &observed.writes;
            let (read_back, old) = (read_back.load(Ordering::Relaxed), old.load(Ordering::Relaxed));
            row("read at other replicas", format!("{read_back} at once after a write, {old} of them old"));
        }
        let latencies = observed.latencies.0.lock();
        let named = [("hits", &latencies.hits), ("misses", &latencies.misses), ("writes", &latencies.writes)];
        for (name, times) in named {
            row(&format!("{name} p50 / p99"), times.text());
        }
        text.push_str("  Times are as a client sees them, from its request to the last byte.\n");
        text
    }

    /// The whole run, for programs.
    pub(super) fn document(&self, observed: &Observed) -> Value {
        let latencies = observed.latencies.0.lock();
        let times =
            |times: &Times| json!({"p50_ms": times.milliseconds(0.5), "p99_ms": times.milliseconds(0.99)});
        let Writes { read_back, old } = &observed.writes;
        json!({
            "seconds": self.elapsed.as_secs_f64(),
            "replicas": self.replicas,
            "requests": self.requests,
            "label_reads": self.reads,
            "hits": self.hits,
            "upstream_calls": self.upstream,
            "upstream_calls_avoided": self.avoided,
            "errors": self.errors,
            "hit_times": times(&latencies.hits),
            "miss_times": times(&latencies.misses),
            "write_times": times(&latencies.writes),
            "read_at_other_replicas": read_back.load(Ordering::Relaxed),
            "of_them_old": old.load(Ordering::Relaxed),
        })
    }

    /// What came between an earlier moment and this one.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            elapsed: self.elapsed.saturating_sub(earlier.elapsed),
            replicas: self.replicas,
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            reads: self.reads.saturating_sub(earlier.reads),
            hits: self.hits.saturating_sub(earlier.hits),
            upstream: self.upstream.saturating_sub(earlier.upstream),
            avoided: self.avoided.saturating_sub(earlier.avoided),
        }
    }

    /// Calls that were made of the API.
    pub(super) const fn upstream(&self) -> u64 {
        self.upstream
    }

    /// Requests answered.
    pub(super) const fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests that failed.
    pub(super) const fn errors(&self) -> u64 {
        self.errors
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
        let observed = Observed::default();
        observed.latencies.note_hit(Duration::from_micros(500));
        let metrics = Arc::new(metrics);
        let of = |replicas: &[Arc<Metrics>]| Figures::of(replicas, Duration::from_secs(2)).summary(&observed);
        let summary = of(&[Arc::clone(&metrics)]);
        for line in [
            "requests answered       5",
            "label reads answered    4",
            "hit ratio               75.0 %",
            "upstream calls avoided  3",
            "hits p50 / p99          0.50 ms / 0.50 ms",
        ] {
            assert!(summary.contains(line), "{line} in\n{summary}");
        }
        assert!(!summary.contains("replicas"), "{summary}");

        observed.writes.note_read_back(ReadBack::New);
        observed.writes.note_read_back(ReadBack::Old);
        let summary = of(&[Arc::clone(&metrics), metrics]);
        for line in [
            "replicas                2",
            "requests answered       10",
            "hit ratio               75.0 %",
            "upstream calls avoided  6",
            "read at other replicas  2 at once after a write, 1 of them old",
        ] {
            assert!(summary.contains(line), "{line} in\n{summary}");
        }
    }
}
