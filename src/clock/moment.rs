//! [`Moment`]: a reading of both clocks; [`ShortMoment`]: the same in half the room.

use std::num::NonZeroU32;
use std::time::Duration;

/// A point in time on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub(super) monotonic: Duration,
    pub(super) wall: Duration,
}

impl Moment {
    /// What the two clocks said, as [`Self::uptime`] and [`Self::unix`] tell it.
    #[must_use]
    pub const fn of(uptime: Duration, unix: Duration) -> Self {
        Self { monotonic: uptime, wall: unix }
    }

    /// Time passed since `earlier`: the larger of both clocks' answers, zero if both went back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.monotonic.saturating_sub(earlier.monotonic).max(self.wall.saturating_sub(earlier.wall))
    }

    /// This moment moved by `by`, saturating.
    #[must_use]
    pub const fn plus(self, by: Duration) -> Self {
        Self { monotonic: self.monotonic.saturating_add(by), wall: self.wall.saturating_add(by) }
    }

    /// This moment moved back by `by`, saturating.
    #[must_use]
    pub const fn back(self, by: Duration) -> Self {
        Self { monotonic: self.monotonic.saturating_sub(by), wall: self.wall.saturating_sub(by) }
    }

    /// The moment that neither clock reaches before both `self` and `other`: the later reading of each.
    #[must_use]
    pub fn latest(self, other: Self) -> Self {
        Self { monotonic: self.monotonic.max(other.monotonic), wall: self.wall.max(other.wall) }
    }

    /// The moment that is older than both `self` and `other` by either clock: the earlier reading of each.
    #[must_use]
    pub fn earliest(self, other: Self) -> Self {
        Self { monotonic: self.monotonic.min(other.monotonic), wall: self.wall.min(other.wall) }
    }

    /// Whether `deadline` has been reached on either clock.
    #[must_use]
    pub fn reached(self, deadline: Self) -> bool {
        self.monotonic >= deadline.monotonic || self.wall >= deadline.wall
    }

    /// Whether `deadline` has been reached by the monotonic clock: for what does harm if it ends too early, and none if too late.
    #[must_use]
    pub fn surely_reached(self, deadline: Self) -> bool {
        self.monotonic >= deadline.monotonic
    }

    /// Time since 1970-01-01T00:00:00Z by the wall clock.
    #[must_use]
    pub const fn unix(self) -> Duration {
        self.wall
    }

    /// Time since the clock's beginning, which may be long before the process: for ordering and for compact storage.
    #[must_use]
    pub const fn uptime(self) -> Duration {
        self.monotonic
    }
}

/// A moment in half the room, for tables: seconds and nanoseconds of both clocks. The seconds last until 2106. One that may be
/// missing takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortMoment {
    monotonic: Short,
    wall: Short,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Short {
    seconds: u32,
    /// And one, so that it is never zero.
    nanos: NonZeroU32,
}

impl ShortMoment {
    /// The moment as it was, if that is before 2106.
    #[must_use]
    pub fn moment(self) -> Moment {
        Moment { monotonic: self.monotonic.whole(), wall: self.wall.whole() }
    }
}

impl From<Moment> for ShortMoment {
    fn from(moment: Moment) -> Self {
        Self { monotonic: Short::of(moment.monotonic), wall: Short::of(moment.wall) }
    }
}

impl Short {
    fn of(time: Duration) -> Self {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        Self { seconds, nanos: NonZeroU32::MIN.saturating_add(time.subsec_nanos()) }
    }

    fn whole(self) -> Duration {
        Duration::new(u64::from(self.seconds), self.nanos.get() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_moment_is_the_moment_in_half_the_room() {
        assert_eq!((size_of::<Moment>(), size_of::<Option<ShortMoment>>()), (32, 16));
        for (uptime, unix) in [
            (Duration::ZERO, Duration::from_nanos(999_999_999)),
            (Duration::from_nanos(1), Duration::new(1_800_000_000, 1)),
            (Duration::new(7, 999_999_999), Duration::new(u64::from(u32::MAX), 0)),
        ] {
            let moment = Moment::of(uptime, unix);
            assert_eq!(ShortMoment::from(moment).moment(), moment);
        }
    }
}
