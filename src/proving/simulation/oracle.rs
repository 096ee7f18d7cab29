//! The rules R1, R3 to R5 and R9 as what an answer must not be, given all that happened before. Of R2 it knows that a proof is a
//! 200, of R6 nothing but what R1 says; a status that is not 200 is right to it at any time.
//!
//! Each bound errs on the proxy's side by one moment of quiet: what was on its way when something changed counts as before it.

use std::collections::HashSet;
use std::time::Duration;

use super::truth::{self, LABELS, ORGANIZATIONS, PARTIES, Party, Versions, What, calls_in};
use super::upstream::Call;
use crate::clock::Moment;

const PROOF: Duration = Duration::from_secs(60);
const OUTAGE_PROOF: Duration = Duration::from_secs(300);
/// For so long after a failure the upstream may count as one that cannot be asked.
const TROUBLE: Duration = Duration::from_secs(6);
/// For so long an item, and a page, is served while all is well: its lifetime, and the window in which it is refreshed. What a page
/// brought is kept as an item.
const FRESH: (Duration, Duration) = (Duration::from_secs(330), Duration::from_secs(60));
/// How much longer in place of an error: 300 s from the end of the lifetime on.
const IN_TROUBLE: (Duration, Duration) = (Duration::from_secs(270), Duration::from_secs(300));

/// What a client asked, and what was certain then.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) party: Party,
    pub(super) what: What,
    pub(super) event: u64,
    /// The least that each label's version may be.
    floor: Versions,
    /// Nothing that was asked for before it.
    purged: [u64; LABELS],
}

/// A label in an answer, and the call by which its bytes say that it was answered.
struct Item<'a> {
    label: usize,
    text: &'a str,
    number: usize,
    call: &'a Call,
}

/// How often each thing was met: a simulation that never meets it proves nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) answers: u64,
    pub(super) stored: u64,
    /// Of those, while nothing excused an old one.
    pub(super) calm: u64,
    pub(super) shared: u64,
    pub(super) outlived: u64,
    pub(super) written: u64,
    pub(super) refused: u64,
    pub(super) cut: u64,
    pub(super) slipped: u64,
}

pub(super) struct Oracle {
    floors: [Versions; ORGANIZATIONS],
    purged: [[u64; LABELS]; ORGANIZATIONS],
    /// The latest proof that has arrived, by when its call was sent.
    proofs: [Option<(Moment, u64)>; PARTIES],
    proof_landed: [u64; PARTIES],
    refused: [u64; PARTIES],
    /// Whose organization the proxy surely knows: what is said of another is no answer to it.
    bound: [bool; PARTIES],
    /// Refusals on their way.
    coming: Vec<usize>,
    /// Answers to somebody else on their way: they cost the binding, and the proof with it.
    mixed_up: Vec<usize>,
    met_401: HashSet<usize>,
    /// Until when an organization's calls may fail, as far as callers can know, by the clock that never jumps.
    trouble: [Option<Duration>; ORGANIZATIONS],
    /// The last answer to it was a 429: whatever its next call comes to, it is a probe, and while that is out nobody else may ask.
    held: [bool; ORGANIZATIONS],
    /// Connections failed, or calls ran out of time, and none was answered since: then it may count as dead.
    unreachable: bool,
    /// What landed from here on has not been judged yet.
    last_quiet: u64,
    arrived: HashSet<usize>,
    pub(super) met: Met,
}

impl Oracle {
    pub(super) fn new() -> Self {
        Self {
            floors: [Versions::default(); ORGANIZATIONS],
            purged: [[0; LABELS]; ORGANIZATIONS],
            proofs: [None; PARTIES],
            proof_landed: [0; PARTIES],
            refused: [0; PARTIES],
            bound: [false; PARTIES],
            coming: Vec::new(),
            mixed_up: Vec::new(),
            met_401: HashSet::new(),
            trouble: [None; ORGANIZATIONS],
            held: [false; ORGANIZATIONS],
            unreachable: false,
            last_quiet: 0,
            arrived: HashSet::new(),
            met: Met::default(),
        }
    }

