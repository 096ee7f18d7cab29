//! [`Moment`]: a reading of both clocks.

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

    /// Time since 1970-01-01T00:00:00Z by the wall clock.
    #[must_use]
    pub const fn unix(self) -> Duration {
        self.wall
    }

    /// Time since the clock was made, by the monotonic clock: for ordering and for compact storage.
    #[must_use]
    pub const fn uptime(self) -> Duration {
        self.monotonic
    }
}
