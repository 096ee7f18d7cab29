//! Series behind closed labels: cells of an array, found by index, so that counting looks nothing up.
//!
//! A [`Table`] holds one cell for each combination of its labels; a cell is made when its combination first occurs, so
//! that a scrape shows no series that never moved. The number of cells is fixed by the enums: no request can add one.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Label names and values of one series.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// One cell for each combination of `N` closed labels; the last label varies fastest.
#[derive(Debug)]
pub(super) struct Table<T, const N: usize>(Arc<[OnceLock<Cell<T, N>>]>);

#[derive(Debug)]
struct Cell<T, const N: usize> {
    labels: Labels<N>,
    value: T,
}

impl<T, const N: usize> Clone for Table<T, N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default, const N: usize> Table<T, N> {
    /// A table of so many combinations, none of which has occurred.
    pub(super) fn of(combinations: usize) -> Self {
        Self((0..combinations).map(|_| OnceLock::new()).collect())
    }

    /// The cell at `index`, which belongs to `labels`.
    pub(super) fn at(&self, index: usize, labels: impl FnOnce() -> Labels<N>) -> &T {
        &self.0[index].get_or_init(|| Cell { labels: labels(), value: T::default() }).value
    }

    /// Cells that have occurred, with their index.
    pub(super) fn occurred(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0.iter().enumerate().filter_map(|(index, cell)| Some((index, &cell.get()?.value)))
    }
}

impl<T: Default> Table<T, 1> {
    /// A table with one label whose series all exist from the start: an alert on the first event needs the zero.
    pub(super) fn shown(label: &'static str, texts: impl ExactSizeIterator<Item = &'static str>) -> Self {
        let table = Self::of(texts.len());
        for (index, text) in texts.enumerate() {
            table.at(index, || [(label, text)]);
        }
        table
    }
}

/// A number that only rises.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add_one(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

const BOUNDS_NANOS: [u64; 19] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    100_000_000_000,
];
const BUCKETS: usize = BOUNDS_NANOS.len() + 1;
const NANOS_PER_SECOND: f64 = 1e9;

/// How often and how long. The library's own histogram takes a lock for each observation; this one adds twice.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_nanos: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NANOS.partition_point(|bound| *bound < nanos);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

/// How often each duration occurred, copied out of histograms.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Buckets([u64; BUCKETS]);

impl Buckets {
    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.0.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
    }

    /// What came since an earlier copy.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut since = *self;
        for (now, then) in since.0.iter_mut().zip(&earlier.0) {
            *now = now.saturating_sub(*then);
        }
        since
    }
}

/// The duration in seconds below which a part `q` of all lies, straight between the bounds of its bucket.
#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
pub(super) fn quantile(buckets: &Buckets, q: f64) -> Option<f64> {
    let count: u64 = buckets.0.iter().sum();
    let rank = q * count as f64;
    let mut below = 0.0;
    for (index, bucket) in buckets.0.iter().enumerate().filter(|(_, bucket)| **bucket > 0) {
        let inside = *bucket as f64;
        if below + inside >= rank {
            let upper = seconds(BOUNDS_NANOS[index.min(BOUNDS_NANOS.len() - 1)]);
            let lower = index.checked_sub(1).map_or(0.0, |before| seconds(BOUNDS_NANOS[before]));
            return Some(lower + (upper - lower).max(0.0) * (rank - below) / inside);
        }
        below += inside;
    }
    None
}

#[derive(Default)]
struct Merged {
    buckets: [u64; BUCKETS],
    sum_nanos: u64,
}

impl Merged {
    fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        self.sum_nanos = self.sum_nanos.wrapping_add(histogram.sum_nanos.load(Ordering::Relaxed));
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = BOUNDS_NANOS.iter().map(|nanos| seconds(*nanos)).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.buckets).collect();
        let count = self.buckets.iter().sum();
        encoder.encode_histogram::<NoLabelSet>(seconds(self.sum_nanos), count, &buckets, None)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a float is what the format asks for")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / NANOS_PER_SECOND
}

impl<const N: usize> EncodeMetric for Table<Counter, N> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.iter().filter_map(OnceLock::get).try_for_each(|cell| {
            let mut series = encoder.encode_family(&cell.labels)?;
            series.encode_counter::<NoLabelSet, _, u64>(&cell.value.value(), None)
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// What a table of histograms says of **how often**: a counter for each combination.
#[derive(Debug)]
pub(super) struct Totals<const N: usize>(pub(super) Table<Histogram, N>);

impl<const N: usize> EncodeMetric for Totals<N> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.0.iter().filter_map(OnceLock::get).try_for_each(|cell| {
            let mut series = encoder.encode_family(&cell.labels)?;
            series.encode_counter::<NoLabelSet, _, u64>(&cell.value.count(), None)
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// What a table of histograms says of **how long**: a histogram for each combination without the last label, if there is
/// one, whose values are merged. So one observation serves both names.
#[derive(Debug)]
pub(super) struct Durations<const N: usize> {
    pub(super) table: Table<Histogram, N>,
    /// Values that the last label can have.
    pub(super) merged: usize,
}

impl<const N: usize> EncodeMetric for Durations<N> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for cells in self.table.0.chunks(self.merged) {
            let mut occurred = cells.iter().filter_map(OnceLock::get).peekable();
            let Some(labels) = occurred.peek().map(|cell| &cell.labels[..N.saturating_sub(1)]) else {
                continue;
            };
            let mut merged = Merged::default();
            occurred.for_each(|cell| merged.add(&cell.value));
            merged.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_whose_bound_it_does_not_exceed() {
        let rows = [(0, 0), (50_000, 0), (50_001, 1), (1_000_000_000, 13), (100_000_000_001, 19)];
        for (nanos, bucket) in rows {
            let histogram = Histogram::default();
            histogram.observe(Duration::from_nanos(nanos));
            assert_eq!(histogram.buckets[bucket].load(Ordering::Relaxed), 1, "{nanos} ns");
            assert_eq!(histogram.count(), 1);
        }
    }

    #[test]
    fn a_series_exists_only_once_it_occurred() {
        let table = Table::<Counter, 1>::of(3);
        assert_eq!(table.occurred().count(), 0);
        table.at(2, || [("cause", "size")]).add_one();
        assert_eq!(
            table.occurred().map(|(index, counter)| (index, counter.value())).collect::<Vec<_>>(),
            [(2, 1)]
        );
    }
}
