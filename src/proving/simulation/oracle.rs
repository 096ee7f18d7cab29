//! What is certain at each moment, by all that happened before: what [`judge`](super::judge) holds answers against.
//!
//! Each bound errs on the proxy's side by one moment of quiet: what was on its way when something changed counts as before it.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::broken::hold;
use super::judge::PROOF;
use super::known::{Known, Proof};
use super::met::Met;
use super::setting::Setting;
use super::truth::{LABELS, ORGANIZATIONS, PARTIES, Party, Versions, What};
use super::upstream::Call;
use crate::clock::Moment;

/// For so long after a failure the upstream may count as one that cannot be asked.
const TROUBLE: Duration = Duration::from_secs(6);
/// Whoever has a link that is well has heard of a refusal after so long: a lease, and a beat on its way.
const HEARD: Duration = Duration::from_millis(700);
/// A replica that is alone has more turns than this in a second, however many were seen last.
const SHARE: usize = 3;
/// Without a link it has no lease after so long.
const ALONE: Duration = Duration::from_secs(1);
/// How far ahead the store gives a call its moment.
const BOOKED_AHEAD: Duration = Duration::from_secs(4);
/// Before that some may not have met the others.
const BEGINNING: Duration = Duration::from_secs(5);
/// Sharing does not come back any earlier after an answer that showed who may see a label.
const LIMITED: Duration = Duration::from_secs(50);

/// How many calls a fleet sends in a second, whoever asks.
pub(super) const PER_SECOND: u32 = 20;

/// What a client asked, and what was certain then.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) party: Party,
    pub(super) what: What,
    pub(super) replica: usize,
    pub(super) event: u64,
    /// Its credential was known then, and surely to have a proof that need not be renewed.
    pub(super) is_known: bool,
    /// Its process had no link to the store then, or one that may not have been well.
    pub(super) is_cut: bool,
    pub(super) is_disturbed: bool,
    /// When the last of it was sent.
    pub(super) sent: Option<Duration>,
    /// The least that each label's version may be, by the writes that this process answered, and by those of all.
    pub(super) own: [Versions; ORGANIZATIONS],
    pub(super) all: [Versions; ORGANIZATIONS],
    pub(super) purged: [[u64; LABELS]; ORGANIZATIONS],
}

pub(super) struct Oracle {
    pub(super) setting: Setting,
    pub(super) known: Vec<Known>,
    /// By replica, and by all whose link was well.
    own: Vec<[Versions; ORGANIZATIONS]>,
    all: [Versions; ORGANIZATIONS],
    /// Until when each replica may be alone.
    disturbed: Vec<Duration>,
    /// Until when it may have been before that.
    disturbed_before: Vec<Duration>,
    /// Since when it has been so, and when an operator's purge was last answered by it.
    alone_since: Vec<Duration>,
    purged_at: Vec<Duration>,
    /// Refusals that the others will have heard of: when, who was refused, in which event, and where.
    told: Vec<(Duration, usize, u64, usize)>,
    /// Since when each has had no link for certain.
    lost: Vec<Option<Duration>>,
    /// Until when an organization's calls may fail at each replica, as far as callers can know, by the clock that never jumps.
    trouble: Vec<[Option<Duration>; ORGANIZATIONS]>,
    /// The event in which a 429 was the last answer to it: whatever its next call comes to, it is a probe, and while that is out nobody else may ask.
    held: [Option<u64>; ORGANIZATIONS],
    /// Of each replica: connections failed, or calls ran out of time, and none was answered since. Then the API may count as dead.
    unreachable: Vec<bool>,
    /// When each credential's latest proof was given to the store, and by which replica.
    shared: [Option<(Duration, usize)>; PARTIES],
    /// What landed from here on has not been judged yet.
    pub(super) last_quiet: u64,
    arrived: HashSet<usize>,
    /// When the clock jumped last, or a purge was begun.
    pub(super) doubted: u64,
    /// Until when a call may come whose moment the store has forgotten.
    uncounted: Duration,
    /// When calls arrived in the last second, where no replica may be alone.
    recent: VecDeque<Duration>,
    /// All of the last second, and by whom.
    sent: VecDeque<(Duration, usize)>,
    pub(super) has_moved: [bool; PARTIES],
    pub(super) met: Met,
}

