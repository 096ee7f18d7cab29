//! A history that breaks a promise becomes a smaller one that breaks the same, by leaving out what it does without (delta
//! debugging, Zeller and Hildebrandt 2002).

use std::fmt;
use std::rc::Rc;

use super::decision::{Decision, Kind};
use super::event::Lines;
use super::setting::Setting;
use super::{Broken, Failure, replay};

/// So many decisions are carried out for it at most: a bound in time would give another history each time.
const MOST: usize = 100_000;
/// The end is worth so many.
const END: usize = 200;

/// Of a history of so many at most, two at once are left out wherever they stand: who asks, and who is answered.
const PAIRS: usize = 64;

/// What is left of it.
#[derive(Debug)]
pub(super) struct Shrunk {
    pub(super) broken: Broken,
    pub(super) history: Vec<Decision>,
    pub(super) lines: Vec<String>,
    /// How many decisions it had been.
    pub(super) of: usize,
}

impl Shrunk {
    /// How often a client asks in it.
    pub(super) fn operations(&self) -> usize {
        self.history.iter().filter(|decision| matches!(decision.kind, Kind::Ask(_))).count()
    }
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { promise, how } = &self.broken;
        writeln!(f, "BROKEN: {promise}: {how}")?;
        let (left, of, asks) = (self.history.len(), self.of, self.operations());
        writeln!(f, "shrunk from {of} decisions to {left}, with {asks} requests:")?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

struct Shrinking {
    setting: Setting,
    promise: &'static str,
    left: usize,
}

/// Leaves out as much as can be.
pub(super) fn shrink(failure: Failure, setting: Setting) -> Shrunk {
    let of = failure.history.len();
    let mut shrinking = Shrinking { setting, promise: failure.broken.promise, left: MOST };
    let mut history = shrinking.latest(failure.history);
    let mut piece = history.len().div_ceil(2);
    while piece > 0 && shrinking.left > 0 {
        let before = history.len();
        history = shrinking.without_pieces(history, piece);
        // Single ones again and again, for as long as that helps: one may stand in the way of another.
        piece = if piece == 1 && history.len() < before { 1 } else { piece / 2 };
    }
    if history.len() <= PAIRS {
        history = shrinking.without_pairs(history);
    }
    let lines = Lines::default();
    let broken = replay(&history, setting, Some(Rc::clone(&lines))).err().unwrap_or(failure.broken);
    Shrunk { broken, history, lines: lines.take(), of }
}

impl Shrinking {
    /// What comes late breaks it as a rule, with little of what came before.
    fn latest(&mut self, history: Vec<Decision>) -> Vec<Decision> {
        let mut length = 32;
        while length < history.len() {
            let late = &history[history.len() - length..];
            if self.still_breaks(late) {
                return late.to_vec();
            }
            length *= 2;
        }
        history
    }

    fn without_pieces(&mut self, mut history: Vec<Decision>, piece: usize) -> Vec<Decision> {
        // From the end on: what breaks it stands there, and what comes behind that goes at once.
        let mut end = history.len();
        while end > 0 && self.left > 0 {
            let begin = end.saturating_sub(piece);
            let mut rest = history[..begin].to_vec();
            rest.extend_from_slice(&history[end..]);
            if self.still_breaks(&rest) {
                history = rest;
            }
            end = begin;
        }
        history
    }

    fn without_pairs(&mut self, mut history: Vec<Decision>) -> Vec<Decision> {
        let mut first = 0;
        while first < history.len() && self.left > 0 {
            let without = |second: usize| {
                let kept = history.iter().enumerate().filter(|(at, _)| *at != first && *at != second);
                kept.map(|(_, decision)| *decision).collect::<Vec<_>>()
            };
            let shorter = (first..history.len()).map(without).find(|rest| self.still_breaks(rest));
            match shorter {
                Some(rest) => history = rest,
                None => first += 1,
            }
        }
        history
    }

    fn still_breaks(&mut self, history: &[Decision]) -> bool {
        let cost = |decision: &Decision| if decision.kind == Kind::End { END } else { 1 };
        self.left = self.left.saturating_sub(history.iter().map(cost).sum::<usize>().max(1));
        replay(history, self.setting, None).is_err_and(|broken| broken.promise == self.promise)
    }
}
