//! Who goes when there is no room for one more connection: silent ones, so that they lock out nobody.
//!
//! First those that have asked nothing for a second or more, then those that stand idle between requests or have just come,
//! then those who send nothing of a body that is waited for, then those whose reader takes nothing; among equals the ones of the address that has most of them, and of those the oldest. A connection for which
//! something is done never goes. Pure: when there is no room is for the listener to say.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::limits::Limits;

/// What a silent connection waits for; an earlier one goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum SilenceKind {
    /// The first byte of a head, or its end, for longer than a handshake takes.
    Head,
    /// The next request, or one that has just begun to come.
    Request,
    /// The body of a request, of which nothing comes.
    Body,
    /// Its client, who takes nothing of an answer.
    Reader,
}

/// That nothing is done on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) kind: SilenceKind,
    /// Of the monotonic clock.
    pub(super) since: Duration,
}

/// A connection that could go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) id: u64,
    pub(super) address: IpAddr,
    pub(super) silence: Silence,
}

/// What a port allows beyond the configured limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections of one address.
    pub(super) per_address: Option<usize>,
    /// Time for a head, where the configuration gives more.
    pub(super) head: Duration,
}

/// The data port's: an ingress or a sidecar is one address for everybody behind it.
impl Default for Bounds {
    fn default() -> Self {
        Self { per_address: None, head: Duration::MAX }
    }
}

impl Bounds {
    /// The limits that hold on this port.
    pub(super) fn of(self, limits: Limits) -> Limits {
        Limits { header: limits.header.min(self.head), ..limits }
    }
}

/// The ids of those that go, at most `count`, in no order.
pub(super) fn first_to_go(mut silent: Vec<Candidate>, count: usize) -> impl Iterator<Item = u64> {
    let mut of_address = HashMap::<_, usize>::new();
    for candidate in &silent {
        *of_address.entry((candidate.silence.kind, candidate.address)).or_default() += 1;
    }
    if silent.len() > count {
        silent.select_nth_unstable_by_key(count, |Candidate { id, address, silence }| {
            let equals = of_address.get(&(silence.kind, *address)).copied();
            // Ids grow with time: among those that came in one tick of the clock the first to come is the oldest.
            (silence.kind, Reverse(equals), silence.since, *id)
        });
    }
    silent.into_iter().take(count).map(|candidate| candidate.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(id: u64, host: u8, kind: SilenceKind, since: u64) -> Candidate {
        let silence = Silence { kind, since: Duration::from_secs(since) };
        Candidate { id, address: IpAddr::from([127, 0, 0, host]), silence }
    }

    fn gone(silent: &[Candidate], count: usize) -> Vec<u64> {
        let mut gone: Vec<_> = first_to_go(silent.to_vec(), count).collect();
        gone.sort_unstable();
        gone
    }

    #[test]
    fn who_has_asked_nothing_goes_before_who_was_served_and_the_oldest_first() {
        use SilenceKind::{Body, Head, Reader, Request};
        let all = [
            candidate(0, 1, Reader, 0),
            candidate(1, 1, Request, 1),
            candidate(2, 1, Head, 3),
            candidate(3, 1, Head, 2),
            candidate(4, 1, Request, 0),
            candidate(5, 1, Body, 0),
        ];
        let order: Vec<_> = (0..=6).map(|count| gone(&all, count)).collect();
        let expected: [&[u64]; 7] =
            [&[], &[3], &[2, 3], &[2, 3, 4], &[1, 2, 3, 4], &[1, 2, 3, 4, 5], &[0, 1, 2, 3, 4, 5]];
        assert_eq!(order, expected);
        assert_eq!(gone(&all, 9), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_crowd_of_one_address_goes_before_the_older_one_of_another() {
        let alone = candidate(0, 1, SilenceKind::Head, 0);
        let crowd = (1..=3).map(|id| candidate(id, 2, SilenceKind::Head, id));
        let all: Vec<_> = std::iter::once(alone).chain(crowd).collect();
        assert_eq!(gone(&all, 1), [1]);
        assert_eq!(gone(&all, 3), [1, 2, 3]);
    }
}
