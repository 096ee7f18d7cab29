//! [`Clocks`]: what one machine shows for the time of the world.

use std::time::Duration;

use crate::clock::{Clock, Moment};

/// Two clocks that run at one speed, which chrony may set up to 8.3 % off; the wall clock can be set, too.
#[derive(Clone, Debug)]
pub(super) struct Clocks {
    /// The world's time at which the speed was set, and the monotonic clock then, in microseconds.
    since: u64,
    monotonic: u64,
    speed: f64,
    /// What the wall clock has beyond the monotonic one, in microseconds.
    ahead: u64,
    /// Both clocks at zero, and the wall clock alone far ahead: every moment is made of these.
    zero: Moment,
    far: Moment,
}

const WALL: u64 = 1_800_000_000_000_000;
const FAR: Duration = Duration::from_secs(1 << 40);

impl Clocks {
    pub(super) fn new(at: u64, monotonic: u64) -> Self {
        let (clock, hand) = Clock::manual();
        let start = clock.now();
        let zero = start.back(start.unix());
        hand.jump_wall_ahead(FAR - start.unix());
        Self { since: at, monotonic, speed: 1.0, ahead: WALL, zero, far: clock.now() }
    }

    fn uptime(&self, at: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "microseconds of some minutes"
        )]
        let passed = ((at - self.since) as f64 * self.speed) as u64;
        self.monotonic + passed
    }

    /// What both show.
    pub(super) fn now(&self, at: u64) -> Moment {
        let uptime = self.uptime(at);
        let wall = Duration::from_micros(uptime + self.ahead);
        self.zero.plus(Duration::from_micros(uptime)).latest(self.far.back(FAR - wall))
    }

    /// The world's time at which the monotonic one shows this.
    pub(super) fn when(&self, uptime: Duration) -> u64 {
        let uptime = u64::try_from(uptime.as_micros()).unwrap_or(u64::MAX);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "microseconds of some minutes"
        )]
        let passes = (uptime.saturating_sub(self.monotonic) as f64 / self.speed).ceil() as u64;
        self.since + passes
    }

    /// Both run at this speed from now on.
    pub(super) fn slew(&mut self, at: u64, speed: f64) {
        self.monotonic = self.uptime(at);
        self.since = at;
        self.speed = speed;
    }

    /// The wall clock is set by this.
    pub(super) fn set_wall(&mut self, by: i64) {
        self.ahead = self.ahead.saturating_add_signed(by);
    }
}

#[test]
fn a_machines_clocks_run_jump_and_tell_when() {
    let mut clocks = Clocks::new(1000, 5);
    let start = clocks.now(1000);
    assert_eq!(start.uptime(), Duration::from_micros(5));
    assert_eq!(start.unix(), Duration::from_micros(WALL + 5));
    clocks.slew(2000, 1.05);
    assert_eq!(clocks.now(3000).uptime(), Duration::from_micros(5 + 1000 + 1050));
    assert_eq!(clocks.when(Duration::from_micros(5 + 1000 + 1050)), 3000);
    clocks.set_wall(-1_000_000);
    assert_eq!(clocks.now(3000).unix(), Duration::from_micros(WALL + 2055 - 1_000_000));
    assert_eq!(clocks.now(3000).uptime(), Duration::from_micros(2055));
}
