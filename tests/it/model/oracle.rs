//! [`Oracle`]: an upstream that goes wrong on command and writes down everything that it was asked and said.
//!
//! Its log is in the order in which requests arrived, which is also the order in which they read and wrote. Every text
//! of an item is its organization's canary, its resource and a version that only grows, so that any body tells whose it is, of
//! which resource, and how old.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::parties::{HIDDEN, NAMES, PARTIES, Time, party_of, text};
use crate::support::labels::{CAMPAIGNS, error};
use crate::support::{Answer, Grants, Kind, Recorded, Vendor, World};

/// How the upstream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Health {
    #[default]
    Sound,
    /// Answers everything with this status and does nothing.
    Failing(u16),
    /// The edge answers in its place.
    Blocked,
    /// Ends every connection without an answer.
    Closing,
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    #[default]
    Done,
    /// Done, and answered with a 500.
    Lost,
    /// Done, and never answered.
    Cut,
    /// Not done, and answered with this status.
    Refused(u16),
}

/// What a party is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Denial {
    /// The paths of one resource, with 403: a key without the scope. Which it is depends on where it is asked for.
    Items(Option<&'static str>),
    /// Everything, with 402: a workspace that did not pay.
    Payment,
    /// Campaigns alone, with 401: a key without the scope, as some routes tell it.
    Campaigns,
}

impl Denial {
    /// The same of this resource.
    pub(super) fn of(self, kind: Kind) -> Self {
        match self {
            Self::Items(_) => Self::Items(Some(kind.list())),
            Self::Payment | Self::Campaigns => self,
        }
    }
}

/// A request that arrived, and what was said.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Not before the moment at which the proxy sent it.
    pub(super) at: Time,
    pub(super) party: Option<usize>,
    pub(super) read: bool,
    /// What it reads or writes.
    pub(super) kind: Option<Kind>,
    pub(super) target: String,
    pub(super) status: u16,
    pub(super) body: String,
    /// What the test calls this write.
    pub(super) nonce: Option<String>,
    /// The label that it wrote, and the version that the label has since.
    pub(super) wrote: Option<(Uuid, u64)>,
}

/// A handle to the upstream's state.
#[derive(Clone)]
pub(super) struct Oracle(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Who has the items of each resource; the same organizations and keys, and items under the same ids.
    vendors: Vec<(Kind, Vendor)>,
    now: Time,
    health: Health,
    denied: HashSet<(usize, Denial)>,
    revoked: HashSet<String>,
    fates: HashMap<String, Fate>,
    version: u64,
    /// Of each organization: how often its resource ownership was switched, and whether it is on.
    ownership: HashMap<&'static str, Ownership>,
    log: Vec<Entry>,
}

/// A time in which an organization's resource ownership was not switched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ownership {
    number: usize,
    pub(super) on: bool,
}

impl Oracle {
    /// Every organization has items 1 to 4 of each of these, under the same ids.
    pub(super) fn new(kinds: &[Kind]) -> Self {
        let mut state = State::default();
        for kind in kinds {
            let vendor = World::vendor();
            vendor.admit(&crate::support::labels::token("c", 1), "c");
            for (party, label) in HIDDEN {
                vendor.hide(&PARTIES[party].token(), label);
            }
            state.vendors.push((*kind, vendor));
            for name in NAMES {
                (1..=4).for_each(|n| state.edit(*kind, name, n));
            }
        }
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What arrives from here on, arrives at this time.
    pub(super) fn set_time(&self, now: Time) {
        self.state().now = now;
    }

    pub(super) fn now(&self) -> Time {
        self.state().now
    }

    pub(super) fn set_health(&self, health: Health) {
        self.state().health = health;
    }

    pub(super) fn is_sound(&self) -> bool {
        self.state().health == Health::Sound
    }

    pub(super) fn deny(&self, party: usize, what: Denial) {
        self.state().denied.insert((party, what));
    }

    pub(super) fn allow(&self, party: usize) {
        self.state().denied.retain(|(denied, _)| *denied != party);
    }

    pub(super) fn is_welcome(&self, party: usize) -> bool {
        let state = self.state();
        let named = PARTIES[party].organization.is_some();
        named
            && !state.revoked.contains(&PARTIES[party].token())
            && !state.denied.iter().any(|(denied, what)| *denied == party && *what != Denial::Campaigns)
    }

    pub(super) fn revoke(&self, party: usize) {
        self.state().revoked.insert(PARTIES[party].token());
    }

    pub(super) fn restore(&self, party: usize) {
        self.state().revoked.remove(&PARTIES[party].token());
    }

    /// Changes an item as the vendor's web page would, unseen by the proxy; makes it where it is gone.
    pub(super) fn edit(&self, kind: Kind, name: &str, n: u32) {
        self.state().edit(kind, name, n);
    }

    /// Switches an organization's resource ownership.
    pub(super) fn set_ownership(&self, name: &'static str, grants: Option<Grants>) {
        let mut state = self.state();
        for (_, vendor) in &state.vendors {
            match grants {
                Some(grants) => vendor.own(name, grants),
                None => vendor.disown(name),
            }
        }
        let ownership = state.ownership.entry(name).or_default();
        *ownership = Ownership { number: ownership.number + 1, on: grants.is_some() };
    }

    /// Whether its resource ownership is on, and since which switch.
    pub(super) fn ownership(&self, name: &str) -> Ownership {
        self.state().ownership.get(name).copied().unwrap_or_default()
    }

    /// Settles what becomes of the write with this nonce.
    pub(super) fn set_fate(&self, nonce: &str, fate: Fate) {
        self.state().fates.insert(nonce.to_owned(), fate);
    }

    /// How many requests have arrived.
    pub(super) fn arrivals(&self) -> usize {
        self.state().log.len()
    }

    /// The latest arrival for which this holds, with its place in the log.
    pub(super) fn last(&self, holds: impl Fn(&Entry) -> bool) -> Option<(usize, Entry)> {
        let state = self.state();
        let place = state.log.iter().rposition(holds)?;
        Some((place, state.log[place].clone()))
    }

    /// Whether some arrival is such.
    pub(super) fn any(&self, holds: impl Fn(usize, &Entry) -> bool) -> bool {
        self.state().log.iter().enumerate().any(|(place, entry)| holds(place, entry))
    }

    /// Places of all such arrivals.
    pub(super) fn places(&self, holds: impl Fn(usize, &Entry) -> bool) -> Vec<usize> {
        let state = self.state();
        state
            .log
            .iter()
            .enumerate()
            .filter(|(place, entry)| holds(*place, entry))
            .map(|(place, _)| place)
            .collect()
    }

    /// Answers a request and writes it down.
    pub(super) fn answer(&self, request: &Recorded) -> Answer {
        let mut state = self.state();
        let party = party_of(request.field("authorization"), request.field("x-as-workspace"));
        let nonce = request.field("x-nonce").map(str::to_owned);
        let (answer, wrote) = state.act(request, party, nonce.as_deref());
        let (bytes, _) = answer.render("GET");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let entry = Entry {
            at: state.now,
            party,
            read: request.method == "GET" && state.kind_of(request).is_some(),
            kind: state.kind_of(request),
            target: request.target.clone(),
            status: text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default(),
            body: text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default(),
            nonce,
            wrote,
        };
        state.log.push(entry);
        answer
    }
}

impl State {
    fn edit(&mut self, kind: Kind, name: &str, n: u32) {
        self.version += 1;
        let (_, vendor) = self.vendors.iter().find(|(own, _)| *own == kind).expect("it is of this run");
        vendor.put_label(name, n, &text(kind, name, self.version));
    }

