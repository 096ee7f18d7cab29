//! What the proxy saves: labels that one list read brings, writes whose answer is stored, reads that share a call.
//!
//! The figures are bars: what a cold cache may cost at most.

use std::time::Duration;

use instantly_proxy::config::UpstreamDirectives;

use crate::support::labels::{LABELS, Label, label, label_id, label_path, organization, page, token};
use crate::support::{Answer, Caller, Recorded, World, is_label_read, patiently, together};

/// Labels of every organization here.
const LABEL_COUNT: u32 = 60;
/// Reads under way at once.
const IN_FLIGHT: usize = 16;

/// A shielded world in which organization `name` has [`LABEL_COUNT`] labels and `keys` keys.
fn give_labels(world: &World, name: &str, keys: u32) {
    for n in 1..=LABEL_COUNT {
        world.vendor.put_label(name, n, &format!("{name}-{n}"));
    }
    for key in 1..=keys {
        world.vendor.admit(&token(name, key), name);
    }
}

/// Reads random labels of random organizations with random keys, `IN_FLIGHT` at once, while 38 s go by.
async fn read_at_random(world: &World, names: &[String], keys: u32, reads: usize, seed: u64) {
    let callers: Vec<(&String, Caller)> = names
        .iter()
        .flat_map(|name| (1..=keys).map(move |key| (name, key)))
        .map(|(name, key)| (name, world.caller(name, key)))
        .collect();
    let mut random = fastrand::Rng::with_seed(seed);
    let rounds = reads.div_ceil(IN_FLIGHT);
    for _ in 0..rounds {
        let reads: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let (name, caller) = &callers[random.usize(..callers.len())];
                (caller.clone(), random.u32(1..=LABEL_COUNT), (*name).clone())
            })
            .collect();
        let replies = together(IN_FLIGHT, |index| {
            let (caller, n, _) = &reads[index];
            caller.get(&label_path(*n)).send()
        });
        for (reply, (_, n, name)) in replies.await.iter().zip(&reads) {
            reply.assert_label(&format!("{name}-{n}"));
        }
        world.proxy.advance(Duration::from_secs(38) / u32::try_from(rounds).expect("a few"));
    }
}

/// Key 1 of organization `a`, whose list was read behind its first answer so long ago that nothing of it is left, and
/// which is proven anew.
async fn known_for_long(world: &World) -> Caller {
    let caller = world.proven("a", 1).await;
    // The list may be landing: whoever asks then joins it.
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    caller.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
    world.proxy.advance_seconds(700);
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    caller
}

fn is_list_read(request: &Recorded) -> bool {
    request.is("GET", &format!("{LABELS}?limit=100"))
}

#[tokio::test]
async fn three_thousand_reads_of_one_organization_cost_at_most_twelve_calls() {
    let world = World::start_by_default();
    give_labels(&world, "a", 5);
    read_at_random(&world, &["a".to_owned()], 5, 3_000, 1).await;
    assert!(world.upstream.count() <= 12, "{} calls", world.upstream.count());
}

#[tokio::test]
async fn twenty_thousand_reads_of_twenty_organizations_cost_at_most_two_hundred_calls() {
    let world = World::start_by_default();
    let names: Vec<String> = (0..20).map(|n| format!("org{n:02}")).collect();
    for name in &names {
        give_labels(&world, name, 5);
    }
    read_at_random(&world, &names, 5, 20_000, 2).await;
    assert!(world.upstream.count() <= 200, "{} calls", world.upstream.count());
}

#[tokio::test]
async fn ten_thousand_concurrent_first_reads_of_one_label_are_one_call() {
    let world = World::start_by_default();
    let connections: Vec<Caller> = (0..100).map(|_| world.caller("a", 1).over_http2()).collect();
    let gate = world.upstream.hold(is_label_read);
    let readers = together(10_000, |n| connections[n % connections.len()].get(&label_path(1)).send());
    let (replies, ()) = tokio::join!(readers, async {
        gate.held(1).await;
        gate.release();
    });
    for reply in &replies {
        reply.assert_label("a-1");
    }
    assert_eq!(world.upstream.count_of(|request| request.is("GET", &label_path(1))), 1);
}

