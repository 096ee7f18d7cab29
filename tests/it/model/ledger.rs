//! [`Ledger`]: what callers were told so far, and what that forbids an answer to be.
//!
//! Every bound errs on the proxy's side: a call that arrived upstream after a refusal or a write may have been sent before
//! it, and the model lets it count. What is forbidden is forbidden whatever the threads of the proxy do.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::oracle::{Entry, Oracle, Ownership};
use super::parties::{NAMES, PARTIES, Time, canary, is_full_list, is_label, is_list, may_be_hidden, text};
use crate::support::labels::{CAMPAIGNS, organization};
use crate::support::{Kind, Reply};

/// A proof does for this long.
const PROOF: Duration = Duration::from_secs(60);
/// The same while the upstream cannot be asked.
const OUTAGE_PROOF: Duration = Duration::from_secs(300);
/// After trouble the proxy may count the upstream as one that cannot be asked for this long.
const TROUBLE: Duration = Duration::from_secs(6);
/// Seconds for which a stored response that outlived its lifetime may be served, by default.
const STALE: u64 = 300;
/// A gate that a 429 without `Retry-After` closes is open after this long.
const GATE: Duration = Duration::from_secs(60);
/// For so long after a write, fetches live for a second only.
const SETTLING: Duration = Duration::from_secs(5);

/// For so long a flight is under way at most, and so many calls may arrive meanwhile.
const FLIGHT: Duration = Duration::from_secs(12);
const UNDER_WAY: usize = 12;

/// What a purge was to reach.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purged {
    Everything,
    Organization(&'static str),
    Label(Uuid),
}

