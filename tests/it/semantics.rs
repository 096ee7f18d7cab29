//! What a stored answer says of itself and how it obeys the client (RFC 9110, RFC 9111, RFC 9211).

use std::time::Duration;

use instantly_proxy::error::ErrorKind;

use crate::support::labels::{LABELS, label, label_path};
use crate::support::{Answer, Caller, Peculiar, Reply, World, is_label_read};

/// A world with a proven caller whose labels live for 30 s at most, so that no proof is renewed meanwhile.
async fn short_lived() -> (World, Caller) {
    let world = World::start_with(|config| {
        config.cache.lead_labels.ttl = Duration::from_secs(30);
        config.cache.lead_label_lists.ttl = Duration::from_secs(10);
    });
    let caller = world.proven("a", 1).await;
    (world, caller)
}

async fn read_with(caller: &Caller, name: &str, value: &str) -> Reply {
    caller.get(&label_path(1)).field(name, value).send().await
}

#[tokio::test]
async fn age_counts_from_the_moment_at_which_the_fill_was_sent() {
    let (world, caller) = short_lived().await;
    let gate = world.upstream.hold(is_label_read);
    let filling = caller.get(&label_path(2)).spawn();
    gate.held(1).await;
    world.proxy.advance_seconds(3);
    gate.release();
    filling.await.expect("no panic").assert_miss();
    world.proxy.advance_seconds(4);
    caller.get(&label_path(2)).send().await.assert_hit().assert_age(7);
}

#[tokio::test]
async fn freshness_left_and_age_add_up_to_the_lifetime_less_a_tenth_at_most() {
    let (world, caller) = short_lived().await;
    for _ in 0..3 {
        world.proxy.advance_seconds(5);
        let reply = caller.get(&label_path(1)).send().await;
        reply.assert_hit();
        let age: i64 = reply.field("age").and_then(|age| age.parse().ok()).expect("a hit has an age");
        assert!((26..=30).contains(&(reply.ttl() + age)), "{reply:?}");
    }
}

#[tokio::test]
async fn a_label_lives_as_long_as_it_was_configured_to() {
    let (world, caller) = short_lived().await;
    // Before the last tenth of its lifetime, in which it would be refreshed ahead.
    world.proxy.advance_seconds(23);
    caller.get(&label_path(1)).send().await.assert_hit().assert_age(23);
    world.vendor.put_label("a", 1, "later");
    world.proxy.advance_seconds(8);
    caller.get(&label_path(1)).send().await.assert_label("later").assert_miss();
}

#[tokio::test]
async fn a_list_has_a_lifetime_of_its_own() {
    let (world, caller) = short_lived().await;
    caller.get(LABELS).send().await.assert_miss();
    world.proxy.advance_seconds(8);
    caller.get(LABELS).send().await.assert_hit();
    world.vendor.put_label("a", 1, "later");
    world.proxy.advance_seconds(3);
    assert!(caller.get(LABELS).send().await.assert_miss().text().contains("\"later\""));
}

#[tokio::test]
async fn a_hit_has_the_bytes_of_the_upstream_and_none_of_its_other_fields() {
    let world = World::start();
    let body =
        label("a", 1, "a-1").replace(r#""use_with_ai":true"#, r#""use_with_ai" : true, "later":[1.0,1e2]"#);
    let answer = Answer::json(200, body.clone()).field("x-ray", "1").field("set-cookie", "__cf_bm=x; path=/");
    world.upstream.reply_to("GET", &label_path(1), answer);
    let caller = world.caller("a", 1);
    caller.get(&label_path(1)).send().await.assert_text(&body).assert_proof();
    let hit = caller.get(&label_path(1)).send().await;
    hit.assert_hit().assert_text(&body);
    assert_eq!(hit.field("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!((hit.field("x-ray"), hit.field("set-cookie")), (None, None));
}

#[tokio::test]
async fn every_answer_names_this_proxy_and_a_request_id() {
    let (world, caller) = short_lived().await;
    let hit = caller.get(&label_path(1)).send().await;
    let miss = caller.get(&label_path(2)).send().await;
    let passed = caller.get("/api/v2/campaigns").send().await;
    for reply in [&hit, &miss, &passed] {
        assert_eq!(reply.field("via"), Some("1.1 instantly-proxy"), "{reply:?}");
        assert!(reply.field("x-request-id").is_some_and(|id| !id.is_empty()), "{reply:?}");
    }
    let via = world.upstream.last().field("via").map(str::to_owned).expect("the upstream sees it too");
    assert!(via.starts_with("1.1 instantly-proxy-") && via.len() > "1.1 instantly-proxy-".len(), "{via}");
}

#[tokio::test]
async fn a_fill_carries_our_own_fields_and_the_callers_credential_alone() {
    let (world, caller) = short_lived().await;
    let odd = caller.get(&label_path(2)).field("accept", "text/html").field("accept-encoding", "br");
    odd.field("user-agent", "x").field("x-request-id", "mine").field("x-odd", "y").send().await.assert_miss();
    let sent = world.upstream.last();
    let mut names: Vec<String> = sent.head.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "authorization", "host", "user-agent", "via"]);
    assert_eq!(
        (sent.field("accept"), sent.field("accept-encoding")),
        (Some("application/json"), Some("identity"))
    );
    let agent = concat!("instantly-proxy/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (sent.field("user-agent"), sent.field("host")),
        (Some(agent), Some(&*world.upstream.address().to_string()))
    );
}

#[tokio::test]
async fn the_stored_validator_answers_if_none_match() {
    let (world, caller) = short_lived().await;
    let etag =
        caller.get(&label_path(1)).send().await.field("etag").expect("a hit has a validator").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "strong: {etag}");
    let calls = world.upstream.heads();
    for value in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
        let reply = read_with(&caller, "if-none-match", &value).await;
        reply.assert_status(304).assert_text("").assert_hit().assert_age(0);
        assert_eq!(reply.field("etag"), Some(etag.as_str()), "RFC 9110 §15.4.5");
    }
    read_with(&caller, "if-none-match", "\"other\"").await.assert_label("a-1").assert_hit();
    assert_eq!(world.upstream.heads(), calls);
}

