//! [`SpanSeries`]: what became of spans. Only a process that exports them shows any of it.

use prometheus_client::registry::Registry;

use super::series::{Counter, Table};
use crate::closed_enum::closed_enum;

closed_enum! {
    /// Why a span was not exported: the `cause` of `instantly_proxy_spans_dropped_total`.
    pub enum SpanLoss {
        /// As many waited as may.
        QueueFull = "queue_full",
        /// The collector did not take it.
        ExportFailed = "export_failed",
    }
}

/// See the module. Clones count together.
#[derive(Clone, Debug)]
pub struct SpanSeries {
    exported: Table<Counter, 0>,
    dropped: Table<Counter, 1>,
}

impl Default for SpanSeries {
    fn default() -> Self {
        Self { exported: Table::of(1), dropped: Table::of(SpanLoss::ALL.len()) }
    }
}

impl SpanSeries {
    /// From now on both series are there, at zero.
    pub fn show(&self) {
        self.exported(0);
        SpanLoss::ALL.iter().for_each(|cause| self.dropped(*cause, 0));
    }

    /// Counts spans that the collector took.
    pub fn exported(&self, spans: usize) {
        self.exported.at(0, || []).add(spans as u64);
    }

    /// Counts spans that it did not get.
    pub fn dropped(&self, cause: SpanLoss, spans: usize) {
        self.dropped.at(cause.index(), || [("cause", cause.as_str())]).add(spans as u64);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("spans_exported", "Spans that the collector took", self.exported.clone());
        registry.register("spans_dropped", "Spans that the collector did not get", self.dropped.clone());
    }
}
