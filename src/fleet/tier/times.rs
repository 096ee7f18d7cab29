//! [`SharedTime`]: when something was sent, as processes on other machines can tell its age.
//!
//! An age counts by the wall clocks and by the store's clock, and the older of the two holds. Every beat brings the store's
//! time, which was read somewhere between the beat's sending and its answer: of a sending the earliest reading is taken, of
//! now the latest, so that an age is never understated. A replica whose wall clock is away from the store's, or that sees the
//! store's clock move against its own, uses no shared times at all.

use std::time::Duration;

use crate::clock::Moment;
use crate::lock::Mutex;

/// How far the wall clock may be from the store's, and how far that may move at once.
pub const TOLERATED: Duration = Duration::from_secs(2);
/// For how long the clock of a store that moved is not believed: longer than what was dated by it is of use.
const DISTRUSTED_FOR: Duration = Duration::from_secs(600);

/// A moment as every replica reads it, in time since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedTime {
    /// By the wall clock of who dated it.
    pub wall: Duration,
    /// By the store's clock, at the earliest.
    pub store: Duration,
}

/// What is known of the store's clock.
#[derive(Debug, Default)]
pub struct StoreClock(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    read: Option<Reading>,
    distrusted_until: Option<Moment>,
}

/// The store's time, read between two moments of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    time: Duration,
    asked: Moment,
    answered: Moment,
}

/// What a reading of the store's clock says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is as it was: trusted, or not.
    Unchanged,
    /// From now on shared times are used.
    Began,
    /// From now on none are, until both clocks agree again.
    Ended,
}

impl StoreClock {
    /// Notes the store's `time`, which was asked for and answered at these moments.
    pub fn note(&self, time: Duration, asked: Moment, answered: Moment) -> Trust {
        let mut known = self.0.lock();
        let reading = Reading { time, asked, answered };
        if known.read == Some(reading) {
            return Trust::Unchanged;
        }
        let was_trusted = known.is_trusted(answered);
        let moved = known.read.is_some_and(|before| before.disagrees(reading));
        known.read = Some(reading);
        if moved || reading.is_away() {
            let until = answered.plus(if moved { DISTRUSTED_FOR } else { Duration::ZERO });
            known.distrusted_until = Some(known.distrusted_until.map_or(until, |other| until.latest(other)));
        }
        match (was_trusted, known.is_trusted(answered)) {
            (false, true) => Trust::Began,
            (true, false) => Trust::Ended,
            _ => Trust::Unchanged,
        }
    }

    /// A moment of this process, at the earliest; nothing where shared times are not used.
    #[must_use]
    pub fn dated(&self, at: Moment, now: Moment) -> Option<SharedTime> {
        let known = self.0.lock();
        let reading = known.read.filter(|_| known.is_trusted(now))?;
        Some(SharedTime { wall: at.unix(), store: reading.earliest(at) })
    }

    /// How old what was sent then is, at least; nothing where shared times are not used.
    #[must_use]
    pub fn age(&self, sent: SharedTime, now: Moment) -> Option<Duration> {
        let known = self.0.lock();
        let reading = known.read.filter(|_| known.is_trusted(now))?;
        let by_wall = now.unix().saturating_sub(sent.wall);
        Some(by_wall.max(reading.latest(now).saturating_sub(sent.store)))
    }

    /// How old what the store dated is for certain: by its clock, as the monotonic one has carried it on since it was read. Before
    /// it was ever read, as for whoever joins, the wall clock is believed.
    #[must_use]
    pub fn least_age(&self, dated: Duration, now: Moment) -> Duration {
        let known = self.0.lock();
        let stores = known.read.map_or_else(|| now.unix(), |reading| reading.earliest(now));
        stores.saturating_sub(dated).saturating_sub(TOLERATED)
    }
}

impl Known {
    fn is_trusted(&self, now: Moment) -> bool {
        self.read.is_some_and(|reading| !reading.is_away())
            && self.distrusted_until.is_none_or(|until| now.uptime() >= until.uptime())
    }
}

impl Reading {
    /// The store's time at a moment, at the earliest: as if it had been read when the answer came.
    fn earliest(&self, at: Moment) -> Duration {
        moved(self.time, self.answered.uptime(), at.uptime())
    }

    /// The same at the latest: as if it had been read when it was asked for.
    fn latest(&self, at: Moment) -> Duration {
        moved(self.time, self.asked.uptime(), at.uptime())
    }

