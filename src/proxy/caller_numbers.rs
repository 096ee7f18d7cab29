//! What metrics say of callers: of each name that the configuration lists, and of all others together.

use std::time::Duration;

use crate::callers::figures::{Figure, Figures};
use crate::callers::{CallerSums, Callers};
use crate::metrics::{CallerNumbers, CallerRow};
use crate::outcome::Outcome;
use crate::semantics::caller_name;

/// What metrics say of callers.
pub(super) fn numbers(callers: &Callers) -> CallerNumbers {
    let CallerSums { named, others, ignored } = callers.sums();
    let rows = named.iter().map(|(name, figures)| (&**name, figures)).chain([(caller_name::OTHER, &others)]);
    CallerNumbers {
        rows: rows.map(|(name, figures)| row(name, figures)).collect(),
        ignored: ignored.into_iter().map(|(ignored, count)| (ignored.as_str(), count)).collect(),
    }
}

fn row(name: &str, figures: &Figures) -> CallerRow {
    CallerRow {
        caller: name.to_owned(),
        requests: Outcome::ALL.iter().map(|outcome| (*outcome, figures.requests_of(*outcome))).collect(),
        upstream_calls: figures.of(Figure::UpstreamCalls),
        waited: Duration::from_micros(figures.of(Figure::WaitedMicros)),
        refused: vec![("limit", figures.of(Figure::OwnLimited)), ("denied", figures.of(Figure::Denied))],
        observed: vec![
            ("waits", figures.of(Figure::WouldWait)),
            ("refused", figures.of(Figure::WouldRefuse)),
        ],
    }
}
