//! The table of accounts and of who waits for them: a state machine fed with `now`, without timers and without tasks.
//!
//! Every slot is spent here and nowhere else: [`Table::hand_out`] gives what is free to those who wait, in their order,
//! before [`Table::enter`] gives anything to a call that has just come.

use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::quality::RandomState;
use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use tokio::sync::oneshot;

use super::account::{Account, AccountKey, Accounts, ProbeId};
use super::agenda::Agenda;
use super::beside::Part;
use super::call::{Call, Class, Reason, Rejection};
use super::held_share::HeldShare;
use super::limits::{Limits, ShieldRules};
use super::orders::Bookings;
use super::queue::{Line, WaiterId};
use super::share::Urgency;
use super::slot::{Had, Slot};
use super::waiter::{Readiness, Waiter, Waiting};
use super::window::CallerId;

/// Accounts of callers without a binding; such a caller can make as many values of `Authorization` as it likes.
pub(super) const MAX_UNBOUND: usize = 10_000;
/// All accounts.
pub(super) const MAX_ACCOUNTS: usize = 200_000;

/// The accounts, and the calls that wait for them. Its keys are keyed digests, which nobody can choose, and names of
/// organizations under a seed of this process: a quick hash is as good as a slow one.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) limits: Limits,
    pub(super) single_workspace: bool,
    /// Until when every call takes from everybody's account, too.
    pub(super) parting_until: Duration,
    pub(super) max_queued: usize,
    /// Each in memory of its own: a table of them would be twice as large as it is full.
    pub(super) accounts: HashMap<AccountKey, Box<Account>>,
    pub(super) unbound: usize,
    /// Where an account went that was merged, and when.
    pub(super) merged: HashMap<AccountKey, (AccountKey, Duration)>,
    pub(super) waiters: HashMap<WaiterId, Waiter>,
    /// Those of them that take from two accounts: what happens to the second one concerns a queue that is not its own.
    pub(super) acting: HashSet<WaiterId>,
    /// When each queue is looked at next.
    pub(super) agenda: Agenda,
    pub(super) hasher: RandomState,
    /// What callers have of the turns that are told apart by more than their credentials.
    pub(super) shares: HashMap<CallerId, HeldShare>,
    /// Whether any of them has what others leave.
    pub(super) notes_spare: bool,
    pub(super) last_id: u64,
    pub(super) swept_at: Duration,
    /// Set where there is a store that replicas share.
    pub(super) bookings: Option<Bookings>,
}

