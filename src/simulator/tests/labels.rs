//! The label endpoints: shapes, pages, filters, scopes, refusals.

use http::StatusCode;
use serde_json::{Value, json};

use super::*;

const MEMBERS: [&str; 9] = [
    "id",
    "timestamp_created",
    "created_by",
    "organization_id",
    "label",
    "interest_status_label",
    "interest_status",
    "description",
    "use_with_ai",
];

/// Member names in the order in which they are written.
fn members(json: &str) -> Vec<String> {
    json.split('"')
        .enumerate()
        .filter(|(at, _)| at % 2 == 1)
        .map(|(_, text)| text.to_owned())
        .filter(|text| MEMBERS.contains(&text.as_str()))
        .collect()
}

#[tokio::test]
async fn a_label_has_its_nine_members_in_the_documented_order() {
    let (simulator, _) = started().await;
    let label = &simulator.first().labels()[0];
    let reply = Call::get(&format!("lead-labels/{}", label.id), simulator.full_key()).send(&simulator).await;
    let reply = reply.assert_status(200);
    assert_eq!(members(&reply.text()), MEMBERS);
    assert_eq!(reply.json(), serde_json::to_value(label).unwrap());
    assert_eq!(reply.fields["content-type"], "application/json; charset=utf-8");
}

#[tokio::test]
async fn pages_lead_through_all_labels_and_end_with_an_empty_one() {
    let (simulator, _) = start(|config| config.labels_per_organization = 60).await;
    let (mut texts, mut query, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let target = format!("lead-labels?limit=20{query}");
        let page = Call::get(&target, simulator.full_key()).send(&simulator).await.json();
        pages += 1;
        let items = page["items"].as_array().unwrap().clone();
        if items.is_empty() {
            assert_eq!(page, json!({"items": []}));
            break;
        }
        texts.extend(items.iter().map(|item| item["label"].as_str().unwrap().to_owned()));
        query = format!("&starting_after={}", page["next_starting_after"].as_str().unwrap());
    }
    let newest_first: Vec<_> =
        simulator.first().labels().into_iter().rev().map(|label| label.label).collect();
    assert_eq!((pages, texts), (4, newest_first));
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let (simulator, _) = started().await;
    for (query, expected) in [
        ("", 12),
        ("?limit=5", 5),
        ("?interest_status=negative", 4),
        ("?search=BUDGET", 1),
        ("?search=budget&interest_status=positive", 0),
        ("?search=asked+for%20pricing", 1),
    ] {
        let reply =
            Call::get(&format!("lead-labels{query}"), simulator.full_key()).send(&simulator).await.json();
        assert_eq!(reply["items"].as_array().unwrap().len(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_label_is_made_changed_and_deleted_and_each_answer_shows_it() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let made = Call::new("POST", "lead-labels", key)
        .json(&json!({"label": "New", "interest_status_label": "negative", "use_with_ai": true}))
        .send(&simulator)
        .await
        .assert_status(200);
    assert_eq!(members(&made.text()), MEMBERS);
    let made = made.json();
    assert_eq!(made["organization_id"], json!(simulator.first().id()));
    let target = format!("lead-labels/{}", made["id"].as_str().unwrap());

    let changed = Call::new("PATCH", &target, key).json(&json!({"label": "Newer"})).send(&simulator).await;
    let changed = changed.assert_status(200).json();
    assert_eq!(changed["label"], "Newer");
    assert_eq!(changed["timestamp_created"], made["timestamp_created"]);
    assert_eq!(Call::get(&target, key).send(&simulator).await.json(), changed);

    let deletion = Call::new("DELETE", &target, key).json(&json!({"reassigned_status": 4}));
    assert_eq!(deletion.send(&simulator).await.assert_status(200).json(), changed);
    let deletions = simulator.first().deletions();
    assert_eq!(deletions.len(), 1);
    assert_eq!(deletions[0].reassigned_status, Some(4.0));
    Call::get(&target, key).send(&simulator).await.assert_status(404);
    Call::new("DELETE", &target, key).send(&simulator).await.assert_status(404);
}

#[tokio::test]
async fn refusals_have_the_vendors_envelope() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let other = simulator.world().organizations()[1].labels()[0].id;
    for (call, status, message) in [
        (Call::without_key("GET", "lead-labels"), 401, "Missing Authorization header"),
        (
            Call::without_key("GET", "lead-labels").field("authorization", "Bearer x"),
            401,
            "Invalid authorization header or API key",
        ),
        (Call::get(&format!("lead-labels/{other}"), key), 404, "Resource not found"),
        (Call::get("lead-labels/7", key), 400, r#"params/id must match format "uuid""#),
        (Call::get("lead-labels?limit=101", key), 400, "querystring/limit must be <= 100"),
        (Call::new("PUT", "lead-labels", key), 404, "Route PUT:/api/v2/lead-labels not found"),
        (
            Call::new("POST", "lead-labels", key).json(&json!({"label": "a"})),
            400,
            "body must have required property 'interest_status_label'",
        ),
        (
            Call::new("DELETE", &format!("lead-labels/{other}"), key)
                .field("content-type", "application/json"),
            400,
            "Body cannot be empty when content-type is set to 'application/json'",
        ),
        (
            Call::new("POST", "leads/list", key).field("content-type", "text/plain").body("a".into()),
            415,
            "Unsupported Media Type",
        ),
    ] {
        let reply = call.send(&simulator).await.assert_status(status);
        let body = reply.json();
        assert_eq!((&body["statusCode"], &body["message"]), (&json!(status), &json!(message)));
        assert!(body["error"].is_string(), "{body}");
    }
    assert_eq!(simulator.counters().unauthorized(), 2);
}

#[tokio::test]
async fn a_key_without_the_scope_is_refused_with_the_configured_status() {
    for status in [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED] {
        let (simulator, _) = start(|config| config.missing_scope = status).await;
        let keys = simulator.first().keys();
        let label = json!({"label": "a", "interest_status_label": "neutral"});
        Call::get("lead-labels", &keys[1]).send(&simulator).await.assert_status(200);
        Call::get("campaigns", &keys[2]).send(&simulator).await.assert_status(200);
        let lacking = [
            Call::get("lead-labels", &keys[2]),
            Call::get("campaigns", &keys[1]),
            Call::new("POST", "lead-labels", &keys[1]).json(&label),
            Call::new("POST", "lead-labels", &keys[4]).json(&label),
        ];
        for call in lacking {
            call.send(&simulator).await.assert_status(status.as_u16());
        }
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_and_the_others_are_not() {
    let (simulator, _) = started().await;
    let [first, second, ..] = simulator.first().keys() else { panic!("five by default") };
    simulator.revoke(first);
    Call::get("lead-labels", first).send(&simulator).await.assert_status(401);
    Call::get("lead-labels", second).send(&simulator).await.assert_status(200);
    simulator.restore(first);
    Call::get("lead-labels", first).send(&simulator).await.assert_status(200);
}

#[tokio::test]
async fn an_admin_key_sees_the_workspace_that_it_names() {
    let (simulator, _) = started().await;
    let key = &simulator.world().admin().keys()[0];
    let seen = async |workspace: Option<Uuid>| {
        let mut call = Call::get("workspaces/current", key);
        if let Some(id) = workspace {
            call = call.field("x-as-workspace", &id.to_string());
        }
        let reply = call.send(&simulator).await;
        (reply.status.as_u16(), reply.json()["id"].as_str().and_then(|id| id.parse::<Uuid>().ok()))
    };
    let [first, _, outside] = simulator.world().organizations() else { panic!("three by default") };
    assert_eq!(seen(None).await, (200, Some(simulator.world().admin().id())));
    assert_eq!(seen(Some(first.id())).await, (200, Some(first.id())));
    assert_eq!(seen(Some(outside.id())).await, (403, None));
    first.leave_group();
    assert_eq!(seen(Some(first.id())).await, (403, None));
}

#[tokio::test]
async fn shared_ids_name_other_labels_in_each_organization() {
    let (simulator, _) = start(|config| config.shared_label_ids = true).await;
    let id = simulator.first().labels()[3].id;
    for organization in simulator.world().organizations() {
        let target = format!("lead-labels/{id}");
        let reply = Call::get(&target, &organization.keys()[0]).send(&simulator).await.assert_status(200);
        assert_eq!(reply.json()["organization_id"], json!(organization.id()));
        for other in simulator.world().organizations() {
            assert_eq!(reply.text().contains(other.canary()), other.id() == organization.id());
        }
    }
}

#[tokio::test]
async fn the_reply_classifier_needs_only_the_read_scope_and_has_errors_of_its_own_shape() {
    let (simulator, _) = start(|config| config.limits = Limits::NONE).await;
    let key = &simulator.first().keys()[1];
    let call = || Call::new("POST", "lead-labels/ai-reply-label", key).json(&json!({"reply_text": "Yes!"}));
    let answer = call().send(&simulator).await.assert_status(200).json();
    assert_eq!(answer["custom_labels_considered"].as_array().map(Vec::len), Some(4));
    assert!(answer["result"].is_string());
    Call::new("POST", "lead-labels/ai-reply-label", key)
        .json(&json!({}))
        .send(&simulator)
        .await
        .assert_status(400);
    for _ in 1..500 {
        simulator.first().account().classify(std::time::Duration::ZERO).unwrap();
    }
    let refused = call().send(&simulator).await.assert_status(429);
    assert_eq!(refused.json(), json!({"error": "Rate limit exceeded"}));
}

#[tokio::test]
async fn what_the_web_app_changes_shows_at_once() {
    let (simulator, _) = started().await;
    let organization = simulator.first();
    let id = organization.labels()[0].id;
    assert!(simulator.edit_label(organization.id(), id, |label| label.label = "Renamed".to_owned()));
    assert!(!simulator.edit_label(organization.id(), Uuid::nil(), |_| ()));
    let reply = Call::get(&format!("lead-labels/{id}"), simulator.full_key()).send(&simulator).await;
    assert_eq!(reply.json()["label"], Value::from("Renamed"));
}
