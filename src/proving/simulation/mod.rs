//! The proxy in a deterministic simulation: clients, upstream, time and chance come from a seed, and an oracle judges each
//! answer by R1, R3 to R5 and R9.
//!
//! The whole proxy above the socket takes part, the HTTP library included ([`World`]). Between two steps nothing goes on but
//! what the proxy itself does, until it is quiet or, at times, only for a few turns of its tasks: so every place at which it
//! waits is one at which something else may happen. One seed gives one log of events, and a failure prints its seed and its
//! last events; `SIMULATION_SEED` runs it again, `SIMULATION_OPERATIONS` runs longer.

mod client;
mod oracle;
mod tests;
mod truth;
mod upstream;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use self::client::Client;
use self::oracle::{Met, Oracle};
use self::truth::{LABELS, ORGANIZATIONS, PARTIES, Party, What, label_id, organization_id};
use self::upstream::{Fate, Sent, Share, Upstream};
use super::world::{World, config};
use crate::organization::OrganizationName;
use crate::proxy::Purge;

const CLIENTS: usize = 24;
/// A fetch takes no longer.
const DEADLINE: Duration = Duration::from_secs(10);
/// How many of the last events a failure shows.
const SHOWN: usize = 40;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outcome {
    /// Of all events in their order.
    log: u64,
    events: u64,
    met: Met,
}

/// Events, of which all are hashed and the last are shown when it fails.
struct Log {
    seed: u64,
    hasher: DefaultHasher,
    last: VecDeque<String>,
}

impl Log {
    fn note(&mut self, event: u64, what: String) {
        what.hash(&mut self.hasher);
        self.last.push_back(format!("{event}: {what}"));
        if self.last.len() > SHOWN {
            self.last.pop_front();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let shown: Vec<_> = self.last.iter().map(String::as_str).collect();
            eprintln!("SIMULATION_SEED={}\n{}", self.seed, shown.join("\n"));
        }
    }
}

struct Simulation {
    world: World,
    chance: fastrand::Rng,
    upstream: Upstream,
    clients: Vec<Client>,
    oracle: Oracle,
    log: Log,
    /// Numbers steps: what is done in one has no order.
    event: u64,
    nonces: usize,
    /// The upstream takes no connections.
    refusing: bool,
}

/// So many operations of clients, with everything else that goes on meanwhile.
fn run(seed: u64, operations: usize) -> Outcome {
    World::run(seed, &config(), async |world| {
        let log = Log { seed, hasher: DefaultHasher::new(), last: VecDeque::new() };
        let clients = (0..CLIENTS).map(|_| Client::default()).collect();
        let chance = fastrand::Rng::with_seed(seed);
        let (upstream, oracle) = (Upstream::new(), Oracle::new());
        let mut run = Simulation {
            world,
            chance,
            upstream,
            clients,
            oracle,
            log,
            event: 0,
            nonces: 0,
            refusing: false,
        };
        while run.nonces < operations {
            run.step().await;
        }
        run.end_well().await;
        Outcome { log: run.log.hasher.finish(), events: run.event, met: run.oracle.met }
    })
}

impl Simulation {
    async fn step(&mut self) {
        self.event += 1;
        match self.chance.u32(..1000) {
            0..420 => self.ask(),
            420..820 => self.go_on_upstream(),
            820..870 => self.go_on_sending(),
            870..960 => {
                let time = Duration::from_millis(self.chance.u64(1..400));
                self.pass(time).await;
            }
            960..964 => {
                let time = Duration::from_secs(self.chance.u64(2..45));
                self.pass(time).await;
            }
            964..972 => self.switch_token(),
            972..976 => self.purge().await,
            976..988 => self.hang_up(),
            988..990 => self.jump().await,
            990..996 => self.slip(),
            996..998 => {
                self.world.upstream.refuse();
                self.refusing = true;
            }
            998 => self.listen_again(),
            _ => self.be_calm().await,
        }
        // Every tenth time something else happens while the proxy is still at work.
        if self.chance.u32(..10) == 0 {
            for _ in 0..self.chance.u32(1..6) {
                tokio::task::yield_now().await;
            }
        } else {
            self.settle().await;
        }
    }