/// Whose label.
type Label = (&'static str, Uuid);

/// A write that was answered as done, and has to settle.
#[derive(Clone, Copy, Debug)]
struct Done {
    label: Label,
    /// After how many arrivals it was answered.
    arrivals: usize,
    /// When it was sent.
    sent: Time,
}

/// What callers were told of one resource.
#[derive(Clone)]
pub(super) struct Ledger {
    kind: Kind,
    /// The least version of a label that a read may show.
    floors: HashMap<Label, u64>,
    /// Labels that a full list must hold.
    present: HashSet<Label>,
    /// Arrivals before this place prove nothing any more.
    refused: HashMap<usize, usize>,
    /// Arrivals before this place are shut out: of an organization, of one label, of its lists.
    raised: HashMap<&'static str, usize>,
    raised_labels: HashMap<Label, usize>,
    raised_lists: HashMap<&'static str, usize>,
    /// Writes that were answered as done.
    writes: Vec<Done>,
    /// Parties of whom the proxy knows for certain whose they are: they had a hit.
    bound: HashSet<usize>,
    /// Organizations of which an answer was told that says who may see a label, and in which time of their ownership.
    granted: HashMap<&'static str, Ownership>,
    trouble: Trouble,
}

/// When the upstream was last seen failing, or slower than the clock, whatever it was asked for.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Time>>>);

impl Trouble {
    fn note(&self, now: Time) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    fn last(&self) -> Option<Time> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was known when a request was sent.
pub(super) struct Before {
    pub(super) ledger: Ledger,
    pub(super) now: Time,
    pub(super) arrivals: usize,
    pub(super) troubled: bool,
    ownership: HashMap<&'static str, Ownership>,
}

impl Ledger {
    /// Of this resource, with the trouble that it shares with those of the others.
    pub(super) fn new(kind: Kind, ids: &[Uuid], trouble: &Trouble) -> Self {
        Self {
            kind,
            floors: HashMap::new(),
            present: NAMES.iter().flat_map(|name| ids.iter().map(|id| (*name, *id))).collect(),
            refused: HashMap::new(),
            raised: HashMap::new(),
            raised_labels: HashMap::new(),
            raised_lists: HashMap::new(),
            writes: Vec::new(),
            bound: HashSet::new(),
            granted: HashMap::new(),
            trouble: trouble.clone(),
        }
    }

    /// What is known now.
    pub(super) fn before(&self, oracle: &Oracle) -> Before {
        let now = oracle.now();
        if !oracle.is_sound() {
            self.trouble.note(now);
        }
        Before {
            now,
            arrivals: oracle.arrivals(),
            troubled: self.is_troubled(now),
            ownership: NAMES.iter().map(|name| (*name, oracle.ownership(name))).collect(),
            ledger: self.clone(),
        }
    }

    pub(super) fn note_trouble(&self, now: Time) {
        self.trouble.note(now);
    }

    fn is_troubled(&self, now: Time) -> bool {
        self.trouble.last().is_some_and(|last| now.since(last) <= TROUBLE)
    }

    /// A refusal was told: what arrived before it proves nothing.
    pub(super) fn note_refusal(&mut self, oracle: &Oracle, party: usize, target: &str, status: u16) {
        if status >= 500 {
            self.note_trouble(oracle.now());
        }
        let this =
            |entry: &Entry| entry.party == Some(party) && entry.target == target && entry.status == status;
        let Some((place, entry)) = oracle.last(this) else { return };
        if entry.kind.is_some_and(|kind| kind != self.kind) && speaks_of_one_resource(oracle, place, &entry) {
            return;
        }
        let concerned: Vec<usize> = match status {
            401 if target == CAMPAIGNS && may_be_scope(oracle, party, place) => return,
            401 => {
                let token = PARTIES[party].token();
                (0..PARTIES.len()).filter(|other| PARTIES[*other].token() == token).collect()
            }
            402 => vec![party],
            403 if target != CAMPAIGNS && !is_edge_block(oracle, place) => vec![party],
            _ => return,
        };
        for party in concerned {
            raise(&mut self.refused, party, place);
        }
    }

    /// A hit was told.
    pub(super) fn note_hit(&mut self, party: usize) {
        self.bound.insert(party);
    }

    /// Whether the proxy knows for certain whose a party is.
    pub(super) fn is_bound(&self, party: usize) -> bool {
        self.bound.contains(&party)
    }

    /// A write was answered, or given up with an answer of the proxy's own: what it wrote and every list are shut out,
    /// whoever wrote it; and all of its organization where nobody was told what became of it.
    pub(super) fn note_write(&mut self, oracle: &Oracle, nonce: &str, before: &Before, status: u16) {
        let Some((place, entry)) = oracle.last(|entry| entry.nonce.as_deref() == Some(nonce)) else { return };
        let Some(party) = entry.party else { return };
        let (Some(name), Some((id, version))) = (PARTIES[party].organization, entry.wrote) else { return };
        raise(&mut self.floors, (name, id), version);
        raise(&mut self.raised_labels, (name, id), place);
        raise(&mut self.raised_lists, name, place);
        if (200..300).contains(&status) {
            self.writes.push(Done { label: (name, id), arrivals: oracle.arrivals(), sent: before.now });
        } else if status >= 500 {
            self.note_trouble(oracle.now());
            if before.is_bound(party) {
                raise(&mut self.raised, name, place);
            }
        }
    }

    /// An answer was told that the upstream gave while this request was under way, and that may show grants: nothing of its
    /// organization is shared from here on, until ownership is switched off.
    pub(super) fn note_grants(&mut self, oracle: &Oracle, before: &Before, party: usize, body: &str) {
        let Some(name) = PARTIES[party].organization else { return };
        let ownership = oracle.ownership(name);
        if ownership.on && before.ownership[name] == ownership && body.contains("access_grants") {
            self.granted.insert(name, ownership);
        }
    }

    /// A label may be gone from here on, or is there for certain.
    pub(super) fn note_presence(&mut self, name: &'static str, id: Uuid, present: bool) {
        if present {
            self.present.insert((name, id));
        } else {
            self.present.remove(&(name, id));
        }
    }

    /// A purge was answered that was asked for after so many arrivals.
    ///
    /// It ends the proofs of what it names; but a read that is under way meanwhile may prove, and only where there was
    /// none is it `calm`.
    pub(super) fn note_purge(&mut self, what: Purged, arrivals: usize, calm: bool) {
        for name in NAMES {
            match what {
                Purged::Label(id) => {
                    raise(&mut self.raised_labels, (name, id), arrivals);
                    raise(&mut self.raised_lists, name, arrivals);
                }
                Purged::Organization(only) if only != name => {}
                Purged::Organization(_) | Purged::Everything => {
                    raise(&mut self.raised, name, arrivals);
                    for party in (0..PARTIES.len()).filter(|party| PARTIES[*party].organization == Some(name))
                    {
                        if calm {
                            raise(&mut self.refused, party, arrivals);
                        }
                    }
                }
            }
        }
    }

    /// Whether what arrived at this place may not be served or stored any more.
    pub(super) fn shuts_out(&self, name: &str, target: &str, place: usize) -> bool {
        let before = |bound: Option<&usize>| bound.is_some_and(|bound| place < *bound);
        let own = if is_list(target) {
            before(self.raised_lists.get(name))
        } else {
            self.raised_labels
                .iter()
                .any(|((owner, id), bound)| *owner == name && is_label(target, *id) && place < *bound)
        };
        own || before(self.raised.get(name))
    }

    /// Whether an answer that arrived at this place may have met the vendor's replication lag: what was written settles,
    /// and every list.
    fn is_settling(&self, name: &str, target: &str, place: usize, at: Time) -> bool {
        self.writes.iter().any(|Done { label: (owner, id), arrivals, sent }| {
            *owner == name
                && (is_list(target) || is_label(target, *id))
                && place >= *arrivals
                && at.since(*sent) < SETTLING
        })
    }

    /// Whether an answer that arrived at this place may still be served at `now`; as a stale one where it says so.
    fn may_serve(
        &self,
        name: &str,
        target: &str,
        (place, entry): (usize, &Entry),
        (now, stale): (Time, bool),
    ) -> bool {
        let settling = self.is_settling(name, target, place, entry.at);
        let window = if stale && !settling { STALE } else { 0 };
        let lifetime = if settling { 1 } else { ttl(target) };
        !self.shuts_out(name, target, place) && now.since(entry.at) < Duration::from_secs(lifetime + window)
    }
}

impl fmt::Debug for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The whole ledger would hide what went wrong.
        write!(f, "{:?} after {} arrivals", self.now, self.arrivals)
    }
}

