//! What would happen to a request, told without its happening.
//!
//! It prints the [`plan`](super::plan) that the request would be answered by, and what would become of its call. It changes
//! nothing: no use is counted, no place taken, no trial made, nothing sent.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::request::Parts;

use super::Proxy;
use super::explanation::{Conclusion, Explanation, Key, Known, Proof, Stored};
use super::plan::{Plan, plan};
use super::read::Obtained;
use super::reading::{Around, LookUp, Reading, Request};
use crate::cache::decide::Decision;
use crate::caller::standing::Standing;
use crate::callers::{Ledger, Payer};
use crate::classify::{self, Read, Target, classify};
use crate::clock::Moment;
use crate::error::ErrorKind;
use crate::fetch::{Fallback, Ground, Storing};
use crate::fleet::Fleet;
use crate::guard;
use crate::organization::Organization;
use crate::origin::{Call, Lane, Obstacle, Retries};
use crate::outcome::{BypassReason, CacheStatus, StaleReason};
use crate::purpose::Purpose;
use crate::resource::{Place, target_path};
use crate::rules::Rules;
use crate::semantics::directives::RequestDirectives;
use crate::semantics::framing::announces_body;
use crate::semantics::preference;
use crate::shield::budget::Class;

/// Whose turn among unverified callers is asked for: nobody's address.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What `Cache-Status` says while the edge turns our own reads away.
const EDGE_BLOCK: CacheStatus = CacheStatus::Uncached(BypassReason::EdgeBlock);

impl Proxy {
    /// Says what would happen to a request with this head and why; sends and changes nothing.
    #[must_use]
    pub fn explain(&self, head: &Parts) -> Explanation {
        let place = match guard::check(self.resources, head, self.origin.upstream().pseudonym()) {
            Ok(place) => place,
            Err(refused) => {
                let mut told = Explanation::new(Conclusion::Refuse, self.resources.first());
                told.fail(Conclusion::Refuse, &refused);
                return told;
            }
        };
        let now = self.clock.now();
        let caller = self.digester.caller(&head.headers);
        let rules = self.rulebook.current();
        let caller = caller.as_ref();
        let payer = Payer::default();
        let call = Call {
            caller,
            organization: caller.credential().and_then(|credential| self.organization_of(credential)),
            peer: NOWHERE,
            route: self.digester.route(&head.method, head.uri.path()),
            resource: place.resource().filter(|resource| self.resources.caches(resource)),
            class: Class::Interactive,
            asked_at: now,
            max_wait: rules.max_wait(preference::wait(&head.headers)),
            store_waited: Duration::ZERO,
            purpose: Purpose::PassThrough,
            lane: Lane::Labels,
            retries: Retries::Never,
            payer: &payer,
            trace: None,
        };
        let spoken_of = place.resource().unwrap_or_else(|| self.resources.first());
        let mut told = Explanation::new(Conclusion::PassThrough, spoken_of);
        told.credential = Some(Known { name: self.key_name(&rules, head), ..self.known(&call, &rules, now) });
        let standing = |fleet: &Arc<Fleet>| if fleet.has_lease(now) { "leased" } else { "alone" };
        told.fleet = self.fleet.as_ref().map(standing);
        told.organization = call.organization.map(|organization| organization.to_string());
        match classified(head, place).of_cached(self.resources) {
            classify::Class::Read(read) => {
                told.class = Some(class_of(&read));
                let route = self.digester.route(&Method::GET, read.resource.collection);
                let call = Call { route, ..call };
                told.shield = Some(self.origin.foresee(&call, now).into());
                self.explain_read(&mut told, head, &read, &call, &rules);
            }
            classify::Class::Write { .. } => {
                told.class = Some("write");
                self.explain_call(&mut told, Conclusion::Write, CacheStatus::Method, &call);
            }
            classify::Class::Uncached { reason, .. } => {
                told.class = Some("uncached_read");
                told.bypass = Some(reason.as_str());
                let uncached = CacheStatus::Uncached(reason);
                self.explain_call(&mut told, Conclusion::PassThrough, uncached, &call);
            }
            classify::Class::PassThrough => {
                told.class = Some("pass_through");
                self.explain_call(&mut told, Conclusion::PassThrough, CacheStatus::PassThrough, &call);
            }
        }
        told
    }

    fn explain_read(
        &self,
        told: &mut Explanation,
        head: &Parts,
        read: &Read,
        call: &Call<'_>,
        rules: &Arc<Rules>,
    ) {
        let Some(credential) = call.caller.credential() else { return };
        let now = call.asked_at;
        let (max_wait, wishes) = (call.max_wait, RequestDirectives::parse(&head.headers));
        let ledger = Ledger::default();
        let reading = self.reading(Request {
            head,
            read,
            credential,
            rules,
            peer: NOWHERE,
            at: now,
            max_wait,
            wishes,
            ledger: &ledger,
        });
        let standing = self.bindings.standing(credential, read.resource, &rules.proof, now);
        let stored = standing.organization().and_then(|organization| {
            let key = reading.asker.reader.key(organization, &read.target);
            told.key = Some(Key {
                resource: key.resource().name,
                organization: organization.id().to_string(),
                own: key.owner().is_some(),
                shared: rules.shared_in(organization, read.resource),
                target: target_path(read.resource, &key.target()),
            });
            self.cache.peek(reading.asker.reader, organization)
        });
        let look_up = LookUp { stored, lifetimes: self.lifetimes(&reading) };
        told.stored = look_up.stored.as_deref().map(|stored| Stored::of(stored, &look_up.lifetimes, now));
        let view = reading.view(&standing, &look_up, now);
        let around = Around { proxy: self, reading: &reading, standing: &standing, now };
        match plan(&view, &around) {
            Plan::Serve(stored, _) => {
                told.conclude(Conclusion::Hit, Some(CacheStatus::Hit { ttl: stored.ttl }));
            }
            Plan::Stale(stale, reason, _) => conclude_stale(told, stale.ttl, reason),
            Plan::RefetchLimited(fresh) => conclude_limited(told, fresh.ttl),
            Plan::WaitForList => told.conclude(Conclusion::FetchList, None),
            Plan::WaitForProof(_) => told.conclude(Conclusion::WaitForProof, None),
            Plan::OnlyIfCached => told.fail(Conclusion::OnlyIfCached, &ErrorKind::OnlyIfCached.error()),
            Plan::Pass => self.explain_call(told, Conclusion::PassThrough, EDGE_BLOCK, call),
            Plan::Fetch(ground, _) => {
                self.explain_fetch(told, &reading, ground, standing.organization(), call);
                explain_fallback(told, view.decision, ground);
            }
        }
    }

