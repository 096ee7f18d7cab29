//! No organization sees another's bytes, and nobody without a proof learns what is cached.
//!
//! Organizations `a` and `b` have labels under the same ids throughout, so that a key without the organization in it
//! would mix them up at once.

use instantly_proxy::error::ErrorKind;
use serde_json::json;

use crate::support::labels::{LABELS, error, label, label_id, label_path, organization, page, token};
use crate::support::{Answer, Reply, World, is_label_read, together};

#[tokio::test]
async fn the_same_label_id_gives_each_organization_its_own_label() {
    let world = World::start();
    let (a, b) = (world.proven("a", 1).await, world.proven("b", 1).await);
    for _ in 0..3 {
        a.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
        b.get(&label_path(1)).send().await.assert_label("b-1").assert_hit();
    }
    a.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
    b.get(&label_path(2)).send().await.assert_label("b-2").assert_miss();
    a.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
    assert_eq!(world.label_reads(), 4);
}

#[tokio::test]
async fn the_same_list_gives_each_organization_its_own_page() {
    let world = World::start();
    let target = format!("{LABELS}?limit=2");
    for (name, other) in [("a", "b"), ("b", "a")] {
        let caller = world.caller(name, 1);
        caller.get(&target).send().await.assert_status(200).assert_proof();
        let reply = caller.get(&target).send().await;
        assert!(reply.assert_hit().text().contains(&format!("\"{name}-1\"")), "{reply:?}");
        assert!(!reply.text().contains(&format!("\"{other}-")), "{reply:?}");
    }
}

#[tokio::test]
async fn concurrent_reads_of_one_id_never_cross_organizations() {
    let world = World::start();
    let callers = [world.proven("a", 1).await, world.proven("b", 1).await];
    let replies = together(40, |n| {
        let sent = callers[n % 2].get(&label_path(3)).send();
        async move { (n % 2, sent.await) }
    });
    for (index, reply) in replies.await {
        reply.assert_label(["a-3", "b-3"][index]);
    }
    assert_eq!(world.label_reads(), 4, "one fill for each organization");
}

#[tokio::test]
async fn a_second_token_of_an_organization_is_asked_upstream_once_and_then_hits() {
    let world = World::start();
    world.proven("a", 1).await;
    let second = world.proven("a", 2).await;
    assert_eq!(world.vendor.calls(&token("a", 2)), 1);
    second.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    assert_eq!(world.vendor.calls(&token("a", 2)), 1);
}

#[tokio::test]
async fn a_token_that_was_proven_by_one_label_hits_what_others_of_its_organization_stored() {
    let world = World::start();
    let first = world.proven("a", 1).await;
    first.get(&label_path(2)).send().await.assert_miss();
    let second = world.proven("a", 2).await;
    second.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
}

#[tokio::test]
async fn x_as_workspace_makes_another_credential_of_the_same_token() {
    let world = World::start();
    let (plain, for_a) = (world.proven("admin", 1).await, world.acting_for("a"));
    for_a.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    let for_b = world.acting_for("b");
    for_b.get(&label_path(1)).send().await.assert_label("b-1").assert_proof();
    plain.get(&label_path(1)).send().await.assert_label("admin-1").assert_hit();
    for_a.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    for_b.get(&label_path(1)).send().await.assert_label("b-1").assert_hit();
}

#[tokio::test]
async fn acting_for_an_organization_shares_what_its_own_tokens_stored() {
    let world = World::start();
    world.proven("a", 1).await.get(&label_path(2)).send().await.assert_miss();
    let for_a = world.acting_for("a");
    for_a.get(&label_path(1)).send().await.assert_proof();
    for_a.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
}

#[tokio::test]
async fn a_workspace_that_the_token_may_not_act_for_gets_the_vendors_refusal() {
    let world = World::start();
    world.proven("a", 1).await;
    let stranger = world.caller("b", 1).workspace(organization("a"));
    for _ in 0..2 {
        let reply = stranger.get(&label_path(1)).send().await;
        reply.assert_refused_upstream(403).assert_proof();
    }
}

#[tokio::test]
async fn a_token_without_the_scope_never_hits() {
    let world = World::start();
    world.proven("a", 1).await;
    let bearer = format!("Bearer {}", token("a", 2));
    world.upstream.script(move |request| {
        let refused = is_label_read(request) && request.field("authorization") == Some(&bearer);
        refused.then(|| Answer::json(403, error(403, "Forbidden")))
    });
    let unscoped = world.caller("a", 2);
    world.round_trip(&unscoped).await;
    for _ in 0..3 {
        unscoped.get(&label_path(1)).send().await.assert_refused_upstream(403).assert_proof();
    }
    assert_eq!(world.vendor.calls(&token("a", 2)), 1, "the vendor saw the other path alone");
}

#[tokio::test]
async fn an_unknown_token_and_none_at_all_never_hit() {
    let world = World::start();
    world.proven("a", 1).await;
    world.proxy.caller("bm90OmtleQ==").get(&label_path(1)).send().await.assert_refused_upstream(401);
    let anonymous = world.proxy.anonymous().get(&label_path(1)).send().await;
    anonymous.assert_refused_upstream(401).assert_cache_status("fwd=bypass; detail=authorization");
}

