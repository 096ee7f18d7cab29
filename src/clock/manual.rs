//! [`ManualClock`]: the hand that moves a clock which stands still, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::moment::Moment;
use crate::lock::Mutex;

/// What a manual clock and its hand share.
#[derive(Debug)]
pub(super) struct ManualTime {
    pub(super) base: Instant,
    pub(super) monotonic: Duration,
    wall: Duration,
    readings: u64,
    next_sleeper: u64,
    sleepers: BTreeMap<(Duration, u64), Waker>,
}

impl ManualTime {
    /// What a system has two clocks for is two readings.
    pub(super) fn both(&mut self) -> Moment {
        self.readings += 2;
        Moment { monotonic: self.monotonic, wall: self.wall }
    }

    pub(super) fn monotonic(&mut self) -> Duration {
        self.readings += 1;
        self.monotonic
    }

    pub(super) fn beginning_at(base: Instant) -> Self {
        Self {
            base,
            monotonic: Duration::ZERO,
            wall: Duration::from_secs(1_800_000_000),
            readings: 0,
            next_sleeper: 0,
            sleepers: BTreeMap::new(),
        }
    }

    fn take_due(&mut self) -> Vec<Waker> {
        let later = self.sleepers.split_off(&(self.monotonic, u64::MAX));
        std::mem::replace(&mut self.sleepers, later).into_values().collect()
    }
}

/// A timer that the hand sets off.
pub(super) struct ManualSleep {
    time: Arc<Mutex<ManualTime>>,
    deadline: Duration,
    id: Option<u64>,
}

impl ManualSleep {
    pub(super) const fn until(deadline: Duration, time: Arc<Mutex<ManualTime>>) -> Self {
        Self { time, deadline, id: None }
    }

    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut time = self.time.lock();
        if time.monotonic >= self.deadline {
            return Poll::Ready(());
        }
        let id = *self.id.get_or_insert_with(|| {
            time.next_sleeper += 1;
            time.next_sleeper
        });
        time.sleepers.insert((self.deadline, id), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.time.lock().sleepers.remove(&(self.deadline, id));
        }
    }
}

/// The hand that moves a manual [`Clock`](super::Clock).
#[derive(Clone, Debug)]
pub struct ManualClock(pub(super) Arc<Mutex<ManualTime>>);

impl ManualClock {
    /// How often one of both clocks was read until now: what would have been asked of a system. Timers ask nothing.
    #[must_use]
    pub fn readings(&self) -> u64 {
        self.0.lock().readings
    }

    /// Moves both clocks on by `by` and wakes every timer that is due.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut time = self.0.lock();
            time.monotonic += by;
            time.wall += by;
            time.take_due()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// Moves the wall clock alone on by `by`: what a suspended machine sees when it wakes.
    pub fn jump_wall_ahead(&self, by: Duration) {
        let mut time = self.0.lock();
        time.wall = time.wall.saturating_add(by);
    }

    /// Sets the wall clock alone back by `by`.
    pub fn jump_wall_back(&self, by: Duration) {
        let mut time = self.0.lock();
        time.wall = time.wall.saturating_sub(by);
    }
}
