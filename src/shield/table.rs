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

/// Whether a call could be written if its turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Its turn is far: it holds no connection.
    Far,
    /// Its turn is near: it connects.
    Near,
    /// It has a connection in hand.
    Connected,
}

/// A call that waits, or that has been told and has not heard it yet.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) accounts: Accounts,
    pub(super) caller: CallerId,
    pub(super) line: Line,
    pub(super) deadline: Duration,
    pub(super) readiness: Readiness,
    /// When its turn was expected as it was told to connect.
    pub(super) due: Duration,
    /// How long before its turn it is near.
    pub(super) ahead: Duration,
    /// Whether it could have gone at once with a connection: it waits for that alone.
    pub(super) free: bool,
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
    Waiting {
        id: WaiterId,
        bell: Arc<Notify>,
        /// Whether it waits for its connection alone.
        free: bool,
    },
}

/// What a waiter came to.
#[derive(Debug)]
pub(super) enum Progress {
    Granted(Slot),
    Refused(Rejection),
    /// Look again at this uptime, or when the bell rings.
    Waiting(Duration, Readiness),
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

    /// Admits a call that somebody waits for, turns it away, or puts it into the queue.
    pub(super) fn enter(&mut self, call: &Call, readiness: Readiness, now: Duration) -> Entry {
        let accounts = self.settle(call.accounts, now);
        self.dispatch(accounts.first, now);
        for key in accounts.keys() {
            self.account(key, now).second.expire(now);
        }
        let caller = CallerId(self.hasher.hash_one(call.caller));
        let line = match call.class {
            Class::Proof if self.may_go_ahead(accounts.first, caller, now) => Line::Proofs,
            _ => Line::Calls,
        };
        // Nobody who waits and is connected could go, or `dispatch` would have sent them. Who still connects is overtaken.
        if readiness == Readiness::Connected && self.ready_at(accounts, caller, now) <= now {
            return Entry::Granted(self.spend(accounts, (caller, line), now));
        }
        let expected_at = self.expected_at(accounts, line, caller, now);
        let free = expected_at <= now;
        let deadline = now.saturating_add(call.patience);
        if !free && let Err(rejection) = self.check_queue(accounts, line, caller, deadline, now) {
            return Entry::Refused(rejection);
        }
        let readiness = match readiness {
            _ if expected_at > now.saturating_add(call.ahead) => Readiness::Far,
            Readiness::Far => Readiness::Near,
            Readiness::Near | Readiness::Connected => readiness,
        };
        let bell = Arc::default();
        let (due, ahead, verdict) = (expected_at, call.ahead, None);
        let waiter = Waiter { accounts, caller, line, deadline, readiness, due, ahead, free, bell, verdict };
        self.enqueue(waiter, now)
    }

    /// Admits background work, or turns it away.
    pub(super) fn enter_background(&mut self, call: &Call, now: Duration) -> Result<Slot, Rejection> {
        let accounts = self.settle(call.accounts, now);
        self.dispatch(accounts.first, now);
        for key in accounts.keys() {
            self.account(key, now).second.expire(now);
        }
        self.spare_for(call, now)?;
        let caller = CallerId(self.hasher.hash_one(call.caller));
        Ok(self.spend(accounts, (caller, Line::Calls), now))
    }

    /// Whether background work would be admitted.
    pub(super) fn spare_for(&mut self, call: &Call, now: Duration) -> Result<(), Rejection> {
        let accounts = self.settle(call.accounts, now);
        let caller = CallerId(self.hasher.hash_one(call.caller));
        let has_spare = self.all(accounts, |account, limits| account.has_spare(limits, now));
        if has_spare && self.ready_at(accounts, caller, now) <= now {
            return Ok(());
        }
        let rejection = self.rejection(accounts, Line::Calls, caller, now);
        let spare = accounts.keys().filter_map(|key| self.accounts.get(&key));
        let spare_in = spare.map(|account| account.spare_in(&self.limits, now)).max().unwrap_or_default();
        Err(Rejection { reason: Reason::NoSpare, retry_after: rejection.retry_after.max(spare_in) })
    }