impl Oracle {
    pub(super) fn new(setting: Setting) -> Self {
        let nothing = [Versions::default(); ORGANIZATIONS];
        Self {
            setting,
            known: (0..setting.replicas).map(|_| Known::nothing()).collect(),
            own: vec![nothing; setting.replicas],
            all: nothing,
            disturbed: vec![BEGINNING; setting.replicas],
            disturbed_before: vec![BEGINNING; setting.replicas],
            alone_since: vec![Duration::ZERO; setting.replicas],
            purged_at: vec![Duration::ZERO; setting.replicas],
            told: Vec::new(),
            lost: vec![None; setting.replicas],
            trouble: vec![[None; ORGANIZATIONS]; setting.replicas],
            held: [None; ORGANIZATIONS],
            unreachable: vec![false; setting.replicas],
            shared: [None; PARTIES],
            last_quiet: 0,
            arrived: HashSet::new(),
            doubted: 0,
            uncounted: Duration::ZERO,
            recent: VecDeque::new(),
            sent: VecDeque::new(),
            has_moved: [false; PARTIES],
            met: Met::default(),
        }
    }

    pub(super) fn ask(&self, party: Party, what: What, replica: usize, event: u64, now: Moment) -> Asked {
        let known = &self.known[replica];
        let (purged, own, all) = (known.purged, self.own[replica], self.all);
        let is_known = known.is_surely_proven(party, replica, now, self.undisturbed_since(replica, now));
        let is_cut = self.lost[replica].is_some();
        let is_disturbed = self.setting.is_fleet() && self.is_disturbed(replica, now);
        Asked { party, what, replica, event, is_known, is_cut, is_disturbed, sent: None, own, all, purged }
    }

    /// A call arrived: a write or another call never twice, and in a fleet never more than one process might send.
    pub(super) fn note_arrival(&mut self, what: What, replica: usize, head: Moment, now: Moment) {
        self.note_first(what);
        if !self.setting.is_fleet() {
            return;
        }
        let second = now.uptime().saturating_sub(Duration::from_secs(1));
        self.sent.retain(|(at, _)| *at > second);
        self.sent.push_back((now.uptime(), replica));
        if self.sent.iter().filter(|(_, of)| *of == replica).count() >= SHARE {
            // Others may wait for their turn, which is as good as an outage.
            (0..self.setting.replicas).for_each(|replica| self.note_trouble_of_all(replica, now));
        }
        self.recent.retain(|at| *at > second);
        if self.disturbed.iter().chain([&self.uncounted]).any(|until| now.uptime() < *until) {
            return self.recent.clear();
        }
        // It counts from its head on.
        self.recent.extend(Some(head.uptime()).filter(|at| *at > second));
        self.met.at_limit += u64::from(self.recent.len() == PER_SECOND as usize);
        hold(self.recent.len() <= PER_SECOND as usize, "P2: all replicas together keep to the limit", || {
            format!("{} in a second", self.recent.len())
        });
    }

    /// A call was given back unseen: the same may arrive once more.
    pub(super) fn note_unseen(&mut self, call: &Call, now: Moment) {
        self.met.unseen += 1;
        if let Some(nonce) = call.what.nonce() {
            self.arrived.remove(&nonce);
        }
        self.note_trouble_of(call, now);
    }

    /// It is here: what must not be sent twice never is.
    pub(super) fn note_first(&mut self, what: What) {
        if let Some(nonce) = what.nonce() {
            let is_first = self.arrived.insert(nonce);
            hold(is_first, "R9: no write or other call is sent twice", || nonce.to_string());
        }
    }

    /// Something happened that may end any proof, or begin to.
    pub(super) const fn note_doubt(&mut self, event: u64) {
        self.doubted = event;
    }

    /// A call fails, or is late: so for the organization that it was proven for here, where its token has moved unseen, too.
    pub(super) fn note_trouble_of(&mut self, call: &Call, until: Moment) {
        for organization in self.taken_for(call) {
            self.note_trouble_everywhere(organization, until);
        }
    }

    /// The organizations that a 429 to a call holds back: all where they have one account.
    fn held_by(&self, call: &Call) -> Vec<usize> {
        if self.setting.is_fleet() { (0..ORGANIZATIONS).collect() } else { self.taken_for(call) }
    }

