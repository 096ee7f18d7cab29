//! The workspace itself: one object for each organization, which names it by its own id.

use instantly_proxy::error::ErrorKind;
use serde_json::json;

use crate::support::labels::{organization, token};
use crate::support::{Answer, LABEL, Mixed, WORKSPACE};

fn body(name: &str, more: &str) -> String {
    let id = organization(name);
    format!(r#"{{"id":"{id}","owner":"01911111-0000-7000-8000-000000000001","name":"x"{more}}}"#)
}

#[tokio::test]
async fn each_organization_gets_its_own_and_the_second_read_is_a_hit() {
    let mixed = Mixed::start();
    for name in ["a", "b"] {
        let caller = mixed.world.caller(name, 1);
        let first = caller.get(WORKSPACE).send().await;
        first.assert_status(200).assert_proof();
        let second = caller.get(WORKSPACE).send().await;
        assert_eq!(second.assert_hit().json()["id"], json!(organization(name)));
        assert_eq!(second.text(), first.text());
        let key_2 = mixed.world.caller(name, 2);
        key_2.get(WORKSPACE).send().await.assert_proof();
        key_2.get(WORKSPACE).send().await.assert_hit();
    }
    let acting = mixed.world.acting_for("b");
    acting.get(WORKSPACE).send().await.assert_proof();
    assert_eq!(acting.get(WORKSPACE).send().await.assert_hit().json()["id"], json!(organization("b")));
}

#[tokio::test]
async fn it_is_kept_for_a_minute() {
    let mixed = Mixed::start_for_own_times();
    let caller = mixed.world.caller("a", 1);
    caller.get(WORKSPACE).send().await.assert_proof();
    assert!((54..=60).contains(&caller.get(WORKSPACE).send().await.assert_hit().ttl()));
}

#[tokio::test]
async fn a_change_is_seen_by_the_very_next_read_of_its_organization_and_touches_no_other() {
    let mixed = Mixed::start_with(|config| config.cache.write_through = true);
    let (a, reader, b) = (mixed.world.caller("a", 1), mixed.world.caller("a", 2), mixed.world.caller("b", 1));
    for caller in [&a, &reader, &b] {
        caller.get(WORKSPACE).send().await.assert_proof();
    }
    let written = a.patch(WORKSPACE, r#"{"name":"changed"}"#).send().await;
    assert_eq!(written.assert_cache_status("fwd=method").json()["name"], json!("changed"));
    for caller in [&reader, &a] {
        assert_eq!(caller.get(WORKSPACE).send().await.json()["name"], json!("changed"));
    }
    assert_eq!(b.get(WORKSPACE).send().await.assert_hit().json()["name"], json!("at first"));
}

#[tokio::test]
async fn what_changes_below_it_shuts_it_out_and_reads_below_it_are_passed_through() {
    let mixed = Mixed::start();
    let caller = mixed.world.caller("a", 1);
    caller.get(WORKSPACE).send().await.assert_proof();
    for below in ["/whitelabel-domain", "/01935c4b-0000-7abc-9def-000000000001"] {
        for _ in 0..2 {
            let reply = caller.get(&format!("{WORKSPACE}{below}")).send().await;
            assert!(reply.cache_status().starts_with("fwd=bypass"), "{reply:?}");
        }
    }
    let queried = caller.get(&format!("{WORKSPACE}?x=1")).send().await;
    assert!(queried.cache_status().starts_with("fwd=bypass"), "{queried:?}");
    caller.get(WORKSPACE).send().await.assert_hit();
    caller.post(&format!("{WORKSPACE}/change-owner"), "{}").send().await.assert_cache_status("fwd=method");
    assert!(caller.get(WORKSPACE).send().await.cache_status().starts_with("fwd=miss"));
}

/// What stands below it may answer with an id of something else.
#[tokio::test]
async fn a_write_below_it_that_is_answered_with_another_id_is_passed_on_and_shuts_it_out() {
    let below = format!("{WORKSPACE}/schedule-for-removal");
    let job = format!(r#"{{"id":"{}"}}"#, organization("b"));
    for is_bound in [true, false] {
        let mixed = Mixed::start();
        let (reader, writer) = (mixed.world.caller("a", 1), mixed.world.caller("a", 2));
        reader.get(WORKSPACE).send().await.assert_proof();
        if is_bound {
            writer.get(WORKSPACE).send().await.assert_proof();
        }
        mixed.world.upstream.reply_to("POST", &below, Answer::json(200, job.clone()));
        let written = writer.post(&below, "{}").send().await;
        assert_eq!((written.status, written.text()), (200, job.clone()), "{written:?}");
        assert!(reader.get(WORKSPACE).send().await.cache_status().starts_with("fwd=miss"));
    }
}

/// R4: what answers a change of it is it, and names another workspace: that is another call's answer.
#[tokio::test]
async fn a_change_of_it_that_is_answered_with_anothers_bytes_is_given_to_nobody() {
    let strange = format!(r#"{{"id":"{}","label":"secret"}}"#, organization("b"));
    for foreign in [body("b", ""), strange] {
        let mixed = Mixed::start();
        let writer = mixed.world.caller("a", 1);
        writer.get(WORKSPACE).send().await.assert_proof();
        mixed.world.upstream.reply_to("PATCH", WORKSPACE, Answer::json(200, foreign.clone()));
        let written = writer.patch(WORKSPACE, r#"{"name":"x"}"#).send().await;
        written.assert_error(ErrorKind::MixedUpAnswer);
        assert!(writer.get(WORKSPACE).send().await.cache_status().starts_with("fwd="));
    }
}

/// R4: its id could be any item's.
#[tokio::test]
async fn what_is_no_workspace_is_not_stored_and_names_nobody() {
    for strange in [
        format!(r#"{{"id":"{}","name":"x"}}"#, organization("b")),
        format!(r#"{{"id":"{}","label":"x","organization_id":"{}"}}"#, organization("b"), organization("a")),
        format!(r#"{{"items":[{}]}}"#, body("a", "")),
        "{}".to_owned(),
    ] {
        let mixed = Mixed::start();
        mixed.world.upstream.reply_to("GET", WORKSPACE, Answer::json(200, strange.clone()));
        let caller = mixed.world.caller("a", 1);
        for _ in 0..2 {
            assert_eq!(caller.get(WORKSPACE).send().await.assert_proof().text(), strange);
        }
        assert!(mixed.world.proxy.metric("instantly_proxy_bindings", &[]).await < 1.0);
    }
}

#[tokio::test]
async fn ids_of_other_things_inside_it_name_nobody() {
    let mixed = Mixed::start();
    let inside = format!(r#","limits":{{"id":"{}"}},"plans":[{{"id":7}}]"#, organization("b"));
    mixed.world.upstream.reply_to("GET", WORKSPACE, Answer::json(200, body("a", &inside)));
    let caller = mixed.world.caller("a", 1);
    caller.get(WORKSPACE).send().await.assert_proof();
    caller.get(WORKSPACE).send().await.assert_hit();
    LABEL.prove(&caller, "a").await;
}

#[tokio::test]
async fn the_workspace_of_another_organization_is_given_to_nobody() {
    let mixed = Mixed::start();
    let caller = LABEL.proven(&mixed, "a", 1).await;
    mixed.world.upstream.reply_to("GET", WORKSPACE, Answer::json(200, body("b", "")));
    let reply = caller.get(WORKSPACE).send().await;
    reply.assert_error(ErrorKind::MixedUpAnswer);
    assert!(!reply.text().contains(&organization("b").to_string()));
}

#[tokio::test]
async fn explain_calls_it_what_it_is() {
    let mixed = Mixed::start();
    mixed.world.caller("a", 1).get(WORKSPACE).send().await.assert_proof();
    let question = json!({
        "method": "GET",
        "path": WORKSPACE,
        "headers": {"authorization": format!("Bearer {}", token("a", 1))},
    });
    let told = mixed.world.proxy.admin_post("/api/explain", &question.to_string()).send().await;
    let told = told.assert_status(200).json();
    assert_eq!((&told["class"], &told["key"]["resource"]), (&json!("singleton_read"), &json!("workspace")));
    assert_eq!(told["key"]["shared"], json!("organization"));
}
