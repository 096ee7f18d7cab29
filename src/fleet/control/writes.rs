//! [`Writes`]: the writes of this replica under way, and what it has to say.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rules::{Rule, Rules};
use super::types::{Event, Held, HistoryId, MemberId, Number, Settled, WriteId};
use crate::clock::Moment;

/// What nobody waits for and could not be said yet; of more than these it is said that everything is invalid.
const MOST_UNANNOUNCED: usize = 4096;
/// A write is held for so many times as long as a lease can last elsewhere, however many histories begin meanwhile.
const LONGEST_HELD: u32 = 3;
/// What is said in place of all that could not be: an empty notice says everything.
const EVERYTHING: WriteId = WriteId(u64::MAX);

/// By write.
#[derive(Debug, Default)]
pub(super) struct Writes(BTreeMap<WriteId, Write>);

/// Whether this replica has a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Leased,
    Alone,
}

#[derive(Debug)]
struct Write {
    /// As it is among the open ones: member, write, last will. None of what is no write.
    entry: Option<Vec<u8>>,
    /// When the write was begun.
    standing: Standing,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The upstream has it, or is about to.
    Open,
    /// It is to be said, or being said, or was said and is held.
    Said(Said),
}

#[derive(Debug)]
struct Said {
    notices: Vec<Vec<u8>>,
    held: Held,
    /// When this was asked.
    asked: Moment,
    log: InLog,
}

/// What is known of notices and the log.
#[derive(Clone, Copy, Debug)]
enum InLog {
    /// Not there, or not for certain.
    Unappended,
    /// Under way.
    Appending,
    /// There.
    Appended(Appended),
}

/// What is to be said of a write.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) notices: Vec<Vec<u8>>,
    pub(super) held: Held,
    pub(super) at: Moment,
    pub(super) standing: Standing,
}

/// What the reply to an append said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appended {
    pub(super) history: HistoryId,
    pub(super) number: Number,
    /// Count of beats at that moment.
    pub(super) count: u64,
    /// When the reply was read.
    pub(super) read_at: Moment,
}

impl Writes {
    /// Enters a write; returns what the store is to have of it.
    pub(super) fn open_one(
        &mut self,
        write: WriteId,
        member: MemberId,
        last_will: &[u8],
        standing: Standing,
    ) -> Vec<u8> {
        let entry = [&member.0[..], &write.0.to_be_bytes(), last_will].concat();
        self.0.insert(write, Write { entry: Some(entry.clone()), standing, stage: Stage::Open });
        entry
    }

    /// Takes out a write of which nothing is to be said.
    pub(super) fn close(&mut self, write: WriteId) -> Option<Vec<u8>> {
        self.0.remove(&write)?.entry
    }

    /// Something is to be said. Who was alone before the write began, and is, holds nothing.
    pub(super) fn announce(&mut self, id: WriteId, announced: Announced) -> Option<Event> {
        let Announced { notices, held, at, standing } = announced;
        let write = self.0.entry(id).or_insert_with(|| Write { entry: None, standing, stage: Stage::Open });
        let alone = write.standing == Standing::Alone && standing == Standing::Alone;
        write.stage = Stage::Said(Said { notices, held, asked: at, log: InLog::Unappended });
        let settled = alone.then(|| self.settle(id, Settled::Unannounced, at)).flatten();
        self.bound_unannounced(at);
        settled
    }

    /// What an append is to carry, if it is to be sent: the entry to take out, and the notices.
    pub(super) fn begin_append(&mut self, write: WriteId) -> Option<Vec<Vec<u8>>> {
        let write = self.0.get_mut(&write)?;
        let Stage::Said(said) = &mut write.stage else { return None };
        let InLog::Unappended = said.log else { return None };
        said.log = InLog::Appending;
        let mut args = vec![write.entry.clone().unwrap_or_default()];
        args.extend(said.notices.iter().cloned());
        Some(args)
    }

    pub(super) fn append_failed(&mut self, write: WriteId) {
        if let Some(said) = self.said(write)
            && let InLog::Appending = said.log
        {
            said.log = InLog::Unappended;
        }
    }

    pub(super) fn appended(&mut self, write: WriteId, appended: Appended) {
        let Some(said) = self.said(write) else { return };
        match said.held {
            Held::Nothing => {
                self.0.remove(&write);
            }
            Held::Answer => {
                said.log = InLog::Appended(appended);
            }
        }
    }

    /// This history counts: what is in the log of another is in no log.
    pub(super) fn history_is(&mut self, history: HistoryId) {
        for said in self.all_said() {
            if let InLog::Appended(appended) = said.log
                && appended.history != history
            {
                said.log = InLog::Unappended;
            }
        }
    }

    /// Everybody has applied this number of this history.
    pub(super) fn confirm(&mut self, history: HistoryId, lowest: Number, now: Moment) -> Vec<Event> {
        let is_confirmed = |said: &Said| match said.log {
            InLog::Appended(appended) => appended.history == history && appended.number <= lowest,
            InLog::Unappended | InLog::Appending => false,
        };
        let confirmed: Vec<_> = self.which(is_confirmed).collect();
        confirmed.into_iter().filter_map(|write| self.settle(write, Settled::Confirmed, now)).collect()
    }

