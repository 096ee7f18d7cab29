use http::{HeaderMap, HeaderValue, Method};
use uuid::Uuid;

use super::super::shard::{Binding, REFUSALS};
use super::*;
use crate::caller::credential::Digester;
use crate::clock::{Clock, ManualClock};
use crate::fence::Fence;
use crate::resource::LEAD_LABEL;

mod attempts;
mod ends;

/// A resource of which nothing is known but that it is another one.
static TAG: Descriptor = Descriptor { name: "tag", ..LEAD_LABEL };

struct World {
    clock: Clock,
    hand: ManualClock,
    fence: Fence,
    digester: Digester,
    bindings: Bindings,
    rules: config::Proof,
}

fn world() -> World {
    world_of(100)
}

fn world_of(max_credentials: usize) -> World {
    let (clock, hand) = Clock::manual();
    let max_credentials = NonZeroUsize::new(max_credentials).unwrap();
    let rules = config::Proof {
        max_age: Duration::from_secs(60),
        outage_max_age: Duration::from_secs(300),
        max_credentials,
    };
    World {
        clock,
        hand,
        fence: Fence::default(),
        digester: Digester::default(),
        bindings: Bindings::new(max_credentials),
        rules,
    }
}

impl World {
    fn credential(&self, token: &str, workspace: Option<u128>) -> Credential {
        let mut fields = HeaderMap::new();
        fields.insert("authorization", HeaderValue::try_from(format!("Bearer {token}")).unwrap());
        if let Some(number) = workspace {
            let workspace = Uuid::from_u128(number).to_string();
            fields.insert("x-as-workspace", HeaderValue::try_from(workspace).unwrap());
        }
        self.digester.credential(&fields).unwrap()
    }

    fn organization(&self, number: u128) -> Arc<Organization> {
        self.fence.organizations().get(OrganizationId::example(number), self.clock.now())
    }

    fn tick(&self) -> Tick {
        self.fence.sequence().advance()
    }

    fn prove(&self, credential: &Credential, organization: u128) -> ProofResult {
        let organization = self.organization(organization);
        self.bindings.prove(credential, &LEAD_LABEL, &organization, self.tick(), self.clock.now())
    }

    fn prove_by(&self, resource: &'static Descriptor, credential: &Credential) -> ProofResult {
        let organization = self.organization(1);
        self.bindings.prove(credential, resource, &organization, self.tick(), self.clock.now())
    }

    /// By which of labels and tags it is proven.
    fn proven_by(&self, credential: &Credential) -> (bool, bool) {
        let by = |resource| {
            let standing = self.bindings.standing(credential, resource, &self.rules, self.clock.now());
            matches!(standing, Standing::Proven { .. })
        };
        (by(&LEAD_LABEL), by(&TAG))
    }

    fn refuse(&self, credential: &Credential, refusal: Refusal) -> bool {
        self.bindings.refuse(credential, refusal, self.tick(), self.clock.now()).1 != Ended::Nothing
    }

    fn is_proven(&self, credential: &Credential) -> bool {
        matches!(
            self.bindings.standing(credential, &LEAD_LABEL, &self.rules, self.clock.now()),
            Standing::Proven { .. }
        )
    }

    fn unauthorized(&self, path: &str, on_resource: Option<&'static Descriptor>) -> Refusal {
        Refusal::Unauthorized { route: self.digester.route(&Method::GET, path), on_resource }
    }
}

