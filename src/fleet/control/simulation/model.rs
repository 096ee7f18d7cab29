//! [`Store`]: what the scripts do, in Rust. `replay` holds it against real servers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::{ControlScript, Reply};

/// A score that is beyond all others: the mark's.
const BEYOND: u64 = u64::MAX;

/// What a script rests on and can be left out, to see that the simulation misses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreRule {
    /// A history is of one server process.
    RunId,
    /// An empty list of members is told from one that is gone.
    MembersMark,
    /// The log is missed when it is gone, or lacks what a member has read.
    LogIsThere,
    /// Whoever has beaten since is not removed.
    RemoveByBeat,
    /// What counts is what a member has applied, not what it was sent.
    AppliedNotSent,
}

/// A server with the control state of one fleet.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(super) keys: Keys,
    pub(super) left_out: Option<StoreRule>,
}

/// What is in it, which is also what is in its file.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    pub(super) state: Option<State>,
    pub(super) log: BTreeMap<u64, Vec<u8>>,
    pub(super) members: SortedSet,
    pub(super) beats: SortedSet,
    pub(super) open: SortedSet,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    run_id: Vec<u8>,
    history: Vec<u8>,
}

/// A key that is gone is an empty one.
#[derive(Clone, Debug, Default)]
pub(super) struct SortedSet {
    scores: HashMap<Vec<u8>, u64>,
    order: BTreeSet<(u64, Vec<u8>)>,
}

impl SortedSet {
    fn add(&mut self, score: u64, member: &[u8]) {
        if let Some(old) = self.scores.insert(member.to_vec(), score) {
            self.order.remove(&(old, member.to_vec()));
        }
        self.order.insert((score, member.to_vec()));
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        let Some(old) = self.scores.remove(member) else { return false };
        self.order.remove(&(old, member.to_vec()))
    }

    fn score(&self, member: &[u8]) -> Option<u64> {
        self.scores.get(member).copied()
    }

    fn first(&self) -> Option<&(u64, Vec<u8>)> {
        self.order.first()
    }

    fn up_to(&self, score: u64, most: usize) -> Vec<Vec<u8>> {
        let below = self.order.iter().take_while(|(its, _)| *its <= score);
        below.take(most).map(|(_, member)| member.clone()).collect()
    }

    pub(super) fn contains(&self, member: &[u8]) -> bool {
        self.scores.contains_key(member)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.order.iter().map(|(_, member)| member)
    }
}

/// A call as the scripts see it, and what they leave.
struct Run<'a> {
    store: &'a mut Store,
    args: &'a [Vec<u8>],
    time: u64,
    bells: Vec<Vec<u8>>,
}

impl Store {
    pub(crate) fn new(left_out: Option<StoreRule>) -> Self {
        Self { keys: Keys::default(), left_out }
    }

    /// Runs a script at this time in microseconds; returns its reply and what the bell brings.
    pub(crate) fn call(
        &mut self,
        script: ControlScript,
        args: &[Vec<u8>],
        time: u64,
    ) -> (Reply, Vec<Vec<u8>>) {
        let mut run = Run { store: self, args, time, bells: Vec::new() };
        let reply = match script {
            ControlScript::Beat => run.beat(),
            ControlScript::Append => run.append(),
            ControlScript::Open => run.open(),
            ControlScript::Done => int(u64::from(run.store.keys.open.remove(&args[5]))),
            ControlScript::TakeOver => run.take_over(),
            ControlScript::Remove => run.remove(),
            ControlScript::Leave => {
                run.store.keys.beats.remove(&args[5]);
                int(u64::from(run.store.keys.members.remove(&args[5])))
            }
        };
        (reply, run.bells)
    }

    fn keep(&self, rule: StoreRule) -> bool {
        self.left_out != Some(rule)
    }

    fn latest(&self) -> u64 {
        self.keys.log.last_key_value().map_or(0, |(number, _)| *number)
    }
}

