//! Figures of the process itself, read from `/proc` at the moment of a scrape, under the names that every Prometheus
//! client library gives them. What cannot be read is left out by itself, and the log says so once.

use std::fmt;

use procfs::ProcResult;
use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::lock::Mutex;

/// Reads the figures whenever it is asked.
#[derive(Debug, Default)]
pub(super) struct ProcessCollector {
    told: Mutex<Vec<&'static str>>,
}

/// What could be read at one moment, each figure by itself: `/proc` may show one and not another. Where only processes are
/// mounted (`subset=pid`, which systemd calls `ProcSubset=pid`), there is nothing of the system.
#[derive(Default)]
struct Reading {
    cpu_seconds: Option<f64>,
    start_unix_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    threads: Option<i64>,
    open_fds: Option<u64>,
    /// Left out where there is no limit, which is no want.
    max_fds: Option<u64>,
}

impl ProcessCollector {
    #[expect(clippy::cast_precision_loss, reason = "a float is what the format asks for")]
    fn take(&self) -> Reading {
        let mut reading = Reading::default();
        let Some(process) = self.read("/proc/self", Process::myself()) else { return reading };
        if let Some(stat) = self.read("/proc/self/stat", process.stat()) {
            let ticks_per_second = procfs::ticks_per_second() as f64;
            reading.cpu_seconds = Some(stat.utime.saturating_add(stat.stime) as f64 / ticks_per_second);
            reading.resident_bytes = Some(stat.rss.saturating_mul(procfs::page_size()));
            reading.virtual_bytes = Some(stat.vsize);
            reading.threads = Some(stat.num_threads);
            let boot = self.read("/proc/stat", procfs::boot_time_secs());
            reading.start_unix_seconds =
                boot.map(|boot| boot as f64 + stat.starttime as f64 / ticks_per_second);
        }
        reading.open_fds = self.read("/proc/self/fd", process.fd_count()).map(|count| count as u64);
        if let Some(limits) = self.read("/proc/self/limits", process.limits())
            && let LimitValue::Value(limit) = limits.max_open_files.soft_limit
        {
            reading.max_fds = Some(limit);
        }
        reading
    }

    /// What was read; what cannot be is said once.
    fn read<T>(&self, file: &'static str, read: ProcResult<T>) -> Option<T> {
        let error = match read {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        let mut told = self.told.lock();
        if !told.contains(&file) {
            told.push(file);
            tracing::warn!(file, %error, "figures of the process are left out");
        }
        None
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let reading = self.take();
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        let mut figure = |name, help, unit: Option<&Unit>, value: Option<&dyn EncodeMetric>| match value {
            Some(value) => value.encode(encoder.encode_descriptor(name, help, unit, value.metric_type())?),
            None => Ok(()),
        };
        let cpu = reading.cpu_seconds.map(ConstCounter::new);
        figure("process_cpu", "Processor time used", seconds, shown(&cpu))?;
        let start = reading.start_unix_seconds.map(ConstGauge::new);
        figure("process_start_time", "Start since 1970", seconds, shown(&start))?;
        let resident = reading.resident_bytes.map(ConstGauge::new);
        figure("process_resident_memory", "Memory in RAM", bytes, shown(&resident))?;
        let address_space = reading.virtual_bytes.map(ConstGauge::new);
        figure("process_virtual_memory", "Address space", bytes, shown(&address_space))?;
        let threads = reading.threads.map(ConstGauge::new);
        figure("process_threads", "Threads", None, shown(&threads))?;
        let open = reading.open_fds.map(ConstGauge::new);
        figure("process_open_fds", "Open file descriptors", None, shown(&open))?;
        let limit = reading.max_fds.map(ConstGauge::new);
        figure("process_max_fds", "Limit of open file descriptors", None, shown(&limit))
    }
}

fn shown<T: EncodeMetric>(value: &Option<T>) -> Option<&dyn EncodeMetric> {
    value.as_ref().map(|value| value as _)
}