impl Before {
    /// Whether the proxy knew for certain whose a party is.
    pub(super) fn is_bound(&self, party: usize) -> bool {
        self.ledger.is_bound(party)
    }

    /// Whether this party may have been proven when the request was sent, by whatever arrived so far.
    pub(super) fn may_be_proven(&self, oracle: &Oracle, party: usize, troubled: bool) -> bool {
        let limited = may_be_limited(oracle, party);
        let limit = if troubled || self.troubled || limited { OUTAGE_PROOF } else { PROOF };
        let refused = self.ledger.refused.get(&party).copied().unwrap_or_default();
        oracle.any(|place, entry| {
            entry.party == Some(party)
                && entry.read
                && entry.kind == Some(self.ledger.kind)
                && entry.status == 200
                && entry.body.contains("organization_id")
                && (place >= refused)
                && self.now.since(entry.at) <= limit
        })
    }

    /// Whether the ledger's party cannot be told apart from one that is asked in vain at `after`.
    pub(super) fn troubled(&self, after: &Ledger, now: Time) -> bool {
        self.troubled || after.is_troubled(now)
    }

    /// Nothing of another organization is in an answer, whatever it answers.
    #[track_caller]
    pub(super) fn check_canaries(&self, party: usize, reply: &Reply) {
        let own = PARTIES[party].organization;
        let text = format!("{:?} {}", reply.fields, reply.text());
        for name in NAMES.into_iter().filter(|name| own != Some(*name)) {
            let foreign = text.contains(&canary(name)) || text.contains(&organization(name).to_string());
            assert!(!foreign, "{:?} got something of {name}: {reply:?}", PARTIES[party]);
        }
    }

