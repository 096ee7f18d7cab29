//! [`Scene`]: a world under way, and how each decision is carried out in it.

mod around;

use std::cell::Cell;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use h2::Reason;

use super::Outcome;
use super::broken::hold;
use super::client::{Client, Ended};
use super::decision::{Decision, Kind, Pace, Taste, anybody};
use super::event::{Event, Lines, Log};
use super::oracle::Oracle;
use super::setting::{Flaw, Setting};
use super::stage::Stage;
use super::streams::Streams;
use super::truth::{LABELS, PARTIES, Party, What};
use super::upstream::{Fate, Sent, Share, Upstream};
use crate::clock::Moment;

pub(super) const CLIENTS: usize = 24;
/// From here on they speak HTTP/2.
const BY_STREAMS: usize = 16;

pub(super) struct Scene {
    // First: clients and calls hold ends of its pipes, and their streams run in it.
    clients: Vec<Client>,
    pub(super) stage: Stage,
    setting: Setting,
    /// Of the decision that is being carried out.
    seed: u64,
    chance: fastrand::Rng,
    pub(super) upstream: Upstream,
    pub(super) oracle: Oracle,
    log: Log,
    /// Numbers steps: what is done in one has no order.
    event: u64,
    pub(super) operations: usize,
    purges: Vec<Purging>,
    /// What was sent whole of what must not be sent on before.
    sent: HashSet<usize>,
    /// All is well since this event: whoever asks from then on is answered.
    well: Option<u64>,
    /// The upstream takes no connections.
    refusing: bool,
}

/// A purge under way.
struct Purging {
    done: Rc<Cell<bool>>,
    /// It happens here, and is answered once every replica has heard of it.
    event: u64,
    replica: usize,
    organization: Option<usize>,
    label: Option<usize>,
}

