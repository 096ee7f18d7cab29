//! [`RetryBudget`]: which failed calls are tried again, and how many of them.
//!
//! A retry helps against one bad connection and makes a failing upstream worse: retries are at most a tenth of the calls
//! that were offered, over the last ten seconds and over all time, or ten in ten seconds, whichever is more: where few calls are
//! offered, or a process has just begun, a tenth of them is none. One call is retried once; seeing to that is left to the
//! caller.

use http::{Method, StatusCode};

use crate::clock::Moment;
use crate::error::ErrorKind;
use crate::lock::{Mutex, MutexGuard};

/// One retry for so many offered calls.
const CALLS_A_RETRY: u64 = 10;
/// So many in ten seconds, whatever was offered.
const FLOOR: u64 = 10;
/// The latest calls count in cells of a second.
const PERIOD_SECONDS: u64 = 10;
/// The period and the second in which it began: retries count in all of them, so that cells err on the strict side.
const CELLS: usize = PERIOD_SECONDS as usize + 1;

/// Whether a call that ended so may be tried again: a GET whose connection failed or that was answered 502, 503 or 504.
/// Only before a byte of the answer was delivered, which the caller knows.
#[must_use]
pub fn may_retry(method: &Method, ended: Result<StatusCode, ErrorKind>) -> bool {
    let failed_on_the_way = match ended {
        Ok(status) => matches!(status.as_u16(), 502..=504),
        Err(kind) => kind.may_be_tried_again(),
    };
    failed_on_the_way && method == Method::GET
}

/// What is left of a tenth; one per process.
#[derive(Debug, Default)]
pub struct RetryBudget(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    cells: [Cell; CELLS],
    offered: u64,
    retried: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    second: u64,
    offered: u64,
    retried: u64,
}

impl RetryBudget {
    /// Notes a call that is sent for the first time.
    pub fn on_offered(&self, now: Moment) {
        let mut counts = self.lock();
        counts.offered = counts.offered.saturating_add(1);
        let cell = counts.cell(now);
        cell.offered = cell.offered.saturating_add(1);
    }

    /// Takes a retry, if there is one left.
    #[must_use]
    pub fn take(&self, now: Moment) -> bool {
        let mut counts = self.lock();
        let (offered, retried) = counts.latest(now);
        let fits = |retried: u64, offered: u64| retried.saturating_add(1) <= offered / CALLS_A_RETRY;
        let earned = fits(counts.retried, counts.offered) && fits(retried, offered);
        let allowed = earned || retried < FLOOR;
        if allowed {
            counts.retried += 1;
            counts.cell(now).retried += 1;
        }
        allowed
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock()
    }
}

impl Counts {
    /// The cell of this second.
    fn cell(&mut self, now: Moment) -> &mut Cell {
        let second = second(now);
        let cell = &mut self.cells[second as usize % CELLS];
        if cell.second != second {
            *cell = Cell { second, ..Cell::default() };
        }
        cell
    }

    /// Calls offered and retried in the last ten seconds: no more of the first, no less of the second.
    fn latest(&self, now: Moment) -> (u64, u64) {
        let now = second(now);
        self.cells.iter().fold((0, 0), |(offered, retried), cell| match now.checked_sub(cell.second) {
            Some(0..PERIOD_SECONDS) => (offered + cell.offered, retried + cell.retried),
            Some(PERIOD_SECONDS) => (offered, retried + cell.retried),
            _ => (offered, retried),
        })
    }
}

fn second(now: Moment) -> u64 {
    now.uptime().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn only_a_get_that_failed_on_the_way_is_tried_again() {
        let answered = |status| Ok(StatusCode::from_u16(status).unwrap());
        for (ended, expected) in [
            (Err(ErrorKind::ConnectFailed), true),
            (Err(ErrorKind::ConnectTimeout), true),
            // The connection went away under the call.
            (Err(ErrorKind::BadUpstreamAnswer), true),
            (answered(502), true),
            (answered(503), true),
            (answered(504), true),
            (Err(ErrorKind::TlsFailed), false),
            (Err(ErrorKind::UpstreamTimeout), false),
            (Err(ErrorKind::NoConnection), false),
            (Err(ErrorKind::OutOfResources), false),
            (Err(ErrorKind::UnaskedUpgrade), false),
            (answered(200), false),
            (answered(401), false),
            (answered(408), false),
            (answered(429), false),
            (answered(500), false),
            (answered(501), false),
            (answered(505), false),
        ] {
            assert_eq!(may_retry(&Method::GET, ended), expected, "{ended:?}");
            for method in [Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                assert!(!may_retry(&method, ended), "{method} {ended:?}");
            }
        }
    }

    #[test]
    fn the_first_calls_of_a_process_have_ten_retries_in_ten_seconds() {
        let (clock, hand) = Clock::manual();
        let budget = RetryBudget::default();
        for _ in 0..3 {
            for call in 1..=20 {
                budget.on_offered(clock.now());
                assert_eq!(budget.take(clock.now()), call <= FLOOR, "call {call}");
            }
            hand.advance(Duration::from_secs(11));
        }
    }

    #[test]
    fn an_upstream_that_fails_half_of_the_calls_is_tried_at_most_a_tenth_more() {
        let (clock, hand) = Clock::manual();
        let budget = RetryBudget::default();
        let (mut offered, mut retried) = (0_u64, 0_u64);
        for call in 0..72_000 {
            offered += 1;
            budget.on_offered(clock.now());
            retried += u64::from(call % 2 == 0 && budget.take(clock.now()));
            assert!(retried * 10 <= offered || retried <= FLOOR, "{retried} of {offered}");
            hand.advance(Duration::from_micros(2_500));
        }
        assert!(retried * 12 >= offered, "and most of the tenth is used: {retried} of {offered}");
    }

    proptest! {
        #[test]
        fn a_retry_is_always_inside_a_tenth_of_the_last_ten_seconds_or_one_of_ten_in_ten_seconds(seed in any::<u64>()) {
            let (clock, hand) = Clock::manual();
            let budget = RetryBudget::default();
            let mut script = fastrand::Rng::with_seed(seed);
            let (mut offered, mut retried) = (Vec::new(), Vec::new());
            for _ in 0..2_000 {
                let longest = if script.u8(..) < 3 { 20_000 } else { 20 };
                hand.advance(Duration::from_millis(script.u64(0..longest)));
                let now = clock.now();
                if script.u8(..) < 160 {
                    budget.on_offered(now);
                    offered.push(now);
                } else if budget.take(now) {
                    let latest = |calls: &[Moment]| {
                        calls.iter().rev().take_while(|at| now.since(**at) < Duration::from_secs(10)).count()
                    };
                    let before = latest(&retried);
                    let earned =
                        (retried.len() + 1) * 10 <= offered.len() && (before + 1) * 10 <= latest(&offered);
                    prop_assert!(earned || before < 10, "seed {seed}");
                    retried.push(now);
                }
            }
        }
    }
}
