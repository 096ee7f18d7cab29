//! Every promise holds for each resource, and what is known of one says nothing of another.
//!
//! All of them are cached in one run, and one that the program does not know: a descriptor in a file of its own, and one line in
//! a table ([`crate::support::Mixed`]). Their items have the ids of the labels, so that a key without the resource in it would
//! mix them up at once.

use instantly_proxy::error::ErrorKind;
use instantly_proxy::resource::WriteChanges;
use serde_json::{Value, json};

use crate::support::labels::{error, label_id, label_path, organization, token};
use crate::support::{
    Answer, CAMPAIGN_KIND as CAMPAIGN, Caller, GADGET_KIND as GADGET, Grants, Kind, LABEL, LIST, Mixed, TAG,
    World, patiently,
};

/// Each resource, and another one.
const KINDS: [(Kind, Kind); 5] =
    [(LABEL, GADGET), (GADGET, LABEL), (TAG, LABEL), (LIST, TAG), (CAMPAIGN, LIST)];
const CHANGE: &str = r#"{"label":"changed"}"#;

async fn purge(mixed: &Mixed, what: &Value) {
    mixed.world.proxy.admin_post("/api/purge", &what.to_string()).send().await.assert_status(200);
}

/// A world in which key 1 of `a` and of `b` are proven and have items 1 and 2 and the list of this kind in the cache.
async fn warm(kind: Kind) -> (Mixed, Caller, Caller) {
    let mixed = Mixed::start();
    let callers = [kind.proven(&mixed, "a", 1).await, kind.proven(&mixed, "b", 1).await];
    for caller in &callers {
        for target in [&*kind.path(2), kind.list()] {
            caller.get(target).send().await.assert_miss();
        }
    }
    let [a, b] = callers;
    (mixed, a, b)
}

/// Key 1 of organization `a`, whose list of this kind was read behind its first answer so long ago that nothing of it is
/// left, and which is proven anew.
async fn known_for_long(mixed: &Mixed, kind: Kind) -> Caller {
    let caller = kind.proven(mixed, "a", 1).await;
    known_to_be_shared(mixed, &caller, kind).await;
    mixed.world.proxy.advance_seconds(700);
    caller.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1)).assert_proof();
    caller
}

/// What `explain` says of who may have what key 1 of organization `a` reads of this kind.
async fn shared(mixed: &Mixed, kind: Kind) -> Value {
    let question = json!({
        "method": "GET",
        "path": kind.path(1),
        "headers": {"authorization": format!("Bearer {}", token("a", 1))},
    });
    let told = mixed.world.proxy.admin_post("/api/explain", &question.to_string()).send().await;
    told.assert_status(200).json()["key"]["shared"].clone()
}

#[tokio::test]
async fn what_is_not_switched_on_passes_through_and_its_writes_shut_nothing_out() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    for (kind, _) in KINDS.iter().filter(|(kind, _)| *kind != LABEL) {
        for _ in 0..2 {
            for target in [kind.list(), &kind.path(1), "/api/v2/workspaces/current"] {
                caller.get(target).send().await.assert_status(200).assert_cache_status("fwd=bypass");
            }
        }
        caller.patch(&kind.path(1), CHANGE).send().await.assert_cache_status("fwd=bypass");
        caller.get(&label_path(1)).send().await.assert_hit();
    }
}

#[tokio::test]
async fn one_id_gives_each_organization_its_own_item_of_each_resource() {
    let mixed = Mixed::start();
    let (a, b) = (mixed.world.caller("a", 1), mixed.world.caller("b", 1));
    for (name, caller) in [("a", &a), ("b", &b)] {
        for (kind, _) in KINDS {
            kind.prove(caller, name).await;
        }
    }
    for (name, caller) in [("a", &a), ("b", &b), ("a", &a)] {
        for (kind, _) in KINDS {
            caller.get(&kind.path(1)).send().await.assert_label(&kind.text(name, 1)).assert_hit();
        }
    }
    assert_eq!(mixed.world.upstream.count(), 2 * KINDS.len());
}