#[test]
fn a_proof_lasts_max_age_and_asks_for_renewal_in_its_last_quarter() {
    let world = world();
    let caller = world.credential("a", None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    let renew = || match world.bindings.standing(&caller, &LEAD_LABEL, &world.rules, world.clock.now()) {
        Standing::Proven { renew, .. } => Some(renew),
        _ => None,
    };
    assert_eq!(renew(), Some(false));
    world.hand.advance(Duration::from_secs(44));
    assert_eq!(renew(), Some(false));
    world.hand.advance(Duration::from_secs(1));
    assert_eq!(renew(), Some(true));
    world.hand.advance(Duration::from_secs(15));
    assert_eq!(renew(), Some(true), "at max_age");
    world.hand.advance(Duration::from_millis(1));
    assert_eq!(renew(), None, "use does not prolong it");
}

#[test]
fn a_401_reaches_every_credential_of_that_authorization_and_no_other() {
    let world = world();
    let (plain, acting) = (world.credential("a", None), world.credential("a", Some(2)));
    let other = world.credential("b", None);
    for (credential, organization) in [(&plain, 1), (&acting, 2), (&other, 1)] {
        assert_eq!(world.prove(credential, organization), ProofResult::Bound);
    }
    assert!(world.refuse(&acting, world.unauthorized("/api/v2/leads", None)));
    assert!(!world.is_proven(&plain) && !world.is_proven(&acting));
    assert!(world.is_proven(&other));
    assert!(world.bindings.organization(&plain).is_some(), "the binding stays");
}

#[test]
fn a_402_ends_the_proof_of_this_credential_alone() {
    let world = world();
    let (plain, acting) = (world.credential("a", None), world.credential("a", Some(2)));
    assert_eq!(world.prove(&plain, 1), ProofResult::Bound);
    assert_eq!(world.prove(&acting, 2), ProofResult::Bound);
    world.refuse(&acting, Refusal::Credential);
    assert!(world.is_proven(&plain) && !world.is_proven(&acting));
}

#[test]
fn a_200_sent_before_a_refusal_arrived_proves_nothing() {
    let world = world();
    let caller = world.credential("a", None);
    let organization = world.organization(1);
    let begun = world.tick();
    world.refuse(&caller, Refusal::Credential);
    let late = world.bindings.prove(&caller, &LEAD_LABEL, &organization, begun, world.clock.now());
    assert_eq!(late, ProofResult::Late);
    assert!(!world.is_proven(&caller));
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound, "a read sent after it does");
}

#[test]
fn a_late_200_is_refused_even_when_the_refusal_left_its_table() {
    let world = world();
    let caller = world.credential("a", None);
    let organization = world.organization(1);
    let begun = world.tick();
    world.refuse(&caller, world.unauthorized("/api/v2/lead-labels", Some(&LEAD_LABEL)));
    for number in 0..REFUSALS.get() {
        let other = world.credential(&format!("garbage{number}"), None);
        world.refuse(&other, world.unauthorized("/api/v2/lead-labels", Some(&LEAD_LABEL)));
    }
    let late = world.bindings.prove(&caller, &LEAD_LABEL, &organization, begun, world.clock.now());
    assert_eq!(late, ProofResult::Late);
}

