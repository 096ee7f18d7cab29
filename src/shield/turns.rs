//! Turns: who goes next in a queue, who connects, and when to look at the queue again.
//!
//! What is free is handed out by whoever looks at a queue first: a call that has just come, so that it goes before nobody;
//! whoever gave something back, ended a hold or moved an account; and one task for what comes free in time alone, by the
//! [`Agenda`](super::agenda::Agenda).

use std::time::Duration;

use super::account::{Account, AccountKey, Accounts};
use super::forecast::TICK;
use super::queue::{Line, WaiterId};
use super::spare::LOOK_AGAIN;
use super::table::Table;
use super::waiter::{Readiness, Waiter};
use super::window::CallerId;

/// A turn that its caller cannot use is kept for so long, behind the time that connecting usually takes.
const TURN_KEPT: Duration = Duration::from_millis(50);

/// What a look at a queue finds.
struct Outlook {
    /// Those who hold nothing and whose turn is near, and when it comes.
    near: Vec<(WaiterId, Duration)>,
    /// When to look again for others.
    look_at: Duration,
}

/// Until when who is behind leaves a slot for one that connects `ahead` of its turn.
pub(super) fn turn_kept_until(due: Duration, ahead: Duration) -> Duration {
    due.saturating_add(ahead).saturating_add(TURN_KEPT)
}

impl Table {
    /// Deals with every queue whose moment has come, and says until when there is nothing to do.
    pub(super) fn work_off(&mut self, now: Duration) -> Duration {
        while let Some(key) = self.agenda.take_due(now) {
            self.dispatch(key, now);
            self.turn_late_away(key, now);
        }
        self.agenda.sleep()
    }

    /// Deals with whoever waits for accounts in which something changed that no agenda knew of. A call that acts for a
    /// workspace waits in the workspace's queue and takes from the account of its key, too.
    pub(super) fn changed(&mut self, accounts: Accounts, now: Duration) {
        for key in accounts.keys() {
            for queue in self.queues_at(key) {
                self.dispatch(queue, now);
            }
        }
    }

    /// Hands out what is free in a queue, tells those whose turn is near, and plans the next look.
    pub(super) fn dispatch(&mut self, key: AccountKey, now: Duration) {
        self.let_go(key, now);
        self.hand_out(key, now);
        self.ask(key, now);
        self.plan(key, now);
    }

    /// Hands every slot that is free to those who wait for it.
    pub(super) fn hand_out(&mut self, key: AccountKey, now: Duration) {
        while let Some((caller, line, id)) = self.next(key, now) {
            let Some(waiter) = self.take_out(id) else { return };
            let slot = self.spend(waiter.accounts, caller, line, now);
            if let Some(account) = self.accounts.get_mut(&key) {
                account.queue.serve(caller, line, id);
            }
            waiter.tell(Ok(slot));
        }
    }

    /// The one waiter that may go now before all others, if any may.
    fn next(&mut self, key: AccountKey, now: Duration) -> Option<(CallerId, Line, WaiterId)> {
        let account = self.accounts.get_mut(&key)?;
        if account.queue.is_empty() || account.opens_at() > now {
            return None;
        }
        account.second.expire(now);
        let account = self.accounts.get(&key)?;
        if !self.books(key, now) && account.second.used(now) >= account.limits(&self.limits, now).per_second {
            return None;
        }
        Line::ALL.into_iter().find_map(|line| {
            let heads = account.queue.heads(line, |id| self.is_connected(id));
            let ready = heads.filter(|(caller, id)| {
                self.waiters.get(id).is_some_and(|waiter| {
                    self.ready_at(waiter.accounts, *caller, now) <= now
                        && self.may_line(line, waiter.accounts, now)
                })
            });
            let (caller, id) = ready.min_by_key(|(caller, _)| self.had(account, *caller).rank(0))?;
            Some((caller, line, id))
        })
    }

    /// Whether calls of a line may have what is free.
    fn may_line(&self, line: Line, accounts: Accounts, now: Duration) -> bool {
        match line {
            Line::Proofs | Line::Calls => true,
            Line::Background => self.may_background(accounts, now),
            Line::Spare => self.lets_spare_go(accounts, now),
        }
    }

