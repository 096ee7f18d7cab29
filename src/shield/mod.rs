//! The shield: what keeps the upstream inside its limits and the callers out of each other's way.
//!
//! Each part is a state machine that is told the time. [`Shield`] holds those that are asked before a call and told of
//! its answer; the breaker stands at the way out, in [`Upstream`](crate::upstream::client::Upstream). The order in which
//! they are asked is `proxy`'s.

pub mod account;
mod agenda;
mod answers;
mod at_once;
pub mod backoff;
pub mod beside;
mod booked;
pub mod booking;
mod bookings;
pub mod breaker;
pub mod budget;
mod call;
pub mod edge;
mod forecast;
mod held_share;
mod holds;
pub mod limits;
mod orders;
pub mod payers;
mod place;
pub mod probe;
mod queue;
mod rare;
pub mod refetch;
pub mod refusals;
pub mod retry;
pub mod retry_after;
pub mod share;
mod shared;
mod shares;
mod slot;
mod spare;
mod table;
mod turns;
pub mod unverified;
mod upkeep;
pub mod usage;
mod waiter;
mod waiters;
pub mod who;
mod window;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::mpsc::UnboundedReceiver;

use self::account::{AccountKey, Accounts};
use self::backoff::HoldBackoff;
use self::booking::Order;
use self::budget::Budget;
use self::edge::EdgeBlocks;
use self::limits::{Limits, ShieldRules};
use self::refetch::Refetches;
use self::refusals::RememberedRefusals;
use self::retry::RetryBudget;
use self::unverified::UnverifiedCallers;
use crate::bounded::{bounded, sweep};
use crate::clock::{Clock, Moment};
use crate::config::{self, Mode};
use crate::lock::Mutex;
use crate::reason::RejectionReason;

/// Accounts whose 429s are told apart.
const BACKOFFS: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

impl From<budget::Reason> for RejectionReason {
    fn from(reason: budget::Reason) -> Self {
        match reason {
            budget::Reason::Budget => Self::Budget,
            budget::Reason::QueueFull => Self::QueueFull,
            budget::Reason::Hold => Self::Hold,
            budget::Reason::NoSpare => Self::NoSpare,
            budget::Reason::CallerCap => Self::CallerCap,
        }
    }
}

impl From<unverified::Reason> for RejectionReason {
    fn from(reason: unverified::Reason) -> Self {
        match reason {
            unverified::Reason::Slots => Self::UnverifiedSlots,
            unverified::Reason::Refusals => Self::UnverifiedRefusals,
        }
    }
}

/// Everything that is asked before a call.
#[derive(Debug)]
pub struct Shield {
    /// What each organization may send.
    pub budget: Budget,
    /// Callers that nobody has vouched for.
    pub unverified: UnverifiedCallers,
    /// 401s that are remembered.
    pub refusals: RememberedRefusals,
    /// Which failed reads are tried again.
    pub retries: RetryBudget,
    /// Whether the edge turns fetches away.
    pub edge: EdgeBlocks,
    /// Fetches of what is stored and fresh.
    pub refetches: Refetches,
    backoffs: Mutex<LruCache<AccountKey, HoldBackoff>>,
    unbound: AtomicU64,
    single_workspace: AtomicBool,
}

impl Shield {
    /// An unspent shield.
    #[must_use]
    pub fn new(settings: &config::Shield, clock: Clock) -> Self {
        let rules = rules(settings);
        Self {
            refetches: Refetches::new(&Limits::new(&rules)),
            budget: {
                let budget = Budget::new(&rules, clock.clone());
                budget.set_mode(settings.mode);
                budget
            },
            unverified: UnverifiedCallers::new(clock),
            refusals: RememberedRefusals::default(),
            retries: RetryBudget::default(),
            edge: EdgeBlocks::default(),
            backoffs: Mutex::new(bounded(BACKOFFS)),
            unbound: AtomicU64::new(0),
            single_workspace: AtomicBool::new(settings.single_workspace),
        }
    }

