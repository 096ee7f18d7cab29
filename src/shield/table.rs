//! The table of accounts and of who waits for them: a state machine fed with `now`, without timers and without tasks.
//!
//! Every slot is spent here and nowhere else: [`Table::dispatch`] hands what is free to those who wait, in their order,
//! before [`Table::enter`] gives anything to a call that has just come. A waiter that was handed a slot and left before
//! it took it gives the slot back. One waiter of each queue is its driver: its timer serves all of them, and whenever it
//! leaves, another is made driver and told so.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::account::{Account, AccountKey, Limits, ProbeId, ShieldRules};
use super::budget::{Accounts, Call, Class, Reason, Rejection};
use super::queue::{Line, WaiterId};
use super::window::CallerId;

/// Accounts of callers without a binding; such a caller can make as many values of `Authorization` as it likes.
pub(super) const MAX_UNBOUND: usize = 10_000;
/// All accounts.
pub(super) const MAX_ACCOUNTS: usize = 200_000;
/// See the module.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) limits: Limits,
    pub(super) single_workspace: bool,
    /// Until when every call takes from everybody's account, too.
    pub(super) parting_until: Duration,
    pub(super) max_queued: usize,
    pub(super) accounts: HashMap<AccountKey, Account>,
    pub(super) unbound: usize,
    /// Where an account went that was merged, and when.
    pub(super) merged: HashMap<AccountKey, (AccountKey, Duration)>,
    pub(super) waiters: HashMap<WaiterId, Waiter>,
    /// Those of them that take from two accounts: what happens to the second one concerns a queue that is not its own.
    pub(super) acting: HashSet<WaiterId>,
    pub(super) hasher: RandomState,
    last_id: u64,
    pub(super) swept_at: Duration,
}

/// A call that waits, or that has been told and has not heard it yet.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) accounts: Accounts,
    caller: CallerId,
    line: Line,
    pub(super) deadline: Duration,
    pub(super) bell: Arc<Notify>,
    verdict: Option<Verdict>,
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Granted(Slot),
    Refused(Rejection),
}

impl Waiter {
    pub(super) const fn has_verdict(&self) -> bool {
        self.verdict.is_some()
    }
}

/// A slot that was spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) accounts: Accounts,
    caller: CallerId,
    at: Duration,
    /// Set where the call is the probe of an account that was closed.
    pub(super) probe: Option<ProbeId>,
}

/// What a call came to at once.
#[derive(Debug)]
pub(super) enum Entry {
    Granted(Slot),
    Refused(Rejection),
    Waiting(WaiterId, Arc<Notify>),
}

/// What a waiter came to.
#[derive(Debug)]
pub(super) enum Progress {
    Granted(Slot),
    Refused(Rejection),
    /// Look again at this uptime, or when the bell rings.
    Waiting(Duration),
}

impl Table {
    pub(super) fn new(rules: &ShieldRules) -> Self {
        Self {
            limits: Limits::new(rules),
            single_workspace: rules.single_workspace,
            parting_until: Duration::ZERO,
            max_queued: rules.max_queued,
            accounts: HashMap::new(),
            unbound: 0,
            merged: HashMap::new(),
            waiters: HashMap::new(),
            acting: HashSet::new(),
            hasher: RandomState::new(),
            last_id: 0,
            swept_at: Duration::ZERO,
        }
    }

    /// Admits a call, turns it away, or puts it into the queue.
    pub(super) fn enter(&mut self, call: &Call, now: Duration) -> Entry {
        let accounts = self.settle(call.accounts, now);
        self.dispatch(accounts.first, now);
        for key in accounts.keys() {
            self.account(key, now).second.expire(now);
        }
        let caller = CallerId(self.hasher.hash_one(call.caller));
        let may_go = match call.class {
            Class::Background => self.all(accounts, |account, limits| account.has_spare(limits, now)),
            Class::Proof | Class::Interactive => true,
        };
        let line = match call.class {
            Class::Proof if self.may_go_ahead(accounts.first, caller, now) => Line::Proofs,
            _ => Line::Calls,
        };
        // Nobody who waits could go, or `dispatch` would have sent them: there is nobody to overtake.
        if may_go && self.ready_at(accounts, caller, now) <= now {
            return Entry::Granted(self.spend(accounts, (caller, line), now));
        }
        if call.class == Class::Background {
            let rejection = self.rejection(accounts, Line::Calls, caller, now);
            let spare = accounts.keys().filter_map(|key| self.accounts.get(&key));
            let spare_in = spare.map(|account| account.spare_in(&self.limits, now)).max().unwrap_or_default();
            let retry_after = rejection.retry_after.max(spare_in);
            return Entry::Refused(Rejection { reason: Reason::NoSpare, retry_after });
        }
        let deadline = now.saturating_add(call.patience);
        if let Err(rejection) = self.check_queue(accounts, line, caller, deadline, now) {
            return Entry::Refused(rejection);
        }
        let waiter = Waiter { accounts, caller, line, deadline, bell: Arc::default(), verdict: None };
        self.enqueue(waiter, now)
    }