    /// What it reads or writes, if that is an item or a list of this run.
    fn kind_of(&self, request: &Recorded) -> Option<Kind> {
        let mut kinds = self.vendors.iter().map(|(kind, _)| *kind);
        kinds.find(|kind| request.target.starts_with(kind.list()))
    }

    fn vendor_says(&self, request: &Recorded) -> Answer {
        let told = self.vendors.iter().find_map(|(kind, vendor)| kind.answer(vendor, request));
        told.unwrap_or_else(|| self.vendors[0].1.answer(request))
    }

    fn act(
        &mut self,
        request: &Recorded,
        party: Option<usize>,
        nonce: Option<&str>,
    ) -> (Answer, Option<(Uuid, u64)>) {
        let refusal = |status| (Answer::json(status, error(status, "No.")), None);
        match self.health {
            Health::Sound => {}
            Health::Failing(status) => return refusal(status),
            Health::Blocked => return (Answer::edge_block(), None),
            Health::Closing => return (Answer::close(), None),
        }
        let Some(party) = party.filter(|party| !self.revoked.contains(&PARTIES[*party].token())) else {
            return refusal(401);
        };
        let kind = self.kind_of(request);
        let denied = |what| self.denied.contains(&(party, what));
        if denied(Denial::Payment) {
            return refusal(402);
        }
        if kind.is_some_and(|kind| denied(Denial::Items(Some(kind.list())))) {
            return refusal(403);
        }
        if request.target == CAMPAIGNS && denied(Denial::Campaigns) {
            return refusal(401);
        }
        let Some(kind) = kind.filter(|_| request.method != "GET") else {
            return (self.vendor_says(request), None);
        };
        let fate = self.fates.get(nonce.unwrap_or_default()).copied().unwrap_or_default();
        self.write(request, (party, kind), fate)
    }

    fn write(
        &mut self,
        request: &Recorded,
        (party, kind): (usize, Kind),
        fate: Fate,
    ) -> (Answer, Option<(Uuid, u64)>) {
        if let Fate::Refused(status) = fate {
            return (Answer::json(status, error(status, "No.")), None);
        }
        let Some(name) = PARTIES[party].organization else { return (self.vendor_says(request), None) };
        let version = self.version + 1;
        let mut stamped = request.clone();
        stamped.body = format!(r#"{{"label":"{}"}}"#, text(kind, name, version)).into_bytes();
        let answer = self.vendor_says(&stamped);
        let (bytes, _) = answer.render("GET");
        let text = String::from_utf8_lossy(&bytes);
        let label: Option<serde_json::Value> =
            text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
        let id = label.as_ref().and_then(|label| label["id"].as_str()).and_then(|id| id.parse().ok());
        let Some(id) = id else { return (answer, None) };
        self.version = version;
        let answer = match fate {
            Fate::Lost => Answer::json(500, error(500, "Oops.")),
            Fate::Cut => Answer::close(),
            Fate::Done | Fate::Refused(_) => answer,
        };
        (answer, Some((id, version)))
    }
}
