//! The server, the links to it, and how messages fare on the way.

use super::super::{Call, CallId};
use super::model::{Keys, Store, StoreRule};
use super::replica::Running;
use super::world::{Event, Local, World};

/// Where the server's clock stands when a world begins, in microseconds.
const EPOCH: u64 = 1_800_000_000_000_000;
/// Copies of the server's keys that are kept, to start again from.
const SNAPSHOTS: usize = 12;

/// A server process and what its file may say.
pub(super) struct Server {
    pub(super) store: Store,
    /// Which process it is.
    pub(super) run: u64,
    pub(super) down_until: u64,
    pub(super) frozen_until: u64,
    /// How far its clock is off.
    pub(super) clock: i64,
    pub(super) snapshots: Vec<(u64, Keys)>,
    /// When it last lost something, or could not be reached by anybody.
    pub(super) disturbed_at: u64,
}

impl Server {
    pub(super) fn new(left_out: Option<StoreRule>) -> Self {
        Self {
            store: Store::new(left_out),
            run: 1,
            down_until: 0,
            frozen_until: 0,
            clock: 0,
            snapshots: Vec::new(),
            disturbed_at: 0,
        }
    }

    fn run_id(&self) -> String {
        format!("run{}", self.run)
    }
}

/// A link of one process to one server process. Messages on it keep their order.
#[derive(Debug)]
pub(super) struct Connection {
    place: usize,
    process: u64,
    run: u64,
    last_out: u64,
    last_in: u64,
}

impl World {
    /// A process begins, or begins again.
    pub(super) fn start(&mut self, place: usize) {
        let wait = self.random.u64(..50_000);
        self.local(self.time + wait, place, Local::Connect);
    }

    pub(super) fn connect(&mut self, place: usize) {
        let replica = &self.replicas[place];
        if replica.link.is_some() {
            return;
        }
        if self.time < self.server.down_until || self.time < replica.cut_off_until {
            let wait = self.random.u64(20_000..150_000);
            return self.local(self.time + wait, place, Local::Connect);
        }
        let (process, run, run_id) = (replica.process, self.server.run, self.server.run_id());
        let connection = Connection { place, process, run, last_out: self.time, last_in: self.time };
        self.connections.push(connection);
        let replica = &mut self.replicas[place];
        replica.link = Some(self.connections.len() - 1);
        replica.control.link_up(&run_id);
        self.say(|| format!("{place} linked to {run_id}"));
    }

    pub(super) fn lose_link(&mut self, place: usize) {
        let replica = &mut self.replicas[place];
        if replica.link.take().is_some() {
            replica.control.link_down();
            let wait = self.random.u64(..100_000);
            self.local(self.time + wait, place, Local::Connect);
            self.say(|| format!("{place} lost its link"));
        }
    }

    pub(super) fn timed_out(&mut self, place: usize, call: CallId) {
        self.replicas[place].control.failed(call);
        // Whoever carries it gives up a link that does not answer, sooner or later.
        if self.random.u8(..4) == 0 {
            self.lose_link(place);
        }
    }

    fn on_the_way(&mut self) -> u64 {
        if self.random.u32(..1000) < self.scenario.slow {
            return self.random.u64(1000..self.scenario.timeout);
        }
        self.random.u64(30..300)
    }

    pub(super) fn send(&mut self, place: usize, call: Call) {
        let Some(connection) = self.replicas[place].link else { return };
        let id = call.id;
        let arrives = (self.time + self.on_the_way()).max(self.replicas[place].cut_off_until);
        let link = &mut self.connections[connection];
        link.last_out = link.last_out.max(arrives);
        let arrives = link.last_out;
        self.at(arrives, Event::Arrives { connection, call });
        let deadline = self.time + self.scenario.timeout;
        self.local(deadline, place, Local::TimedOut { connection, call: id });
    }

    /// A call reaches the server, also one of a process that is long gone.
    pub(super) fn arrives(&mut self, connection: usize, call: Call) {
        if self.connections[connection].run != self.server.run {
            return;
        }
        if self.time < self.server.frozen_until {
            let until = self.server.frozen_until;
            return self.at(until, Event::Thaw { connection, call });
        }
        self.keep_a_snapshot();
        let clock = (EPOCH + self.time).saturating_add_signed(self.server.clock);
        let (reply, bells) = self.server.store.call(call.script, &call.args, clock);
        self.say(|| format!("store {} for {connection}: {reply:?}", call.script));
        for bell in bells {
            self.ring(&bell);
        }
        let what = Local::Reply { connection, call: call.id, reply };
        let wait = self.on_the_way();
        self.bring(connection, wait, what);
    }

    fn bring(&mut self, connection: usize, wait: u64, what: Local) {
        let link = &self.connections[connection];
        let (place, process) = (link.place, link.process);
        let arrives = (self.time + wait).max(self.replicas[place].cut_off_until).max(link.last_in);
        self.connections[connection].last_in = arrives;
        self.at(arrives, Event::At { place, process, what });
    }

    fn ring(&mut self, message: &[u8]) {
        let lease = u64::try_from(self.scenario.lease.as_micros()).unwrap();
        for place in 0..self.replicas.len() {
            let replica = &self.replicas[place];
            let Some(connection) = replica.link else { continue };
            let (process, cut_off) = (replica.process, replica.cut_off_until);
            let bad = self.scenario.bad_bells;
            let (times, wait) = match self.random.u32(..1000) {
                luck if luck < bad => (0, 0),
                luck if luck < 2 * bad => (2, self.on_the_way()),
                luck if luck < 3 * bad => (1, self.random.u64(..lease)),
                _ => (1, self.on_the_way()),
            };
            for time in 0..times {
                let what = Local::Bell { connection, message: message.to_vec() };
                let arrives = (self.time + wait * (1 + time)).max(cut_off);
                self.at(arrives, Event::At { place, process, what });
            }
        }
    }

    fn keep_a_snapshot(&mut self) {
        let newest = self.server.snapshots.last().map_or(0, |(at, _)| *at);
        if self.time - newest > 40_000 {
            if self.server.snapshots.len() == SNAPSHOTS {
                // Some stay for long.
                let at = self.random.usize(..SNAPSHOTS);
                self.server.snapshots.remove(at);
            }
            self.server.snapshots.push((self.time, self.server.store.keys.clone()));
        }
    }

    /// The server is another process from now on, whose keys are those of some time ago.
    pub(super) fn another_process(&mut self, keys: Keys, down: u64) {
        self.server.store.keys = keys;
        self.server.run += 1;
        self.server.down_until = self.time + down;
        self.server.frozen_until = 0;
        for place in 0..self.replicas.len() {
            let replica = &self.replicas[place];
            let (Some(connection), false) = (replica.link, replica.state == Running::Dead) else { continue };
            let wait = self.on_the_way();
            self.bring(connection, wait, Local::Closed { connection });
        }
    }
}
