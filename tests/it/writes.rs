//! A read that starts after a write was answered never sees the value from before it, and a write reaches the vendor
//! once, whole, or not at all.

use std::time::Duration;

use instantly_proxy::error::ErrorKind;

use crate::support::labels::{LABELS, error, label, label_id, label_path, page, token};
use crate::support::{Answer, Caller, Peculiar, Recorded, World};

const CHANGE: &str = r#"{"label":"changed"}"#;
const NEW: &str = r#"{"label":"new","interest_status_label":"neutral"}"#;

fn is_write(request: &Recorded) -> bool {
    request.method != "GET" && request.method != "HEAD"
}

/// Reads something and says whether the stored response answered.
async fn hits(caller: &Caller, target: &str) -> bool {
    let reply = caller.get(target).send().await;
    reply.assert_status(200).cache_status().starts_with("hit")
}

/// A world in which key 1 of `a` is proven and has labels 1 and 2 and the list in the cache.
async fn warm() -> (World, Caller) {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    caller.get(&label_path(2)).send().await.assert_status(200);
    caller.get(LABELS).send().await.assert_status(200);
    for target in [&label_path(1), &label_path(2), LABELS] {
        assert!(hits(&caller, target).await, "{target} is warm");
    }
    (world, caller)
}

#[tokio::test]
async fn a_change_is_seen_by_the_very_next_read_of_everybody() {
    let (world, writer) = warm().await;
    let reader = world.proven("a", 2).await;
    writer
        .patch(&label_path(1), CHANGE)
        .send()
        .await
        .assert_label("changed")
        .assert_cache_status("fwd=method");
    for caller in [&reader, &writer] {
        caller.get(&label_path(1)).send().await.assert_label("changed");
        assert!(caller.get(LABELS).send().await.text().contains("\"changed\""));
    }
}

