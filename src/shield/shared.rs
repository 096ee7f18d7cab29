//! [`Shared`]: what all handles of a budget have in common, the table behind its lock and the clock.

use std::time::Duration;

use super::limits::ShieldRules;
use super::table::Table;
use crate::clock::{Clock, Sleep};
use crate::lock::{Mutex, MutexGuard};

/// The one table of a process, and the clock that it is told the time by. The lock is short, and never held across an await.
#[derive(Debug)]
pub(super) struct Shared {
    clock: Clock,
    table: Mutex<Table>,
}

impl Shared {
    /// An empty table.
    pub(super) fn new(rules: &ShieldRules, clock: Clock) -> Self {
        Self { clock, table: Mutex::new(Table::new(rules)) }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
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