impl Scene {
    pub(super) fn new(setting: Setting, lines: Option<Lines>) -> Self {
        fastrand::seed(0);
        let streams: Vec<_> = (0..2 * setting.replicas).map(|_| Streams::default()).collect();
        let client = |place: usize| match place {
            0..BY_STREAMS => Client::by_bytes(),
            _ => Client::by_streams(streams[place % streams.len()].clone()),
        };
        Self {
            clients: (0..CLIENTS).map(client).collect(),
            stage: Stage::new(&setting),
            setting,
            seed: 0,
            chance: fastrand::Rng::with_seed(0),
            upstream: Upstream::new(),
            oracle: Oracle::new(setting),
            log: Log::new(lines),
            event: 0,
            operations: 0,
            purges: Vec::new(),
            sent: HashSet::new(),
            well: None,
            refusing: false,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome { log: self.log.hash(), events: self.event, met: self.oracle.met }
    }

    pub(super) fn take(&mut self, decision: Decision) {
        self.event += 1;
        self.seed = decision.seed;
        self.chance = fastrand::Rng::with_seed(decision.seed);
        fastrand::seed(decision.seed ^ 1);
        match decision.kind {
            Kind::Ask(taste) => self.ask(taste),
            Kind::SendRest => self.send_rest(),
            Kind::Leave => self.leave(),
            Kind::Upstream => self.go_on_upstream(),
            Kind::AnswerAll => self.answer_everybody(),
            Kind::Pass(time) => self.pass(Duration::from_millis(time.into())),
            Kind::Jump => self.jump(),
            Kind::SwitchToken => self.switch_token(),
            Kind::Move => self.move_token(),
            Kind::Restrict => self.restrict(),
            Kind::Purge => self.purge(),
            Kind::Slip => self.slip(),
            Kind::Refuse => self.refuse(),
            Kind::Listen => self.listen(),
            Kind::Restart => self.restart(),
            Kind::StoreFault => self.store_fails(),
            Kind::StoreHeals => self.store_heals(),
            Kind::End => self.end_well(),
        }
        match decision.pace {
            Pace::Settle => self.settle(),
            Pace::Turns(turns) => self.stage.go_on(turns.into()),
        }
    }

    /// Now, for whoever waits for an answer, or is waited for.
    fn asking(&self) -> [Option<Moment>; PARTIES] {
        let mut asking = [None; PARTIES];
        let clients = self.clients.iter().filter_map(Client::asked).map(|asked| asked.party);
        let calls = self.upstream.lines.iter().filter_map(|line| line.call);
        for party in clients.chain(calls.map(|number| self.upstream.calls[number].party)) {
            asking[party.0] = Some(self.stage.now());
        }
        asking
    }

    pub(super) fn note(&mut self, what: &Event) {
        self.log.note(self.event, self.stage.now().uptime(), what);
    }

    /// Until the proxies wait for somebody: what they said is judged, what they ask is taken.
    fn settle(&mut self) {
        self.stage.settle();
        let now = self.stage.now();
        if self.refusing {
            (0..self.setting.replicas).for_each(|replica| self.oracle.note_unreachable(replica));
        }
        self.note_links();
        self.oracle.note_time(now);
        self.hear();
        let done = self.purges.extract_if(.., |purge| purge.done.get()).collect::<Vec<_>>();
        for purge in done {
            self.note(&Event::Purged);
            self.oracle.note_unbound(self.event, &self.asking());
            self.oracle.note_purge(purge.replica, purge.organization, purge.label, purge.event, now);
        }
        self.oracle.note_quiet(self.event, now);
        // What is asked from here on may have been asked behind that.
        self.event += 1;
        for (replica, pipe) in self.stage.take() {
            self.upstream.accept(replica, pipe);
        }
        for (number, request) in self.upstream.turn(now, self.event) {
            let call = &self.upstream.calls[number];
            let (party, what, replica, head) = (call.party, call.what, call.replica, call.head);
            self.note(&Event::Call { number, replica, party, what });
            self.oracle.note_arrival(what, replica, head, now);
            let is_clean = !what.is_read() || !request.has("x-junk");
            hold(is_clean, "R3: a fetch has no field of a client's", || format!("{what:?}"));
            let nonce = if let What::Write(_, nonce) = what { Some(nonce) } else { None };
            let is_whole = nonce.is_none_or(|nonce| self.sent.contains(&nonce));
            hold(is_whole, "R9: a write of which only a part came is not sent on", || format!("{what:?}"));
        }
    }

    /// What clients have been answered.
    fn hear(&mut self) {
        let now = self.stage.now();
        for client in 0..self.clients.len() {
            let Some((asked, ended)) = self.clients[client].turn() else {
                if let Some(asked) = self.clients[client].asked() {
                    self.oracle.judge_waiting(asked, now);
                }
                continue;
            };
            match ended {
                Ended::Cut => self.note(&Event::HearsNothing { client }),
                Ended::Heard(heard) => {
                    let (status, cached, body) = (heard.status, heard.cached.clone(), heard.body.clone());
                    self.note(&Event::Hears { client, status, cached, body });
                    self.oracle.met.by_streams += u64::from(client >= BY_STREAMS);
                    let is_well = self.well.is_some_and(|well| asked.event >= well);
                    hold(!is_well || status == 200, "R7: once all is well a read is answered", || {
                        format!("{asked:?}: {status}")
                    });
                    self.oracle.judge(&asked, &heard, &self.upstream.calls, now);
                }
            }
        }
    }

    fn ask(&mut self, taste: Taste) {
        let idle = (0..CLIENTS).filter(|place| self.clients[*place].is_idle()).map(|place| (place, place));
        let Some(client) = favourite(self.seed, idle) else { return self.go_on_upstream() };
        self.operations += 1;
        let (mut party, mut label) =
            (anybody(&mut self.chance, self.setting.organizations()), self.chance.usize(..LABELS));
        if self.chance.u8(..100) < taste.near {
            let other = Party(party.0 - party.first_home() + taste.party.first_home());
            party = if self.chance.bool() { taste.party } else { other };
            label = if self.chance.u32(..4) > 0 { taste.label } else { label };
        }
        let what = match self.chance.u8(..100) {
            drawn if drawn < taste.writes => What::Write(label, self.operations),
            _ => match self.chance.u32(..90) {
                0..67 => What::Read(label),
                67..79 => What::List,
                79..82 => What::Doubt(label, self.operations),
                _ => What::Pass(self.operations),
            },
        };
        // A body is as much of a stream as all is of a connection.
        let most = if client < BY_STREAMS && self.chance.bool() { 200 } else { 16 };
        let kept = if self.chance.u32(..8) == 0 { self.chance.usize(1..most) } else { 0 };
        self.ask_for(client, party, what, kept);
    }

    /// All but so much of its end goes at once.
    fn ask_for(&mut self, client: usize, party: Party, what: What, kept: usize) {
        let replica = client % self.setting.replicas;
        let asked = self.oracle.ask(party, what, replica, self.event, self.stage.now());
        self.note(&Event::Asks { client, replica, party, what });
        self.clients[client].ask(asked, kept, self.stage.process(replica));
        self.note_sent(client);
    }

    /// What has gone out whole by now.
    fn note_sent(&mut self, client: usize) {
        let now = self.stage.now().uptime();
        let what = self.clients[client].note_sent(now);
        self.sent.extend(what.and_then(What::nonce));
    }

    /// A client sends more of what it has begun to send.
    fn send_rest(&mut self) {
        let late = (0..CLIENTS).filter(|place| self.clients[*place].is_sending()).map(|place| (place, place));
        if let Some(client) = favourite(self.seed, late) {
            self.clients[client].send_rest();
            self.note_sent(client);
        }
    }

    fn leave(&mut self) {
        // Often one that has not sent all.
        let late = (0..CLIENTS).filter(|place| self.clients[*place].is_sending()).map(|place| (place, place));
        let late = favourite(self.seed, late).filter(|_| self.chance.bool());
        let client = late.unwrap_or_else(|| self.chance.usize(..CLIENTS));
        let reason = if self.chance.bool() { Reason::NO_ERROR } else { Reason::CANCEL };
        self.note(&Event::Leaves { client });
        self.clients[client].leave(reason);
    }

    /// The upstream acts on a call that waits, or sends some of an answer.
    fn go_on_upstream(&mut self) {
        let busy = self.upstream.lines.iter().enumerate().filter_map(|(line, of)| {
            let call = &self.upstream.calls[of.call?];
            Some((line, (call.party, call.what.kind())))
        });
        let Some(line) = favourite(self.seed, busy) else { return };
        let number = self.upstream.lines[line].call.expect("it is busy");
        if self.upstream.calls[number].answer.is_none() {
            let writes = matches!(self.upstream.calls[number].what, What::Write(..));
            let is_stream = self.upstream.lines[line].is_stream();
            let fate = match self.chance.u32(..100) {
                0..3 => Fate::Failed,
                3 => Fate::Limited,
                4 => Fate::Unpaid,
                5 => Fate::Forbidden,
                6..10 if writes => Fate::DoneAndDenied,
                10..14 if writes => Fate::DoneAndLost,
                14 | 15 if is_stream => return self.refuse_unseen(line),
                _ => Fate::Done,
            };
            return self.act(number, fate);
        }
        let share = match self.chance.u32(..100) {
            0..8 => Share::Part(self.chance.usize(..400)),
            8..11 => Share::Cut(self.chance.usize(..400)),
            _ => Share::All,
        };
        self.answer(line, share);
    }

    fn act(&mut self, number: usize, fate: Fate) {
        let status = self.upstream.act(number, fate);
        let call = &mut self.upstream.calls[number];
        if self.setting.flaw == Some(Flaw::OtherCallsWrite)
            && status == 200
            && matches!(call.what, What::Pass(_))
        {
            let organization = call.organization;
            let version = self.upstream.change(organization, 0);
            if let Some(answer) = &mut self.upstream.calls[number].answer {
                (answer.wrote, answer.organization) = (Some(version), organization);
            }
        }
        self.note(&Event::Acts { number, fate, status });
    }

    /// A call is given back as one that nobody has looked at.
    fn refuse_unseen(&mut self, line: usize) {
        let now = self.stage.now();
        let Some(number) = self.upstream.refuse_unseen(line) else { return };
        self.note(&Event::Acts { number, fate: Fate::Unseen, status: 0 });
        self.oracle.note_unseen(&self.upstream.calls[number], now);
    }

    fn answer(&mut self, line: usize, share: Share) {
        let now = self.stage.now();
        let Some((numbers, sent)) = self.upstream.send(line, share, self.event) else { return };
        for what in std::mem::take(&mut self.upstream.lost) {
            self.oracle.note_first(what);
        }
        for number in numbers {
            self.note(&Event::Answers { number, sent });
            let call = &self.upstream.calls[number];
            match sent {
                Sent::Part => self.oracle.note_begun(call, now),
                Sent::Whole => {
                    self.oracle.met.over_http2 += u64::from(call.is_stream);
                    self.oracle.note_answered(call, now);
                }
                Sent::Reset => {
                    self.oracle.note_begun(call, now);
                    self.oracle.met.cut += 1;
                    self.oracle.note_trouble_of(call, now);
                }
                Sent::Cut => {
                    self.oracle.note_begun(call, now);
                    self.oracle.met.cut += 1;
                    self.oracle.met.ended += u64::from(call.is_stream);
                    // It may be noted as unreachable and answered before anybody looks at the time.
                    self.oracle.note_trouble_of(call, now);
                    self.oracle.note_unreachable(call.replica);
                }
                Sent::Unheard => {}
            }
        }
    }
}

/// One of them, by what it is and not by its place among them: which one it is does not change when others are not there.
fn favourite<T, K: Hash>(seed: u64, among: impl Iterator<Item = (T, K)>) -> Option<T> {
    let liked = |(_, key): &(T, K)| {
        let mut hasher = DefaultHasher::new();
        (seed, key).hash(&mut hasher);
        hasher.finish()
    };
    among.min_by_key(liked).map(|(one, _)| one)
}
