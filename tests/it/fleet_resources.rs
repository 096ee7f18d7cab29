//! What replicas share they share by resource: the words of `fleet.rs` and `second_tier.rs` hold of custom tags and lead lists
//! beside labels, and what one resource proves or refuses is nothing to the others.

use instantly_proxy::config::Config;

use crate::support::fleet::{TestFleet, patient};
use crate::support::labels::token;
use crate::support::store::Engine;
use crate::support::{Caller, Grants, Kind, LABEL, LIST, TAG, keep_as_labels, patiently};

const KINDS: [Kind; 3] = [LABEL, TAG, LIST];

/// Everything is kept; and a machine that is busy with other tests is no store that is slow.
fn mixed(config: &mut Config) {
    keep_as_labels(config);
    patient(config);
}

/// Two replicas that have read item 1 of each kind with key 1 of `a`, and hold it.
async fn warm(engine: Engine) -> (TestFleet, Vec<Caller>) {
    let fleet = TestFleet::start_with(engine, 2, mixed).await;
    let callers = fleet.callers("a", 1);
    for caller in &callers {
        for kind in KINDS {
            caller.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1));
            caller.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1)).assert_hit();
        }
    }
    (fleet, callers)
}

/// How many reads of this kind have arrived upstream.
fn reads(fleet: &TestFleet, kind: Kind) -> usize {
    fleet.upstream.count_of(|request| request.method == "GET" && request.target.starts_with(kind.list()))
}

