//! The upkeep of the [`Table`]: which account a key stands for, doors, merging, what is idle, and what to show of it.

use std::cmp::Reverse;
use std::time::Duration;

use super::account::{Account, AccountKey, Door, Limits, ProbeId, ShieldRules};
use super::budget::{Accounts, Snapshot, Usage, UsedRatio};
use super::queue::Line;
use super::table::{MAX_ACCOUNTS, MAX_UNBOUND, Table};

/// How long an account that nobody asks for is remembered: longer than anything that it holds matters.
const IDLE: Duration = Duration::from_secs(600);
/// How often idle accounts are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How long calls take from everybody's account, too, once callers no longer share it: until whoever waited for it then
/// has been sent, a minute at most, and what was sent has left the minute's window.
const PARTING: Duration = Duration::from_secs(60 + 61);

impl Table {
    /// From now on these rules. The windows hold what was sent and not what was left, so that neither a lower nor a higher
    /// limit is exceeded on account of the change.
    pub(super) fn set_rules(&mut self, rules: &ShieldRules, now: Duration) {
        self.limits = Limits::new(rules);
        self.max_queued = rules.max_queued;
        match (self.single_workspace, rules.single_workspace) {
            (false, true) => self.join_all(now),
            (true, false) => self.parting_until = now.saturating_add(PARTING),
            (false, false) | (true, true) => {}
        }
        self.single_workspace = rules.single_workspace;
        let awaited = self.accounts.iter().filter(|(_, account)| !account.queue.is_empty());
        for key in awaited.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.changed(Accounts::one(key), now);
        }
    }

    /// Puts what all accounts spent, and who waits for them, on the one of everybody.
    fn join_all(&mut self, now: Duration) {
        for (_, account) in std::mem::take(&mut self.accounts) {
            self.account(AccountKey::Everybody, now).merge(account, now);
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
            // What was spent together may have been anyone's, and this one's above all.
            return Accounts { first: AccountKey::Everybody, second: Some(first) };
        }
        let second = accounts.second.map(|key| self.key(key, now)).filter(|key| *key != first);
        Accounts { first, second }
    }

    fn key(&mut self, key: AccountKey, now: Duration) -> AccountKey {
        if self.single_workspace {
            return AccountKey::Everybody;
        }
        let key = self.named(key);
        if self.accounts.contains_key(&key) || self.has_room(key) {
            return key;
        }
        self.sweep(now);
        // Without a place of its own a caller shares one: its calls stay counted, and the table does not grow.
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
        let unbound = &mut self.unbound;
        self.accounts.entry(key).or_insert_with(|| {
            *unbound += usize::from(matches!(key, AccountKey::Authorization(_)));
            Account::new(now)
        })
    }

    pub(super) fn remove(&mut self, key: AccountKey) -> Option<Account> {
        let account = self.accounts.remove(&key)?;
        self.unbound -= usize::from(matches!(key, AccountKey::Authorization(_)));
        Some(account)
    }

    pub(super) fn close_until(&mut self, key: AccountKey, until: Duration, now: Duration) {
        let key = self.key(key, now);
        let account = self.account(key, now);
        account.close_until(until);
        let until = account.opens_at();
        self.refuse_before(key, until, now);
    }

    /// The upstream let a probe in: the accounts that it was sent for are open.
    pub(super) fn probe_passed(&mut self, probe: ProbeId, accounts: Accounts, now: Duration) {
        self.end_probe(probe, accounts, Door::Open, now);
    }

    /// Nobody knows what became of a probe: the next call is one.
    pub(super) fn probe_lost(&mut self, probe: ProbeId, accounts: Accounts, now: Duration) {
        self.end_probe(probe, accounts, Door::Closed { until: now }, now);
    }

    fn end_probe(&mut self, ended: ProbeId, accounts: Accounts, door: Door, now: Duration) {
        for key in accounts.keys() {
            match self.accounts.get_mut(&key) {
                Some(account) if matches!(account.door, Door::Probing { probe, .. } if probe == ended) => {
                    account.door = door;
                }
                _ => {}
            }
        }
        self.changed(accounts, now);
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
        let Some(left) = self.remove(from) else { return };
        let to = self.key(to, now);
        self.account(to, now).merge(left, now);
        for waiter in self.waiters.values_mut() {
            waiter.accounts = waiter.accounts.renamed(from, to);
        }
        self.changed(Accounts::one(to), now);
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
            account.proofs.shrink(now);
            let idle = now.saturating_sub(account.used_at) >= IDLE && account.minute.used(now) == 0;
            !idle || !account.queue.is_empty() || account.opens_at() > now
        });
        let unbound = self.accounts.keys().filter(|key| matches!(key, AccountKey::Authorization(_)));
        self.unbound = unbound.count();
    }

    pub(super) fn snapshot(&self, top: usize, now: Duration) -> Snapshot {
        let usage = |(key, account)| usage(key, account, now);
        let mut usages: Vec<Usage> = self.accounts.iter().map(usage).collect();
        usages.sort_unstable_by_key(|usage| Reverse((usage.minute, usage.queued)));
        let others = usages.split_off(top.min(usages.len()));
        Snapshot {
            limits: self.limits,
            busiest: usages,
            others: others.len(),
            others_minute: others.iter().map(|usage| u64::from(usage.minute)).sum(),
            others_calls: others.iter().map(|usage| usage.calls).sum(),
            others_queued: others.iter().map(|usage| usage.queued).sum(),
        }
    }

    pub(super) fn usage_of(&self, key: AccountKey, now: Duration) -> Usage {
        let none = || Usage { account: key, second: 0, minute: 0, calls: 0, queued: 0, closed_for: None };
        self.accounts.get(&key).map_or_else(none, |account| usage(&key, account, now))
    }

    pub(super) fn used_ratio(&self, now: Duration) -> UsedRatio {
        let fullest = |used: fn(&Account, Duration) -> u32, limit: u32| {
            let used = self.accounts.values().map(|account| used(account, now)).max().unwrap_or(0);
            f64::from(used) / f64::from(limit)
        };
        UsedRatio {
            second: fullest(|account, now| account.second.used(now), self.limits.per_second),
            minute: fullest(|account, now| account.minute.used(now), self.limits.per_minute),
        }
    }
}

fn usage(key: &AccountKey, account: &Account, now: Duration) -> Usage {
    let closed_for = account.opens_at().saturating_sub(now);
    Usage {
        account: *key,
        second: account.second.used(now),
        minute: account.minute.used(now),
        calls: account.calls,
        queued: account.queue.len(Line::Proofs) + account.queue.len(Line::Calls),
        closed_for: (!closed_for.is_zero()).then_some(closed_for),
    }
}
