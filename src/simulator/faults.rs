//! [`Faults`]: what goes wrong, where and how often; armed and disarmed while the simulator runs.
//!
//! A fault is armed with an [`Aim`]. All that fit a request act on it together: those before the request is acted upon,
//! those in place of it, and those on its answer, in this order. With nothing armed a request costs one atomic read.

use std::sync::atomic::{AtomicUsize, Ordering};

use uuid::Uuid;

use super::fault::Fault;
use super::hits::Hits;
use super::operation::Operation;
use crate::lock::{Mutex, MutexGuard};

/// Which requests a fault hits; all that is given has to fit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Aim {
    organization: Option<Uuid>,
    key: Option<usize>,
    operation: Option<Operation>,
    every: u64,
    times: Option<u64>,
}

impl Aim {
    /// Every request, also of unknown keys.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Requests to this organization's data alone.
    #[must_use]
    pub const fn organization(mut self, organization: Uuid) -> Self {
        self.organization = Some(organization);
        self
    }

    /// Requests with the key of this index alone.
    #[must_use]
    pub const fn key(mut self, key: usize) -> Self {
        self.key = Some(key);
        self
    }

    /// Requests for this operation alone.
    #[must_use]
    pub const fn operation(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Of those, the `n`th, `2n`th, `3n`th and so on.
    #[must_use]
    pub const fn every(mut self, n: u64) -> Self {
        self.every = n;
        self
    }

    /// Of those, the first `n` alone.
    #[must_use]
    pub const fn times(mut self, n: u64) -> Self {
        self.times = Some(n);
        self
    }

    fn fits(&self, target: Target) -> bool {
        self.organization.is_none_or(|organization| target.organization == Some(organization))
            && self.key.is_none_or(|key| target.key == Some(key))
            && self.operation.is_none_or(|operation| target.operation == operation)
    }
}

/// An armed fault, to disarm it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(u64);

/// The faults that are armed.
#[derive(Debug, Default)]
pub struct Faults {
    armed: AtomicUsize,
    rules: Mutex<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    next: u64,
    armed: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    id: FaultId,
    aim: Aim,
    fault: Fault,
    seen: u64,
    hit: u64,
}

impl Faults {
    /// Makes `fault` happen to the requests at which `aim` points, from now on.
    pub fn arm(&self, aim: Aim, fault: Fault) -> FaultId {
        let mut rules = self.rules();
        let id = FaultId(rules.next);
        rules.next += 1;
        rules.armed.push(Rule { id, aim, fault, seen: 0, hit: 0 });
        self.armed.store(rules.armed.len(), Ordering::Release);
        id
    }

    /// Ends one fault; those who wait at its gate go on waiting.
    pub fn disarm(&self, id: FaultId) {
        let mut rules = self.rules();
        rules.armed.retain(|rule| rule.id != id);
        self.armed.store(rules.armed.len(), Ordering::Release);
    }

    /// Ends every fault.
    pub fn clear(&self) {
        self.rules().armed.clear();
        self.armed.store(0, Ordering::Release);
    }

    pub(super) fn hitting(&self, target: Target) -> Hits {
        if self.armed.load(Ordering::Acquire) == 0 {
            return Hits(Vec::new());
        }
        Hits(self.rules().armed.iter_mut().filter_map(|rule| rule.hits(target)).collect())
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock()
    }
}

impl Rule {
    fn hits(&mut self, target: Target) -> Option<Fault> {
        if !self.aim.fits(target) {
            return None;
        }
        self.seen += 1;
        if !self.seen.is_multiple_of(self.aim.every.max(1)) || self.aim.times.is_some_and(|n| self.hit >= n) {
            return None;
        }
        self.hit += 1;
        Some(self.fault.clone())
    }
}

/// What a request is aimed at by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) organization: Option<Uuid>,
    pub(super) key: Option<usize>,
    pub(super) operation: Operation,
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn target(organization: u128) -> Target {
        Target {
            organization: Some(Uuid::from_u128(organization)),
            key: Some(0),
            operation: Operation::ReadLabel,
        }
    }

    fn hits(faults: &Faults, organization: u128, requests: usize) -> Vec<bool> {
        (0..requests).map(|_| faults.hitting(target(organization)).instead().is_some()).collect()
    }

    #[test]
    fn an_aim_is_met_only_where_all_of_it_fits() {
        let one = Aim::everything().organization(Uuid::from_u128(1));
        for (aim, expected) in [
            (Aim::everything(), true),
            (one, true),
            (one.operation(Operation::ReadLabel), true),
            (one.operation(Operation::ListLabels), false),
            (one.key(0), true),
            (one.key(1), false),
            (Aim::everything().organization(Uuid::from_u128(2)), false),
        ] {
            assert_eq!(aim.fits(target(1)), expected, "{aim:?}");
        }
    }

    #[test]
    fn a_fault_hits_every_nth_request_and_as_often_as_it_may() {
        let faults = Faults::default();
        let aim = Aim::everything().organization(Uuid::from_u128(1));
        faults.arm(aim.every(2).times(2), Fault::Status(StatusCode::BAD_GATEWAY));
        assert_eq!(hits(&faults, 2, 3), [false; 3]);
        assert_eq!(hits(&faults, 1, 7), [false, true, false, true, false, false, false]);
    }

    #[test]
    fn a_disarmed_fault_hits_nothing() {
        let faults = Faults::default();
        let first = faults.arm(Aim::everything(), Fault::EdgeBlock);
        faults.arm(Aim::everything().times(1), Fault::Status(StatusCode::BAD_GATEWAY));
        faults.disarm(first);
        assert_eq!(hits(&faults, 1, 1), [true]);
        faults.clear();
        assert_eq!(hits(&faults, 1, 1), [false]);
    }
}
