//! What docs/FLEET.md says of a deployment: the user of the store, and replicas beside processes that are none.

use std::time::Duration;

use instantly_proxy::config::Config;

use super::documents::text;
use crate::support::fleet::{TestFleet, patient};
use crate::support::labels::label_path;
use crate::support::patiently;
use crate::support::store::Engine;

fn change(text: &str) -> String {
    format!(r#"{{"label":"{text}"}}"#)
}

/// The rights of the user that the document gives.
fn rights() -> Vec<String> {
    let document = text("docs/FLEET.md");
    let line = document.lines().find_map(|line| line.strip_prefix("user instantly-proxy on >PASSWORD "));
    let line = line.expect("the user of the store");
    assert_eq!(line, text("src/fleet/store/acl.txt").trim(), "`check --probe` asks for other rights");
    let line = line.replace("NAMESPACE", "instantly-proxy");
    line.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn the_user_of_the_document_may_do_what_a_replica_asks_for() {
    for engine in Engine::ALL {
        let mut fleet = TestFleet::without_replicas(engine);
        let password = fleet.store.file("password");
        std::fs::write(&password, "a password\n").expect("the directory is ours");
        let rights = rights();
        let mut command = vec!["ACL", "SETUSER", "instantly-proxy", "on", ">a password"];
        command.extend(rights.iter().map(String::as_str));
        assert_eq!(fleet.store.ask(&command), "OK");
        let as_user = |config: &mut Config| {
            patient(config);
            let shared = config.shared.as_mut().expect("a fleet");
            shared.store.username = Some("instantly-proxy".to_owned());
            shared.store.password_file = Some(password.clone());
        };
        fleet.add(as_user).await;
        fleet.add(as_user).await;
        let callers = fleet.warm("a", 1).await;
        for number in 0..10 {
            let text = format!("number {number}");
            callers[number % 2].patch(&label_path(1), &change(&text)).send().await.assert_label(&text);
            for caller in &callers {
                caller.get(&label_path(1)).send().await.assert_label(&text);
            }
        }
        let told = fleet.replicas[0].admin().post("/api/purge", "{}").send().await.assert_status(200).json();
        assert_eq!(told["replicas"]["confirmed"].as_array().map(Vec::len), Some(2), "{told}");
        // Whatever it was refused is in here, by user.
        let refused = fleet.store.ask(&["ACL", "LOG"]);
        assert!(!refused.contains("instantly-proxy"), "{refused}");
    }
}

fn briefly(config: &mut Config) {
    for lifetimes in [&mut config.cache.lead_labels, &mut config.cache.lead_label_lists] {
        lifetimes.ttl = Duration::from_secs(2);
        lifetimes.stale_while_revalidate = Duration::ZERO;
        lifetimes.stale_if_error = Duration::ZERO;
    }
}

/// While `[shared]` is being switched on or off, some processes have it and others do not.
#[tokio::test]
async fn replicas_and_a_process_that_is_none_see_each_others_writes_within_the_lifetimes_and_their_own_at_once()
 {
    let together = |config: &mut Config| {
        briefly(config);
        patient(config);
    };
    let mut fleet = TestFleet::start_with(Engine::Valkey, 2, together).await;
    let alone = |config: &mut Config| {
        briefly(config);
        config.shared = None;
    };
    fleet.replicas.push(fleet.replica(alone));
    let callers = fleet.warm("a", 1).await;
    let (a, b, none) = (&callers[0], &callers[1], &callers[2]);

    a.patch(&label_path(1), &change("by a replica")).send().await.assert_label("by a replica");
    for replica in [a, b] {
        replica.get(&label_path(1)).send().await.assert_label("by a replica");
    }
    patiently("the lifetime to end", async {
        while none.get(&label_path(1)).send().await.label() != "by a replica" {}
    })
    .await;

    none.patch(&label_path(1), &change("by none")).send().await.assert_label("by none");
    none.get(&label_path(1)).send().await.assert_label("by none");
    for replica in [a, b] {
        patiently("the lifetime to end", async {
            while replica.get(&label_path(1)).send().await.label() != "by none" {}
        })
        .await;
    }

    // Among each other the replicas are what they were.
    b.patch(&label_path(1), &change("again")).send().await.assert_label("again");
    a.get(&label_path(1)).send().await.assert_label("again");
}
