//! What an operator purges is asked for again, by everybody, and by fetches under way too.

use instantly_proxy::resource::LEAD_LABEL;
use serde_json::json;

use crate::support::labels::{LABELS, label_id, label_path, organization};
use crate::support::{Caller, World};

async fn purge(world: &World, what: &serde_json::Value) {
    world.proxy.admin_post("/api/purge", &what.to_string()).send().await.assert_status(200);
}

/// A world in which key 1 of `a` and of `b` are proven and have labels 1 and 2 and the list in the cache.
async fn warm() -> (World, Caller, Caller) {
    let world = World::start();
    let callers = [world.proven("a", 1).await, world.proven("b", 1).await];
    for caller in &callers {
        for target in [&label_path(2), LABELS] {
            caller.get(target).send().await.assert_miss();
        }
    }
    let [a, b] = callers;
    (world, a, b)
}

#[tokio::test]
async fn a_purge_of_everything_reaches_every_organization_and_its_proofs() {
    let (world, a, b) = warm().await;
    purge(&world, &json!({})).await;
    a.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    b.get(&label_path(2)).send().await.assert_label("b-2").assert_proof();
    a.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
}

#[tokio::test]
async fn a_purge_of_an_organization_leaves_the_others_alone() {
    let (world, a, b) = warm().await;
    purge(&world, &json!({"organization": organization("a")})).await;
    a.get(LABELS).send().await.assert_status(200).assert_proof();
    b.get(LABELS).send().await.assert_hit();
    b.get(&label_path(1)).send().await.assert_label("b-1").assert_hit();
}

#[tokio::test]
async fn a_purge_of_a_label_reaches_that_id_and_the_lists_and_ends_no_proof() {
    let (world, a, _) = warm().await;
    purge(&world, &json!({"label": label_id(1)})).await;
    a.get(&label_path(1)).send().await.assert_label("a-1").assert_miss();
    let list = a.get(LABELS).send().await;
    assert!(list.assert_status(200).cache_status().starts_with("fwd="), "{list:?}");
}

#[tokio::test]
async fn a_fill_under_way_during_a_purge_is_not_stored() {
    let (world, a, _) = warm().await;
    let gate = world.upstream.hold(|request| request.is("GET", &label_path(3)));
    let filling = a.get(&label_path(3)).spawn();
    gate.held(1).await;
    world.vendor.put_label("a", 3, "later");
    purge(&world, &json!({"organization": organization("a")})).await;
    gate.release();
    let filled = filling.await.expect("no panic");
    assert!(!filled.cache_status().contains("stored"), "{filled:?}");
    a.get(&label_path(3)).send().await.assert_label("later");
}

#[tokio::test]
async fn what_a_write_answers_that_was_under_way_during_a_purge_is_not_stored() {
    let resource = json!({"resource": LEAD_LABEL.name});
    let of_its_organization = json!({"resource": LEAD_LABEL.name, "organization": organization("a")});
    let organization = json!({"organization": organization("a")});
    for what in [json!({}), organization, json!({"label": label_id(1)}), resource, of_its_organization] {
        let world = World::start_with(|config| config.cache.write_through = true);
        let writer = world.proven("a", 1).await;
        let gate = world.upstream.hold(|request| request.is("PATCH", &label_path(1)));
        let writing = writer.patch(&label_path(1), r#"{"label":"written"}"#).spawn();
        gate.held(1).await;
        purge(&world, &what).await;
        gate.release();
        writing.await.expect("no panic").assert_label("written");
        world.vendor.put_label("a", 1, "later");
        let read = writer.get(&label_path(1)).send().await;
        read.assert_label("later");
        assert!(read.cache_status().starts_with("fwd="), "{what}: {read:?}");
    }
}

#[tokio::test]
async fn a_read_that_was_sent_before_a_purge_proves_nothing_after_it() {
    for what in [json!({}), json!({"organization": organization("a")})] {
        let (world, a, _) = warm().await;
        let gate = world.upstream.hold(|request| request.is("GET", &label_path(3)));
        let slow = a.get(&label_path(3)).spawn();
        gate.held(1).await;
        purge(&world, &what).await;
        gate.release();
        slow.await.expect("no panic").assert_label("a-3");
        a.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    }
}
