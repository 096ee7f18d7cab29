//! What `/api/explain` says is what happens then, and saying it changes nothing.

use std::num::NonZeroU32;
use std::time::Duration;

use instantly_proxy::config::Config;
use instantly_proxy::error::ErrorKind;
use serde_json::{Value, json};

use crate::support::labels::{CAMPAIGNS, LABELS, error, label_path, organization, token};
use crate::support::{Answer, World};

/// A request, as a question and as the request itself.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    method: &'a str,
    target: &'a str,
    fields: &'a [(&'a str, &'a str)],
}

impl<'a> Asked<'a> {
    pub(super) const fn get(target: &'a str) -> Self {
        Self { method: "GET", target, fields: &[] }
    }

    pub(super) const fn with(self, fields: &'a [(&'a str, &'a str)]) -> Self {
        Self { fields, ..self }
    }
}

/// Asks what would happen to a request with this token, and that nothing went upstream for it.
pub(super) async fn explain(world: &World, token: &str, asked: Asked<'_>) -> Value {
    let mut headers = serde_json::Map::new();
    if !token.is_empty() {
        headers.insert("Authorization".to_owned(), json!(format!("Bearer {token}")));
    }
    for (name, value) in asked.fields {
        headers.insert((*name).to_owned(), json!(value));
    }
    let body = json!({"method": asked.method, "path": asked.target, "headers": headers}).to_string();
    let calls = world.upstream.count();
    let reply = world.proxy.admin_post("/api/explain", &body).send().await;
    assert_eq!(world.upstream.count(), calls, "a question went upstream");
    assert!(token.is_empty() || !reply.text().contains(token), "{reply:?}");
    reply.assert_status(200).json()
}

/// Asks twice, does it, and compares: the field, or the error.
pub(super) async fn assert_foretold(world: &World, token: &str, asked: Asked<'_>, decision: &str) {
    let first = explain(world, token, asked).await;
    let told = explain(world, token, asked).await;
    assert_eq!(first, told, "asking changed something");
    assert_eq!(told["decision"], decision, "{told:#}");
    let caller = if token.is_empty() { world.proxy.anonymous() } else { world.proxy.caller(token) };
    let mut request = caller.request(asked.method, asked.target);
    for (name, value) in asked.fields {
        request = request.field(name, value);
    }
    let reply = request.send().await;
    match told["error"]["kind"].as_str() {
        Some(kind) => {
            assert_eq!(reply.error_kind().map(ErrorKind::as_str), Some(kind), "{told:#}");
            assert_eq!(told["error"]["status"], reply.status);
        }
        None => assert_eq!(told["cache_status"], reply.cache_status(), "{told:#} {reply:?}"),
    }
}

const NO_CACHE: &[(&str, &str)] = &[("cache-control", "no-cache")];

#[tokio::test]
async fn every_kind_of_answer_is_foretold() {
    let world = World::start();
    world.proven("a", 1).await;
    let (a, label, missed) = (&token("a", 1), &label_path(1), &label_path(2));
    let search = &format!("{LABELS}?search=a");
    let slash = &format!("{label}/");
    let cookie = &[("cookie", "a=b")];
    let cached = &[("cache-control", "only-if-cached")];
    for (token, asked, decision) in [
        (a, Asked::get(label), "hit"),
        (a, Asked::get(label).with(&[("if-none-match", "*")]), "hit"),
        (a, Asked { method: "HEAD", ..Asked::get(label) }, "hit"),
        (a, Asked::get(label).with(NO_CACHE), "refetch"),
        (a, Asked::get(LABELS).with(cached), "only_if_cached"),
        (a, Asked::get(missed).with(&[("cache-control", "no-store")]), "fetch"),
        (a, Asked::get(missed), "fetch"),
        (a, Asked::get(missed), "hit"),
        (a, Asked::get(search), "fetch"),
        (a, Asked::get(missed).with(cookie), "pass_through"),
        (a, Asked::get(slash), "pass_through"),
        (a, Asked::get(CAMPAIGNS), "pass_through"),
        (a, Asked::get("/api//v2/lead-labels"), "refuse"),
        (a, Asked { method: "OPTIONS", ..Asked::get(label) }, "refuse"),
        (a, Asked::get("/").with(&[("x-http-method-override", "PUT")]), "refuse"),
        (&token("a", 2), Asked::get(label).with(cached), "only_if_cached"),
        (&token("a", 2), Asked::get(label), "prove"),
        (&token("a", 2), Asked::get(label), "hit"),
        (&token("b", 1), Asked::get(label), "prove"),
        (&String::new(), Asked::get(CAMPAIGNS), "pass_through"),
        (&String::new(), Asked::get(label), "pass_through"),
        (a, Asked { method: "DELETE", ..Asked::get(missed) }, "write"),
        (a, Asked::get(label), "hit"),
        (a, Asked::get(LABELS), "fetch"),
    ] {
        assert_foretold(&world, token, asked, decision).await;
    }
}