    /// The organizations that a call may count as one of.
    fn taken_for(&self, call: &Call) -> Vec<usize> {
        let is_known = |organization: &usize| {
            self.known[call.replica].proofs(call.party, *organization).next().is_some()
        };
        let names = call.party.workspace();
        (0..ORGANIZATIONS)
            .filter(|one| *one == call.organization || names == Some(*one) || is_known(one))
            .collect()
    }

    /// Calls of an organization fail at a replica, or are late.
    fn note_trouble(&mut self, replica: usize, organization: usize, until: Moment) {
        let until = until.uptime() + TROUBLE;
        let trouble = &mut self.trouble[replica][organization];
        *trouble = Some(trouble.map_or(until, |known| known.max(until)));
    }

    /// Calls of all of them do: where nobody can be reached, the breaker opens for everybody.
    fn note_trouble_of_all(&mut self, replica: usize, until: Moment) {
        (0..ORGANIZATIONS).for_each(|organization| self.note_trouble(replica, organization, until));
    }

    /// The same at all replicas: of one account, and where one fetches, others wait for that.
    fn note_trouble_everywhere(&mut self, organization: usize, until: Moment) {
        (0..self.setting.replicas).for_each(|replica| self.note_trouble(replica, organization, until));
    }

    pub(super) fn is_in_trouble(&self, replica: usize, organization: usize, now: Moment) -> bool {
        self.trouble[replica][organization].is_some_and(|until| now.uptime() < until)
    }

    /// The store knows of no call any more, nor of the moments that it has given: what has one comes beside those to come.
    pub(super) fn note_counts_lost(&mut self, now: Moment) {
        self.uncounted = now.uptime() + BOOKED_AHEAD;
    }

    pub(super) fn note_unreachable(&mut self, replica: usize) {
        self.unreachable[replica] = true;
    }

    /// A replica may be alone from now on, for as long as this lasts and a little longer.
    pub(super) fn note_disturbed(&mut self, replica: usize, now: Duration, until: Duration) {
        if self.disturbed[replica] < now {
            (self.disturbed_before[replica], self.alone_since[replica]) = (self.disturbed[replica], now);
        }
        self.disturbed[replica] = self.disturbed[replica].max(until);
    }

    /// Whether a replica may be alone, or was a moment ago.
    pub(super) fn is_disturbed(&self, replica: usize, now: Moment) -> bool {
        now.uptime() < self.disturbed[replica]
    }

    /// A replica has no link now, or has one.
    pub(super) fn note_link(&mut self, replica: usize, lost: Option<Duration>) {
        self.lost[replica] = lost.map(|now| self.lost[replica].unwrap_or(now));
    }

    /// Since when it has missed nothing for certain, so that no proof of its was ended: one whose link was cut has not heard yet of
    /// what it misses.
    fn undisturbed_since(&self, replica: usize, now: Moment) -> Duration {
        let is_cut = self.lost[replica] == Some(self.alone_since[replica]);
        match self.is_disturbed(replica, now) {
            true if is_cut => self.disturbed_before[replica],
            true => now.uptime(),
            false if self.setting.is_fleet() => self.disturbed[replica],
            false => Duration::ZERO,
        }
    }

    /// Whether a replica is alone for certain.
    pub(super) fn is_alone(&self, replica: usize, now: Moment) -> bool {
        self.lost[replica].is_some_and(|since| now.uptime() > since + ALONE)
    }

    /// A process was killed, and another one has taken its place.
    pub(super) fn note_restart(&mut self, replica: usize, now: Moment) {
        self.met.restarts += 1;
        self.unreachable[replica] = false;
        if self.setting.is_fleet() {
            self.known[replica].restarted();
            // What it wrote and purged while it was alone it may have told nobody, and who takes its place is somebody else.
            if self.is_disturbed(replica, now) {
                self.own[replica] = Default::default();
                if self.purged_at[replica] + HEARD >= self.alone_since[replica] {
                    self.known[replica].purged = Default::default();
                }
            }
        } else {
            self.known[replica] = Known::nothing();
        }
    }

