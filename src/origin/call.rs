//! [`Call`]: a call to the API, as everything on its way sees it.

use std::net::IpAddr;
use std::time::Duration;

use crate::caller::credential::{Credential, CredentialDigest, RouteDigest};
use crate::caller::identity::Caller;
use crate::callers::Payer;
use crate::clock::Moment;
use crate::organization::OrganizationId;
use crate::purpose::Purpose;
use crate::resource::Descriptor;
use crate::shield::account::AccountKey;
use crate::shield::budget::Class;
use crate::shield::who::Who;
use crate::telemetry::Context;
use crate::upstream::connections::UpstreamClient;
use crate::upstream::outgoing::Owner;

/// A call that wants to go to the API.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Whose token it carries.
    pub caller: Caller<&'a Credential>,
    /// The organization that the credential is bound to.
    pub organization: Option<OrganizationId>,
    /// Where its request came from.
    pub peer: IpAddr,
    /// What a scope is asked for.
    pub route: RouteDigest,
    /// The resource whose path it has, if it is one that is cached: there a refusal speaks of the credential.
    pub resource: Option<&'static Descriptor>,
    /// How urgent it is.
    pub class: Class,
    /// Since when it waits for its turn.
    pub asked_at: Moment,
    /// How long it may wait for its turn from now on.
    pub max_wait: Duration,
    /// How long its request has waited for the store that replicas share.
    pub store_waited: Duration,
    /// Why it is made.
    pub purpose: Purpose,
    /// Where it gets its connection.
    pub lane: Lane<'a>,
    /// Whether it is tried again that failed on the way.
    pub retries: Retries,
    /// Who pays for it.
    pub payer: &'a Payer,
    /// What of a trace it is a part of.
    pub trace: Option<&'a Context>,
}

/// Where a call gets its connection.
#[derive(Clone, Copy, Debug)]
pub enum Lane<'a> {
    /// Label calls: their bodies are checked before anybody gets them, so that they may share a connection.
    Labels,
    /// Calls that pass through have each a connection to themselves, and a permit for it.
    PassThrough(&'a UpstreamClient),
}

/// What of the budget of retries a call has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    /// A read: tried once more where it failed on the way.
    Once,
    /// Not tried again, and counted among the calls of which a tenth is.
    Counted,
    /// A write, or what may be one: neither, and it goes again only where it was certainly not processed.
    Never,
}

impl<'a> Call<'a> {
    /// Its credential, if it has one.
    #[must_use]
    pub const fn credential(&self) -> Option<&'a Credential> {
        self.caller.credential()
    }

    pub(super) fn digest(&self) -> Option<CredentialDigest> {
        self.caller.digest()
    }

    /// Whose an HTTP/1.1 connection is that carries it.
    pub(super) fn owner(&self) -> Owner {
        self.caller.digest()
    }

    /// Who takes turns with whom.
    pub(super) fn who(&self) -> Who {
        self.caller.into()
    }

    /// Whose permits it needs.
    pub(super) fn permits(&self) -> AccountKey {
        AccountKey::of(self.organization, self.caller.authorization())
    }

    /// The account that its `Authorization` value alone has.
    pub(super) fn own_account(&self) -> AccountKey {
        AccountKey::of(None, self.caller.authorization())
    }
}
