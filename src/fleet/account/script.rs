//! The scripts of an account, what they are given and what they answer.
//!
//! All arithmetic on moments is done by the store, in microseconds of its own clock: a number of 16 digits, which Lua holds
//! exactly and prints only by `%.0f`.

use std::time::Duration;

use crate::fleet::store::Script;
use crate::shield::account::AccountKey;
use crate::shield::beside::Part;
use crate::shield::booking::{Answer, Book, Both, Order, ProbeFate, Spacing, Urgency};

/// Books a moment.
pub(super) static BOOK: Script = Script::new("book", include_str!("book.lua"));
/// Shuts a gate, or notes what became of a probe.
pub(super) static GATE: Script = Script::new("gate", include_str!("gate.lua"));
/// Lowers an account.
pub(super) static REFUSED: Script = Script::new("refused", include_str!("refused.lua"));
/// Enters calls that were sent without a booking.
pub(super) static SPENT: Script = Script::new("spent", include_str!("spent.lua"));

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

/// What the store is told, and nobody waits for.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) account: AccountKey,
    pub(super) script: &'static Script,
    pub(super) needs: Needs,
    pub(super) args: Vec<String>,
}

/// Which keys of an account a script needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Moments,
    Gate,
    Both,
}

/// How an order is told; nothing for a [`Book`].
pub(super) fn told(order: &Order, timeout: Duration) -> Option<Told> {
    Some(match order {
        Order::Book(_) => return None,
        Order::Hold { account, lasts } => {
            let args = vec!["hold".to_owned(), micros(*lasts)];
            Told { account: *account, script: &GATE, needs: Needs::Gate, args }
        }
        Order::Probed { account, probe, fate } => {
            let fate = match fate {
                ProbeFate::Passed => "passed",
                ProbeFate::Lost => "lost",
            };
            let args = vec![fate.to_owned(), probe.to_string()];
            Told { account: *account, script: &GATE, needs: Needs::Gate, args }
        }
        Order::Refused { account, moment, limits: both } => {
            let args = [micros(timeout), moment.to_string()].into_iter().chain(limits(*both)).collect();
            Told { account: *account, script: &REFUSED, needs: Needs::Both, args }
        }
        Order::Spent { account, calls, limits } => {
            let kept = limits.per_second.max(limits.per_minute);
            let args =
                vec![micros(timeout), calls.to_string(), kept.to_string(), limits.per_second.to_string()];
            Told { account: *account, script: &SPENT, needs: Needs::Moments, args }
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
