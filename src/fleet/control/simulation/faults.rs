//! What befalls a fleet.

use super::model::{Keys, SortedSet};
use super::replica::{Replica, Running};
use super::scenario::{Fault, SECOND};
use super::world::{Event, World};

impl World {
    pub(super) fn fault(&mut self) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "some a second"
        )]
        let mean = (SECOND as f64 / self.scenario.faults) as u64;
        let wait = self.mean(mean);
        self.after(wait, Event::Fault);
        let weights = self.scenario.weights;
        let sum: u32 = weights.iter().map(|(_, weight)| weight).sum();
        let mut luck = self.random.u32(..sum);
        let fault = weights.iter().find(|(_, weight)| {
            let is_it = luck < *weight;
            luck = luck.wrapping_sub(*weight);
            is_it
        });
        let (fault, _) = *fault.expect("luck is below the sum");
        let place = self.random.usize(..self.replicas.len());
        self.counts.faults += 1;
        self.say(|| format!("fault {fault:?}, {place}"));
        self.befall(fault, place);
        self.pump(place);
    }

    fn befall(&mut self, fault: Fault, place: usize) {
        match fault {
            Fault::Flush | Fault::Evict | Fault::RestartFromOlder | Fault::Failover | Fault::Freeze => {
                self.server.disturbed_at = self.time;
                self.befall_server(fault);
            }
            Fault::StoreClock => self.server.clock += self.random.i64(-20_000_000..20_000_000),
            Fault::Partition => {
                let until = self.time + self.random.u64(20_000..1_500_000);
                self.replicas[place].cut_off_until = until;
            }
            Fault::Stop => self.stop(place),
            Fault::LinkLoss => self.lose_link(place),
            Fault::Kill => self.exits(place),
            Fault::Leave => self.replicas[place].control.leave(),
            Fault::WallClock => {
                // One that is small leaves a lease to go by.
                let most = if self.random.bool() { 450_000 } else { 3_600_000_000 };
                let by = self.random.i64(-most..most);
                self.replicas[place].clocks.set_wall(by);
            }
            Fault::Slew => {
                let extremes = [0.917, 1.0, 1.083, 0.917 + 0.166 * self.random.f64()];
                let speed = extremes[self.random.usize(..4)];
                self.replicas[place].clocks.slew(self.time, speed);
                // Timers follow the clock.
                self.replicas[place].wakes_at = None;
            }
        }
    }

    fn befall_server(&mut self, fault: Fault) {
        match fault {
            Fault::Flush => {
                self.server.store.keys = Keys::default();
                self.tier.fill(None);
            }
            Fault::Evict => {
                let keys = &mut self.server.store.keys;
                match self.random.u8(..5) {
                    0 => keys.state = None,
                    1 => keys.log.clear(),
                    2 => keys.members = SortedSet::default(),
                    3 => keys.beats = SortedSet::default(),
                    _ => keys.open = SortedSet::default(),
                }
            }
            Fault::RestartFromOlder | Fault::Failover => {
                let snapshots = &self.server.snapshots;
                let at = match fault {
                    Fault::Failover => snapshots.len().checked_sub(1),
                    _ => (!snapshots.is_empty()).then(|| self.random.usize(..snapshots.len())),
                };
                let keys = at.map_or_else(Keys::default, |at| snapshots[at].1.clone());
                let down =
                    if self.random.bool() { self.random.u64(..5000) } else { self.random.u64(..600_000) };
                self.another_process(keys, down);
            }
            _ => self.server.frozen_until = self.time + self.random.u64(10_000..800_000),
        }
    }

    fn stop(&mut self, place: usize) {
        if self.replicas[place].state != Running::Yes {
            return;
        }
        self.replicas[place].state = Running::Stopped;
        let wait = if self.random.bool() { self.random.u64(..100_000) } else { self.random.u64(..1_500_000) };
        self.after(wait, Event::Resume { place });
    }

    /// A process that was stopped goes on: reads that waited at its sockets come first, then in any order what else came.
    pub(super) fn resume(&mut self, place: usize) {
        if self.replicas[place].state != Running::Stopped {
            return;
        }
        self.replicas[place].state = Running::Yes;
        self.say(|| format!("{place} goes on"));
        for organization in 0..self.scenario.organizations {
            self.read(place, organization);
        }
        let mut deferred = self.deferred.remove(&place).unwrap_or_default();
        self.random.shuffle(&mut deferred);
        for what in deferred {
            self.local_happens(place, what);
        }
        self.pump(place);
    }

    /// The process is no more. Its messages still are.
    pub(super) fn exits(&mut self, place: usize) {
        let replica = &mut self.replicas[place];
        if replica.state == Running::Dead {
            return;
        }
        replica.state = Running::Dead;
        replica.link = None;
        let process = replica.process;
        self.deferred.remove(&place);
        self.orphan(process);
        let wait = self.random.u64(..1_500_000);
        self.after(wait, Event::Start { place });
    }

    /// Another process begins where one has ended.
    pub(super) fn replace(&mut self, place: usize) {
        let process = self.next_process();
        let mut clocks = self.replicas[place].clocks.clone();
        clocks.slew(self.time, 1.0);
        self.replicas[place] = Replica::new(place, process, clocks, &self.scenario);
        self.start(place);
        self.say(|| format!("{place} begins as {process}"));
    }
}
