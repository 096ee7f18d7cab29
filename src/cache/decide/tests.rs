use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::*;
use crate::clock::Clock;
use crate::fence::Tick;
use crate::organization::OrganizationId;

const TTL: Duration = Duration::from_secs(300);

fn decision(age: Option<u64>, cache_control: &str) -> Decision {
    let (clock, hand) = Clock::manual();
    let stored = StoredResponse {
        organization: OrganizationId(uuid::Uuid::nil()),
        body: Bytes::new(),
        content_type: HeaderValue::from_static("application/json"),
        etag: HeaderValue::from_static("\"x\""),
        sent: clock.now(),
        begun: Tick::default(),
        jitter: 0,
        settling: false,
    };
    hand.advance(Duration::from_secs(age.unwrap_or(0)));
    let mut fields = HeaderMap::new();
    if !cache_control.is_empty() {
        fields.insert("cache-control", HeaderValue::from_str(cache_control).unwrap());
    }
    decide(&RequestDirectives::parse(&fields), age.map(|_| &stored), TTL, clock.now())
}

fn serve(age: u64, ttl: i64) -> Decision {
    Decision::Serve { age: Duration::from_secs(age), ttl }
}

#[test]
fn a_read_is_decided_by_age_and_directives() {
    let rows: &[(&str, Option<u64>, &str, Decision)] = &[
        ("RFC 9111 §4.2: fresh", Some(0), "", serve(0, 300)),
        ("§4.2: fresh to the end of its lifetime", Some(299), "", serve(299, 1)),
        ("§4.2: stale at its end", Some(300), "", Decision::Fetch),
        ("§4: nothing stored", None, "", Decision::Fetch),
        ("§5.2.1.4 no-cache", Some(1), "no-cache", Decision::Refetch),
        ("§5.2.1.1 max-age at the age", Some(10), "max-age=10", serve(10, 290)),
        ("§5.2.1.1 max-age below the age", Some(11), "max-age=10", Decision::Refetch),
        ("§5.2.1.3 min-fresh at the rest", Some(100), "min-fresh=200", serve(100, 200)),
        ("§5.2.1.3 min-fresh above the rest", Some(101), "min-fresh=200", Decision::Refetch),
        ("§5.2.1.7 only-if-cached, fresh", Some(1), "only-if-cached", serve(1, 299)),
        ("§5.2.1.7 only-if-cached, stale", Some(300), "only-if-cached", Decision::Refuse),
        ("§5.2.1.7 only-if-cached, nothing", None, "only-if-cached", Decision::Refuse),
        ("§5.2.1.7 with no-cache", Some(1), "only-if-cached, no-cache", Decision::Refuse),
        ("§5.2.1.2 max-stale widens nothing", Some(300), "max-stale=1000", Decision::Fetch),
        ("§5.2.1.5 no-store still takes what is stored", Some(1), "no-store", serve(1, 299)),
    ];
    for (section, age, cache_control, expected) in rows {
        assert_eq!(decision(*age, cache_control), *expected, "{section}");
    }
}
