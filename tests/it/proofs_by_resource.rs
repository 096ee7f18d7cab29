//! A proof belongs to a resource. A key has scopes by resource: what proves it for one says whose it is, and gives it nothing
//! of another.

use std::time::Duration;

use crate::support::labels::token;
use crate::support::{
    Answer, CAMPAIGN_KIND, Caller, GADGET_KIND, Kind, LABEL, LIST, Mixed, Recorded, TAG, WORKSPACE,
};

/// Each resource, and one that its key may not read.
const PAIRS: [(Kind, Kind); 6] = [
    (LABEL, TAG),
    (TAG, LABEL),
    (GADGET_KIND, LABEL),
    (LIST, TAG),
    (CAMPAIGN_KIND, LIST),
    (LABEL, CAMPAIGN_KIND),
];

/// Key 1 of organization `a`, proven by this kind and by the other, whose items 1 everybody of `a` has in memory.
async fn proven_by_both(mixed: &Mixed, kind: Kind, other: Kind) -> Caller {
    let caller = kind.proven(mixed, "a", 1).await;
    other.prove(&caller, "a").await;
    for kind in [kind, other] {
        caller.get(&kind.path(1)).send().await.assert_hit();
    }
    caller
}

#[tokio::test]
async fn a_key_without_the_scope_of_a_resource_never_gets_it_from_memory() {
    for (kind, other) in PAIRS {
        let mixed = Mixed::start();
        mixed.forbid(other, &token("a", 1), 403);
        other.proven(&mixed, "a", 2).await.get(other.list()).send().await.assert_miss();
        let caller = kind.proven(&mixed, "a", 1).await;
        let before = mixed.world.upstream.count();
        for target in [&*other.path(1), other.list(), &*other.path(1)] {
            caller.get(target).send().await.assert_refused_upstream(403);
            caller.get(&kind.path(1)).send().await.assert_hit();
        }
        assert_eq!(mixed.world.upstream.count() - before, 3, "each was asked upstream, and nothing else");
    }
}

#[tokio::test]
async fn the_first_read_of_a_resource_goes_upstream_with_the_keys_own_token() {
    for (kind, other) in PAIRS {
        let mixed = Mixed::start();
        other.proven(&mixed, "a", 2).await;
        let caller = kind.proven(&mixed, "a", 1).await;
        caller.get(&other.path(1)).send().await.assert_label(&other.text("a", 1)).assert_proof();
        let own = |request: &Recorded| {
            request.is("GET", &other.path(1))
                && request.field("authorization").is_some_and(|value| value.ends_with(&token("a", 1)))
        };
        assert_eq!(mixed.world.upstream.count_of(own), 1);
        caller.get(&other.path(1)).send().await.assert_hit();
    }
}

#[tokio::test]
async fn a_403_ends_the_proof_of_its_resource_alone() {
    for (kind, other) in PAIRS {
        let mixed = Mixed::start();
        let caller = proven_by_both(&mixed, kind, other).await;
        mixed.forbid(other, &token("a", 1), 403);
        caller.get(&other.path(2)).send().await.assert_refused_upstream(403);
        caller.get(&other.path(1)).send().await.assert_refused_upstream(403);
        caller.get(&kind.path(1)).send().await.assert_hit();
    }
}

#[tokio::test]
async fn a_401_and_a_402_end_the_proofs_of_every_resource() {
    for (kind, other) in PAIRS {
        for status in [401, 402] {
            let mixed = Mixed::start();
            let caller = proven_by_both(&mixed, kind, other).await;
            mixed.forbid(other, &token("a", 1), status);
            caller.get(&other.path(2)).send().await.assert_refused_upstream(status);
            caller.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1)).assert_proof();
        }
    }
}

#[tokio::test]
async fn a_follower_without_the_scope_gets_nothing_of_anothers_flight() {
    for (kind, other) in PAIRS {
        let mixed = Mixed::start();
        let leader = other.proven(&mixed, "a", 2).await;
        let caller = proven_by_both(&mixed, kind, other).await;
        let path = other.path(2);
        let gate = mixed.world.upstream.hold({
            let path = path.clone();
            move |request| request.is("GET", &path)
        });
        let led = tokio::spawn({
            let (leader, path) = (leader.clone(), path.clone());
            async move { leader.get(&path).send().await }
        });
        gate.held(1).await;
        let followed = tokio::spawn({
            let (caller, path) = (caller.clone(), path.clone());
            async move { caller.get(&path).send().await }
        });
        // A call that goes upstream and comes back: the follower has begun with by then.
        leader.get("/api/v2/accounts").send().await.assert_status(200);
        // Meanwhile the follower loses its scope: told by a read that is not held.
        mixed.forbid(other, &token("a", 1), 403);
        caller.get(&other.path(3)).send().await.assert_refused_upstream(403);
        gate.release();
        led.await.expect("a reply").assert_label(&other.text("a", 2));
        followed.await.expect("a reply").assert_refused_upstream(403);
        caller.get(&kind.path(1)).send().await.assert_hit();
    }
}

/// While the API cannot be asked an old proof does, and never another resource's.
#[tokio::test]
async fn in_an_outage_nothing_is_served_by_another_resources_proof() {
    for (kind, other) in PAIRS {
        let mixed = Mixed::start_with(|config| {
            for lifetimes in [&mut config.cache.lead_labels, &mut config.cache.lead_label_lists] {
                lifetimes.ttl = Duration::from_secs(3600);
            }
        });
        other.proven(&mixed, "a", 2).await;
        let caller = kind.proven(&mixed, "a", 1).await;
        mixed.world.proxy.advance_seconds(61);
        for path in [kind.path(1), other.path(1)] {
            mixed.world.upstream.reply_to("GET", &path, Answer::json(503, "{}"));
        }
        let reply = caller.get(&other.path(1)).send().await;
        assert!(reply.status >= 500 && !reply.text().contains(&other.text("a", 1)), "{reply:?}");
    }
}

/// The organization is one: whose budget is spent does not depend on what is read.
#[tokio::test]
async fn a_credential_is_bound_once_whichever_resources_prove_it() {
    for (kind, other) in PAIRS {
        let mixed = Mixed::start();
        let caller = kind.proven(&mixed, "a", 1).await;
        caller.get(&other.path(1)).send().await.assert_proof();
        mixed.world.proxy.metric_reaches("instantly_proxy_bindings", &[], 1.0).await;
        assert!(mixed.world.proxy.metric("instantly_proxy_bindings", &[]).await < 2.0);
    }
}

#[tokio::test]
async fn a_proof_by_labels_opens_no_workspace_and_the_other_way_round() {
    let mixed = Mixed::start();
    let one = mixed.world.caller("a", 1);
    one.get(WORKSPACE).send().await.assert_status(200).assert_proof();
    one.get(WORKSPACE).send().await.assert_hit();
    let other = LABEL.proven(&mixed, "a", 2).await;
    mixed.forbid_at(WORKSPACE, &token("a", 2), 403);
    for _ in 0..2 {
        other.get(WORKSPACE).send().await.assert_refused_upstream(403);
        other.get(&LABEL.path(1)).send().await.assert_hit();
    }
    LABEL.prove(&one, "a").await;
    mixed.forbid(LABEL, &token("a", 1), 403);
    one.get(&LABEL.path(2)).send().await.assert_refused_upstream(403);
    one.get(WORKSPACE).send().await.assert_hit();
}