#[tokio::test]
async fn a_hit_is_explained_with_its_key_its_age_and_its_proof() {
    let world = World::start_with(|config| config.shield = Config::default().shield);
    world.proven("a", 1).await;
    world.proxy.advance_seconds(50);
    let told = explain(&world, &token("a", 1), Asked::get(&label_path(1))).await;
    assert_eq!((&told["class"], &told["decision"]), (&json!("item_read"), &json!("hit")));
    assert_eq!(told["organization"], json!(organization("a")));
    let credential = json!({
        "well_formed": true, "name": null, "proof": "renewing", "proof_age_seconds": 50, "stranger": false
    });
    assert_eq!(told["credential"], credential);
    let key = json!({
        "resource": "lead_label", "organization": organization("a"), "own": false,
        "shared": "organization", "target": label_path(1),
    });
    assert_eq!(told["key"], key, "{told:#}");
    assert_eq!(told["stored"]["age_seconds"], json!(50));
    let left = told["stored"]["fresh_for_seconds"].as_i64().expect("a number");
    assert!((220..=250).contains(&left), "{left}");
    let shield = &told["shield"];
    assert_eq!((&shield["account"], &shield["left_of_second"]), (&json!("organization"), &json!(90)));
    assert_eq!((&shield["left_of_minute"], &shield["wait_ms"]), (&json!(5399), &json!(0)));
    let unknown = explain(&world, &token("a", 2), Asked::get(&label_path(1))).await;
    assert_eq!(
        (&unknown["organization"], &unknown["key"], &unknown["stored"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(unknown["credential"]["proof"], json!("unbound"));
    assert_eq!(unknown["shield"]["account"], json!("authorization"));
}

#[tokio::test]
async fn stale_answers_are_foretold() {
    let limited = Answer::json(429, error(429, "Too many")).field("retry-after", "30");
    for (revalidate, answer) in [(60, None), (0, Some(limited))] {
        let world = World::start_with(|config| {
            config.cache.lead_labels.stale_while_revalidate = Duration::from_secs(revalidate);
            config.cache.lead_labels.stale_if_error = Duration::from_secs(300);
        });
        let caller = world.proven("a", 1).await;
        world.proxy.advance_seconds(301);
        caller.get(&label_path(2)).send().await.assert_status(200);
        if let Some(answer) = answer {
            world.upstream.reply_to("GET", CAMPAIGNS, answer);
            caller.get(CAMPAIGNS).send().await.assert_status(429);
        }
        assert_foretold(&world, &token("a", 1), Asked::get(&label_path(1)), "stale").await;
    }
}

#[tokio::test]
async fn a_refill_beyond_the_tenth_is_foretold() {
    let world = World::start_with(|config| {
        config.shield.requests_per_second = NonZeroU32::new(19).expect("not zero")
    });
    world.proven("a", 1).await;
    let label = label_path(1);
    let asked = Asked::get(&label).with(NO_CACHE);
    assert_foretold(&world, &token("a", 1), asked, "refetch").await;
    assert_foretold(&world, &token("a", 1), asked, "refill_limited").await;
}

#[tokio::test]
async fn a_limit_of_the_vendor_is_told_with_the_time_that_is_left() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let limited = Answer::json(429, error(429, "Too many")).field("retry-after", "30");
    world.upstream.reply_to("GET", CAMPAIGNS, limited);
    caller.get(CAMPAIGNS).send().await.assert_status(429);
    world.proxy.advance_seconds(10);
    let told = explain(&world, &token("a", 1), Asked::get(CAMPAIGNS)).await;
    assert_eq!(told["shield"]["closed_for_ms"], json!(20_000));
    assert_eq!(told["shield"]["wait_ms"], Value::Null);
    assert_foretold(&world, &token("a", 1), Asked::get(CAMPAIGNS), "limited").await;
    assert_foretold(&world, &token("a", 1), Asked::get(&label_path(2)), "limited").await;
    assert_foretold(&world, &token("a", 1), Asked::get(&label_path(1)), "hit").await;
    world.upstream.clear_scripts();
    assert_foretold(&world, &token("b", 1), Asked::get(CAMPAIGNS), "pass_through").await;
}

#[tokio::test]
async fn a_spent_budget_is_told_and_asking_spends_none() {
    let world = World::start_with(|config| {
        config.shield.requests_per_second = NonZeroU32::new(2).expect("not zero");
        config.shield.max_wait = Duration::ZERO;
    });
    world.proven("a", 1).await;
    let told = explain(&world, &token("a", 1), Asked::get(CAMPAIGNS)).await;
    assert_eq!(told["shield"]["left_of_second"], json!(1));
    assert_foretold(&world, &token("a", 1), Asked::get(CAMPAIGNS), "pass_through").await;
    let told = explain(&world, &token("a", 1), Asked::get(CAMPAIGNS)).await;
    assert_eq!((&told["decision"], &told["error"]["kind"]), (&json!("limited"), &json!("over_budget")));
    assert_eq!(told["error"]["retry_after_ms"], json!(1005));
    assert_foretold(&world, &token("a", 1), Asked::get(&label_path(2)), "limited").await;
}

#[tokio::test]
async fn a_remembered_refusal_is_told_and_not_prolonged() {
    let world = World::start();
    let token = token("nobody", 1);
    world.proxy.caller(&token).get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    let told = explain(&world, &token, Asked::get(CAMPAIGNS)).await;
    assert_eq!((&told["decision"], &told["shield"]["latched_for_ms"]), (&json!("latched"), &json!(1000)));
    assert_eq!(told["credential"]["stranger"], json!(true));
    let answer = world.proxy.caller(&token).get(CAMPAIGNS).send().await;
    assert_eq!((&told["cache_status"], answer.cache_status()), (&json!(null), ""), "as the answer itself");
    world.proxy.advance_seconds(1);
    assert_foretold(&world, &token, Asked::get(CAMPAIGNS), "pass_through").await;
}

#[tokio::test]
async fn an_edge_that_blocks_is_told_and_the_trial_is_left_to_a_request() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let label = &label_path(2);
    world.upstream.script(|request| {
        // The proxy's own reads alone: a caller's has its own fields.
        let own = request.field("x-request-id").is_none();
        own.then(|| Answer::body(403, "text/html", "blocked"))
    });
    for _ in 0..3 {
        caller.get(label).send().await.assert_status(200);
    }
    assert_foretold(&world, &token("a", 1), Asked::get(label), "pass_through").await;
    let told = explain(&world, &token("a", 1), Asked::get(label)).await;
    assert_eq!(told["shield"]["edge_blocked"], json!(true));
    assert_eq!(told["cache_status"], json!("fwd=bypass; detail=edge-block"));
    world.upstream.clear_scripts();
    world.proxy.advance_seconds(59);
    caller.get(&label_path(1)).send().await.assert_status(200);
    world.proxy.advance_window();
    let told = explain(&world, &token("a", 1), Asked::get(label)).await;
    assert_ne!(told["decision"], json!("pass_through"), "the trial is due: {told:#}");
}

#[tokio::test]
async fn a_flight_under_way_is_told_and_not_joined() {
    let world = World::start();
    world.proven("a", 1).await;
    world.proven("a", 2).await;
    let label = &label_path(2);
    let gate = world.upstream.hold(|request| request.is("GET", &label_path(2)));
    let leading = world.caller("a", 1).get(label).spawn();
    gate.held(1).await;
    let told = explain(&world, &token("a", 2), Asked::get(label)).await;
    assert_eq!((&told["decision"], &told["flight_under_way"]), (&json!("join"), &json!(true)));
    assert_eq!(told["cache_status"], json!("fwd=miss; collapsed"));
    let waiting = explain(&world, &token("b", 1), Asked::get(label)).await;
    assert_eq!(waiting["decision"], json!("prove"), "another organization's flight is told to nobody");
    gate.release();
    leading.await.expect("no panic").assert_miss();
}

#[tokio::test]
async fn a_list_fill_is_foretold_and_not_begun() {
    let world = World::start_with(|config| config.cache.list_fill = true);
    let list_fills = [("purpose", "list_fill")];
    let caller = world.proven("a", 1).await;
    // What the list behind the first answer brought has expired.
    world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", &list_fills, 1.0).await;
    world.proxy.advance_seconds(301);
    caller.get(&label_path(1)).send().await.assert_proof();
    caller.get(&label_path(2)).send().await.assert_miss();
    for _ in 0..3 {
        let told = explain(&world, &token("a", 1), Asked::get(&label_path(3))).await;
        assert_eq!(told["decision"], json!("fetch_list"), "{told:#}");
    }
    caller.get(&label_path(3)).send().await.assert_label("a-3");
    world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", &list_fills, 2.0).await;
}

#[tokio::test]
async fn a_question_counts_as_no_request_and_shows_no_token() {
    let world = World::start();
    world.proven("a", 1).await;
    let before = world.proxy.metric("instantly_proxy_requests_total", &[]).await;
    for target in [&label_path(1), &label_path(2), CAMPAIGNS] {
        explain(&world, &token("a", 1), Asked::get(target)).await;
    }
    assert_eq!(world.proxy.metric("instantly_proxy_requests_total", &[]).await, before);
    let asked = world.proxy.metric("instantly_proxy_admin_requests_total", &[("path", "/api/explain")]).await;
    assert_eq!(asked, 3.0);
    let shown = world.proxy.metrics_text().await + &world.proxy.admin_get("/api/status").send().await.text();
    assert!(!shown.contains(&token("a", 1)));
    let bad = json!({"method": "GET", "path": "/", "headers": [token("a", 1)]}).to_string();
    let refused = world.proxy.admin_post("/api/explain", &bad).send().await;
    assert!(!refused.assert_status(400).text().contains(&token("a", 1)), "{refused:?}");
}

#[tokio::test]
async fn status_shows_what_each_organization_spent_and_was_spared() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    for _ in 0..3 {
        caller.get(&label_path(1)).send().await.assert_hit();
    }
    world.proven("b", 1).await;
    world.caller("b", 2).get(CAMPAIGNS).send().await.assert_status(200);
    world.proxy.metric_reaches("instantly_proxy_bindings", &[], 3.0).await;
    let shield = &world.proxy.admin_get("/api/status").send().await.json()["shield"];
    let accounts = shield["accounts"].as_array().expect("accounts");
    let of = |name: &str| {
        let id = json!(organization(name));
        accounts.iter().find(|row| row["organization"] == id).unwrap_or_else(|| panic!("{shield:#}"))
    };
    assert_eq!((&of("a")["calls"], &of("a")["avoided"]), (&json!(1), &json!(3)), "{shield:#}");
    assert_eq!((&of("b")["calls"], &of("b")["avoided"]), (&json!(3), &json!(0)), "{shield:#}");
    // Two first reads, a pass-through call, and the read that introduced its caller.
    assert_eq!(shield["calls_without_binding"], json!(4), "{shield:#}");
    assert_eq!(shield["limit_holds_for"], json!("bound_callers"));
}

#[tokio::test]
async fn with_one_workspace_the_limit_is_promised_to_all() {
    let world = World::start_with(|config| config.shield.single_workspace = true);
    let caller = world.proven("a", 1).await;
    caller.get(&label_path(1)).send().await.assert_hit();
    let shield = &world.proxy.admin_get("/api/status").send().await.json()["shield"];
    assert_eq!(shield["limit_holds_for"], json!("all_callers"));
    let everybody = &shield["accounts"][0];
    assert_eq!((&everybody["account"], &everybody["calls"]), (&json!("everybody"), &json!(1)));
    assert_eq!(everybody["avoided"], json!(1), "{shield:#}");
}
