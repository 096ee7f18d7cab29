//! [`Limits`]: what this process may send for one organization, as its part of what the whole deployment may.

use std::num::NonZeroU32;
use std::time::Duration;

use super::beside::Part;
use super::window::WINDOW;
use crate::config::Burst;

/// What the budget reads of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShieldRules {
    /// Calls that the whole deployment may send for one organization in a second.
    pub requests_per_second: NonZeroU32,
    /// Calls that the whole deployment may send for one organization in a minute.
    pub requests_per_minute: NonZeroU32,
    /// Processes that share both.
    pub replicas: NonZeroU32,
    /// Whether all callers belong to one workspace.
    pub single_workspace: bool,
    /// Calls, and as many proofs, that may wait for one organization.
    pub max_queued: usize,
    /// How much of a second's limit may go at one moment.
    pub burst: Burst,
}

/// What this process may send for one organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls in any second, at least 1.
    pub per_second: u32,
    /// Calls in any minute, at least 1.
    pub per_minute: u32,
    /// How many of the second's are kept for callers that had none in it.
    pub kept: u32,
    /// How much of the second's may go at one moment.
    pub burst: Burst,
}

impl Limits {
    /// This process's part of both limits, rounded down, at least 1.
    #[must_use]
    pub fn new(rules: &ShieldRules) -> Self {
        let part = |limit: NonZeroU32| (limit.get() / rules.replicas).max(1);
        Self::whole(part(rules.requests_per_second), part(rules.requests_per_minute), rules.burst)
    }

    fn whole(per_second: u32, per_minute: u32, burst: Burst) -> Self {
        // 3 %, to the nearest: 3 of 90, none of fewer than 17. With the jitter of a window, 95 % are left for the others.
        let kept = u32::try_from((u64::from(per_second) * 3 + 50) / 100).unwrap_or(0);
        Self { per_second, per_minute, kept, burst }
    }

    /// A part of these limits, for an account that is [lowered](super::beside).
    #[must_use]
    pub(super) fn lowered(self, part: Part) -> Self {
        match part {
            Part::WHOLE => self,
            _ => Self::whole(part.times(self.per_second), part.times(self.per_minute), self.burst),
        }
    }

    /// What to tell an operator whose replicas cannot divide the limits.
    #[must_use]
    pub fn warning(rules: &ShieldRules) -> Option<&'static str> {
        if rules.requests_per_minute < rules.replicas {
            Some(
                "shield.requests_per_minute divided by shield.replicas is below 1: each replica sends up to 1 per \
                 minute, so that together they can exceed it",
            )
        } else if rules.requests_per_second < rules.replicas {
            Some(
                "shield.requests_per_second divided by shield.replicas is below 1: each replica sends up to 1 per \
                 second, and only shield.requests_per_minute is kept by all of them together",
            )
        } else {
            None
        }
    }

    /// The slots of a second that are for everybody: all but those that are kept.
    pub(super) const fn common(&self) -> u32 {
        self.per_second - self.kept
    }

    /// Background work goes while the minute holds fewer calls than this.
    pub(super) const fn for_background(&self) -> u32 {
        self.per_minute - self.per_minute / 5
    }

    pub(super) fn interval(&self) -> Duration {
        WINDOW / self.common().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(per_second: u32, per_minute: u32, replicas: u32) -> ShieldRules {
        let positive = |number| NonZeroU32::new(number).unwrap();
        ShieldRules {
            requests_per_second: positive(per_second),
            requests_per_minute: positive(per_minute),
            replicas: positive(replicas),
            single_workspace: false,
            max_queued: 10,
            burst: Burst::Half,
        }
    }

    #[test]
    fn replicas_share_both_limits_and_each_has_at_least_one() {
        for ((per_second, per_minute, replicas), (second, minute, kept), warned) in [
            ((90, 5400, 1), (90, 5400, 3), false),
            ((90, 5400, 4), (22, 1350, 1), false),
            ((90, 5400, 7), (12, 771, 0), false),
            ((2, 120, 4), (1, 30, 0), true),
            ((1, 1, 2), (1, 1, 0), true),
            ((u32::MAX, u32::MAX, 1), (u32::MAX, u32::MAX, 128_849_019), false),
        ] {
            let rules = rules(per_second, per_minute, replicas);
            let limits = Limits { per_second: second, per_minute: minute, kept, burst: Burst::Half };
            assert_eq!(Limits::new(&rules), limits, "{rules:?}");
            assert_eq!(Limits::warning(&rules).is_some(), warned, "{rules:?}");
        }
    }
}