    pub(super) const fn ask(&self, party: Party, what: What, event: u64) -> Asked {
        let organization = party.organization();
        Asked { party, what, event, floor: self.floors[organization], purged: self.purged[organization] }
    }

    /// A write or another call arrived: never twice.
    pub(super) fn note_arrival(&mut self, nonce: usize) {
        assert!(self.arrived.insert(nonce), "R9: {nonce} was sent twice");
    }

    /// Calls of an organization fail, or are late.
    pub(super) fn note_trouble(&mut self, organization: usize, until: Moment) {
        let until = until.uptime() + TROUBLE;
        let trouble = &mut self.trouble[organization];
        *trouble = Some(trouble.map_or(until, |known| known.max(until)));
    }

    /// Calls of all of them do: where nobody can be reached, the breaker opens for everybody.
    fn note_trouble_of_all(&mut self, until: Moment) {
        (0..ORGANIZATIONS).for_each(|organization| self.note_trouble(organization, until));
    }

    pub(super) const fn note_unreachable(&mut self) {
        self.unreachable = true;
    }

    /// It is this late.
    pub(super) fn note_time(&mut self, now: Moment) {
        for organization in
            (0..ORGANIZATIONS).filter(|organization| self.held[*organization]).collect::<Vec<_>>()
        {
            self.note_trouble(organization, now);
        }
        if self.unreachable {
            self.note_trouble_of_all(now);
        }
    }

    /// All of an answer is on its way.
    pub(super) fn note_answered(&mut self, call: &Call, now: Moment) {
        let Some(answer) = &call.answer else { return };
        self.unreachable = false;
        let party = call.party.0;
        if self.held[call.party.organization()] {
            self.note_trouble(call.party.organization(), now);
        }
        self.held[call.party.organization()] = answer.status == 429;
        if call.slipped {
            self.met.slipped += 1;
            self.bound[party] = false;
            self.mixed_up.push(party);
            return;
        }
        match answer.status {
            200 if call.what.is_read() && self.proofs[party].is_none_or(|(_, event)| event < call.event) => {
                self.proofs[party] = Some((call.at, call.event));
                self.proof_landed[party] = call.landed.unwrap_or_default();
                self.bound[party] = call.event > self.refused[party];
            }
            401 => {
                // Elsewhere the second of them may be one of scope.
                let counts = !matches!(call.what, What::Pass(_)) || self.met_401.insert(party);
                if counts {
                    let same = (0..PARTIES).filter(|other| Party(*other).token() == call.party.token());
                    self.coming.extend(same);
                }
            }
            429 => {
                let until = now.plus(Duration::from_secs(answer.retry_after.unwrap_or(1)));
                self.note_trouble(call.party.organization(), until);
            }
            500.. => self.note_trouble(call.party.organization(), now),
            _ => {}
        }
    }

    /// What was on its way has come.
    pub(super) fn note_quiet(&mut self, event: u64) {
        for party in self.mixed_up.drain(..) {
            // One that came together with it may have come behind it.
            if self.proof_landed[party] < self.last_quiet {
                self.proofs[party] = None;
            }
        }
        self.last_quiet = event + 1;
        for party in self.coming.drain(..) {
            self.refused[party] = event;
            self.bound[party] = false;
            self.met.refused += 1;
        }
    }

    pub(super) const fn is_bound(&self, party: Party) -> bool {
        self.bound[party.0]
    }

    /// An operator purged this organization, or all; this label, or all.
    pub(super) fn note_purge(&mut self, organization: Option<usize>, label: Option<usize>, event: u64) {
        self.bound = [false; PARTIES];
        for (place, purged) in self.purged.iter_mut().enumerate() {
            for (of, purged) in purged.iter_mut().enumerate() {
                if organization.is_none_or(|organization| organization == place)
                    && label.is_none_or(|label| label == of)
                {
                    *purged = event;
                }
            }
        }
    }

