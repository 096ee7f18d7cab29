//! The queue of one account: a lane for each caller, proofs before calls, whoever had least of the last second first.
//!
//! An order and nothing else: it knows no time, no budget and no timers. Among callers that had equally much it goes
//! round; a caller with a thousand calls waiting holds up one with a single call by one slot at most.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::num::NonZeroU32;

use super::rare::AtFirst;
use super::window::CallerId;

/// Tells one waiter from another; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct WaiterId(pub(super) u64);

/// Which of a caller's lines. Background work waits for nothing but the store's answer, where bookings are asked for; calls of
/// callers that have what others leave wait for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Proofs,
    Calls,
    Background,
    Spare,
}

impl Line {
    /// All of them, in the order in which they are served.
    pub(super) const ALL: [Self; 4] = [Self::Proofs, Self::Calls, Self::Background, Self::Spare];
}

/// What a caller had of the last second, beside what its part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Had {
    pub(super) calls: u32,
    pub(super) weight: NonZeroU32,
}

impl Had {
    /// Who has the lowest goes first; `more` is what it will have had by then.
    pub(super) fn rank(self, more: u32) -> u64 {
        /// Weights up to 1000 are told apart.
        const SCALE: u64 = 1_000_000;
        (u64::from(self.calls) + u64::from(more)) * SCALE / u64::from(self.weight.get())
    }
}

/// Where somebody waits in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) caller: CallerId,
    /// Inside its caller's line credentials go round.
    pub(super) credential: CallerId,
    pub(super) line: Line,
}

/// Who waits for one account.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: VecDeque<Lane>,
}

impl AtFirst for Queue {
    fn at_first() -> &'static Self {
        static AT_FIRST: Queue = Queue { lanes: VecDeque::new() };
        &AT_FIRST
    }
}

#[derive(Debug)]
struct Lane {
    caller: CallerId,
    lines: [Waiting; Line::ALL.len()],
}

/// One line of a caller: those of each of its credentials, which go round.
#[derive(Debug, Default)]
struct Waiting {
    credentials: VecDeque<(CallerId, VecDeque<WaiterId>)>,
    length: usize,
}

impl Waiting {
    /// All of them, as they go round.
    fn iter(&self) -> impl Iterator<Item = WaiterId> {
        let longest = self.credentials.iter().map(|(_, waiters)| waiters.len()).max().unwrap_or(0);
        (0..longest).flat_map(|round| {
            self.credentials.iter().filter_map(move |(_, waiters)| waiters.get(round).copied())
        })
    }

    /// The first of them, as they go round, that is ready.
    fn first(&self, is_ready: impl Fn(WaiterId) -> bool) -> Option<WaiterId> {
        match self.credentials.front() {
            // Nearly always.
            Some((_, waiters)) if self.credentials.len() == 1 => {
                waiters.iter().copied().find(|waiter| is_ready(*waiter))
            }
            _ => self.iter().find(|waiter| is_ready(*waiter)),
        }
    }

    /// The one at a place of that order.
    fn get(&self, place: usize) -> Option<WaiterId> {
        match self.credentials.front() {
            Some((_, waiters)) if self.credentials.len() == 1 => waiters.get(place).copied(),
            _ => self.iter().nth(place),
        }
    }

    fn push(&mut self, credential: CallerId, waiter: WaiterId) {
        self.length += 1;
        match self.credentials.iter_mut().find(|(other, _)| *other == credential) {
            Some((_, waiters)) => waiters.push_back(waiter),
            None => self.credentials.push_back((credential, VecDeque::from([waiter]))),
        }
    }

    /// Takes one out; its credential goes behind the others if its turn has come.
    fn take(&mut self, waiter: WaiterId, then: Then) {
        let found = self.credentials.iter().enumerate().find_map(|(place, (_, waiters))| {
            Some((place, waiters.iter().position(|other| *other == waiter)?))
        });
        let Some((place, position)) = found else { return };
        self.length -= 1;
        self.credentials[place].1.remove(position);
        if self.credentials[place].1.is_empty() {
            self.credentials.remove(place);
        } else if then == Then::GoesRound
            && let Some(served) = self.credentials.remove(place)
        {
            self.credentials.push_back(served);
        }
    }