    /// It is this late.
    pub(super) fn note_time(&mut self, now: Moment) {
        for organization in 0..ORGANIZATIONS {
            if self.held[organization].is_some() {
                self.note_trouble_everywhere(organization, now);
            }
        }
        for replica in 0..self.setting.replicas {
            if self.unreachable[replica] {
                self.note_trouble_of_all(replica, now);
            }
        }
        // By the clock that never jumps.
        for limits in self.known.iter_mut().flat_map(|known| &mut known.limits) {
            *limits = limits.filter(|limits| now.uptime().saturating_sub(limits.at.uptime()) < LIMITED);
        }
        let Self { told, known, disturbed, met, .. } = self;
        told.retain(|&(due, party, event, from)| {
            let is_due = now.uptime() >= due;
            for (replica, known) in known.iter_mut().enumerate() {
                // Where a link was not well in between, the proofs end by themselves.
                let well = disturbed[replica] + HEARD < due && disturbed[from] + HEARD < due;
                if is_due && well {
                    met.told += u64::from(replica != from);
                    known.refuse(party, event);
                }
            }
            !is_due
        });
    }

    /// The head of an answer may be on its way, whatever becomes of the rest: what a refusal says stands there.
    pub(super) fn note_begun(&mut self, call: &Call, now: Moment) {
        let Some(answer) = call.answer.as_ref().filter(|answer| answer.status >= 400) else { return };
        let known = &mut self.known[call.replica];
        known.bound[call.party.0] = false;
        if answer.status == 401 && !call.what.is_of_labels() {
            known.is_first_401(call.party);
        }
        if answer.status == 429 {
            self.hold(call, now);
        }
    }

    /// Its 429 has come, or may have.
    fn hold(&mut self, call: &Call, until: Moment) {
        for organization in self.held_by(call) {
            self.held[organization] = call.landed.or(call.begun);
            self.note_trouble_everywhere(organization, until);
        }
    }

    /// All of an answer is on its way.
    pub(super) fn note_answered(&mut self, call: &Call, now: Moment) {
        let Some(answer) = &call.answer else { return };
        self.unreachable[call.replica] = false;
        let party = call.party;
        // What had been sent before it is no probe, nor is a call of somebody whose organization the process does not know.
        let is_fleet = self.setting.is_fleet();
        let is_known = self.known[call.replica].proofs(party, call.organization).next().is_some();
        for organization in self.held_by(call) {
            if self.held[organization].is_some() {
                self.note_trouble_everywhere(organization, now);
            }
            let is_probe = is_fleet || is_known && organization == call.organization;
            self.held[organization] = self.held[organization].filter(|held| call.event < *held || !is_probe);
        }
        if answer.status == 429 {
            self.hold(call, now.plus(Duration::from_secs(answer.retry_after.unwrap_or(1))));
        }
        if call.slipped {
            self.met.slipped += 1;
            // Who finds a key to be bound wrongly tells the others, as of a refusal.
            self.note_told(party.0, now);
            self.known[call.replica].mix_up(party, call.landed.unwrap_or_default(), now);
            return;
        }
        match answer.status {
            200 if call.what.is_read() => self.note_read(call, now),
            401 if call.what.is_of_labels() || self.known[call.replica].is_first_401(party) => {
                let same = (0..PARTIES).filter(|other| Party(*other).token() == party.token());
                same.for_each(|party| self.note_refusal(party, call, now));
            }
            403 if call.what.is_of_labels() => self.note_refusal(party.0, call, now),
            402 => self.note_refusal(party.0, call, now),
            500.. => self.note_trouble_of(call, now),
            _ => {}
        }
    }

    /// A label, or a page of them: one without labels names no organization.
    fn note_read(&mut self, call: &Call, now: Moment) {
        let Some(answer) = &call.answer else { return };
        if !answer.body.contains("organization_id") {
            return;
        }
        let organization = answer.organization;
        if call.party.workspace().is_some_and(|workspace| workspace != organization) {
            return;
        }
        let landed = call.landed.unwrap_or_default();
        let replica = call.replica;
        let proof = Proof { organization, replica, at: call.at, event: call.event, landed };
        self.met.late += u64::from(self.known[call.replica].refused[call.party.0] > call.event);
        for (replica, known) in self.known.iter_mut().enumerate() {
            if replica == call.replica && !self.setting.is_fleet() {
                known.prove(call.party, proof);
            } else {
                known.learn(call.party, proof);
                let is_told = replica == call.replica && known.is_anew(call.party, &proof);
                if is_told && !self.has_moved[call.party.token()] {
                    known.bound[call.party.0] = true;
                    known.proved[call.party.0] = true;
                    self.shared[call.party.0] = Some((now.uptime(), replica));
                }
            }
        }
        if call.what == What::List {
            self.known[call.replica].witness(organization, answer.limits);
        }
    }

