//! [`ConnectTime`]: how long connecting takes here, so that calls begin to connect in time for their turn and not earlier.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Before anything was measured.
const UNKNOWN: Duration = Duration::from_millis(200);
/// Bounds of what is told: a turn that is nearer than a timer can tell is here, and one that is farther is waited for.
const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_secs(1);

/// A moving average of connection times, of which the latest is an eighth.
#[derive(Debug, Default)]
pub(super) struct ConnectTime(AtomicU64);

impl ConnectTime {
    /// A connection took so long.
    pub(super) fn note(&self, took: Duration) {
        let micros = u64::try_from(took.min(MOST).as_micros()).unwrap_or(u64::MAX).max(1);
        // Two that are noted at once may lose one of them: an average stays one.
        let before = self.0.load(Ordering::Relaxed);
        let after = if before == 0 { micros } else { before - before / 8 + micros / 8 };
        self.0.store(after.max(1), Ordering::Relaxed);
    }

    /// How long before its turn a call should begin to connect: twice what it took of late.
    pub(super) fn ahead(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => UNKNOWN,
            micros => Duration::from_micros(micros.saturating_mul(2)).clamp(LEAST, MOST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_begins_to_connect_twice_the_usual_time_before_its_turn() {
        let time = ConnectTime::default();
        assert_eq!(time.ahead(), UNKNOWN);
        time.note(Duration::from_millis(150));
        assert_eq!(time.ahead(), Duration::from_millis(300));
        for _ in 0..100 {
            time.note(Duration::from_micros(300));
        }
        assert_eq!(time.ahead(), LEAST);
        for _ in 0..100 {
            time.note(Duration::from_secs(30));
        }
        assert!(time.ahead() <= MOST, "{:?}", time.ahead());
    }
}