    /// Takes the newest of the credential with most of them.
    fn take_newest(&mut self) -> Option<WaiterId> {
        let (_, longest) = self.credentials.iter_mut().max_by_key(|(_, waiters)| waiters.len())?;
        let newest = longest.pop_back()?;
        self.length -= 1;
        self.credentials.retain(|(_, waiters)| !waiters.is_empty());
        Some(newest)
    }
}

/// What becomes of a credential of which one was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoesRound,
    Stays,
}

impl Lane {
    const fn line(&self, line: Line) -> &Waiting {
        &self.lines[line as usize]
    }

    const fn line_mut(&mut self, line: Line) -> &mut Waiting {
        &mut self.lines[line as usize]
    }

    fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.length == 0)
    }
}

impl Queue {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// How many wait in a line.
    pub(super) fn len(&self, line: Line) -> usize {
        self.lanes.iter().map(|lane| lane.line(line).length).sum()
    }

    /// Whether anybody waits for a turn, and not for what others leave.
    pub(super) fn has_turns(&self) -> bool {
        self.len(Line::Proofs) + self.len(Line::Calls) > 0
    }

    /// How many of one caller wait in a line.
    pub(super) fn len_of(&self, line: Line, caller: CallerId) -> usize {
        self.lanes.iter().find(|lane| lane.caller == caller).map_or(0, |lane| lane.line(line).length)
    }

    /// The first of each caller's line that is ready, in turn.
    pub(super) fn heads(
        &self,
        line: Line,
        is_ready: impl Fn(WaiterId) -> bool,
    ) -> impl Iterator<Item = (CallerId, WaiterId)> {
        self.lanes.iter().filter_map(move |lane| Some((lane.caller, lane.line(line).first(&is_ready)?)))
    }

    /// Everybody who waits, as their turns will come if nobody else does, where `had` says what each caller had of the last
    /// second.
    pub(super) fn in_turn(&self, had: impl Fn(CallerId) -> Had) -> impl Iterator<Item = WaiterId> {
        let turns = |line| {
            let lanes = self.lanes.iter().enumerate().filter(|(_, lane)| lane.line(line).length > 0);
            let mut parts = HashMap::new();
            let first = lanes.map(|(place, lane)| {
                let had = had(lane.caller);
                parts.insert(place, had);
                Reverse((had.rank(0), place, 0))
            });
            let mut next: BinaryHeap<Reverse<(u64, usize, u32)>> = first.collect();
            std::iter::from_fn(move || {
                let Reverse((_, place, position)) = next.pop()?;
                let (had, waiting) = (parts.get(&place)?, self.lanes[place].line(line));
                if (position as usize) + 1 < waiting.length {
                    next.push(Reverse((had.rank(position + 1), place, position + 1)));
                }
                waiting.get(position as usize)
            })
        };
        turns(Line::Proofs).chain(turns(Line::Calls)).chain(turns(Line::Background)).chain(turns(Line::Spare))
    }

    /// Everybody who waits.
    pub(super) fn waiters(&self) -> impl Iterator<Item = WaiterId> {
        let lines = self.lanes.iter().flat_map(|lane| &lane.lines);
        lines.flat_map(|line| &line.credentials).flat_map(|(_, waiters)| waiters.iter().copied())
    }

    /// Puts a waiter behind the others of its credential.
    pub(super) fn push(&mut self, seat: Seat, waiter: WaiterId) {
        let caller = seat.caller;
        let position = self.lanes.iter().position(|lane| lane.caller == caller).unwrap_or_else(|| {
            self.lanes.push_back(Lane { caller, lines: Default::default() });
            self.lanes.len() - 1
        });
        self.lanes[position].line_mut(seat.line).push(seat.credential, waiter);
    }

    /// Takes out one of a caller's line whose turn it is; the caller goes behind all others, and its credential behind the
    /// caller's others.
    pub(super) fn serve(&mut self, caller: CallerId, line: Line, waiter: WaiterId) {
        let Some(position) = self.lanes.iter().position(|lane| lane.caller == caller) else { return };
        let Some(mut lane) = self.lanes.remove(position) else { return };
        lane.line_mut(line).take(waiter, Then::GoesRound);
        if !lane.is_empty() {
            self.lanes.push_back(lane);
        }
    }

    /// Takes out a waiter that leaves.
    pub(super) fn remove(&mut self, caller: CallerId, line: Line, waiter: WaiterId) {
        let Some(position) = self.lanes.iter().position(|lane| lane.caller == caller) else { return };
        let lane = &mut self.lanes[position];
        lane.line_mut(line).take(waiter, Then::Stays);
        if lane.is_empty() {
            self.lanes.remove(position);
        }
    }

