//! [`Counted`]: the library's queue of spans, with what became of each counted and its failures told.
//!
//! The library drops what finds its queue full and says so at its end alone; a failed export it tells to its own log, which
//! nobody reads. Here no more spans are let in than its queue holds, so that it never drops one itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use crate::clock::{Clock, Moment};
use crate::lock::Mutex;
use crate::metrics::{SpanLoss, SpanSeries};

/// Spans that wait, and those of the batch that is being sent.
const QUEUE: usize = 2048;
/// Failures are told of so often.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Why the latest batch was not taken: the library passes no reason on.
#[derive(Clone, Debug, Default)]
pub(super) struct Reason(Arc<Mutex<Option<String>>>);

impl Reason {
    pub(super) fn note(&self, reason: String) {
        *self.0.lock() = Some(reason);
    }

    fn take(&self) -> Option<String> {
        self.0.lock().take()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Counted {
    inner: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    spans: SpanSeries,
}

impl Counted {
    /// A queue before `exporter`, whose failures are told with their `reason`.
    pub(super) fn new<E: SpanExporter + 'static>(
        exporter: E,
        reason: Reason,
        spans: SpanSeries,
        clock: Clock,
    ) -> Self {
        let waiting = Arc::default();
        let told = Told { clock, reason, last: Mutex::default() };
        let exporter =
            Counting { inner: exporter, waiting: Arc::clone(&waiting), spans: spans.clone(), told };
        let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE).build();
        Self {
            inner: BatchSpanProcessor::builder(exporter).with_batch_config(config).build(),
            waiting,
            spans,
        }
    }
}

impl SpanProcessor for Counted {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        self.inner.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        // What is not sampled is not exported, and nothing is lost of it.
        if !span.span_context.is_sampled() {
            return;
        }
        let let_in = |waiting: usize| (waiting < QUEUE).then_some(waiting + 1);
        match self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, let_in) {
            Ok(_) => self.inner.on_end(span),
            Err(_) => self.spans.dropped(SpanLoss::QueueFull, 1),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[derive(Debug)]
struct Counting<E> {
    inner: E,
    waiting: Arc<AtomicUsize>,
    spans: SpanSeries,
    told: Told,
}

impl<E: SpanExporter> SpanExporter for Counting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.inner.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        match &exported {
            Ok(()) => self.spans.exported(spans),
            Err(_) => {
                self.spans.dropped(SpanLoss::ExportFailed, spans);
                self.told.failed(spans);
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// When failures were last told of.
#[derive(Debug)]
struct Told {
    clock: Clock,
    reason: Reason,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    at: Option<Moment>,
    /// What was lost since.
    untold: usize,
}

impl Told {
    fn failed(&self, spans: usize) {
        let now = self.clock.now();
        let mut last = self.last.lock();
        last.untold += spans;
        if last.at.is_some_and(|at| now.since(at) < TELL_EVERY) {
            return;
        }
        let spans = std::mem::take(&mut last.untold);
        last.at = Some(now);
        drop(last);
        let reason = self.reason.take().unwrap_or_default();
        tracing::warn!(spans, reason, "spans were not exported");
    }
}
