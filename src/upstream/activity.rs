//! [`Activity`]: when bytes last moved in a pass-through call, and when it has to be given up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

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
    /// Tells of it: from then on the head may be due earlier than the sleeper thinks.
    sent: Notify,
    request_broken: OnceLock<Broken>,
}

/// Why a request cannot be sent whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Its client left, or sent what is no body.
    Cut,
    /// Its client sends too slowly.
    TooSlow,
}

impl Activity {
    /// A call that begins now.
    #[must_use]
    pub fn begin(clock: Clock) -> Self {
        let now = millis(clock.now().uptime());
        let shared = Shared {
            last_byte: AtomicU64::new(now),
            request_sent: AtomicU64::new(STILL_SENDING),
            sent: Notify::new(),
            request_broken: OnceLock::new(),
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
        self.shared.sent.notify_one();
    }

    /// The request cannot be sent whole.
    pub fn note_request_broken(&self, how: Broken) {
        let _ = self.shared.request_broken.set(how);
    }

    /// Whether and why it was so: what became of the call then is not the upstream's fault.
    #[must_use]
    pub fn request_broken(&self) -> Option<Broken> {
        self.shared.request_broken.get().copied()
    }

    /// Ends when the call's head is overdue: `first_byte` after the end of the request body, or `idle` after the last
    /// byte of a body that stopped moving.
    pub async fn head_overdue(&self, first_byte: Duration, idle: Duration) {
        loop {
            let deadline = match self.shared.request_sent.load(Ordering::Relaxed) {
                STILL_SENDING => self.shared.last_byte.load(Ordering::Relaxed).saturating_add(millis(idle)),
                // It is sent once: from here on nothing brings the deadline forward.
                sent => {
                    let deadline = sent.saturating_add(millis(first_byte));
                    return self.clock.sleep_until_uptime(Duration::from_millis(deadline)).await;
                }
            };
            if self.now() >= deadline {
                return;
            }
            tokio::select! {
                biased;
                () = self.clock.sleep_until_uptime(Duration::from_millis(deadline)) => {}
                // What was noted since the deadline was made is kept for who begins to wait.
                () = self.shared.sent.notified() => {}
            }
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
