//! The scripts of an account, what they are given and what they answer.
//!
//! All arithmetic on moments is done by the store, in microseconds of its own clock: a number of 16 digits, which Lua holds
//! exactly and prints only by `%.0f`.

use std::time::Duration;

use crate::shield::beside::Part;
use crate::shield::booking::{Answer, Book, Both, Order, ProbeFate, Spacing, Urgency};

/// Books a moment.
pub(super) const BOOK: &str = include_str!("book.lua");
/// Shuts a gate, or notes what became of a probe.
pub(super) const GATE: &str = include_str!("gate.lua");
/// Lowers an account.
pub(super) const REFUSED: &str = include_str!("refused.lua");
/// Enters calls that were sent without a booking.
pub(super) const SPENT: &str = include_str!("spent.lua");

/// The arguments of [`BOOK`] for each of `accounts` accounts, `not_before` from now.
pub(super) fn book(book: &Book, timeout: Duration, not_before: Duration, accounts: usize) -> Vec<String> {
    let urgency = match book.urgency {
        Urgency::Waits => "waits",
        Urgency::Background => "background",
    };
    let spacing = match book.spacing {
        Spacing::Free => "free",
        Spacing::Even => "paced",
    };
    let head = [
        micros(timeout),
        micros(book.patience),
        micros(not_before),
        urgency.to_owned(),
        spacing.to_owned(),
        book.ticket.number.to_string(),
    ];
    head.into_iter().chain((0..accounts).flat_map(|_| limits(book.limits))).collect()
}

/// The script and arguments of an order that nobody waits for; nothing for a [`Book`].
pub(super) fn note(order: &Order, timeout: Duration) -> Option<(&'static str, Vec<String>)> {
    Some(match order {
        Order::Book(_) => return None,
        Order::Hold { lasts, .. } => (GATE, vec!["hold".to_owned(), micros(*lasts)]),
        Order::Probed { probe, fate, .. } => {
            let fate = match fate {
                ProbeFate::Passed => "passed",
                ProbeFate::Lost => "lost",
            };
            (GATE, vec![fate.to_owned(), probe.to_string()])
        }
        Order::Refused { moment, limits: both, .. } => {
            let args = [micros(timeout), moment.to_string()].into_iter().chain(limits(*both));
            (REFUSED, args.collect())
        }
        Order::Spent { calls, limits, .. } => {
            let kept = limits.per_second.max(limits.per_minute);
            (SPENT, vec![micros(timeout), calls.to_string(), kept.to_string()])
        }
    })
}

/// What [`BOOK`] answered.
pub(super) fn answer([kind, wait, now, is_probe, allowed]: [u64; 5]) -> Option<Answer> {
    let allowed = Part::thousandths(allowed);
    let moment = now.saturating_add(wait);
    let wait = Duration::from_micros(wait);
    match kind {
        0 => Some(Answer::Booked { wait, moment, is_probe: is_probe == 1, allowed }),
        1 => Some(Answer::NotBefore { wait, allowed }),
        2 => Some(Answer::Held { wait, allowed }),
        _ => None,
    }
}

fn limits(both: Both) -> [String; 2] {
    [both.per_second.to_string(), both.per_minute.to_string()]
}

fn micros(duration: Duration) -> String {
    duration.as_micros().to_string()
}
