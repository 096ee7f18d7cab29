//! Resource ownership: what a key sees of labels that are not for every key, and which answers say so.

use serde_json::{Value, json};

use super::*;

fn path(label: &Label) -> String {
    format!("lead-labels/{}", label.id)
}

async fn list(simulator: &Simulator, key: &Key) -> Vec<Value> {
    let page = Call::get("lead-labels?limit=100", key).send(simulator).await.assert_status(200).json();
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_hidden_label_is_in_no_list_of_its_key_and_404_by_id_for_reads_and_writes() {
    let (simulator, _) = start(|config| config.ownership = Some(Grants::InLists)).await;
    let labels = simulator.first().labels();
    let (full, reader) = (simulator.full_key(), &simulator.first().keys()[3]);
    let (hidden, shown) = (&labels[3], &labels[4]);
    assert_eq!((list(&simulator, full).await.len(), list(&simulator, reader).await.len()), (12, 8));
    for (key, label, status) in [(full, hidden, 200), (reader, shown, 200), (reader, hidden, 404)] {
        Call::get(&path(label), key).send(&simulator).await.assert_status(status);
    }
    for method in ["PATCH", "DELETE"] {
        let write = Call::new(method, &path(hidden), reader).json(&json!({"label": "x"}));
        write.send(&simulator).await.assert_status(404);
    }
    assert_eq!(simulator.first().labels(), labels);
    simulator.first().set_ownership(None);
    assert_eq!(list(&simulator, reader).await.len(), 12);
}

#[tokio::test]
async fn grants_are_in_lists_and_elsewhere_only_where_they_are_everywhere() {
    for (grants, in_lists, elsewhere) in
        [(None, false, false), (Some(Grants::InLists), true, false), (Some(Grants::Everywhere), true, true)]
    {
        let (simulator, _) = start(|config| config.ownership = grants).await;
        let key = simulator.full_key();
        let carries = |label: &Value| label.get("access_grants").is_some();
        assert!(list(&simulator, key).await.iter().all(|label| carries(label) == in_lists), "{grants:?}");
        let label = path(&simulator.first().labels()[1]);
        let change = json!({"label": "new", "interest_status_label": "neutral"});
        for call in [
            Call::get(&label, key),
            Call::new("PATCH", &label, key).json(&change),
            Call::new("POST", "lead-labels", key).json(&change),
            Call::new("DELETE", &label, key),
        ] {
            let reply = call.send(&simulator).await.assert_status(200).json();
            assert_eq!(carries(&reply), elsewhere, "{grants:?}");
        }
        let other = &simulator.world().organizations()[1].keys()[0];
        assert!(!list(&simulator, other).await.iter().any(carries), "of that organization alone");
    }
}

#[tokio::test]
async fn a_label_that_a_key_makes_has_no_user_who_made_it() {
    let (simulator, _) = started().await;
    let new = json!({"label": "new", "interest_status_label": "neutral"});
    let made = Call::new("POST", "lead-labels", simulator.full_key()).json(&new).send(&simulator).await;
    assert_eq!(made.json()["created_by"], Value::Null);
    let items = list(&simulator, simulator.full_key()).await;
    assert_eq!((&items[0]["created_by"], items[1]["created_by"].is_string()), (&Value::Null, true));
}
