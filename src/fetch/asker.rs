//! [`Asker`]: a read that something has to be fetched for. [`Wanted`]: what.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Fetcher;
use super::flight::{FlightKey, Storing};
use crate::cache::{Reader, items};
use crate::caller::credential::{Credential, CredentialDigest};
use crate::caller::identity::Caller;
use crate::callers::Ledger;
use crate::classify::{ListQuery, Read, Target};
use crate::clock::Moment;
use crate::organization::Organization;
use crate::purpose::Purpose;
use crate::shield::budget::Class;
use crate::shield::edge::Wording;
use crate::shield::share::Urgency;
use crate::telemetry::Context;
use crate::tick::Tick;

/// Times that a read joins other credentials' flights: at first, and for the one take-over (R7).
const SHARED_ROUNDS: u8 = 2;

/// A read that something has to be fetched for.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Who reads what.
    pub reader: Reader<'a>,
    /// Where its request came from.
    pub peer: IpAddr,
    /// Fetches begun after this are younger than the request.
    pub arrived: Tick,
    /// When it came.
    pub arrived_at: Moment,
    /// How long it may wait for a call to be sent.
    pub max_wait: Duration,
    /// Only fetches begun after this may be joined: a client can ask for a response as young as its request.
    pub youngest: Tick,
    /// Whether its answer may be stored: a client can forbid it.
    pub storing: Storing,
    /// What it has waited for already.
    pub waits: Waits,
    /// How often it joined a flight.
    pub rounds: u8,
    /// How long it has waited for the store that replicas share.
    pub store_waited: Duration,
    /// Who pays for what is fetched.
    pub ledger: &'a Ledger,
    /// What of a trace it is a part of.
    pub trace: Option<&'a Context>,
}

/// What a read has waited for already: it waits for each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits(u8);

/// Something that a read may wait for, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wait {
    /// The list that brings what it wants.
    List = 1,
    /// The proof that another read asks for.
    Proof = 2,
    /// Its own proof, while an old one would do.
    OwnProof = 4,
}

impl Waits {
    /// Whether it has waited for this.
    #[must_use]
    pub const fn has(self, wait: Wait) -> bool {
        self.0 & wait as u8 != 0
    }

    /// It has waited for this.
    pub const fn add(&mut self, wait: Wait) {
        self.0 |= wait as u8;
    }
}

/// Why something is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The credential is not proven: its own token asks, for itself.
    ToProve,
    /// It is proven, and nothing that may be served at once is stored.
    Missing(Fallback),
    /// It is proven, and the client asks for a younger response than the one that is stored, which would do if that fails.
    Younger,
}

/// What would do if a fetch fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Something that is stored.
    Stored,
    /// Nothing.
    Nothing,
}

impl Ground {
    /// What would do if it fails.
    #[must_use]
    pub const fn fallback(self) -> Fallback {
        match self {
            Self::ToProve => Fallback::Nothing,
            Self::Missing(fallback) => fallback,
            Self::Younger => Fallback::Stored,
        }
    }
}

/// What a fetch is wanted for.
#[derive(Clone, Debug)]
pub struct Wanted<'o> {
    /// Who may share it.
    pub(super) key: FlightKey,
    /// Of the credential, if it is known.
    pub(super) organization: Option<&'o Arc<Organization>>,
    pub(super) target: Target,
    /// Only fetches begun after this may be joined.
    pub(super) after: Tick,
    pub(super) storing: Storing,
    pub(super) purpose: Purpose,
    /// How urgent its call is.
    pub(super) class: Class,
    pub(super) ground: Ground,
}

impl Wanted<'_> {
    /// Whether what it brings may be stored.
    #[must_use]
    pub const fn storing(&self) -> Storing {
        self.storing
    }
}

impl Asker<'_> {
    /// Only what was begun after this answers it on this ground.
    #[must_use]
    pub fn after(&self, ground: Ground) -> Tick {
        match ground {
            Ground::Younger => self.arrived,
            Ground::ToProve | Ground::Missing(_) => self.youngest,
        }
    }

    pub(super) fn digest(&self) -> CredentialDigest {
        self.reader.credential.digest()
    }

    /// When the calls of who reads may go.
    pub(super) fn urgency(&self) -> Urgency {
        self.ledger.identity().map(|identity| identity.share().urgency).unwrap_or(Urgency::Turns)
    }

    /// The key of a flight that this read's credential shares with nobody.
    pub(super) fn own_key(&self, target: &Target, storing: Storing) -> FlightKey {
        FlightKey::Own {
            credential: self.digest(),
            resource: self.reader.read.resource.name,
            target: target.clone(),
            storing,
        }
    }
}

impl Fetcher {
    /// What a read asks for on this ground, whose credential is bound to `organization`.
    #[must_use]
    pub fn wanted<'o>(
        &self,
        asker: &Asker<'_>,
        organization: Option<&'o Arc<Organization>>,
        ground: Ground,
        now: Moment,
    ) -> Wanted<'o> {
        let target = &asker.reader.read.target;
        let own_key = asker.own_key(target, asker.storing);
        Wanted {
            key: match organization.filter(|_| ground != Ground::ToProve) {
                Some(organization) => self.shared_key(asker, organization, own_key, now),
                None => own_key,
            },
            organization,
            target: target.clone(),
            after: asker.after(ground),
            storing: asker.storing,
            purpose: Purpose::Fill,
            class: Class::Interactive,
            ground,
        }
    }

    /// Whose words a fetch of this read is made of, by a credential that is bound to `organization`. A caller chooses its key
    /// and what it asks of a list; a key that the API has accepted, and an id, are no words that an edge would dislike.
    #[must_use]
    pub fn wording(
        &self,
        credential: &Credential,
        read: &Read,
        organization: Option<&Arc<Organization>>,
        now: Moment,
    ) -> Wording {
        let is_plain = match &read.target {
            Target::Item(_) => true,
            Target::List(ListQuery(parameters)) => {
                parameters.is_empty() || read.target == items::whole_list(read.resource)
            }
        };
        // Where the edge turns all that is fetched away from the beginning on, nobody is ever bound.
        let is_accepted = || {
            let caller = Caller::Credential(credential).into();
            organization.is_some() || self.origin.shield().unverified.is_accepted(caller, now)
        };
        if is_plain && is_accepted() { Wording::Ours } else { Wording::Callers }
    }

    fn shared_key(
        &self,
        asker: &Asker<'_>,
        organization: &Organization,
        own_key: FlightKey,
        now: Moment,
    ) -> FlightKey {
        let key = asker.reader.key(organization, &asker.reader.read.target);
        let shared = asker.storing == Storing::Allowed
            && asker.rounds < SHARED_ROUNDS
            && self.flights.is_collapsible(&key, now)
            // An own flight may have proved the credential and be about to store: following it saves a second call.
            && !self.flights.is_under_way(&own_key);
        if shared { FlightKey::Shared(key) } else { own_key }
    }
}
