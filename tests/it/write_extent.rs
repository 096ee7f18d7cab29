//! What a write shuts out: the label that its answer names, and every list, where that is all it can have changed; and its
//! whole organization otherwise.

use std::time::Duration;

use instantly_proxy::config::WriteInvalidates;
use instantly_proxy::error::ErrorKind;

use crate::support::labels::{LABELS, error, label, label_id, label_path, organization, page};
use crate::support::{Answer, Caller, Peculiar, Recorded, World};

const CHANGE: &str = r#"{"label":"changed"}"#;
/// What is kept of lists: as a rule by interest, too.
fn lists() -> [&'static str; 3] {
    let narrow = match Peculiar::ListsByInterest.is_there() {
        true => "/api/v2/lead-labels?interest_status=positive",
        false => "/api/v2/lead-labels?limit=2",
    };
    [LABELS, "/api/v2/lead-labels?limit=100", narrow]
}

fn is_write(request: &Recorded) -> bool {
    request.method != "GET" && request.method != "HEAD"
}

/// Reads something and says whether the stored response answered.
async fn hits(caller: &Caller, target: &str) -> bool {
    let reply = caller.get(target).send().await;
    reply.assert_status(200).cache_status().starts_with("hit")
}

/// Key 1 of `a`, which is proven and has labels 1 to 3 and all lists in the cache.
async fn warm_in(world: &World) -> Caller {
    world.vendor.put_label("a", 3, "a-3");
    let caller = world.proven("a", 1).await;
    for target in [&label_path(2), &label_path(3)].into_iter().map(String::as_str).chain(lists()) {
        caller.get(target).send().await.assert_status(200);
        assert!(hits(&caller, target).await, "{target} is warm");
    }
    caller
}

async fn warm() -> (World, Caller) {
    let world = World::start();
    let caller = warm_in(&world).await;
    (world, caller)
}

