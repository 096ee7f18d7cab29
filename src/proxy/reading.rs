//! [`Reading`]: a label read under way, and what is known of it and around it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::Proxy;
use super::exchange::Asked;
use super::plan::{Circumstances, View};
use crate::cache::Reader;
use crate::cache::decide::{Decision, decide};
use crate::cache::stored::StoredResponse;
use crate::caller::credential::Credential;
use crate::caller::standing::Standing;
use crate::callers::Ledger;
use crate::classify::Read;
use crate::clock::Moment;
use crate::config::CachedResource;
use crate::fetch::{Asker, Ground, Storing, Waits};
use crate::organization::Organization;
use crate::outcome::StaleReason;
use crate::rules::Rules;
use crate::semantics::directives::RequestDirectives;
use crate::tick::Tick;

/// A label read under way.
pub(super) struct Reading<'a> {
    pub(super) head: &'a Parts,
    pub(super) asker: Asker<'a>,
    pub(super) wishes: RequestDirectives,
}

/// What is stored for a read, and for how long it may be served.
pub(super) struct LookUp {
    pub(super) stored: Option<Arc<StoredResponse>>,
    pub(super) lifetimes: CachedResource,
}

impl LookUp {
    /// What is to be done by what is stored and the client's wishes alone.
    pub(super) fn decide(&self, wishes: &RequestDirectives, now: Moment) -> Decision {
        decide(wishes, self.stored.as_deref(), &self.lifetimes, now)
    }
}

/// What makes a fetch needless.
pub(super) enum Found {
    /// A response that another fetch has stored.
    Response(Arc<StoredResponse>),
    /// A proof, with which to look again.
    Proof,
}

/// A label read, before it is known who may answer it.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) head: &'a Parts,
    pub(super) read: &'a Read,
    pub(super) credential: &'a Credential,
    pub(super) rules: &'a Arc<Rules>,
    pub(super) peer: IpAddr,
    /// When it came.
    pub(super) at: Moment,
    /// How long it may wait for a call to be sent.
    pub(super) max_wait: Duration,
    /// What its client asks of a cache.
    pub(super) wishes: RequestDirectives,
    /// Who pays for what is fetched.
    pub(super) ledger: &'a Ledger,
}

impl<'a> Request<'a> {
    /// One that was classified.
    pub(super) fn of(head: &'a Parts, read: &'a Read, credential: &'a Credential, asked: &'a Asked) -> Self {
        let Asked { rules, peer, arrived_at, max_wait, directives, ledger, .. } = asked;
        Self {
            head,
            read,
            credential,
            rules,
            peer: *peer,
            at: *arrived_at,
            max_wait: *max_wait,
            wishes: directives.then(|| RequestDirectives::parse(&head.headers)),
            ledger,
        }
    }
}

