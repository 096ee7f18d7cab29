//! Services behind one key are told apart: by a field that is believed from trusted networks alone, by certificate, by address.
//! They are counted to the call, limited, and never sent on; who may read what does not depend on it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::Duration;

use instantly_proxy::config::{CallerLimit, CallerSource, Callers, Cap, Config, Mode, Priority};
use instantly_proxy::error::ErrorKind;
use serde_json::Value;

use crate::support::labels::{CAMPAIGNS, label_path, token};
use crate::support::{Caller, Outgoing, RawConnection, World};

fn by_field(config: &mut Config) -> &mut Callers {
    config.callers.insert(Callers {
        sources: vec![CallerSource::Field, CallerSource::Address, CallerSource::Credential],
        trusted: vec!["127.0.0.1/32".parse().expect("a network")],
        ..Callers::default()
    })
}

fn limited(config: &mut Config, name: &str, limit: CallerLimit) {
    config.callers.as_mut().expect("it tells callers apart").limits.insert(name.to_owned(), limit);
}

trait Named {
    fn by(self, name: &str) -> Self;
}

impl Named for Outgoing {
    fn by(self, name: &str) -> Self {
        self.field("x-caller", name)
    }
}

async fn bill(world: &World) -> Value {
    world.proxy.admin_get("/api/status").send().await.json()["callers"].clone()
}

/// A number of each caller, since the start.
fn totals(bill: &Value, of: &str, number: &str) -> BTreeMap<String, u64> {
    let rows = bill[of].as_array().expect("rows");
    let row = |row: &Value| {
        (row["name"].as_str().expect("a name").to_owned(), row["total"][number].as_u64().unwrap_or(0))
    };
    rows.iter().map(row).collect()
}

