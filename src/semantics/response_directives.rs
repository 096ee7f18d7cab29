//! What an upstream allows a shared cache: the response directives of `Cache-Control` (RFC 9111 §5.2.2) and `Age`.
//!
//! Obeyed where the operator says so: `no-store`, `private`, `no-cache`, `max-age` and `s-maxage`, and no others
//! (`Expires`, `must-understand` and the rest change nothing). What is malformed, and what is repeated, is read as what
//! stores least.

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL};

use super::directives::{delta_seconds, seconds};
use super::list::{Quoting, elements};
use crate::closed_enum::closed_enum;

closed_enum! {
    /// Why an upstream forbids storing its answer.
    pub enum ForbidReason {
        /// `no-store` (§5.2.2.5).
        NoStore = "no_store",
        /// `private` (§5.2.2.7), for single fields too.
        Private = "private",
        /// `no-cache` (§5.2.2.4), for single fields too: what may not be used without asking is not worth storing.
        NoCache = "no_cache",
    }
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageRule {
    /// It is not stored.
    Forbid(ForbidReason),
    /// It is fresh for so long from its arrival; for no time at all if it was stale when it came.
    Lifetime(Duration),
}

/// The rule for an answer with these fields, with the operator's `ttl` as upper bound.
#[must_use]
pub fn storage_rule(fields: &HeaderMap, ttl: Duration) -> StorageRule {
    let mut directives = Directives::default();
    for line in fields.get_all(CACHE_CONTROL) {
        for element in elements(line.as_bytes(), Quoting::String) {
            directives.add(element);
        }
    }
    if let Some(reason) = directives.forbidden {
        return StorageRule::Forbid(reason);
    }
    // §5.2.2.10: in a shared cache s-maxage takes the place of max-age, the longer one too.
    let lifetime = directives.s_maxage.or(directives.max_age);
    let lifetime = if has_doubtful_age(fields) { lifetime.map(|_| Duration::ZERO) } else { lifetime };
    StorageRule::Lifetime(lifetime.map_or(ttl, |lifetime| lifetime.min(ttl)))
}

#[derive(Debug, Default)]
struct Directives {
    forbidden: Option<ForbidReason>,
    max_age: Option<Duration>,
    s_maxage: Option<Duration>,
}

impl Directives {
    fn add(&mut self, element: &[u8]) {
        let mut halves = element.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
        let name = halves.next().unwrap_or_default();
        let lifetime = halves.next().and_then(delta_seconds).unwrap_or(Duration::ZERO);
        let is = |directive: &str| name.eq_ignore_ascii_case(directive.as_bytes());
        let shortest = |known: Option<Duration>| Some(known.map_or(lifetime, |known| known.min(lifetime)));

        if is("no-store") {
            self.forbid(ForbidReason::NoStore);
        } else if is("private") {
            self.forbid(ForbidReason::Private);
        } else if is("no-cache") {
            self.forbid(ForbidReason::NoCache);
        } else if is("max-age") {
            self.max_age = shortest(self.max_age);
        } else if is("s-maxage") {
            self.s_maxage = shortest(self.s_maxage);
        }
    }

    /// The first in the order of the enum names the answer, in whatever order they came.
    fn forbid(&mut self, reason: ForbidReason) {
        if self.forbidden.is_none_or(|known| reason.index() < known.index()) {
            self.forbidden = Some(reason);
        }
    }
}

/// Whether an answer came with an age that is no number, or with several (§5.1): it may have any. One that is told counts
/// among the time that has passed since it was sent, as [`super::age`] says it.
fn has_doubtful_age(fields: &HeaderMap) -> bool {
    let mut ages = fields.get_all(AGE).iter().map(|line| seconds(line.as_bytes().trim_ascii()));
    ages.next().is_some_and(|age| age.is_none()) || ages.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    const TTL: Duration = Duration::from_secs(300);

    fn rule(lines: &[(HeaderName, &str)]) -> StorageRule {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        storage_rule(&fields, TTL)
    }

    fn lasts(seconds: u64) -> StorageRule {
        StorageRule::Lifetime(Duration::from_secs(seconds))
    }

    /// RFC 9111 §5.2.2; G8.
    #[test]
    fn directives_are_obeyed_with_the_ttl_as_upper_bound() {
        use ForbidReason::{NoCache, NoStore, Private};
        let forbids = StorageRule::Forbid;
        for (line, expected) in [
            // Nothing is said of the lifetime: the operator's holds.
            ("", lasts(300)),
            ("public", lasts(300)),
            ("must-revalidate, immutable, x=1", lasts(300)),
            ("max-stale=9", lasts(300)),
            // §5.2.2.1.
            ("max-age=60", lasts(60)),
            ("Max-Age = 60", lasts(60)),
            ("max-age=\"60\"", lasts(60)),
            ("max-age=0", lasts(0)),
            ("max-age=301", lasts(300)),
            ("max-age=99999999999999999999999", lasts(300)),
            ("max-age=60, max-age=10", lasts(10)),
            // §5.2.2.10.
            ("max-age=60, s-maxage=120", lasts(120)),
            ("s-maxage=30, max-age=60", lasts(30)),
            ("s-maxage=30, s-maxage=20, max-age=10", lasts(20)),
            ("max-age=60, s-maxage=x", lasts(0)),
            ("max-age=x, s-maxage=60", lasts(60)),
            // §4.2.1 asks to consider what is malformed stale.
            ("max-age", lasts(0)),
            ("max-age=", lasts(0)),
            ("max-age=-1", lasts(0)),
            ("max-age=1.5", lasts(0)),
            ("max-age=60s", lasts(0)),
            ("max-age=\"60", lasts(0)),
            ("max-age=60, max-age=x", lasts(0)),
            // §5.2.2.5, §5.2.2.7, §5.2.2.4.
            ("no-store", forbids(NoStore)),
            ("NO-STORE", forbids(NoStore)),
            ("no-store=1", forbids(NoStore)),
            ("no-store, must-understand", forbids(NoStore)),
            ("private", forbids(Private)),
            ("private=\"x-field\"", forbids(Private)),
            ("private=\"\"", forbids(Private)),
            ("private=x, max-age=60", forbids(Private)),
            ("max-age=60, no-cache", forbids(NoCache)),
            ("no-cache=\"set-cookie, x\"", forbids(NoCache)),
            ("no-cache, private, no-store", forbids(NoStore)),
            ("no-cache, private", forbids(Private)),
            // What stands between quotes is no directive; a quote that is never closed hides none.
            ("x=\"a, no-store, max-age=1\"", lasts(300)),
            ("x=\"a, no-store", forbids(NoStore)),
        ] {
            assert_eq!(rule(&[(CACHE_CONTROL, line)]), expected, "{line}");
        }
    }

    #[test]
    fn all_lines_count() {
        let two = |first, second| rule(&[(CACHE_CONTROL, first), (CACHE_CONTROL, second)]);
        assert_eq!(two("max-age=60", "private"), StorageRule::Forbid(ForbidReason::Private));
        assert_eq!(two("max-age=60", "max-age=20"), lasts(20));
    }

    /// RFC 9111 §4.2.3 and §5.1.
    #[test]
    fn what_came_with_an_age_in_doubt_has_no_lifetime_and_any_other_counts_from_its_sending() {
        for (control, ages, expected) in [
            ("max-age=60", &["20"] as &[&str], lasts(60)),
            ("max-age=60", &["60"], lasts(60)),
            ("max-age=60", &["61"], lasts(60)),
            ("s-maxage=400, max-age=60", &["50"], lasts(300)),
            ("s-maxage=400", &["150"], lasts(300)),
            ("max-age=60", &["10", "30"], lasts(0)),
            ("max-age=60", &["99999999999999999999999"], lasts(60)),
            ("max-age=60", &["-1"], lasts(0)),
            ("max-age=60", &["x"], lasts(0)),
            ("max-age=60", &["10, 20"], lasts(0)),
            ("max-age=60", &["10", ""], lasts(0)),
            ("public", &["1000"], lasts(300)),
            ("no-store", &["0"], StorageRule::Forbid(ForbidReason::NoStore)),
        ] {
            let mut lines = vec![(CACHE_CONTROL, control)];
            lines.extend(ages.iter().map(|age| (AGE, *age)));
            assert_eq!(rule(&lines), expected, "{control} {ages:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_lives_longer_than_the_ttl(
            control in r#"(max-age|s-maxage|private|no-|[=," 0-9]){0,8}"#,
            age in "[0-9 ,-]{0,12}",
        ) {
            if let StorageRule::Lifetime(lifetime) = rule(&[(CACHE_CONTROL, &control), (AGE, &age)]) {
                prop_assert!(lifetime <= TTL);
            }
        }

        #[test]
        fn another_directive_never_makes_it_last_longer(
            known in 0_u64..1000,
            further in prop::sample::select(vec!["max-age=7", "max-age=x", "private", "no-store", "no-cache", "x"]),
        ) {
            let alone = rule(&[(CACHE_CONTROL, &format!("max-age={known}"))]);
            match (alone, rule(&[(CACHE_CONTROL, &format!("max-age={known}, {further}"))])) {
                (StorageRule::Lifetime(alone), StorageRule::Lifetime(both)) => prop_assert!(both <= alone),
                (alone, both) => prop_assert!(matches!(both, StorageRule::Forbid(_)), "{alone:?} {both:?}"),
            }
        }
    }
}
