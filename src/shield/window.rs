//! Sliding windows: what was sent in the last second and in the last minute.
//!
//! The second's window holds every send and is exact; the minute's counts in cells of one second, and a cell leaves when
//! all of it is older than a minute. Neither lets more than its limit into any second or minute, however the calls come:
//! a token bucket lets twice its limit into one. A send is inside for exactly the length of the window, half open.
//!
//! Time is the clock's uptime. It stands still while the machine sleeps and does not follow the wall clock, so it can
//! make a send seem younger than it is, never older. Limits are the caller's: they may change while sends are inside.

use std::collections::VecDeque;
use std::time::Duration;

use foldhash::HashMap;

/// A send may reach the upstream this much later than those behind it, so it counts for this much longer than a second. With
/// a larger margin less than 95 % of the limit could be used.
const JITTER: Duration = Duration::from_millis(5);
pub(super) const WINDOW: Duration = Duration::from_millis(1000).saturating_add(JITTER);
/// Seconds that a cell counts, from the beginning of its second: that second and the sixty after it. The jitter comes on top.
const CELL_STAYS: u64 = 61;

/// Stands for a caller in windows and queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CallerId(pub(super) u64);

/// So many sends are counted each time that it is asked whose they are.
const FEW: usize = 8;

/// The sends of the last second, each with its moment and its caller.
#[derive(Debug, Default)]
pub(super) struct Second {
    log: VecDeque<Sent>,
    /// How many of them each caller has, since they were more than a few.
    callers: Option<Box<HashMap<CallerId, u32>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    at: Duration,
    caller: CallerId,
    kind: Kind,
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Call,
    Proof,
}

impl Second {
    /// Sends inside.
    pub(super) fn used(&self, now: Duration) -> u32 {
        count(self.log.len() - self.expired(now))
    }

    /// The earliest moment of the `nth` send from now (1 is the next) under `limit`, where each send before it goes at its own
    /// earliest moment.
    pub(super) fn free_at(&self, limit: u32, nth: u32, now: Duration) -> Duration {
        self.free_in(WINDOW, limit, nth, now)
    }

    /// The same under half of `limit` in half of the window, which is what `shield.burst = "half"` adds: the fewer calls leave
    /// at one moment, the less they wait for each other on their way, and the upstream sees them much as they were sent.
    pub(super) fn paced_at(&self, limit: u32, nth: u32, now: Duration) -> Duration {
        self.free_in(WINDOW / 2, limit.div_ceil(2), nth, now)
    }

    /// The same for `limit` sends in any `window`.
    fn free_in(&self, window: Duration, limit: u32, nth: u32, now: Duration) -> Duration {
        let (limit, nth) = (limit.max(1), nth.max(1));
        // Every `limit` sends fill the window once. The next ones go when those have left it, in the same order, a window later.
        let rounds = (nth - 1) / limit;
        let nth = nth - rounds * limit;
        let base = (self.log.len() + nth as usize)
            .checked_sub(limit as usize + 1)
            .and_then(|position| self.log.get(position))
            .map_or(now, |sent| now.max(sent.at + window));
        base.saturating_add(window.saturating_mul(rounds))
    }

    /// The moment to log for a send at `now`. Threads may take the lock in another order than they read the clock in; the log
    /// stays in order.
    pub(super) fn moment(&self, now: Duration) -> Duration {
        self.log.back().map_or(now, |last| last.at.max(now))
    }

    /// Logs a send at a [`Self::moment`].
    pub(super) fn take(&mut self, caller: CallerId, at: Duration) {
        self.expire(at);
        self.take_ahead(caller, at);
    }

    /// Logs a send that is yet to come: what is inside now stays.
    pub(super) fn take_ahead(&mut self, caller: CallerId, at: Duration) {
        make_room(&mut self.log);
        self.log.push_back(Sent { at, caller, kind: Kind::Call });
        match &mut self.callers {
            Some(callers) => *callers.entry(caller).or_default() += 1,
            None => self.count_callers(),
        }
    }

