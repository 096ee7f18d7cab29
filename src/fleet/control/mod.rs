//! [`Control`]: what a replica knows of its fleet, and what it says next (`docs/FLEET.md`, "How P1 holds").
//!
//! A state machine without sockets and without a clock: it is told what the store answered, what the bell brought, what the
//! replica is about to do and when it is; it says what to send, what has come of writes, and extends the [`Lease`] once all
//! that a beat brought has been applied. What carries it lives on one thread and does four things: sends each [`Call`] of
//! [`Control::next`] and reports it as answered or failed, hands on what the bell brings, says when the link comes and goes,
//! and acts on [`Control::event`].
//!
//! Numbers carry the order, messages do not: answers and bells may be late, doubled, lost or out of order. What waits here
//! waits by the monotonic clock alone; the lease ends by whichever clock is ahead.

mod answers;
mod beat;
mod bell;
mod lost_writes;
mod parse;
mod rules;
mod scripts;
#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;
mod types;
mod writes;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use self::beat::Beats;
use self::lost_writes::LostWrites;
use self::rules::Rules;
use self::writes::Writes;
use super::lease::Lease;
use crate::clock::Moment;

pub use self::parse::Reply;
pub use self::scripts::{ControlScript, PARTS, Spelling};
pub use self::types::{
    Apply, Call, CallId, ControlSettings, Entry, Event, Held, HistoryId, LeaseLoss, MemberId, Number, Ring,
    Settled, Stamp, Status, Step, StoreTime, WriteId,
};

/// One replica's part in the control of the fleet.
#[derive(Debug)]
pub struct Control {
    settings: ControlSettings,
    member: MemberId,
    lease: Arc<Lease>,
    rules: Rules,
    /// The server's `run_id` as the link read it; none without a link.
    run_id: Option<Vec<u8>>,
    /// The last notice applied here; all before it in its history have been, too.
    applied: Number,
    history: Option<History>,
    beats: Beats,
    writes: Writes,
    lost_writes: LostWrites,
    presence: Presence,
    /// The history and the number of what was last appended from here.
    said_last: Option<(HistoryId, Number)>,
    last_call: u64,
    under_way: BTreeMap<CallId, Purpose>,
    outbox: VecDeque<Call>,
    events: VecDeque<Event>,
    seen: Seen,
}

/// The history that the last answered beat was in.
#[derive(Clone, Copy, Debug)]
struct History {
    id: HistoryId,
    /// Uptime at which it was first seen here, and with it its list of members.
    seen_at: Duration,
}

/// What the last answered beat said of the fleet.
#[derive(Debug, Default)]
struct Seen {
    members: u32,
    lowest: Option<(Number, Vec<u8>)>,
    time: Option<StoreTime>,
}

/// Whether this replica takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Here,
    /// It has no lease and beats no more; the store is yet to be told.
    Leaving,
    Left,
}

/// Notices on their way into the log.
#[derive(Clone, Copy, Debug)]
struct Appending {
    write: WriteId,
    /// What had been applied when that was asked, and in which history.
    asked: Number,
    history: Option<HistoryId>,
}

/// What a call under way is for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Beat { sent: Moment },
    Append(Appending),
    Open { write: WriteId },
    Done,
    TakeOver,
    Remove,
    Leave,
}

impl Control {
    /// A replica that has said nothing yet. `member` is its own and of this process alone.
    #[must_use]
    pub fn new(settings: ControlSettings, member: MemberId, lease: Arc<Lease>) -> Self {
        Self {
            settings,
            member,
            lease,
            rules: Rules::ALL,
            run_id: None,
            applied: Number(0),
            history: None,
            beats: Beats::default(),
            writes: Writes::default(),
            lost_writes: LostWrites::default(),
            presence: Presence::Here,
            said_last: None,
            last_call: 0,
            under_way: BTreeMap::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            seen: Seen::default(),
        }
    }

    /// There is a new link, whose server's `run_id` is this.
    pub fn link_up(&mut self, run_id: &str) {
        self.link_down();
        self.run_id = Some(run_id.as_bytes().to_vec());
        self.beats.begin_at_once();
        if self.presence == Presence::Leaving {
            self.call_leave();
        }
    }

    /// How the server that is linked rings the bell, which is known once it is.
    pub fn ring_by(&mut self, ring: Ring) {
        self.settings.ring = ring;
    }

    /// The link is lost: no call under way will be answered, and none needs to be reported any more.
    pub fn link_down(&mut self) {
        self.run_id = None;
        self.outbox.clear();
        for (_, purpose) in std::mem::take(&mut self.under_way) {
            self.give_up(purpose);
        }
    }

    /// What to send now, one call at a time until it says to wait.
    pub fn next(&mut self, now: Moment) -> Step {
        self.notice_lease_loss(now);
        self.settle_late_writes(now);
        if let Some(call) = self.outbox.pop_front() {
            return Step::Send(call);
        }
        if self.may_beat(now) {
            return Step::Send(self.beat(now));
        }
        Step::Wait(self.next_look())
    }