    /// A waiter has its connection in hand.
    pub(super) fn connected(&mut self, id: WaiterId, now: Duration) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        waiter.readiness = Readiness::Connected;
        let key = waiter.accounts.first;
        self.dispatch(key, now);
        if let Some(waiter) = self.waiters.get_mut(&id) {
            // Its turn has gone to others meanwhile: now it waits for the next.
            waiter.free = false;
        }
        self.ring_driver(key);
    }

    /// How many wait for their turn, and not for a connection alone.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.values().filter(|waiter| !waiter.free).count()
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
            None if now >= waiter.deadline && !self.only_connects(&waiter, now) => {
                self.withdraw(id, &waiter);
                Progress::Refused(self.rejection(waiter.accounts, waiter.line, waiter.caller, now))
            }
            None => {
                let late = now >= waiter.deadline;
                let until =
                    self.drive(id, &waiter, now).min(if late { Duration::MAX } else { waiter.deadline });
                let readiness = waiter.readiness;
                self.put_in(id, waiter);
                Progress::Waiting(until, readiness)
            }
        }
    }

    /// Whether a waiter's turn has come, but for its connection: its patience is not for that.
    fn only_connects(&self, waiter: &Waiter, now: Duration) -> bool {
        waiter.readiness == Readiness::Near && self.ready_at(waiter.accounts, waiter.caller, now) <= now
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
                account.queue.serve(caller, line, id);
            }
            self.tell(id, Verdict::Granted(slot));
        }
        self.call_up(key, now);
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
            let heads = account.queue.heads(line, |id| self.is_connected(id));
            let ready = heads.filter(|(caller, id)| {
                self.waiters.get(id).is_some_and(|waiter| self.ready_at(waiter.accounts, *caller, now) <= now)
            });
            let (caller, id) = ready.min_by_key(|(caller, _)| account.second.of(*caller))?;
            Some((caller, line, id))
        })
    }

    pub(super) fn is_connected(&self, id: WaiterId) -> bool {
        self.waiters.get(&id).is_some_and(|waiter| waiter.readiness == Readiness::Connected)
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
        let queue = &self.account(accounts.first, now).queue;
        if queue.len(line) < max_queued || self.waiting_in(accounts.first, line) < max_queued {
            return Ok(());
        }
        let queue = &mut self.account(accounts.first, now).queue;
        let full = Rejection { reason: Reason::QueueFull, ..rejection };
        let displaced = queue.displace(line, caller).ok_or(full)?;
        self.tell(displaced, Verdict::Refused(full));
        Ok(())
    }

    /// How many wait in a line for their turn, and not for a connection alone.
    fn waiting_in(&self, key: AccountKey, line: Line) -> usize {
        let waiters = self.accounts.get(&key).into_iter().flat_map(|account| account.queue.waiters());
        let waiters = waiters.filter_map(|id| self.waiters.get(&id));
        waiters.filter(|waiter| waiter.line == line && !waiter.free).count()
    }

    fn enqueue(&mut self, waiter: Waiter, now: Duration) -> Entry {
        self.last_id += 1;
        let id = WaiterId(self.last_id);
        let key = waiter.accounts.first;
        let ready = match waiter.readiness {
            Readiness::Connected => self.ready_at(waiter.accounts, waiter.caller, now),
            Readiness::Near => Duration::MAX,
            Readiness::Far => self
                .expected_at(waiter.accounts, waiter.line, waiter.caller, now)
                .saturating_sub(waiter.ahead),
        };
        let (bell, free) = (Arc::clone(&waiter.bell), waiter.free);
        let queue = &mut self.account(key, now).queue;
        queue.push(waiter.caller, waiter.line, id);
        let overslept = queue.driver.is_some_and(|driver| ready < driver.wakes_at);
        self.put_in(id, waiter);
        if overslept {
            self.ring_driver(key);
        }
        self.pass_on(key);
        Entry::Waiting { id, bell, free }
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