    /// Whether background work may have what is free: a booking has seen to it, the share has to leave a fifth.
    fn may_background(&self, accounts: Accounts, now: Duration) -> bool {
        accounts.keys().all(|key| {
            self.books(key, now)
                || self.all(Accounts::one(key), |account, limits| account.has_fifth(limits, now))
        })
    }

    pub(super) fn is_connected(&self, id: WaiterId) -> bool {
        self.waiters.get(&id).is_some_and(|waiter| waiter.readiness == Readiness::Connected)
    }

    /// Tells those whose turn is near to connect, and puts the next moment at which anybody may go, or must connect, on the
    /// agenda.
    pub(super) fn plan(&mut self, key: AccountKey, now: Duration) {
        let Some(account) = self.accounts.get(&key).filter(|account| !account.queue.is_empty()) else {
            return;
        };
        let heads =
            Line::ALL.into_iter().flat_map(|line| account.queue.heads(line, |id| self.is_connected(id)));
        let ready_at = heads.filter_map(|(_, id)| Some(self.may_go_at(self.waiters.get(&id)?, now))).min();
        let Outlook { near, look_at } = self.look_ahead(account, now);
        for (id, due) in near {
            if let Some(waiter) = self.waiters.get_mut(&id) {
                waiter.tell_near(due);
            }
        }
        let next = ready_at.unwrap_or(Duration::MAX).min(look_at).min(self.look_at_booking(key, now));
        self.agenda.plan(key, next.max(now + TICK));
    }

    /// Goes through a queue in turn, as far as turns are near.
    fn look_ahead(&self, account: &Account, now: Duration) -> Outlook {
        let mut outlook = Outlook { near: Vec::new(), look_at: Duration::MAX };
        let (mut before, mut kept_until, mut proofs_wait) = (0, Duration::MAX, false);
        let mut spare_connects = false;
        for id in account.queue.in_turn(|caller| self.had(account, caller)) {
            let Some(waiter) = self.waiters.get(&id) else { continue };
            let lets_spare_connect =
                |waiter: &Waiter| !spare_connects && self.lets_spare_connect(waiter.accounts, now);
            match waiter.readiness {
                Readiness::Connected => before += 1,
                Readiness::Near => {
                    let until = turn_kept_until(waiter.due, waiter.ahead);
                    if now < until {
                        before += 1;
                        kept_until = kept_until.min(until);
                    }
                }
                Readiness::Far if proofs_wait && waiter.line == Line::Proofs => {}
                Readiness::Far if waiter.line == Line::Spare && !lets_spare_connect(waiter) => {
                    let next = self.spare_at(waiter.accounts, now).max(now.saturating_add(LOOK_AGAIN));
                    outlook.look_at = outlook.look_at.min(next);
                }
                Readiness::Far => {
                    let comes_at = self.comes_at(waiter, before, now);
                    let begins_at = comes_at.saturating_sub(waiter.ahead);
                    if begins_at <= now {
                        before += 1;
                        kept_until = kept_until.min(turn_kept_until(comes_at, waiter.ahead));
                        spare_connects |= waiter.line == Line::Spare;
                        outlook.near.push((id, comes_at));
                        continue;
                    }
                    outlook.look_at = outlook.look_at.min(begins_at).min(kept_until);
                    // Its other account holds up nobody else; this one holds up all behind it, until then.
                    let first = waiter.accounts.first;
                    let here = self.turn_in(first, waiter, before, now).saturating_sub(waiter.ahead);
                    if here > now {
                        outlook.look_at = outlook.look_at.min(here);
                        if waiter.line == Line::Calls {
                            break;
                        }
                        proofs_wait = true;
                    }
                }
            }
        }
        outlook
    }

    /// When a waiter's turn comes if so many others go before it.
    fn comes_at(&self, waiter: &Waiter, before: u32, now: Duration) -> Duration {
        let turns = waiter.accounts.keys().map(|key| self.turn_in(key, waiter, before, now));
        let turn = turns.max().unwrap_or(now).max(self.apart_until(waiter.accounts));
        turn.max(self.capped_until(waiter.caller, 1, now))
    }

    /// The same in one account.
    fn turn_in(&self, key: AccountKey, waiter: &Waiter, before: u32, now: Duration) -> Duration {
        let opens_at = self.accounts.get(&key).map_or(now, |account| account.expected_to_open_at(now));
        self.comes_in(key, waiter.caller, before, now).max(opens_at)
    }
}
