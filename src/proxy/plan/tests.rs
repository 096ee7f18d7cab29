use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::fence::Fence;
use crate::organization::{Organization, OrganizationId};

const FRESH: Servable = Servable { age: Duration::from_secs(1), ttl: 299 };
const STALE: Servable = Servable { age: Duration::from_secs(301), ttl: -1 };

fn organization() -> Arc<Organization> {
    let (clock, _) = Clock::manual();
    Fence::default().organizations().get(OrganizationId::example(1), clock.now())
}

fn is_proven(renew: bool) -> Standing {
    Standing::Proven { organization: organization(), renew }
}

fn is_in_doubt(confirmed: bool, attempt_due: bool) -> Standing {
    Standing::Lapsed { organization: organization(), outage: Some(Outage { confirmed, attempt_due }) }
}

fn has_lapsed() -> Standing {
    Standing::Lapsed { organization: organization(), outage: None }
}

/// Circumstances as they are told.
struct Told {
    may_refetch: bool,
    why_not_ask: Option<StaleReason>,
    cannot_be_asked: bool,
    has_list: bool,
    has_attempt: bool,
    edge_is_open: bool,
}

const FAIR: Told = Told {
    may_refetch: true,
    why_not_ask: None,
    cannot_be_asked: false,
    has_list: false,
    has_attempt: false,
    edge_is_open: true,
};

impl Circumstances for Told {
    fn may_refetch(&self) -> bool {
        self.may_refetch
    }

    fn why_not_ask(&self) -> Option<StaleReason> {
        self.why_not_ask
    }

    fn cannot_be_asked(&self) -> bool {
        self.cannot_be_asked
    }

    fn has_list(&self) -> bool {
        self.has_list
    }

    fn has_attempt(&self) -> bool {
        self.has_attempt
    }

    fn edge_is_open(&self) -> bool {
        self.edge_is_open
    }
}

fn of(standing: &Standing, decision: Decision, around: &Told) -> Plan {
    let view = View { standing, decision, only_if_cached: false, waits: Waits::default() };
    plan(&view, around)
}

const SERVE: Decision = Decision::Serve { stored: FRESH, ageing: false };
const AGEING: Decision = Decision::Serve { stored: FRESH, ageing: true };
const MISS: Decision = Decision::Fetch { fallback: None };
const FALLS_BACK: Decision = Decision::Fetch { fallback: Some(STALE) };

/// Nobody may ask.
struct Unasked;

impl Circumstances for Unasked {
    fn may_refetch(&self) -> bool {
        unreachable!("a hit asks nothing")
    }

    fn why_not_ask(&self) -> Option<StaleReason> {
        unreachable!("a hit asks nothing")
    }

    fn cannot_be_asked(&self) -> bool {
        unreachable!("a hit asks nothing")
    }

    fn has_list(&self) -> bool {
        unreachable!("a hit asks nothing")
    }

    fn has_attempt(&self) -> bool {
        unreachable!("a hit asks nothing")
    }

    fn edge_is_open(&self) -> bool {
        unreachable!("a hit asks nothing")
    }
}

#[test]
fn a_hit_is_planned_without_a_question() {
    let standing = is_proven(false);
    let view = View { standing: &standing, decision: SERVE, only_if_cached: false, waits: Waits::default() };
    assert_eq!(plan(&view, &Unasked), Plan::Serve(FRESH, Behind::Nothing));
}

#[test]
fn what_is_stored_is_served_to_the_proven_and_renewed_behind_where_it_is_due() {
    for (renew, decision, expected) in [
        (false, AGEING, Plan::Serve(FRESH, Behind::Refresh)),
        (true, SERVE, Plan::Serve(FRESH, Behind::Prove)),
        (true, AGEING, Plan::Serve(FRESH, Behind::Prove)),
        (false, Decision::Revalidate(STALE), Plan::Stale(STALE, StaleReason::Revalidating, Behind::Refresh)),
        (true, Decision::Revalidate(STALE), Plan::Stale(STALE, StaleReason::Revalidating, Behind::Prove)),
        (false, Decision::Refuse, Plan::OnlyIfCached),
    ] {
        assert_eq!(of(&is_proven(renew), decision, &FAIR), expected, "{renew} {decision:?}");
    }
}