#[tokio::test]
async fn one_query_gives_each_organization_its_own_page_of_each_resource() {
    for (kind, _) in KINDS {
        let mixed = Mixed::start();
        for (name, other) in [("a", "b"), ("b", "a")] {
            let caller = mixed.world.caller(name, 1);
            caller.get(&kind.whole_list()).send().await.assert_status(200).assert_proof();
            let reply = caller.get(&kind.whole_list()).send().await;
            let text = reply.assert_hit().text();
            assert!(text.contains(&format!("\"{}\"", kind.text(name, 1))), "{text}");
            assert!(!text.contains(&format!("{other}-1\"")), "{text}");
        }
    }
}

#[tokio::test]
async fn an_item_that_names_another_organization_is_given_to_nobody_of_either_resource() {
    for (kind, _) in KINDS {
        let mixed = Mixed::start();
        let (a, b) = (kind.proven(&mixed, "a", 1).await, kind.proven(&mixed, "b", 1).await);
        let foreign = b.get(&kind.path(1)).send().await.text();
        mixed.world.upstream.reply_to("GET", &kind.path(2), Answer::json(200, foreign.clone()));
        let reply = a.get(&kind.path(2)).send().await;
        assert!(!reply.text().contains(&kind.text("b", 1)), "{reply:?}");
        reply.assert_error(ErrorKind::MixedUpAnswer);
    }
}

#[tokio::test]
async fn each_resource_is_kept_for_its_own_time() {
    let mixed = Mixed::start_for_own_times();
    for (kind, item, list) in [
        (LABEL, 270..=300, 54..=60),
        (GADGET, 90..=100, 36..=40),
        (TAG, 270..=300, 54..=60),
        (LIST, 27..=30, 27..=30),
        (CAMPAIGN, 4..=5, 4..=5),
    ] {
        let caller = kind.proven(&mixed, "a", 1).await;
        for (target, lifetime) in [(kind.path(2), item), (kind.list().to_owned(), list)] {
            caller.get(&target).send().await.assert_miss();
            let ttl = caller.get(&target).send().await.assert_hit().ttl();
            assert!(lifetime.contains(&ttl), "{target}: {ttl}");
        }
    }
}

#[tokio::test]
async fn a_change_is_seen_by_the_very_next_read_of_everybody_of_either_resource() {
    for (kind, _) in KINDS {
        let (mixed, writer, foreign) = warm(kind).await;
        let reader = kind.proven(&mixed, "a", 2).await;
        let written = writer.patch(&kind.path(1), CHANGE).send().await;
        written.assert_label("changed").assert_cache_status("fwd=method");
        for caller in [&reader, &writer] {
            caller.get(&kind.path(1)).send().await.assert_label("changed");
            assert!(caller.get(kind.list()).send().await.text().contains("\"changed\""));
        }
        foreign.get(&kind.path(1)).send().await.assert_label(&kind.text("b", 1)).assert_hit();
        let route = [("route", kind.resource.routes.write)];
        mixed.world.proxy.metric_reaches("instantly_proxy_requests_total", &route, 1.0).await;
    }
}

#[tokio::test]
async fn a_write_of_nobody_known_reaches_every_list_and_that_item_of_either_resource() {
    for (kind, _) in KINDS {
        let (mixed, a, _) = warm(kind).await;
        mixed.world.upstream.reply_to("DELETE", &kind.path(1), Answer::json(200, "{}"));
        mixed.world.caller("b", 2).delete(&kind.path(1)).send().await.assert_status(200);
        kind.put(&mixed, "a", 1, "later");
        a.get(&kind.path(1)).send().await.assert_label("later");
        let other = a.get(&kind.path(2)).send().await;
        other.assert_label(&kind.text("a", 2));
        if kind.resource.write_changes == WriteChanges::Item {
            other.assert_hit();
        } else {
            assert!(other.cache_status().starts_with("fwd="), "it may have changed another: {other:?}");
        }
        assert!(a.get(kind.list()).send().await.text().contains("\"later\""));
    }
}