/// Whether no list answers from the store any more.
async fn lists_are_gone(caller: &Caller) -> bool {
    for list in lists() {
        if hits(caller, list).await {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_change_shuts_out_its_label_and_every_list_and_leaves_the_other_labels() {
    let (world, writer) = warm().await;
    let reader = world.proven("a", 2).await;
    writer.patch(&label_path(1), CHANGE).send().await.assert_label("changed");
    for caller in [&reader, &writer] {
        for n in 2..=3 {
            caller.get(&label_path(n)).send().await.assert_label(&format!("a-{n}")).assert_hit();
        }
    }
    assert!(!hits(&reader, &label_path(1)).await && lists_are_gone(&reader).await);
    let cause = [("cause", "label_write")];
    world.proxy.metric_reaches("instantly_proxy_cache_invalidations_total", &cause, 1.0).await;
}

#[tokio::test]
async fn a_new_label_shuts_out_every_list_and_leaves_the_labels() {
    let (_world, writer) = warm().await;
    writer.post(LABELS, r#"{"label":"new"}"#).send().await.assert_label("new");
    for n in 1..=3 {
        assert!(hits(&writer, &label_path(n)).await, "{n}");
    }
    assert!(lists_are_gone(&writer).await);
}

#[tokio::test]
async fn a_deleted_label_is_gone_with_every_list_and_leaves_the_other_labels() {
    let (_world, writer) = warm().await;
    writer.delete(&label_path(1)).send().await.assert_label("a-1");
    assert!(hits(&writer, &label_path(2)).await && hits(&writer, &label_path(3)).await);
    assert!(lists_are_gone(&writer).await);
    writer.get(&label_path(1)).send().await.assert_refused_upstream(404);
}

#[tokio::test]
async fn a_change_for_another_workspace_shuts_out_that_label_there_and_nothing_at_home() {
    let (world, caller) = warm().await;
    let (plain, acting) = (world.proven("admin", 1).await, world.acting_for("a"));
    acting.get(&label_path(3)).send().await.assert_label("a-3");
    acting.patch(&label_path(1), CHANGE).send().await.assert_label("changed");
    assert!(hits(&caller, &label_path(2)).await && !hits(&caller, &label_path(1)).await);
    assert!(hits(&plain, &label_path(1)).await);
}

/// R5: what an answer does not name plainly may be anything.
#[tokio::test]
async fn an_answer_that_does_not_name_its_own_label_alone_shuts_out_the_whole_organization() {
    let own = label("a", 1, "changed");
    let inside = |members: &str| own.replacen('{', &format!("{{{members},"), 1);
    let patched = [
        ("nothing", "{}".to_owned()),
        ("no organization", format!(r#"{{"id":"{}","label":"changed"}}"#, label_id(1))),
        ("no id", format!(r#"{{"organization_id":"{}"}}"#, organization("a"))),
        (
            "another spelling of its id",
            own.replace(&label_id(1).to_string(), &label_id(1).to_string().to_uppercase()),
        ),
        ("a label and a page", inside(r#""items":[]"#)),
        ("a label inside a label", inside(&format!(r#""merged":{}"#, label("a", 2, "a-2")))),
        ("a label in a list of a label", inside(&format!(r#""also":[{}]"#, label("a", 2, "a-2")))),
        (
            "a label and another organization",
            inside(&format!(r#""was":{{"organization_id":"{}"}}"#, organization("b"))),
        ),
        ("a label and the id of another", inside(&format!(r#""merged_into":"{}""#, label_id(2)))),
        ("a label and ids of others", inside(&format!(r#""affected":["{}"]"#, label_id(2)))),
        ("an id without hyphens", inside(&format!(r#""was":{{"ref":"{}"}}"#, label_id(2).simple()))),
        ("a page", page(std::slice::from_ref(&own), None)),
        ("a list", format!("[{own}]")),
        ("a member twice", inside(&format!(r#""id":"{}""#, label_id(1)))),
    ];
    for (row, body) in patched {
        let (world, caller) = warm().await;
        world.upstream.reply_to("PATCH", &label_path(1), Answer::json(200, body));
        caller.patch(&label_path(1), CHANGE).send().await.assert_status(200);
        assert!(!hits(&caller, &label_path(2)).await, "{row}");
        assert!(lists_are_gone(&caller).await, "{row}");
    }
    for (row, body) in [
        ("nothing", "{}".to_owned()),
        ("no id", format!(r#"{{"organization_id":"{}"}}"#, organization("a"))),
        ("no organization", format!(r#"{{"id":"{}"}}"#, label_id(9))),
    ] {
        let (world, caller) = warm().await;
        world.upstream.reply_to("POST", LABELS, Answer::json(200, body));
        caller.post(LABELS, CHANGE).send().await.assert_status(200);
        assert!(!hits(&caller, &label_path(2)).await, "{row}");
    }
}

#[tokio::test]
async fn an_answer_of_another_label_or_organization_shuts_out_the_whole_organization() {
    for body in [label("a", 2, "a-2"), label("b", 1, "of b")] {
        let (world, caller) = warm().await;
        let reader = world.proven("a", 2).await;
        world.upstream.reply_to("PATCH", &label_path(1), Answer::json(200, body));
        let reply = caller.patch(&label_path(1), CHANGE).send().await;
        assert_eq!(reply.error_kind(), Some(ErrorKind::MixedUpAnswer), "{reply:?}");
        assert!(!hits(&reader, &label_path(3)).await);
    }
}

/// What is another call's says nothing of whose this one was.
#[tokio::test]
async fn an_answer_of_another_label_to_a_writer_whom_nobody_knows_shuts_out_its_own_label() {
    let (world, caller) = warm().await;
    world.upstream.reply_to("PATCH", &label_path(1), Answer::json(200, label("b", 2, "b-2")));
    let reply = world.caller("a", 7).patch(&label_path(1), CHANGE).send().await;
    assert_eq!(reply.error_kind(), Some(ErrorKind::MixedUpAnswer), "{reply:?}");
    assert!(!hits(&caller, &label_path(1)).await);
    assert!(hits(&caller, &label_path(3)).await);
}

#[tokio::test]
async fn a_write_whose_path_is_not_plainly_a_labels_shuts_out_the_whole_organization() {
    let upper = format!("{LABELS}/{}", label_id(1).to_string().to_uppercase());
    for (method, target) in [
        ("PATCH", format!("{}/", label_path(1))),
        ("PATCH", upper),
        ("PATCH", format!("{}?cascade=true", label_path(1))),
        ("PATCH", format!("{}/children", label_path(1))),
        ("POST", label_path(1)),
        ("POST", format!("{LABELS}?upsert=true")),
        ("POST", format!("{LABELS}/reorder")),
        ("PATCH", LABELS.to_owned()),
        ("DELETE", LABELS.to_owned()),
    ] {
        let (world, caller) = warm().await;
        world
            .upstream
            .script(|request| is_write(request).then(|| Answer::json(200, label("a", 1, "changed"))));
        caller.request(method, &target).json(CHANGE).send().await.assert_status(200);
        assert!(!hits(&caller, &label_path(2)).await, "{method} {target}");
    }
}

#[tokio::test]
async fn a_write_of_unknown_fate_shuts_out_the_whole_organization_whatever_it_names() {
    let own = label("a", 1, "changed");
    for answer in [
        Answer::json(500, own.clone()),
        Answer::json(408, own.clone()),
        Answer::body(200, "text/plain", own.clone()),
        Answer::json(200, own.clone()).cut_after(30),
        Answer::json(500, error(500, "Oops.")),
    ] {
        let (world, caller) = warm().await;
        world.upstream.script(move |request| is_write(request).then(|| answer.clone()));
        let _ = caller.patch(&label_path(1), CHANGE).send().await;
        assert!(!hits(&caller, &label_path(2)).await);
        world.proxy.advance(Duration::from_secs(50));
        assert!(!hits(&caller, &label_path(3)).await);
        world.proxy.advance(Duration::from_millis(1100));
        assert!(!hits(&caller, &label_path(3)).await, "and all of it settles for a minute");
    }
}

#[tokio::test]
async fn where_it_is_configured_any_write_shuts_out_the_whole_organization() {
    let (world, caller) = warm().await;
    world.proxy.reload(|config| config.cache.write_invalidates = WriteInvalidates::Organization);
    caller.patch(&label_path(1), CHANGE).send().await.assert_label("changed");
    for n in 1..=3 {
        assert!(!hits(&caller, &label_path(n)).await, "{n}");
    }
    let cause = [("cause", "write")];
    world.proxy.metric_reaches("instantly_proxy_cache_invalidations_total", &cause, 1.0).await;
    world.proxy.reload(|config| config.cache.write_invalidates = WriteInvalidates::Label);
    world.proxy.advance_seconds(6);
    assert!(!hits(&caller, &label_path(2)).await, "it settled");
    caller.patch(&label_path(1), CHANGE).send().await.assert_label("changed");
    assert!(hits(&caller, &label_path(2)).await);
}

#[tokio::test]
async fn for_five_seconds_what_was_written_and_lists_live_for_one_second_and_other_labels_for_all_of_theirs()
{
    let (world, caller) = warm().await;
    caller.patch(&label_path(1), CHANGE).send().await.assert_label("changed");
    world.vendor.put_label("a", 4, "a-4");
    for target in [&label_path(1), &label_path(4), LABELS] {
        assert!(!hits(&caller, target).await && hits(&caller, target).await, "{target}");
    }
    world.proxy.advance(Duration::from_millis(1100));
    assert!(!hits(&caller, &label_path(1)).await && !hits(&caller, LABELS).await);
    assert!(hits(&caller, &label_path(4)).await, "it was not written");
    world.proxy.advance_seconds(5);
    for target in [&label_path(1), LABELS] {
        assert!(!hits(&caller, target).await, "{target}");
        world.proxy.advance_seconds(2);
        assert!(hits(&caller, target).await, "{target} has settled");
    }
    assert!(hits(&caller, &label_path(4)).await);
}

/// A list that was asked for before the write teaches nothing of what was written.
#[tokio::test]
async fn a_list_under_way_during_a_change_is_neither_joined_nor_stored_nor_taken_for_its_items() {
    let world = World::start_with(|config| config.cache.list_fill = true);
    world.vendor.put_label("a", 3, "a-3");
    let (writer, reader) = (world.proven("a", 1).await, world.proven("a", 2).await);
    world.proxy.advance_seconds(700);
    for caller in [&writer, &reader] {
        caller.get(&label_path(3)).send().await.assert_status(200);
    }
    let gate = world.upstream.hold(|request| request.is("GET", LABELS));
    let early = reader.get(LABELS).spawn();
    gate.held(1).await;
    writer.patch(&label_path(1), CHANGE).send().await.assert_label("changed");
    let late = writer.get(LABELS).spawn();
    gate.held(2).await;
    gate.release();
    assert!(late.await.expect("no panic").text().contains("\"changed\""));
    let early = early.await.expect("no panic");
    assert!(!early.cache_status().contains("stored"), "{early:?}");
    for caller in [&reader, &writer] {
        caller.get(&label_path(1)).send().await.assert_label("changed");
    }
}

/// A list fill that a write overtook has brought nothing: it does not count as done for the rest of a lifetime.
#[tokio::test]
async fn after_a_list_fill_that_a_write_overtook_one_list_read_brings_the_rest() {
    let world = World::start_by_default();
    (1..=12).for_each(|n| world.vendor.put_label("a", n, &format!("a-{n}")));
    let caller = world.proven("a", 1).await;
    // The list that is read behind the first answer may still be under way.
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    caller.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
    world.proxy.advance_seconds(700);
    caller.get(&label_path(1)).send().await.assert_label("a-1");
    let is_list = |request: &Recorded| request.is("GET", "/api/v2/lead-labels?limit=100");
    let before = world.upstream.count_of(is_list);
    caller.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
    let gate = world.upstream.hold(is_list);
    let second = caller.get(&label_path(3)).spawn();
    gate.held(1).await;
    caller.patch(&label_path(12), CHANGE).send().await.assert_label("changed");
    gate.release();
    second.await.expect("no panic").assert_label("a-3");
    world.proxy.advance(Duration::from_millis(5500));
    let singles = || world.upstream.count_of(|request| request.is("GET", &label_path(10)));
    for n in 4..=10 {
        caller.get(&label_path(n)).send().await.assert_label(&format!("a-{n}"));
    }
    assert_eq!(world.upstream.count_of(is_list) - before, 2, "the one that was overtaken, and another");
    assert_eq!(singles(), 0);
}

#[tokio::test]
async fn a_read_of_another_label_under_way_during_a_change_is_joined_and_stored() {
    let world = World::start();
    let (writer, reader) = (world.proven("a", 1).await.over_http2(), world.proven("a", 2).await);
    let gate = world.upstream.hold(|request| request.is("GET", &label_path(2)));
    let early = reader.get(&label_path(2)).spawn();
    gate.held(1).await;
    writer.patch(&label_path(1), CHANGE).send().await.assert_label("changed");
    let late = writer.get(&label_path(2)).spawn();
    tokio::task::yield_now().await;
    // On the same connection: what was sent before it has joined by then.
    world.round_trip(&writer).await;
    gate.release();
    early.await.expect("no panic").assert_label("a-2").assert_miss();
    late.await.expect("no panic").assert_label("a-2").assert_cache_status("fwd=miss; collapsed");
    writer.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
    assert_eq!(world.upstream.count_of(|request| request.is("GET", &label_path(2))), 1);
}

#[tokio::test]
async fn what_two_writes_of_two_labels_answered_is_stored_though_they_overlap() {
    let world = World::start_shielded();
    let (first, second) = (world.proven("a", 1).await, world.proven("a", 2).await);
    let gate = world.upstream.hold(|request| request.is("PATCH", &label_path(1)));
    let slow = first.patch(&label_path(1), r#"{"label":"slow"}"#).spawn();
    gate.held(1).await;
    second.patch(&label_path(2), r#"{"label":"quick"}"#).send().await.assert_label("quick");
    gate.release();
    slow.await.expect("no panic").assert_label("slow");
    world.proxy.advance_seconds(2);
    first.get(&label_path(1)).send().await.assert_label("slow").assert_hit();
    first.get(&label_path(2)).send().await.assert_label("quick").assert_hit();
}

#[tokio::test]
async fn a_client_that_left_its_write_has_written_the_whole_organization() {
    let (world, caller) = warm().await;
    let gate = world.upstream.hold(is_write);
    let write = caller.patch(&label_path(1), CHANGE).spawn();
    gate.held(1).await;
    write.abort();
    let cause = [("cause", "unknown_write")];
    world.proxy.metric_reaches("instantly_proxy_cache_invalidations_total", &cause, 1.0).await;
    assert!(!hits(&caller, &label_path(2)).await, "nobody knows yet what it says");
    gate.release();
    let cause = [("cause", "label_write")];
    world.proxy.metric_reaches("instantly_proxy_cache_invalidations_total", &cause, 1.0).await;
    assert!(hits(&caller, &label_path(2)).await, "and its answer named one label");
    caller.get(&label_path(1)).send().await.assert_label("changed");
}
