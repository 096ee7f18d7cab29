//! Proof, refusal and delivery in every order of their steps, over the real bindings: nothing is served to a key behind the refusal
//! that it was told of, and no late 200 undoes one. Each way to get an order wrong is found out.

use std::sync::atomic::Ordering::SeqCst;

use http::{HeaderMap, HeaderValue, Method};

use super::*;
use crate::caller::credential::Digester;
use crate::clock::Clock;
use crate::lock::AtomicU64;
use crate::lock::interleavings::{Explored, explore};
use crate::organization::Organizations;
use crate::resource::LEAD_LABEL;
use crate::tick::Sequence;

/// What stands around the bindings: whether the key is revoked upstream, and whether its caller was told.
struct World {
    bindings: Bindings,
    sequence: Sequence,
    credential: Credential,
    organization: Arc<Organization>,
    digester: Digester,
    rules: config::Proof,
    now: Moment,
    revoked: AtomicU64,
    told: AtomicU64,
}

impl World {
    /// The key has a proof already.
    fn new() -> Self {
        let (clock, _) = Clock::manual();
        let (sequence, digester) = (Sequence::default(), Digester::default());
        let fields =
            HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer a"))]);
        let credential = digester.credential(&fields).unwrap();
        let organization = Organizations::default().get(OrganizationId::example(1), clock.now());
        let max_credentials = NonZeroUsize::new(100).unwrap();
        let rules = config::Proof {
            max_age: Duration::from_secs(60),
            outage_max_age: Duration::from_secs(300),
            max_credentials,
        };
        let bindings = Bindings::new(max_credentials);
        let now = clock.now();
        let proof = bindings.prove(&credential, &LEAD_LABEL, &organization, sequence.advance(), now);
        assert_eq!(proof, ProofResult::Bound);
        let [revoked, told] = [const { AtomicU64::new(0) }; 2];
        Self { bindings, sequence, credential, organization, digester, rules, now, revoked, told }
    }

    fn is_proven(&self) -> bool {
        let standing = self.bindings.standing(&self.credential, &LEAD_LABEL, &self.rules, self.now);
        matches!(standing, Standing::Proven { .. })
    }

    /// What a follower is asked for at delivery.
    fn may_be_delivered(&self) -> bool {
        let organization = self.organization.id();
        self.bindings.is_proven_for(&self.credential, &LEAD_LABEL, organization, &self.rules, self.now)
    }

    fn refusal(&self, kind: Kind) -> Refusal {
        match kind {
            Kind::Unauthorized => Refusal::Unauthorized {
                route: self.digester.route(&Method::GET, LEAD_LABEL.collection),
                on_resource: Some(&LEAD_LABEL),
            },
            Kind::Credential => Refusal::Credential,
            Kind::Resource => Refusal::Resource(&LEAD_LABEL),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Unauthorized,
    Credential,
    Resource,
}

/// What may be done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// A read takes its tick when its answer is here.
    TicksLate,
    /// A refusal counts from when its call began.
    CountsFromItsCall,
    /// The refusal is passed on before it ends the proof.
    TellsFirst,
    /// A follower is served what it waited for without being asked for again.
    Delivers,
}

/// A read that proves, a call that is refused, and a follower to whom something is delivered that it joined before.
fn orders(kind: Kind, wrong: Wrong) -> Result<Explored, String> {
    let prove = |world: &World| {
        let early = world.sequence.advance();
        let is_revoked = world.revoked.load(SeqCst) == 1;
        let begun = if wrong == Wrong::TicksLate { world.sequence.advance() } else { early };
        if !is_revoked {
            let World { bindings, credential, organization, now, .. } = world;
            let _ = bindings.prove(credential, &LEAD_LABEL, organization, begun, *now);
        }
    };
    let refuse = |world: &World| {
        let early = world.sequence.advance();
        world.revoked.store(1, SeqCst);
        let arrived = if wrong == Wrong::CountsFromItsCall { early } else { world.sequence.advance() };
        if wrong == Wrong::TellsFirst {
            world.told.store(1, SeqCst);
        }
        let refusal = world.refusal(kind);
        world.bindings.refuse(&world.credential, refusal, arrived, world.now);
        world.told.store(1, SeqCst);
    };
    let follow = |world: &World| {
        if !world.is_proven() {
            return;
        }
        let is_told = world.told.load(SeqCst) == 1;
        if wrong == Wrong::Delivers || world.may_be_delivered() {
            assert!(!is_told, "served behind its refusal");
        }
    };
    explore(World::new, &[&prove, &refuse, &follow], |world| {
        assert!(!world.is_proven() && !world.may_be_delivered(), "a late 200 undid the refusal");
    })
}

#[test]
fn no_order_of_a_proof_a_refusal_and_a_delivery_serves_behind_the_refusal() {
    let mut sum = Explored::default();
    for kind in [Kind::Unauthorized, Kind::Credential, Kind::Resource] {
        let explored = orders(kind, Wrong::Nothing).unwrap_or_else(|fault| panic!("{kind:?}: {fault}"));
        sum = Explored { orders: sum.orders + explored.orders, steps: sum.steps + explored.steps };
    }
    println!("bindings: {} orders of {} steps", sum.orders, sum.steps);
    assert!(sum.orders > 30, "{sum:?}");
}

#[test]
fn each_step_of_a_proof_that_is_left_out_or_swapped_is_found_out() {
    for kind in [Kind::Unauthorized, Kind::Credential, Kind::Resource] {
        for wrong in [Wrong::TicksLate, Wrong::CountsFromItsCall, Wrong::TellsFirst, Wrong::Delivers] {
            let found = orders(kind, wrong);
            assert!(found.is_err(), "{wrong:?} is not found: {kind:?}: {found:?}");
        }
    }
}

/// What may end a proof.
#[derive(Clone, Copy, Debug)]
enum End {
    Refused(Kind),
    Purged,
    PurgedOfItsOrganization,
}

/// A cache on the way gives again what the API said before, however late it is asked.
#[test]
fn no_order_of_a_200_with_an_age_and_of_what_ends_proofs_leaves_one() {
    let ends = [Kind::Unauthorized, Kind::Credential, Kind::Resource].map(End::Refused);
    for end in ends.into_iter().chain([End::Purged, End::PurgedOfItsOrganization]) {
        let prove = |world: &World| {
            let World { bindings, credential, organization, now, .. } = world;
            let begun = world.sequence.advance();
            let _ = bindings.prove_by_aged(credential, &LEAD_LABEL, organization, begun, *now);
        };
        let ended = |world: &World| {
            let World { bindings, credential, organization, .. } = world;
            let at = world.sequence.advance();
            match end {
                End::Refused(kind) => {
                    let _ = bindings.refuse(credential, world.refusal(kind), at, world.now);
                }
                End::Purged => {
                    bindings.end_proofs(None, at);
                }
                End::PurgedOfItsOrganization => {
                    bindings.end_proofs(Some(organization.id().name()), at);
                }
            }
        };
        let explored = explore(World::new, &[&prove, &ended], |world| {
            assert!(!world.is_proven(), "what was said before proves somebody behind that");
        });
        let explored = explored.unwrap_or_else(|fault| panic!("{end:?}: {fault}"));
        assert!(explored.orders > 2, "{end:?}: {explored:?}");
    }
}
