//! What ends proofs, what brings them back, and what is remembered of that.

use super::*;

impl World {
    /// A 200 that a cache on the way has had for so long.
    fn aged(&self, credential: &Credential, of: u128, age: Duration) -> ProofResult {
        let (begun, sent) = (self.tick(), self.clock.now().back(age));
        self.bindings.prove_by_aged(credential, &LEAD_LABEL, &self.organization(of), begun, sent)
    }

    fn age(&self, credential: &Credential) -> Option<Duration> {
        self.bindings.proof_age(credential, &LEAD_LABEL, self.clock.now())
    }
}

#[test]
fn a_200_with_an_age_proves_nothing_once_all_proofs_were_ended() {
    let world = world();
    let (known, unknown) = (world.credential("a", None), world.credential("b", None));
    let age = Duration::from_secs(21);
    assert_eq!(world.prove(&known, 1), ProofResult::Bound);
    assert_eq!(world.aged(&known, 1, age), ProofResult::Renewed);
    world.bindings.end_proofs(None, world.tick());
    assert_eq!(
        (world.aged(&known, 1, age), world.aged(&unknown, 1, age)),
        (ProofResult::Late, ProofResult::Late)
    );
    assert!(!world.is_proven(&known) && !world.is_proven(&unknown));
}

/// Many shards, most of them without anybody.
#[test]
fn a_purge_of_everything_is_remembered_for_keys_that_nobody_had_seen_and_a_history_that_begins_is_not() {
    let world = world_of(100_000);
    let callers: Vec<_> = (0..64).map(|number| world.credential(&format!("t{number}"), None)).collect();
    let slow = world.tick();
    world.bindings.end_first_proofs(world.tick());
    assert_eq!(world.answer(&callers[0], 1, slow), ProofResult::Late, "it was under way");
    assert_eq!(world.aged(&callers[0], 1, Duration::from_secs(21)), ProofResult::Bound);
    world.bindings.end_proofs(None, world.tick());
    for caller in &callers {
        assert_eq!(world.aged(caller, 1, Duration::from_secs(21)), ProofResult::Late);
        assert_ne!(world.prove(caller, 1), ProofResult::Late, "one that was given just now does");
    }
}

#[test]
fn a_200_with_an_age_makes_no_younger_proof_old() {
    let world = world();
    world.hand.advance(Duration::from_secs(60));
    let caller = world.credential("a", None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    world.hand.advance(Duration::from_secs(5));
    assert_eq!(world.aged(&caller, 1, Duration::from_secs(21)), ProofResult::Renewed);
    assert_eq!(world.age(&caller), Some(Duration::from_secs(5)));
    assert_eq!(world.aged(&caller, 1, Duration::from_secs(3)), ProofResult::Renewed);
    assert_eq!(world.age(&caller), Some(Duration::from_secs(3)));
}

#[test]
fn ended_proofs_come_back_by_the_next_read_and_by_none_from_before() {
    let world = world();
    let callers: Vec<_> = (0..3).map(|number| world.credential(&format!("t{number}"), None)).collect();
    for (caller, of) in callers.iter().zip([1, 1, 2]) {
        assert_eq!(world.prove(caller, of), ProofResult::Bound);
    }
    let slow = world.tick();
    assert_eq!(world.bindings.end_proofs(Some(OrganizationId::example(1).name()), world.tick()), 2);
    assert_eq!(world.answer(&callers[0], 1, slow), ProofResult::Late);
    assert_eq!(
        world.answer(&callers[2], 2, slow),
        ProofResult::Renewed,
        "nothing of its organization was ended"
    );
    assert_eq!(world.bindings.end_proofs(None, world.tick()), 1);
    assert_eq!(world.answer(&callers[2], 2, slow), ProofResult::Late);
    for (caller, of) in callers.iter().zip([1, 1, 2]) {
        assert_eq!(world.prove(caller, of), ProofResult::Renewed);
        assert!(world.is_proven(caller));
    }
}

#[test]
fn a_key_that_acts_for_a_workspace_has_an_organization_of_its_own() {
    let world = world();
    let (plain, acting) = (world.credential("a", None), world.credential("a", Some(2)));
    let of_key = || world.bindings.organization_of_key(&acting).map(|organization| organization.id());
    assert_eq!(world.prove(&acting, 2), ProofResult::Bound);
    assert_eq!(of_key(), None, "what it acts for says nothing of it");
    assert_eq!(world.prove(&plain, 1), ProofResult::Bound);
    assert_eq!(of_key(), Some(OrganizationId::example(1)));
}

#[test]
fn a_table_that_shrinks_lists_nobody_who_has_left_it() {
    let world = world_of(100);
    let acting: Vec<_> = (2..12).map(|workspace| world.credential("a", Some(workspace))).collect();
    assert_eq!(world.bindings.count(), 0);
    for (caller, workspace) in acting.iter().zip(2..) {
        assert_eq!(world.prove(caller, workspace), ProofResult::Bound);
    }
    let listed = || world.bindings.shards[0].lock().acting.values().map(Vec::len).sum::<usize>();
    assert_eq!((world.bindings.count(), listed()), (10, 10));
    world.bindings.resize(NonZeroUsize::new(10).unwrap());
    assert_eq!((world.bindings.count(), listed()), (10, 10), "who has room stays");
    world.bindings.resize(NonZeroUsize::new(3).unwrap());
    assert_eq!((world.bindings.count(), listed()), (3, 3));
}

#[test]
fn a_want_of_scope_is_remembered_for_ten_minutes_and_then_must_be_learnt_again() {
    let world = world();
    let caller = world.credential("a", None);
    let emails = world.unauthorized("/api/v2/emails", None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    assert!(world.refuse(&caller, emails));
    assert_eq!(world.prove(&caller, 1), ProofResult::Renewed);
    assert!(!world.refuse(&caller, emails), "learnt");
    world.hand.advance(Duration::from_secs(599));
    assert!(!world.refuse(&caller, emails), "it needs no other answer in between");
    assert_eq!(world.prove(&caller, 1), ProofResult::Renewed);
    world.hand.advance(Duration::from_secs(1));
    assert!(!world.refuse(&caller, emails), "labels were answered since the 401 by which it was learnt");
    world.hand.advance(Duration::from_secs(600));
    assert!(world.refuse(&caller, emails), "and not since this one");
}

/// A read of another replica is as good a witness, by the time at which it was sent.
#[test]
fn what_another_replica_proved_since_a_401_says_that_the_key_is_sound() {
    for (after, is_sound) in [(Duration::from_millis(1), true), (Duration::ZERO, false)] {
        let world = world();
        let caller = world.credential("a", None);
        let organization = world.organization(1);
        let emails = world.unauthorized("/api/v2/emails", None);
        let adopt =
            || world.bindings.adopt(&caller, &LEAD_LABEL, &organization, world.tick(), world.clock.now());
        assert_eq!(adopt(), ProofResult::Bound);
        world.hand.advance(Duration::from_secs(1));
        assert!(world.refuse(&caller, emails), "the proof was older");
        world.hand.advance(after);
        assert_eq!(adopt(), ProofResult::Renewed);
        assert_eq!(world.refuse(&caller, emails), !is_sound, "{after:?}");
    }
}