    /// Until the proxy waits for somebody: what it said is judged, what it asks is taken.
    async fn settle(&mut self) {
        self.world.quiet.reached().await;
        let now = self.world.clock.now();
        if self.refusing {
            self.oracle.note_unreachable();
        }
        self.oracle.note_time(now);
        for place in 0..self.clients.len() {
            let Some((asked, answer)) = self.clients[place].turn() else { continue };
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            let status = answer.status();
            let cached = answer.field("cache-status").unwrap_or_default().to_owned();
            self.log.note(
                self.event,
                format!("{place} {:?} {:?} {status} {cached} {body}", asked.party, asked.what),
            );
            self.oracle.judge(&asked, status, &body, &self.upstream.calls, now);
        }
        self.oracle.note_quiet(self.event);
        // What is asked from here on may have been asked behind that.
        self.event += 1;
        while let Some(pipe) = self.world.upstream.take() {
            self.upstream.accept(pipe);
        }
        for (number, request) in self.upstream.turn(now, self.event) {
            let call = &self.upstream.calls[number];
            let (party, what) = (call.party, call.what);
            self.log.note(self.event, format!("call {number}: {party:?} {what:?}"));
            match what {
                What::Write(_, nonce) | What::Pass(nonce) => self.oracle.note_arrival(nonce),
                What::Read(_) | What::List => {
                    assert!(!request.has("x-junk"), "R3: a client's field in a fetch")
                }
            }
            let is_ours = self.clients.iter().all(|client| client.has_sent_all_of(what));
            assert!(is_ours, "R9: a write of which only a part came was sent on");
        }
    }

    fn ask(&mut self) {
        let idle: Vec<_> = (0..CLIENTS).filter(|place| self.clients[*place].is_idle()).collect();
        let Some(place) = self.chance.choice(idle) else { return self.go_on_upstream() };
        self.nonces += 1;
        // A few organizations have most of the callers.
        let organization = self.chance.usize(..ORGANIZATIONS).min(self.chance.usize(..ORGANIZATIONS));
        let party = Party(organization + ORGANIZATIONS * self.chance.usize(..PARTIES / ORGANIZATIONS));
        let label = self.chance.usize(..LABELS);
        let what = match self.chance.u32(..100) {
            0..70 => What::Read(label),
            70..82 => What::List,
            82..92 => What::Write(label, self.nonces),
            _ => What::Pass(self.nonces),
        };
        let asked = self.oracle.ask(party, what, self.event);
        self.log.note(self.event, format!("{place} asks {party:?} {what:?}"));
        let connect = || self.world.connect();
        let at_once = if self.chance.u32(..8) == 0 { self.chance.usize(1..200) } else { usize::MAX };
        self.clients[place].ask(asked, at_once, connect);
    }

    /// A client sends more of what it has begun to send.
    fn go_on_sending(&mut self) {
        let late: Vec<_> = (0..CLIENTS).filter(|place| self.clients[*place].is_sending()).collect();
        if let Some(place) = self.chance.choice(late) {
            self.clients[place].send_rest();
        }
    }

    fn hang_up(&mut self) {
        let place = self.chance.usize(..CLIENTS);
        self.log.note(self.event, format!("{place} leaves"));
        self.clients[place].leave();
    }

    /// The upstream acts on a call that waits, or sends some of an answer.
    fn go_on_upstream(&mut self) {
        let busy: Vec<_> =
            (0..self.upstream.lines.len()).filter(|line| self.upstream.lines[*line].call.is_some()).collect();
        let Some(line) = self.chance.choice(busy) else { return };
        let number = self.upstream.lines[line].call.expect("it is busy");
        if self.upstream.calls[number].answer.is_none() {
            let writes = matches!(self.upstream.calls[number].what, What::Write(..));
            let fate = match self.chance.u32(..100) {
                0..3 => Fate::Failed,
                3 => Fate::Limited,
                4..8 if writes => Fate::DoneAndDenied,
                8..12 if writes => Fate::DoneAndLost,
                _ => Fate::Done,
            };
            self.upstream.act(number, fate);
            self.log.note(self.event, format!("call {number} is {fate:?}"));
            return;
        }
        let share = match self.chance.u32(..100) {
            0..8 => Share::Part(self.chance.usize(..400)),
            8..11 => Share::Cut(self.chance.usize(..400)),
            _ => Share::All,
        };
        self.answer(line, share);
    }

    fn answer(&mut self, line: usize, share: Share) {
        let now = self.world.clock.now();
        let Some((number, sent)) = self.upstream.send(line, share, self.event) else { return };
        let call = &self.upstream.calls[number];
        let status = call.answer.as_ref().map(|answer| answer.status);
        self.log.note(
            self.event,
            format!("call {number} of {:?} has its answer: {status:?} {sent:?}", call.party),
        );
        match sent {
            Sent::Whole => self.oracle.note_answered(&self.upstream.calls[number], now),
            Sent::Cut => {
                self.oracle.met.cut += 1;
                // It may be noted as unreachable and answered before anybody looks at the time.
                self.oracle.note_trouble(call.party.organization(), now);
                self.oracle.note_unreachable();
            }
            Sent::Part | Sent::Unheard => {}
        }
    }

