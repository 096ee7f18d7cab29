//! What the scripts mean, in plain Rust: [`super::tests`] replays the same calls on both.
//!
//! The simulation of the budget over many replicas uses it as the store.

use std::collections::{HashMap, VecDeque};

use crate::shield::booking::ProbeFate;

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const FURTHEST: u64 = 4 * SECOND;
const SET_BACK: u64 = 5 * SECOND;
const LONGEST_HOLD: u64 = 120 * SECOND;
const PROBE_LASTS: u64 = 10 * SECOND;
const PROBE_ANSWERS: u64 = SECOND / 4;

/// All accounts of a store.
#[derive(Debug, Default)]
pub(crate) struct Model {
    accounts: HashMap<u64, Account>,
}

#[derive(Debug, Default)]
struct Account {
    /// The latest first.
    moments: VecDeque<u64>,
    gate: Gate,
}

#[derive(Clone, Copy, Debug)]
struct Gate {
    closed: u64,
    probing: u64,
    probe: u64,
    part: u64,
    since: u64,
}

impl Default for Gate {
    fn default() -> Self {
        Self { closed: 0, probing: 0, probe: 0, part: 1000, since: 0 }
    }
}

/// A question, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) accounts: &'a [u64],
    pub(crate) timeout: u64,
    pub(crate) patience: u64,
    pub(crate) not_before: u64,
    pub(crate) background: bool,
    pub(crate) paced: bool,
    pub(crate) probe: u64,
    pub(crate) per_second: u64,
    pub(crate) per_minute: u64,
}

/// What `spent.lua` is told of an account's limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) moments: u64,
    pub(crate) per_second: u64,
}

impl Gate {
    fn part(self, now: u64) -> u64 {
        if self.since > now + SET_BACK {
            return 1000;
        }
        (self.part + now.saturating_sub(self.since) * 100 / MINUTE).min(1000)
    }
}

impl Account {
    fn nth_last(&self, n: u64) -> u64 {
        self.moments.get(usize::try_from(n - 1).unwrap()).copied().unwrap_or(0)
    }

    fn push(&mut self, at: u64, kept: u64) {
        self.moments.push_front(at);
        self.moments.truncate(usize::try_from(kept).unwrap());
    }

    fn later_than(&self, moment: u64, limit: u64) -> u64 {
        let later = self.moments.iter().take_while(|at| **at > moment).count() as u64;
        later.min(limit)
    }
}

impl Model {
    /// What is held of an account, the latest first.
    pub(crate) fn moments(&self, account: u64) -> Vec<u64> {
        self.accounts
            .get(&account)
            .map(|account| account.moments.iter().copied().collect())
            .unwrap_or_default()
    }

    /// The memory of an account is gone.
    pub(crate) fn evict(&mut self, account: u64) {
        self.accounts.remove(&account);
    }

    /// `book.lua`.
    pub(crate) fn book(&mut self, asked: &Asked<'_>, now: u64) -> [u64; 5] {
        let (mut held, mut is_probe) = (0, 0);
        for key in asked.accounts {
            let gate = self.accounts.entry(*key).or_default().gate;
            let closed = if gate.closed > now + LONGEST_HOLD { 0 } else { gate.closed };
            if closed > now {
                held = held.max(closed - now);
            } else if gate.probing > now && gate.probing <= now + FURTHEST + PROBE_LASTS {
                held = held.max((gate.probing - now).min(PROBE_ANSWERS));
            } else if closed > 0 {
                is_probe = 1;
            }
        }
        let allowed = self.accounts[&asked.accounts[0]].gate.part(now);
        if held > 0 {
            return [2, held, now, 0, allowed];
        }
        let kept = asked.per_second.max(asked.per_minute);
        let (mut earliest, mut at) = (u64::MAX, now + asked.not_before);
        for key in asked.accounts {
            let account = self.accounts.get_mut(key).unwrap();
            let own = account.next(asked, kept, now).max(now);
            (earliest, at) = (earliest.min(own), at.max(own));
        }
        if at - earliest > asked.timeout || at - now > asked.patience.min(FURTHEST) {
            return [1, at - now, now, 0, allowed];
        }
        for key in asked.accounts {
            let account = self.accounts.get_mut(key).unwrap();
            account.push(at, kept);
            let gate = &mut account.gate;
            if gate.closed > 0 && gate.closed <= now + LONGEST_HOLD {
                *gate = Gate { closed: now, probing: at + PROBE_LASTS, probe: asked.probe, ..*gate };
            }
        }
        [0, at - now, now, is_probe, allowed]
    }

