//! Many replicas are one cache: what was written through one is never read old through another that has a lease.

use std::num::NonZeroU32;
use std::time::Duration;

use instantly_proxy::config::{Config, WhenLost};
use instantly_proxy::error::ErrorKind;

use crate::support::fleet::{TestFleet, patient};
use crate::support::labels::{CAMPAIGNS, LABELS, error, label_path, organization, token};
use crate::support::store::Engine;
use crate::support::{Answer, Caller, patiently};

/// Writes through one replica, each read back through all.
const WRITES: usize = 300;

fn change(text: &str) -> String {
    format!(r#"{{"label":"{text}"}}"#)
}

/// Without a lease nothing is served, and nothing is written: what is left is what leases promise.
fn by_leases_alone(config: &mut Config) {
    if let Some(shared) = &mut config.shared {
        shared.alone_ttl = Duration::ZERO;
        shared.when_lost = WhenLost::RefuseWrites;
    }
}

/// Shares that the configuration tells of.
fn one_of_three(config: &mut Config) {
    config.shield.requests_per_second = positive(90);
    config.shield.requests_per_minute = positive(5400);
    config.shield.replicas = positive(3);
}

fn positive(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("above zero")
}

async fn write_and_read_back(callers: &[Caller], name: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let (text, writer) = (format!("{name} {number}"), &callers[number % callers.len()]);
        let written = writer.patch(&label_path(1), &change(&text)).send().await;
        if written.error_kind() == Some(ErrorKind::StoreUnreachable) {
            continue;
        }
        written.assert_label(&text);
        for reader in callers {
            reader.get(&label_path(1)).send().await.assert_label(&text);
        }
    }
}

async fn a_write_is_seen_through_all(engine: Engine) {
    let fleet = TestFleet::start_with(engine, 3, patient).await;
    let (a, b) = (fleet.warm("a", 1).await, fleet.warm("b", 1).await);
    tokio::join!(write_and_read_back(&a, "a", 0..WRITES), write_and_read_back(&b, "b", 0..WRITES));
    assert!(fleet.label_reads() > 0);
}

#[tokio::test]
async fn a_write_through_one_replica_is_seen_by_the_very_next_read_through_the_others_by_redis() {
    a_write_is_seen_through_all(Engine::Redis).await;
}

#[tokio::test]
async fn a_write_through_one_replica_is_seen_by_the_very_next_read_through_the_others_by_valkey() {
    a_write_is_seen_through_all(Engine::Valkey).await;
}

/// What a write has not changed every replica goes on serving; what it has, none does, and the second tier neither.
#[tokio::test]
async fn a_write_through_one_replica_leaves_other_labels_at_all_of_them() {
    for engine in Engine::ALL {
        let fleet = TestFleet::start_with(engine, 2, patient).await;
        let callers = fleet.warm("a", 1).await;
        for caller in &callers {
            caller.get(&label_path(2)).send().await.assert_label("a-2");
            caller.get(LABELS).send().await.assert_status(200);
        }
        let reads = fleet.label_reads();
        callers[0].patch(&label_path(1), &change("changed")).send().await.assert_label("changed");
        for caller in &callers {
            caller.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
        }
        assert_eq!(fleet.label_reads(), reads);
        for caller in &callers {
            caller.get(&label_path(1)).send().await.assert_label("changed");
            assert!(caller.get(LABELS).send().await.text().contains("\"changed\""));
        }
    }
}

/// A cookie may have made it a write of anybody's, and its answer says nothing.
#[tokio::test]
async fn a_write_that_may_be_anybodys_is_told_as_one() {
    for engine in Engine::ALL {
        let fleet = TestFleet::start_with(engine, 2, patient).await;
        let (a, b) = (fleet.warm("a", 1).await, fleet.warm("b", 1).await);
        fleet.upstream.script(|request| (request.method == "PATCH").then(|| Answer::status(204)));
        let write = a[0].patch(&label_path(1), &change("of b")).field("cookie", "session=1");
        write.send().await.assert_status(204);
        fleet.vendor.put_label("b", 1, "of b");
        for reader in &b {
            reader.get(&label_path(1)).send().await.assert_label("of b");
        }
    }
}