#[tokio::test]
async fn the_upstreams_own_strong_validator_is_kept() {
    let (world, caller) = short_lived().await;
    let answer = Answer::json(200, label("a", 2, "a-2")).field("etag", "\"theirs\"");
    world.upstream.reply_to("GET", &label_path(2), answer);
    caller.get(&label_path(2)).send().await.assert_miss();
    assert_eq!(caller.get(&label_path(2)).send().await.assert_hit().field("etag"), Some("\"theirs\""));
}

#[tokio::test]
async fn a_changed_label_has_another_validator() {
    let (world, caller) = short_lived().await;
    let before = caller.get(&label_path(1)).send().await.field("etag").map(str::to_owned);
    world.vendor.put_label("a", 1, "later");
    world.proxy.advance_seconds(31);
    caller.get(&label_path(1)).send().await.assert_label("later");
    let after = caller.get(&label_path(1)).send().await.field("etag").map(str::to_owned);
    assert!(before.is_some() && after.is_some() && before != after, "{before:?} {after:?}");
}

#[tokio::test]
async fn a_head_is_answered_by_what_a_get_stored() {
    let (world, caller) = short_lived().await;
    let get = caller.get(&label_path(1)).send().await;
    let head = caller.head(&label_path(1)).send().await;
    head.assert_status(200).assert_hit().assert_text("");
    assert_eq!(get.names(), head.names());
    assert_eq!(get.field("content-length"), head.field("content-length"));
    assert_eq!(world.label_reads(), 1);
}

#[tokio::test]
async fn a_head_that_misses_is_filled_by_a_get() {
    let (world, caller) = short_lived().await;
    caller.head(&label_path(2)).send().await.assert_status(200).assert_miss().assert_text("");
    assert_eq!(world.upstream.last().method, "GET");
    caller.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
}

#[tokio::test]
async fn the_clients_wish_for_a_younger_answer_is_a_fill_of_its_own() {
    for wish in ["no-cache", "max-age=10", "max-age=0", "min-fresh=25", "NO-CACHE", "x, no-cache"] {
        let (world, caller) = short_lived().await;
        world.proxy.advance_seconds(15);
        world.vendor.put_label("a", 1, "later");
        let reply = read_with(&caller, "cache-control", wish).await;
        reply.assert_label("later").assert_cache_status("fwd=request");
        caller.get(&label_path(1)).send().await.assert_label("later").assert_hit().assert_age(0);
    }
}

#[tokio::test]
async fn a_wish_that_the_stored_answer_meets_is_a_hit() {
    for wish in ["max-age=20", "min-fresh=5", "max-stale=60", "only-if-cached", "no-transform", "max-age=abc"]
    {
        let (world, caller) = short_lived().await;
        world.proxy.advance_seconds(15);
        let reply = read_with(&caller, "cache-control", wish).await;
        if wish != "max-age=abc" {
            reply.assert_hit();
        }
        reply.assert_label("a-1");
    }
}

#[tokio::test]
async fn a_wish_for_a_younger_answer_is_not_met_by_a_fill_that_began_before_it() {
    let (world, caller) = short_lived().await;
    let gate = world.upstream.hold(|request| request.is("GET", &label_path(2)));
    let early = caller.get(&label_path(2)).spawn();
    gate.held(1).await;
    world.vendor.put_label("a", 2, "later");
    let wishing = caller.get(&label_path(2)).field("cache-control", "no-cache").spawn();
    gate.held(2).await;
    gate.release();
    early.await.expect("no panic").assert_label("a-2");
    wishing.await.expect("no panic").assert_label("later");
}

