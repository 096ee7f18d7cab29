//! What would happen to a request, told without its happening.
//!
//! It asks what the request's own way asks, in the same order: guard, class, credential, standing, key, look-up, decision,
//! flight, shield. It changes nothing: no use is counted, no place taken, no trial made, nothing sent.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::request::Parts;

use super::Proxy;
use super::dispatch::Call;
use super::explanation::{Conclusion, Explanation, Key, Known, Proof, Stored};
use super::flying::Wanted;
use super::forward::Caller;
use super::obstacle::Obstacle;
use super::read::Reading;
use super::rules::Rules;
use crate::cache::decide::{Decision, Servable, decide};
use crate::cache::stored::StoredResponse;
use crate::caller::bindings::Standing;
use crate::classify::{Class, Read, Target, classify};
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::guard;
use crate::organization::Organization;
use crate::outcome::{BypassReason, CacheStatus, StaleReason};
use crate::resource::target_path;
use crate::semantics::preference;
use crate::shield::budget::Class as Urgency;

/// Whose turn among strangers is asked for: nobody's address.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What would be served if the fetch failed.
enum Fallback {
    /// A stale response, within its window.
    Stale(Servable),
    /// A fresh one, although the client asked for a younger one.
    Fresh(Servable),
}

impl Proxy {
    /// Says what would happen to a request with this head and why; sends and changes nothing.
    #[must_use]
    pub fn explain(&self, head: &Parts, has_body: bool) -> Explanation {
        let place = match guard::check(head, self.upstream.pseudonym()) {
            Ok(place) => place,
            Err(refused) => {
                let mut told = Explanation::new(Conclusion::Refuse);
                told.fail(Conclusion::Refuse, &refused.error());
                return told;
            }
        };
        let now = self.clock.now();
        let caller = self.caller(head);
        let rules = self.rulebook.current();
        let call = caller.call(NOWHERE, rules.patience(preference::wait(&head.headers)));
        let mut told = Explanation::new(Conclusion::PassThrough);
        told.credential = Some(self.known(&caller, &call, &rules, now));
        told.organization = caller.organization.map(|organization| organization.to_string());
        let class = match classify(head, place) {
            // What the body says is told by the body alone: most say something.
            Class::Read(read) if has_body => Class::Uncached {
                resource: read.resource,
                item: matches!(read.target, Target::Item(_)),
                reason: BypassReason::Body,
            },
            class => class,
        };
        match class {
            Class::Read(read) => {
                told.class =
                    Some(if matches!(read.target, Target::Item(_)) { "item_read" } else { "list_read" });
                let route = self.digester.route(&Method::GET, read.resource.collection);
                let call = Call { route, ..call };
                told.shield = Some(self.in_the_way(&call, now));
                if let Err(error) = self.explain_read(&mut told, head, read, (&call, rules), now) {
                    told.fail(Conclusion::Refuse, &error);
                }
            }
            Class::Write { .. } => {
                told.class = Some("write");
                self.explain_call(&mut told, (Conclusion::Write, CacheStatus::Method), &call, now);
            }
            Class::Uncached { reason, .. } => {
                told.class = Some("uncached_read");
                told.bypass = Some(reason.as_str());
                let uncached = CacheStatus::Uncached(reason);
                self.explain_call(&mut told, (Conclusion::PassThrough, uncached), &call, now);
            }
            Class::PassThrough => {
                told.class = Some("pass_through");
                let passed = (Conclusion::PassThrough, CacheStatus::PassThrough);
                self.explain_call(&mut told, passed, &call, now);
            }
        }
        told
    }