#[tokio::test]
async fn no_read_is_older_than_an_answered_write_whatever_becomes_of_the_store() {
    for engine in Engine::ALL {
        let mut fleet = TestFleet::start_with(engine, 3, by_leases_alone).await;
        let callers = fleet.warm("a", 1).await;
        for round in 0..12 {
            let numbers = round * 20..(round + 1) * 20;
            match round % 4 {
                0 => drop(fleet.store.ask(&["FLUSHALL"])),
                1 => drop(fleet.store.ask(&["CLIENT", "KILL", "TYPE", "normal"])),
                2 => fleet.store.restart(),
                _ => fleet.store.freeze(),
            }
            write_and_read_back(&callers, "a", numbers.start..numbers.end - 10).await;
            if round % 4 == 3 {
                fleet.store.thaw();
            }
            for replica in &fleet.replicas {
                replica.has_lease().await;
            }
            write_and_read_back(&callers, "a", numbers.end - 10..numbers.end).await;
        }
    }
}

#[tokio::test]
async fn a_purge_says_which_replicas_have_confirmed_it() {
    let fleet = TestFleet::start_with(Engine::Valkey, 2, patient).await;
    let callers = fleet.warm("a", 1).await;
    let body = format!(r#"{{"organization":"{}"}}"#, organization("a"));
    let told = fleet.replicas[0].admin().post("/api/purge", &body).send().await.assert_status(200).json();
    assert_eq!(told["replicas"]["announced"], true, "{told}");
    assert_eq!(told["replicas"]["confirmed"].as_array().map(Vec::len), Some(2), "{told}");
    assert_eq!(told["replicas"]["silent"].as_array().map(Vec::len), Some(0), "{told}");
    // Its proof has ended at the other replica, too.
    callers[1].get(&label_path(1)).send().await.assert_proof();
}

#[tokio::test]
async fn a_key_that_one_replica_saw_refused_gets_nothing_from_the_memory_of_the_others() {
    let fleet = TestFleet::start(Engine::Redis, 2).await;
    let callers = fleet.warm("a", 1).await;
    fleet.vendor.revoke(&token("a", 1));
    callers[0].get(&label_path(2)).send().await.assert_status(401);
    patiently("the refusal to be heard of", async {
        while callers[1].get(&label_path(1)).send().await.status != 401 {}
    })
    .await;
}

#[tokio::test]
async fn a_replica_whose_store_is_gone_serves_goes_on_and_comes_back() {
    let mut fleet = TestFleet::start(Engine::Valkey, 2).await;
    let callers = fleet.warm("a", 1).await;
    fleet.store.kill();
    for replica in &fleet.replicas {
        replica.is_alone().await;
    }
    callers[0].get(&label_path(1)).send().await.assert_hit();
    callers[0].patch(&label_path(1), &change("alone")).send().await.assert_label("alone");
    callers[0].get(&label_path(1)).send().await.assert_label("alone");
    fleet.store.restart();
    for replica in &fleet.replicas {
        replica.has_lease().await;
    }
    patiently("the write to be heard of", async {
        while callers[1].get(&label_path(1)).send().await.label() != "alone" {}
    })
    .await;
    let unannounced = |status: &serde_json::Value| status["fleet"]["unannounced_writes"] == 0;
    fleet.replicas[0].until("nothing to be left to say", unannounced).await;
}

#[tokio::test]
async fn a_process_without_a_store_that_answers_starts_and_serves_alone() {
    let mut fleet = TestFleet::without_replicas(Engine::Redis);
    fleet.store.kill();
    let replica = fleet.replica(one_of_three);
    replica.is_alone().await;
    let limits = replica.admin().get("/api/status").send().await.json()["shield"]["limits"].clone();
    assert_eq!(limits, serde_json::json!({"per_second": 30, "per_minute": 1800}));
    let caller = replica.caller("a", 1);
    caller.get(&label_path(1)).send().await.assert_proof();
    caller.get(&label_path(1)).send().await.assert_hit();
    fleet.replicas.push(replica);
}

#[tokio::test]
async fn writes_are_refused_without_a_lease_where_that_is_configured() {
    let mut fleet = TestFleet::start_with(Engine::Redis, 1, by_leases_alone).await;
    let caller = fleet.warm("a", 1).await.remove(0);
    fleet.store.kill();
    fleet.replicas[0].is_alone().await;
    let refused = caller.patch(&label_path(1), &change("never")).send().await;
    refused.assert_error(ErrorKind::StoreUnreachable);
    caller.get(LABELS).send().await.assert_status(200);
}

#[tokio::test]
async fn a_write_whose_lease_ends_while_it_waits_for_its_turn_is_refused_where_that_is_configured() {
    let waiting = |config: &mut Config| {
        by_leases_alone(config);
        config.shield.max_wait = Duration::from_secs(15);
        // Less than the ten seconds of the hold, and more than a busy machine takes for a beat.
        if let Some(shared) = &mut config.shared {
            (shared.store.timeout, shared.lease) = (Duration::from_secs(1), Duration::from_secs(2));
        }
    };
    let mut fleet = TestFleet::start_with(Engine::Valkey, 1, waiting).await;
    let caller = fleet.warm("a", 1).await.remove(0);
    let limited = Answer::json(429, error(429, "slow down")).field("retry-after", "10");
    fleet.upstream.script(move |request| (request.target == CAMPAIGNS).then(|| limited.clone()));
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(429);
    let write = caller.patch(&label_path(1), &change("never")).spawn();
    let is_open = |status: &serde_json::Value| status["fleet"]["open_writes"] == 1;
    fleet.replicas[0].until("the write to be open", is_open).await;
    fleet.store.kill();
    write.await.expect("no panic").assert_error(ErrorKind::StoreUnreachable);
    assert_eq!(fleet.upstream.count_of(|request| request.method == "PATCH"), 0, "nothing is sent");
}

#[tokio::test]
async fn a_replica_that_leaves_holds_up_no_write() {
    let mut fleet = TestFleet::start_with(Engine::Valkey, 3, patient).await;
    let callers = fleet.warm("a", 1).await;
    drop(fleet.replicas.remove(2));
    let two = |status: &serde_json::Value| status["fleet"]["members"] == 2;
    fleet.replicas[0].until("the one that left to be gone", two).await;
    callers[0].patch(&label_path(1), &change("new")).send().await.assert_label("new");
    let shown = |status: &serde_json::Value| status["fleet"]["replicas"].as_array().map(Vec::len) == Some(2);
    fleet.replicas[0].until("two to be shown", shown).await;
}

/// As it takes nothing after a failover that it was cut off from: the Sentinels know of another by then.
#[tokio::test]
async fn a_primary_that_lost_its_replicas_is_left_and_found_again() {
    let fleet = TestFleet::start(Engine::Redis, 1).await;
    assert_eq!(fleet.store.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]), "OK");
    let given_up = |status: &serde_json::Value| status["fleet"]["store"].is_null();
    fleet.replicas[0].until("the link to be given up", given_up).await;
    assert_eq!(fleet.store.ask(&["CONFIG", "SET", "min-replicas-to-write", "0"]), "OK");
    fleet.replicas[0].has_lease().await;
}

