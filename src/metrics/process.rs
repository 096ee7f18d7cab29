//! Figures of the process itself, read from `/proc` at the moment of a scrape, under the names that every Prometheus
//! client library gives them.

use std::fmt;

use procfs::ProcResult;
use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads the figures whenever it is asked.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    boot_unix_seconds: u64,
}

impl ProcessCollector {
    /// # Errors
    ///
    /// If `/proc` is not there or cannot be read.
    pub(super) fn new() -> ProcResult<Self> {
        Ok(Self { boot_unix_seconds: procfs::boot_time_secs()? })
    }
}

struct Reading {
    cpu_seconds: f64,
    start_unix_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: i64,
    open_fds: u64,
    max_fds: Option<u64>,
}

impl Reading {
    #[expect(clippy::cast_precision_loss, reason = "a float is what the format asks for")]
    fn take(boot_unix_seconds: u64) -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks_per_second = procfs::ticks_per_second() as f64;
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        };
        Ok(Self {
            cpu_seconds: stat.utime.saturating_add(stat.stime) as f64 / ticks_per_second,
            start_unix_seconds: boot_unix_seconds as f64 + stat.starttime as f64 / ticks_per_second,
            resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
            virtual_bytes: stat.vsize,
            threads: stat.num_threads,
            open_fds: process.fd_count()? as u64,
            max_fds,
        })
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Without `/proc` at this moment the figures are left out; a scrape of everything else is worth more.
        let Ok(reading) = Reading::take(self.boot_unix_seconds) else { return Ok(()) };
        let mut figure = |name, help, unit: Option<&Unit>, value: &dyn EncodeMetric| {
            value.encode(encoder.encode_descriptor(name, help, unit, value.metric_type())?)
        };
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        figure("process_cpu", "Processor time used", seconds, &ConstCounter::new(reading.cpu_seconds))?;
        figure(
            "process_start_time",
            "Start since 1970",
            seconds,
            &ConstGauge::new(reading.start_unix_seconds),
        )?;
        figure("process_resident_memory", "Memory in RAM", bytes, &ConstGauge::new(reading.resident_bytes))?;
        figure("process_virtual_memory", "Address space", bytes, &ConstGauge::new(reading.virtual_bytes))?;
        figure("process_threads", "Threads", None, &ConstGauge::new(reading.threads))?;
        figure("process_open_fds", "Open file descriptors", None, &ConstGauge::new(reading.open_fds))?;
        if let Some(limit) = reading.max_fds {
            figure("process_max_fds", "Limit of open file descriptors", None, &ConstGauge::new(limit))?;
        }
        Ok(())
    }
}
