//! Reads: from memory, from the second tier, from the upstream.

use super::super::Stamp;
use super::oracle::{Leased, Required, Version};
use super::replica::Running;
use super::world::{Event, Local, World};

/// A stored response in the second tier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    version: Version,
    stamp: Stamp,
}

/// What is fetched, and what was known when that began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch {
    pub(super) organization: usize,
    tick: u64,
    stamp: Option<Stamp>,
}

impl World {
    pub(super) fn read_somewhere(&mut self, place: usize) {
        let organization = self.random.usize(..self.scenario.organizations);
        self.read(place, organization);
        let wait = self.mean(1_000_000 / self.scenario.reads);
        self.after(wait, Event::Read { place });
    }

    /// A read begins here now.
    pub(super) fn read(&mut self, place: usize, organization: usize) {
        if self.replicas[place].state != Running::Yes {
            return;
        }
        let (time, long) = (self.time, self.long());
        let required = self.replicas[place].site.required(organization, &self.oracle);
        let reader = self.replicas[place].reader(time, long);
        let replica = &mut self.replicas[place];
        let Some(version) = replica.site.value(organization) else {
            let stamp = replica.control.stamp();
            let Some(tick) = replica.site.begin_fetch(organization) else { return };
            let fetch = Fetch { organization, tick, stamp };
            let asks_store = reader.leased != Leased::NotNow && replica.link.is_some();
            let wait = self.random.u64(100..2000);
            let entry = self.tier[organization];
            let what =
                if asks_store { Local::Found { fetch, required, entry } } else { Local::Asked { fetch } };
            return self.local(time + wait, place, what);
        };
        self.oracle.shown(organization, version, required, reader);
        if self.oracle.failure().is_some() {
            self.say(|| format!("{place} reads {version} of {organization}: {reader:?}"));
        }
    }

    /// The second tier had this, or nothing.
    pub(super) fn found(&mut self, place: usize, fetch: Fetch, required: Required, entry: Option<Entry>) {
        let Fetch { organization, tick, .. } = fetch;
        let (time, long) = (self.time, self.long());
        let replica = &mut self.replicas[place];
        let reader = replica.reader(time, long);
        if let Some(Entry { version, stamp }) = entry
            && replica.trusts(organization, stamp)
            && replica.site.end_fetch(organization, tick, version)
        {
            self.counts.tier_hits += 1;
            return self.oracle.shown(organization, version, required, reader);
        }
        let fetch = Fetch { stamp: replica.control.stamp(), ..fetch };
        let wait = self.random.u64(200..8000);
        self.local(time + wait, place, Local::Asked { fetch });
    }

    pub(super) fn fetched(&mut self, place: usize, fetch: Fetch, version: Version) {
        let Fetch { organization, tick, stamp } = fetch;
        let replica = &mut self.replicas[place];
        let leased = replica.lease.holds_at(replica.clocks.now(self.time));
        if replica.site.end_fetch(organization, tick, version)
            && leased
            && let Some(stamp) = stamp
        {
            let wait = self.random.u64(50..3000);
            self.after(wait, Event::Put { organization, entry: Entry { version, stamp } });
        }
    }

    /// For how long a lease must have been held here until what is due counts.
    fn long(&self) -> u64 {
        u64::try_from(self.scenario.lease.as_micros()).unwrap() * 5 / 2
    }
}
