//! Writes as the fleet knows them: entered, announced, held, let go; and the answers of the store to that.

use super::parse::{AppendReply, Reply, Unreadable};
use super::rules::Rule;
use super::types::{Apply, Entry, Event, Held, Number, Settled, WriteId};
use super::writes::{Announced, Appended, Standing};
use super::{Appending, Control, ControlScript, Purpose};
use crate::clock::Moment;

impl Control {
    pub(super) fn open_write(&mut self, write: WriteId, last_will: &[u8], now: Moment) {
        let standing = self.standing(now);
        let entry = self.writes.open_one(write, self.member, last_will, standing);
        // A replica that is alone asks the store nothing.
        if standing == Standing::Alone
            || !self.post(ControlScript::Open, Purpose::Open { write }, vec![entry])
        {
            self.entered(write, Entry::Unsaid);
        }
    }

    fn standing(&self, now: Moment) -> Standing {
        if self.lease.holds_at(now) { Standing::Leased } else { Standing::Alone }
    }

    pub(super) fn entered(&mut self, write: WriteId, entry: Entry) {
        self.events.push_back(Event::Entered { write, entry });
    }

    pub(super) fn open_answered(&mut self, write: WriteId, reply: &Reply) -> Result<(), Unreadable> {
        let entry = if reply.count_if_any()?.is_some() { Entry::Said } else { Entry::Unsaid };
        self.entered(write, entry);
        Ok(())
    }

    pub(super) fn close_write(&mut self, write: WriteId) {
        if let Some(entry) = self.writes.close(write) {
            self.post(ControlScript::Done, Purpose::Done, vec![entry]);
        }
    }

    pub(super) fn announce_write(&mut self, write: WriteId, notices: Vec<Vec<u8>>, held: Held, now: Moment) {
        let announced = Announced { notices, held, at: now, standing: self.standing(now) };
        let settled = self.writes.announce(write, announced);
        self.events.extend(settled);
        self.append_one(write);
    }

    /// What could not be appended, or was appended to a history that is over.
    pub(super) fn append_what_waits(&mut self) {
        for write in self.writes.unappended() {
            self.append_one(write);
        }
    }

    fn append_one(&mut self, write: WriteId) {
        if self.run_id.is_none() {
            return;
        }
        let Some(said) = self.writes.begin_append(write) else { return };
        let digits = |size: usize| size.to_string().into_bytes();
        let (page, log) = (digits(self.settings.page), digits(self.settings.log));
        let mut args = vec![self.applied.digits(), page, log];
        args.extend(said);
        let history = self.history.map(|history| history.id);
        let appending = Appending { write, asked: self.applied, history };
        self.post(ControlScript::Append, Purpose::Append(appending), args);
    }

    pub(super) fn append_answered(
        &mut self,
        appended: Appending,
        reply: Reply,
        now: Moment,
        apply: &mut impl Apply,
    ) -> Result<(), Unreadable> {
        let Appending { write, asked, history: before } = appended;
        let reply = AppendReply::read(reply)?;
        let here = self.history.is_some_and(|history| history.id == reply.history);
        if !here && before == Some(reply.history) {
            // A beat that was answered earlier has told of another history since: this is in a log that is gone, from which it
            // never comes back with its number.
            self.writes.append_failed(write);
            if self.rules.keep(Rule::AppendAnew) {
                self.append_one(write);
            }
            return Ok(());
        }
        // Between a beat that has missed something and the last of what there is, less is known than when this was asked.
        let complete = here && reply.brought.known && asked <= self.applied;
        if complete {
            self.bring(&reply.brought, reply.history, apply);
        }
        let complete = complete && !reply.brought.more;
        self.said_last = Some((reply.history, reply.number));
        self.events.push_back(Event::Appended { write, number: reply.number, complete });
        let (history, number, count) = (reply.history, reply.number, reply.count);
        self.writes.appended(write, Appended { history, number, count, read_at: now });
        if !self.rules.keep(Rule::HoldUntilApplied) {
            self.events.extend(self.writes.settle(write, Settled::Confirmed, now));
        }
        self.beats.wait_for_others();
        Ok(())
    }

    /// Lets go what has waited for as long as a lease can last elsewhere; those who have not moved since are members no more.
    pub(super) fn settle_late_writes(&mut self, now: Moment) {
        let history = self.history.map(|history| history.id);
        let (lease, standing) = (self.settings.lease_elsewhere(), self.standing(now));
        for (write, late) in self.writes.late(&self.rules, lease, now) {
            let leased = standing == Standing::Leased;
            match late {
                Some(appended) if leased && Some(appended.history) == history => {
                    let args = vec![appended.number.digits(), Number(appended.count).digits()];
                    self.post(ControlScript::Remove, Purpose::Remove, args);
                    self.events.extend(self.writes.settle(write, Settled::LeasesOver, now));
                }
                // Whether this replica is cut off or in a new history, the next answered beat will say.
                Some(_) if leased && !self.writes.is_overdue(write, lease, now) => {}
                Some(_) | None => self.events.extend(self.writes.settle(write, Settled::Unannounced, now)),
            }
        }
    }

    pub(super) fn take_over_answered(&mut self, reply: &Reply) -> Result<(), Unreadable> {
        self.lost_writes.was_answered();
        if let Some(taken @ 1..) = reply.count_if_any()? {
            self.events.push_back(Event::TakenOver(taken));
        }
        Ok(())
    }

    pub(super) fn remove_answered(&mut self, reply: &Reply) -> Result<(), Unreadable> {
        if let Some(removed @ 1..) = reply.count_if_any()? {
            self.events.push_back(Event::Removed(removed));
        }
        Ok(())
    }

    pub(super) fn leave_answered(&mut self) -> Result<(), Unreadable> {
        self.leave_is_over();
        Ok(())
    }
}