impl Run<'_> {
    fn standing(&self) -> Option<Vec<u8>> {
        let keys = &self.store.keys;
        let state = keys.state.as_ref()?;
        let sound = (state.run_id == self.args[0] || !self.store.keep(StoreRule::RunId))
            && (keys.members.contains(b"") || !self.store.keep(StoreRule::MembersMark))
            && keys.beats.contains(b"")
            && keys.open.contains(b"")
            && (!keys.log.is_empty() || !self.store.keep(StoreRule::LogIsThere));
        sound.then(|| state.history.clone())
    }

    fn count(&self) -> u64 {
        self.store.keys.beats.score(b"").expect("marked")
    }

    fn append_one(&mut self, history: &[u8], before: u64, body: &[u8]) -> u64 {
        let number = self.time.max(before + 1);
        self.store.keys.log.insert(number, body.to_vec());
        let head = format!("{before:016}{number:016}");
        self.bells.push([history, head.as_bytes(), body].concat());
        number
    }

    fn begin(&mut self, above: u64) -> Vec<u8> {
        let above = above.max(self.store.latest());
        let first = self.time.max(above + 1);
        let history = [format!("{first:016}").as_bytes(), &self.args[4]].concat();
        self.store.keys = Keys::default();
        let keys = &mut self.store.keys;
        keys.state = Some(State { run_id: self.args[0].clone(), history: history.clone() });
        keys.members.add(BEYOND, b"");
        keys.beats.add(0, b"");
        keys.open.add(BEYOND, b"");
        self.append_one(&history, above, b"");
        history
    }

    fn is_known(&self, history: &[u8], applied: u64) -> bool {
        self.args[1] == history && self.store.keys.log.contains_key(&applied)
    }

    fn after(&self, known: bool, applied: u64, page: usize) -> (Reply, u64) {
        let from = if known { applied + 1 } else { 0 };
        let mut notices = self
            .store
            .keys
            .log
            .range(from..)
            .map(|(number, body)| Reply::Bytes([format!("{number:016}").as_bytes(), body].concat()));
        let page = notices.by_ref().take(page).collect();
        (Reply::List(page), u64::from(notices.next().is_some()))
    }

    /// The history that the caller is in from now on, whether it is new, and whether the caller is known in it.
    fn entered(&mut self, applied: u64) -> (Vec<u8>, bool, bool) {
        let standing = self.standing();
        let known = standing.as_ref().is_some_and(|history| self.is_known(history, applied));
        let missed = self.store.keep(StoreRule::LogIsThere);
        match standing {
            Some(history) if known || applied <= self.store.latest() || !missed => (history, false, known),
            Some(_) | None => (self.begin(applied), true, false),
        }
    }

    fn beat(&mut self) -> Reply {
        let (applied, page) = (number(&self.args[5]), number(&self.args[7]));
        let (history, began, known) = self.entered(applied);
        let (notices, more) = self.after(known, applied, usize::try_from(page).unwrap());
        let beat = self.count() + 1;
        let sent = match &notices {
            Reply::List(list) => list.last().map_or(applied, number_of_notice),
            _ => applied,
        };
        let applied = if known { applied } else { 0 };
        let said = if self.store.keep(StoreRule::AppliedNotSent) { applied } else { sent };
        let keys = &mut self.store.keys;
        keys.beats.add(beat, b"");
        keys.beats.add(beat, &self.args[6]);
        keys.members.add(said, &self.args[6]);
        for open in &self.args[8..] {
            keys.open.add(beat, open);
        }
        let members = keys.members.scores.len() as u64 - u64::from(keys.members.contains(b""));
        let (lowest, by) = keys.members.first().expect("who beats is one").clone();
        let oldest = keys.open.first().filter(|(_, open)| !open.is_empty()).map(|(count, _)| *count);
        Reply::List(vec![
            Reply::Bytes(history),
            int(u64::from(began)),
            int(u64::from(known)),
            int(more),
            int(beat),
            int(members),
            int(lowest),
            Reply::Bytes(by),
            oldest.map_or(Reply::Nil, int),
            int(self.time),
            notices,
        ])
    }

    fn append(&mut self) -> Reply {
        let [applied, page, length] = [5, 6, 7].map(|at| number(&self.args[at]));
        let (history, _, known) = self.entered(applied);
        if !self.args[8].is_empty() {
            self.store.keys.open.remove(&self.args[8]);
        }
        let before = self.store.latest();
        let args = self.args;
        let number = args[9..].iter().fold(before, |number, body| self.append_one(&history, number, body));
        let (notices, more) = self.after(known, applied, usize::try_from(page).unwrap());
        self.trim(length);
        let count = self.count();
        let known = u64::from(known);
        Reply::List(vec![
            Reply::Bytes(history),
            int(number),
            int(before),
            int(known),
            int(more),
            int(count),
            notices,
        ])
    }

    fn open(&mut self) -> Reply {
        if self.standing().as_ref() != Some(&self.args[1]) {
            return Reply::Nil;
        }
        let entered = self.count() + 1;
        self.store.keys.beats.add(entered, b"");
        self.store.keys.open.add(entered, &self.args[5]);
        int(entered)
    }

    fn take_over(&mut self) -> Reply {
        let Some(history) = self.standing().filter(|history| *history == self.args[1]) else {
            return Reply::Nil;
        };
        let orphans = self.store.keys.open.up_to(number(&self.args[5]), 100);
        let mut last = self.store.latest();
        for orphan in &orphans {
            self.store.keys.open.remove(orphan);
            last = self.append_one(&history, last, &orphan[24..]);
        }
        self.trim(number(&self.args[6]));
        int(orphans.len() as u64)
    }

    fn remove(&mut self) -> Reply {
        if self.standing().as_ref() != Some(&self.args[1]) {
            return Reply::Nil;
        }
        let [below, count] = [5, 6].map(|at| number(&self.args[at]));
        let mut removed = 0;
        let behind =
            below.checked_sub(1).map_or_else(Vec::new, |up_to| self.store.keys.members.up_to(up_to, 1000));
        for member in behind {
            let beat = self.store.keys.beats.score(&member).unwrap_or(0);
            if beat <= count || !self.store.keep(StoreRule::RemoveByBeat) {
                self.store.keys.members.remove(&member);
                self.store.keys.beats.remove(&member);
                removed += 1;
            }
        }
        int(removed)
    }

    fn trim(&mut self, length: u64) {
        while self.store.keys.log.len() as u64 > length {
            self.store.keys.log.pop_first();
        }
    }
}

fn int(count: u64) -> Reply {
    Reply::Int(i64::try_from(count).expect("below 2^53"))
}

fn number(digits: &[u8]) -> u64 {
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

fn number_of_notice(notice: &Reply) -> u64 {
    match notice {
        Reply::Bytes(bytes) => number(&bytes[..16]),
        _ => unreachable!("notices are bytes"),
    }
}
