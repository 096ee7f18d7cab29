//! Custom tags, lead lists, campaigns and the workspace: shapes, scopes, refusals.

use http::StatusCode;
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_second_tag_of_one_name_is_a_conflict_whatever_space_is_around_it() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let create = |label: &str| Call::new("POST", "custom-tags", key).json(&json!({"label": label}));
    let made = create(" Urgent ").send(&simulator).await.assert_status(200).json();
    assert_eq!(made["label"], json!("Urgent"));
    let conflict = create("Urgent").send(&simulator).await.assert_status(409).json();
    assert_eq!(conflict["message"], json!("A tag with this name already exists."));
    let page = Call::get("custom-tags?search=Urgent", key).send(&simulator).await.json();
    assert_eq!(page["items"], json!([made]));
    create(" ").send(&simulator).await.assert_status(400);
}

#[tokio::test]
async fn items_are_read_changed_and_taken_away_by_their_ids() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    for (collection, member) in [("custom-tags", "label"), ("lead-lists", "name"), ("campaigns", "name")] {
        let page = Call::get(collection, key).send(&simulator).await.assert_status(200).json();
        let item = page["items"][0].clone();
        let path = format!("{collection}/{}", item["id"].as_str().unwrap());
        assert_eq!(Call::get(&path, key).send(&simulator).await.json(), item);
        let change = json!({member: "changed"});
        let changed =
            Call::new("PATCH", &path, key).json(&change).send(&simulator).await.assert_status(200).json();
        assert_eq!((&changed[member], &changed["id"]), (&json!("changed"), &item["id"]));
        Call::new("DELETE", &path, key).send(&simulator).await.assert_status(200);
        Call::get(&path, key).send(&simulator).await.assert_status(404);
        Call::get(&format!("{collection}/x"), key).send(&simulator).await.assert_status(400);
    }
}

#[tokio::test]
async fn pages_lead_through_all_items() {
    let (simulator, _) = started().await;
    let (mut names, mut query) = (Vec::new(), String::new());
    loop {
        let target = format!("lead-lists?limit=1{query}");
        let page = Call::get(&target, simulator.full_key()).send(&simulator).await.json();
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()));
        let Some(next) = page["next_starting_after"].as_str() else { break };
        query = format!("&starting_after={next}");
    }
    assert_eq!(names.len(), 3);
}

#[tokio::test]
async fn each_resource_has_scopes_of_its_own() {
    let (simulator, _) = started().await;
    let labels_only = &simulator.first().keys()[1];
    assert_eq!(labels_only.scopes(), ["lead-labels:read"]);
    for path in ["custom-tags", "lead-lists", "campaigns", "workspaces/current"] {
        let refused = Call::get(path, labels_only).send(&simulator).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn a_workspace_takes_another_name_and_a_campaign_is_paused() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let change = json!({"name": "New name"});
    Call::new("PATCH", "workspaces/current", key).json(&change).send(&simulator).await.assert_status(200);
    let workspace = Call::get("workspaces/current", key).send(&simulator).await.json();
    assert_eq!((&workspace["name"], &workspace["id"]), (&json!("New name"), &json!(simulator.first().id())));
    let page = Call::get("campaigns?status=1", key).send(&simulator).await.json();
    let id = page["items"][0]["id"].as_str().unwrap().to_owned();
    let paused = Call::new("POST", &format!("campaigns/{id}/pause"), key).send(&simulator).await.json();
    assert_eq!(paused["status"], json!(2));
    let tied = json!({"tag_ids": [], "resource_type": 1, "resource_ids": [], "assign": true});
    let told = Call::new("POST", "custom-tags/toggle-resource", key).json(&tied).send(&simulator).await;
    assert_eq!(told.assert_status(200).json(), json!({"success": true}));
}
