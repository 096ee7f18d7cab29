//! The rules R1, R3 to R5, R7, R8 and R9, and P1 and P4 of a fleet, as what an answer must not be; and P6, of hits.
//!
//! Of R2 it knows that a proof is a 200 to a read that names its organization, of R6 what R1 says of whoever has none; a status
//! that is not 200 is right to it at any time.

use std::time::Duration;

use super::answer::Answer;
use super::broken::hold;
use super::client::Heard;
use super::oracle::{Asked, Oracle};
use super::truth::{What, calls_in};
use super::upstream::Call;
use crate::clock::Moment;

pub(super) const PROOF: Duration = Duration::from_secs(60);
const OUTAGE_PROOF: Duration = Duration::from_secs(300);
/// For so long an item, and a page, is served while all is well: its lifetime, and the window in which it is refreshed. What a page
/// brought is kept as an item.
const FRESH: (Duration, Duration) = (Duration::from_secs(330), Duration::from_secs(60));
/// How much longer in place of an error: 300 s from the end of the lifetime on.
const IN_TROUBLE: (Duration, Duration) = (Duration::from_secs(270), Duration::from_secs(300));
/// The same at a replica without a lease: `shared.alone_ttl` in place of the lifetime.
const ALONE: (Duration, Duration) = (Duration::from_secs(40), Duration::from_secs(270));
/// For so long a replica without a lease asks nobody for what it has: nine tenths of that.
const ALONE_FRESH: Duration = Duration::from_secs(9);
/// A read waits for its turn (`max_wait`) and for its fetch (`fill_timeout`), each to the next second in which time passes.
pub(super) const PATIENCE: Duration = Duration::from_secs(8 + 10 + 2);

/// A label in an answer, and the call by which its bytes say that it was answered.
struct Item<'a> {
    label: usize,
    number: usize,
    call: &'a Call,
    answer: &'a Answer,
}

impl Oracle {
    /// Judges an answer that came whole.
    pub(super) fn judge(&mut self, asked: &Asked, heard: &Heard, calls: &[Call], now: Moment) {
        self.met.answers += 1;
        let Heard { status, body, .. } = heard;
        if asked.what.nonce().is_some() {
            self.note_written(asked, *status, calls, now);
        }
        if *status != 200 {
            hold(!body.contains("organization_id"), "R9: an error has no label in it", || body.clone());
            return;
        }
        match asked.what {
            What::Pass(nonce) => {
                let echo = format!("{{\"echo\":{nonce},\"of\":{}}}", asked.party.0);
                hold(*body == echo, "R9: another call has its own answer", || body.clone());
            }
            What::Write(..) | What::Doubt(..) => {
                let (_, call, answer) = answered(body, calls);
                self.met.doubtful += u64::from(matches!(asked.what, What::Doubt(..)));
                let is_own = call.what == asked.what && call.party == asked.party;
                hold(is_own, "R4, R8: what is not read from memory has its own answer", || body.clone());
                hold(*body == answer.body, "R9: an answer is as it was given", || body.clone());
            }
            What::Read(label) => {
                let (number, call, answer) = answered(body, calls);
                let text = answer.item(call.what, label, number);
                hold(*body == text, "R4, R9: a label is as it was answered", || {
                    format!("{body}, not {text}")
                });
                self.judge_item(asked, &Item { label, number, call, answer }, now);
                self.judge_hit(asked, heard, call, now);
            }
            What::List if !body.contains("organization_id") => {}
            What::List => {
                let (number, call, answer) = answered(body, calls);
                hold(*body == answer.body, "R4, R9: a page is as it was answered", || body.clone());
                for label in 0..answer.versions.len() {
                    if !answer.limits || call.party.sees(label) {
                        self.judge_item(asked, &Item { label, number, call, answer }, now);
                    }
                }
            }
        }
    }

    /// Whether a read waits for longer than it may.
    pub(super) fn judge_waiting(&self, asked: &Asked, now: Moment) {
        let waits = asked.sent.map_or(Duration::ZERO, |sent| now.uptime().saturating_sub(sent));
        hold(!asked.what.is_read() || waits <= PATIENCE, "R7: a read ends by its deadline", || {
            format!("{:?} of {:?} waits for {waits:?}", asked.what, asked.party)
        });
    }

    /// What this process had in its memory, and whose caller it knew, waits for nobody: neither for the API nor for a store.
    fn judge_hit(&mut self, asked: &Asked, heard: &Heard, call: &Call, now: Moment) {
        let was_there =
            call.replica == asked.replica && call.landed.is_some_and(|landed| landed < asked.event);
        let is_plain = heard.cached.contains("; hit; ttl=") && !heard.cached.contains("detail=");
        let known = &self.known[asked.replica];
        // What began before it may have ended its proof on the way.
        let (refused, unbound) = (known.refused[asked.party.0], known.unbound[asked.party.0]);
        let is_behind = [self.doubted, refused, unbound].iter().all(|event| *event < asked.event);
        let is_known = asked.is_known && known.bound[asked.party.0] && is_behind;
        // Who has no lease asks anew for what is older.
        let is_kept = !asked.is_disturbed || now.since(call.at) < ALONE_FRESH;
        if is_known && was_there && is_plain && is_kept {
            self.met.at_once += 1;
            self.met.at_once_cut += u64::from(asked.is_cut);
            hold(asked.sent == Some(now.uptime()), "P6: a hit waits for nobody", || {
                format!("{:?} of {:?}: sent at {:?}, {}", asked.what, asked.party, asked.sent, heard.cached)
            });
        }
    }