#[tokio::test]
async fn the_second_missed_label_brings_all_others_with_one_list_read() {
    let world = World::start_by_default();
    give_labels(&world, "a", 1);
    let caller = known_for_long(&world).await;
    let before = world.upstream.count();
    caller.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
    caller.get(&label_path(3)).send().await.assert_label("a-3").assert_hit();
    for n in 4..=LABEL_COUNT {
        caller.get(&label_path(n)).send().await.assert_label(&format!("a-{n}")).assert_hit().assert_age(0);
    }
    assert_eq!(world.upstream.count_of(is_list_read), 2);
    assert_eq!(world.upstream.count() - before, 2);
    let list_fills = [("purpose", "list_fill"), ("status", "2xx")];
    let list_fills = world.proxy.metric("instantly_proxy_upstream_requests_total", &list_fills).await;
    assert!((list_fills - 2.0).abs() < f64::EPSILON, "{list_fills}");
}

#[tokio::test]
async fn a_list_that_a_client_reads_brings_its_labels_too() {
    let world = World::start_by_default();
    let caller = world.caller("a", 1);
    caller.get(LABELS).send().await.assert_status(200).assert_proof();
    for n in 1..=3 {
        caller.get(&label_path(n)).send().await.assert_label(&format!("a-{n}")).assert_hit();
    }
    assert_eq!(world.upstream.count(), 1);
    // The same bytes that a single read would have brought.
    let (filled, fetched) =
        (caller.get(&label_path(2)), caller.get(&label_path(2)).field("cache-control", "no-cache"));
    assert_eq!(filled.send().await.body, fetched.send().await.body);
}

/// G8: the rules for labels, not those for lists, say whether the vendor is obeyed about them.
#[tokio::test]
async fn a_list_brings_no_label_that_the_vendor_forbids_to_keep_where_it_is_obeyed_about_labels() {
    for (directives, hits) in [(UpstreamDirectives::Ignore, true), (UpstreamDirectives::Respect, false)] {
        let world = World::start_by_default_with(|config| {
            config.cache.lead_labels.upstream_directives = directives;
        });
        let list = Answer::json(200, page(&[label("a", 2, "a-2")], None)).field("cache-control", "no-store");
        world.upstream.reply_to("GET", LABELS, list.clone());
        world.upstream.reply_to("GET", &format!("{LABELS}?limit=100"), list);
        let caller = world.proven("a", 1).await;
        caller.get(LABELS).send().await.assert_miss();
        caller.get(LABELS).send().await.assert_hit();
        let read = caller.get(&label_path(2)).send().await;
        assert_eq!(read.cache_status().starts_with("hit"), hits, "{read:?}");
    }
}

#[tokio::test]
async fn a_label_that_the_list_lacks_is_asked_for_by_itself() {
    let world = World::start_by_default();
    // A list that is behind the single reads, as a replica may be.
    let behind: Vec<String> =
        (1..=3).map(|n| Label::new(organization("a"), n, &format!("a-{n}")).json()).collect();
    world.upstream.reply_to("GET", &format!("{LABELS}?limit=100"), Answer::json(200, page(&behind, None)));
    world.vendor.put_label("a", 7, "a-7");
    let caller = world.proven("a", 1).await;
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    caller.get(&label_path(3)).send().await.assert_label("a-3").assert_hit();
    caller.get(&label_path(7)).send().await.assert_label("a-7").assert_miss();
    let missing = caller.get(&label_path(8)).send().await;
    missing.assert_refused_upstream(404);
    assert_eq!(world.upstream.count_of(|request| request.is("GET", &label_path(8))), 1);
    assert_eq!(
        world.upstream.count_of(is_list_read),
        1,
        "what a list did not bring the next will not either"
    );
}

