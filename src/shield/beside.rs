//! `Beside`: how far an account is lowered because something calls the API beside the proxy.
//!
//! A 429 to a call of an account that was not full means that others spend from the same limit: direct calls, the vendor's
//! web application, a process that has just ended. Such an account may spend less of its limits for a while: what it had
//! when it was refused is what the others left to it, and a tenth of the limits is taken off that, so that it takes a
//! minute to meet them again. It rises by a tenth a minute, and is never lowered below one half: who cannot be told from
//! nobody must not silence an account.
//!
//! Rejected: a fixed step a 429 (from the whole limit to a half that is left takes five holds, of up to two minutes each),
//! and no tenth off what it had (the account rises by one call a second in seven seconds, and would be refused every few).

use std::time::Duration;

/// A part of an account's limits, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part(u32);

impl Part {
    /// All of them.
    pub const WHOLE: Self = Self(1000);
    /// The least that an account is lowered to.
    const LEAST: Self = Self(500);
    /// What is taken off, and what it rises by in [`RISES_IN`].
    const TENTH: Self = Self(100);

    /// The part that `used` is of `limit`, at most all of it.
    #[must_use]
    pub fn of(used: u32, limit: u32) -> Self {
        let part = u64::from(used) * u64::from(Self::WHOLE.0) / u64::from(limit.max(1));
        Self(u32::try_from(part).unwrap_or(u32::MAX).min(Self::WHOLE.0))
    }

    /// This part of a limit, rounded down, at least 1.
    #[must_use]
    pub fn times(self, limit: u32) -> u32 {
        let part = u64::from(limit) * u64::from(self.0) / u64::from(Self::WHOLE.0);
        u32::try_from(part).unwrap_or(u32::MAX).max(1)
    }

    /// So many thousandths, at most all.
    #[must_use]
    pub fn thousandths(part: u64) -> Self {
        Self(u32::try_from(part).unwrap_or(u32::MAX).min(Self::WHOLE.0))
    }

    /// As a number, 1 being all.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE.0)
    }

    /// What an account is lowered to that had this much when it was refused.
    fn less_a_tenth(self) -> Self {
        Self(self.0.saturating_sub(Self::TENTH.0)).max(Self::LEAST)
    }
}

/// How long an account takes to rise by a tenth of its limits.
const RISES_IN: Duration = Duration::from_secs(60);

/// What an account may spend of its limits: all of them, or less since it was refused below them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside(Option<Lowered>);

#[derive(Clone, Copy, Debug)]
struct Lowered {
    part: Part,
    since: Duration,
}

impl Beside {
    /// All of them.
    pub(super) const NONE: Self = Self(None);

    /// Whether nothing has lowered the account, or what did is forgotten.
    pub(super) const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// What the account may spend now.
    pub(super) fn part(&self, now: Duration) -> Part {
        self.0.map_or(Part::WHOLE, |lowered| lowered.part(now))
    }

    /// Notes a 429 at `now` to a call that left at `sent`, with which the account `had` so much of its limits.
    ///
    /// Calls that were under way together are refused together, and some of them were sent when the account had already
    /// more: they count once, as the one of them that had least. So it does not matter which answer comes first.
    pub(super) fn on_limited(&mut self, had: Part, sent: Duration, now: Duration) {
        if had >= Part::WHOLE {
            // With the account full it may be our own calls that arrived closer together than they left.
            return;
        }
        let together = self.0.filter(|lowered| sent <= lowered.since);
        self.0 = Some(match together {
            Some(lowered) => Lowered { part: lowered.part.min(had.less_a_tenth()), ..lowered },
            // Where it had more than it may have now, as after a merge, it is lowered from that.
            None => Lowered { part: had.min(self.part(now)).less_a_tenth(), since: now },
        });
    }

    /// The store says what the account may spend: all replicas know the same of it.
    pub(super) fn learn(&mut self, part: Part, now: Duration) {
        self.0 = (part < Part::WHOLE).then_some(Lowered { part, since: now });
    }

    /// Takes over what another account learnt of the same limit: the lower part of both.
    pub(super) fn merge(&mut self, other: Self, now: Duration) {
        if other.part(now) < self.part(now) {
            *self = other;
        }
    }
}

impl Lowered {
    fn part(self, now: Duration) -> Part {
        let rises =
            now.saturating_sub(self.since).as_millis() * u128::from(Part::TENTH.0) / RISES_IN.as_millis();
        let part = u128::from(self.part.0).saturating_add(rises).min(u128::from(Part::WHOLE.0));
        Part(u32::try_from(part).unwrap_or(Part::WHOLE.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_account_is_lowered_to_what_was_left_to_it_less_a_tenth_and_never_below_one_half() {
        for (had, expected) in
            [(999, 899), (900, 800), (700, 600), (601, 501), (599, 500), (10, 500), (0, 500)]
        {
            let mut beside = Beside::default();
            beside.on_limited(Part(had), at(1), at(2));
            assert_eq!(beside.part(at(2)), Part(expected), "{had}");
        }
    }

    #[test]
    fn an_account_that_was_full_is_not_lowered() {
        let mut beside = Beside::default();
        beside.on_limited(Part::of(90, 90), at(1), at(2));
        assert_eq!(beside.part(at(2)), Part::WHOLE);
    }

    #[test]
    fn calls_that_were_under_way_together_count_once_whichever_is_answered_first() {
        for answers in [[900, 850, 800], [800, 850, 900], [850, 900, 800]] {
            let mut beside = Beside::default();
            for had in answers {
                beside.on_limited(Part(had), at(1), at(2));
            }
            assert_eq!(beside.part(at(2)), Part(700), "{answers:?}");
            beside.on_limited(Part(700), at(3), at(4));
            assert_eq!(beside.part(at(4)), Part(600), "one that left later counts for itself");
        }
    }

    #[test]
    fn it_rises_by_a_tenth_a_minute_to_all_that_it_had() {
        let mut beside = Beside::default();
        beside.on_limited(Part(800), at(0), at(0));
        for (now, expected) in [(0, 700), (6, 710), (60, 800), (120, 900), (180, 1000), (10_000, 1000)] {
            assert_eq!(beside.part(at(now)), Part(expected), "{now}");
        }
        beside.on_limited(Part(850), at(120), at(120));
        assert_eq!(beside.part(at(120)), Part(750), "from where it has risen to");
    }

    #[test]
    fn no_part_of_a_limit_is_nothing() {
        for (part, limit, expected) in [(500, 90, 45), (500, 1, 1), (501, 90, 45), (1000, u32::MAX, u32::MAX)]
        {
            assert_eq!(Part(part).times(limit), expected);
        }
        assert_eq!(Part::of(u32::MAX, 1), Part::WHOLE);
        assert_eq!(Part::of(1, 0), Part::WHOLE);
    }
}