    /// Counts from now on whose sends they are, where they are more than a few.
    fn count_callers(&mut self) {
        if self.log.len() > FEW {
            let callers = self.callers.insert(Box::default());
            self.log.iter().for_each(|sent| *callers.entry(sent.caller).or_default() += 1);
        }
    }

    /// Takes back a send that never happened.
    pub(super) fn give_back(&mut self, caller: CallerId, at: Duration) {
        if let Some(position) = self.log.iter().rposition(|sent| (sent.at, sent.caller) == (at, caller)) {
            self.log.remove(position);
            self.forget(caller);
        }
    }

    /// Drops what has left.
    pub(super) fn expire(&mut self, now: Duration) {
        for _ in 0..self.expired(now) {
            if let Some(sent) = self.log.pop_front() {
                self.forget(sent.caller);
            }
        }
    }

    /// Sends of one caller that were inside at the last [`Self::expire`].
    pub(super) fn of(&self, caller: CallerId) -> u32 {
        match &self.callers {
            Some(callers) => callers.get(&caller).copied().unwrap_or(0),
            None => count(self.log.iter().filter(|sent| sent.caller == caller).count()),
        }
    }

    /// Notes that the latest send is a proof.
    pub(super) fn note_proof(&mut self) {
        if let Some(latest) = self.log.back_mut() {
            latest.kind = Kind::Proof;
        }
    }

    /// Whether a caller had a proof inside at the last [`Self::expire`].
    pub(super) fn has_proof_of(&self, caller: CallerId) -> bool {
        self.log.iter().any(|sent| sent.kind == Kind::Proof && sent.caller == caller)
    }

    /// Undoes [`Self::note_proof`], so that a test can tell what it is good for.
    #[cfg(test)]
    pub(super) fn forget_proofs(&mut self) {
        self.log.iter_mut().for_each(|sent| sent.kind = Kind::Call);
    }

    /// When the latest send of a caller leaves, if it had any.
    pub(super) fn last_of_leaves_at(&self, caller: CallerId) -> Option<Duration> {
        self.log.iter().rfind(|sent| sent.caller == caller).map(|sent| sent.at + WINDOW)
    }

    /// Those callers.
    pub(super) fn who(&self) -> impl Iterator<Item = CallerId> {
        let counted = self.callers.iter().flat_map(|callers| callers.keys().copied());
        let few = if self.callers.is_some() { 0 } else { self.log.len() };
        counted.chain((0..few).filter_map(|place| {
            let caller = self.log[place].caller;
            (!self.log.range(..place).any(|sent| sent.caller == caller)).then_some(caller)
        }))
    }

    /// Callers that had a send inside at the last [`Self::expire`].
    pub(super) fn callers(&self) -> u32 {
        count(self.callers.as_ref().map_or_else(|| self.who().count(), |callers| callers.len()))
    }

    /// Adds what another window holds. What has left is dropped first: a window that is merged into again and again, and
    /// never taken from, would grow for ever.
    pub(super) fn merge(&mut self, mut other: Self, now: Duration) {
        self.expire(now);
        other.expire(now);
        for sent in other.log {
            // Nearly always behind all others, or near the end.
            let position = self.log.partition_point(|own| own.at <= sent.at);
            self.log.insert(position, sent);
        }
        self.callers = None;
        self.count_callers();
    }

    /// Gives the memory of an empty window back.
    pub(super) fn shrink(&mut self, now: Duration) {
        if self.used(now) == 0 {
            *self = Self::default();
        }
    }

    fn expired(&self, now: Duration) -> usize {
        // Asked several times for each call, and seldom are there any.
        if self.log.front().is_none_or(|oldest| oldest.at + WINDOW > now) {
            return 0;
        }
        self.log.partition_point(|sent| sent.at + WINDOW <= now)
    }

    fn forget(&mut self, caller: CallerId) {
        let Some(callers) = &mut self.callers else { return };
        if let Some(sent) = callers.get_mut(&caller) {
            *sent -= 1;
            if *sent == 0 {
                callers.remove(&caller);
            }
        }
    }
}

/// The sends of the last minute, counted in cells of one second.
#[derive(Clone, Debug, Default)]
pub(super) struct Minute {
    /// The cells that hold any, oldest first.
    cells: VecDeque<Cell>,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Of the uptime, which takes 136 years to need more.
    second: u32,
    sent: u32,
}

