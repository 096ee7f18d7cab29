//! [`Overview`]: what the shield shows of all accounts, for the status page.

use super::Proxy;
use crate::fleet::overview::FleetOverview;
use crate::shield::account::AccountKey;
use crate::shield::usage::Snapshot;

/// Accounts that are shown one by one; the rest as one.
const TOP: usize = 50;

/// The shield at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Limits and accounts.
    pub accounts: Snapshot,
    /// Answers that needed no upstream call of their own, for each of the busiest accounts whose organization is known.
    pub avoided: Vec<Option<u64>>,
    /// Those of all other organizations.
    pub others_avoided: u64,
    /// Whether all callers are on one account.
    pub single_workspace: bool,
    /// Calls of callers whose organization was not known.
    pub unbound: u64,
    /// Calls of unverified callers in flight.
    pub strangers_in_flight: usize,
    /// Calls of unverified callers that wait for a slot.
    pub strangers_waiting: usize,
}

impl Proxy {
    /// The fleet as this replica sees it, where there is one.
    pub async fn fleet_overview(&self) -> Option<FleetOverview> {
        match &self.fleet {
            Some(fleet) => Some(fleet.overview(self.clock.now()).await),
            None => None,
        }
    }

    /// What the shield shows now.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let accounts = self.origin.shield().budget.snapshot(TOP, self.clock.now());
        let organizations = self.cache.fence().organizations();
        let total = organizations.avoided();
        let single_workspace = self.origin.shield().is_single_workspace();
        let avoided: Vec<_> = accounts
            .busiest
            .iter()
            .map(|usage| match usage.account {
                AccountKey::Organization(name) => organizations.avoided_of(name),
                AccountKey::Everybody => single_workspace.then_some(total),
                AccountKey::Authorization(_) => None,
            })
            .collect();
        let (strangers_in_flight, strangers_waiting) = self.origin.shield().unverified.load();
        Overview {
            others_avoided: total.saturating_sub(avoided.iter().flatten().sum()),
            avoided,
            accounts,
            single_workspace,
            unbound: self.origin.shield().unbound(),
            strangers_in_flight,
            strangers_waiting,
        }
    }
}
