//! [`Backoff`]: when to connect again.
//!
//! A thousand replicas lose a server at one moment, and a thousand handshakes at once are a second fault: each waits for a
//! time that is wholly random, below a bound that doubles.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(2);

/// How long to wait before the next attempt to connect. It grows with each and is forgotten once one has held.
#[derive(Debug, Default)]
pub struct Backoff {
    failed: u32,
}

impl Backoff {
    /// How long to wait now: anything below 50 ms after the first failure, and below twice that with each further one, up
    /// to 2 s.
    pub fn wait(&mut self) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failed.min(10)).min(MOST);
        self.failed = self.failed.saturating_add(1);
        bound.mul_f64(fastrand::f64())
    }

    /// A connection held.
    pub const fn forget(&mut self) {
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_random_below_a_bound_that_doubles_to_two_seconds() {
        let bounds = [50, 100, 200, 400, 800, 1600, 2000, 2000];
        let mut longest = [Duration::ZERO; 8];
        for _ in 0..500 {
            let mut backoff = Backoff::default();
            for (longest, bound) in longest.iter_mut().zip(bounds) {
                let wait = backoff.wait();
                assert!(wait < Duration::from_millis(bound), "{wait:?} of {bound} ms");
                *longest = wait.max(*longest);
            }
        }
        for (longest, bound) in longest.into_iter().zip(bounds) {
            assert!(longest > Duration::from_millis(bound / 2), "{longest:?} of {bound} ms is not random");
        }
    }

    #[test]
    fn a_connection_that_held_is_a_new_beginning() {
        let mut backoff = Backoff::default();
        for _ in 0..u8::MAX {
            backoff.wait();
        }
        backoff.forget();
        assert!(backoff.wait() < FIRST);
    }
}