    /// Judges an answer that came whole.
    pub(super) fn judge(&mut self, asked: &Asked, status: u16, body: &str, calls: &[Call], now: Moment) {
        self.met.answers += 1;
        if let What::Write(label, nonce) = asked.what {
            self.note_written(asked, label, nonce, calls);
        }
        if status != 200 {
            assert!(!body.contains("organization_id"), "R9: a {status} with a label in it");
            return;
        }
        match asked.what {
            What::Pass(nonce) => {
                assert_eq!(
                    body,
                    format!("{{\"echo\":{nonce},\"of\":{}}}", asked.party.0),
                    "R9: another answer"
                );
            }
            What::Write(label, nonce) => {
                let number = calls_in(body)[0];
                assert_eq!(calls[number].what, What::Write(label, nonce), "R4: the answer to another write");
                assert_eq!(
                    Some(body),
                    calls[number].answer.as_ref().map(|answer| &*answer.body),
                    "R9: changed"
                );
            }
            What::Read(label) => {
                let numbers = calls_in(body);
                assert_eq!(numbers.len(), 1, "R9: {body}");
                let number = numbers[0];
                self.judge_item(asked, &Item { label, text: body, number, call: &calls[number] }, now);
            }
            What::List => self.judge_page(asked, body, calls, now),
        }
    }

    /// The client knows now that it was done, or may have been.
    fn note_written(&mut self, asked: &Asked, label: usize, nonce: usize, calls: &[Call]) {
        let call = calls.iter().rev().find(|call| call.what == What::Write(label, nonce));
        if let Some(version) = call.and_then(|call| call.answer.as_ref()?.wrote) {
            let floor = &mut self.floors[asked.party.organization()][label];
            *floor = (*floor).max(version);
            self.met.written += 1;
        }
    }

    fn judge_page(&mut self, asked: &Asked, body: &str, calls: &[Call], now: Moment) {
        let numbers = calls_in(body);
        assert_eq!(numbers.len(), LABELS, "R9: a page that is not whole: {body}");
        let items = body.trim_start_matches("{\"items\":[").split_inclusive('}');
        for (label, text) in items.take(LABELS).enumerate() {
            let (text, number) = (text.trim_start_matches(','), numbers[label]);
            self.judge_item(asked, &Item { label, text, number, call: &calls[number] }, now);
        }
    }

    fn judge_item(&mut self, asked: &Asked, item: &Item<'_>, now: Moment) {
        let (party, organization) = (asked.party, asked.party.organization());
        let Item { label, text, number, call } = *item;
        assert_eq!(call.party.organization(), organization, "R1, R3: another organization's label");
        assert!(party.may_read(), "R1: a credential that may not read labels");
        let answer = call.answer.as_ref().expect("what was answered");
        assert!(call.landed.is_some(), "R9: a label of an answer that never came whole");
        let version = answer.versions[label];
        assert_eq!(text, truth::item(organization, label, version, number), "R4, R9: not what was answered");
        assert!(
            version >= asked.floor[label],
            "R5: version {version} behind a write of {}",
            asked.floor[label]
        );

        // Its own call, or one of its own that it joined and that has landed just now (R6).
        let has_just_landed = call.landed.is_some_and(|landed| landed >= self.last_quiet);
        if call.party == party && (call.event > asked.event || has_just_landed) {
            return;
        }
        self.met.stored += u64::from(call.event < asked.event);
        self.met.shared += u64::from(call.party != party);
        let must_be_younger = asked.purged[label];
        assert!(call.event > must_be_younger || call.event > asked.event, "R5: from before a purge");
        // What has just landed is what the upstream says now, however late the wall clock says that it was asked.
        let age = now.since(call.at);
        let in_trouble = self.trouble[organization].is_some_and(|until| now.uptime() < until);
        self.met.calm += u64::from(!in_trouble && call.event < asked.event);
        let (fresh, longer) =
            if asked.what == What::List { (FRESH.1, IN_TROUBLE.1) } else { (FRESH.0, IN_TROUBLE.0) };
        let oldest = if in_trouble { fresh + longer } else { fresh };
        assert!(has_just_landed || age <= oldest, "§5: {age:?} old, {oldest:?} at most");
        let (proved, event) = self.proofs[party.0].expect("R1: no proof at all");
        assert!(event > self.refused[party.0], "R1: a proof from before a refusal");
        let age = now.since(proved);
        self.met.outlived += u64::from(age > PROOF);
        assert!(age <= if in_trouble { OUTAGE_PROOF } else { PROOF }, "R1: a proof {age:?} old");
    }
}
