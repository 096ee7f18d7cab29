//! [`World`]: a fleet, its store, its upstream and all time, in one thread. The same seed gives the same world.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::super::{Call, CallId, Event as Said, Reply, Settled, Step, WriteId};
use super::clocks::Clocks;
use super::network::{Connection, Server};
use super::oracle::{Oracle, Required, Version};
use super::reading::{Entry, Fetch};
use super::replica::{Replica, Running};
use super::scenario::{LeftOut, Scenario};
use super::writing::Write;

/// What will happen.
#[derive(Debug)]
pub(super) enum Event {
    Fault,
    Begin,
    Read {
        place: usize,
    },
    Arrives {
        connection: usize,
        call: Call,
    },
    Thaw {
        connection: usize,
        call: Call,
    },
    Effect {
        process: u64,
        write: WriteId,
    },
    Due {
        process: u64,
        write: WriteId,
    },
    Put {
        organization: usize,
        entry: Entry,
    },
    /// Something for a process, which a stopped one gets later and a dead one never.
    At {
        place: usize,
        process: u64,
        what: Local,
    },
    Resume {
        place: usize,
    },
    Start {
        place: usize,
    },
}

/// What happens at a process.
#[derive(Debug)]
pub(super) enum Local {
    Wake,
    Connect,
    Reply { connection: usize, call: CallId, reply: Reply },
    Bell { connection: usize, message: Vec<u8> },
    Closed { connection: usize },
    TimedOut { connection: usize, call: CallId },
    Found { fetch: Fetch, required: Required, entry: Option<Entry> },
    Fetched { fetch: Fetch, version: Version },
    Asked { fetch: Fetch },
    Answered { write: WriteId, changed: bool },
    Exits,
}

struct Queued(u64, u64, Event);

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) random: fastrand::Rng,
    pub(super) time: u64,
    queue: BinaryHeap<Reverse<Queued>>,
    queued: u64,
    pub(super) server: Server,
    pub(super) connections: Vec<Connection>,
    pub(super) replicas: Vec<Replica>,
    /// What a stopped process has not noticed yet.
    pub(super) deferred: BTreeMap<usize, Vec<Local>>,
    pub(super) processes: u64,
    pub(super) writes: BTreeMap<(u64, WriteId), Write>,
    pub(super) tier: Vec<Option<Entry>>,
    pub(super) oracle: Oracle,
    pub(super) counts: Counts,
    /// All that happened, in order, if it is kept.
    pub(super) history: Option<Vec<String>>,
}

/// What happened, by kind: a world in which little happens proves little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) confirmed: u64,
    pub(super) leases_over: u64,
    pub(super) unannounced: u64,
    pub(super) histories: u64,
    pub(super) removed: u64,
    pub(super) taken_over: u64,
    pub(super) lease_losses: u64,
    pub(super) due: u64,
    pub(super) faults: u64,
    pub(super) tier_hits: u64,
    pub(super) events: u64,
    pub(super) longest_wait: u64,
}

impl World {
    pub(super) fn new(scenario: Scenario, seed: u64) -> Self {
        let left_out = match scenario.left_out {
            LeftOut::Store(rule) => Some(rule),
            LeftOut::Nothing | LeftOut::Replica(_) => None,
        };
        let mut world = Self {
            random: fastrand::Rng::with_seed(seed),
            time: 1,
            queue: BinaryHeap::new(),
            queued: 0,
            server: Server::new(left_out),
            connections: Vec::new(),
            replicas: Vec::new(),
            deferred: BTreeMap::new(),
            processes: 0,
            writes: BTreeMap::new(),
            tier: vec![None; scenario.organizations],
            oracle: Oracle::new(scenario.organizations),
            counts: Counts::default(),
            history: None,
            scenario,
        };
        for place in 0..world.scenario.replicas {
            let monotonic = world.random.u64(..1_000_000_000);
            let clocks = Clocks::new(world.time, monotonic);
            let replica = Replica::new(place, world.next_process(), clocks, &world.scenario);
            world.replicas.push(replica);
            world.start(place);
            let wait = world.mean(1_000_000 / world.scenario.reads);
            world.after(wait, Event::Read { place });
        }
        world.after(1000, Event::Begin);
        world.after(600_000, Event::Fault);
        world
    }

    /// Runs until so many reads were made at replicas with a lease, or one showed what it must not.
    pub(super) fn run(&mut self, reads: u64) {
        while self.oracle.reads < reads && self.oracle.failure().is_none() {
            let Some(Reverse(Queued(time, _, event))) = self.queue.pop() else { return };
            self.time = time;
            self.counts.events += 1;
            self.happen(event);
        }
    }

    pub(super) fn next_process(&mut self) -> u64 {
        self.processes += 1;
        self.processes
    }

    pub(super) fn after(&mut self, wait: u64, event: Event) {
        self.at(self.time + wait, event);
    }