/// Waits until so many hashes of proofs with so many proofs in all are stored: they are told behind the answers.
async fn proofs_are_told(fleet: &TestFleet, count: usize) {
    patiently("proofs to be told", async {
        loop {
            let names = fleet.store.ask(&["KEYS", "instantly-proxy:p1:*"]);
            let hashes = names.lines().filter(|name| !name.is_empty() && !name.ends_with(":lock"));
            let lengths = hashes.map(|name| fleet.store.ask(&["HLEN", name]).parse::<usize>().unwrap_or(0));
            if lengths.sum::<usize>() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// R5, P1.
#[tokio::test]
async fn a_write_of_any_resource_through_one_replica_is_seen_by_the_very_next_read_through_the_other() {
    for engine in Engine::ALL {
        let (_fleet, callers) = warm(engine).await;
        let mut texts = KINDS.map(|kind| kind.text("a", 1));
        for number in 0..30 {
            let (place, text) = (number % KINDS.len(), format!("change {number}"));
            let change = format!(r#"{{"label":"{text}"}}"#);
            let written = callers[number % 2].patch(&KINDS[place].path(1), &change).send().await;
            written.assert_label(&text);
            texts[place] = text;
            for caller in &callers {
                for (kind, text) in KINDS.iter().zip(&texts) {
                    caller.get(&kind.path(1)).send().await.assert_label(text);
                    assert!(caller.get(kind.list()).send().await.text().contains(&format!("\"{text}\"")));
                }
            }
        }
    }
}

/// R1, R2: what the store has of a key that may read labels alone is no right to a tag, at whichever replica.
#[tokio::test]
async fn a_proof_by_one_resource_is_none_of_another_through_the_store() {
    for engine in Engine::ALL {
        let (fleet, _) = warm(engine).await;
        let second = fleet.callers("a", 2);
        fleet.vendors.forbid_at(TAG.list(), &token("a", 2), 403);
        second[0].get(&LABEL.path(1)).send().await.assert_label("a-1").assert_proof();
        // Three of key 1, and this.
        proofs_are_told(&fleet, KINDS.len() + 1).await;
        let before = reads(&fleet, LABEL);
        second[1].get(&LABEL.path(1)).send().await.assert_label("a-1");
        assert_eq!(reads(&fleet, LABEL), before, "it was proved through the other replica");
        for caller in &second {
            caller.get(&TAG.path(1)).send().await.assert_refused_upstream(403);
            caller.get(&LIST.path(1)).send().await.assert_label(&LIST.text("a", 1));
            caller.get(&TAG.path(1)).send().await.assert_refused_upstream(403);
        }
    }
}

/// P4, by resource: here, at the other replica, and in the store for one that is new.
#[tokio::test]
async fn a_refusal_by_one_resource_ends_the_proofs_by_that_one_everywhere_and_no_others() {
    for engine in Engine::ALL {
        let (mut fleet, callers) = warm(engine).await;
        proofs_are_told(&fleet, KINDS.len()).await;
        fleet.vendors.forbid_at(TAG.list(), &token("a", 1), 403);
        callers[0].get(&TAG.path(2)).send().await.assert_refused_upstream(403);
        callers[0].get(&TAG.path(1)).send().await.assert_refused_upstream(403);
        patiently("the refusal to be heard of", async {
            while callers[1].get(&TAG.path(1)).send().await.status != 403 {}
        })
        .await;
        for caller in &callers {
            for kind in [LABEL, LIST] {
                caller.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1)).assert_hit();
            }
        }
        let before = reads(&fleet, LABEL) + reads(&fleet, LIST);
        let new = fleet.add(mixed).await.caller("a", 1);
        for kind in [LABEL, LIST] {
            new.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1));
        }
        assert_eq!(reads(&fleet, LABEL) + reads(&fleet, LIST), before, "the store has their proofs");
        new.get(&TAG.path(1)).send().await.assert_refused_upstream(403);
    }
}

/// R3: grants are a matter of the whole workspace, whichever resource shows them, and at whichever replica.
#[tokio::test]
async fn grants_that_one_replica_is_shown_of_one_resource_end_the_sharing_of_every_resource_at_all() {
    for engine in Engine::ALL {
        let (fleet, _) = warm(engine).await;
        let second = fleet.callers("a", 2);
        for (caller, kind) in second.iter().flat_map(|caller| KINDS.map(|kind| (caller, kind))) {
            caller.get(&kind.path(1)).send().await.assert_label(&kind.text("a", 1));
            caller.get(&kind.path(1)).send().await.assert_hit();
        }
        for kind in KINDS {
            fleet.vendors.of_kind(kind).own("a", Grants::Everywhere);
            fleet.vendors.of_kind(kind).hide(&token("a", 2), 1);
        }
        fleet.replicas[0].caller("a", 1).get(&TAG.path(3)).send().await.assert_label(&TAG.text("a", 3));
        for caller in &second {
            patiently("the others to hear of it", async {
                while caller.get(&LABEL.path(1)).send().await.status != 404 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            for kind in KINDS {
                caller.get(&kind.path(1)).send().await.assert_status(404);
            }
        }
    }
}

/// Two replicas that tell all writes, of which the second has labels alone on; the caller's key is known to it.
async fn off_at_the_second(engine: Engine) -> (TestFleet, Vec<Caller>) {
    let telling = |config: &mut Config| {
        let shared = config.shared.as_mut().expect("it is a fleet");
        shared.tell_all_writes = true;
    };
    let mut fleet = TestFleet::start_with(engine, 1, |config| {
        mixed(config);
        telling(config);
    })
    .await;
    let off = |config: &mut Config| {
        mixed(config);
        telling(config);
        (config.cache.custom_tags.enabled, config.cache.lead_lists.enabled) = (false, false);
    };
    fleet.add(off).await;
    let callers = fleet.callers("a", 1);
    let all_tell = |status: &serde_json::Value| {
        let replicas = status["fleet"]["replicas"].as_array().map_or(&[][..], Vec::as_slice);
        replicas.len() == 2 && replicas.iter().all(|replica| replica["tells_all_writes"] == true)
    };
    fleet.replicas[0].until("all to say that they tell", all_tell).await;
    callers[1].get(&LABEL.path(1)).send().await.assert_label("a-1");
    (fleet, callers)
}

/// P1, while a resource is switched on at one replica after the other.
#[tokio::test]
async fn a_write_through_a_replica_that_has_a_resource_off_is_seen_where_it_is_on() {
    for engine in Engine::ALL {
        let (_fleet, callers) = off_at_the_second(engine).await;
        for (number, kind) in [TAG, LIST, TAG, LIST].into_iter().enumerate() {
            callers[0].get(&kind.path(1)).send().await.assert_status(200);
            callers[0].get(&kind.path(1)).send().await.assert_hit();
            let text = format!("change {number}");
            let written = callers[1].patch(&kind.path(1), &format!(r#"{{"label":"{text}"}}"#)).send().await;
            written.assert_label(&text).assert_cache_status("fwd=method");
            callers[0].get(&kind.path(1)).send().await.assert_label(&text);
            for _ in 0..2 {
                let read = callers[1].get(&kind.path(1)).send().await;
                read.assert_label(&text).assert_cache_status("fwd=bypass");
            }
        }
    }
}

/// A purge of what one replica has, and another does not: here its name is known, there it may not be, and the answer says who
/// has done it.
#[tokio::test]
async fn a_purge_of_a_resource_that_another_replica_does_not_know_is_confirmed_by_it_and_takes_more_there() {
    let mut fleet = TestFleet::start_with(Engine::Valkey, 1, mixed).await;
    let labels_alone = |config: &mut Config| {
        mixed(config);
        (config.cache.custom_tags.enabled, config.cache.lead_lists.enabled) = (false, false);
    };
    fleet.add(labels_alone).await;
    let callers = fleet.callers("a", 1);
    for caller in &callers {
        caller.get(&LABEL.path(1)).send().await.assert_label("a-1");
        caller.get(&LABEL.path(1)).send().await.assert_hit();
    }
    callers[0].get(&TAG.path(1)).send().await.assert_label("tag-a-1");
    let purge = r#"{"resource":"custom_tag"}"#;
    let told = fleet.replicas[0].admin().post("/api/purge", purge).send().await.assert_status(200).json();
    assert_eq!(told["replicas"]["confirmed"].as_array().map(Vec::len), Some(2), "{told}");
    assert_eq!(told["replicas"]["silent"].as_array().map(Vec::len), Some(0), "{told}");
    callers[0].get(&LABEL.path(1)).send().await.assert_hit();
    let before = reads(&fleet, TAG);
    callers[0].get(&TAG.path(1)).send().await.assert_label("tag-a-1");
    assert_eq!(reads(&fleet, TAG), before + 1);
    // Whoever does not know the name drops what it may have meant.
    callers[1].get(&LABEL.path(1)).send().await.assert_label("a-1").assert_proof();
    let refused = fleet.replicas[1].admin().post("/api/purge", purge).send().await;
    assert!(
        refused.assert_status(400).text().contains("resource is none of those that are cached: lead_label")
    );
}

/// P4: what the API says of a key at one replica holds at all of them.
#[tokio::test]
async fn a_refusal_through_a_replica_that_has_a_resource_off_ends_the_proofs_by_it_where_it_is_on() {
    for engine in Engine::ALL {
        let (fleet, callers) = off_at_the_second(engine).await;
        for kind in [LABEL, TAG] {
            callers[0].get(&kind.path(1)).send().await.assert_status(200);
            callers[0].get(&kind.path(1)).send().await.assert_hit();
        }
        proofs_are_told(&fleet, 2).await;
        fleet.vendors.forbid_at(TAG.list(), &token("a", 1), 403);
        callers[1].get(&TAG.path(2)).send().await.assert_refused_upstream(403);
        patiently("the refusal to be heard of", async {
            while callers[0].get(&TAG.path(1)).send().await.status != 403 {}
        })
        .await;
        callers[0].get(&LABEL.path(1)).send().await.assert_hit();
    }
}