    /// `gate.lua`: a hold.
    pub(crate) fn hold(&mut self, account: u64, lasts: u64, now: u64) {
        let gate = &mut self.accounts.entry(account).or_default().gate;
        let earlier = if gate.closed > now + LONGEST_HOLD { 0 } else { gate.closed };
        let closed = earlier.max(now + lasts.min(LONGEST_HOLD));
        *gate = Gate { closed, probing: 0, probe: 0, ..*gate };
    }

    /// `gate.lua`: what became of a probe.
    pub(crate) fn probed(&mut self, account: u64, probe: u64, fate: ProbeFate) {
        let gate = &mut self.accounts.entry(account).or_default().gate;
        if gate.probe == probe {
            let closed = match fate {
                ProbeFate::Passed => 0,
                ProbeFate::Lost => gate.closed,
            };
            *gate = Gate { closed, probing: 0, probe: 0, ..*gate };
        }
    }

    /// `refused.lua`.
    pub(crate) fn refused(&mut self, asked: &Asked<'_>, sent: u64, now: u64) {
        let account = self.accounts.entry(asked.accounts[0]).or_default();
        let limit = asked.per_second.max(asked.per_minute);
        let inside = |length: u64| {
            let before = account.later_than(sent.saturating_sub(length + asked.timeout), limit);
            before.saturating_sub(account.later_than(sent, limit))
        };
        let had = (inside(SECOND) * 1000 / asked.per_second).max(inside(MINUTE) * 1000 / asked.per_minute);
        if had >= 1000 {
            return;
        }
        let mut gate = account.gate;
        if gate.since > now + SET_BACK {
            (gate.part, gate.since) = (1000, 0);
        }
        if sent <= gate.since {
            gate.part = gate.part.min(had.saturating_sub(100).max(500));
        } else {
            let risen = gate.part(now);
            (gate.part, gate.since) = (had.min(risen).saturating_sub(100).max(500), now);
        }
        account.gate = gate;
    }

    /// `spent.lua`, by the limits that are the default.
    pub(crate) fn spent(&mut self, account: u64, calls: u64, kept: u64, now: u64) {
        self.spent_within(account, calls, Kept { moments: kept, per_second: 90 }, now);
    }

    /// `spent.lua`.
    pub(crate) fn spent_within(&mut self, account: u64, mut calls: u64, kept: Kept, now: u64) {
        let Kept { moments: kept, per_second } = kept;
        let account = self.accounts.entry(account).or_default();
        let mut last = account.nth_last(1);
        if last > now + SET_BACK {
            account.moments.clear();
            (last, calls) = (now, calls + per_second);
        }
        for _ in 0..calls.min(kept) {
            account.push(last.max(now), kept);
        }
    }
}

impl Account {
    /// The earliest moment for one more call.
    fn next(&mut self, asked: &Asked<'_>, kept: u64, now: u64) -> u64 {
        let part = self.gate.part(now);
        let per_second = (asked.per_second * part / 1000).max(1);
        let per_minute = (asked.per_minute * part / 1000).max(1);
        let mut last = self.nth_last(1);
        if last > now + FURTHEST + asked.timeout {
            self.moments.clear();
            for _ in 0..per_second {
                self.push(now, kept);
            }
            last = now;
        }
        if asked.paced {
            last += (SECOND + asked.timeout) / per_second;
        }
        let minute = if asked.background { (per_minute - per_minute / 5).max(1) } else { per_minute };
        last.max(self.nth_last(per_second) + SECOND + asked.timeout)
            .max(self.nth_last(minute) + MINUTE + asked.timeout)
    }
}
