//! [`Replica`]: a process with its control, its lease, and as much of a cache as P1 speaks of.

use std::sync::Arc;

use super::super::rules::Rules;
use super::super::{Apply, Control, ControlSettings, MemberId, Number, Ring, Stamp, WriteId};
use super::clocks::Clocks;
use super::oracle::{Leased, Oracle, Reader, Required, Version};
use super::scenario::{LeftOut, Scenario};
use crate::fleet::lease::Lease;

/// Where a process runs, and the process that runs there now.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) place: usize,
    /// No two processes of a world have the same.
    pub(super) process: u64,
    pub(super) state: Running,
    pub(super) clocks: Clocks,
    pub(super) control: Control,
    pub(super) lease: Arc<Lease>,
    pub(super) site: Site,
    /// The link, by its place among the connections.
    pub(super) link: Option<usize>,
    pub(super) cut_off_until: u64,
    /// The world's time since which there has been a lease.
    pub(super) leased_since: Option<u64>,
    pub(super) last_write: u64,
    /// The world's time for which a wake-up is set.
    pub(super) wakes_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Running {
    Yes,
    Stopped,
    Dead,
}

/// The cache: one value an organization, behind a fence.
#[derive(Debug)]
pub(super) struct Site {
    tick: u64,
    everything: Heard,
    organizations: Vec<Cached>,
    /// What its own answered writes made of each.
    own: Vec<Version>,
}

/// The tick and the number of the last invalidation.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    tick: u64,
    number: Number,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cached {
    value: Option<Version>,
    heard: Heard,
    fetched_at: Option<u64>,
}

impl Site {
    fn new(organizations: usize) -> Self {
        Self {
            tick: 0,
            everything: Heard::default(),
            organizations: vec![Cached::default(); organizations],
            own: vec![0; organizations],
        }
    }

    /// A write of here was answered.
    pub(super) fn answered(&mut self, organization: usize, version: Version) {
        self.own[organization] = self.own[organization].max(version);
    }

    /// What a read that begins here now must show at least.
    pub(super) fn required(&self, organization: usize, oracle: &Oracle) -> Required {
        oracle.required(organization, self.own[organization])
    }

    fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    pub(super) fn value(&self, organization: usize) -> Option<Version> {
        self.organizations[organization].value
    }

    /// A write of here: what is stored is from before it.
    pub(super) fn invalidate(&mut self, organization: usize) {
        let tick = self.tick();
        let cached = &mut self.organizations[organization];
        cached.heard.tick = tick;
        cached.value = None;
    }

    fn invalidate_everything(&mut self) {
        let tick = self.tick();
        self.everything.tick = tick;
        self.organizations.iter_mut().for_each(|cached| cached.value = None);
    }

    /// Begins a fetch, unless one that began late enough is under way.
    pub(super) fn begin_fetch(&mut self, organization: usize) -> Option<u64> {
        let under_way = self.organizations[organization].fetched_at;
        if under_way.is_some_and(|tick| self.admits(organization, tick)) {
            return None;
        }
        let tick = self.tick();
        self.organizations[organization].fetched_at = Some(tick);
        Some(tick)
    }

    fn admits(&self, organization: usize, tick: u64) -> bool {
        tick > self.everything.tick && tick > self.organizations[organization].heard.tick
    }

    /// A fetch that began at this tick brought this; stored if nothing was invalidated since.
    pub(super) fn end_fetch(&mut self, organization: usize, tick: u64, version: Version) -> bool {
        let admitted = self.admits(organization, tick);
        let cached = &mut self.organizations[organization];
        if cached.fetched_at == Some(tick) {
            cached.fetched_at = None;
        }
        if admitted {
            cached.value = Some(version);
        }
        admitted
    }

    fn has_heard_nothing_since(&self, organization: usize, stamp: Number) -> bool {
        stamp >= self.everything.number && stamp >= self.organizations[organization].heard.number
    }
}

impl Replica {
    /// A process that has just been started.
    pub(super) fn new(place: usize, process: u64, clocks: Clocks, scenario: &Scenario) -> Self {
        let mut settings = ControlSettings::new(scenario.lease, b"bell".to_vec(), Ring::Publish);
        settings.page = scenario.page;
        settings.log = scenario.log;
        let lease = Arc::new(Lease::default());
        let member = MemberId(u128::from(process).to_be_bytes());
        let mut control = Control::new(settings, member, Arc::clone(&lease));
        if let LeftOut::Replica(rule) = scenario.left_out {
            control.rules = Rules(Some(rule));
        }
        Self {
            place,
            process,
            state: Running::Yes,
            clocks,
            control,
            lease,
            site: Site::new(scenario.organizations),
            link: None,
            cut_off_until: 0,
            leased_since: None,
            last_write: 0,
            wakes_at: None,
        }
    }

    /// Whether what another replica fetched under this stamp is from after all that was heard of here.
    pub(super) fn trusts(&self, organization: usize, stamp: Stamp) -> bool {
        let here = self.control.stamp().is_some_and(|here| here.history == stamp.history);
        here && !self.control.has_unheard() && self.site.has_heard_nothing_since(organization, stamp.number)
    }

    pub(super) fn reader(&mut self, at: u64, long: u64) -> Reader {
        let leased = self.leased(at, long);
        Reader { replica: self.place, at, leased, since: self.leased_since }
    }

    fn leased(&mut self, at: u64, long: u64) -> Leased {
        if !self.lease.holds_at(self.clocks.now(at)) {
            self.leased_since = None;
            return Leased::NotNow;
        }
        let since = *self.leased_since.get_or_insert(at);
        if at - since >= long { Leased::Long } else { Leased::Now }
    }

    /// The control, and what applies notices while others read.
    pub(super) fn parts<'a>(
        &'a mut self,
        oracle: &'a mut Oracle,
        at: u64,
    ) -> (&'a mut Control, Applying<'a>) {
        let now = self.clocks.now(at);
        let lease = &self.lease;
        let applying = Applying { site: &mut self.site, lease, now, oracle, place: self.place, at };
        (&mut self.control, applying)
    }
}

/// Applies what was said. Between any two notices others read.
pub(super) struct Applying<'a> {
    site: &'a mut Site,
    lease: &'a Lease,
    now: crate::clock::Moment,
    oracle: &'a mut Oracle,
    place: usize,
    at: u64,
}

/// A notice of the simulation: an organization, and which write it is of, since no two that are sealed are the same.
pub(super) fn notice_of(organization: usize, process: u64, write: WriteId) -> Vec<u8> {
    format!("{organization} {process} {}", write.0).into_bytes()
}

fn organization_of(notice: &[u8]) -> usize {
    let text = std::str::from_utf8(notice).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

impl Applying<'_> {
    fn somebody_reads(&mut self, organization: usize) {
        let leased = if self.lease.holds_at(self.now) { Leased::Now } else { Leased::NotNow };
        let reader = Reader { replica: self.place, at: self.at, leased, since: None };
        if let Some(version) = self.site.value(organization) {
            let required = self.site.required(organization, self.oracle);
            self.oracle.shown(organization, version, required, reader);
        }
    }
}

impl Apply for Applying<'_> {
    fn notice(&mut self, number: Number, body: &[u8], _: Option<WriteId>) {
        let organization = organization_of(body);
        self.somebody_reads(organization);
        self.site.invalidate(organization);
        self.site.organizations[organization].heard.number = number;
    }

    fn everything(&mut self, number: Number) {
        for organization in 0..self.site.organizations.len() {
            self.somebody_reads(organization);
        }
        self.site.invalidate_everything();
        self.site.everything.number = self.site.everything.number.max(number);
    }
}