#[test]
fn a_proven_read_fetches_what_it_misses_unless_a_list_brings_it_or_the_edge_is_closed() {
    let proven = is_proven(false);
    let missing = |fallback| Plan::Fetch(Ground::Missing(fallback), Urgency::Patient);
    assert_eq!(of(&proven, MISS, &FAIR), missing(Fallback::Nothing));
    assert_eq!(of(&proven, FALLS_BACK, &FAIR), missing(Fallback::Stored));
    assert_eq!(of(&proven, MISS, &Told { has_list: true, ..FAIR }), Plan::WaitForList);
    assert_eq!(of(&proven, FALLS_BACK, &Told { has_list: true, ..FAIR }), missing(Fallback::Stored));
    assert_eq!(of(&proven, MISS, &Told { edge_is_open: false, ..FAIR }), Plan::Pass);
    let mut waits = Waits::default();
    waits.add(Wait::List);
    let view = View { standing: &proven, decision: MISS, only_if_cached: false, waits };
    assert_eq!(plan(&view, &Told { has_list: true, ..FAIR }), missing(Fallback::Nothing), "it waits once");
}

#[test]
fn a_fetch_that_would_fail_is_answered_from_the_store_at_once() {
    for reason in [StaleReason::Error, StaleReason::Limit] {
        let around = Told { why_not_ask: Some(reason), ..FAIR };
        let stale = Plan::Stale(STALE, reason, Behind::Refresh);
        assert_eq!(of(&is_proven(false), FALLS_BACK, &around), stale);
        let missing = Plan::Fetch(Ground::Missing(Fallback::Nothing), Urgency::Patient);
        assert_eq!(of(&is_proven(false), MISS, &around), missing, "there is nothing to answer with");
    }
}

#[test]
fn a_younger_response_is_fetched_as_long_as_refetches_last() {
    let younger = Plan::Fetch(Ground::Younger, Urgency::Patient);
    assert_eq!(of(&is_proven(false), Decision::Refetch(FRESH), &FAIR), younger);
    let used_up = Told { may_refetch: false, ..FAIR };
    assert_eq!(of(&is_proven(false), Decision::Refetch(FRESH), &used_up), Plan::RefetchLimited(FRESH));
}

#[test]
fn without_a_proof_nothing_stored_is_served_whatever_is_there() {
    for standing in [Standing::Unknown, has_lapsed()] {
        for decision in
            [SERVE, AGEING, MISS, FALLS_BACK, Decision::Revalidate(STALE), Decision::Refetch(FRESH)]
        {
            let expected = Plan::Fetch(Ground::ToProve, Urgency::Patient);
            assert_eq!(of(&standing, decision, &FAIR), expected, "{standing:?} {decision:?}");
            let closed = Told { edge_is_open: false, ..FAIR };
            assert_eq!(of(&standing, decision, &closed), Plan::Pass, "{standing:?} {decision:?}");
            let attempt = Told { has_attempt: true, ..FAIR };
            assert_eq!(
                of(&standing, decision, &attempt),
                Plan::WaitForProof(Urgency::Patient),
                "{standing:?} {decision:?}"
            );
            let view = View { standing: &standing, decision, only_if_cached: true, waits: Waits::default() };
            assert_eq!(plan(&view, &FAIR), Plan::OnlyIfCached, "{standing:?} {decision:?}");
        }
    }
}

#[test]
fn an_old_proof_does_in_an_outage_alone_and_the_api_is_asked_first() {
    let serves = |behind| Plan::Serve(FRESH, behind);
    let stale = |behind| Plan::Stale(STALE, StaleReason::Error, behind);
    let asks = Plan::Fetch(Ground::ToProve, Urgency::Brief);
    assert_eq!(of(&is_in_doubt(false, true), SERVE, &FAIR), asks);
    assert_eq!(of(&is_in_doubt(false, true), FALLS_BACK, &FAIR), asks);
    let attempt = Told { has_attempt: true, ..FAIR };
    assert_eq!(of(&is_in_doubt(false, true), SERVE, &attempt), Plan::WaitForProof(Urgency::Brief));
    let dead = Told { cannot_be_asked: true, ..FAIR };
    for (due, behind) in [(true, Behind::Prove), (false, Behind::Nothing)] {
        assert_eq!(of(&is_in_doubt(true, due), SERVE, &FAIR), serves(behind));
        assert_eq!(of(&is_in_doubt(false, due), SERVE, &dead), serves(behind));
        assert_eq!(of(&is_in_doubt(false, due), FALLS_BACK, &dead), stale(behind));
        assert_eq!(of(&is_in_doubt(false, due), Decision::Revalidate(STALE), &dead), stale(behind));
    }
    let nothing_stored = Plan::Fetch(Ground::ToProve, Urgency::Patient);
    assert_eq!(of(&is_in_doubt(true, true), MISS, &dead), nothing_stored);
    let mut waits = Waits::default();
    waits.add(Wait::OwnProof);
    let standing = is_in_doubt(false, true);
    let view = View { standing: &standing, decision: SERVE, only_if_cached: false, waits };
    assert_eq!(plan(&view, &FAIR), serves(Behind::Prove), "it has waited for its own attempt long enough");
}
