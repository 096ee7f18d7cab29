//! What the answer to a write may do: it is the writer's own or nobody's, and says what may be stored as a read's does.

use instantly_proxy::config::UpstreamDirectives;
use instantly_proxy::error::ErrorKind;

use crate::support::labels::{label, label_path};
use crate::support::{Answer, World};

const CHANGE: &str = r#"{"label":"changed"}"#;

#[tokio::test]
async fn an_answer_to_another_write_reaches_nobody_and_the_write_counts_as_done() {
    for (row, body) in [
        ("another organization than the writer's", label("b", 1, "of b")),
        ("another label", label("a", 2, "a-2")),
    ] {
        let world = World::start();
        let writer = world.proven("a", 1).await;
        let reader = world.proven("a", 2).await;
        world.upstream.reply_to("PATCH", &label_path(1), Answer::json(200, body));
        world.vendor.put_label("a", 1, "changed");
        let reply = writer.patch(&label_path(1), CHANGE).send().await;
        assert_eq!(reply.error_kind(), Some(ErrorKind::MixedUpAnswer), "{row}: {reply:?}");
        let spoilt = world.upstream.last().connection;
        world.upstream.clear_scripts();
        reader.get(&label_path(1)).send().await.assert_label("changed");
        writer.get(&label_path(2)).send().await.assert_label("a-2").assert_proof();
        assert_ne!(world.upstream.last().connection, spoilt, "{row}: its connection is not trusted any more");
    }
}

/// G8.
#[tokio::test]
async fn what_a_write_answers_is_not_stored_where_the_vendor_forbids_it_and_is_obeyed() {
    for (directives, hits) in [(UpstreamDirectives::Ignore, true), (UpstreamDirectives::Respect, false)] {
        let world = World::start_with(|config| {
            config.cache.write_through = true;
            config.cache.lead_labels.upstream_directives = directives;
        });
        let writer = world.proven("a", 1).await;
        let answer = Answer::json(200, label("a", 1, "changed")).field("cache-control", "no-store");
        world.upstream.reply_to("PATCH", &label_path(1), answer);
        writer.patch(&label_path(1), CHANGE).send().await.assert_label("changed");
        let read = writer.get(&label_path(1)).send().await;
        assert_eq!(read.cache_status().starts_with("hit"), hits, "{read:?}");
    }
}

/// RFC 9111 §5.2.1.5: neither the request nor what answers it.
#[tokio::test]
async fn what_answers_a_write_that_says_no_store_is_not_stored() {
    let world = World::start_with(|config| config.cache.write_through = true);
    let writer = world.proven("a", 1).await;
    let write = || writer.patch(&label_path(1), CHANGE);
    write().field("cache-control", "no-store").send().await.assert_label("changed");
    writer.get(&label_path(1)).send().await.assert_label("changed").assert_miss();
    write().send().await.assert_label("changed");
    writer.get(&label_path(1)).send().await.assert_label("changed").assert_hit();
}

#[tokio::test]
async fn what_a_write_with_a_query_answered_is_nobodys_label() {
    let world = World::start_with(|config| config.cache.write_through = true);
    let writer = world.proven("a", 1).await;
    let target = format!("{}?dry_run=true", label_path(1));
    world.upstream.reply_to("PATCH", &target, Answer::json(200, label("a", 1, "as it would be")));
    writer.patch(&target, CHANGE).send().await.assert_label("as it would be");
    writer.get(&label_path(1)).send().await.assert_label("a-1").assert_miss();
}

/// A cache on the way has had it since before.
#[tokio::test]
async fn what_has_an_age_is_no_answer_to_a_write() {
    let world = World::start_with(|config| config.cache.write_through = true);
    let writer = world.proven("a", 1).await;
    let answer = Answer::json(200, label("a", 1, "of another time")).field("age", "30");
    world.upstream.reply_to("PATCH", &label_path(1), answer);
    writer.patch(&label_path(1), CHANGE).send().await.assert_status(200);
    writer.get(&label_path(1)).send().await.assert_label("a-1").assert_miss();
}