#[tokio::test]
async fn what_a_write_answered_is_stored_as_the_item_of_either_resource() {
    for (kind, _) in KINDS {
        let mixed = Mixed::start_with(|config| config.cache.write_through = true);
        let (writer, reader) = (kind.proven(&mixed, "a", 1).await, kind.proven(&mixed, "a", 2).await);
        writer.patch(&kind.path(1), CHANGE).send().await.assert_label("changed");
        let before = mixed.world.upstream.count();
        reader.get(&kind.path(1)).send().await.assert_label("changed").assert_hit();
        let created = writer.post(kind.list(), r#"{"label":"created"}"#).send().await;
        let id = created.assert_label("created").json()[kind.resource.id_member].clone();
        let path = format!("{}/{}", kind.list(), id.as_str().expect("an id"));
        reader.get(&path).send().await.assert_label("created").assert_hit();
        assert_eq!(mixed.world.upstream.count() - before, 1, "the POST alone");
    }
}

#[tokio::test]
async fn what_is_answered_below_an_item_is_never_stored_as_the_item() {
    for (kind, _) in KINDS {
        let mixed = Mixed::start_with(|config| config.cache.write_through = true);
        let a = kind.proven(&mixed, "a", 1).await;
        let below = format!("{}/activate", kind.path(2));
        let whole = a.get(&kind.path(2)).send().await.text();
        mixed.world.upstream.reply_to("POST", &below, Answer::json(200, whole.clone()));
        a.post(&below, "{}").send().await.assert_cache_status("fwd=method");
        let read = a.get(&kind.path(2)).send().await;
        assert!(read.cache_status().starts_with("fwd=miss"), "{read:?}");
    }
}

/// R5: what else changes with an item is for its descriptor to say.
#[tokio::test]
async fn a_write_leaves_other_items_of_a_resource_alone_whose_writes_are_known_to_change_one_item() {
    for (kind, _) in KINDS {
        let (_mixed, a, _) = warm(kind).await;
        a.patch(&kind.path(1), CHANGE).send().await.assert_label("changed");
        let other = a.get(&kind.path(2)).send().await;
        let leaves = kind.resource.write_changes == WriteChanges::Item;
        assert_eq!(other.cache_status().starts_with("hit"), leaves, "{other:?}");
    }
}

/// R5: an enrichment is a write of the lead lists that it fills, wherever its path lies.
#[tokio::test]
async fn a_write_elsewhere_that_changes_a_resource_is_seen_by_its_very_next_read() {
    for (kind, _) in KINDS {
        for elsewhere in kind.resource.changed_by {
            let (mixed, a, b) = warm(kind).await;
            let below = format!("{elsewhere}/run");
            for method in ["GET", "POST"] {
                mixed.world.upstream.reply_to(method, &below, Answer::json(200, "{}"));
            }
            kind.put(&mixed, "a", 1, "changed");
            a.get(&below).send().await.assert_status(200);
            a.get(&kind.path(1)).send().await.assert_hit();
            a.post(&below, "{}").send().await.assert_cache_status("fwd=method");
            a.get(&kind.path(1)).send().await.assert_label("changed");
            b.get(&kind.path(1)).send().await.assert_hit();
            mixed.world.upstream.reply_to("POST", &below, Answer::json(403, error(403, "No.")));
            a.post(&below, "{}").send().await.assert_status(403);
            a.get(&kind.path(1)).send().await.assert_hit();
        }
    }
}

/// Neither its path nor its answer names an item or an organization, and its key has read nothing.
#[tokio::test]
async fn a_write_elsewhere_by_a_key_that_nobody_knows_is_seen_by_the_very_next_read() {
    for (kind, _) in KINDS {
        for elsewhere in kind.resource.changed_by {
            for status in [200, 500] {
                let (mixed, a, _) = warm(kind).await;
                let below = format!("{elsewhere}/run");
                mixed.world.upstream.reply_to("POST", &below, Answer::json(status, "{}"));
                kind.put(&mixed, "a", 1, "changed");
                mixed.world.caller("a", 7).post(&below, "{}").send().await.assert_cache_status("fwd=method");
                a.get(&kind.path(1)).send().await.assert_label("changed");
            }
        }
    }
}

#[tokio::test]
async fn a_post_that_changes_nothing_shuts_nothing_out_of_either_resource() {
    for (kind, _) in KINDS {
        let (_mixed, a, _) = warm(kind).await;
        for harmless in kind.resource.harmless_posts {
            assert!(a.post(harmless, "{}").send().await.cache_status().starts_with("fwd=bypass"));
        }
        a.get(&kind.path(1)).send().await.assert_hit();
    }
}

#[tokio::test]
async fn a_purge_reaches_what_it_names_of_either_resource() {
    for (kind, _) in KINDS {
        let (mixed, a, b) = warm(kind).await;
        purge(&mixed, &json!({"label": label_id(1)})).await;
        a.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1)).assert_miss();
        a.get(&kind.path(2)).send().await.assert_hit();
        assert!(a.get(kind.list()).send().await.cache_status().starts_with("fwd="));
        b.get(kind.list()).send().await.assert_status(200);

        purge(&mixed, &json!({"organization": organization("a")})).await;
        a.get(kind.list()).send().await.assert_status(200).assert_proof();
        b.get(kind.list()).send().await.assert_hit();
        b.get(&kind.path(2)).send().await.assert_label(&kind.text("b", 2)).assert_hit();

        purge(&mixed, &json!({})).await;
        b.get(&kind.path(2)).send().await.assert_label(&kind.text("b", 2)).assert_proof();
        a.get(&kind.path(2)).send().await.assert_label(&kind.text("a", 2)).assert_proof();
    }
}