    fn is_away(&self) -> bool {
        let wall = self.answered.unix();
        self.earliest(self.answered).saturating_sub(wall) > TOLERATED
            || wall.saturating_sub(self.latest(self.answered)) > TOLERATED
    }

    /// Whether the store's clock moved against this process's between two readings.
    fn disagrees(&self, later: Self) -> bool {
        let at = later.answered;
        later.earliest(at).saturating_sub(self.latest(at)) > TOLERATED
            || self.earliest(at).saturating_sub(later.latest(at)) > TOLERATED
    }
}

/// `time`, moved by what passed from one reading of a clock to the other, be it back.
fn moved(time: Duration, from: Duration, to: Duration) -> Duration {
    (time + to.saturating_sub(from)).saturating_sub(from.saturating_sub(to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    /// A beat that takes 10 ms, of a store that is `ahead` of the wall clock.
    fn beat(store: &StoreClock, clock: &Clock, hand: &ManualClock, ahead: i64) -> Trust {
        let asked = clock.now();
        hand.advance(5 * MS);
        let wall = clock.now().unix();
        let by = Duration::from_millis(ahead.unsigned_abs());
        let time = if ahead < 0 { wall - by } else { wall + by };
        hand.advance(5 * MS);
        store.note(time, asked, clock.now())
    }

    #[test]
    fn an_age_is_never_understated_and_over_by_two_round_trips_at_most() {
        let (clock, hand) = Clock::manual();
        let (writer, reader) = (StoreClock::default(), StoreClock::default());
        assert_eq!(beat(&writer, &clock, &hand, 300), Trust::Began);
        let sent = clock.now();
        let dated = writer.dated(sent, clock.now()).unwrap();
        hand.advance(20 * SECOND);
        assert_eq!(beat(&reader, &clock, &hand, 300), Trust::Began);
        let age = reader.age(dated, clock.now()).unwrap();
        let truth = clock.now().since(sent);
        assert!(age >= truth && age <= truth + 20 * MS, "{age:?} of {truth:?}");
    }

    #[test]
    fn the_older_of_both_clocks_holds() {
        let (clock, hand) = Clock::manual();
        let store = StoreClock::default();
        beat(&store, &clock, &hand, 0);
        let dated = store.dated(clock.now(), clock.now()).unwrap();
        let by_wall = SharedTime { wall: dated.wall - 30 * SECOND, ..dated };
        let by_store = SharedTime { store: dated.store - 40 * SECOND, ..dated };
        assert!(store.age(by_wall, clock.now()).unwrap() >= 30 * SECOND);
        assert!(store.age(by_store, clock.now()).unwrap() >= 40 * SECOND);
        let future = SharedTime { wall: dated.wall + SECOND, store: dated.store + SECOND };
        assert_eq!(store.age(future, clock.now()), Some(Duration::ZERO));
    }

    #[test]
    fn a_clock_that_is_away_or_that_moved_dates_nothing() {
        let (clock, hand) = Clock::manual();
        let store = StoreClock::default();
        assert_eq!(store.dated(clock.now(), clock.now()), None, "never read");
        assert_eq!(beat(&store, &clock, &hand, 2_100), Trust::Unchanged);
        assert_eq!(store.dated(clock.now(), clock.now()), None, "away");
        assert_eq!(beat(&store, &clock, &hand, 1_500), Trust::Began);
        let dated = store.dated(clock.now(), clock.now()).unwrap();
        assert_eq!(beat(&store, &clock, &hand, -1_500), Trust::Ended, "it was set back");
        assert_eq!(store.age(dated, clock.now()), None);
        assert_eq!(beat(&store, &clock, &hand, -1_500), Trust::Unchanged, "not again");
        hand.advance(DISTRUSTED_FOR);
        assert_eq!(beat(&store, &clock, &hand, -1_500), Trust::Unchanged);
        assert!(store.dated(clock.now(), clock.now()).is_some(), "believed again");
    }

    #[test]
    fn a_wall_clock_that_jumps_ends_shared_times_at_the_next_beat() {
        let (clock, hand) = Clock::manual();
        let store = StoreClock::default();
        beat(&store, &clock, &hand, 0);
        hand.jump_wall_ahead(10 * SECOND);
        let asked = clock.now();
        let time = asked.unix() - 10 * SECOND;
        assert_eq!(store.note(time, asked, clock.now()), Trust::Ended);
        hand.jump_wall_back(10 * SECOND);
        assert_eq!(beat(&store, &clock, &hand, 0), Trust::Began);
    }
}
