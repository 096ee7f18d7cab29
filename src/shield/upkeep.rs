//! The upkeep of the [`Table`]: which account a key stands for, other rules, merging, and what is idle.

use std::time::Duration;

use super::account::{Account, AccountKey, Accounts};
use super::limits::ShieldRules;
use super::queue::Queue;
use super::table::{MAX_ACCOUNTS, MAX_UNBOUND, Table};
use super::window::Minute;

/// How long an account that nobody asks for is remembered: longer than anything that it holds matters.
const IDLE: Duration = Duration::from_secs(600);
/// How often idle accounts are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// For how long after `single_workspace` has ended calls take from the account that was shared, too. Calls that waited for it
/// then are sent within 60 s, the largest `shield.max_wait`; what they spent leaves the minute's window 61 s later.
const PARTING: Duration = Duration::from_secs(60 + 61);

impl Table {
    /// From now on these rules. The windows hold what was sent and not what was left, so that neither a lower nor a higher
    /// limit is exceeded on account of the change.
    pub(super) fn set_rules(&mut self, rules: &ShieldRules, now: Duration) {
        self.limits = self.share_of(rules);
        self.max_queued = rules.max_queued;
        match (self.single_workspace, rules.single_workspace) {
            (false, true) => self.join_all(now),
            (true, false) => self.parting_until = now.saturating_add(PARTING),
            (false, false) | (true, true) => {}
        }
        self.single_workspace = rules.single_workspace;
        if rules.single_workspace {
            self.tell_spent(AccountKey::Everybody, |spent| spent.used(now));
        }
        let awaited = self.accounts.iter().filter(|(_, account)| !account.queue.is_empty());
        for key in awaited.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.changed(Accounts::one(key), now);
            self.turn_late_away(key, now);
        }
    }

    /// Puts what all accounts spent, and who waits for them, on the one of everybody.
    fn join_all(&mut self, now: Duration) {
        for (_, mut account) in std::mem::take(&mut self.accounts) {
            self.move_booking(&mut account);
            self.account(AccountKey::Everybody, now).merge(*account, now);
        }
        self.unbound = 0;
        for waiter in self.waiters.values_mut() {
            waiter.accounts = Accounts::one(AccountKey::Everybody);
        }
    }

    /// The accounts that keys stand for in this table, one of them if both are the same.
    pub(super) fn settle(&mut self, accounts: Accounts, now: Duration) -> Accounts {
        let first = self.key(accounts.first, now);
        if now < self.parting_until && first != AccountKey::Everybody {
            // Nobody knows whose calls the shared account holds. All of them may be of this one: both limits are kept.
            return Accounts { first: AccountKey::Everybody, second: Some(first) };
        }
        let second = accounts.second.map(|key| self.key(key, now)).filter(|key| *key != first);
        Accounts { first, second }
    }

    pub(super) fn key(&mut self, key: AccountKey, now: Duration) -> AccountKey {
        if self.single_workspace {
            return AccountKey::Everybody;
        }
        let key = self.named(key);
        if self.accounts.contains_key(&key) || self.has_room(key) {
            return key;
        }
        self.sweep(now);
        // The table is full. The caller's calls count on everybody's account.
        if self.has_room(key) { key } else { AccountKey::Everybody }
    }

    /// What an account is called now: another name where it was merged.
    pub(super) fn named(&self, key: AccountKey) -> AccountKey {
        self.merged.get(&key).map_or(key, |(into, _)| *into)
    }

    fn has_room(&self, key: AccountKey) -> bool {
        self.accounts.len() < MAX_ACCOUNTS
            && (self.unbound < MAX_UNBOUND || !matches!(key, AccountKey::Authorization(_)))
    }

    /// An account; made if it is new. The key is one that was settled.
    pub(super) fn account(&mut self, key: AccountKey, now: Duration) -> &mut Account {
        let (unbound, has_store) = (&mut self.unbound, self.bookings.is_some());
        self.accounts.entry(key).or_insert_with(|| {
            *unbound += usize::from(matches!(key, AccountKey::Authorization(_)));
            let mut account = Box::new(Account::new(now));
            if has_store {
                account.booking.alone = Some(Minute::default());
            }
            account
        })
    }

    pub(super) fn remove(&mut self, key: AccountKey) -> Option<Box<Account>> {
        let account = self.accounts.remove(&key)?;
        self.unbound -= usize::from(matches!(key, AccountKey::Authorization(_)));
        Some(account)
    }

    /// Moves what one account spent, and who waits for it, to another.
    pub(super) fn merge(&mut self, from: AccountKey, to: AccountKey, now: Duration) {
        if from == to || self.single_workspace {
            return;
        }
        // Calls under the old name may still be under way, and what is said of them concerns the new one.
        if self.merged.len() < MAX_UNBOUND {
            self.merged.insert(from, (to, now));
        }
        let Some(mut left) = self.remove(from) else { return };
        self.move_booking(&mut left);
        let to = self.key(to, now);
        self.account(to, now).merge(*left, now);
        for waiter in self.waiters.values_mut() {
            waiter.accounts = waiter.accounts.renamed(from, to);
        }
        self.tell_spent(to, |spent| spent.used(now));
        self.changed(Accounts::one(to), now);
        self.turn_late_away(to, now);
    }

    /// An account goes on under another name: what was booked under the first is given up, and whether it was booked there or
    /// not, under the other one the store does not know of it.
    fn move_booking(&mut self, left: &mut Account) {
        if self.bookings.is_none() {
            return;
        }
        left.booking.unbooked = left.minute.clone();
        if let Some(granted) = left.booking.granted.filter(|granted| granted.is_probe) {
            self.lose_probe(granted.number, granted.paid());
        }
    }

    /// Forgets accounts that were idle for [`IDLE`].
    pub(super) fn tidy(&mut self, now: Duration) {
        if now.saturating_sub(self.swept_at) >= SWEEP_EVERY {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: Duration) {
        // A full table asks for this at every call of a new caller.
        if now.saturating_sub(self.swept_at) < SWEEP_EVERY / 10 {
            return;
        }
        self.swept_at = now;
        self.merged.retain(|_, (_, when)| now.saturating_sub(*when) < IDLE);
        self.accounts.retain(|_, account| {
            account.second.shrink(now);
            account.minute.shrink(now);
            account.queue.forget_if(Queue::is_empty);
            account.restraint.forget_if(|restraint| restraint.is_over(now));
            let idle = now.saturating_sub(account.used_at) >= IDLE && account.minute.used(now) == 0;
            !idle || !account.queue.is_empty() || account.opens_at() > now
        });
        let unbound = self.accounts.keys().filter(|key| matches!(key, AccountKey::Authorization(_)));
        self.unbound = unbound.count();
        self.tidy_shares(now);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use http::{HeaderMap, HeaderValue};
    use uuid::Uuid;

    use super::*;
    use crate::caller::credential::Digester;
    use crate::config::Burst;
    use crate::organization::OrganizationName;
    use crate::shield::beside::Part;

    fn table() -> Table {
        let positive = |number| NonZeroU32::new(number).unwrap();
        Table::new(&ShieldRules {
            requests_per_second: positive(90),
            requests_per_minute: positive(5400),
            replicas: NonZeroU32::MIN,
            single_workspace: false,
            max_queued: 1000,
            burst: Burst::Whole,
        })
    }

    fn organization(number: usize) -> AccountKey {
        AccountKey::Organization(OrganizationName(Uuid::from_u128(number as u128)))
    }

    #[test]
    fn organizations_beyond_the_bound_of_all_accounts_count_on_everybodys() {
        let mut table = table();
        let now = Duration::from_secs(1);
        for number in 0..MAX_ACCOUNTS {
            let key = table.key(organization(number), now);
            assert!(key == organization(number));
            table.account(key, now);
        }
        assert!(table.key(organization(MAX_ACCOUNTS), now) == AccountKey::Everybody);
        assert!(table.key(organization(0), now) == organization(0), "who has one keeps it");
        assert_eq!(table.accounts.len(), MAX_ACCOUNTS);
        // Those that are idle make room.
        let later = now + IDLE;
        assert!(table.key(organization(MAX_ACCOUNTS), later) == organization(MAX_ACCOUNTS));
        assert_eq!(table.accounts.len(), 0);
    }

    #[test]
    fn what_restrains_an_account_is_forgotten_when_it_restrains_nothing_and_not_before() {
        let mut table = table();
        let at = Duration::from_secs;
        table.account(organization(1), at(1)).contend(at(1));
        table.account(organization(2), at(1)).close_until(at(2));
        let lowered = &mut table.account(organization(3), at(1)).restraint.beside;
        lowered.learn(Part::thousandths(900), at(1));
        let restrained = |table: &Table| {
            [1, 2, 3].map(|number| table.accounts[&organization(number)].restraint.changed().is_some())
        };
        table.sweep(at(2));
        assert_eq!(restrained(&table), [true; 3]);
        table.sweep(at(4));
        assert_eq!(restrained(&table), [false, true, true], "a hold waits for its probe");
    }

    #[test]
    fn where_accounts_went_is_remembered_of_so_many_and_for_so_long() {
        let mut table = table();
        let digester = Digester::default();
        let now = Duration::from_secs(1);
        for number in 0..MAX_UNBOUND + 10 {
            let value = HeaderValue::try_from(format!("Bearer {number}")).unwrap();
            let fields = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
            let unbound = AccountKey::Authorization(digester.authorization(&fields).unwrap());
            table.account(unbound, now);
            table.merge(unbound, organization(1), now);
        }
        assert_eq!((table.merged.len(), table.unbound, table.accounts.len()), (MAX_UNBOUND, 0, 1));
        table.tidy(now + IDLE);
        assert_eq!(table.merged.len(), 0);
    }
}
