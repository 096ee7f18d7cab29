//! [`History`]: what was counted of one row in the last minute and in the last hour, in steps.
//!
//! A step holds what is not zero, so that a row that was seen once costs a few bytes. The minute is told by steps of ten
//! seconds, the hour by steps of ten minutes: the oldest step leaves as a whole.

use std::collections::VecDeque;
use std::time::Duration;

use super::figures::Figures;

/// How often rows are looked at.
pub(super) const STEP: Duration = Duration::from_secs(10);
const STEPS_A_MINUTE: u64 = 6;
const LONG_STEP: u64 = 60;
const LONG_STEPS_AN_HOUR: u64 = 6;
/// The largest number of a step: 256 TiB, or 8.9 years of waiting.
const MOST: u64 = (1 << 48) - 1;

/// The last hour of one row.
#[derive(Debug, Default)]
pub(super) struct History {
    last: Figures,
    short: VecDeque<Step>,
    long: VecDeque<Step>,
}

#[derive(Debug)]
struct Step {
    number: u64,
    /// A place and a number of six bytes, packed: of a pair half would be padding, in each of a row's steps. Four bytes are full
    /// after 4 GiB, or 72 minutes that calls have waited, which ten minutes can bring.
    counted: Box<[[u8; 7]]>,
}

impl Step {
    fn new(number: u64, figures: &Figures) -> Self {
        let packed = |(place, number): (u8, u64)| {
            let [a, b, c, d, e, f, ..] = number.min(MOST).to_le_bytes();
            [place, a, b, c, d, e, f]
        };
        Self { number, counted: figures.counted().map(packed).collect() }
    }

    fn add_to(&self, figures: &mut Figures) {
        for &[place, a, b, c, d, e, f] in &self.counted {
            figures.add_at(place, u64::from_le_bytes([a, b, c, d, e, f, 0, 0]));
        }
    }
}

/// The number of the step that a moment is in.
pub(super) fn step_of(uptime: Duration) -> u64 {
    uptime.as_secs() / STEP.as_secs()
}

impl History {
    /// Notes what was counted until this step's end.
    pub(super) fn note(&mut self, figures: &Figures, number: u64) {
        self.expire(number);
        let since = figures.since(&self.last);
        if since == Figures::default() {
            return;
        }
        self.last = *figures;
        self.put(number, &since);
    }

    fn put(&mut self, number: u64, since: &Figures) {
        add(&mut self.short, number, since);
        add(&mut self.long, number / LONG_STEP, since);
    }

    fn expire(&mut self, number: u64) {
        drop_before(&mut self.short, (number + 1).saturating_sub(STEPS_A_MINUTE));
        drop_before(&mut self.long, (number / LONG_STEP + 1).saturating_sub(LONG_STEPS_AN_HOUR));
    }

    /// The last minute, where so much was counted in all.
    pub(super) fn minute(&self, figures: &Figures, number: u64) -> Figures {
        self.sum(&self.short, (number + 1).saturating_sub(STEPS_A_MINUTE), figures)
    }

    /// The last hour.
    pub(super) fn hour(&self, figures: &Figures, number: u64) -> Figures {
        self.sum(&self.long, (number / LONG_STEP + 1).saturating_sub(LONG_STEPS_AN_HOUR), figures)
    }

    fn sum(&self, steps: &VecDeque<Step>, from: u64, figures: &Figures) -> Figures {
        let mut sum = figures.since(&self.last);
        steps.iter().filter(|step| step.number >= from).for_each(|step| step.add_to(&mut sum));
        sum
    }

    /// Takes over the steps of another row, of which so much was counted that it has not noted.
    pub(super) fn absorb(&mut self, other: &mut Self, figures: &Figures, number: u64) {
        other.note(figures, number);
        for (own, steps) in [(&mut self.short, &other.short), (&mut self.long, &other.long)] {
            for step in steps {
                let mut figures = Figures::default();
                step.add_to(&mut figures);
                add(own, step.number, &figures);
            }
        }
        // What it counted is in these steps already.
        self.last.add(figures);
    }
}

fn add(steps: &mut VecDeque<Step>, number: u64, figures: &Figures) {
    let position = steps.partition_point(|step| step.number < number);
    match steps.get_mut(position).filter(|step| step.number == number) {
        Some(step) => {
            let mut sum = *figures;
            step.add_to(&mut sum);
            *step = Step::new(number, &sum);
        }
        None => steps.insert(position, Step::new(number, figures)),
    }
}

fn drop_before(steps: &mut VecDeque<Step>, from: u64) {
    while steps.front().is_some_and(|step| step.number < from) {
        steps.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callers::figures::{Counters, Figure};

    #[test]
    fn a_minute_and_an_hour_hold_what_was_counted_in_them() {
        let (counters, mut history) = (Counters::default(), History::default());
        let calls = |figures: Figures| figures.of(Figure::UpstreamCalls);
        for step in 0..=360 {
            counters.add(Figure::UpstreamCalls, 1);
            history.note(&counters.figures(), step);
        }
        let all = counters.figures();
        assert_eq!((calls(history.minute(&all, 360)), calls(all)), (6, 361));
        assert_eq!(calls(history.hour(&all, 360)), 301);
        counters.add(Figure::UpstreamCalls, 4);
        assert_eq!(calls(history.minute(&counters.figures(), 360)), 10, "what no step holds yet counts, too");
        assert_eq!(calls(history.minute(&all, 370)), 0);
        history.note(&counters.figures(), 1000);
        assert!(history.short.len() <= 7 && history.long.len() <= 7);
    }

    #[test]
    fn an_hour_of_terabytes_and_of_days_of_waiting_is_told_in_full() {
        const WAITED: u64 = 8 * 24 * 3600 * 1_000_000;
        const BYTES: u64 = 3 << 40;
        let (counters, mut history) = (Counters::default(), History::default());
        for step in 0..6 {
            counters.add(Figure::WaitedMicros, WAITED);
            counters.add(Figure::Bytes, BYTES);
            history.note(&counters.figures(), step);
        }
        let hour = history.hour(&counters.figures(), 5);
        assert_eq!((hour.of(Figure::WaitedMicros), hour.of(Figure::Bytes)), (6 * WAITED, 6 * BYTES));
    }

    #[test]
    fn what_is_taken_over_counts_for_as_long_as_it_would_have() {
        let (one, other) = (Counters::default(), Counters::default());
        let (mut left, mut right) = (History::default(), History::default());
        one.add(Figure::Saved, 2);
        left.note(&one.figures(), 3);
        other.add(Figure::Saved, 5);
        left.absorb(&mut right, &other.figures(), 4);
        one.absorb(&other.figures());
        let saved = |figures: Figures| figures.of(Figure::Saved);
        assert_eq!(saved(left.minute(&one.figures(), 4)), 7);
        assert_eq!(saved(left.minute(&one.figures(), 9)), 5);
        assert_eq!(saved(left.hour(&one.figures(), 9)), 7);
    }
}