#[tokio::test]
async fn a_purge_of_one_resource_leaves_the_others_and_every_proof() {
    for (kind, other) in KINDS {
        let (mixed, a, b) = warm(kind).await;
        other.prove(&a, "a").await;
        purge(&mixed, &json!({"resource": kind.resource.name, "organization": organization("a")})).await;
        a.get(&other.path(1)).send().await.assert_hit();
        b.get(&kind.path(1)).send().await.assert_hit();
        // Nothing is asked for a proof: it is there.
        a.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1)).assert_miss();
        a.get(kind.list()).send().await.assert_miss();
        purge(&mixed, &json!({"resource": kind.resource.name})).await;
        b.get(&kind.path(1)).send().await.assert_label(&kind.text("b", 1)).assert_miss();
        a.get(&other.path(1)).send().await.assert_hit();
    }
}

#[tokio::test]
async fn the_second_missed_item_brings_all_others_of_its_resource_with_one_list_read() {
    for (kind, _) in KINDS {
        let mixed = Mixed::start_by_default();
        // As many as the page of the one holds, and more than that of the other.
        for n in 1..=30 {
            kind.put(&mixed, "a", n, &kind.text("a", n));
        }
        let caller = known_for_long(&mixed, kind).await;
        let before = mixed.world.upstream.count();
        caller.get(&kind.path(2)).send().await.assert_label(&kind.text("a", 2)).assert_miss();
        for n in 3..=30 {
            caller.get(&kind.path(n)).send().await.assert_label(&kind.text("a", n)).assert_hit();
        }
        assert_eq!((kind.whole_list_reads(&mixed), mixed.world.upstream.count() - before), (2, 2));
    }
}

/// The page of gadgets is smaller: 40 of them are not known to be all, and 40 labels are.
#[tokio::test]
async fn whether_one_page_holds_all_is_told_by_the_largest_page_of_the_resource() {
    for (kind, fits) in [(LABEL, true), (GADGET, false), (TAG, true), (LIST, true), (CAMPAIGN, true)] {
        let mixed = Mixed::start_by_default();
        for n in 1..=40 {
            kind.put(&mixed, "a", n, &kind.text("a", n));
        }
        let caller = kind.proven(&mixed, "a", 1).await;
        known_to_be_shared(&mixed, &caller, kind).await;
        assert_eq!(kind.whole_list_reads(&mixed), 1);
        mixed.world.proxy.advance_seconds(46);
        // Its proof is past three quarters of its age: it is renewed behind this.
        caller.get(&kind.path(1)).send().await.assert_hit();
        let proofs = [("purpose", "proof"), ("status", "2xx")];
        mixed.world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", &proofs, 1.0).await;
        assert_eq!(kind.whole_list_reads(&mixed), if fits { 2 } else { 1 });
    }
}