    fn note_refusal(&mut self, party: usize, call: &Call, now: Moment) {
        self.note_told(party, now);
        self.known[call.replica].coming.push((party, call.begun.unwrap_or(u64::MAX)));
        if self.setting.is_fleet() {
            let is_proven =
                self.known[call.replica].proved[party] || self.has_shared(party, call.replica, now);
            for known in &mut self.known {
                (known.bound[party], known.proved[party]) = (false, false);
            }
            self.shared[party] = None;
            // It is said where this replica or the store has a proof, or the store does not say (docs/FLEET.md).
            if !is_proven {
                return;
            }
            self.told.push((now.uptime() + HEARD, party, call.landed.unwrap_or_default(), call.replica));
        }
    }

    /// All will hear that a credential's proofs have ended: those by what was asked for until then.
    fn note_told(&mut self, party: usize, now: Moment) {
        let heard = now.uptime() + if self.setting.is_fleet() { HEARD } else { Duration::ZERO };
        self.known.iter_mut().for_each(|known| known.hearing[party] = heard);
    }

    /// Whether the store has a proof of that credential for certain, and tells this replica so.
    fn has_shared(&self, party: usize, replica: usize, now: Moment) -> bool {
        self.shared[party].is_some_and(|(at, from)| {
            // It is stored behind the answer, for as long as it lasts.
            let is_there = at + HEARD < now.uptime() && now.uptime() < at + PROOF / 2;
            is_there && self.disturbed[from].max(self.disturbed[replica]).max(self.uncounted) <= at
        })
    }

    /// What was on its way has come.
    pub(super) fn note_quiet(&mut self, event: u64, now: Moment) {
        let last_quiet = self.last_quiet;
        for known in &mut self.known {
            self.met.refused += known.note_quiet(event, last_quiet, now);
        }
        self.last_quiet = event + 1;
    }

    pub(super) fn is_bound(&self, call: &Call) -> bool {
        self.known[call.replica].bound[call.party.0]
    }

    /// An operator's purge has reached everybody: what was asked for until then makes nobody known, wherever.
    pub(super) fn note_unbound(&mut self, event: u64, asking: &[Option<Moment>; PARTIES]) {
        for known in &mut self.known {
            (0..PARTIES).for_each(|party| known.unbind(party, event, asking[party]));
        }
    }

    /// An operator purged this organization, or all; this label, or all. What is asked from `event` on is behind it.
    pub(super) fn note_purge(
        &mut self,
        replica: usize,
        organization: Option<usize>,
        label: Option<usize>,
        event: u64,
        now: Moment,
    ) {
        self.purged_at[replica] = now.uptime();
        let known = &mut self.known[replica];
        for (place, purged) in known.purged.iter_mut().enumerate() {
            for (of, purged) in purged.iter_mut().enumerate() {
                if organization.is_none_or(|organization| organization == place)
                    && label.is_none_or(|label| label == of)
                {
                    *purged = event;
                }
            }
        }
    }

    /// A client knows now that its write was done, or may have been.
    pub(super) fn note_written(&mut self, asked: &Asked, status: u16, calls: &[Call], now: Moment) {
        let label = match asked.what {
            What::Write(label, _) => label,
            What::Pass(_) => 0,
            What::Read(_) | What::List | What::Doubt(..) => return,
        };
        let call = calls.iter().rev().find(|call| call.what == asked.what);
        let Some(answer) = call.and_then(|call| call.answer.as_ref()) else { return };
        let Some(version) = answer.wrote else { return };
        // Nobody knows of what became of a write whose token moved unseen which organization it was done in.
        if status != 200 && self.has_moved[asked.party.token()] {
            return;
        }
        let raise = |floors: &mut [Versions; ORGANIZATIONS]| {
            let floor = &mut floors[answer.organization][label];
            *floor = (*floor).max(version);
        };
        raise(&mut self.own[asked.replica]);
        if !self.is_disturbed(asked.replica, now) {
            raise(&mut self.all);
        }
        self.met.written += 1;
    }
}