impl Cell {
    fn leaves_at(self) -> Duration {
        Duration::from_secs(u64::from(self.second) + CELL_STAYS).saturating_add(JITTER)
    }
}

fn second_of(at: Duration) -> u32 {
    u32::try_from(at.as_secs()).unwrap_or(u32::MAX)
}

impl Minute {
    /// Sends inside.
    pub(super) fn used(&self, now: Duration) -> u32 {
        self.inside(now).fold(0, |sum, cell| sum.saturating_add(cell.sent))
    }

    /// Sends of the last second, and of up to a second before it.
    pub(super) fn recent(&self, now: Duration) -> u32 {
        let recent = self.cells.iter().filter(|cell| cell.second.saturating_add(2) > second_of(now));
        recent.fold(0, |sum, cell| sum.saturating_add(cell.sent))
    }

    /// The earliest moment of the `nth` send from now (1 is the next) under `limit`, where each send before it goes at its own
    /// earliest moment.
    pub(super) fn free_at(&self, limit: u32, nth: u32, now: Duration) -> Duration {
        let (limit, nth) = (limit.max(1), nth.max(1));
        let rounds = (nth - 1) / limit;
        let nth = nth - rounds * limit;
        let must_leave = self.used(now).saturating_add(nth).saturating_sub(limit);
        let mut left = 0_u32;
        let mut base = now;
        for cell in self.inside(now) {
            if left >= must_leave {
                break;
            }
            left = left.saturating_add(cell.sent);
            base = cell.leaves_at();
        }
        base.saturating_add(Duration::from_secs(CELL_STAYS * u64::from(rounds)))
    }

    /// Counts a send at a moment that is not before the last one's.
    pub(super) fn take(&mut self, at: Duration) {
        self.take_more(1, at);
    }

    /// The same for some sends.
    pub(super) fn take_more(&mut self, sent: u32, at: Duration) {
        self.expire(at);
        self.count(sent, at);
    }

    /// Counts a send that is yet to come, by a minute at most: what is inside now stays.
    pub(super) fn take_ahead(&mut self, at: Duration) {
        self.expire(at.saturating_sub(Duration::from_secs(CELL_STAYS)));
        self.count(1, at);
    }

    fn count(&mut self, sent: u32, at: Duration) {
        let second = second_of(at);
        match self.cells.back_mut() {
            Some(cell) if cell.second >= second => cell.sent = cell.sent.saturating_add(sent),
            _ => {
                make_room(&mut self.cells);
                self.cells.push_back(Cell { second, sent });
            }
        }
    }

    /// Takes back a send that never happened.
    pub(super) fn give_back(&mut self, at: Duration) {
        if let Some(cell) = self.cells.iter_mut().find(|cell| cell.second == second_of(at)) {
            cell.sent = cell.sent.saturating_sub(1);
        }
    }

    /// Adds what another window holds; what has left is dropped first.
    pub(super) fn merge(&mut self, mut other: Self, now: Duration) {
        self.expire(now);
        other.expire(now);
        for cell in other.cells {
            let position = self.cells.partition_point(|own| own.second < cell.second);
            match self.cells.get_mut(position) {
                Some(own) if own.second == cell.second => own.sent += cell.sent,
                _ => self.cells.insert(position, cell),
            }
        }
    }

    /// Gives the memory of an empty window back.
    pub(super) fn shrink(&mut self, now: Duration) {
        if self.used(now) == 0 {
            *self = Self::default();
        }
    }

    fn expire(&mut self, now: Duration) {
        while self.cells.front().is_some_and(|cell| cell.leaves_at() <= now) {
            self.cells.pop_front();
        }
    }

    fn inside(&self, now: Duration) -> impl Iterator<Item = Cell> {
        self.cells.iter().copied().skip_while(move |cell| cell.leaves_at() <= now)
    }
}

/// Room for one more, where there is none at all: by itself a queue begins with room for four.
fn make_room<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() == 0 {
        queue.reserve_exact(1);
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
