//! [`LostWrites`]: open writes whose owner is not heard of any more.

use std::collections::VecDeque;
use std::time::Duration;

/// Samples that are kept: one every tenth of a lease, over 1.2 leases.
const SAMPLES: usize = 16;

/// The store's count of beats as it was at moments of the past, by the monotonic clock of here. An open write that was last
/// renewed at a count that was seen 1.2 leases ago has not been renewed since.
#[derive(Debug, Default)]
pub(super) struct LostWrites {
    /// Uptime at which the answer was read, and the count that it told.
    samples: VecDeque<(Duration, u64)>,
    under_way: bool,
}

impl LostWrites {
    /// The count was this before now. Says up to which count open writes are lost.
    pub(super) fn note(&mut self, count: u64, now: Duration, lease_elsewhere: Duration) -> Option<u64> {
        if self.samples.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= lease_elsewhere / 12) {
            self.samples.push_back((now, count));
        }
        let is_old = |at: &Duration| now.saturating_sub(*at) >= lease_elsewhere;
        while self.samples.len() > SAMPLES || self.samples.get(1).is_some_and(|(at, _)| is_old(at)) {
            self.samples.pop_front();
        }
        self.samples.front().filter(|(at, _)| is_old(at)).map(|(_, count)| *count)
    }

    /// One call at a time.
    pub(super) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.under_way, true)
    }

    pub(super) fn was_answered(&mut self) {
        self.under_way = false;
    }

    /// Counts of another history mean nothing in this one.
    pub(super) fn forget(&mut self) {
        self.samples.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE_ELSEWHERE: Duration = Duration::from_millis(600);

    #[test]
    fn so_many_counts_are_kept_and_the_oldest_go() {
        let mut lost = LostWrites::default();
        for beat in 0..1000_u64 {
            let told = lost.note(beat, Duration::from_millis(5 * beat), LEASE_ELSEWHERE);
            assert!(lost.samples.len() <= SAMPLES, "{beat}: {}", lost.samples.len());
            // Never one that was seen less than 1.2 leases ago, and not much later than that either.
            let latest = told.map_or(0, |count| beat - count);
            assert!(told.is_none() || (120..=140).contains(&latest), "{beat}: {told:?}");
            assert_eq!(told.is_some(), beat >= 120, "{beat}: one is told as soon as there is one");
        }
        lost.forget();
        assert_eq!(lost.note(7, Duration::from_secs(9), LEASE_ELSEWHERE), None, "of another history");
    }
}
