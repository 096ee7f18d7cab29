use http::{HeaderMap, HeaderValue};

use super::*;
use crate::cache::stored::{ToStore, pack};
use crate::clock::Clock;
use crate::config::UpstreamDirectives;
use crate::held::Held;
use crate::organization::OrganizationId;
use crate::tick::Tick;

const RULES: CachedResource = CachedResource {
    ttl: Duration::from_secs(300),
    stale_while_revalidate: Duration::from_secs(30),
    stale_if_error: Duration::from_secs(60),
    upstream_directives: UpstreamDirectives::Ignore,
};

fn decision(age: Option<u64>, cache_control: &str) -> Decision {
    decision_about(age, cache_control, false)
}

fn decision_about(age: Option<u64>, cache_control: &str, settling: bool) -> Decision {
    let (clock, hand) = Clock::manual();
    let response = ToStore {
        organization: OrganizationId::example(0),
        content_type: HeaderValue::from_static("application/json"),
        packed: pack(&HeaderValue::from_static("\"x\""), b"{}", &Held::new(0)),
        sent: clock.now(),
        begun: Tick::default(),
        jitter: 0,
        settling,
        limit: None,
    };
    let stored = response.stored();
    hand.advance(Duration::from_secs(age.unwrap_or(0)));
    let mut fields = HeaderMap::new();
    if !cache_control.is_empty() {
        fields.insert("cache-control", HeaderValue::from_str(cache_control).unwrap());
    }
    decide(&RequestDirectives::parse(&fields), age.map(|_| &*stored), &RULES, clock.now())
}

const fn servable(age: u64, ttl: i64) -> Servable {
    Servable { age: Duration::from_secs(age), ttl }
}

const fn serve(age: u64, ttl: i64) -> Decision {
    Decision::Serve { stored: servable(age, ttl), ageing: false }
}

const fn ageing(age: u64, ttl: i64) -> Decision {
    Decision::Serve { stored: servable(age, ttl), ageing: true }
}

const fn revalidate(age: u64, ttl: i64) -> Decision {
    Decision::Revalidate(servable(age, ttl))
}

const fn refetch(age: u64, ttl: i64) -> Decision {
    Decision::Refetch(servable(age, ttl))
}

const fn fetch_or(age: u64, ttl: i64) -> Decision {
    Decision::Fetch { fallback: Some(servable(age, ttl)) }
}

const FETCH: Decision = Decision::Fetch { fallback: None };

#[test]
fn a_read_is_decided_by_age_and_directives() {
    let rows: &[(&str, Option<u64>, &str, Decision)] = &[
        ("RFC 9111 §4.2: fresh", Some(0), "", serve(0, 300)),
        ("§4.2: before the last tenth", Some(269), "", serve(269, 31)),
        ("refreshed ahead in the last tenth", Some(270), "", ageing(270, 30)),
        ("§4.2: fresh to the end of its lifetime", Some(299), "", ageing(299, 1)),
        ("RFC 5861 §3: stale while it is revalidated", Some(300), "", revalidate(300, 0)),
        ("§3: to the end of its window", Some(329), "", revalidate(329, -29)),
        ("§4: stale if the fetch fails", Some(330), "", fetch_or(330, -30)),
        ("§4: to the end of its window", Some(359), "", fetch_or(359, -59)),
        ("RFC 9111 §4.2.4: not beyond", Some(360), "", FETCH),
        ("§4: nothing stored", None, "", FETCH),
        ("§5.2.1.4 no-cache", Some(1), "no-cache", refetch(1, 299)),
        ("§5.2.1.4 no-cache, stale", Some(301), "no-cache", FETCH),
        ("§5.2.1.1 max-age at the age", Some(10), "max-age=10", serve(10, 290)),
        ("§5.2.1.1 max-age below the age", Some(11), "max-age=10", refetch(11, 289)),
        ("§5.2.1.1 max-age below the age, stale", Some(301), "max-age=300", FETCH),
        ("§5.2.1.3 min-fresh at the rest", Some(100), "min-fresh=200", serve(100, 200)),
        ("§5.2.1.3 min-fresh above the rest", Some(101), "min-fresh=200", refetch(101, 199)),
        ("§5.2.1.3 min-fresh, stale", Some(301), "min-fresh=0", FETCH),
        ("§5.2.1.7 only-if-cached, fresh", Some(1), "only-if-cached", serve(1, 299)),
        ("§5.2.1.7 only-if-cached, stale", Some(301), "only-if-cached", revalidate(301, -1)),
        ("§5.2.1.7 only-if-cached, staler", Some(331), "only-if-cached", Decision::Refuse),
        ("§5.2.1.7 only-if-cached, nothing", None, "only-if-cached", Decision::Refuse),
        ("§5.2.1.7 with no-cache", Some(1), "only-if-cached, no-cache", Decision::Refuse),
        ("§5.2.1.2 max-stale widens nothing", Some(360), "max-stale=1000", FETCH),
        ("§5.2.1.2 max-stale narrows", Some(311), "max-stale=10", FETCH),
        ("§5.2.1.2 max-stale of no limit narrows nothing", Some(311), "max-stale", revalidate(311, -11)),
        ("§5.2.1.5 no-store still takes what is stored", Some(1), "no-store", serve(1, 299)),
    ];
    for (section, age, cache_control, expected) in rows {
        assert_eq!(decision(*age, cache_control), *expected, "{section}");
    }
}

#[test]
fn what_was_read_while_a_write_settled_has_no_stale_window() {
    assert_eq!(decision_about(Some(2), "", true), FETCH);
}