    /// A call was answered. Late answers count as well; those from before the link was lost are ignored.
    pub fn answered(&mut self, call: CallId, reply: Reply, now: Moment, apply: &mut impl Apply) {
        let Some(purpose) = self.under_way.remove(&call) else { return };
        let read = match purpose {
            Purpose::Beat { sent } => self.beat_answered(sent, reply, now, apply),
            Purpose::Append(appending) => self.append_answered(appending, reply, now, apply),
            Purpose::Open { write } => self.open_answered(write, &reply),
            Purpose::TakeOver => self.take_over_answered(&reply),
            Purpose::Remove => self.remove_answered(&reply),
            Purpose::Leave => self.leave_answered(),
            Purpose::Done => Ok(()),
        };
        // What cannot be read is no answer.
        if read.is_err() {
            self.give_up(purpose);
        }
    }

    /// Whether the answer to a call is still waited for: none is that was sent on a link that is lost.
    #[must_use]
    pub fn is_under_way(&self, call: CallId) -> bool {
        self.under_way.contains_key(&call)
    }

    /// A call was refused, or not answered in time.
    pub fn failed(&mut self, call: CallId) {
        if let Some(purpose) = self.under_way.remove(&call) {
            self.give_up(purpose);
        }
    }

    /// The bell brought this.
    pub fn rang(&mut self, message: &[u8], apply: &mut impl Apply) {
        self.ring(message, apply);
    }

    /// A label write is about to be sent upstream. [`Event::Entered`] follows, at once for a replica that is alone: then the
    /// write may be sent. `last_will` becomes a notice if this replica is not heard of again before it says more.
    pub fn open(&mut self, write: WriteId, last_will: &[u8], now: Moment) {
        self.open_write(write, last_will, now);
    }

    /// What an open write has done, or what else all must know, as notices that follow each other; more than none.
    /// [`Event::Appended`] follows once they are in the log, [`Event::Settled`] when an answer that was held may go.
    pub fn announce(&mut self, write: WriteId, notices: Vec<Vec<u8>>, held: Held, now: Moment) {
        self.announce_write(write, notices, held, now);
    }

    /// An open write has invalidated nothing: nothing is said of it.
    pub fn close(&mut self, write: WriteId) {
        self.close_write(write);
    }

    /// Gives up the lease, for good, and then the membership; [`Event::Left`] follows. The last thing that a replica does:
    /// what it still serves from its cache it must have served.
    pub fn leave(&mut self) {
        if self.presence != Presence::Here {
            return;
        }
        self.presence = Presence::Leaving;
        if self.rules.keep(rules::Rule::LeaseEndsBeforeLeaving) {
            self.lease.end();
        }
        self.beats.lease_was_given_up();
        self.call_leave();
    }

    /// What has happened since it was last asked, in order.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Number of the last notice applied here.
    #[must_use]
    pub const fn applied(&self) -> Number {
        self.applied
    }

    /// What an upstream call that is sent now is stamped with; nothing before the first answered beat.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.history.map(|history| Stamp { history: history.id, number: self.applied })
    }

    /// Whether something that was announced here has not come back yet as a notice in its place. Until then what is known here
    /// of an organization has no number, and what others have stored of it cannot be judged: the second tier is not asked.
    #[must_use]
    pub fn has_unheard(&self) -> bool {
        let here = self.history.map(|history| history.id);
        let is_heard = |(history, number)| here == Some(history) && number <= self.applied;
        !self.said_last.is_none_or(is_heard) || self.writes.unannounced() > 0
    }

    /// The store's time as the last answered beat brackets it.
    #[must_use]
    pub const fn store_time(&self) -> Option<StoreTime> {
        self.seen.time
    }

    /// What is known of the fleet.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            members: self.seen.members,
            lowest: self.seen.lowest.clone(),
            history: self.history.map(|history| history.id.first()),
            applied: self.applied,
            open_writes: self.writes.open(),
            held_answers: self.writes.held(),
            unannounced: self.writes.unannounced(),
        }
    }

    /// Puts a call among those under way; nothing without a link.
    fn call(&mut self, script: ControlScript, purpose: Purpose, args: Vec<Vec<u8>>) -> Option<Call> {
        let run_id = self.run_id.clone()?;
        self.last_call += 1;
        let id = CallId(self.last_call);
        self.under_way.insert(id, purpose);
        let claimed = self.history.map_or_else(Vec::new, |history| history.id.0.to_vec());
        let ring = self.settings.ring;
        let unique = [&self.member.0[..], &id.0.to_be_bytes()].concat();
        let mut all = vec![run_id, claimed, ring.verb().to_vec(), self.settings.bell.clone(), unique];
        all.extend(args);
        Some(Call { id, script, args: all })
    }

    /// Sends one with the next step.
    fn post(&mut self, script: ControlScript, purpose: Purpose, args: Vec<Vec<u8>>) -> bool {
        let call = self.call(script, purpose, args);
        let posted = call.is_some();
        self.outbox.extend(call);
        posted
    }

    fn call_leave(&mut self) {
        let member = self.member.0.to_vec();
        if !self.post(ControlScript::Leave, Purpose::Leave, vec![member]) {
            // Nobody can be told: the first write that waits for it removes it.
            self.leave_is_over();
        }
    }

    fn leave_is_over(&mut self) {
        if self.presence == Presence::Leaving {
            self.presence = Presence::Left;
            self.events.push_back(Event::Left);
        }
    }

    fn give_up(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Beat { .. } => self.beats.was_not_answered(),
            Purpose::Append(appending) => self.writes.append_failed(appending.write),
            Purpose::Open { write } => self.entered(write, Entry::Unsaid),
            Purpose::TakeOver => self.lost_writes.was_answered(),
            Purpose::Leave => self.leave_is_over(),
            Purpose::Done | Purpose::Remove => {}
        }
    }
}