#[tokio::test]
async fn two_hundreds_elsewhere_prove_nothing() {
    let world = World::start();
    world.proven("a", 1).await;
    // The list read by which the proxy would find out whose key it is.
    world.upstream.reply_to("GET", &format!("{LABELS}?limit=100"), Answer::json(403, error(403, "No.")));
    let second = world.caller("a", 2);
    world.round_trip(&second).await;
    second.patch(&label_path(2), r#"{"description":"new"}"#).send().await.assert_status(200);
    second.head(&label_path(3)).send().await.assert_status(200);
    second.get(&format!("{LABELS}?interest_status=neutral")).send().await.assert_status(200);
    second.get(&label_path(1)).send().await.assert_proof();
}

/// What an unproven caller may compare between a label that is cached and one that is not.
fn visible(reply: &Reply) -> (u16, Vec<String>, String) {
    let names = reply.names().into_iter().map(str::to_owned).collect();
    (reply.status, names, reply.cache_status().to_owned())
}

#[tokio::test]
async fn an_answer_to_an_unproven_token_does_not_tell_whether_the_label_is_cached() {
    let world = World::start();
    world.proven("a", 1).await;
    let cached = world.caller("a", 2).get(&label_path(1)).send().await;
    let uncached = world.caller("a", 3).get(&label_path(2)).send().await;
    assert_eq!(visible(&cached), visible(&uncached));
    let foreign = world.caller("b", 1).get(&label_path(1)).send().await;
    assert_eq!(visible(&foreign), visible(&uncached));
    let missing = [label_path(1), label_path(2)].map(|path| world.caller("empty", 1).get(&path));
    let [first, second] = missing.map(|outgoing| outgoing.send());
    assert_eq!(visible(first.await.assert_status(404)), visible(second.await.assert_status(404)));
}

#[tokio::test]
async fn only_if_cached_tells_an_unproven_token_nothing_and_asks_nobody() {
    let world = World::start();
    world.proven("a", 1).await;
    let calls = world.upstream.heads();
    let unproven = world.caller("a", 2);
    for path in [label_path(1), label_path(2)] {
        let reply = unproven.get(&path).field("cache-control", "only-if-cached").send().await;
        reply.assert_error(ErrorKind::OnlyIfCached);
    }
    assert_eq!(world.upstream.heads(), calls);
}

#[tokio::test]
async fn an_empty_list_proves_nothing() {
    let world = World::start();
    world.proven("a", 1).await;
    let caller = world.caller("empty", 1);
    for _ in 0..3 {
        let reply = caller.get(LABELS).send().await;
        reply.assert_status(200).assert_proof().assert_json(&json!({"items": []}));
    }
    assert_eq!(world.vendor.calls(&token("empty", 1)), 3);
}

#[tokio::test]
async fn a_body_of_another_organization_than_the_one_acted_for_proves_nothing() {
    let world = World::start();
    world.proven("b", 1).await;
    world.upstream.reply_to("GET", &label_path(1), Answer::json(200, label("b", 1, "b-1")));
    let for_a = world.acting_for("a");
    let reply = for_a.get(&label_path(1)).send().await;
    assert!(!reply.cache_status().starts_with("hit"), "{reply:?}");
    world.upstream.clear_scripts();
    for_a.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
}

#[tokio::test]
async fn a_body_that_names_no_organization_or_two_proves_nothing_and_passes() {
    let world = World::start();
    let unnamed = format!(r#"{{"id":"{}","label":"x"}}"#, label_id(1));
    let mixed = page(&[label("a", 1, "a-1"), label("b", 2, "b-2")], None);
    for (target, body) in [(label_path(1), unnamed), (LABELS.to_owned(), mixed)] {
        world.upstream.reply_to("GET", &target, Answer::json(200, body.clone()));
        for _ in 0..2 {
            let reply = world.caller("a", 1).get(&target).send().await;
            reply.assert_status(200).assert_proof().assert_text(&body);
        }
    }
    assert_eq!(world.label_reads(), 4);
}

#[tokio::test]
async fn proven_tokens_of_two_organizations_never_share_a_flight() {
    let world = World::start();
    let (a, b) = (world.proven("a", 1).await, world.proven("b", 1).await);
    let gate = world.upstream.hold(|request| request.target == label_path(2));
    let readers = [a, b].map(|caller| caller.get(&label_path(2)).spawn());
    gate.held(2).await;
    gate.release();
    for (reader, text) in readers.into_iter().zip(["a-2", "b-2"]) {
        reader.await.expect("no panic").assert_label(text).assert_miss();
    }
}

#[tokio::test]
async fn an_unproven_token_never_joins_its_organizations_flight() {
    let world = World::start();
    let proven = world.proven("a", 1).await;
    let gate = world.upstream.hold(|request| request.target == label_path(2));
    let leader = proven.get(&label_path(2)).spawn();
    gate.held(1).await;
    let unproven = world.caller("a", 2).get(&label_path(2)).spawn();
    gate.held(2).await;
    gate.release();
    leader.await.expect("no panic").assert_label("a-2").assert_miss();
    unproven.await.expect("no panic").assert_label("a-2").assert_proof();
}

#[tokio::test]
async fn a_credential_in_another_spelling_is_another_credential() {
    let world = World::start();
    world.proven("a", 1).await;
    let bearer = format!("bearer {}", token("a", 1));
    world.upstream.script(|request| {
        let lower = request.field("authorization").is_some_and(|value| value.starts_with("bearer "));
        lower.then(|| Answer::json(401, error(401, "Invalid authorization header or API key")))
    });
    let reply = world.proxy.anonymous().get(&label_path(1)).field("authorization", &bearer).send().await;
    reply.assert_refused_upstream(401);
}