/// What a call came to at once.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is made, and most calls are granted: a box would cost each of them an allocation"
)]
pub(super) enum Entry {
    Granted(Slot),
    Refused(Rejection),
    Waiting(Waiting),
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
            agenda: Agenda::default(),
            hasher: RandomState::default(),
            shares: HashMap::new(),
            notes_spare: false,
            last_id: 0,
            swept_at: Duration::ZERO,
            bookings: None,
        }
    }

    /// Admits a call that somebody waits for, turns it away, or puts it into the queue.
    pub(super) fn enter(&mut self, call: &Call, readiness: Readiness, now: Duration) -> Entry {
        let is_connected = readiness == Readiness::Connected;
        let at_once = if is_connected { self.grant_at_once(call, now) } else { None };
        at_once.map_or_else(|| self.enter_in_turn(call, readiness, now), Entry::Granted)
    }

    /// The same for any call, whoever has a say.
    pub(super) fn enter_in_turn(&mut self, call: &Call, readiness: Readiness, now: Duration) -> Entry {
        let accounts = self.settle(call.accounts, now);
        self.hand_out(accounts.first, now);
        for key in accounts.keys() {
            self.account(key, now).second.expire(now);
        }
        let caller = self.note_share(call, now);
        let credential = CallerId(self.hasher.hash_one(call.caller));
        let line = match (call.share.urgency, call.class) {
            (Urgency::Spare, _) => Line::Spare,
            (Urgency::Turns, Class::Proof) if self.may_go_ahead(accounts.first, caller, now) => Line::Proofs,
            (Urgency::Turns, _) => Line::Calls,
        };
        // Nobody who waits and is connected could go, or they had been handed their slot. Who still connects is overtaken.
        let may_go = self.ready_at(accounts, caller, now) <= now
            && (line != Line::Spare || self.leaves_spare(accounts, now));
        if readiness == Readiness::Connected && may_go {
            return Entry::Granted(self.spend(accounts, caller, line, now));
        }
        let expected_at = self.expected_at(accounts, line, caller, now);
        // Who waits for what others leave holds nothing and is not on its way, however soon that may be.
        let waits_for_spare = line == Line::Spare && !self.lets_spare_connect(accounts, now);
        let free = expected_at <= now && !waits_for_spare;
        let deadline = now.saturating_add(call.max_wait);
        if !free && let Err(rejection) = self.check_queue(accounts, line, caller, deadline, now) {
            return Entry::Refused(rejection);
        }
        let readiness = match readiness {
            _ if waits_for_spare || expected_at > now.saturating_add(call.ahead) => Readiness::Far,
            Readiness::Far => Readiness::Near,
            Readiness::Near | Readiness::Connected => readiness,
        };
        let (turn, told) = oneshot::channel();
        let (near, told_near) = (readiness == Readiness::Far).then(oneshot::channel).unzip();
        let (due, ahead, store_waited) = (expected_at, call.ahead, call.store_waited);
        let waiter = Waiter {
            accounts,
            caller,
            credential,
            line,
            deadline,
            store_waited,
            readiness,
            due,
            ahead,
            free,
            turn,
            near,
        };
        let id = self.enqueue(waiter, now);
        // Who has what others leave may wait for it again once it is connected: it is not on its way before it goes.
        let free = free && line != Line::Spare;
        Entry::Waiting(Waiting { id, deadline, free, turn: told, near: told_near })
    }

    /// Admits background work, or turns it away; it waits for the store's word where that is asked.
    pub(super) fn enter_background(&mut self, call: &Call, now: Duration) -> Entry {
        let accounts = self.settle(call.accounts, now);
        self.hand_out(accounts.first, now);
        for key in accounts.keys() {
            self.account(key, now).second.expire(now);
        }
        if let Err(rejection) = self.spare_for(call, now) {
            return Entry::Refused(rejection);
        }
        let caller = self.note_share(call, now);
        let credential = CallerId(self.hasher.hash_one(call.caller));
        if !self.needs_booking(accounts, now) {
            return Entry::Granted(self.spend(accounts, caller, Line::Calls, now));
        }
        let (turn, told) = oneshot::channel();
        let (line, readiness, deadline, free) = (Line::Background, Readiness::Connected, now, true);
        let (due, ahead, store_waited, near) = (now, Duration::ZERO, call.store_waited, None);
        let waiter = Waiter {
            accounts,
            caller,
            credential,
            line,
            deadline,
            store_waited,
            readiness,
            due,
            ahead,
            free,
            turn,
            near,
        };
        let id = self.enqueue(waiter, now);
        Entry::Waiting(Waiting { id, deadline, free, turn: told, near: None })
    }

    /// Whether background work would be admitted.
    pub(super) fn spare_for(&mut self, call: &Call, now: Duration) -> Result<(), Rejection> {
        let accounts = self.settle(call.accounts, now);
        let caller = self.note_share(call, now);
        let ready = self.needs_booking(accounts, now) || self.ready_at(accounts, caller, now) <= now;
        if ready && self.has_spare(accounts, now) {
            return Ok(());
        }
        let rejection = self.rejection(accounts, Line::Calls, caller, now);
        let spare = accounts.keys().filter_map(|key| self.accounts.get(&key));
        let spare_in = spare.map(|account| account.spare_in(&self.limits, now)).max().unwrap_or_default();
        Err(Rejection { reason: Reason::NoSpare, retry_after: rejection.retry_after.max(spare_in) })
    }

    /// A call is not sent whose slot was spent.
    pub(super) fn give_back(&mut self, slot: &Slot, now: Duration) {
        let Slot { accounts, caller, at, booked, .. } = *slot;
        if at == Duration::MAX {
            return;
        }
        self.give_share_back(slot);
        let now_called = |key| if self.single_workspace { AccountKey::Everybody } else { self.named(key) };
        let accounts = accounts.keys().fold(accounts, |accounts, key| accounts.renamed(key, now_called(key)));
        for key in accounts.keys() {
            if let Some(account) = self.accounts.get_mut(&key) {
                account.give_back(caller, at);
                if let Some(spare) = account.spare.changed_mut() {
                    spare.give_back(at);
                }
                if booked.is_none_or(|granted| !granted.pays(key)) {
                    account.give_pace_back(caller, &self.limits);
                    if let Some(booking) = account.booking.changed_mut() {
                        booking.give_back(at);
                    }
                }
            }
        }
        self.changed(accounts, now);
    }

    /// A slot was handed to a waiter that has left.
    pub(super) fn give_up(&mut self, slot: &Slot, now: Duration) {
        if let Some(probe) = slot.probe {
            self.probe_lost(probe, slot.accounts, now);
        }
        self.give_back(slot, now);
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
        // Where the other account is full, calls of this one alone need not wait.
        if rejection.reason == Reason::Budget && self.apart_until(accounts) <= now {
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
        if let Some(waiter) = self.take_out(displaced) {
            waiter.tell(Err(full));
        }
        Ok(())
    }

    /// Whether a proof of this caller goes ahead of calls. One that has just had one goes as they do: a key whose reads
    /// prove nothing would hold everybody up by trying.
    fn may_go_ahead(&mut self, key: AccountKey, caller: CallerId, now: Duration) -> bool {
        let second = &mut self.account(key, now).second;
        second.expire(now);
        !second.has_proof_of(caller)
    }

    /// Spends a slot of each account.
    pub(super) fn spend(&mut self, accounts: Accounts, caller: CallerId, line: Line, now: Duration) -> Slot {
        self.last_id += 1;
        let probe = ProbeId(self.last_id);
        let moments = accounts
            .keys()
            .filter_map(|key| self.accounts.get(&key))
            .map(|account| account.second.moment(now));
        let at = moments.max().unwrap_or(now);
        let booked = self.take_booking(accounts, now);
        let probe = booked.map_or(probe, |granted| ProbeId(granted.number));
        let mut probing = false;
        let has_store = self.bookings.is_some();
        let is_booked = |key| booked.is_some_and(|granted| granted.pays(key));
        let mut spent = [Part::WHOLE; 2];
        let (observed, notes_spare) = (self.spend_share(caller, at), self.notes_spare);
        for (key, spent) in accounts.keys().zip(&mut spent) {
            let limits = self.limits;
            let account = self.account(key, now);
            if !is_booked(key) {
                account.keep_pace(caller, at, &limits);
            }
            probing |= account.take(caller, at, probe);
            *spent = account.spent(&limits, at);
            if notes_spare {
                account.spare.note(line, at);
            }
            if has_store && !is_booked(key) {
                account.booking.on_unbooked(at);
            }
        }
        if has_store {
            // At once: until the store counts them, the others take from the whole limit.
            accounts.keys().filter(|key| !is_booked(*key)).for_each(|key| self.tell_share(key, now));
        }
        let [first, second] = spent;
        if line == Line::Proofs {
            self.account(accounts.first, now).second.note_proof();
        }
        let had = Had { first, second };
        Slot { accounts, caller, observed, at, had, booked, probe: probing.then_some(probe) }
    }
}