    fn explain_read(
        &self,
        told: &mut Explanation,
        head: &Parts,
        read: Read,
        (call, rules): (&Call<'_>, Arc<Rules>),
        now: Moment,
    ) -> Result<(), ProxyError> {
        let reading = self.reading(head, read, (NOWHERE, now), call.patience, rules)?;
        let standing = self.bindings.standing(&reading.credential, &reading.rules.proof, now);
        let stored = standing.organization().and_then(|organization| {
            let key = self.key(&reading, organization, &reading.read.target);
            told.key = Some(Key {
                resource: key.resource,
                organization: organization.id().to_string(),
                own: key.owner.is_some(),
                shared: reading.rules.shared_in(organization),
                target: target_path(reading.read.resource, &key.target),
            });
            self.look_up_by(&reading, organization, |key| self.store.peek(key))
        });
        let rules = reading.rules.of(&reading.read.target);
        told.stored = stored.as_deref().map(|stored| {
            let (age, lifetime) = (stored.age(now), stored.freshness_lifetime(rules.ttl));
            let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
            let left = |window: Duration| (lifetime + window).saturating_sub(age).min(window).as_secs();
            Stored {
                age_seconds: age.as_secs(),
                fresh_for_seconds: seconds(lifetime.saturating_sub(age))
                    - seconds(age.saturating_sub(lifetime)),
                stale_while_revalidate_left_seconds: left(rules.stale_while_revalidate),
                stale_if_error_left_seconds: left(rules.stale_if_error),
                settling: stored.settling,
            }
        });
        let decision = decide(&reading.wishes, stored.as_deref(), rules, now);
        let asked = Asking { reading: &reading, call, now };
        match &standing {
            Standing::Proven { organization, .. } => {
                self.explain_proven(told, &asked, organization, (decision, stored));
            }
            Standing::Lapsed { organization, outage: Some(outage) }
                if outage.confirmed || self.cannot_be_asked(organization, now) =>
            {
                match decision {
                    Decision::Serve { stored, .. } => {
                        told.conclude(Conclusion::Hit, Some(CacheStatus::Hit { ttl: stored.ttl }));
                    }
                    Decision::Revalidate(stale) | Decision::Fetch { fallback: Some(stale) } => {
                        conclude_stale(told, stale.ttl, StaleReason::Error);
                    }
                    _ => self.explain_unproven(told, &asked, Some(organization)),
                }
            }
            _ => self.explain_unproven(told, &asked, standing.organization()),
        }
        Ok(())
    }

    fn explain_proven(
        &self,
        told: &mut Explanation,
        asked: &Asking<'_>,
        organization: &Arc<Organization>,
        (decision, stored): (Decision, Option<Arc<StoredResponse>>),
    ) {
        let (refetch, fallback) = match (decision, stored) {
            (Decision::Serve { stored, .. }, _) => {
                return told.conclude(Conclusion::Hit, Some(CacheStatus::Hit { ttl: stored.ttl }));
            }
            (Decision::Revalidate(stale), _) => {
                return conclude_stale(told, stale.ttl, StaleReason::Revalidating);
            }
            (Decision::Refuse, _) => {
                return told.fail(Conclusion::OnlyIfCached, &ErrorKind::OnlyIfCached.error());
            }
            (Decision::Refetch(fresh), Some(_)) => {
                if !self.shield.refetches.would_take(self.account_of(organization), asked.now) {
                    let limited = CacheStatus::RefetchLimited { ttl: fresh.ttl };
                    return told.conclude(Conclusion::RefillLimited, Some(limited));
                }
                (true, Some(Fallback::Fresh(fresh)))
            }
            (Decision::Fetch { fallback: Some(stale) }, Some(_)) => {
                if let Some(reason) = self.why_not_ask(asked.reading, organization, asked.now) {
                    return conclude_stale(told, stale.ttl, reason);
                }
                (false, Some(Fallback::Stale(stale)))
            }
            (_, _) => (false, None),
        };
        if fallback.is_none()
            && let Target::Item(item) = asked.reading.read.target
            && self.would_wait_for_list(asked.reading, organization, item, asked.now)
        {
            return told.conclude(Conclusion::FetchList, None);
        }
        let wanted = self.wanted_proven(asked.reading, organization, refetch, asked.now);
        let leading = if refetch { Conclusion::Refetch } else { Conclusion::Fetch };
        self.explain_flight(told, asked, &wanted, leading);
        // What would fail is answered from the store where that may be.
        let reason = told.failure().and_then(StaleReason::of_failure);
        match (reason, fallback) {
            (Some(reason), Some(Fallback::Stale(stale))) => conclude_stale(told, stale.ttl, reason),
            (Some(_), Some(Fallback::Fresh(fresh))) => {
                let limited = CacheStatus::RefetchLimited { ttl: fresh.ttl };
                told.conclude(Conclusion::RefillLimited, Some(limited));
            }
            _ => {}
        }
    }

    fn explain_unproven(
        &self,
        told: &mut Explanation,
        asked: &Asking<'_>,
        organization: Option<&Arc<Organization>>,
    ) {
        if asked.reading.wishes.only_if_cached {
            return told.fail(Conclusion::OnlyIfCached, &ErrorKind::OnlyIfCached.error());
        }
        let wanted = Self::wanted_unproven(asked.reading, organization);
        let digest = asked.reading.credential.digest();
        if !self.flights.is_under_way(&wanted.key) && self.attempts.under_way(digest).is_some() {
            return told.conclude(Conclusion::WaitForProof, None);
        }
        let wanted = Wanted { class: Urgency::Proof, ..wanted };
        self.explain_flight(told, asked, &wanted, Conclusion::Prove);
    }

    /// What a read gets that nothing stored will do for.
    fn explain_flight(
        &self,
        told: &mut Explanation,
        asked: &Asking<'_>,
        wanted: &Wanted<'_>,
        leading: Conclusion,
    ) {
        if !self.shield.edge.would_fill(asked.now) {
            let blocked = CacheStatus::Uncached(BypassReason::EdgeBlock);
            return self.explain_call(told, (Conclusion::PassThrough, blocked), asked.call, asked.now);
        }
        let flight = self.flights.under_way(&wanted.key);
        told.flight_under_way = flight.is_some_and(|flight| self.may_join(asked.reading, wanted, &flight));
        if told.flight_under_way {
            let status = wanted.cache_status(asked.reading, false, true);
            return told.conclude(Conclusion::Join, Some(status));
        }
        let status = wanted.cache_status(asked.reading, true, wanted.storing && !self.is_draining());
        let call = Call { class: wanted.class, ..*asked.call };
        self.explain_call(told, (leading, status), &call, asked.now);
    }

    /// A call that has to go upstream, unless something is in its way.
    fn explain_call(
        &self,
        told: &mut Explanation,
        (decision, status): (Conclusion, CacheStatus),
        call: &Call<'_>,
        now: Moment,
    ) {
        told.shield = Some(self.in_the_way(call, now));
        match self.obstacle(call, now) {
            None => told.conclude(decision, Some(status)),
            Some(Obstacle::Latched) => told.conclude(Conclusion::Latched, Some(status)),
            Some(Obstacle::Error(error)) => {
                let unreachable = error.kind() == ErrorKind::Unreachable;
                told.fail(if unreachable { Conclusion::Unreachable } else { Conclusion::Limited }, &error);
            }
        }
    }

    fn known(&self, caller: &Caller, call: &Call<'_>, rules: &Rules, now: Moment) -> Known {
        let credential = caller.credential.as_ref();
        let standing = |credential| self.bindings.standing(credential, &rules.proof, now);
        let proof = match credential.map(standing) {
            None | Some(Standing::Unknown) => Proof::Unbound,
            Some(Standing::Proven { renew: true, .. }) => Proof::Renewing,
            Some(Standing::Proven { renew: false, .. }) => Proof::Fresh,
            Some(Standing::Lapsed { organization, outage: Some(outage) })
                if outage.confirmed || self.cannot_be_asked(&organization, now) =>
            {
                Proof::Outage
            }
            Some(Standing::Lapsed { .. }) => Proof::Lapsed,
        };
        let age = credential.and_then(|credential| self.bindings.proof_age(credential, now));
        Known {
            well_formed: credential.is_some(),
            proof,
            proof_age_seconds: age.map(|age| age.as_secs()),
            stranger: self.shield.strangers.is_stranger(call.who(), now),
        }
    }
}

/// A label read that is asked about.
struct Asking<'a> {
    reading: &'a Reading<'a>,
    call: &'a Call<'a>,
    now: Moment,
}

fn conclude_stale(told: &mut Explanation, ttl: i64, reason: StaleReason) {
    told.conclude(Conclusion::Stale, Some(CacheStatus::Stale { ttl, reason }));
}