#[tokio::test]
async fn misses_of_two_resources_are_not_two_misses_of_one() {
    for (first, second) in KINDS {
        let mixed = Mixed::start_by_default();
        let caller = known_for_long(&mixed, first).await;
        known_to_be_shared(&mixed, &caller, second).await;
        let (firsts, seconds) = (first.whole_list_reads(&mixed), second.whole_list_reads(&mixed));
        mixed.world.proxy.advance_seconds(700);
        caller.get(&first.path(1)).send().await.assert_label(&first.text("a", 1)).assert_proof();
        caller.get(&first.path(2)).send().await.assert_label(&first.text("a", 2)).assert_miss();
        // A proof by this one, and its first miss.
        caller.get(&second.path(3)).send().await.assert_label(&second.text("a", 3)).assert_proof();
        caller.get(&second.path(1)).send().await.assert_label(&second.text("a", 1)).assert_miss();
        assert_eq!((first.whole_list_reads(&mixed), second.whole_list_reads(&mixed)), (firsts, seconds));
        caller.get(&second.path(2)).send().await.assert_label(&second.text("a", 2)).assert_hit();
        assert_eq!((first.whole_list_reads(&mixed), second.whole_list_reads(&mixed)), (firsts, seconds + 1));
        // And the list of the one brought nothing of the other.
        caller.get(&first.path(3)).send().await.assert_label(&first.text("a", 3)).assert_hit();
        assert_eq!(
            (first.whole_list_reads(&mixed), second.whole_list_reads(&mixed)),
            (firsts + 1, seconds + 1)
        );
    }
}

#[tokio::test]
async fn two_misses_are_two_inside_the_lifetime_of_their_own_resource() {
    // A gadget is kept for 100 s, and a label for 300.
    for (kind, list_reads) in [(LABEL, 2), (GADGET, 1), (TAG, 2)] {
        let mixed = Mixed::start_by_default();
        let caller = known_for_long(&mixed, kind).await;
        caller.get(&kind.path(2)).send().await.assert_label(&kind.text("a", 2)).assert_miss();
        mixed.world.proxy.advance_seconds(150);
        caller.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1)).assert_proof();
        caller.get(&kind.path(3)).send().await.assert_label(&kind.text("a", 3));
        assert_eq!(kind.whole_list_reads(&mixed), list_reads, "{kind:?}");
    }
}

/// Waits until the list of this kind has been read as a witness.
async fn known_to_be_shared(mixed: &Mixed, caller: &Caller, kind: Kind) {
    for n in [1, 2] {
        caller.get(&kind.path(n)).send().await.assert_label(&kind.text("a", n));
    }
    let known = async { while shared(mixed, kind).await != json!("organization") {} };
    patiently("the list to be seen", known).await;
}

#[tokio::test]
async fn a_list_is_a_witness_for_its_own_resource_alone() {
    for (kind, other) in KINDS {
        let mixed = Mixed::start_by_default();
        let gate = mixed.world.upstream.hold(move |request| other.is_whole_list_read(request));
        let caller = kind.proven(&mixed, "a", 1).await;
        known_to_be_shared(&mixed, &caller, kind).await;
        assert_eq!(shared(&mixed, other).await, json!("list_not_read"));
        let read = caller.get(&other.path(1)).send();
        read.await.assert_label(&other.text("a", 1)).assert_proof();
        gate.held(1).await;
        assert_eq!(shared(&mixed, other).await, json!("list_not_read"));
        gate.release();
        known_to_be_shared(&mixed, &caller, other).await;
    }
}

#[tokio::test]
async fn items_of_one_resource_that_look_unlike_single_reads_stop_no_list_fill_of_the_other() {
    for (kind, other) in KINDS {
        let mixed = Mixed::start_by_default();
        let (id, named) = (kind.resource.id_member, kind.resource.organization_member);
        let summary =
            |n: u32| format!(r#"{{"{id}":"{}","{named}":"{}","label":"x"}}"#, label_id(n), organization("a"));
        let list = format!(r#"{{"{}":[{},{}]}}"#, kind.resource.items_member, summary(1), summary(2));
        mixed.world.upstream.reply_to("GET", kind.list(), Answer::json(200, list));
        let caller = mixed.world.caller("a", 1);
        caller.get(kind.list()).send().await.assert_proof();
        caller.get(&kind.path(3)).send().await.assert_label(&kind.text("a", 3));
        let unlike = [("cause", "unlike_items")];
        mixed.world.proxy.metric_reaches("instantly_proxy_cache_invalidations_total", &unlike, 1.0).await;
        caller.get(&kind.path(2)).send().await.assert_label(&kind.text("a", 2)).assert_miss();

        caller.get(other.list()).send().await.assert_status(200);
        for n in 1..=3 {
            caller.get(&other.path(n)).send().await.assert_label(&other.text("a", n)).assert_hit();
        }
        caller.get(kind.list()).field("cache-control", "no-cache").send().await.assert_status(200);
        caller.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1));
    }
}

