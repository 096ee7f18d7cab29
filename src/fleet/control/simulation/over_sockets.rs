//! A fleet in one thread over real servers and real time: what the simulation cannot say, how long it takes.
//!
//! `FLEET_FIGURES=1 cargo test --release --lib fleet::control::simulation::over_sockets -- --nocapture` measures.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::{
    Apply, CallId, Control, ControlScript, ControlSettings, Event, Held, MemberId, Number, PARTS, Reply,
    Ring, Settled, Spelling, Step, WriteId,
};
use super::given;
use super::resp::{Connection, ENGINES, RealServer, Sent};
use crate::clock::Clock;
use crate::fleet::lease::Lease;

const CHANNEL: &[u8] = b"fleet:{fleet}:bell";
/// Long enough for a loaded machine: nobody may be removed here.
const LEASE: Duration = Duration::from_secs(3);

/// What is applied is of no interest here.
struct Nothing;

impl Apply for Nothing {
    fn notice(&mut self, _: Number, _: &[u8], _: Option<WriteId>) {}
    fn everything(&mut self, _: Number) {}
}

struct Member {
    control: Control,
    connection: Connection,
    asked: VecDeque<CallId>,
}

struct Fleet {
    clock: Clock,
    members: Vec<Member>,
    digests: Vec<Vec<u8>>,
    keys: Vec<Vec<u8>>,
}

fn keys() -> Vec<Vec<u8>> {
    PARTS.iter().map(|part| format!("fleet:{{fleet}}:{part}").into_bytes()).collect()
}

fn load(connection: &mut Connection) -> Vec<Vec<u8>> {
    let load = |script: &ControlScript| {
        let body = script.body(Spelling::Flagged).as_bytes();
        match connection.ask(&[b"SCRIPT", b"LOAD", body]) {
            Ok(Reply::Bytes(digest)) => digest,
            other => panic!("{script}: {other:?}"),
        }
    };
    ControlScript::ALL.iter().map(load).collect()
}

impl Fleet {
    fn new(server: &RealServer, members: u8) -> Self {
        let digests = load(&mut server.connect());
        let member = |id| {
            let settings = ControlSettings::new(LEASE, CHANNEL.to_vec(), Ring::Publish);
            let mut control = Control::new(settings, MemberId([id; 16]), Arc::new(Lease::default()));
            let mut connection = server.connect();
            connection.send(&[b"SUBSCRIBE", CHANNEL]);
            connection.read();
            connection.never_wait();
            control.link_up("the only run");
            Member { control, connection, asked: VecDeque::new() }
        };
        let members = (0..members).map(member).collect();
        Self { clock: Clock::system(), members, digests, keys: keys() }
    }

    /// Hears and says what there is; returns what has happened.
    fn turn(&mut self) -> Vec<(usize, Event)> {
        let mut events = Vec::new();
        for (place, member) in self.members.iter_mut().enumerate() {
            while let Some(sent) = member.connection.read_if_any() {
                match sent {
                    Sent::Push(mut push) => {
                        let Some(Reply::Bytes(message)) = push.pop() else { panic!("{push:?}") };
                        member.control.rang(&message, &mut Nothing);
                    }
                    Sent::Reply(reply) => {
                        let call = member.asked.pop_front().expect("it was asked");
                        member.control.answered(call, reply.unwrap(), self.clock.now(), &mut Nothing);
                    }
                }
            }
            while let Step::Send(call) = member.control.next(self.clock.now()) {
                let mut command: Vec<&[u8]> = vec![b"EVALSHA", &self.digests[call.script.index()], b"5"];
                command.extend(self.keys.iter().map(Vec::as_slice));
                command.extend(call.args.iter().map(Vec::as_slice));
                member.connection.send(&command);
                member.asked.push_back(call.id);
            }
            events.extend(std::iter::from_fn(|| member.control.event()).map(|event| (place, event)));
        }
        events
    }

    /// One write by the first member: how long its answer is held.
    fn write(&mut self, write: WriteId) -> (Settled, Duration) {
        let now = self.clock.now();
        self.members[0].control.open(write, b"last will", now);
        loop {
            for (_, event) in self.turn() {
                match event {
                    Event::Entered { write, .. } => {
                        let notice = format!("notice {}", write.0).into_bytes();
                        let now = self.clock.now();
                        self.members[0].control.announce(write, vec![notice], Held::Answer, now);
                    }
                    Event::Settled { settled, waited, .. } => return (settled, waited),
                    _ => {}
                }
            }
        }
    }
}

fn writes(engine: &str, members: u8, writes: u64) -> Vec<Duration> {
    let server = RealServer::start(engine);
    let mut fleet = Fleet::new(&server, members);
    let mut leases = 0;
    while leases < usize::from(members) {
        leases += fleet.turn().iter().filter(|(_, event)| *event == Event::LeaseGained).count();
    }
    let mut waits = Vec::new();
    for write in 0..writes {
        let (settled, waited) = fleet.write(WriteId(write));
        waits.push(waited);
        assert_ne!(settled, Settled::Unannounced);
    }
    waits.sort();
    waits
}

#[test]
fn a_write_is_confirmed_by_members_on_real_servers() {
    for engine in ENGINES {
        // The first waits out the new list of members.
        let waits = writes(engine, 3, 1);
        assert!(waits[0] <= LEASE * 2, "{engine} {waits:?}");
    }
}

#[test]
fn a_beat_costs_the_server_little_and_a_write_waits_little() {
    if given("FLEET_FIGURES").is_none() {
        return;
    }
    for engine in ENGINES {
        for members in [3, 100] {
            let waits = writes(engine, members, 500);
            let at = |part: usize| waits[waits.len() * part / 100];
            println!("{engine}, {members} members: a write waits p50 {:?}, p99 {:?}", at(50), at(98));
        }
        beats(engine);
    }
}

/// What a beat costs the server while there are 1,000 members, none of which has anything to be told.
fn beats(engine: &str) {
    const BEATS: u32 = 50_000;
    let server = RealServer::start(engine);
    let mut connection = server.connect();
    let digests = load(&mut connection);
    let keys = keys();
    let mut beat = |history: &[u8], applied: &[u8], member: u32| {
        let member = format!("{:016}", member % 1000).into_bytes();
        let beat: &[u8] = &digests[ControlScript::Beat.index()];
        let mut command: Vec<&[u8]> = vec![b"EVALSHA", beat, b"5"];
        command.extend(keys.iter().map(Vec::as_slice));
        command.extend([b"run", history, b"PUBLISH", CHANNEL, &[b'u'; 24], applied, &member, b"500"]);
        match connection.ask(&command).unwrap() {
            Reply::List(mut list) => match list.swap_remove(0) {
                Reply::Bytes(history) => history,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    };
    let history = beat(b"", b"0000000000000000", 0);
    let applied = history[..16].to_vec();
    (0..1000).for_each(|member| drop(beat(&history, &applied, member)));
    let before = server.processor_time();
    (0..BEATS).for_each(|member| drop(beat(&history, &applied, member)));
    println!("{engine}: {:?} of the server a beat", (server.processor_time() - before) / BEATS);
}
