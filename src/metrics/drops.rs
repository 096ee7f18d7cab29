//! [`LogDrops`]: a counter that is kept elsewhere, by whoever writes the log, and read at the moment of a scrape.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

type Source = Box<dyn Fn() -> u64 + Send + Sync>;

/// Dropped lines of the log; none until the log is followed.
#[derive(Clone, Default)]
pub(super) struct LogDrops(Arc<OnceLock<Source>>);

impl fmt::Debug for LogDrops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogDrops")
    }
}

impl LogDrops {
    /// From now on this says how many there were. A process has one log: a second source is not heard.
    pub(super) fn follow(&self, dropped: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(dropped));
    }
}

impl EncodeMetric for LogDrops {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let dropped = self.0.get().map_or(0, |dropped| dropped());
        encoder.encode_counter::<NoLabelSet, _, u64>(&dropped, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
