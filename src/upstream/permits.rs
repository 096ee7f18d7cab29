//! [`Permits`]: how many pass-through calls may be under way at once, in all and for one account.
//!
//! Each such call has an upstream connection to itself. One organization gets a quarter of them at most, so that its
//! slow calls cannot shut the others out. The wait is bounded; who waits in vain is told when to come back.

use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::error::{ErrorKind, ProxyError};
use crate::lock::Mutex;
use crate::shield::account::AccountKey;

/// What a call that waited in vain is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Accounts above which those without a call under way are dropped.
const SWEEP_ABOVE: usize = 1024;

/// Every permit of the process.
#[derive(Debug)]
pub struct Permits {
    all: Arc<Semaphore>,
    accounts: Mutex<HashMap<AccountKey, Arc<Semaphore>>>,
    per_account: usize,
    clock: Clock,
}

/// A call under way; its place is free when this is dropped.
#[derive(Debug)]
pub struct Permit {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Permits {
    /// `max` calls at once, a quarter of them for one account.
    #[must_use]
    pub fn new(max: usize, clock: Clock) -> Self {
        Self {
            all: Arc::new(Semaphore::new(max)),
            accounts: Mutex::default(),
            per_account: (max / 4).max(1),
            clock,
        }
    }

    /// A place for one call of `account`, if one is free.
    #[must_use]
    pub fn try_take(&self, account: AccountKey) -> Option<Permit> {
        let own = self.of(account).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Permit { _all: all, _own: own })
    }

    /// A place for one call of `account`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoConnection`] if none came free in `max_wait`.
    pub async fn take(&self, account: AccountKey, max_wait: Duration) -> Result<Permit, ProxyError> {
        let own = self.of(account);
        let both = async {
            // Own first: a caller with many slow calls waits in its own queue, not in everybody's.
            let own = own.acquire_owned().await?;
            let all = Arc::clone(&self.all).acquire_owned().await?;
            Ok(Permit { _all: all, _own: own })
        };
        match self.clock.deadline(self.clock.now().plus(max_wait), both).await {
            Ok(permit) => {
                permit.map_err(|cause: tokio::sync::AcquireError| ErrorKind::Internal.error().because(cause))
            }
            Err(_) => Err(ErrorKind::NoConnection.error().retry_after(RETRY_AFTER)),
        }
    }

    fn of(&self, account: AccountKey) -> Arc<Semaphore> {
        let mut accounts = self.accounts.lock();
        if let Some(own) = accounts.get(&account) {
            return Arc::clone(own);
        }
        if accounts.len() >= SWEEP_ABOVE {
            // Those that the table alone still has: their next call finds a new one, as empty.
            accounts.retain(|_, own| Arc::strong_count(own) > 1);
        }
        let own = Arc::new(Semaphore::new(self.per_account));
        accounts.insert(account, Arc::clone(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::organization::OrganizationName;

    const MAX_WAIT: Duration = Duration::from_secs(2);

    fn organization(number: u128) -> AccountKey {
        AccountKey::Organization(OrganizationName(uuid::Uuid::from_u128(number)))
    }

    #[tokio::test]
    async fn one_account_gets_a_quarter_and_leaves_the_rest_to_others() {
        let (clock, hand) = Clock::manual();
        let permits = Permits::new(8, clock);
        let _held = [
            permits.take(organization(1), MAX_WAIT).await.unwrap(),
            permits.take(organization(1), MAX_WAIT).await.unwrap(),
        ];
        let third = permits.take(organization(1), MAX_WAIT);
        let other = permits.take(organization(2), MAX_WAIT).await;
        assert!(other.is_ok());
        let (third, ()) = tokio::join!(third, async { hand.advance(MAX_WAIT) });
        assert_eq!(third.unwrap_err().kind(), ErrorKind::NoConnection);
    }

    #[tokio::test]
    async fn a_place_that_comes_free_goes_to_who_waits() {
        let (clock, _) = Clock::manual();
        let permits = Permits::new(4, clock);
        let held = permits.take(organization(1), MAX_WAIT).await.unwrap();
        let (next, ()) = tokio::join!(permits.take(organization(1), MAX_WAIT), async { drop(held) });
        assert!(next.is_ok());
    }

    #[tokio::test]
    async fn accounts_without_a_call_under_way_leave_the_table() {
        let (clock, _) = Clock::manual();
        let permits = Permits::new(4, clock);
        let held = permits.try_take(organization(0)).unwrap();
        for number in 1..=10 * SWEEP_ABOVE as u128 {
            drop(permits.try_take(organization(number)));
        }
        assert!(permits.accounts.lock().len() <= SWEEP_ABOVE, "{}", permits.accounts.lock().len());
        assert!(permits.accounts.lock().contains_key(&organization(0)));
        drop(held);
    }
}
