//! [`Shared`]: what all handles of a budget have in common, the table behind its lock and the clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::limits::ShieldRules;
use super::table::Table;
use crate::clock::{Clock, Sleep};
use crate::config::Mode;
use crate::lock::{Mutex, MutexGuard};

/// The one table of a process, and the clock that it is told the time by. The lock is short, and never held across an await.
#[derive(Debug)]
pub(super) struct Shared {
    clock: Clock,
    table: Mutex<Table>,
    /// Whether limits are counted alone. Beside the lock: each call asks, and some before they take it.
    observes: AtomicBool,
}

impl Shared {
    /// An empty table.
    pub(super) fn new(rules: &ShieldRules, clock: Clock) -> Self {
        Self { clock, table: Mutex::new(Table::new(rules)), observes: AtomicBool::new(false) }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn mode(&self) -> Mode {
        if self.observes.load(Ordering::Relaxed) { Mode::Observe } else { Mode::Enforce }
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        self.observes.store(mode == Mode::Observe, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.read().uptime()
    }

    pub(super) fn sleep_until(&self, uptime: Duration) -> Sleep {
        self.clock.sleep_until_uptime(uptime)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The task that hands turns out has nothing left to do.
        self.table.get_mut().agenda.wake().notify_one();
    }
}