#[tokio::test]
async fn only_if_cached_asks_nobody() {
    let (world, caller) = short_lived().await;
    let calls = world.upstream.heads();
    let reply = caller.get(&label_path(2)).field("cache-control", "only-if-cached").send().await;
    reply.assert_error(ErrorKind::OnlyIfCached);
    assert_eq!(world.upstream.heads(), calls);
}

#[tokio::test]
async fn no_store_answers_and_leaves_nothing_behind() {
    let (_world, caller) = short_lived().await;
    let reply = caller.get(&label_path(2)).field("cache-control", "no-store").send().await;
    reply.assert_label("a-2").assert_unstored();
    caller.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
}

#[tokio::test]
async fn a_range_is_ignored_on_a_stored_answer() {
    let (_world, caller) = short_lived().await;
    let reply = read_with(&caller, "range", "bytes=0-3").await;
    reply.assert_hit().assert_label("a-1");
}

#[tokio::test]
async fn queries_that_mean_the_same_share_a_stored_answer() {
    if !Peculiar::ListsByInterest.is_there() {
        return;
    }
    let (_world, caller) = short_lived().await;
    let first = format!("{LABELS}?limit=2&interest_status=positive&starting_after=2025-03-07T00:00:01.000Z");
    caller.get(&first).send().await.assert_status(200).assert_miss();
    for same in [
        "starting_after=2025-03-07T00:00:01.000Z&interest_status=positive&limit=2",
        "limit=2&interest_status=%70ositive&starting_after=2025-03-07T00%3A00%3A01.000Z",
    ] {
        caller.get(&format!("{LABELS}?{same}")).send().await.assert_hit();
    }
    caller.get(LABELS).send().await.assert_miss();
    caller.get(&format!("{LABELS}?")).send().await.assert_hit();
    caller.get(&format!("{LABELS}?limit=3")).send().await.assert_miss();
}

#[tokio::test]
async fn reads_that_may_not_be_cached_say_why() {
    let (world, caller) = short_lived().await;
    for (target, detail) in [
        (format!("{LABELS}?search=a"), "search"),
        (format!("{LABELS}?limit=1&limit=2"), "query"),
        (format!("{LABELS}?unknown=1"), "query"),
        (format!("{LABELS}?starting_after=%ff"), "query"),
        (format!("{}?limit=1", label_path(1)), "query"),
        (format!("{LABELS}/"), "path"),
        (label_path(1).replace("abc", "ABC"), "path"),
        (format!("{LABELS}?api_key=x"), "api-key"),
    ] {
        let calls = world.upstream.count();
        for _ in 0..2 {
            let reply = caller.get(&target).send().await;
            reply.assert_cache_status(&format!("fwd=bypass; detail={detail}"));
        }
        assert_eq!(world.upstream.count() - calls, 2, "{target}");
    }
}

#[tokio::test]
async fn fields_that_may_choose_whose_data_comes_back_bypass_the_cache() {
    let (world, caller) = short_lived().await;
    for (name, value, detail) in [
        ("cookie", "session=1", "cookie"),
        ("x-as-workspace", "not-a-uuid", "workspace"),
        ("x-org-auth", "1", "identity-field"),
        ("x-instantly-api-key", "1", "identity-field"),
        ("x-workspace-id", "1", "identity-field"),
        ("tenant", "1", "identity-field"),
        ("x-impersonate-user", "1", "identity-field"),
    ] {
        let calls = world.upstream.count();
        let reply = read_with(&caller, name, value).await;
        reply.assert_cache_status(&format!("fwd=bypass; detail={detail}"));
        assert_eq!(world.upstream.count() - calls, 1, "{name}");
        assert_eq!(world.upstream.last().field(name), Some(value), "it is passed on");
    }
    for cookie in ["__cf_bm=1", "cf_clearance=1; _cfuvid=2", "AWSALB=1; AWSALBCORS=2"] {
        read_with(&caller, "cookie", cookie).await.assert_hit();
    }
}

/// RFC 9111 §4.2.3.
#[tokio::test]
async fn the_age_that_an_answer_came_with_counts() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let label = label("a", 2, "a-2");
    let answer = Answer::json(200, label).field("age", "30");
    world.upstream.reply_to("GET", &label_path(2), answer);
    caller.get(&label_path(2)).send().await.assert_miss();
    caller.get(&label_path(2)).send().await.assert_hit().assert_age(30);
    world.proxy.advance_seconds(7);
    let reply = caller.get(&label_path(2)).send().await;
    reply.assert_hit().assert_age(37);
    assert!((300 - 37 - 30..=300 - 37).contains(&reply.ttl()), "{reply:?}");
}