#[tokio::test]
async fn a_list_read_ahead_that_failed_is_tried_again_after_five_seconds() {
    let world = World::start_by_default();
    give_labels(&world, "a", 1);
    world.upstream.reply_to("GET", &format!("{LABELS}?limit=100"), Answer::json(500, "{}"));
    let caller = world.proven("a", 1).await;
    for n in [2, 3, 4] {
        caller.get(&label_path(n)).send().await.assert_label(&format!("a-{n}"));
    }
    assert_eq!(world.upstream.count_of(is_list_read), 1);
    world.proxy.advance_seconds(5);
    world.upstream.clear_scripts();
    caller.get(&label_path(5)).send().await.assert_label("a-5");
    assert_eq!(world.upstream.count_of(is_list_read), 2);
    caller.get(&label_path(6)).send().await.assert_label("a-6").assert_hit();
}

#[tokio::test]
async fn an_item_of_another_organization_is_not_taken_from_a_list() {
    let world = World::start_by_default();
    let mixed = page(
        &[Label::new(organization("a"), 2, "a-2").json(), Label::new(organization("b"), 3, "b-3").json()],
        None,
    );
    world.upstream.reply_to("GET", &format!("{LABELS}?limit=100"), Answer::json(200, mixed));
    let caller = world.proven("a", 1).await;
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    caller.get(&label_path(3)).send().await.assert_label("a-3");
    assert_eq!(world.upstream.count_of(|request| request.is("GET", &label_path(3))), 1);
    caller.get(&label_path(3)).send().await.assert_label("a-3");
}