    /// A body that answers a read is of its resource, and not older than the last write that was answered before the read began.
    #[track_caller]
    pub(super) fn check_age(&self, after: &Ledger, party: usize, target: &str, body: &str) {
        let name = PARTIES[party].organization.expect("who got a label has an organization");
        let body: Value = serde_json::from_str(body).expect("a label or a page");
        let items = body["items"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
        let mut seen = HashSet::new();
        for item in items {
            let id: Uuid = item["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
            let text = item["label"].as_str().expect("a text");
            let version: u64 = text.rsplit('-').next().and_then(|v| v.parse().ok()).expect("a version");
            assert_eq!(text, self::text(self.ledger.kind, name, version), "{target} shows another resource");
            let floor = self.ledger.floors.get(&(name, id)).copied().unwrap_or_default();
            assert!(version >= floor, "{target} shows version {version} of {id} after {floor} was answered");
            seen.insert(id);
        }
        if is_full_list(target) {
            // What is deleted meanwhile may be gone already.
            let both = self.ledger.present.intersection(&after.present);
            let mut lasting = both.filter(|(_, id)| !may_be_hidden(party, *id));
            let missing = lasting.find(|(owner, id)| *owner == name && !seen.contains(id));
            assert!(missing.is_none(), "{target} lacks {missing:?}");
        }
    }

    /// Whether it was told before the request was sent that an organization's labels are not for everybody, and its
    /// ownership was not switched since: its credentials get what they read themselves.
    fn shares_nothing(&self, oracle: &Oracle, name: &str) -> bool {
        self.ledger.granted.get(name).is_some_and(|granted| *granted == oracle.ownership(name))
    }

    /// Where nothing is shared, no flight brings what its credential did not ask for itself, a moment ago at most.
    #[track_caller]
    pub(super) fn check_flight(&self, oracle: &Oracle, party: usize, target: &str, told: (&Reply, &str)) {
        if PARTIES[party].organization.is_none_or(|name| !self.shares_nothing(oracle, name)) {
            return;
        }
        let (reply, body) = told;
        let own = oracle.any(|place, entry| {
            entry.party == Some(party)
                && holds(entry, target, Some(body))
                && (place + UNDER_WAY >= self.arrivals || self.now.ran_since(entry.at) <= FLIGHT)
        });
        assert!(own, "{target} was not told to {:?}: {reply:?}", PARTIES[party]);
    }

    /// A hit goes to a proven credential, and was fetched by one of its organization no longer ago than it may live.
    #[track_caller]
    pub(super) fn check_hit(
        &self,
        oracle: &Oracle,
        after: &Ledger,
        asked: (usize, &str),
        hit: (&Reply, Option<&str>),
    ) {
        let ((party, target), (reply, body)) = (asked, hit);
        let troubled = self.troubled(after, oracle.now());
        assert!(self.may_be_proven(oracle, party, troubled), "{:?} has no proof: {reply:?}", PARTIES[party]);
        let name = PARTIES[party].organization.expect("a proof names an organization");
        let stale = reply.cache_status().contains("detail=stale");
        let alone = self.shares_nothing(oracle, name);
        let fetched = oracle.any(|place, entry| {
            entry
                .party
                .is_some_and(|other| PARTIES[other].organization == Some(name) && (!alone || other == party))
                && entry.status == 200
                && holds(entry, target, body)
                && self.ledger.may_serve(name, target, (place, entry), (self.now, stale))
        });
        assert!(fetched, "{target} was not fetched as it is, or too long ago: {reply:?}");
    }
}

/// Whether a gate may be closed for this party: of an account that it shares with one whose call was limited. Gates count
/// by the clock that nobody sets.
pub(super) fn may_be_limited(oracle: &Oracle, party: usize) -> bool {
    let now = oracle.now();
    oracle.any(|_, entry| {
        entry.status == 429
            && entry.party.is_some_and(|other| share_an_account(party, other))
            && now.ran_since(entry.at) <= GATE
    })
}

/// Whether calls of both may be paid from one account: their organization's, or their key's own.
fn share_an_account(one: usize, other: usize) -> bool {
    let (one, other) = (PARTIES[one], PARTIES[other]);
    (one.organization.is_some() && one.organization == other.organization)
        || one.token() == other.token()
        || one.workspace().is_some_and(|named| other.is_of(named))
        || other.workspace().is_some_and(|named| one.is_of(named))
}

fn raise<K: Hash + Eq, V: Copy + Default + Ord>(table: &mut HashMap<K, V>, key: K, to: V) {
    let bound = table.entry(key).or_default();
    *bound = to.max(*bound);
}

/// Whether an answer holds this body: an item may come out of a list, or of the answer to a write. The body of a HEAD may
/// be known to nobody.
fn holds(entry: &Entry, target: &str, body: Option<&str>) -> bool {
    match body {
        None => true,
        Some(body) if is_list(target) => entry.target == target && entry.body == body,
        Some(body) => entry.body.contains(body),
    }
}

/// Seconds for which a stored response lives at most.
pub(super) fn ttl(target: &str) -> u64 {
    if is_list(target) { 60 } else { 300 }
}

fn is_edge_block(oracle: &Oracle, place: usize) -> bool {
    oracle.any(|at, entry| at == place && !entry.body.starts_with('{'))
}

/// Whether this refusal may say that a scope of its resource is missing, and nothing of the others: a 403 does, and a 401 where
/// it is not the first that the key got there.
fn speaks_of_one_resource(oracle: &Oracle, place: usize, refusal: &Entry) -> bool {
    let token = |party: Option<usize>| party.map(|party| PARTIES[party].token());
    let alike = |entry: &Entry| entry.kind == refusal.kind && entry.status == 401;
    refusal.status == 403
        || oracle.any(|at, entry| at < place && alike(entry) && token(entry.party) == token(refusal.party))
}

/// A 401 to campaigns that was refused before, with a label read answered in between, speaks of a scope.
fn may_be_scope(oracle: &Oracle, party: usize, place: usize) -> bool {
    let own = |entry: &Entry| entry.party == Some(party);
    let refused_before = |label: usize| {
        oracle.any(|at, entry| at < label && own(entry) && entry.target == CAMPAIGNS && entry.status == 401)
    };
    let labels = oracle.places(|at, entry| at < place && own(entry) && entry.read && entry.status == 200);
    labels.last().is_some_and(|label| refused_before(*label))
}
