#![no_main]

use std::time::Duration;

use instantly_proxy::proving::targets::{self, Gauge};
use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

const GAUGE: Gauge = Gauge { held: || ALLOCATOR.current_usage(), spent };

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::whole_within(bytes, GAUGE));