    /// What became of a waiter; it is out of the table unless it has to wait on.
    pub(super) fn check(&mut self, id: WaiterId, now: Duration) -> Progress {
        if let Some(waiter) = self.waiters.get(&id) {
            self.dispatch(waiter.accounts.first, now);
        }
        let waiter = self.take_out(id).expect("a waiter stays in the table until it has heard its verdict");
        match waiter.verdict {
            Some(Verdict::Granted(slot)) => Progress::Granted(slot),
            Some(Verdict::Refused(rejection)) => Progress::Refused(rejection),
            None if now >= waiter.deadline => {
                self.withdraw(id, &waiter);
                Progress::Refused(self.rejection(waiter.accounts, waiter.line, waiter.caller, now))
            }
            None => {
                let until = self.drive(id, &waiter, now).min(waiter.deadline);
                self.put_in(id, waiter);
                Progress::Waiting(until)
            }
        }
    }

    /// A waiter leaves, whatever it was told; nothing if it has heard its verdict.
    pub(super) fn leave(&mut self, id: WaiterId, now: Duration) {
        let Some(waiter) = self.take_out(id) else { return };
        match waiter.verdict {
            None => self.withdraw(id, &waiter),
            Some(Verdict::Refused(_)) => {}
            Some(Verdict::Granted(slot)) => {
                if let Some(probe) = slot.probe {
                    self.probe_lost(probe, slot.accounts, now);
                }
                self.give_back(&Slot { accounts: waiter.accounts, ..slot }, now);
            }
        }
    }

    /// A call is not sent whose slot was spent.
    pub(super) fn give_back(&mut self, slot: &Slot, now: Duration) {
        let Slot { accounts, caller, at, .. } = *slot;
        let accounts = accounts.keys().fold(accounts, |accounts, key| accounts.renamed(key, self.named(key)));
        for key in accounts.keys() {
            if let Some(account) = self.accounts.get_mut(&key) {
                account.give_back(caller, at, &self.limits);
            }
        }
        self.stir(accounts, now);
    }

    /// Hands every slot that is free to those who wait for it.
    pub(super) fn dispatch(&mut self, key: AccountKey, now: Duration) {
        if self.accounts.get(&key).is_none_or(|account| account.queue.is_empty()) {
            return;
        }
        while let Some((caller, line, id)) = self.next(key, now) {
            let Some(waiter) = self.waiters.get(&id) else { return };
            let slot = self.spend(waiter.accounts, (caller, line), now);
            if let Some(account) = self.accounts.get_mut(&key) {
                account.queue.serve(caller, line);
            }
            self.tell(id, Verdict::Granted(slot));
        }
        self.pass_on(key);
    }

    /// The one waiter that may go now before all others, if any may.
    fn next(&mut self, key: AccountKey, now: Duration) -> Option<(CallerId, Line, WaiterId)> {
        let account = self.accounts.get_mut(&key)?;
        if account.queue.is_empty() || account.opens_at() > now {
            return None;
        }
        account.second.expire(now);
        if account.second.used(now) >= self.limits.per_second {
            return None;
        }
        let account = self.accounts.get(&key)?;
        [Line::Proofs, Line::Calls].into_iter().find_map(|line| {
            let ready = account.queue.heads(line).filter(|(caller, id)| {
                self.waiters.get(id).is_some_and(|waiter| self.ready_at(waiter.accounts, *caller, now) <= now)
            });
            let (caller, id) = ready.min_by_key(|(caller, _)| account.second.of(*caller))?;
            Some((caller, line, id))
        })
    }

