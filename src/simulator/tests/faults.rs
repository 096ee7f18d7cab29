//! Rate windows and everything that can be made to go wrong.

use std::time::Duration;

use http::HeaderValue;
use http::StatusCode;
use serde_json::json;

use super::*;

fn at(organization: &Organization) -> Aim {
    Aim::everything().organization(organization.id())
}

async fn list(simulator: &Simulator, key: &Key) -> Reply {
    Call::get("lead-labels", key).send(simulator).await
}

#[tokio::test]
async fn a_workspace_has_so_many_calls_in_any_second_over_all_its_keys() {
    let limits = Limits { per_second: 3, per_minute: 5, retry_after: true };
    let (simulator, hand) = start(|config| config.limits = limits).await;
    let [first, second, ..] = simulator.first().keys() else { panic!("five by default") };
    for key in [first, second, first] {
        list(&simulator, key).await.assert_status(200);
    }
    let refused = list(&simulator, second).await.assert_status(429);
    assert_eq!(refused.fields["retry-after"], "1");
    assert_eq!(refused.json()["message"], "Rate limit exceeded");
    list(&simulator, &simulator.world().organizations()[1].keys()[0]).await.assert_status(200);

    hand.advance(Duration::from_secs(1));
    list(&simulator, first).await.assert_status(200);
    list(&simulator, first).await.assert_status(200);
    let refused = list(&simulator, first).await.assert_status(429);
    assert_eq!(refused.fields["retry-after"], "59");
    assert_eq!(simulator.first().peak(), Peak { second: 4, minute: 7 });

    simulator.set_limits(Limits::default());
    list(&simulator, first).await.assert_status(200);
}

#[tokio::test]
async fn acting_for_a_workspace_counts_against_both() {
    let (simulator, _) = started().await;
    let key = &simulator.world().admin().keys()[0];
    let workspace = simulator.first().id().to_string();
    Call::get("lead-labels", key)
        .field("x-as-workspace", &workspace)
        .send(&simulator)
        .await
        .assert_status(200);
    assert_eq!(simulator.first().peak().second, 1);
    assert_eq!(simulator.world().admin().peak().second, 1);
    assert_eq!(simulator.counters().of_organization(simulator.first().id()), 1);
}

#[tokio::test]
async fn an_error_on_command_hits_what_it_is_aimed_at() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let other = &simulator.world().organizations()[1];
    for (fault, status, message) in [
        (Fault::Status(StatusCode::PAYMENT_REQUIRED), 402, "Workspace does not have an active paid plan"),
        (Fault::Status(StatusCode::SERVICE_UNAVAILABLE), 503, "Service Unavailable"),
        (Fault::TooManyRequests(None), 429, "Rate limit exceeded"),
        (Fault::LoseAnswer(StatusCode::BAD_GATEWAY), 502, "Bad Gateway"),
    ] {
        let id = simulator.faults().arm(at(simulator.first()), fault);
        let refused = list(&simulator, key).await.assert_status(status);
        assert_eq!(refused.json()["message"], message);
        assert!(!refused.fields.contains_key("retry-after"));
        list(&simulator, &other.keys()[0]).await.assert_status(200);
        simulator.faults().disarm(id);
        list(&simulator, key).await.assert_status(200);
    }
    let garbage = Fault::TooManyRequests(Some(HeaderValue::from_static("soon")));
    simulator.faults().arm(Aim::everything().operation(Operation::ListLabels).times(1), garbage);
    assert_eq!(list(&simulator, key).await.assert_status(429).fields["retry-after"], "soon");
    list(&simulator, key).await.assert_status(200);
}

#[tokio::test]
async fn the_edge_blocks_with_a_page_that_is_not_json() {
    let (simulator, _) = started().await;
    simulator.faults().arm(Aim::everything().every(2), Fault::EdgeBlock);
    list(&simulator, simulator.full_key()).await.assert_status(200);
    let blocked = list(&simulator, simulator.full_key()).await.assert_status(403);
    assert_eq!(blocked.fields["content-type"], "text/html; charset=UTF-8");
    assert!(blocked.text().contains("error code: 1010"));
}