#[tokio::test]
async fn an_item_of_either_resource_that_is_hidden_from_a_key_never_comes_to_it_by_another_key() {
    for (kind, _) in KINDS {
        for grants in [Grants::InLists, Grants::Everywhere] {
            let mixed = Mixed::start_by_default();
            kind.vendor(&mixed).own("a", grants);
            kind.vendor(&mixed).hide(&token("a", 2), 2);
            let (one, two) = (kind.proven(&mixed, "a", 1).await, kind.proven(&mixed, "a", 2).await);
            for _ in 0..2 {
                one.get(&kind.path(2)).send().await.assert_label(&kind.text("a", 2));
                two.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1));
                two.get(&kind.path(2)).send().await.assert_refused_upstream(404);
            }
            one.get(&kind.path(2)).send().await.assert_label(&kind.text("a", 2)).assert_hit();
            assert_eq!(shared(&mixed, kind).await, json!("access_grants"));
        }
    }
}

/// Grants are given in a whole workspace; that there are none is said of the resource whose list shows none.
#[tokio::test]
async fn grants_of_one_resource_end_the_sharing_of_both_and_each_comes_back_by_its_own_list() {
    for (kind, other, ttl_of_lists) in
        [(LABEL, GADGET, 60), (GADGET, LABEL, 40), (TAG, LABEL, 60), (LIST, TAG, 60), (CAMPAIGN, LIST, 60)]
    {
        let mixed = Mixed::start();
        let one = kind.proven(&mixed, "a", 1).await;
        other.proven(&mixed, "a", 2).await;
        for shares in [kind, other] {
            assert_eq!(shared(&mixed, shares).await, json!("organization"));
        }
        kind.vendor(&mixed).own("a", Grants::Everywhere);
        one.get(&kind.path(2)).send().await.assert_label(&kind.text("a", 2));
        for shares in KINDS.map(|(kind, _)| kind) {
            assert_eq!(shared(&mixed, shares).await, json!("access_grants"));
        }
        kind.vendor(&mixed).disown("a");
        mixed.world.proxy.advance_seconds(ttl_of_lists + 1);
        one.get(kind.list()).send().await.assert_status(200);
        assert_eq!(shared(&mixed, kind).await, json!("organization"));
        assert_eq!(shared(&mixed, other).await, json!("access_grants"));
        mixed.world.proxy.advance_seconds(61);
        one.get(other.list()).send().await.assert_status(200);
        assert_eq!(shared(&mixed, other).await, json!("organization"));
    }
}

#[tokio::test]
async fn what_is_said_of_a_resource_is_in_its_own_words() {
    let mixed = Mixed::start();
    let caller = mixed.world.caller("a", 1);
    for (kind, _) in KINDS {
        let sentences = kind.resource.sentences;
        let misspelt = kind.list().replace("v2/", "v2//");
        let reply = caller.get(&misspelt).send().await;
        assert_eq!(reply.assert_status(400).json()["message"], sentences.misspelt);
        let reply = caller.post(kind.list(), &"x".repeat((1 << 20) + 1)).send().await;
        assert_eq!(reply.assert_status(413).json()["message"], sentences.write_too_large);

        caller.get(&kind.path(2)).send().await.assert_status(200);
        caller.get(kind.list()).send().await.assert_status(200);
        for route in [kind.resource.routes.item, kind.resource.routes.list] {
            let (name, route) = ("instantly_proxy_requests_total", [("route", route)]);
            assert!(mixed.world.proxy.metric(name, &route).await >= 1.0, "{route:?}");
        }
    }
}

/// A caller that only passes calls through is asked for by a list of the first resource of the table.
#[tokio::test]
async fn callers_are_introduced_by_the_first_resource() {
    let mixed = Mixed::start_by_default();
    let caller = mixed.world.caller("a", 1);
    caller.get("/api/v2/accounts").send().await.assert_status(200);
    let proofs = [("purpose", "proof"), ("status", "2xx")];
    mixed.world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", &proofs, 1.0).await;
    let reads = KINDS.map(|(kind, _)| kind.whole_list_reads(&mixed));
    assert_eq!(reads, [1, 0, 0, 0, 0]);
}