    fn put_in(&mut self, id: WaiterId, waiter: Waiter) {
        if waiter.accounts.second.is_some() {
            self.acting.insert(id);
        }
        self.waiters.insert(id, waiter);
    }

    fn take_out(&mut self, id: WaiterId) -> Option<Waiter> {
        self.acting.remove(&id);
        self.waiters.remove(&id)
    }

    /// Why a call may not wait, if it may not.
    fn check_queue(
        &mut self,
        accounts: Accounts,
        line: Line,
        caller: CallerId,
        deadline: Duration,
        now: Duration,
    ) -> Result<(), Rejection> {
        let rejection = self.rejection(accounts, line, caller, now);
        if rejection.reason == Reason::Budget {
            self.account(accounts.first, now).contend(now);
        }
        if now + rejection.retry_after > deadline {
            return Err(rejection);
        }
        let max_queued = self.max_queued;
        let queue = &mut self.account(accounts.first, now).queue;
        if queue.len(line) < max_queued {
            return Ok(());
        }
        let full = Rejection { reason: Reason::QueueFull, ..rejection };
        let displaced = queue.displace(line, caller).ok_or(full)?;
        self.tell(displaced, Verdict::Refused(full));
        Ok(())
    }

    fn enqueue(&mut self, waiter: Waiter, now: Duration) -> Entry {
        self.last_id += 1;
        let id = WaiterId(self.last_id);
        let key = waiter.accounts.first;
        let ready = self.ready_at(waiter.accounts, waiter.caller, now);
        let bell = Arc::clone(&waiter.bell);
        let queue = &mut self.account(key, now).queue;
        queue.push(waiter.caller, waiter.line, id);
        let overslept = queue.driver.is_some_and(|driver| ready < driver.wakes_at);
        self.put_in(id, waiter);
        if overslept {
            self.ring_driver(key);
        }
        self.pass_on(key);
        Entry::Waiting(id, bell)
    }

    /// Takes a waiter that has left the table out of its queue.
    fn withdraw(&mut self, id: WaiterId, waiter: &Waiter) {
        let key = waiter.accounts.first;
        if let Some(account) = self.accounts.get_mut(&key) {
            account.queue.remove(waiter.caller, waiter.line, id);
        }
        self.pass_on(key);
    }

    pub(super) fn dismiss(&mut self, id: WaiterId, rejection: Rejection) {
        let Some(waiter) = self.waiters.get(&id) else { return };
        if let Some(account) = self.accounts.get_mut(&waiter.accounts.first) {
            account.queue.remove(waiter.caller, waiter.line, id);
        }
        self.tell(id, Verdict::Refused(rejection));
    }

    fn tell(&mut self, id: WaiterId, verdict: Verdict) {
        if let Some(waiter) = self.waiters.get_mut(&id) {
            waiter.verdict = Some(verdict);
            waiter.bell.notify_one();
        }
    }

    /// Whether a proof of this caller goes ahead of calls. One that has just had one goes as they do: a key whose reads
    /// prove nothing would hold everybody up by trying.
    fn may_go_ahead(&mut self, key: AccountKey, caller: CallerId, now: Duration) -> bool {
        let proofs = &mut self.account(key, now).proofs;
        proofs.expire(now);
        proofs.of(caller) == 0
    }

    /// Spends a slot of each account.
    fn spend(&mut self, accounts: Accounts, (caller, line): (CallerId, Line), now: Duration) -> Slot {
        self.last_id += 1;
        let probe = ProbeId(self.last_id);
        let moments = accounts
            .keys()
            .filter_map(|key| self.accounts.get(&key))
            .map(|account| account.second.moment(now));
        let at = moments.max().unwrap_or(now);
        let mut probing = false;
        for key in accounts.keys() {
            let limits = self.limits;
            probing |= self.account(key, now).take(caller, at, probe, &limits);
        }
        if line == Line::Proofs {
            self.account(accounts.first, now).proofs.take(caller, at);
        }
        Slot { accounts, caller, at, probe: probing.then_some(probe) }
    }
}