    async fn pass(&mut self, time: Duration) {
        self.settle().await;
        self.log.note(self.event, format!("{time:?} pass"));
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(1));
            self.world.pass(step).await;
            // Whoever waits may run out of time.
            let now = self.world.clock.now();
            let waiting = self.upstream.lines.iter().filter_map(|line| line.call);
            for call in waiting.map(|number| &self.upstream.calls[number]) {
                self.oracle.note_trouble(call.party.organization(), now);
                if now.since(call.at) >= DEADLINE {
                    self.oracle.note_unreachable();
                }
            }
            self.settle().await;
            left -= step;
        }
    }

    async fn jump(&mut self) {
        // What was said before it is judged by the time of then.
        self.settle().await;
        let by = Duration::from_secs(self.chance.u64(1..4000));
        self.log.note(self.event, format!("the wall clock jumps by {by:?}"));
        if self.chance.bool() {
            self.world.hand.jump_wall_ahead(by);
        } else {
            self.world.hand.jump_wall_back(by);
        }
    }

    fn listen_again(&mut self) {
        self.world.upstream.listen_again();
        self.refusing = false;
    }

    fn switch_token(&mut self) {
        let token = self.chance.usize(..PARTIES);
        // Most of the time most are welcome.
        let revoked = !self.upstream.revoked[token] && self.chance.u32(..2) == 0;
        self.upstream.revoked[token] = revoked;
        self.log.note(self.event, format!("token {token} is revoked: {revoked}"));
    }

    async fn purge(&mut self) {
        self.settle().await;
        let organization = (self.chance.u32(..4) > 0).then(|| self.chance.usize(..ORGANIZATIONS));
        let label = self.chance.bool().then(|| self.chance.usize(..LABELS));
        self.log.note(self.event, format!("purge of {organization:?} {label:?}"));
        let name = organization.map(|organization| OrganizationName(organization_id(organization)));
        self.world
            .proxy
            .purge(Purge { organization: name, label: label.map(label_id), resource: None })
            .await;
        self.oracle.note_purge(organization, label, self.event);
        self.event += 1;
    }

    /// Two callers whose organizations are known get each other's answers.
    fn slip(&mut self) {
        let calls = &self.upstream.calls;
        let ready = |number: usize| {
            let call = &calls[number];
            let done = call.answer.as_ref().is_some_and(|answer| answer.status == 200);
            done && !call.slipped && matches!(call.what, What::Read(_)) && self.oracle.is_bound(call.party)
        };
        let lines = self.upstream.lines.iter();
        let waiting: Vec<_> = lines
            .filter(|line| !line.has_begun())
            .filter_map(|line| line.call)
            .filter(|number| ready(*number))
            .collect();
        let (Some(&one), Some(&other)) = (waiting.first(), waiting.last()) else { return };
        let differ = calls[one].what != calls[other].what
            || calls[one].party.organization() != calls[other].party.organization();
        if differ {
            self.log.note(self.event, format!("calls {one} and {other} slip"));
            self.upstream.slip(one, other);
        }
    }

    /// Whoever waits gets what is true now.
    async fn answer_everybody(&mut self) {
        self.event += 1;
        for place in 0..CLIENTS {
            self.clients[place].send_rest();
        }
        for line in 0..self.upstream.lines.len() {
            let Some(number) = self.upstream.lines[line].call else { continue };
            if self.upstream.calls[number].answer.is_none() {
                self.upstream.act(number, Fate::Done);
            }
            self.answer(line, Share::All);
        }
        self.settle().await;
    }

    /// For some minutes every call is answered at once, so that nothing excuses what is old.
    async fn be_calm(&mut self) {
        self.log.note(self.event, "all is calm".to_owned());
        self.listen_again();
        for _ in 0..20 {
            self.answer_everybody().await;
            self.pass(Duration::from_millis(500)).await;
        }
        for _ in 0..60 {
            self.event += 1;
            self.ask();
            self.settle().await;
            for _ in 0..self.chance.u32(1..12) {
                self.answer_everybody().await;
                self.pass(Duration::from_secs(1)).await;
            }
        }
    }

    /// Everything is well again: whoever waits gets an answer.
    async fn end_well(&mut self) {
        self.listen_again();
        self.upstream.revoked = [false; PARTIES];
        for _ in 0..100 {
            self.answer_everybody().await;
            self.pass(Duration::from_millis(500)).await;
        }
        let waiting = self.clients.iter().filter(|client| client.waits()).count();
        assert_eq!(waiting, 0, "R7: nobody waits for ever");
    }
}
