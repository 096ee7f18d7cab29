//! [`Probe`]: the one call that finds out whether a closed account may go on.

use std::sync::Arc;

use super::account::{Accounts, ProbeId};
use super::shared::Shared;

/// The one call that finds out whether a closed account may go on. Dropped without a word, the next call is the probe;
/// after another 429, [`Budget::close_until`](super::budget::Budget::close_until) first.
#[derive(Debug)]
pub struct Probe {
    shared: Arc<Shared>,
    id: ProbeId,
    accounts: Accounts,
}

impl Probe {
    pub(super) const fn new(shared: Arc<Shared>, id: ProbeId, accounts: Accounts) -> Self {
        Self { shared, id, accounts }
    }

    /// The upstream answered, and not with 429: everybody may go on.
    pub fn passed(self) {
        let now = self.shared.now();
        self.shared.lock().probe_passed(self.id, self.accounts, now);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let now = self.shared.now();
        self.shared.lock().probe_lost(self.id, self.accounts, now);
    }
}