impl Proxy {
    /// A label read as it arrives.
    pub(super) fn reading<'a>(&self, request: Request<'a>) -> Reading<'a> {
        let Request { head, read, credential, rules, peer, at, max_wait, wishes, ledger } = request;
        let arrived = self.cache.fence().sequence().current();
        let wants_youngest = wishes.no_cache || wishes.max_age == Some(Duration::ZERO);
        let asker = Asker {
            reader: Reader { credential, read, rules },
            peer,
            arrived,
            arrived_at: at,
            max_wait,
            youngest: if wants_youngest { arrived } else { Tick::default() },
            storing: if wishes.no_store { Storing::Forbidden } else { Storing::of(read) },
            waits: Waits::default(),
            rounds: 0,
            store_waited: Duration::ZERO,
            ledger,
            trace: head.extensions.get(),
        };
        Reading { head, asker, wishes }
    }

    /// What is stored for a read, and may be served to this organization, and for how long.
    ///
    /// The lease of the fleet is asked first, always: one that came back behind the look-up would vouch for what was looked up
    /// before it. It is asked of the moment at which the request was read: what the lease's last beat brought was appended
    /// before any write was answered that the request may rely on.
    pub(super) fn look_up(&self, reading: &Reading<'_>, organization: Option<&Arc<Organization>>) -> LookUp {
        let lifetimes = self.lifetimes(reading);
        let begun = self.tracing.as_ref().map(|_| self.clock.now());
        let stored =
            organization.and_then(|organization| self.cache.look_up(reading.asker.reader, organization));
        if let (Some(begun), Some(tracing), Some(parent)) = (begun, &self.tracing, reading.asker.trace) {
            tracing.record("look-up", parent, begun);
        }
        LookUp { stored, lifetimes }
    }

    /// For how long what is stored may be served to a read: as configured, and only briefly by a replica that is alone.
    pub(super) fn lifetimes(&self, reading: &Reading<'_>) -> CachedResource {
        let Asker { reader, arrived_at, .. } = &reading.asker;
        self.lifetimes_at(reader.rules.of(reader.read.resource, &reader.read.target), *arrived_at)
    }

    /// The same for whatever was configured, and a request that was read at this moment.
    pub(super) fn lifetimes_at(&self, configured: &CachedResource, read_at: Moment) -> CachedResource {
        self.fleet.as_ref().map_or(*configured, |fleet| fleet.lifetimes(configured, read_at))
    }

    /// What makes a fetch needless by now.
    pub(super) fn found(
        &self,
        ground: Ground,
        reading: &Reading<'_>,
        organization: Option<&Arc<Organization>>,
    ) -> Option<Found> {
        let (Reader { credential, rules, read }, now) = (reading.asker.reader, self.clock.now());
        match (ground, organization) {
            (Ground::ToProve, _) | (_, None) => {
                let standing = self.bindings.standing(credential, read.resource, &rules.proof, now);
                matches!(standing, Standing::Proven { .. }).then_some(Found::Proof)
            }
            (Ground::Missing(_) | Ground::Younger, Some(organization)) => {
                let look_up = self.look_up(reading, Some(organization));
                let wishes = RequestDirectives { no_cache: false, ..reading.wishes };
                let decision = look_up.decide(&wishes, now);
                let stored = look_up.stored?;
                let after = reading.asker.after(ground);
                // What another replica has fetched bears the tick of the flight that found it, and may have been sent long before.
                let is_sent_since = stored.sent().uptime() >= reading.asker.arrived_at.uptime();
                let is_young = stored.begun > after && (after == Tick::default() || is_sent_since);
                (is_young && matches!(decision, Decision::Serve { .. })).then_some(Found::Response(stored))
            }
        }
    }
}

impl Reading<'_> {
    /// What is known of it.
    pub(super) fn view<'v>(&self, standing: &'v Standing, look_up: &LookUp, now: Moment) -> View<'v> {
        View {
            standing,
            decision: look_up.decide(&self.wishes, now),
            only_if_cached: self.wishes.only_if_cached,
            waits: self.asker.waits,
        }
    }
}

/// What is around a read now.
pub(super) struct Around<'a> {
    pub(super) proxy: &'a Proxy,
    pub(super) reading: &'a Reading<'a>,
    pub(super) standing: &'a Standing,
    pub(super) now: Moment,
}

impl Circumstances for Around<'_> {
    fn may_refetch(&self) -> bool {
        let origin = &self.proxy.origin;
        self.standing.organization().is_some_and(|organization| {
            origin.shield().refetches.would_take(origin.account_of(organization), self.now)
        })
    }

    fn why_not_ask(&self) -> Option<StaleReason> {
        let origin = &self.proxy.origin;
        if origin.upstream().is_unreachable() {
            return Some(StaleReason::Error);
        }
        let is_short = |organization: &Arc<Organization>| {
            origin.shield().budget.is_short(origin.account_of(organization), self.now)
        };
        if self.standing.organization().is_some_and(is_short) {
            return Some(StaleReason::Limit);
        }
        let Reader { credential, read, .. } = self.reading.asker.reader;
        let failed = self.proxy.bindings.outage(credential, read.resource, self.now);
        failed.is_some_and(|outage| outage.confirmed).then_some(StaleReason::Error)
    }

    fn cannot_be_asked(&self) -> bool {
        self.standing
            .organization()
            .is_some_and(|organization| self.proxy.origin.cannot_be_asked(organization, self.now))
    }

    fn has_list(&self) -> bool {
        self.standing.organization().is_some_and(|organization| {
            self.proxy.fetcher.would_wait_for_list(&self.reading.asker, organization, self.now)
        })
    }

    fn has_attempt(&self) -> bool {
        self.proxy.fetcher.would_wait_for_attempt(&self.reading.asker)
    }

    fn edge_is_open(&self) -> bool {
        let Reader { credential, read, .. } = self.reading.asker.reader;
        let wording = || self.proxy.fetcher.wording(credential, read, self.standing.organization(), self.now);
        let edge = &self.proxy.origin.shield().edge;
        !edge.is_blocked() || edge.would_fetch(wording(), self.now)
    }
}
