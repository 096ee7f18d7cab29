//! The queue of one account: a lane for each caller, proofs before calls, whoever had least of the last second first.
//!
//! An order and nothing else: it knows no time, no budget and no timers. Among callers that had equally much it goes
//! round; a caller with a thousand calls waiting holds up one with a single call by one slot at most.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::window::CallerId;

/// Tells one waiter from another; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct WaiterId(pub(super) u64);

/// Which of a caller's lines. Background work waits for nothing but the store's answer, where bookings are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Proofs,
    Calls,
    Background,
}

impl Line {
    /// All of them, in the order in which they are served.
    pub(super) const ALL: [Self; 3] = [Self::Proofs, Self::Calls, Self::Background];
}

/// Who waits for one account.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: VecDeque<Lane>,
}

#[derive(Debug)]
struct Lane {
    caller: CallerId,
    proofs: VecDeque<WaiterId>,
    calls: VecDeque<WaiterId>,
    background: VecDeque<WaiterId>,
}

impl Lane {
    fn line(&self, line: Line) -> &VecDeque<WaiterId> {
        match line {
            Line::Proofs => &self.proofs,
            Line::Calls => &self.calls,
            Line::Background => &self.background,
        }
    }

    fn line_mut(&mut self, line: Line) -> &mut VecDeque<WaiterId> {
        match line {
            Line::Proofs => &mut self.proofs,
            Line::Calls => &mut self.calls,
            Line::Background => &mut self.background,
        }
    }

    fn is_empty(&self) -> bool {
        Line::ALL.iter().all(|line| self.line(*line).is_empty())
    }
}

impl Queue {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// How many wait in a line.
    pub(super) fn len(&self, line: Line) -> usize {
        self.lanes.iter().map(|lane| lane.line(line).len()).sum()
    }

    /// The first of each caller's line that is ready, in turn.
    pub(super) fn heads(
        &self,
        line: Line,
        is_ready: impl Fn(WaiterId) -> bool,
    ) -> impl Iterator<Item = (CallerId, WaiterId)> {
        self.lanes.iter().filter_map(move |lane| {
            let first = lane.line(line).iter().copied().find(|waiter| is_ready(*waiter))?;
            Some((lane.caller, first))
        })
    }

    /// Everybody who waits, as their turns will come if nobody else does, where `had` says what each caller had of the last
    /// second.
    pub(super) fn in_turn(&self, had: impl Fn(CallerId) -> u32) -> impl Iterator<Item = WaiterId> {
        let turns = |line| {
            let lanes = self.lanes.iter().enumerate().filter(|(_, lane)| !lane.line(line).is_empty());
            let first = lanes.map(|(index, lane)| Reverse((had(lane.caller), index, 0)));
            let mut next: BinaryHeap<Reverse<(u32, usize, usize)>> = first.collect();
            std::iter::from_fn(move || {
                let Reverse((had, lane, position)) = next.pop()?;
                let waiters = self.lanes[lane].line(line);
                if position + 1 < waiters.len() {
                    next.push(Reverse((had.saturating_add(1), lane, position + 1)));
                }
                waiters.get(position).copied()
            })
        };
        turns(Line::Proofs).chain(turns(Line::Calls)).chain(turns(Line::Background))
    }

    /// Everybody who waits.
    pub(super) fn waiters(&self) -> impl Iterator<Item = WaiterId> {
        self.lanes
            .iter()
            .flat_map(|lane| lane.proofs.iter().chain(&lane.calls).chain(&lane.background))
            .copied()
    }

    /// Puts a waiter behind the others of its caller.
    pub(super) fn push(&mut self, caller: CallerId, line: Line, waiter: WaiterId) {
        let position = self.lanes.iter().position(|lane| lane.caller == caller).unwrap_or_else(|| {
            let (proofs, calls, background) = Default::default();
            self.lanes.push_back(Lane { caller, proofs, calls, background });
            self.lanes.len() - 1
        });
        self.lanes[position].line_mut(line).push_back(waiter);
    }

    /// Takes out one of a caller's line whose turn it is, and the caller goes behind all others.
    pub(super) fn serve(&mut self, caller: CallerId, line: Line, waiter: WaiterId) {
        let Some(position) = self.lanes.iter().position(|lane| lane.caller == caller) else { return };
        let Some(mut lane) = self.lanes.remove(position) else { return };
        lane.line_mut(line).retain(|other| *other != waiter);
        if !lane.is_empty() {
            self.lanes.push_back(lane);
        }
    }