    pub(super) fn at(&mut self, time: u64, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse(Queued(time.max(self.time), self.queued, event)));
    }

    /// Something at the process that now runs at this place.
    pub(super) fn local(&mut self, time: u64, place: usize, what: Local) {
        let process = self.replicas[place].process;
        self.at(time, Event::At { place, process, what });
    }

    /// A random wait of this mean.
    pub(super) fn mean(&mut self, mean: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "microseconds of some seconds"
        )]
        let wait = (-(1.0 - self.random.f64()).ln() * mean as f64) as u64;
        wait + 1
    }

    pub(super) fn say(&mut self, what: impl FnOnce() -> String) {
        let time = self.time;
        if let Some(history) = &mut self.history {
            history.push(format!("{time:>10} {}", what()));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Fault => self.fault(),
            Event::Begin => self.begin_write(),
            Event::Read { place } => self.read_somewhere(place),
            Event::Arrives { connection, call } | Event::Thaw { connection, call } => {
                self.arrives(connection, call);
            }
            Event::Effect { process, write } => self.effect(process, write),
            Event::Due { process, write } => self.due(process, write),
            Event::Put { organization, entry } => self.tier[organization] = Some(entry),
            Event::At { place, process, what } => {
                let replica = &self.replicas[place];
                match replica.state {
                    _ if replica.process != process => {}
                    Running::Dead => {}
                    Running::Stopped => self.deferred.entry(place).or_default().push(what),
                    Running::Yes => self.local_happens(place, what),
                }
            }
            Event::Resume { place } => self.resume(place),
            Event::Start { place } => self.replace(place),
        }
    }

    pub(super) fn local_happens(&mut self, place: usize, what: Local) {
        let link = self.replicas[place].link;
        match what {
            Local::Wake => self.replicas[place].wakes_at = None,
            Local::Connect => self.connect(place),
            Local::Reply { connection, call, reply } if link == Some(connection) => {
                let (time, replica) = (self.time, &mut self.replicas[place]);
                let now = replica.clocks.now(time);
                let (control, mut applying) = replica.parts(&mut self.oracle, time);
                control.answered(call, reply, now, &mut applying);
            }
            Local::Bell { connection, message } if link == Some(connection) => {
                let time = self.time;
                let (control, mut applying) = self.replicas[place].parts(&mut self.oracle, time);
                control.rang(&message, &mut applying);
            }
            Local::Closed { connection } if link == Some(connection) => self.lose_link(place),
            Local::TimedOut { connection, call } if link == Some(connection) => self.timed_out(place, call),
            Local::Reply { .. } | Local::Bell { .. } | Local::Closed { .. } | Local::TimedOut { .. } => {}
            Local::Found { fetch, required, entry } => self.found(place, fetch, required, entry),
            Local::Asked { fetch } => {
                let version = self.oracle.now(fetch.organization);
                let wait = self.random.u64(200..8000);
                self.local(self.time + wait, place, Local::Fetched { fetch, version });
            }
            Local::Fetched { fetch, version } => self.fetched(place, fetch, version),
            Local::Answered { write, changed } => self.upstream_answered(place, write, changed),
            Local::Exits => self.exits(place),
        }
        self.pump(place);
    }

    /// Sends what a replica has to say, and sees what has come of it.
    pub(super) fn pump(&mut self, place: usize) {
        if self.replicas[place].state != Running::Yes {
            return;
        }
        loop {
            let replica = &mut self.replicas[place];
            let now = replica.clocks.now(self.time);
            match replica.control.next(now) {
                Step::Send(call) => self.send(place, call),
                Step::Wait(until) => {
                    let said = self.replicas[place].control.event();
                    match said {
                        Some(said) => self.said(place, said),
                        None => return self.wake_at(place, until),
                    }
                }
            }
        }
    }

    pub(super) fn wake_at(&mut self, place: usize, until: Option<std::time::Duration>) {
        let Some(until) = until else { return };
        let replica = &mut self.replicas[place];
        let at = replica.clocks.when(until).max(self.time + 1);
        if replica.wakes_at.is_none_or(|set| set > at) {
            replica.wakes_at = Some(at);
            self.local(at, place, Local::Wake);
        }
    }

    fn said(&mut self, place: usize, said: Said) {
        self.say(|| format!("{place} {said:?}"));
        match said {
            Said::Entered { write, .. } => self.send_upstream(place, write),
            Said::Settled { write, settled, waited } => {
                let waited = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
                self.counts.longest_wait = self.counts.longest_wait.max(waited);
                match settled {
                    Settled::Confirmed => self.counts.confirmed += 1,
                    Settled::LeasesOver => self.counts.leases_over += 1,
                    Settled::Unannounced => self.counts.unannounced += 1,
                }
                self.settled(place, write, settled);
            }
            Said::History { begun_here, .. } => self.counts.histories += u64::from(begun_here),
            Said::TakenOver(taken) => self.counts.taken_over += taken,
            Said::Removed(removed) => self.counts.removed += removed,
            Said::LeaseLost(_) => {
                self.counts.lease_losses += 1;
                self.replicas[place].leased_since = None;
            }
            Said::LeaseGained => self.replicas[place].leased_since = Some(self.time),
            Said::Left => {
                let wait = self.random.u64(..50_000);
                self.local(self.time + wait, place, Local::Exits);
            }
            Said::Appended { .. } => {}
        }
    }
}
