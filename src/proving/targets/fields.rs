//! `Cache-Control`, `Age` and `Retry-After`.

use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL, PRAGMA, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};

use crate::clock::Clock;
use crate::semantics::directives::RequestDirectives;
use crate::semantics::response_directives::{StorageRule, storage_rule};
use crate::shield::backoff::HoldBackoff;
use crate::shield::retry_after;

const TTL: Duration = Duration::from_secs(300);
/// Longest hold after a 429.
const LONGEST: Duration = Duration::from_secs(120);

/// Lines, the first byte of each of which says which field it is of.
pub(super) fn directives(bytes: &[u8]) {
    let mut fields = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((first, value)) = line.split_first() else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        let name = [CACHE_CONTROL, AGE, RETRY_AFTER, PRAGMA][usize::from(first % 4)].clone();
        fields.append(name, value);
    }
    let asked = RequestDirectives::parse(&fields);
    let rule = storage_rule(&fields, TTL);
    if let StorageRule::Lifetime(lifetime) = rule {
        assert!(lifetime <= TTL, "longer than the operator says");
    }
    let wait = retry_after::of(&fields, Duration::from_secs(1_800_000_000));
    let (clock, _hand) = Clock::manual();
    let held =
        HoldBackoff::with_jitter(fastrand::Rng::with_seed(1)).on_limited(clock.now(), wait, clock.now());
    assert!((Duration::from_secs(1)..=LONGEST).contains(&held), "held for {held:?}");

    // Whatever else is said: one more word never makes an answer live longer, nor a client content with less.
    fields.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    assert!(matches!(storage_rule(&fields, TTL), StorageRule::Forbid(_)), "stored in spite of no-store");
    let stricter = RequestDirectives::parse(&fields);
    assert!(stricter.no_store && stricter.only_if_cached == asked.only_if_cached);
    fields.append(RETRY_AFTER, HeaderValue::from_static("7"));
    let longer = retry_after::of(&fields, Duration::from_secs(1_800_000_000));
    assert!(longer >= wait && longer >= Some(Duration::from_secs(7)), "the longest wait counts");
}
