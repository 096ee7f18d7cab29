//! What a credential's own attempts say: of the upstream, and of when it may be asked behind an answer.

use super::*;

impl World {
    fn may_ask_behind(&self, credential: &Credential, read: BackgroundRead) -> bool {
        self.bindings.may_ask_behind(credential, &LEAD_LABEL, read, self.clock.now())
    }

    /// Which of a refresh and a proof may begin behind an answer.
    fn may_ask(&self, credential: &Credential) -> (bool, bool) {
        let may = |read| self.may_ask_behind(credential, read);
        (may(BackgroundRead::Refresh), may(BackgroundRead::Proof))
    }

    fn confirmed(&self, credential: &Credential) -> bool {
        self.bindings.outage(credential, &LEAD_LABEL, self.clock.now()).unwrap().confirmed
    }
}

#[test]
fn the_age_of_a_proof_is_that_of_the_read_that_gave_it() {
    let world = world();
    let caller = world.credential("a", None);
    let age = || world.bindings.proof_age(&caller, &LEAD_LABEL, world.clock.now());
    assert_eq!(age(), None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    world.hand.advance(Duration::from_secs(7));
    assert_eq!(age(), Some(Duration::from_secs(7)));
    world.refuse(&caller, Refusal::Credential);
    assert_eq!(age(), None, "a proof that has ended has none");
}

#[test]
fn the_read_that_proves_a_credential_was_an_attempt() {
    let world = world();
    let caller = world.credential("a", None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    let due = || world.bindings.outage(&caller, &LEAD_LABEL, world.clock.now()).unwrap().attempt_due;
    assert!(!due());
    world.hand.advance(Duration::from_secs(2));
    assert!(due());
}

#[test]
fn while_the_upstream_cannot_be_asked_attempts_behind_answers_are_two_seconds_apart() {
    let world = world();
    let caller = world.credential("a", None);
    assert_eq!(world.may_ask(&caller), (true, true), "nothing is known of it");
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    assert_eq!(world.may_ask(&caller), (true, true), "the upstream can be asked");
    world.hand.advance(Duration::from_secs(60));
    world.bindings.note_attempt(&caller, &LEAD_LABEL, world.clock.now());
    assert_eq!(world.may_ask(&caller), (true, true), "it has not failed");
    world.bindings.note_failure(&caller, &LEAD_LABEL, world.clock.now());
    assert_eq!(world.may_ask(&caller), (false, false));
    world.hand.advance(Duration::from_secs(2));
    assert_eq!(world.may_ask(&caller), (true, true), "the next attempt is due");
    world.bindings.note_attempt(&caller, &LEAD_LABEL, world.clock.now());
    assert_eq!(world.may_ask(&caller), (false, false));
}

#[test]
fn what_was_held_back_is_not_begun_by_each_hit_and_a_proof_goes_before_a_refresh() {
    let world = world();
    let caller = world.credential("a", None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    let held = |read| world.bindings.note_held(&caller, &LEAD_LABEL, read, world.clock.now());
    held(BackgroundRead::Refresh);
    assert_eq!(world.may_ask(&caller), (false, true));
    world.hand.advance(Duration::from_secs(2));
    assert_eq!(world.may_ask(&caller), (true, true));
    held(BackgroundRead::Proof);
    assert_eq!(world.may_ask(&caller), (false, false), "where a proof is held back a refresh is, too");
    world.hand.advance(Duration::from_secs(2));
    assert_eq!(world.may_ask(&caller), (true, true));
}

/// A proof that was looked up twice tells nothing of the upstream that was not known.
#[test]
fn a_younger_proof_of_another_replica_says_that_the_upstream_can_be_asked_and_the_same_one_does_not() {
    let world = world();
    let caller = world.credential("a", None);
    let organization = world.organization(1);
    let adopt = |sent| world.bindings.adopt(&caller, &LEAD_LABEL, &organization, world.tick(), sent);
    let sent = world.clock.now();
    assert_eq!(adopt(sent), ProofResult::Bound);
    world.hand.advance(Duration::from_secs(1));
    world.bindings.note_failure(&caller, &LEAD_LABEL, world.clock.now());
    assert_eq!(adopt(sent), ProofResult::Renewed);
    assert!(world.confirmed(&caller));
    world.hand.advance(Duration::from_secs(1));
    assert_eq!(adopt(world.clock.now()), ProofResult::Renewed);
    assert!(!world.confirmed(&caller));
    let age = world.bindings.proof_age(&caller, &LEAD_LABEL, world.clock.now());
    assert_eq!(age, Some(Duration::ZERO));
    assert_eq!(adopt(sent), ProofResult::Renewed);
    let age = world.bindings.proof_age(&caller, &LEAD_LABEL, world.clock.now());
    assert_eq!(age, Some(Duration::ZERO), "an older one changes nothing");
}