#[tokio::test]
async fn twenty_writes_are_each_read_back_at_once() {
    let (world, writer) = warm().await;
    let reader = world.proven("a", 2).await;
    for n in 0..20 {
        let text = format!("change {n}");
        writer.patch(&label_path(1), &format!(r#"{{"label":"{text}"}}"#)).send().await.assert_label(&text);
        reader.get(&label_path(1)).send().await.assert_label(&text);
    }
}

#[tokio::test]
async fn a_write_of_one_organization_leaves_the_others_alone() {
    let (world, writer) = warm().await;
    let other = world.proven("b", 1).await;
    writer.patch(&label_path(1), CHANGE).send().await.assert_status(200);
    other.get(&label_path(1)).send().await.assert_label("b-1").assert_hit();
}

#[tokio::test]
async fn a_new_label_is_in_the_very_next_list() {
    let (_world, writer) = warm().await;
    writer.post(LABELS, NEW).send().await.assert_label("new").assert_cache_status("fwd=method");
    assert!(writer.get(LABELS).send().await.text().contains("\"new\""));
}

#[tokio::test]
async fn a_delete_reaches_the_vendor_with_its_body_and_the_next_read_asks() {
    let (world, writer) = warm().await;
    let body = r#"{"reassigned_status":1}"#;
    writer.delete(&label_path(1)).json(body).send().await.assert_label("a-1");
    let sent = world.upstream.last();
    assert_eq!((sent.text().as_str(), sent.field("content-type")), (body, Some("application/json")));
    writer.get(&label_path(1)).send().await.assert_refused_upstream(404);
    assert!(!writer.get(LABELS).send().await.text().contains("\"a-1\""));
}

#[tokio::test]
async fn a_fill_under_way_during_a_write_is_neither_joined_nor_stored() {
    let world = World::start();
    let (early, writer, reader) =
        (world.proven("a", 1).await, world.proven("a", 2).await, world.proven("a", 3).await);
    let gate = world.upstream.hold(|request| request.is("GET", &label_path(2)));
    let early = early.get(&label_path(2)).spawn();
    gate.held(1).await;
    writer.patch(&label_path(2), CHANGE).send().await.assert_status(200);
    let late = reader.get(&label_path(2)).spawn();
    gate.held(2).await;
    gate.release();
    late.await.expect("no panic").assert_label("changed");
    let early = early.await.expect("no panic");
    assert!(!early.cache_status().contains("stored"), "{early:?}");
    writer.get(&label_path(2)).send().await.assert_label("changed");
}

#[tokio::test]
async fn a_fill_is_fenced_even_while_its_organization_is_unknown() {
    let world = World::start();
    let writer = world.proven("a", 2).await;
    let gate = world.upstream.hold(|request| request.is("GET", &label_path(2)));
    let unproven = world.caller("a", 1).get(&label_path(2)).spawn();
    gate.held(1).await;
    writer.patch(&label_path(2), CHANGE).send().await.assert_status(200);
    gate.release();
    unproven.await.expect("no panic").assert_status(200);
    writer.get(&label_path(2)).send().await.assert_label("changed");
}

#[tokio::test]
async fn a_refused_write_invalidates_nothing() {
    for status in [400, 402, 403, 409, 422, 429] {
        let (world, caller) = warm().await;
        let writer = world.caller("a", 2);
        let answer = Answer::json(status, error(status, "No."));
        world.upstream.script(move |request| is_write(request).then(|| answer.clone()));
        writer.patch(&label_path(1), CHANGE).send().await.assert_refused_upstream(status);
        for target in [&label_path(1), &label_path(2), LABELS] {
            assert!(hits(&caller, target).await, "{status}: {target}");
        }
    }
}

#[tokio::test]
async fn a_write_to_a_label_that_is_gone_evicts_that_label_alone() {
    let (world, caller) = warm().await;
    world.vendor.remove_label("a", 1);
    caller.patch(&label_path(1), CHANGE).send().await.assert_refused_upstream(404);
    caller.get(&label_path(1)).send().await.assert_refused_upstream(404);
    assert!(hits(&caller, &label_path(2)).await);
}

#[tokio::test]
async fn a_write_of_unknown_fate_counts_as_done_and_its_answer_is_passed_on() {
    let large = format!(r#"{{"id":"{}","pad":"{}"}}"#, label_id(1), "x".repeat(300 * 1024));
    for answer in [
        Answer::json(500, error(500, "Oops.")),
        Answer::json(503, error(503, "Oops.")),
        Answer::json(408, error(408, "Slow.")),
        Answer::status(303).field("location", "/x"),
        Answer::json(200, large),
        Answer::body(200, "text/plain", "done"),
        Answer::json(200, "\u{1f}\u{8b}").field("content-encoding", "gzip"),
    ] {
        let (world, caller) = warm().await;
        let scripted = answer.clone();
        world.upstream.script(move |request| is_write(request).then(|| scripted.clone()));
        let reply = caller.patch(&label_path(1), CHANGE).send().await;
        let (sent, _) = answer.render("PATCH");
        let sent = String::from_utf8_lossy(&sent).into_owned();
        reply.assert_refused_upstream(sent[9..12].parse().expect("a status"));
        assert!(sent.ends_with(&reply.text()), "{reply:?}");
        for target in [&label_path(1), &label_path(2), LABELS] {
            assert!(!hits(&caller, target).await, "{}: {target}", reply.status);
        }
        assert_eq!(world.upstream.count_of(is_write), 1);
    }
}

#[tokio::test]
async fn a_write_that_is_cut_or_never_answered_counts_as_done() {
    for (answer, kind) in [
        (Answer::close(), ErrorKind::BadUpstreamAnswer),
        (Answer::json(200, label("a", 1, "changed")).cut_after(20), ErrorKind::BadUpstreamAnswer),
        (Answer::hang(), ErrorKind::UpstreamTimeout),
    ] {
        let world = World::start_with(|config| config.upstream.first_byte_timeout = Duration::from_secs(10));
        let caller = world.proven("a", 1).await;
        world.upstream.script(move |request| is_write(request).then(|| answer.clone()));
        let sent = caller.patch(&label_path(1), CHANGE).send();
        let reply = world.proxy.advancing("the end of a write without an answer", sent).await;
        reply.assert_error(kind);
        assert!(!hits(&caller, &label_path(1)).await, "{kind}");
        assert_eq!(world.upstream.count_of(is_write), 1, "a write is never repeated");
    }
}

#[tokio::test]
async fn a_client_that_leaves_after_its_write_was_sent_has_written() {
    let (world, caller) = warm().await;
    let gate = world.upstream.hold(is_write);
    let mut raw = world.proxy.raw().await;
    raw.send(write_head("PATCH", &label_path(1), CHANGE.len()) + CHANGE).await;
    gate.held(1).await;
    drop(raw);
    world.proxy.metric_reaches("instantly_proxy_cache_invalidations_total", &[], 1.0).await;
    caller.get(&label_path(1)).send().await.assert_label("changed");
}

#[tokio::test]
async fn a_writer_without_a_binding_invalidates_what_its_answer_names() {
    let (world, caller) = warm().await;
    let bystander = world.proven("b", 1).await;
    world.caller("a", 2).patch(&label_path(1), CHANGE).send().await.assert_label("changed");
    caller.get(&label_path(1)).send().await.assert_label("changed");
    assert!(!hits(&caller, &label_path(2)).await);
    assert!(hits(&bystander, &label_path(1)).await);
}

#[tokio::test]
async fn an_unbound_write_of_unknown_fate_invalidates_that_id_and_every_list_everywhere() {
    let (world, caller) = warm().await;
    let bystander = world.proven("b", 1).await;
    for target in [&label_path(2), LABELS] {
        bystander.get(target).send().await.assert_status(200);
    }
    world.upstream.script(|request| is_write(request).then(|| Answer::json(500, error(500, "Oops."))));
    world.caller("a", 2).patch(&label_path(1), CHANGE).send().await.assert_refused_upstream(500);
    for caller in [&caller, &bystander] {
        assert!(!hits(caller, &label_path(1)).await, "that id");
        assert!(!hits(caller, LABELS).await, "the list");
        assert!(hits(caller, &label_path(2)).await, "another id");
    }
}

#[tokio::test]
async fn an_unbound_write_that_says_neither_which_label_nor_whose_invalidates_all_of_everybody() {
    for (method, path) in [
        ("PATCH", format!("{LABELS}/")),
        ("DELETE", LABELS.to_owned()),
        ("POST", format!("{LABELS}?_method=DELETE")),
        ("POST", format!("{}/merge", label_path(2))),
    ] {
        let (world, caller) = warm().await;
        let bystander = world.proven("b", 1).await;
        world.upstream.script(|request| is_write(request).then(|| Answer::json(500, error(500, "Oops."))));
        world.caller("a", 2).request(method, &path).body(CHANGE).send().await.assert_refused_upstream(500);
        for caller in [&caller, &bystander] {
            assert!(!hits(caller, &label_path(1)).await, "{method} {path}");
        }
    }
}

/// What makes a read uncached may choose whose label a write changes.
#[tokio::test]
async fn a_write_that_something_beside_its_key_may_have_made_anothers_counts_as_anybodys() {
    let (cookie, edge) = (("cookie", "session=1"), ("cookie", "__cf_bm=1"));
    for (field, query, leaves) in [
        (Some(cookie), "", false),
        (Some(("x-organization-id", "1")), "", false),
        (None, "?api_key=another", false),
        (Some(edge), "", true),
        (None, "", true),
    ] {
        for is_left in [false, true] {
            let (world, caller) = warm().await;
            let bystander = world.proven("b", 1).await;
            world.upstream.script(|request| is_write(request).then(|| Answer::status(204)));
            let target = format!("{}{query}", label_path(1));
            let write = caller.delete(&target);
            let write = field.into_iter().fold(write, |write, (name, value)| write.field(name, value));
            if is_left && query.is_empty() {
                let gate = world.upstream.hold(is_write);
                let write = write.spawn();
                gate.held(1).await;
                write.abort();
                world.proxy.metric_reaches("instantly_proxy_cache_invalidations_total", &[], 1.0).await;
            } else {
                write.send().await.assert_status(204);
            }
            assert_eq!(hits(&bystander, &label_path(1)).await, leaves, "{field:?} {query} {is_left}");
            assert!(!hits(&caller, &label_path(1)).await);
        }
    }
}

#[tokio::test]
async fn a_write_whose_key_moves_while_it_is_under_way_counts_in_the_old_organization_and_in_the_new() {
    for is_bound_anew in [true, false] {
        let (world, caller) = warm().await;
        let (old, new) = (world.proven("a", 2).await, world.proven("b", 1).await);
        for reader in [&old, &new] {
            reader.get(&label_path(3)).send().await.assert_status(200);
        }
        world.upstream.script(|request| is_write(request).then(|| Answer::status(204)));
        let gate = world.upstream.hold(is_write);
        let write = caller.delete(&label_path(1)).spawn();
        gate.held(1).await;
        world.vendor.admit(&token("a", 1), "b");
        let read = caller.get(&label_path(2)).field("cache-control", "no-cache").send();
        read.await.assert_error(ErrorKind::MixedUpAnswer);
        if is_bound_anew {
            caller.get(&label_path(2)).send().await.assert_label("b-2").assert_proof();
        }
        gate.release();
        write.await.expect("no panic").assert_status(204);
        for reader in [&old, &new] {
            assert!(!hits(reader, &label_path(1)).await, "{is_bound_anew}");
        }
        assert!(!hits(&old, &label_path(3)).await, "all of the old one");
        assert_eq!(hits(&new, &label_path(3)).await, !is_bound_anew, "all of the new one, if it is known");
    }
}

/// Nobody tells that a token has moved, and what was shown of it so long ago may be over.
#[tokio::test]
async fn a_write_whose_key_may_have_moved_long_ago_counts_as_anybodys_where_its_answer_names_nobody() {
    let answers = [
        (204, Answer::status(204)),
        (500, Answer::status(500)),
        (200, Answer::json(200, "{\"success\":true}")),
    ];
    for (status, answer) in answers {
        let (world, caller) = warm().await;
        world.proxy.advance_seconds(301);
        let reader = world.proven("b", 1).await;
        reader.get(LABELS).send().await.assert_status(200);
        assert!(hits(&reader, &label_path(1)).await && hits(&reader, LABELS).await);
        world.vendor.admit(&token("a", 1), "b");
        world.upstream.script(move |request| is_write(request).then(|| answer.clone()));
        caller.delete(&label_path(1)).send().await.assert_status(status);
        assert!(!hits(&reader, &label_path(1)).await && !hits(&reader, LABELS).await);
    }
}

#[tokio::test]
async fn acting_for_another_workspace_invalidates_that_one() {
    let (world, caller) = warm().await;
    let plain = world.proven("admin", 1).await;
    world.acting_for("a").patch(&label_path(1), CHANGE).send().await.assert_label("changed");
    caller.get(&label_path(1)).send().await.assert_label("changed");
    assert!(hits(&plain, &label_path(1)).await);
}

#[tokio::test]
async fn asking_for_a_reply_label_changes_nothing() {
    if !Peculiar::ReplyTrial.is_there() {
        return;
    }
    let (world, caller) = warm().await;
    let reply = caller.post(&format!("{LABELS}/ai-reply-label"), r#"{"reply_text":"yes"}"#).send().await;
    reply.assert_status(200).assert_cache_status("fwd=bypass");
    for target in [&label_path(1), &label_path(2), LABELS] {
        assert!(hits(&caller, target).await, "{target}");
    }
    assert_eq!(world.upstream.count_of(is_write), 1);
}

#[tokio::test]
async fn for_five_seconds_after_a_write_a_fill_lives_at_most_one_second() {
    let (world, caller) = warm().await;
    caller.patch(&label_path(1), CHANGE).send().await.assert_status(200);
    caller.get(&label_path(1)).send().await.assert_miss();
    assert!(hits(&caller, &label_path(1)).await);
    world.proxy.advance(Duration::from_millis(1100));
    caller.get(&label_path(1)).send().await.assert_miss();
    world.proxy.advance_seconds(5);
    caller.get(&label_path(1)).send().await.assert_miss();
    world.proxy.advance_seconds(20);
    assert!(hits(&caller, &label_path(1)).await);
}

/// A cache on the upstream's side may say of what it sends that it is older than the write.
#[tokio::test]
async fn what_a_nearer_cache_has_had_since_before_a_write_is_fresh_for_a_second_at_most() {
    let (world, caller) = warm().await;
    caller.patch(&label_path(1), CHANGE).send().await.assert_status(200);
    world.proxy.advance_seconds(6);
    world.upstream.script(|request| {
        let old = || Answer::json(200, label("a", 1, "a-1")).field("age", "30");
        (request.method == "GET" && request.target == label_path(1)).then(old)
    });
    caller.get(&label_path(1)).send().await.assert_status(200);
    world.proxy.advance(Duration::from_millis(1100));
    caller.get(&label_path(1)).send().await.assert_miss();
    // What it has had since the write is as good as any.
    world.upstream.script(|request| {
        let young = || Answer::json(200, label("a", 1, "a-1")).field("age", "1");
        (request.method == "GET" && request.target == label_path(1)).then(young)
    });
    world.proxy.advance_seconds(2);
    caller.get(&label_path(1)).send().await.assert_miss();
    world.proxy.advance_seconds(20);
    assert!(hits(&caller, &label_path(1)).await);
}

#[tokio::test]
async fn what_a_nearer_cache_has_had_since_before_a_write_takes_the_place_of_nothing_younger() {
    let world = World::start_with(|config| config.cache.write_through = true);
    world.proxy.advance_seconds(60);
    let caller = world.proven("a", 1).await;
    caller.patch(&label_path(1), CHANGE).send().await.assert_label("changed");
    world.proxy.advance_seconds(40);
    let old = Answer::json(200, label("a", 1, "a-1")).field("age", "50");
    world.upstream.reply_to("GET", &label_path(1), old);
    let fresh = caller.get(&label_path(1)).field("cache-control", "no-cache").send().await;
    fresh.assert_label("a-1").assert_cache_status("fwd=request");
    caller.get(&label_path(1)).send().await.assert_label("changed").assert_hit();
}

#[tokio::test]
async fn what_a_nearer_cache_says_of_a_list_takes_the_place_of_no_younger_label() {
    let world = World::start_with(|config| config.cache.list_fill = true);
    let caller = world.proven("a", 1).await;
    caller.get(LABELS).send().await.assert_status(200);
    world.proxy.advance_seconds(30);
    world.vendor.put_label("a", 2, "new");
    caller.get(&label_path(2)).field("cache-control", "no-cache").send().await.assert_label("new");
    world.proxy.advance_seconds(10);
    let items = [label("a", 1, "a-1"), label("a", 2, "a-2")];
    let old = Answer::json(200, page(&items, None)).field("age", "50");
    world.upstream.reply_to("GET", LABELS, old);
    caller.get(LABELS).field("cache-control", "no-cache").send().await.assert_status(200);
    caller.get(&label_path(2)).send().await.assert_label("new").assert_hit();
}

#[tokio::test]
async fn after_a_write_of_unknown_fate_fills_are_short_lived_for_a_minute() {
    let (world, caller) = warm().await;
    world.upstream.script(|request| is_write(request).then(|| Answer::json(500, error(500, "Oops."))));
    caller.patch(&label_path(1), CHANGE).send().await.assert_status(500);
    world.proxy.advance_seconds(30);
    caller.get(&label_path(2)).send().await.assert_miss();
    world.proxy.advance(Duration::from_millis(1100));
    caller.get(&label_path(2)).send().await.assert_miss();
}

#[tokio::test]
async fn a_write_asks_for_an_answer_that_can_be_read() {
    let (world, caller) = warm().await;
    let written = caller.patch(&label_path(1), CHANGE).field("accept-encoding", "gzip, br");
    written.field("x-custom", "kept").send().await.assert_status(200);
    let sent = world.upstream.last();
    assert_eq!(sent.field("accept-encoding"), Some("identity"));
    assert_eq!(sent.field("x-custom"), Some("kept"));
    assert_eq!(sent.text(), CHANGE);
}

#[tokio::test]
async fn a_body_over_one_mebibyte_is_refused_before_anything_is_sent() {
    let (world, caller) = warm().await;
    let calls = world.upstream.heads();
    let large = format!(r#"{{"label":"{}"}}"#, "x".repeat(1024 * 1024));
    let reply = world.caller("a", 1).patch(&label_path(1), &large).attempt().await;
    // The answer may overtake the body, and the connection end under it.
    if let Ok(reply) = reply {
        reply.assert_error(ErrorKind::BodyTooLarge);
    }
    let mut raw = world.proxy.raw().await;
    raw.send(write_head("PATCH", &label_path(1), 1024 * 1024 + 1)).await;
    raw.read().await.reply().assert_error(ErrorKind::BodyTooLarge);
    assert_eq!(world.upstream.heads(), calls);
    assert!(hits(&caller, &label_path(1)).await);
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_written() {
    let (world, caller) = warm().await;
    let padding = "x".repeat(1024 * 1024 - r#"{"label":""}"#.len());
    let body = format!(r#"{{"label":"{padding}"}}"#);
    world.upstream.reply_to("PATCH", &label_path(1), Answer::json(200, label("a", 1, "x")));
    caller.patch(&label_path(1), &body).send().await.assert_status(200);
    assert_eq!(world.upstream.last().body.len(), 1024 * 1024);
}

#[tokio::test]
async fn a_client_that_leaves_inside_its_body_has_written_nothing() {
    let (world, caller) = warm().await;
    let calls = world.upstream.heads();
    for head in [write_head("PATCH", &label_path(1), 100), chunked_head()] {
        let mut raw = world.proxy.raw().await;
        raw.send(head + r#"{"label":"#).await;
        raw.half_close().await;
        if let Some(reply) = raw.read_or_end().await {
            reply.reply().assert_error(ErrorKind::BodyIncomplete);
        }
    }
    assert_eq!(world.upstream.heads(), calls);
    assert!(hits(&caller, &label_path(1)).await);
}

#[tokio::test]
async fn a_write_goes_out_on_a_new_connection_when_the_pooled_ones_are_gone() {
    let (world, caller) = warm().await;
    world.upstream.break_networking().await;
    world.upstream.heal_networking().await;
    world.round_trip(&caller).await;
    caller.patch(&label_path(1), CHANGE).send().await.assert_label("changed");
    assert_eq!(world.upstream.count_of(is_write), 1);
}

fn write_head(method: &str, target: &str, length: usize) -> String {
    let token = token("a", 1);
    format!(
        "{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn chunked_head() -> String {
    write_head("PATCH", &label_path(1), 0).replace("Content-Length: 0", "Transfer-Encoding: chunked")
        + "64\r\n"
}
