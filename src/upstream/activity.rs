//! [`Activity`]: when bytes last moved in a pass-through call, and when it has to be given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// Not yet: the request body is still being sent.
const STILL_SENDING: u64 = u64::MAX;

/// Shared by both bodies of a call and by those who watch over it. Times are milliseconds of the clock's uptime.
#[derive(Clone, Debug)]
pub struct Activity {
    shared: Arc<Shared>,
    clock: Clock,
}

#[derive(Debug)]
struct Shared {
    last_byte: AtomicU64,
    request_sent: AtomicU64,
    request_broken: AtomicBool,
}

impl Activity {
    /// A call that begins now.
    #[must_use]
    pub fn begin(clock: Clock) -> Self {
        let now = millis(clock.now().uptime());
        let shared = Shared {
            last_byte: AtomicU64::new(now),
            request_sent: AtomicU64::new(STILL_SENDING),
            request_broken: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), clock }
    }

    /// A byte moved, either way.
    pub fn note_byte(&self) {
        self.shared.last_byte.store(self.now(), Ordering::Relaxed);
    }

    /// The request has been sent whole.
    pub fn note_request_sent(&self) {
        self.shared.request_sent.fetch_min(self.now(), Ordering::Relaxed);
    }

    /// The request cannot be sent whole: its client left, or sent what is no body.
    pub fn note_request_broken(&self) {
        self.shared.request_broken.store(true, Ordering::Relaxed);
    }

    /// Whether it was so: what became of the call then is not the upstream's fault.
    #[must_use]
    pub fn is_request_broken(&self) -> bool {
        self.shared.request_broken.load(Ordering::Relaxed)
    }

    /// Ends when the call's head is overdue: `first_byte` after the end of the request body, or `idle` after the last
    /// byte of a body that stopped moving.
    pub async fn head_overdue(&self, first_byte: Duration, idle: Duration) {
        loop {
            let deadline = match self.shared.request_sent.load(Ordering::Relaxed) {
                STILL_SENDING => self.shared.last_byte.load(Ordering::Relaxed).saturating_add(millis(idle)),
                sent => sent.saturating_add(millis(first_byte)),
            };
            if self.now() >= deadline {
                return;
            }
            self.clock.sleep_until_uptime(Duration::from_millis(deadline)).await;
        }
    }

    /// Ends when no byte has moved for `idle`.
    pub async fn idle(&self, idle: Duration) {
        loop {
            let deadline = self.shared.last_byte.load(Ordering::Relaxed).saturating_add(millis(idle));
            if self.now() >= deadline {
                return;
            }
            self.clock.sleep_until_uptime(Duration::from_millis(deadline)).await;
        }
    }

    fn now(&self) -> u64 {
        millis(self.clock.now().uptime())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(STILL_SENDING - 1)
}