#[test]
fn a_401_for_want_of_a_scope_is_learnt_and_then_ends_nothing_for_ten_minutes() {
    let world = world();
    let caller = world.credential("a", None);
    let emails = world.unauthorized("/api/v2/emails", None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    assert!(world.refuse(&caller, emails), "the first one may mean the key");
    assert!(!world.is_proven(&caller));
    assert_eq!(world.prove(&caller, 1), ProofResult::Renewed);
    assert!(!world.refuse(&caller, emails), "the labels were answered since");
    assert!(world.is_proven(&caller));
    assert!(
        world.refuse(&caller, world.unauthorized("/api/v2/lead-labels", Some(&LEAD_LABEL))),
        "a label path always counts"
    );
    assert!(!world.is_proven(&caller));
}

#[test]
fn a_401_without_a_label_answer_in_between_counts_again() {
    let world = world();
    let caller = world.credential("a", None);
    let emails = world.unauthorized("/api/v2/emails", None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    assert!(world.refuse(&caller, emails));
    assert!(world.refuse(&caller, emails));
}

#[test]
fn a_key_that_moved_to_another_organization_is_unbound() {
    let world = world();
    let caller = world.credential("a", None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    assert_eq!(world.prove(&caller, 2), ProofResult::Moved);
    assert!(matches!(
        world.bindings.standing(&caller, &LEAD_LABEL, &world.rules, world.clock.now()),
        Standing::Unknown
    ));
    assert_eq!(world.prove(&caller, 2), ProofResult::Bound);
}

impl World {
    /// A 200 that names an organization, to a read that was begun then.
    fn answer(&self, credential: &Credential, organization: u128, begun: Tick) -> ProofResult {
        let organization = self.organization(organization);
        self.bindings.prove(credential, &LEAD_LABEL, &organization, begun, self.clock.now())
    }
}

#[test]
fn an_answer_from_before_a_key_moved_brings_its_old_organization_back_by_no_way() {
    let world = world();
    let caller = world.credential("a", None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    let slow = world.tick();
    // Either the body itself shows it, or the gate has found that it belongs to somebody else.
    assert_eq!(world.prove(&caller, 2), ProofResult::Moved);
    assert_eq!(world.answer(&caller, 1, slow), ProofResult::Late);
    let slow = world.tick();
    world.bindings.drop_binding(&caller, world.tick());
    assert_eq!(world.answer(&caller, 1, slow), ProofResult::Late);
    assert!(!world.is_proven(&caller));
    assert_eq!(world.prove(&caller, 2), ProofResult::Bound);
}

/// It may be somebody else's: whoever was bound while it was on its way is not given it, and both are doubted.
#[test]
fn an_answer_of_another_organization_than_the_bound_one_is_nobodys_however_old() {
    let world = world();
    let caller = world.credential("a", None);
    let slow = world.tick();
    assert_eq!(world.prove(&caller, 2), ProofResult::Bound);
    assert_eq!(world.answer(&caller, 1, slow), ProofResult::Moved);
    assert!(!world.is_proven(&caller));
}

#[test]
fn a_first_proof_that_was_under_way_when_proofs_were_ended_binds_nothing() {
    for purged in [None, Some(OrganizationId::example(1).name())] {
        let world = world();
        let caller = world.credential("a", None);
        let (read, looked_up) = (world.tick(), world.tick());
        world.bindings.end_proofs(purged, world.tick());
        assert_eq!(world.answer(&caller, 1, read), ProofResult::Late);
        let organization = world.organization(1);
        let adopted = world.bindings.adopt(&caller, &LEAD_LABEL, &organization, looked_up, world.clock.now());
        assert_eq!(adopted, ProofResult::Late);
        let other = world.credential("b", None);
        let of_another = world.answer(&other, 2, read);
        assert_eq!(of_another, if purged.is_some() { ProofResult::Bound } else { ProofResult::Late });
        assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
        // Nor does it prove another resource by which it was read before that.
        let by_tags = world.bindings.prove(&caller, &TAG, &organization, looked_up, world.clock.now());
        assert_eq!(by_tags, ProofResult::Late);
    }
}

#[test]
fn of_two_refusals_that_come_in_the_wrong_order_the_later_one_counts() {
    let world = world();
    let caller = world.credential("a", None);
    let (first, begun, second) = (world.tick(), world.tick(), world.tick());
    for arrived in [second, first] {
        world.bindings.refuse(&caller, Refusal::Credential, arrived, world.clock.now());
    }
    assert_eq!(world.answer(&caller, 1, begun), ProofResult::Late);
}

#[test]
fn an_old_proof_does_no_more_once_a_later_attempt_was_answered_whatever_it_says() {
    let world = world();
    let caller = world.credential("a", None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    let sent_before = world.clock.now();
    world.hand.advance(Duration::from_secs(61));
    world.bindings.note_failure(&caller, &LEAD_LABEL, world.clock.now());
    let is_confirmed = || {
        world.bindings.outage(&caller, &LEAD_LABEL, world.clock.now()).is_some_and(|outage| outage.confirmed)
    };
    world.bindings.note_answered(&caller, &LEAD_LABEL, sent_before);
    assert!(is_confirmed(), "an answer to what was sent before the failure");
    world.hand.advance(Duration::from_secs(1));
    world.bindings.note_answered(&caller, &LEAD_LABEL, world.clock.now());
    assert!(!is_confirmed());
}

#[test]
fn the_least_recently_proven_credential_leaves() {
    let world = world_of(2);
    let callers: Vec<_> = ["a", "b", "c"].iter().map(|token| world.credential(token, None)).collect();
    for caller in &callers[..2] {
        assert_eq!(world.prove(caller, 1), ProofResult::Bound);
    }
    assert_eq!(world.prove(&callers[0], 1), ProofResult::Renewed);
    assert_eq!(world.prove(&callers[2], 1), ProofResult::Bound);
    assert!(world.is_proven(&callers[0]) && !world.is_proven(&callers[1]) && world.is_proven(&callers[2]));
    assert_eq!(world.bindings.count(), 2);
}

#[test]
fn an_old_proof_does_only_while_the_upstream_cannot_be_asked() {
    let world = world();
    let caller = world.credential("a", None);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    world.hand.advance(Duration::from_secs(61));
    let outage = || match world.bindings.standing(&caller, &LEAD_LABEL, &world.rules, world.clock.now()) {
        Standing::Lapsed { outage, .. } => outage,
        other => panic!("{other:?}"),
    };
    assert_eq!(outage(), Some(Outage { confirmed: false, attempt_due: true }));
    world.bindings.note_attempt(&caller, &LEAD_LABEL, world.clock.now());
    world.bindings.note_failure(&caller, &LEAD_LABEL, world.clock.now());
    assert_eq!(outage(), Some(Outage { confirmed: true, attempt_due: false }));
    world.hand.advance(Duration::from_secs(2));
    assert_eq!(outage(), Some(Outage { confirmed: true, attempt_due: true }));
    world.hand.advance(Duration::from_secs(3));
    assert_eq!(outage(), Some(Outage { confirmed: false, attempt_due: true }));
    world.hand.advance(Duration::from_secs(235));
    assert_eq!(outage(), None, "over outage_max_age");
}

#[test]
fn a_purge_of_an_organization_ends_its_proofs() {
    let world = world();
    let (a, b) = (world.credential("a", None), world.credential("b", None));
    assert_eq!(world.prove(&a, 1), ProofResult::Bound);
    assert_eq!(world.prove(&b, 2), ProofResult::Bound);
    assert_eq!(world.bindings.end_proofs(Some(OrganizationId::example(1).name()), world.tick()), 1);
    assert!(!world.is_proven(&a) && world.is_proven(&b));
    assert_eq!(world.bindings.end_proofs(None, world.tick()), 1);
}

#[test]
fn a_table_that_shrinks_forgets_the_least_recently_proven_at_once() {
    let world = world_of(100);
    let callers: Vec<_> = (0..10).map(|number| world.credential(&format!("t{number}"), None)).collect();
    for caller in &callers {
        assert_eq!(world.prove(caller, 1), ProofResult::Bound);
    }
    world.bindings.resize(NonZeroUsize::new(3).unwrap());
    assert_eq!(world.bindings.count(), 3);
    assert!(!world.is_proven(&callers[6]) && world.is_proven(&callers[7]));
    assert_eq!(world.prove(&callers[0], 1), ProofResult::Bound);
    assert_eq!(world.bindings.count(), 3);
    assert!(!world.is_proven(&callers[7]), "and it stays small");

    let large = world_of(10_000);
    large.bindings.resize(NonZeroUsize::new(100).unwrap());
    for number in 0..1000 {
        assert_eq!(large.prove(&large.credential(&format!("t{number}"), None), 1), ProofResult::Bound);
    }
    assert!(large.bindings.count() <= 100, "{}", large.bindings.count());
}

#[test]
fn a_refusal_says_whether_it_ended_a_proof_so_that_random_tokens_are_told_to_nobody() {
    let world = world();
    let caller = world.credential("a", None);
    let refuse = |refusal| world.bindings.refuse(&caller, refusal, world.tick(), world.clock.now()).1;
    assert_eq!(refuse(Refusal::Credential), Ended::NoProof);
    assert_eq!(world.prove(&caller, 1), ProofResult::Bound);
    assert_eq!(refuse(Refusal::Credential), Ended::Proofs);
    assert_eq!(refuse(Refusal::Credential), Ended::NoProof, "once is enough");
    assert_eq!(world.prove(&caller, 1), ProofResult::Renewed);
    assert_eq!(
        world.bindings.refuse_authorization(caller.authorization_digest(), world.tick()),
        Ended::Proofs
    );
}

/// R1, R2: a key has scopes by resource.
#[test]
fn a_proof_by_one_resource_binds_and_proves_nothing_for_another() {
    let world = world();
    let caller = world.credential("a", None);
    assert_eq!(world.prove_by(&TAG, &caller), ProofResult::Bound);
    assert_eq!(world.proven_by(&caller), (false, true));
    let id = OrganizationId::example(1);
    let standing = world.bindings.standing(&caller, &LEAD_LABEL, &world.rules, world.clock.now());
    assert!(matches!(standing, Standing::Lapsed { organization, outage: None } if organization.id() == id));
    let proven_for =
        |resource| world.bindings.is_proven_for(&caller, resource, id, &world.rules, world.clock.now());
    assert!(proven_for(&TAG) && !proven_for(&LEAD_LABEL));
    assert_eq!(world.prove_by(&LEAD_LABEL, &caller), ProofResult::Renewed);
    assert_eq!(world.proven_by(&caller), (true, true));
    world.hand.advance(Duration::from_secs(50));
    assert_eq!(world.prove_by(&TAG, &caller), ProofResult::Renewed);
    world.hand.advance(Duration::from_secs(20));
    assert_eq!(world.proven_by(&caller), (false, true), "each ages by itself");
}

/// R1: nothing of another resource's proof does in an outage either.
#[test]
fn in_an_outage_each_resource_has_its_own_proof_and_its_own_failures() {
    let world = world();
    let caller = world.credential("a", None);
    assert_eq!(world.prove_by(&TAG, &caller), ProofResult::Bound);
    world.hand.advance(Duration::from_secs(61));
    world.bindings.note_failure(&caller, &TAG, world.clock.now());
    let outage = |resource| match world.bindings.standing(&caller, resource, &world.rules, world.clock.now())
    {
        Standing::Lapsed { outage, .. } => outage.map(|outage| outage.confirmed),
        other => panic!("{other:?}"),
    };
    assert_eq!((outage(&TAG), outage(&LEAD_LABEL)), (Some(true), None));
    assert_eq!(world.prove_by(&LEAD_LABEL, &caller), ProofResult::Renewed);
    world.hand.advance(Duration::from_secs(61));
    world.bindings.note_failure(&caller, &TAG, world.clock.now());
    assert_eq!((outage(&TAG), outage(&LEAD_LABEL)), (Some(true), Some(false)));
}

/// R1: a 403 speaks of the resource on whose path it came, a 402 of the credential, a 401 of the key.
#[test]
fn a_refusal_ends_the_proofs_that_it_speaks_of_and_no_other() {
    let (world, key) = (world(), "a");
    let (plain, acting) = (world.credential(key, None), world.credential(key, Some(1)));
    let on_tags = world.unauthorized("/api/v2/tags", Some(&TAG));
    for (refusal, here, beside) in [
        (Refusal::Resource(&TAG), (true, false), (true, true)),
        (Refusal::Resource(&LEAD_LABEL), (false, true), (true, true)),
        (Refusal::Credential, (false, false), (true, true)),
        (on_tags, (false, false), (false, false)),
    ] {
        for credential in [&plain, &acting] {
            let _ = (world.prove_by(&LEAD_LABEL, credential), world.prove_by(&TAG, credential));
        }
        assert!(world.refuse(&plain, refusal));
        assert_eq!((world.proven_by(&plain), world.proven_by(&acting)), (here, beside), "{refusal:?}");
    }
}

#[test]
fn a_200_sent_before_a_refusal_by_its_resource_proves_nothing_and_one_of_another_resource_does() {
    let world = world();
    let caller = world.credential("a", None);
    let (organization, begun, now) = (world.organization(1), world.tick(), world.clock.now());
    world.refuse(&caller, Refusal::Resource(&TAG));
    let prove = |resource| world.bindings.prove(&caller, resource, &organization, begun, now);
    assert_eq!(prove(&TAG), ProofResult::Late);
    assert_eq!(world.bindings.adopt(&caller, &TAG, &organization, begun, now), ProofResult::Late);
    assert!(world.bindings.is_refused_since(&caller, &TAG, begun));
    assert!(!world.bindings.is_refused_since(&caller, &LEAD_LABEL, begun));
    assert_eq!(prove(&LEAD_LABEL), ProofResult::Bound);
    assert_eq!(world.proven_by(&caller), (true, false));
}

#[test]
fn what_another_replica_proved_is_a_proof_by_its_resource_alone() {
    let world = world();
    let caller = world.credential("a", None);
    let (organization, now) = (world.organization(1), world.clock.now());
    let adopt = |resource| world.bindings.adopt(&caller, resource, &organization, world.tick(), now);
    assert_eq!(adopt(&TAG), ProofResult::Bound);
    assert_eq!(world.proven_by(&caller), (false, true));
    assert_eq!(
        world.bindings.refuse_by(&LEAD_LABEL, caller.authorization_digest(), caller.digest(), world.tick()),
        Ended::NoProof
    );
    assert_eq!(world.proven_by(&caller), (false, true));
    assert_eq!(adopt(&LEAD_LABEL), ProofResult::Renewed);
    assert_eq!(world.bindings.end_proofs(None, world.tick()), 2, "a purge ends both");
    assert_eq!(world.proven_by(&caller), (false, false));
}

/// A key that lacks the scope of one resource, which the API says by 401: the first may mean the key, the next do not.
#[test]
fn a_401_for_want_of_a_resources_scope_is_learnt_and_then_ends_the_proof_by_that_resource_alone() {
    let world = world();
    let caller = world.credential("a", None);
    let on_tags = world.unauthorized("/api/v2/tags", Some(&TAG));
    let _ = world.prove_by(&LEAD_LABEL, &caller);
    assert!(world.refuse(&caller, on_tags));
    assert_eq!(world.proven_by(&caller), (false, false), "the first one may mean the key");
    for _ in 0..2 {
        let _ = (world.prove_by(&TAG, &caller), world.prove_by(&LEAD_LABEL, &caller));
        let (told, _) = world.bindings.refuse(&caller, on_tags, world.tick(), world.clock.now());
        assert_eq!(told, Refusal::Resource(&TAG), "and so are other replicas told");
        assert_eq!(world.proven_by(&caller), (true, false), "labels were answered since");
    }
    assert!(world.refuse(&caller, world.unauthorized("/api/v2/lead-labels", Some(&LEAD_LABEL))));
    assert_eq!(world.proven_by(&caller), (false, false), "a revocation ends all");
}

#[test]
fn a_binding_takes_56_bytes_beside_its_place_in_the_table() {
    assert_eq!(size_of::<Binding>(), 56);
}

#[test]
fn who_acts_by_a_token_is_listed_by_it_until_it_leaves_and_nobody_else_is() {
    let world = world_of(2);
    let listed = || world.bindings.shards[0].lock().acting.values().map(Vec::len).sum::<usize>();
    let (plain, first, second) =
        (world.credential("a", None), world.credential("a", Some(2)), world.credential("a", Some(3)));
    assert_eq!((world.prove(&plain, 1), listed()), (ProofResult::Bound, 0));
    assert_eq!((world.prove(&first, 2), listed()), (ProofResult::Bound, 1));
    assert_eq!((world.prove(&second, 3), listed()), (ProofResult::Bound, 2), "the plain one has left");
    assert_eq!((world.prove(&plain, 1), listed()), (ProofResult::Bound, 1), "the first one has left");
    world.refuse(&plain, world.unauthorized("/api/v2/leads", None));
    assert!(!world.is_proven(&plain) && !world.is_proven(&second));
    world.bindings.drop_binding(&second, world.tick());
    assert_eq!(listed(), 0);
}

/// A cache on the way to the API may give it again, long after.
#[test]
fn a_200_with_an_age_proves_nothing_for_who_was_refused_or_whose_proofs_were_ended() {
    let world = world();
    let aged = |credential: &Credential, of: u128| {
        let (begun, now) = (world.tick(), world.clock.now());
        let (organization, sent) = (world.organization(of), now.back(Duration::from_secs(21)));
        world.bindings.prove_by_aged(credential, &LEAD_LABEL, &organization, begun, sent)
    };
    let (refused, moved) = (world.credential("a", None), world.credential("b", None));
    let (ended, sound) = (world.credential("c", None), world.credential("d", None));
    for (credential, of) in [(&refused, 1), (&moved, 2), (&ended, 3), (&sound, 4)] {
        assert_eq!(world.prove(credential, of), ProofResult::Bound);
    }
    world.refuse(&refused, world.unauthorized("/api/v2/leads", None));
    world.bindings.drop_binding(&moved, world.tick());
    assert_eq!((aged(&refused, 1), aged(&moved, 2)), (ProofResult::Late, ProofResult::Late));
    assert_eq!(aged(&sound, 4), ProofResult::Renewed);
    assert_eq!(world.prove(&refused, 1), ProofResult::Renewed, "one that was given just now does");
    assert_eq!(world.bindings.end_proofs(Some(OrganizationId::example(3).name()), world.tick()), 1);
    assert_eq!(aged(&ended, 3), ProofResult::Late);
}
