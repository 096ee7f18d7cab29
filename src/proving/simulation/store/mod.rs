//! [`Store`]: the server of a fleet, in memory: its connections, and what may befall them.
//!
//! It speaks as much of the protocol as the proxy's own client asks, over pipes. What its scripts do are the models that other
//! tests hold against real servers, and `keys` for the rest.

mod keys;
mod protocol;

use std::time::Duration;

use tokio::io::DuplexStream;

use self::keys::Keys;
use self::protocol::{Command, Out};
use super::super::wire::End;
use crate::clock::Moment;

/// What may befall it, by the replica whose links are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// Its connections are closed, and new ones as well.
    Cut(usize),
    /// Nothing of it is read, and nothing answered.
    Freeze(usize),
    /// Answers to it take this many milliseconds.
    Slow(usize, u16),
    /// It hears no bell.
    Deaf(usize),
    /// It hears each bell twice.
    Echo(usize),
    /// Another server process with nothing in it takes its place.
    Restart,
    /// Everything in it is gone, and connections stay.
    Flush,
    /// What was stored behind answers is gone.
    Evict,
    /// Somebody exchanges stored values, or puts old ones back.
    Tamper,
}

impl Fault {
    /// Whether it lasts, and who may be alone because of it: nobody, one, or all.
    pub(super) fn concerns(self, replica: usize) -> bool {
        match self {
            // However little it is slow: time goes on in steps of more than a question may take.
            Self::Cut(of) | Self::Freeze(of) | Self::Slow(of, _) => of == replica,
            Self::Restart | Self::Flush => true,
            Self::Deaf(_) | Self::Echo(_) | Self::Evict | Self::Tamper => false,
        }
    }

    /// Whether it leaves a replica without any link.
    pub(super) fn severs(self, replica: usize) -> bool {
        matches!(self, Self::Cut(of) | Self::Freeze(of) if of == replica)
    }

    fn lasts(self) -> bool {
        matches!(self, Self::Cut(_) | Self::Freeze(_) | Self::Slow(..) | Self::Deaf(_) | Self::Echo(_))
    }
}

struct Connection {
    replica: usize,
    end: End,
    channel: Option<Vec<u8>>,
    /// What is on its way, and when it arrives.
    coming: Vec<(Duration, Vec<u8>)>,
}

pub(super) struct Store {
    connections: Vec<Connection>,
    keys: Keys,
    rung: usize,
    /// Those that last.
    pub(super) faults: Vec<Fault>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self { connections: Vec::new(), keys: Keys::new(1), rung: 0, faults: Vec::new() }
    }

    pub(super) fn accept(&mut self, replica: usize, pipe: DuplexStream) {
        if !self.faults.contains(&Fault::Cut(replica)) {
            let end = End::new(pipe);
            self.connections.push(Connection { replica, end, channel: None, coming: Vec::new() });
        }
    }

    /// A process has been killed.
    pub(super) fn lose(&mut self, replica: usize) {
        self.connections.retain(|connection| connection.replica != replica);
    }

    pub(super) fn befall(&mut self, fault: Fault, chance: &mut fastrand::Rng) {
        match fault {
            Fault::Cut(replica) => self.lose(replica),
            Fault::Restart => {
                self.connections.clear();
                self.keys = self.keys.restarted();
            }
            Fault::Flush => self.keys.flush(),
            Fault::Evict => self.keys.evict(),
            Fault::Tamper => self.keys.tamper(chance),
            Fault::Freeze(_) | Fault::Slow(..) | Fault::Deaf(_) | Fault::Echo(_) => {}
        }
        if fault.lasts() {
            self.faults.push(fault);
        }
    }

    /// Answers what has come. Whether there was anything to do.
    pub(super) fn turn(&mut self, now: Moment) -> bool {
        let mut bells = Vec::new();
        let mut any = false;
        for connection in &mut self.connections {
            if self.faults.contains(&Fault::Freeze(connection.replica)) {
                continue;
            }
            connection.end.turn();
            while let Some(command) = Command::take(&mut connection.end.received) {
                any = true;
                let mut out = Out::default();
                self.keys.run(&command, now, &mut out);
                if let Some(channel) = out.subscribed.take() {
                    connection.channel = Some(channel);
                }
                bells.append(&mut out.bells);
                let due = now.uptime() + slowness(&self.faults, connection.replica);
                connection.coming.push((due, out.bytes));
            }
        }
        for (channel, message) in bells {
            self.ring(&channel, &message, now);
        }
        for connection in &mut self.connections {
            any |= connection.deliver(now);
        }
        self.connections.retain(|connection| connection.end.is_open());
        any
    }

    fn ring(&mut self, channel: &[u8], message: &[u8], now: Moment) {
        self.rung += 1;
        for connection in &mut self.connections {
            if connection.channel.as_deref() != Some(channel) {
                continue;
            }
            let replica = connection.replica;
            let times = match () {
                () if self.faults.contains(&Fault::Deaf(replica)) => 0,
                // A bell may be lost at any time: what counts is the log.
                () if (self.rung + replica).is_multiple_of(2) => 0,
                () if self.faults.contains(&Fault::Echo(replica)) => 2,
                () => 1,
            };
            let due = now.uptime() + slowness(&self.faults, replica);
            for _ in 0..times {
                connection.coming.push((due, protocol::bell(channel, message)));
            }
        }
    }
}

fn slowness(faults: &[Fault], replica: usize) -> Duration {
    let of = |fault: &Fault| match fault {
        Fault::Slow(of, by) if *of == replica => Some(Duration::from_millis((*by).into())),
        _ => None,
    };
    faults.iter().find_map(of).unwrap_or_default()
}

impl Connection {
    fn deliver(&mut self, now: Moment) -> bool {
        let due = self.coming.iter().take_while(|(due, _)| *due <= now.uptime()).count();
        for (_, bytes) in self.coming.drain(..due) {
            self.end.send(&bytes);
        }
        self.end.turn();
        due > 0
    }
}
