//! [`Spare`]: what is left for callers that have what others leave.
//!
//! They go when nobody waits and a fifth of the minute is left. That alone would let them fill the second just before others
//! come. So they also leave what others had in their busiest half second of the last ten seconds, and a fifth of the half second
//! above that, and go one by one.

use std::collections::VecDeque;
use std::time::Duration;

use super::limits::Limits;
use super::queue::Line;
use super::rare::AtFirst;
use super::window::WINDOW;

const HALF: Duration = Duration::from_nanos(WINDOW.as_nanos() as u64 / 2);
/// A peak is remembered for one to two of these.
const PEAK_LASTS: Duration = Duration::from_secs(5);
/// How long until it is looked again whether there is room.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Sends of the last half second, apart for those who have what others leave and for those others.
#[derive(Debug, Default)]
pub(super) struct Spare {
    own: VecDeque<Duration>,
    others: VecDeque<Duration>,
    peak: u32,
    earlier_peak: u32,
    period: u64,
}

impl AtFirst for Spare {
    fn at_first() -> &'static Self {
        static AT_FIRST: Spare =
            Spare { own: VecDeque::new(), others: VecDeque::new(), peak: 0, earlier_peak: 0, period: 0 };
        &AT_FIRST
    }
}

impl Spare {
    /// Notes a send of a line.
    pub(super) fn note(&mut self, line: Line, at: Duration) {
        let sent = if line == Line::Spare { &mut self.own } else { &mut self.others };
        sent.push_back(at);
        expire(sent, at);
        if line != Line::Spare {
            self.turn(at);
            self.peak = self.peak.max(u32::try_from(self.others.len()).unwrap_or(u32::MAX));
        }
    }

    /// Takes back a send that never happened.
    pub(super) fn give_back(&mut self, at: Duration) {
        for sent in [&mut self.own, &mut self.others] {
            if let Some(place) = sent.iter().rposition(|sent| *sent == at) {
                sent.remove(place);
                return;
            }
        }
    }

    /// Whether another of theirs leaves room for what others are likely to send.
    pub(super) fn has_room(&self, limits: &Limits, now: Duration) -> bool {
        let sent = self.own.iter().filter(|at| at.saturating_add(HALF) > now).count();
        let half = limits.common() / 2;
        let peak = match period_of(now).saturating_sub(self.period) {
            0 => self.peak.max(self.earlier_peak),
            1 => self.peak,
            _ => 0,
        };
        let reserved = peak + half.div_ceil(5);
        // Of a small share nothing would ever be left: where others had nothing, one of theirs may go.
        let allowed = half.saturating_sub(reserved).max(u32::from(peak == 0));
        let gap = HALF / allowed.max(1);
        let apart = self.own.back().is_none_or(|last| now.saturating_sub(*last) >= gap);
        (sent as u64) < u64::from(allowed) && apart
    }

    fn turn(&mut self, now: Duration) {
        let period = period_of(now);
        if period != self.period {
            self.earlier_peak = if period == self.period + 1 { self.peak } else { 0 };
            self.peak = 0;
            self.period = period;
        }
    }
}

const fn period_of(now: Duration) -> u64 {
    now.as_secs() / PEAK_LASTS.as_secs()
}

fn expire(sent: &mut VecDeque<Duration>, now: Duration) {
    while sent.front().is_some_and(|at| at.saturating_add(HALF) <= now) {
        sent.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::config::Burst;
    use crate::shield::limits::ShieldRules;

    #[test]
    fn what_others_had_of_late_is_left_to_them() {
        let positive = |number| NonZeroU32::new(number).unwrap();
        let limits = Limits::new(&ShieldRules {
            requests_per_second: positive(90),
            requests_per_minute: positive(5400),
            replicas: NonZeroU32::MIN,
            single_workspace: false,
            max_queued: 10,
            burst: Burst::Half,
        });
        let mut spare = Spare::default();
        let go = |spare: &mut Spare, from: u64| {
            let mut sent = 0;
            for ms in from..from + 500 {
                let at = Duration::from_millis(ms);
                if spare.has_room(&limits, at) {
                    spare.note(Line::Spare, at);
                    sent += 1;
                }
            }
            sent
        };
        assert_eq!(go(&mut spare, 0), 34);
        for ms in 1000..1020 {
            spare.note(Line::Calls, Duration::from_millis(ms));
        }
        assert_eq!(go(&mut spare, 2000), 14, "twenty at once may come again");
        assert_eq!(go(&mut spare, 20_000), 34);
    }

    #[test]
    fn of_the_smallest_share_too_something_is_left_where_others_had_nothing() {
        for per_second in 1..=4 {
            let positive = |number| NonZeroU32::new(number).unwrap();
            let limits = Limits::new(&ShieldRules {
                requests_per_second: positive(per_second),
                requests_per_minute: positive(60 * per_second),
                replicas: NonZeroU32::MIN,
                single_workspace: false,
                max_queued: 10,
                burst: Burst::Half,
            });
            let mut spare = Spare::default();
            let at = Duration::from_millis;
            assert!(spare.has_room(&limits, at(0)), "{per_second} a second");
            spare.note(Line::Spare, at(0));
            assert!(!spare.has_room(&limits, at(499)) && spare.has_room(&limits, at(503)), "{per_second}");
            spare.note(Line::Calls, at(600));
            assert!(!spare.has_room(&limits, at(1200)), "{per_second}: others may need all of it");
            assert!(spare.has_room(&limits, at(11_000)), "{per_second}");
        }
    }
}