    /// Takes the newest waiter of the longest line, if that is longer than the line of `caller` with one more in it:
    /// who fills the queue makes room in it.
    pub(super) fn displace(&mut self, line: Line, caller: CallerId) -> Option<WaiterId> {
        let own = self.len_of(line, caller);
        let longest = self.lanes.iter_mut().max_by_key(|lane| lane.line(line).length)?;
        if longest.line(line).length <= own + 1 {
            return None;
        }
        longest.line_mut(line).take_newest()
    }

    /// How many would go before one more of `caller`, where `had` says what each caller had of the last second.
    pub(super) fn ahead(&self, line: Line, caller: CallerId, had: impl Fn(CallerId) -> Had) -> u32 {
        let own = u32::try_from(self.len_of(line, caller)).unwrap_or(u32::MAX);
        let mine = had(caller);
        let others = self.lanes.iter().filter(|lane| lane.caller != caller);
        let earlier: usize = others
            .map(|lane| {
                let other = had(lane.caller);
                // As many as have its rank or a lower one.
                let reached = u64::from(mine.calls) + u64::from(own) + 1;
                let reached = reached * u64::from(other.weight.get()) / u64::from(mine.weight.get());
                let before = reached.saturating_sub(u64::from(other.calls));
                lane.line(line).length.min(usize::try_from(before).unwrap_or(usize::MAX))
            })
            .sum();
        let urgent = match line {
            Line::Proofs => 0,
            Line::Calls | Line::Background => self.len(Line::Proofs),
            Line::Spare => self.len(Line::Proofs) + self.len(Line::Calls),
        };
        u32::try_from(own as usize + earlier + urgent).unwrap_or(u32::MAX)
    }

    /// Takes over who waits elsewhere, behind those who wait here.
    pub(super) fn merge(&mut self, other: Self) {
        for lane in other.lanes {
            for line in Line::ALL {
                for (credential, waiters) in &lane.line(line).credentials {
                    for waiter in waiters {
                        self.push(Seat { caller: lane.caller, credential: *credential, line }, *waiter);
                    }
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
            let seat = Seat { caller: *caller, credential: *caller, line: *line };
            queue.push(seat, WaiterId(*waiter));
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
        let had = |calls| Had { calls, weight: NonZeroU32::MIN };
        let nobody_had_any = |_| had(0);
        let a_had_ten = |caller| had(if caller == A { 10 } else { 0 });
        for (caller, line, had, ahead) in [
            (A, Line::Calls, &nobody_had_any as &dyn Fn(CallerId) -> Had, 3 + 1 + 1),
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

    #[test]
    fn credentials_of_one_caller_go_round() {
        let mut queue = Queue::default();
        for (credential, waiter) in [(1, 1), (1, 2), (1, 3), (2, 4), (3, 5)] {
            let seat = Seat { caller: A, credential: CallerId(credential), line: Line::Calls };
            queue.push(seat, WaiterId(waiter));
        }
        let expected: Vec<u64> =
            queue.in_turn(|_| Had { calls: 0, weight: NonZeroU32::MIN }).map(|waiter| waiter.0).collect();
        let mut order = Vec::new();
        while let Some((caller, waiter)) = { queue.heads(Line::Calls, |_| true).next() } {
            order.push(waiter.0);
            queue.serve(caller, Line::Calls, waiter);
        }
        assert_eq!((order.as_slice(), expected.as_slice()), (&[1, 4, 5, 2, 3][..], &[1, 4, 5, 2, 3][..]));
    }

    #[test]
    fn a_caller_of_twice_the_weight_has_twice_the_turns() {
        let calls = |caller, first: u64| (first..first + 6).map(move |waiter| (caller, Line::Calls, waiter));
        let waiting: Vec<_> = calls(A, 10).chain(calls(B, 20)).collect();
        let weight = |caller| if caller == A { 2 } else { 1 };
        let had = |caller| Had { calls: 0, weight: NonZeroU32::new(weight(caller)).unwrap() };
        let turns: Vec<u64> = queue(&waiting).in_turn(had).take(9).map(|waiter| waiter.0 / 10).collect();
        assert_eq!(turns.iter().filter(|caller| **caller == 1).count(), 6, "{turns:?}");
    }
}