    fn judge_item(&mut self, asked: &Asked, item: &Item<'_>, now: Moment) {
        let party = asked.party;
        let Item { label, number, call, answer } = *item;
        let organization = answer.organization;
        let of = || format!("{:?} of {party:?} by call {number}", asked.what);
        hold(party.may_read(), "R1: a credential that may not read labels gets none", of);
        hold(call.landed.is_some(), "R9: a label is of an answer that came whole", of);
        let alone = self.is_disturbed(asked.replica, now);
        let floor = asked.own[organization][label];
        let others = if alone { 0 } else { asked.all[organization][label] };
        let version = answer.versions[label];
        hold(version >= floor, "R5: a read is not older than a write that was answered before", || {
            format!("{}: version {version}, not {floor}", of())
        });
        hold(version >= others, "P1: nor than one that another replica answered", || {
            format!("{}: version {version}, not {others}", of())
        });
        self.met.behind_others += u64::from(others > floor);
        self.met.moved += u64::from(organization != party.first_home());

        // Its own call, or one of its own that it joined and that has landed just now (R6).
        let has_just_landed = call.landed.is_some_and(|landed| landed >= self.last_quiet);
        let purged = asked.purged[organization][label];
        let is_behind = call.event > purged || call.event > asked.event;
        hold(is_behind, "R5: nothing is from before a purge", of);
        if call.party == party && (call.event > asked.event || has_just_landed) {
            return;
        }
        self.judge_shared(asked, item);
        // What has just landed is what the upstream says now, however late the wall clock says that it was asked.
        let age = now.since(call.at);
        let in_trouble = self.is_in_trouble(asked.replica, organization, now);
        self.met.calm += u64::from(!in_trouble && call.event < asked.event);
        let (fresh, longer) =
            if asked.what == What::List { (FRESH.1, IN_TROUBLE.1) } else { (FRESH.0, IN_TROUBLE.0) };
        let (fresh, longer) = if self.is_alone(asked.replica, now) { ALONE } else { (fresh, longer) };
        let oldest = if in_trouble { fresh + longer } else { fresh };
        hold(has_just_landed || age <= oldest, "§5: nothing is older than its windows", || {
            format!("{}: {age:?}, {oldest:?} at most", of())
        });
        let known = &self.known[asked.replica];
        hold(
            known.proofs(party, organization).next().is_some(),
            "R1: nothing from memory without a proof for its organization",
            of,
        );
        let refused = known.refused[party.0];
        let proofs = known.proofs(party, organization).filter(|proof| proof.event > refused);
        let age = proofs.map(|proof| now.since(proof.at)).min();
        hold(age.is_some(), "R1, P4: no proof is from before a refusal", of);
        let age = age.unwrap_or_default();
        let oldest = if in_trouble { OUTAGE_PROOF } else { PROOF };
        hold(age <= oldest, "R1: no proof is too old", || format!("{}: {age:?}", of()));
        self.met.outlived += u64::from(age > PROOF);
    }

    /// What another credential's call has brought, or a call from before.
    fn judge_shared(&mut self, asked: &Asked, item: &Item<'_>) {
        let (party, call) = (asked.party, item.call);
        let known = &self.known[asked.replica];
        self.met.stored += u64::from(call.event < asked.event);
        self.met.shared += u64::from(call.party != party);
        self.met.across += u64::from(call.replica != asked.replica);
        let organization = item.answer.organization;
        let of = || format!("{:?} of {party:?} by call {} of {:?}", asked.what, item.number, call.party);
        let witnessed = known.witnessed[organization] || self.setting.is_fleet();
        hold(call.party == party || witnessed, "R4a: nothing is shared before a page was seen", of);
        let limits = known.limits[organization];
        let limits = limits.filter(|limits| limits.event < asked.event);
        self.met.limited += u64::from(limits.is_some());
        hold(
            call.party == party || limits.is_none(),
            "R4a: where only some see a label nobody has it by another's key",
            of,
        );
    }
}

/// By which call a body says that it was answered.
fn answered<'a>(body: &str, calls: &'a [Call]) -> (usize, &'a Call, &'a Answer) {
    let numbers = calls_in(body);
    let number = numbers.first().copied().unwrap_or(usize::MAX);
    let call = calls.get(number);
    let answer = call.and_then(|call| call.answer.as_ref());
    let one = numbers.iter().all(|other| *other == number);
    hold(answer.is_some() && one, "R9: a body is of one answer of the upstream's", || body.to_owned());
    let (call, answer) = call.zip(answer).expect("looked at");
    (number, call, answer)
}