    /// Answers that have been held for as long as a lease can last elsewhere, and where their notices are.
    pub(super) fn late(
        &self,
        rules: &Rules,
        lease: Duration,
        now: Moment,
    ) -> Vec<(WriteId, Option<Appended>)> {
        let is_late = |since: Moment| {
            let passed = now.uptime().saturating_sub(since.uptime());
            (if rules.keep(Rule::MonotonicAlone) { passed } else { now.since(since) }) >= lease
        };
        let judge = |said: &Said| match said.log {
            _ if said.held == Held::Nothing => None,
            InLog::Unappended | InLog::Appending => is_late(said.asked).then_some(None),
            InLog::Appended(appended) => {
                let since = if rules.keep(Rule::WaitFromReply) { appended.read_at } else { said.asked };
                is_late(since).then_some(Some(appended))
            }
        };
        self.iter_said().filter_map(|(write, said)| Some((write, judge(said)?))).collect()
    }

    /// Whether this answer has been held through more histories than anybody waits for.
    pub(super) fn is_overdue(&self, write: WriteId, lease: Duration, now: Moment) -> bool {
        let asked = |write: &Write| match &write.stage {
            Stage::Open => None,
            Stage::Said(said) => Some(said.asked.uptime()),
        };
        let asked = self.0.get(&write).and_then(asked);
        asked.is_none_or(|asked| now.uptime().saturating_sub(asked) >= lease * LONGEST_HELD)
    }

    /// Lets an answer go. What is in no log is kept, to be said later.
    pub(super) fn settle(&mut self, id: WriteId, settled: Settled, now: Moment) -> Option<Event> {
        let said = self.said(id)?;
        let waited = now.uptime().saturating_sub(said.asked.uptime());
        let held = std::mem::replace(&mut said.held, Held::Nothing);
        if let InLog::Appended(_) = said.log {
            self.0.remove(&id);
        }
        (held == Held::Answer).then_some(Event::Settled { write: id, settled, waited })
    }

    /// When the next answer that is held may go for being late, by uptime.
    pub(super) fn next_settled(&self, lease: Duration) -> Option<Duration> {
        let since = |said: &Said| match said.log {
            InLog::Appended(appended) => appended.read_at,
            InLog::Unappended | InLog::Appending => said.asked,
        };
        let held = self.iter_said().filter(|(_, said)| said.held == Held::Answer);
        held.map(|(_, said)| since(said).uptime() + lease).min()
    }

    pub(super) fn unappended(&self) -> Vec<WriteId> {
        self.which(|said| matches!(said.log, InLog::Unappended)).collect()
    }

    /// Whether an answer is held until others have applied what is in the log.
    pub(super) fn waits_for_others(&self) -> bool {
        let waits = |said: &Said| matches!(said.log, InLog::Appended(_));
        self.iter_said().any(|(_, said)| waits(said))
    }

    /// The open writes, as the store has them. One that is being appended is about to be taken out.
    pub(super) fn entries(&self) -> impl Iterator<Item = Vec<u8>> {
        let is_open = |write: &&Write| match &write.stage {
            Stage::Open => true,
            Stage::Said(said) => matches!(said.log, InLog::Unappended),
        };
        self.0.values().filter(is_open).filter_map(|write| write.entry.clone())
    }

    /// Which write of here said this.
    pub(super) fn whose(&self, body: &[u8]) -> Option<WriteId> {
        self.which(|said| said.notices.iter().any(|notice| notice == body)).next()
    }

    /// How many are open, held and unsaid.
    pub(super) fn open(&self) -> usize {
        self.0.values().filter(|write| matches!(write.stage, Stage::Open)).count()
    }

    pub(super) fn held(&self) -> usize {
        self.which(|said| said.held == Held::Answer).count()
    }

    pub(super) fn unannounced(&self) -> usize {
        self.which(|said| !matches!(said.log, InLog::Appended(_))).count()
    }

    /// Too much to be said one by one.
    fn bound_unannounced(&mut self, now: Moment) {
        let is_unheld = |said: &Said| said.held == Held::Nothing && matches!(said.log, InLog::Unappended);
        let unheld: Vec<_> = self.which(is_unheld).collect();
        if unheld.len() <= MOST_UNANNOUNCED {
            return;
        }
        for write in unheld {
            self.0.remove(&write);
        }
        let said =
            Said { notices: vec![Vec::new()], held: Held::Nothing, asked: now, log: InLog::Unappended };
        let everything = Write { entry: None, standing: Standing::Alone, stage: Stage::Said(said) };
        self.0.insert(EVERYTHING, everything);
    }

    fn said(&mut self, write: WriteId) -> Option<&mut Said> {
        match &mut self.0.get_mut(&write)?.stage {
            Stage::Open => None,
            Stage::Said(said) => Some(said),
        }
    }

    fn all_said(&mut self) -> impl Iterator<Item = &mut Said> {
        self.0.values_mut().filter_map(|write| match &mut write.stage {
            Stage::Open => None,
            Stage::Said(said) => Some(said),
        })
    }

    fn iter_said(&self) -> impl Iterator<Item = (WriteId, &Said)> {
        self.0.iter().filter_map(|(id, write)| match &write.stage {
            Stage::Open => None,
            Stage::Said(said) => Some((*id, said)),
        })
    }

    fn which(&self, is: impl Fn(&Said) -> bool) -> impl Iterator<Item = WriteId> {
        self.iter_said().filter(move |(_, said)| is(said)).map(|(id, _)| id)
    }
}