#[tokio::test]
async fn status_and_explanation_tell_whether_a_replica_is_alone() {
    let leased_for_long = |config: &mut Config| {
        one_of_three(config);
        patient(config);
    };
    let mut fleet = TestFleet::start_with(Engine::Redis, 2, leased_for_long).await;
    let question = format!(
        r#"{{"method":"GET","path":"{}","headers":{{"Authorization":"Bearer {}"}}}}"#,
        label_path(1),
        token("a", 1)
    );
    let explained = async |fleet: &TestFleet| {
        let told = fleet.replicas[0].admin().post("/api/explain", &question).send().await;
        told.assert_status(200).json()["fleet"].clone()
    };
    assert_eq!(explained(&fleet).await, "leased");
    let two = |status: &serde_json::Value| status["fleet"]["replicas"].as_array().map(Vec::len) == Some(2);
    fleet.replicas[0].until("both to be shown", two).await;
    let limit = |status: &serde_json::Value, limit: u32| status["shield"]["limits"]["per_second"] == limit;
    let whole = |status: &serde_json::Value| status["fleet"]["members"] == 2 && limit(status, 90);
    fleet.replicas[0].until("the whole limit of two", whole).await;
    fleet.store.kill();
    fleet.replicas[0].is_alone().await;
    assert_eq!(explained(&fleet).await, "alone");
    fleet.replicas[0].until("the half of two that were seen", |status| limit(status, 45)).await;
}

#[tokio::test]
async fn a_process_whose_store_is_required_does_not_start_without_it() {
    let mut fleet = TestFleet::without_replicas(Engine::Redis);
    let required = |config: &mut Config| config.shared.as_mut().expect("it is set").required = true;
    fleet.add(required).await;
    fleet.store.kill();
    let Err(refused) = fleet.start_server(required) else { panic!("it started") };
    let refused = refused.to_string();
    assert!(refused.starts_with("shared.required is set, and the store cannot be used"), "{refused}");
}
