//! What a seed decides of the lead labels before they belong to anybody: ids, dates, phrases, numbers.

use std::time::Duration;

use uuid::Uuid;

use super::book::{Interest, Timestamp};

/// When the clock's uptime is zero; everything that a seed makes is older.
pub(super) const OPENING: Timestamp = Timestamp(1_780_272_000_000);
/// How long before [`OPENING`] the first label was made.
const HISTORY: Duration = Duration::from_secs(150 * 86_400);

/// What organizations with shared label ids have in common of a label.
pub(super) struct Sketch {
    pub(super) id: Uuid,
    pub(super) made: Timestamp,
    pub(super) phrase: String,
    pub(super) interest: Interest,
}

/// So many labels, the oldest first, spread over the time before [`OPENING`].
pub(super) fn label_sketches(count: usize, mut rng: fastrand::Rng) -> Vec<Sketch> {
    let start = Timestamp(OPENING.0 - u64::try_from(HISTORY.as_millis()).expect("a constant"));
    let step = HISTORY.as_secs() / (count as u64 + 1);
    (0..count)
        .map(|number| {
            let seconds = step * (number as u64 + 1);
            let made = start.plus(Duration::from_secs(seconds) + Duration::from_millis(rng.u64(0..1000)));
            let (phrase, interest) = PHRASES[number % PHRASES.len()];
            let phrase = match number / PHRASES.len() {
                0 => phrase.to_owned(),
                round => format!("{phrase} {}", round + 1),
            };
            Sketch { id: label_id(made, &mut rng), made, phrase, interest }
        })
        .collect()
}

/// A version 7 UUID: the vendor's examples are.
pub(super) fn label_id(made: Timestamp, rng: &mut fastrand::Rng) -> Uuid {
    let mut bytes = [0; 10];
    rng.fill(&mut bytes);
    uuid::Builder::from_unix_timestamp_millis(made.0, &bytes).into_uuid()
}

/// In the vendor's range for custom labels, -30000 to 30000, apart from its built-in numbers.
pub(super) fn interest_number(interest: Interest, number: usize) -> i32 {
    let number = i32::try_from(number % 29_000).expect("below 29,000") + 50;
    if interest == Interest::Negative { -number } else { number }
}

const PHRASES: [(&str, Interest); 12] = [
    ("Asked for pricing", Interest::Positive),
    ("Call back next quarter", Interest::Neutral),
    ("Referred to a colleague", Interest::Positive),
    ("Uses a competitor", Interest::Negative),
    ("Wants a case study", Interest::Positive),
    ("No budget this year", Interest::Negative),
    ("Needs legal review", Interest::Neutral),
    ("Requested a demo", Interest::Positive),
    ("Left the company", Interest::Negative),
    ("Gatekeeper replied", Interest::Neutral),
    ("Trial started", Interest::Positive),
    ("Unsubscribed by phone", Interest::Negative),
];