#[tokio::test]
async fn a_cut_answer_announces_all_and_ends_after_a_part() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let whole = list(&simulator, key).await.body.len().to_string();
    for bytes in [0, 10] {
        simulator.faults().arm(Aim::everything().times(1), Fault::Cut(bytes as u64));
        let cut = Call::get("lead-labels", key).send_for_cut(&simulator).await;
        assert_eq!(cut, (whole.clone(), bytes));
    }
    simulator.faults().arm(Aim::everything().times(1), Fault::Cut(20_000));
    let target = "sim/download?bytes=1000000";
    let cut = Call::get(target, key).send_for_cut(&simulator).await;
    assert_eq!(cut, ("1000000".to_owned(), 20_000));
    list(&simulator, key).await.assert_status(200);
}

#[tokio::test]
async fn a_disconnect_gives_no_answer() {
    let (simulator, _) = started().await;
    simulator.faults().arm(Aim::everything(), Fault::Disconnect);
    assert!(Call::get("lead-labels", simulator.full_key()).attempt(&simulator).await.is_err());
}

#[tokio::test]
async fn reads_lag_behind_a_write_for_as_long_as_asked() {
    let (simulator, hand) = started().await;
    let key = simulator.full_key();
    let label = &simulator.first().labels()[0];
    let target = format!("lead-labels/{}", label.id);
    let text = async || Call::get(&target, key).send(&simulator).await.json()["label"].clone();
    simulator.faults().arm(at(simulator.first()), Fault::ReplicationLag(Duration::from_secs(2)));
    let answer = Call::new("PATCH", &target, key).json(&json!({"label": "New"})).send(&simulator).await;
    assert_eq!(answer.json()["label"], "New");
    assert_eq!(text().await, json!(label.label));
    hand.advance(Duration::from_secs(2));
    assert_eq!(text().await, json!("New"));
}

#[tokio::test]
async fn a_held_answer_shows_what_was_read_before_it_was_held() {
    let (simulator, _) = started().await;
    let label = simulator.first().labels()[0].clone();
    for (held, expected) in [
        (Fault::HoldAnswer as fn(Gate) -> Fault, label.label.as_str()),
        (Fault::HoldRequest, "Renamed meanwhile"),
    ] {
        let gate = Gate::new();
        let id = simulator.faults().arm(Aim::everything(), held(gate.clone()));
        let target = format!("lead-labels/{}", label.id);
        let reading = Call::get(&target, simulator.full_key()).send(&simulator);
        let meanwhile = async {
            gate.arrived(1).await;
            assert_eq!(simulator.counters().under_way(), 1);
            simulator
                .edit_label(label.organization_id, label.id, |l| l.label = "Renamed meanwhile".to_owned());
            gate.release();
        };
        let (reply, ()) = tokio::join!(reading, meanwhile);
        assert_eq!(reply.json()["label"], expected);
        simulator.faults().disarm(id);
        simulator.edit_label(label.organization_id, label.id, |l| l.label.clone_from(&label.label));
    }
}

#[tokio::test]
async fn a_hanging_request_is_let_go_when_the_simulator_stops() {
    let (simulator, _) = started().await;
    let gate = Gate::new();
    gate.release();
    simulator.faults().arm(Aim::everything(), Fault::HoldRequest(gate.clone()));
    simulator.faults().arm(Aim::everything(), Fault::Hang);
    let key = simulator.full_key().bearer();
    let call = Call::without_key("GET", "lead-labels").field("authorization", key.to_str().unwrap());
    let stream_to = simulator.address();
    let hanging = tokio::spawn(async move { call.attempt_at(stream_to).await });
    gate.arrived(1).await;
    simulator.stop().await;
    assert!(hanging.await.unwrap().is_err());
}

#[tokio::test]
async fn a_canned_answer_and_an_extra_member_come_as_they_are() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let extra = Fault::ExtraMember(r#""access_grants":["a"]"#.into());
    let extra = simulator.faults().arm(Aim::everything(), extra);
    let page = list(&simulator, key).await.json();
    assert!(page["items"].as_array().unwrap().iter().all(|item| item["access_grants"] == json!(["a"])));
    simulator.faults().disarm(extra);

    let canned = Canned { body: "{}".into(), ..Canned::default() };
    simulator.faults().arm(Aim::everything().key(key.index()), Fault::Canned(canned.into()));
    let reply = list(&simulator, key).await.assert_status(200);
    assert_eq!(reply.text(), "{}");
    assert!(!reply.fields.contains_key("content-type"));
}
