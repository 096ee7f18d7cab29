//! A calm: all is well, everybody reads, and time goes by. What is asked of the API then is counted (R6, P3).

use std::collections::HashSet;

use super::decision::{Decision, Kind, Pace, Taste};
use super::judge::PROOF;
use super::scene::Scene;
use super::setting::Setting;
use super::truth::{LABELS, Party};

/// So often all that waits is answered.
const TURN_MS: u16 = 500;

/// What a calm came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calm {
    /// Requests of clients.
    pub(super) asked: usize,
    /// Calls that read a label, or a page of them, for those who may.
    pub(super) reads: usize,
    /// Of these, one process needs no more.
    pub(super) needed: usize,
    /// Labels that were read from memory.
    pub(super) stored: u64,
    /// Who those calls were made for.
    pub(super) callers: usize,
    /// Requests of clients that were answered.
    pub(super) answers: u64,
}

/// Goes through a calm of so many seconds.
pub(super) fn calm(seed: u64, setting: Setting, seconds: u64) -> Calm {
    let mut scene = Scene::new(setting, None);
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut take = |kind| scene.take(Decision { kind, seed: chance.u64(..), pace: Pace::Settle });
    let taste = Taste { writes: 0, near: 0, label: 0, party: Party(0) };
    for _ in 0..seconds * 1000 / u64::from(TURN_MS) {
        (0..4).for_each(|_| take(Kind::Ask(taste)));
        take(Kind::AnswerAll);
        take(Kind::Pass(TURN_MS));
    }
    let calls = scene.upstream.calls.iter().filter(|call| call.what.is_read() && call.party.may_read());
    let callers: HashSet<_> = calls.clone().map(|call| call.party.0).collect();
    let organizations: HashSet<_> = calls.clone().map(|call| call.organization).collect();
    // A proof at the beginning, and one each time that three quarters of its life are over. It is a read of all labels once these are
    // known to be one page, so that nothing else is asked then.
    let proofs = 1 + seconds / (PROOF.as_secs() * 3 / 4);
    let proofs = callers.len() * usize::try_from(proofs).expect("a few");
    let needed = proofs + organizations.len() * LABELS;
    let (stored, answers) = (scene.oracle.met.stored, scene.oracle.met.answers);
    Calm { asked: scene.operations, reads: calls.count(), needed, stored, callers: callers.len(), answers }
}