    /// From now on accounts take their calls from a store that all replicas share: [`Budget::connect_store`].
    pub fn connect_store(&self, settings: &config::Shield, timeout: Duration) -> UnboundedReceiver<Order> {
        self.budget.connect_store(timeout, &rules(settings))
    }

    /// From now on these settings. What was spent stays spent under them, and who waits goes on waiting.
    pub fn set_rules(&self, settings: &config::Shield) {
        let rules = rules(settings);
        self.refetches.set_limits(&Limits::new(&rules));
        self.single_workspace.store(settings.single_workspace, Ordering::Relaxed);
        self.budget.set_rules(&rules);
        self.budget.set_mode(settings.mode);
    }

    /// Whether what it would refuse is refused, or counted alone. Then the budget, the door of unverified callers and
    /// remembered 401s hold nobody up: the API answers by itself.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.budget.mode()
    }

    /// The account that stands for `key`: one for all where there is one workspace.
    #[must_use]
    pub fn account(&self, key: AccountKey) -> AccountKey {
        if self.is_single_workspace() { AccountKey::Everybody } else { key }
    }

    /// Whether all callers are on one account.
    #[must_use]
    pub fn is_single_workspace(&self) -> bool {
        self.single_workspace.load(Ordering::Relaxed)
    }

    /// Counts a call of a caller whose organization is not known: the organization's other calls are on another account.
    pub fn note_unbound(&self) {
        self.unbound.fetch_add(1, Ordering::Relaxed);
    }

    /// How many such calls there were.
    #[must_use]
    pub fn unbound(&self) -> u64 {
        self.unbound.load(Ordering::Relaxed)
    }

    /// Notes an upstream 429 to a call that left at `sent`: closes the accounts that paid for it.
    pub fn limited(&self, accounts: Accounts, sent: Moment, retry_after: Option<Duration>, now: Moment) {
        for key in accounts.keys() {
            let mut backoffs = self.backoffs.lock();
            let wait =
                backoffs.get_or_insert_mut(key, HoldBackoff::default).on_limited(sent, retry_after, now);
            drop(backoffs);
            if !wait.is_zero() {
                self.budget.close_until(key, now.plus(wait));
            }
        }
    }

    /// Forgets what no longer matters at `now`.
    pub fn tidy(&self, now: Moment) {
        self.budget.tidy(now);
        self.refusals.tidy(now);
        self.unverified.tidy(now);
        self.refetches.tidy(now);
        let mut backoffs = self.backoffs.lock();
        sweep(&mut backoffs, |backoff| backoff.is_over(now));
    }

    /// Notes any other answer.
    pub fn not_limited(&self, accounts: Accounts, sent: Moment) {
        let mut backoffs = self.backoffs.lock();
        for key in accounts.keys() {
            if let Some(backoff) = backoffs.peek_mut(&key) {
                backoff.on_success(sent);
            }
        }
    }
}

fn rules(settings: &config::Shield) -> ShieldRules {
    ShieldRules {
        requests_per_second: settings.requests_per_second,
        requests_per_minute: settings.requests_per_minute,
        replicas: settings.replicas,
        single_workspace: settings.single_workspace,
        max_queued: settings.max_queued,
        burst: settings.burst,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::organization::OrganizationName;

    #[test]
    fn the_429s_of_so_many_accounts_are_told_apart_until_their_gates_have_long_been_open() {
        let (clock, hand) = Clock::manual();
        let shield = Shield::new(&config::Config::default().shield, clock.clone());
        let held = || shield.backoffs.lock().len();
        for number in 0..BACKOFFS.get() as u128 + 10 {
            let name = OrganizationName(uuid::Uuid::from_u128(number));
            let account = Accounts::one(AccountKey::Organization(name));
            shield.limited(account, clock.now(), Some(Duration::from_secs(120)), clock.now());
        }
        assert_eq!(held(), BACKOFFS.get());
        hand.advance(Duration::from_secs(239));
        shield.tidy(clock.now());
        assert_eq!(held(), BACKOFFS.get());
        hand.advance(Duration::from_secs(1));
        shield.tidy(clock.now());
        assert_eq!(held(), 0);
    }
}
