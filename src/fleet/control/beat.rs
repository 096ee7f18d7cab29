//! Beats: when the next one goes, and what its answer does.

use std::time::Duration;

use super::parse::{BeatReply, Brought, Reply, Unreadable};
use super::rules::Rule;
use super::types::{Apply, Call, Event, HistoryId, LeaseLoss, Number, StoreTime};
use super::{Control, ControlScript, History, Presence, Purpose};
use crate::clock::Moment;

/// Between two beats there is at least this, times the members: else the notices of one second would fill the store.
const SPACING: Duration = Duration::from_micros(40);
/// For so long after a history was first seen here fewer members than before are not believed: the others come back as their
/// back-off lets them, within two seconds and the time that a link takes, and whoever went by those that are there would
/// have too large a share of the limit meanwhile.
const COMES_BACK: Duration = Duration::from_secs(5);
/// How often who waits for others beats at first, and at least.
const PACE: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(5)];

/// Whether an answer is held here until others have applied what it invalidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writers {
    /// One is.
    Waiting,
    /// None is.
    Content,
}

/// When the next beat goes.
#[derive(Debug)]
pub(super) struct Beats {
    in_flight: bool,
    last_sent: Option<Duration>,
    /// There is something to say or to ask.
    at_once: bool,
    /// Uptime of the last beat that carried the open writes.
    renewed: Option<Duration>,
    /// How long who waits for others waits for the next.
    pace: Duration,
    lease: LeaseSeen,
    /// Why there would be none.
    trouble: LeaseLoss,
}

/// The lease as it was last seen here: the loss is said once.
#[derive(Clone, Copy, Debug)]
enum LeaseSeen {
    None,
    Until(Moment),
}

impl Default for Beats {
    fn default() -> Self {
        Self {
            in_flight: false,
            last_sent: None,
            at_once: true,
            renewed: None,
            pace: PACE[1],
            lease: LeaseSeen::None,
            trouble: LeaseLoss::Link,
        }
    }
}

impl Beats {
    pub(super) const fn begin_at_once(&mut self) {
        self.in_flight = false;
        self.at_once = true;
    }

    pub(super) const fn ask_at_once(&mut self) {
        self.at_once = true;
    }

    /// Something was appended: the others will say soon that they have it.
    pub(super) const fn wait_for_others(&mut self) {
        self.at_once = true;
        self.pace = PACE[0];
    }

    pub(super) const fn was_not_answered(&mut self) {
        self.in_flight = false;
        self.trouble = LeaseLoss::Unanswered;
    }

    pub(super) const fn lease_was_given_up(&mut self) {
        self.trouble = LeaseLoss::Left;
    }

    /// Uptime at which the next one goes, if none is in flight.
    fn due(&self, lease: Duration, members: u32, writers: Writers) -> Duration {
        let Some(last) = self.last_sent else { return Duration::ZERO };
        let mut due = last + if self.at_once { SPACING * members } else { lease / 4 };
        if writers == Writers::Waiting {
            due = due.min(last + self.pace);
        }
        due
    }

    /// Whether the next one carries the open writes: those that follow each other closely need not all do.
    fn renews(&mut self, lease: Duration, now: Moment) -> bool {
        let due = self.renewed.is_none_or(|last| now.uptime().saturating_sub(last) >= lease / 8);
        if due {
            self.renewed = Some(now.uptime());
        }
        due
    }

    fn is_sent(&mut self, now: Moment) {
        self.in_flight = true;
        self.at_once = false;
        self.last_sent = Some(now.uptime());
        self.pace = (self.pace * 2).min(PACE[1]);
    }
}

impl Control {
    pub(super) fn may_beat(&self, now: Moment) -> bool {
        self.beat_due().is_some_and(|due| now.uptime() >= due)
    }

    fn beat_due(&self) -> Option<Duration> {
        let can = self.presence == Presence::Here && self.run_id.is_some() && !self.beats.in_flight;
        let waits = self.writes.waits_for_others();
        let writers = if waits { Writers::Waiting } else { Writers::Content };
        can.then(|| self.beats.due(self.settings.lease, self.seen.members, writers))
    }

    /// The next uptime at which there is something to do.
    pub(super) fn next_look(&self) -> Option<Duration> {
        // One that is over has been noticed before this is asked.
        let lease_end =
            if let LeaseSeen::Until(until) = self.beats.lease { Some(until.uptime()) } else { None };
        let late = self.writes.next_settled(self.settings.lease_elsewhere());
        [self.beat_due(), lease_end, late].into_iter().flatten().min()
    }

    pub(super) fn beat(&mut self, now: Moment) -> Call {
        let page = self.settings.page.to_string().into_bytes();
        let mut args = vec![self.applied.digits(), self.member.0.to_vec(), page];
        if self.beats.renews(self.settings.lease, now) {
            args.extend(self.writes.entries());
        }
        self.beats.is_sent(now);
        self.call(ControlScript::Beat, Purpose::Beat { sent: now }, args).expect("asked for with a link")
    }