    /// Takes out a waiter that leaves.
    pub(super) fn remove(&mut self, caller: CallerId, line: Line, waiter: WaiterId) {
        let Some(position) = self.lanes.iter().position(|lane| lane.caller == caller) else { return };
        let lane = &mut self.lanes[position];
        lane.line_mut(line).retain(|other| *other != waiter);
        if lane.is_empty() {
            self.lanes.remove(position);
        }
    }

    /// Takes the newest waiter of the longest line, if that is longer than the line of `caller` with one more in it:
    /// who fills the queue makes room in it.
    pub(super) fn displace(&mut self, line: Line, caller: CallerId) -> Option<WaiterId> {
        let own =
            self.lanes.iter().find(|lane| lane.caller == caller).map_or(0, |lane| lane.line(line).len());
        let longest = self.lanes.iter_mut().max_by_key(|lane| lane.line(line).len())?;
        if longest.line(line).len() <= own + 1 {
            return None;
        }
        longest.line_mut(line).pop_back()
    }

    /// How many would go before one more of `caller`, where `had` says what each caller had of the last second.
    pub(super) fn ahead(&self, line: Line, caller: CallerId, had: impl Fn(CallerId) -> u32) -> u32 {
        let own =
            self.lanes.iter().find(|lane| lane.caller == caller).map_or(0, |lane| lane.line(line).len());
        let mine = had(caller) as usize + own;
        let others = self.lanes.iter().filter(|lane| lane.caller != caller);
        let earlier: usize = others
            .map(|lane| lane.line(line).len().min((mine + 1).saturating_sub(had(lane.caller) as usize)))
            .sum();
        let proofs = if line == Line::Calls { self.len(Line::Proofs) } else { 0 };
        u32::try_from(own + earlier + proofs).unwrap_or(u32::MAX)
    }

    /// Takes over who waits elsewhere, behind those who wait here.
    pub(super) fn merge(&mut self, other: Self) {
        for lane in other.lanes {
            for line in Line::ALL {
                for waiter in lane.line(line) {
                    self.push(lane.caller, line, *waiter);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: CallerId = CallerId(1);
    const B: CallerId = CallerId(2);

    fn queue(waiting: &[(CallerId, Line, u64)]) -> Queue {
        let mut queue = Queue::default();
        for (caller, line, waiter) in waiting {
            queue.push(*caller, *line, WaiterId(*waiter));
        }
        queue
    }

    #[test]
    fn callers_take_turns_whatever_their_lines_hold() {
        let mut queue =
            queue(&[(A, Line::Calls, 1), (A, Line::Calls, 2), (A, Line::Calls, 3), (B, Line::Calls, 4)]);
        let mut order = Vec::new();
        while let Some((caller, waiter)) = { queue.heads(Line::Calls, |_| true).next() } {
            order.push(waiter.0);
            queue.serve(caller, Line::Calls, waiter);
        }
        assert_eq!(order, [1, 4, 2, 3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_goes_before_one_more_is_what_its_turn_says() {
        let queue = queue(&[
            (A, Line::Calls, 1),
            (A, Line::Calls, 2),
            (A, Line::Calls, 3),
            (B, Line::Calls, 4),
            (B, Line::Proofs, 5),
        ]);
        let nobody_had_any = |_| 0;
        let a_had_ten = |caller| if caller == A { 10 } else { 0 };
        for (caller, line, had, ahead) in [
            (A, Line::Calls, &nobody_had_any as &dyn Fn(CallerId) -> u32, 3 + 1 + 1),
            (B, Line::Calls, &nobody_had_any, 1 + 2 + 1),
            (CallerId(3), Line::Calls, &nobody_had_any, 1 + 1 + 1),
            (CallerId(3), Line::Calls, &a_had_ten, 1 + 1),
            (CallerId(3), Line::Proofs, &nobody_had_any, 1),
        ] {
            assert_eq!(queue.ahead(line, caller, had), ahead, "{caller:?} {line:?}");
        }
    }

    #[test]
    fn only_a_longer_line_makes_room() {
        let mut queue = queue(&[(A, Line::Calls, 1), (A, Line::Calls, 2), (B, Line::Calls, 3)]);
        assert_eq!(queue.displace(Line::Calls, A), None);
        assert_eq!(queue.displace(Line::Calls, B), None);
        assert_eq!(queue.displace(Line::Calls, CallerId(3)), Some(WaiterId(2)));
        assert_eq!(queue.displace(Line::Calls, CallerId(3)), None);
    }
}
