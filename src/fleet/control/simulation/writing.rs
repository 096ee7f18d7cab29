//! Writes, from a client's request until its answer, and what becomes of those whose writer does not live to tell.

use super::super::{Held, Settled, WriteId};
use super::oracle::Version;
use super::replica::{Running, notice_of};
use super::scenario::SECOND;
use super::world::{Event, Local, World};

/// A write of one process.
#[derive(Clone, Debug)]
pub(super) struct Write {
    place: usize,
    organization: usize,
    version: Option<Version>,
    changes: bool,
    /// When its writer ended, if the store knew of it then.
    orphaned_at: Option<u64>,
}

impl World {
    pub(super) fn begin_write(&mut self) {
        let wait = self.mean(SECOND / self.scenario.writes);
        self.after(wait, Event::Begin);
        let place = self.random.usize(..self.replicas.len());
        let replica = &mut self.replicas[place];
        if replica.state != Running::Yes {
            return;
        }
        replica.last_write += 1;
        let (id, process) = (WriteId(replica.last_write), replica.process);
        let organization = self.random.usize(..self.scenario.organizations);
        let changes = self.random.u8(..10) > 0;
        self.writes
            .insert((process, id), Write { place, organization, version: None, changes, orphaned_at: None });
        let will = notice_of(organization, process, WriteId(u64::MAX - id.0));
        let replica = &mut self.replicas[place];
        let now = replica.clocks.now(self.time);
        replica.control.open(id, &will, now);
        self.say(|| format!("{place} begins {id:?} of {organization}"));
        self.pump(place);
    }

    pub(super) fn send_upstream(&mut self, place: usize, write: WriteId) {
        let process = self.replicas[place].process;
        let wait = self.random.u64(500..60_000);
        self.after(wait, Event::Effect { process, write });
    }

    /// The upstream has done it, or refused.
    pub(super) fn effect(&mut self, process: u64, id: WriteId) {
        let Some(write) = self.writes.get_mut(&(process, id)) else { return };
        let (place, organization, changed) = (write.place, write.organization, write.changes);
        if changed {
            let version = self.oracle.write(organization);
            write.version = Some(version);
            self.say(|| format!("upstream {organization} is {version} by {place} {id:?}"));
        }
        let wait = self.random.u64(100..20_000);
        let what = Local::Answered { write: id, changed };
        self.at(self.time + wait, Event::At { place, process, what });
        // Whatever becomes of the writer, all will know before long.
        if changed {
            self.after(self.patience(), Event::Due { process, write: id });
        }
    }

    pub(super) fn upstream_answered(&mut self, place: usize, id: WriteId, changed: bool) {
        let replica = &mut self.replicas[place];
        let process = replica.process;
        if !changed {
            replica.control.close(id);
            self.writes.remove(&(process, id));
            return;
        }
        let organization = self.writes[&(process, id)].organization;
        replica.site.invalidate(organization);
        let now = replica.clocks.now(self.time);
        let notice = notice_of(organization, process, id);
        replica.control.announce(id, vec![notice], Held::Answer, now);
    }

    /// The client has its answer. Everybody looks at once.
    pub(super) fn settled(&mut self, place: usize, id: WriteId, settled: Settled) {
        let process = self.replicas[place].process;
        let write = self.writes[&(process, id)].clone();
        let version = write.version.expect("announced for having changed something");
        self.replicas[place].site.answered(write.organization, version);
        if settled == Settled::Unannounced {
            return;
        }
        self.oracle.answered(write.organization, version);
        self.everybody_reads(write.organization);
    }

    fn everybody_reads(&mut self, organization: usize) {
        (0..self.replicas.len()).for_each(|place| self.read(place, organization));
    }

    /// How long a write that nobody could announce may take until all know of it.
    fn patience(&self) -> u64 {
        u64::try_from(self.scenario.lease.as_micros()).unwrap() * 5
    }

    /// By now everybody should know of a write, if its writer has had its lease for long, or is dead and the store still knew
    /// that the write was open.
    pub(super) fn due(&mut self, process: u64, id: WriteId) {
        let Some(write) = self.writes.get(&(process, id)).cloned() else { return };
        let (time, patience) = (self.time, self.patience());
        let replica = &mut self.replicas[write.place];
        let lives = replica.process == process && replica.state != Running::Dead;
        let since = match (lives, write.orphaned_at) {
            // What could not be said is said with the first beats of a lease.
            (true, _) => replica.reader(time, 0).since.map(|since| since.saturating_sub(patience / 2)),
            // Nobody renews it for 1.2 leases.
            (false, Some(orphaned)) if self.server.disturbed_at < orphaned => Some(orphaned),
            (false, _) => {
                self.writes.remove(&(process, id));
                return;
            }
        };
        if since.is_none_or(|since| time - since < patience) {
            return self.after(patience / 6, Event::Due { process, write: id });
        }
        self.counts.due += 1;
        self.say(|| format!("all should know of {process} {id:?}: {write:?}"));
        self.oracle.is_due(write.organization, write.version.expect("it had an effect"));
        self.everybody_reads(write.organization);
        self.writes.remove(&(process, id));
    }

    /// A process is no more: of which of its writes does the store know?
    pub(super) fn orphan(&mut self, process: u64) {
        let (time, open) = (self.time, &self.server.store.keys.open);
        let entries: Vec<_> = open.members().filter(|open| !open.is_empty()).collect();
        let its = self.writes.range_mut((process, WriteId(0))..=(process, WriteId(u64::MAX)));
        for ((process, id), write) in its {
            let head = [&u128::from(*process).to_be_bytes()[..], &id.0.to_be_bytes()].concat();
            if entries.iter().any(|entry| entry.starts_with(&head)) {
                write.orphaned_at = Some(time);
            }
        }
    }
}