    pub(super) fn beat_answered(
        &mut self,
        sent: Moment,
        reply: Reply,
        now: Moment,
        apply: &mut impl Apply,
    ) -> Result<(), Unreadable> {
        let reply = BeatReply::read(reply)?;
        self.beats.in_flight = false;
        self.beats.trouble = LeaseLoss::Late;
        let more = reply.brought.more && self.rules.keep(Rule::LeaseAfterLastPage);
        if !self.rules.keep(Rule::ApplyBeforeLease) {
            self.extend_lease(sent, now);
        }
        self.note_history(&reply, now);
        self.bring(&reply.brought, reply.history, apply);
        if reply.brought.more {
            self.beats.ask_at_once();
        }
        if !more {
            self.extend_lease(sent, now);
        }
        self.note_members(u32::try_from(reply.members).unwrap_or(u32::MAX), now);
        self.seen.time = Some(StoreTime { sent, read: now, micros: reply.time });
        self.confirm(reply.lowest, now);
        self.take_over(&reply, now);
        self.seen.lowest = Some((reply.lowest, reply.lowest_member));
        if self.rules.keep(Rule::AppendAnew) {
            self.append_what_waits();
        }
        Ok(())
    }

    fn extend_lease(&mut self, sent: Moment, now: Moment) {
        if self.presence != Presence::Here {
            return;
        }
        let from = if self.rules.keep(Rule::LeaseFromSent) { sent } else { now };
        let until = from.plus(self.settings.lease);
        self.lease.extend(until);
        if let LeaseSeen::None = self.beats.lease
            && self.lease.holds_at(now)
        {
            self.events.push_back(Event::LeaseGained);
        }
        self.beats.lease = LeaseSeen::Until(until);
    }

    pub(super) fn notice_lease_loss(&mut self, now: Moment) {
        if let LeaseSeen::Until(_) = self.beats.lease
            && !self.lease.holds_at(now)
        {
            self.beats.lease = LeaseSeen::None;
            let there = self.run_id.is_some() || self.presence != Presence::Here;
            let cause = if there { self.beats.trouble } else { LeaseLoss::Link };
            self.events.push_back(Event::LeaseLost(cause));
        }
    }

    fn note_history(&mut self, reply: &BeatReply, now: Moment) {
        let id = reply.history;
        if self.history.is_some_and(|history| history.id == id) {
            return;
        }
        self.history = Some(History { id, seen_at: now.uptime() });
        // What was said in another was said before this one began with everything.
        self.said_last = self.said_last.filter(|(history, _)| *history == id);
        self.lost_writes.forget();
        if self.rules.keep(Rule::AppendAnew) {
            self.writes.history_is(id);
        }
        self.events.push_back(Event::History { first: id.first(), begun_here: reply.began });
    }

    fn note_members(&mut self, members: u32, now: Moment) {
        let come_back =
            self.history.is_none_or(|history| now.uptime().saturating_sub(history.seen_at) >= COMES_BACK);
        self.seen.members = if come_back { members } else { self.seen.members.max(members) };
    }

    /// Applies what was brought of this history's log, as far as it was not applied meanwhile.
    pub(super) fn bring(&mut self, brought: &Brought, history: HistoryId, apply: &mut impl Apply) {
        if !brought.known {
            let oldest = brought.notices.first().map_or_else(|| history.first(), |notice| notice.number);
            if self.rules.keep(Rule::EverythingWhenUnknown) {
                apply.everything(oldest);
            }
            self.applied = Number(0);
        }
        for notice in &brought.notices {
            if notice.number > self.applied {
                self.apply_one(notice.number, &notice.body, apply);
            }
        }
    }

    pub(super) fn apply_one(&mut self, number: Number, body: &[u8], apply: &mut impl Apply) {
        if body.is_empty() {
            apply.everything(number);
        } else {
            apply.notice(number, body, self.writes.whose(body));
        }
        self.applied = number;
    }

    /// Every member has applied this number. In a list that is new here members may be lacking, which still have a lease of
    /// the history before.
    fn confirm(&mut self, lowest: Number, now: Moment) {
        let Some(history) = self.history else { return };
        let waited_out = now.uptime().saturating_sub(history.seen_at) >= self.settings.lease_elsewhere();
        if waited_out || !self.rules.keep(Rule::WaitOutNewList) {
            let settled = self.writes.confirm(history.id, lowest, now);
            self.events.extend(settled);
        }
    }

    fn take_over(&mut self, reply: &BeatReply, now: Moment) {
        let lost = self.lost_writes.note(reply.count, now.uptime(), self.settings.lease_elsewhere());
        let (Some(lost), Some(oldest)) = (lost, reply.oldest_open) else { return };
        if oldest <= lost && self.rules.keep(Rule::TakeOver) && self.lost_writes.begin() {
            let args = vec![Number(lost).digits(), self.settings.log.to_string().into_bytes()];
            if !self.post(ControlScript::TakeOver, Purpose::TakeOver, args) {
                self.lost_writes.was_answered();
            }
        }
    }
}