    /// What a read gets that nothing stored will do for.
    fn explain_fetch(
        &self,
        told: &mut Explanation,
        reading: &Reading<'_>,
        ground: Ground,
        organization: Option<&Arc<Organization>>,
        call: &Call<'_>,
    ) {
        let wanted = self.fetcher.wanted(&reading.asker, organization, ground, call.asked_at);
        told.flight_under_way = self.fetcher.would_join(&reading.asker, &wanted);
        if told.flight_under_way {
            let status = reading.cache_status(ground, Obtained::Joined);
            return told.conclude(Conclusion::Join, Some(status));
        }
        let stored = wanted.storing() == Storing::Allowed && !self.cache.is_closed();
        let (conclusion, class) = match ground {
            // Every hit of its credential waits for it.
            Ground::ToProve => (Conclusion::Prove, Class::Proof),
            Ground::Younger => (Conclusion::Refetch, Class::Interactive),
            Ground::Missing(_) => (Conclusion::Fetch, Class::Interactive),
        };
        let status = reading.cache_status(ground, Obtained::Led { stored });
        self.explain_call(told, conclusion, status, &Call { class, ..*call });
    }

    /// A call that has to go upstream, unless something is in its way.
    fn explain_call(
        &self,
        told: &mut Explanation,
        conclusion: Conclusion,
        status: CacheStatus,
        call: &Call<'_>,
    ) {
        told.shield = Some(self.origin.foresee(call, call.asked_at).into());
        match self.origin.obstacle(call, call.asked_at) {
            None => told.conclude(conclusion, Some(status)),
            // Neither the store nor the API is asked: the answer says nothing of a cache.
            Some(Obstacle::Remembered) => told.conclude(Conclusion::Latched, None),
            Some(Obstacle::Error(error)) => {
                let unreachable = error.kind() == ErrorKind::Unreachable;
                told.fail(if unreachable { Conclusion::Unreachable } else { Conclusion::Limited }, &error);
            }
        }
    }

    fn known(&self, call: &Call<'_>, rules: &Rules, now: Moment) -> Known {
        let credential = call.caller.credential();
        // Of what passes through nothing is proven: what is told is what the first resource knows.
        let resource = call.resource.unwrap_or_else(|| self.resources.first());
        let standing = |credential| self.bindings.standing(credential, resource, &rules.proof, now);
        let proof = match credential.map(standing) {
            None | Some(Standing::Unknown) => Proof::Unbound,
            Some(Standing::Proven { renew: true, .. }) => Proof::Renewing,
            Some(Standing::Proven { renew: false, .. }) => Proof::Fresh,
            Some(Standing::Lapsed { organization, outage: Some(outage) })
                if outage.confirmed || self.origin.cannot_be_asked(&organization, now) =>
            {
                Proof::Outage
            }
            Some(Standing::Lapsed { .. }) => Proof::Lapsed,
        };
        let age = credential.and_then(|credential| self.bindings.proof_age(credential, resource, now));
        Known {
            well_formed: credential.is_some(),
            name: None,
            proof,
            proof_age_seconds: age.map(|age| age.as_secs()),
            stranger: self.origin.shield().unverified.is_unverified(call.caller.into(), now),
        }
    }
}

/// What a read is of.
const fn class_of(read: &Read) -> &'static str {
    match read.target {
        Target::Item(_) => "item_read",
        Target::List(_) if read.resource.is_singleton() => "singleton_read",
        Target::List(_) => "list_read",
    }
}

/// What kind of request it is, with the body that it announces.
fn classified(head: &Parts, place: Place) -> classify::Class {
    match classify(head, place) {
        // What the body says is told by the body alone: most say something.
        classify::Class::Read(read) if announces_body(&head.headers) => classify::Class::Uncached {
            resource: read.resource,
            item: matches!(read.target, Target::Item(_)),
            reason: BypassReason::Body,
        },
        class => class,
    }
}

/// What would fail is answered from the store where that may be.
fn explain_fallback(told: &mut Explanation, decision: Decision, ground: Ground) {
    let Some(reason) = told.failure().and_then(StaleReason::of_failure) else { return };
    match (ground, decision) {
        (Ground::Missing(Fallback::Stored), Decision::Fetch { fallback: Some(stale) }) => {
            conclude_stale(told, stale.ttl, reason);
        }
        (Ground::Younger, Decision::Refetch(fresh)) => conclude_limited(told, fresh.ttl),
        _ => {}
    }
}

fn conclude_stale(told: &mut Explanation, ttl: i64, reason: StaleReason) {
    told.conclude(Conclusion::Stale, Some(CacheStatus::Stale { ttl, reason }));
}

fn conclude_limited(told: &mut Explanation, ttl: i64) {
    told.conclude(Conclusion::RefillLimited, Some(CacheStatus::RefetchLimited { ttl }));
}