#[tokio::test]
async fn requests_and_calls_of_services_on_one_key_add_up_to_what_metrics_say() {
    let world = World::start_with(|config| {
        by_field(config);
        limited(config, "billing", CallerLimit::default());
    });
    let caller = world.caller("a", 1);
    for (name, hits) in [("billing", 5), ("sync", 3)] {
        for _ in 0..=hits {
            caller.get(&label_path(1)).by(name).send().await.assert_status(200);
        }
        caller.get(CAMPAIGNS).by(name).send().await.assert_status(200);
        caller.get("/api/v2/lead-labels?search=x").by(name).send().await.assert_status(200);
    }
    caller.patch(&label_path(1), r#"{"label":"new"}"#).by("sync").send().await.assert_status(200);
    caller.get(CAMPAIGNS).send().await.assert_status(200);
    let bill = bill(&world).await;
    for of in ["callers", "credentials"] {
        for (number, metric) in [
            ("requests", "instantly_proxy_requests_total"),
            ("upstream_calls", "instantly_proxy_upstream_requests_total"),
        ] {
            let sum: u64 = totals(&bill, of, number).values().sum();
            assert_eq!(sum as f64, world.proxy.metric(metric, &[]).await, "{of} {number}: {bill:#}");
        }
    }
    let requests = totals(&bill, "callers", "requests");
    assert_eq!((requests["billing"], requests["sync"]), (8, 7), "{bill:#}");
    let rows = bill["callers"].as_array().expect("rows");
    let billing = rows.iter().find(|row| row["name"] == "billing").expect("a row");
    assert_eq!(billing["total"]["outcomes"]["hit"], 5);
    assert_eq!((&billing["total"]["saved"], &billing["total"]["bypasses"]["search"]), (&5.into(), &1.into()));
    let listed = [("caller", "billing"), ("outcome", "hit")];
    assert_eq!(world.proxy.metric("instantly_proxy_caller_requests_total", &listed).await, 5.0);
    let others = [("caller", "other"), ("outcome", "hit")];
    assert_eq!(world.proxy.metric("instantly_proxy_caller_requests_total", &others).await, 4.0);
    assert!(
        !world.proxy.metrics_text().await.contains("sync"),
        "a name that the configuration does not list"
    );
}

#[tokio::test]
async fn the_name_of_a_caller_is_never_sent_to_the_api() {
    let world = World::start_with(|config| {
        by_field(config);
    });
    let caller = world.caller("a", 1);
    caller.get(CAMPAIGNS).by("billing").send().await.assert_status(200);
    let posted = caller.post(CAMPAIGNS, "{}").by("billing").send().await;
    assert!(posted.status < 500, "{posted:?}");
    caller.get(&label_path(1)).by("billing").send().await.assert_status(200);
    caller.patch(&label_path(1), r#"{"label":"new"}"#).by("billing").send().await.assert_status(200);
    let requests = world.upstream.requests();
    assert!(requests.len() >= 4 && requests.iter().all(|request| request.field("x-caller").is_none()));
}

#[tokio::test]
async fn a_caller_reads_what_its_key_may_read_whatever_it_is_called() {
    let world = World::start_with(|config| {
        by_field(config);
    });
    let (one, other) = (world.caller("a", 1), world.caller("b", 1));
    one.get(&label_path(1)).by("billing").send().await.assert_label("a-1");
    one.get(&label_path(1)).by("sync").send().await.assert_hit().assert_label("a-1");
    other.get(&label_path(1)).by("billing").send().await.assert_label("b-1").assert_proof();
}

#[tokio::test]
async fn a_field_from_elsewhere_doubled_or_with_odd_bytes_is_ignored_and_counted() {
    let world = World::start_with(|config| {
        by_field(config);
    });
    let token = token("a", 1);
    let ask = async |from: Ipv4Addr, fields: &str| {
        let mut connection = RawConnection::open_from(from, world.proxy.address()).await;
        let head = format!(
            "GET {CAMPAIGNS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{fields}Connection: close\r\n\r\n"
        );
        connection.send(head).await;
        assert!(connection.read_to_end().await.starts_with(b"HTTP/1.1 200"));
    };
    let trusted = Ipv4Addr::LOCALHOST;
    ask(Ipv4Addr::new(127, 0, 0, 2), "X-Caller: billing\r\n").await;
    ask(trusted, "X-Caller: billing\r\nX-Caller: sync\r\n").await;
    ask(trusted, "X-Caller: bill ing\r\n").await;
    ask(trusted, "X-Caller: other\r\n").await;
    for (reason, count) in [("untrusted", 1.0), ("repeated", 1.0), ("malformed", 2.0), ("certificate", 0.0)] {
        let metric = world.proxy.metric("instantly_proxy_caller_claims_ignored_total", &[("reason", reason)]);
        assert_eq!(metric.await, count, "{reason}");
    }
    let requests = totals(&bill(&world).await, "callers", "requests");
    assert!(requests.keys().all(|name| name == "other" || name.starts_with('~')), "{requests:?}");
}

#[tokio::test]
async fn what_a_callers_limits_forbid_is_refused_and_nothing_is_sent() {
    let forbidding = || CallerLimit {
        denied_methods: vec![http::Method::DELETE],
        denied_paths: vec!["/api/v2/lead-labels".to_owned()],
        ..CallerLimit::default()
    };
    let world = World::start_with(|config| {
        by_field(config);
        limited(config, "reports", forbidding());
        limited(config, "observed", CallerLimit { mode: Mode::Observe, ..forbidding() });
    });
    let caller = world.caller("a", 1);
    caller.get(&label_path(1)).by("sync").send().await.assert_status(200);
    let sent = world.upstream.count();
    for path in [&*label_path(1), "/api/v2/%6cead-labels/x", "/api/v2/lead-labels?limit=1"] {
        let refused = caller.get(path).by("reports").send().await;
        assert!([400, 403].contains(&refused.status), "{path}: {refused:?}");
    }
    let refused = caller.get(&label_path(1)).by("reports").send().await;
    refused.assert_error(ErrorKind::CallerDenied);
    assert_eq!(refused.field("proxy-status"), Some("instantly-proxy; error=http_request_denied"));
    caller.delete(CAMPAIGNS).by("reports").send().await.assert_error(ErrorKind::CallerDenied);
    assert_eq!(world.upstream.count(), sent);
    caller.get(&label_path(1)).by("observed").send().await.assert_hit();
    caller.get(CAMPAIGNS).by("reports").send().await.assert_status(200);
    let verdict = [("caller", "observed"), ("verdict", "refused")];
    assert_eq!(world.proxy.metric("instantly_proxy_caller_observed_total", &verdict).await, 1.0);
}

#[tokio::test]
async fn a_capped_caller_is_refused_beyond_its_cap_and_the_others_on_its_key_are_not_until_it_is_lifted() {
    let capped = |calls| CallerLimit {
        cap: Some(Cap::Calls(NonZeroU32::new(calls).expect("not zero"))),
        max_wait: Some(Duration::ZERO),
        ..CallerLimit::default()
    };
    let world = World::start_with(|config| {
        by_field(config);
        limited(config, "batch", capped(3));
    });
    // Known before: else the read that introduces the key is one of its first caller's.
    let caller = world.proven("a", 1).await;
    for _ in 0..3 {
        caller.get(CAMPAIGNS).by("batch").send().await.assert_status(200);
    }
    caller.get(CAMPAIGNS).by("batch").send().await.assert_error(ErrorKind::CallerCapped);
    caller.get(CAMPAIGNS).by("web").send().await.assert_status(200);
    world.proxy.reload(|config| limited(config, "batch", capped(5)));
    for _ in 0..2 {
        caller.get(CAMPAIGNS).by("batch").send().await.assert_status(200);
    }
    caller.get(CAMPAIGNS).by("batch").send().await.assert_error(ErrorKind::CallerCapped);
    world.proxy.advance_seconds(62);
    caller.get(CAMPAIGNS).by("batch").send().await.assert_status(200);
}

#[tokio::test]
async fn while_limits_are_observed_alone_nothing_is_refused_and_what_would_have_been_is_counted() {
    let world = World::start_shielded_with(|config| {
        by_field(config);
        config.shield.mode = Mode::Observe;
        config.shield.requests_per_second = NonZeroU32::new(2).expect("not zero");
        config.shield.max_wait = Duration::ZERO;
    });
    let caller = world.caller("a", 1);
    for _ in 0..6 {
        caller.get(CAMPAIGNS).by("web").send().await.assert_status(200);
    }
    let would = totals(&bill(&world).await, "callers", "would_refuse");
    assert!(would["web"] >= 3, "{would:?}");
}

#[tokio::test]
async fn while_limits_are_observed_alone_the_api_itself_answers_keys_that_it_refuses() {
    let world = World::start_shielded_with(|config| {
        by_field(config);
        config.shield.mode = Mode::Observe;
    });
    let refuse = async |key: &str| {
        world.proxy.caller(key).get(CAMPAIGNS).by("web").send().await.assert_status(401);
    };
    for _ in 0..3 {
        refuse("no-such-key").await;
    }
    let remembered = totals(&bill(&world).await, "callers", "would_refuse");
    assert_eq!(remembered["web"], 2, "a key that the API refused is remembered: the second and the third");
    // More of them than an address may have refused at once.
    for number in 0..60 {
        refuse(&format!("no-such-key-{number}")).await;
    }
    assert!(world.upstream.count() >= 63, "each of them is the API's own answer");
    let would = totals(&bill(&world).await, "callers", "would_refuse");
    assert!(
        (20..=63).contains(&would["web"]),
        "two that are remembered, and those beyond the door's: {would:?}"
    );
    world.proxy.reload(|config| config.shield.mode = Mode::Enforce);
    let refused = world.proxy.caller("no-such-key-0").get(CAMPAIGNS).by("web").send().await;
    assert_eq!(
        refused.field("proxy-status"),
        Some("instantly-proxy; error=http_request_denied"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn explanations_have_the_names_of_keys_that_log_and_status_have() {
    let world = World::start_with(|config| {
        by_field(config);
    });
    world.caller("a", 1).get(&label_path(1)).by("billing").send().await.assert_status(200);
    let bill = bill(&world).await;
    let rows = bill["credentials"].as_array().expect("rows");
    let name =
        rows.iter().filter_map(|row| row["name"].as_str()).find(|name| *name != "other").expect("a key");
    let question = serde_json::json!({
        "method": "GET", "path": label_path(1), "headers": {"authorization": format!("Bearer {}", token("a", 1))},
    });
    let told = world.proxy.admin_post("/api/explain", &question.to_string()).send().await.json();
    assert_eq!(told["credential"]["name"], name.trim_start_matches('~'), "{told:#}");
}

#[tokio::test]
async fn a_dead_key_is_listed_with_its_last_refusal_and_its_caller() {
    let world = World::start_with(|config| {
        by_field(config);
    });
    let dead: Caller = world.proxy.caller("no-such-key");
    dead.get("/api/v2/campaigns/x/y").by("sync").send().await.assert_status(401);
    let bill = bill(&world).await;
    let rows = bill["credentials"].as_array().expect("rows");
    let row = rows.iter().find(|row| !row["refused"].is_null()).expect("a refused key");
    let refused = &row["refused"];
    assert_eq!((&refused["status"], &refused["caller"]), (&401.into(), &"sync".into()));
    assert_eq!(refused["route"], "GET /api/v2/campaigns");
    let name = row["name"].as_str().expect("a name");
    assert!(name.len() == 11 && name.starts_with('~') && !bill.to_string().contains("no-such-key"));
}

#[tokio::test]
async fn who_takes_turns_waits_behind_no_read_of_a_background_caller() {
    let world = World::start_with(|config| {
        by_field(config);
        let (priority, max_wait) = (Priority::Background, Some(Duration::from_secs(120)));
        let background = CallerLimit { priority, max_wait, ..CallerLimit::default() };
        limited(config, "batch", background);
        config.cache.list_fill = false;
        config.shield.requests_per_minute = NonZeroU32::new(10).expect("not zero");
    });
    let caller = world.caller("a", 1);
    caller.get(&label_path(1)).by("web").send().await.assert_label("a-1");
    for _ in 0..7 {
        caller.get(CAMPAIGNS).by("web").send().await.assert_status(200);
    }
    // A fifth of the minute is not for it.
    let waits = caller.get(&label_path(2)).by("batch").spawn();
    world.proxy.metric_reaches("instantly_proxy_shield_queued", &[], 1.0).await;
    caller.get(&label_path(2)).by("web").send().await.assert_label("a-2");
    waits.abort();
}