#[tokio::test]
async fn items_that_look_unlike_single_reads_are_not_taken_and_what_lists_filled_is_gone() {
    let world = World::start_by_default();
    let summary = |n: u32| {
        let (id, organization) = (label_id(n), organization("a"));
        format!(r#"{{"id":"{id}","organization_id":"{organization}","label":"summary-{n}"}}"#)
    };
    let list = page(&[summary(1), summary(2)], None);
    world.upstream.reply_to("GET", LABELS, Answer::json(200, list));
    let caller = world.caller("a", 1);
    caller.get(LABELS).send().await.assert_proof();
    caller.get(&label_path(1)).send().await.assert_label("summary-1").assert_hit();
    caller.get(&label_path(3)).send().await.assert_label("a-3");
    caller.get(&label_path(1)).send().await.assert_label("a-1");
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    let (lists, before) = (world.upstream.count_of(is_list_read), world.upstream.count());
    assert_eq!(lists, 0, "off for this organization");
    caller.get(LABELS).field("cache-control", "no-cache").send().await.assert_status(200);
    caller.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
    assert_eq!(world.upstream.count() - before, 1);
    let unlike = [("cause", "unlike_items")];
    world.proxy.metric_reaches("instantly_proxy_cache_invalidations_total", &unlike, 1.0).await;
}

#[tokio::test]
async fn where_one_page_holds_every_label_a_proof_makes_all_of_them_young() {
    let world = World::start_by_default();
    let caller = world.proven("a", 1).await;
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    caller.get(&label_path(3)).send().await.assert_hit();
    world.proxy.advance_seconds(46);
    world.vendor.put_label("a", 2, "new");
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    patiently("the proof to end", async {
        while caller.get(&label_path(2)).send().await.label() != "new" {}
    })
    .await;
    caller.get(&label_path(2)).send().await.assert_label("new").assert_hit().assert_age(0);
    world.proxy.advance_seconds(40);
    caller.get(&label_path(3)).send().await.assert_label("a-3").assert_hit();
    assert_eq!((world.upstream.count_of(is_list_read), world.upstream.count()), (2, 3));
}

#[tokio::test]
async fn no_list_is_read_ahead_while_a_write_settles() {
    let world = World::start_by_default();
    give_labels(&world, "a", 1);
    let caller = known_for_long(&world).await;
    caller.patch(&label_path(1), r#"{"label":"new"}"#).send().await.assert_status(200);
    caller.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
    caller.get(&label_path(3)).send().await.assert_label("a-3").assert_miss();
    assert_eq!(world.upstream.count_of(is_list_read), 1);
    world.proxy.advance_seconds(6);
    caller.get(&label_path(4)).send().await.assert_label("a-4").assert_miss();
    caller.get(&label_path(5)).send().await.assert_label("a-5").assert_hit();
    assert_eq!(world.upstream.count_of(is_list_read), 2);
}

#[tokio::test]
async fn what_a_write_answered_is_stored_as_the_label() {
    let world = World::start_shielded();
    let (writer, reader) = (world.proven("a", 1).await, world.proven("a", 2).await);
    writer.patch(&label_path(1), r#"{"label":"new"}"#).send().await.assert_label("new");
    let before = world.upstream.count();
    world.proxy.advance_seconds(2);
    reader.get(&label_path(1)).send().await.assert_label("new").assert_hit().assert_age(2);
    let created = writer.post(LABELS, r#"{"label":"created"}"#).send().await;
    let id = created.assert_label("created").json()["id"].as_str().expect("an id").to_owned();
    reader.get(&format!("{LABELS}/{id}")).send().await.assert_label("created").assert_hit().assert_age(0);
    assert_eq!(world.upstream.count() - before, 1, "the POST alone");
}

#[tokio::test]
async fn what_a_write_answered_is_not_stored_if_another_write_came_meanwhile() {
    let world = World::start_shielded();
    let (first, second) = (world.proven("a", 1).await, world.proven("a", 2).await);
    let gate = world
        .upstream
        .hold(|request| request.is("PATCH", &label_path(1)) && request.text().contains("early"));
    let early = first.patch(&label_path(1), r#"{"label":"early"}"#).spawn();
    gate.held(1).await;
    second.patch(&label_path(1), r#"{"label":"late"}"#).send().await.assert_label("late");
    gate.release();
    early.await.expect("no panic").assert_label("early");
    for reader in [&first, &second] {
        reader.get(&label_path(1)).send().await.assert_label("late");
    }
}

#[tokio::test]
async fn what_a_write_answered_soon_after_another_write_is_kept_for_a_second() {
    let world = World::start_shielded();
    let (writer, reader) = (world.proven("a", 1).await, world.proven("a", 2).await);
    world.upstream.script(|request| request.is("PATCH", &label_path(2)).then(|| Answer::json(502, "{}")));
    writer.patch(&label_path(2), r#"{"label":"perhaps"}"#).send().await.assert_status(502);
    world.proxy.advance_seconds(40);
    writer.patch(&label_path(1), r#"{"label":"new"}"#).send().await.assert_label("new");
    reader.get(&label_path(1)).send().await.assert_label("new").assert_hit();
    world.proxy.advance(Duration::from_millis(1100));
    reader.get(&label_path(1)).send().await.assert_label("new").assert_miss();
}

#[tokio::test]
async fn what_a_write_answered_is_as_old_as_the_write() {
    let world = World::start_shielded();
    let (writer, reader) = (world.proven("a", 1).await, world.proven("a", 2).await);
    let gate = world.upstream.hold(|request| request.is("PATCH", &label_path(1)));
    let slow = writer.patch(&label_path(1), r#"{"label":"new"}"#).spawn();
    gate.held(1).await;
    world.proxy.advance_seconds(7);
    gate.release();
    slow.await.expect("no panic").assert_label("new");
    reader.get(&label_path(1)).send().await.assert_label("new").assert_hit().assert_age(7);
}

#[tokio::test]
async fn a_write_without_a_proof_stores_nothing() {
    let world = World::start_shielded();
    let reader = world.proven("a", 2).await;
    world.caller("a", 1).patch(&label_path(1), r#"{"label":"new"}"#).send().await.assert_label("new");
    reader.get(&label_path(1)).send().await.assert_label("new").assert_miss();
}

#[tokio::test]
async fn a_deleted_label_is_gone() {
    let world = World::start_shielded();
    let caller = world.proven("a", 1).await;
    caller.delete(&label_path(1)).send().await.assert_status(200);
    caller.get(&label_path(1)).send().await.assert_refused_upstream(404);
}
