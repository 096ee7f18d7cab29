//! What one replica has read or proved serves the others, and nothing else that the store may hold does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use instantly_proxy::clock::Clock;
use instantly_proxy::config::{Config, UpstreamDirectives};
use instantly_proxy::error::ErrorKind;

use crate::support::fleet::{Replica, TestFleet, patient};
use crate::support::labels::{LABELS, label, label_path, token};
use crate::support::store::Engine;
use crate::support::{Answer, Caller, Grants, Reply, patiently, together};

/// Stored responses; their locks lie beside them.
const ENTRIES: &str = "instantly-proxy:e1:*";
const PROOFS: &str = "instantly-proxy:p1:*";

/// What the store has under names of this kind, without locks.
fn stored(fleet: &TestFleet, names: &str) -> Vec<String> {
    let found = fleet.store.ask(&["KEYS", names]);
    found.lines().filter(|name| !name.is_empty() && !name.ends_with(":lock")).map(str::to_owned).collect()
}

/// The same, with lists read for their items.
fn listing(config: &mut Config) {
    patient(config);
    config.cache.list_fill = true;
}

/// Where a look-up that is given up would be one more call: an answer of the store may take as long as a machine stands
/// still.
fn unhurried(config: &mut Config) {
    let shared = config.shared.as_mut().expect("it is a fleet");
    (shared.store.timeout, shared.lease) = (Duration::from_secs(5), Duration::from_secs(10));
}

/// The same, with lists read for their items.
fn unhurriedly_listing(config: &mut Config) {
    unhurried(config);
    config.cache.list_fill = true;
}

/// So many replicas.
async fn fleet_of(engine: Engine, count: usize) -> TestFleet {
    TestFleet::start_with(engine, count, patient).await
}

/// Waits until so many entries and proofs are stored: they are told behind the answers.
async fn told(fleet: &TestFleet, entries: usize, proofs: usize) {
    let what = format!("{entries} entries and {proofs} proofs");
    patiently(&what, async {
        while (stored(fleet, ENTRIES).len(), stored(fleet, PROOFS).len()) != (entries, proofs) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The store's answer to a read that the replica itself has nothing for.
#[track_caller]
fn assert_shared(reply: &Reply, text: &str) {
    let status = reply.assert_label(text).cache_status();
    assert!(status.starts_with("hit; ttl=") && status.ends_with("; detail=shared"), "{status}");
    assert!(reply.field("age").is_some(), "{reply:?}");
}

/// One replica that has read label 1 of `a`, and told it, and how many reads that took.
async fn one_that_knows(engine: Engine) -> (TestFleet, usize) {
    let fleet = fleet_of(engine, 1).await;
    fleet.replicas[0].caller("a", 1).get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    told(&fleet, 1, 1).await;
    let reads = fleet.label_reads();
    (fleet, reads)
}

/// What a metric says at a replica.
async fn metric(replica: &Replica, name: &str, labels: &str) -> f64 {
    let text = replica.admin().get("/metrics").send().await.assert_status(200).text();
    let series = format!("{name}{{{labels}}} ");
    let line = text.lines().find(|line| line.starts_with(&series));
    line.map_or(0.0, |line| line[series.len()..].parse().expect("a number"))
}

/// How often a replica has asked the store for proofs, or to keep or take out some, and was answered.
async fn asked_of_proofs(replica: &Replica) -> f64 {
    metric(replica, "instantly_proxy_shared_operations_total", r#"operation="proof",result="answered""#).await
}

/// How often replicas have waited for another one's fetch.
async fn followed(fleet: &TestFleet) -> f64 {
    let mut sum = 0.0;
    for replica in &fleet.replicas {
        sum += metric(replica, "instantly_proxy_shared_lookups_total", r#"result="followed""#).await;
    }
    sum
}

#[tokio::test]
async fn a_new_replica_answers_proven_reads_without_an_upstream_call() {
    for engine in Engine::ALL {
        let (mut fleet, reads) = one_that_knows(engine).await;
        let new = fleet.add(patient).await;
        assert_shared(&new.caller("a", 1).get(&label_path(1)).send().await, "a-1");
        new.caller("a", 1).get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
        assert_eq!(metric(new, "instantly_proxy_shared_lookups_total", r#"result="hit""#).await, 1.0);
        assert_eq!(fleet.label_reads(), reads);
        // Another key of the organization is proved by itself, whatever is stored.
        let new = &fleet.replicas[1];
        new.caller("a", 2).get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
        new.caller("b", 1).get(&label_path(1)).send().await.assert_label("b-1").assert_proof();
        assert_eq!(fleet.label_reads(), reads + 2);
    }
}

#[tokio::test]
async fn the_list_of_one_replica_serves_every_label_at_the_others() {
    for engine in Engine::ALL {
        let fleet = TestFleet::start_with(engine, 1, listing).await;
        fleet.replicas[0].caller("a", 1).get(&label_path(1)).send().await.assert_label("a-1");
        // The list is read behind the first answer, to know whether the labels are for everybody.
        fleet.upstream.arrived(2).await;
        told(&fleet, 2, 1).await;
        let reads = fleet.label_reads();
        let mut fleet = fleet;
        let new = fleet.add(listing).await;
        for n in [2, 3, 1] {
            let reply = new.caller("a", 1).get(&label_path(n)).send().await;
            reply.assert_label(&format!("a-{n}"));
            assert!(reply.cache_status().starts_with("hit"), "{reply:?}");
        }
        assert_eq!(fleet.label_reads(), reads);
    }
}

#[tokio::test]
async fn a_write_shuts_out_what_the_store_has_from_before_it() {
    for engine in Engine::ALL {
        let mut fleet = fleet_of(engine, 2).await;
        let callers = fleet.warm("a", 1).await;
        for number in 0..20 {
            let text = format!("change {number}");
            let change = format!(r#"{{"label":"{text}"}}"#);
            callers[number % 2].patch(&label_path(1), &change).send().await.assert_label(&text);
            // It has nothing of its own: whatever it shows comes from the store, or from the API.
            if number % 5 == 0 {
                let new = fleet.add(patient).await;
                new.caller("a", 1).get(&label_path(1)).send().await.assert_label(&text);
            }
            for replica in &fleet.replicas {
                replica.caller("a", 1).get(&label_path(1)).send().await.assert_label(&text);
            }
        }
    }
}

#[tokio::test]
async fn a_write_of_one_label_leaves_what_the_store_has_of_the_others() {
    for engine in Engine::ALL {
        let (mut fleet, _) = one_that_knows(engine).await;
        let caller = fleet.replicas[0].caller("a", 1);
        caller.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
        caller.get(LABELS).send().await.assert_status(200).assert_miss();
        told(&fleet, 3, 1).await;
        caller.patch(&label_path(1), r#"{"label":"changed"}"#).send().await.assert_label("changed");
        let reads = fleet.label_reads();
        let new = fleet.add(patient).await.caller("a", 1);
        assert_shared(&new.get(&label_path(2)).send().await, "a-2");
        assert_eq!(fleet.label_reads(), reads);
        new.get(&label_path(1)).send().await.assert_label("changed").assert_miss();
        assert!(new.get(LABELS).send().await.assert_miss().text().contains("\"changed\""));
        assert_eq!(fleet.label_reads(), reads + 2);
    }
}

#[tokio::test]
async fn nothing_that_was_changed_cut_swapped_or_made_up_is_served() {
    for engine in Engine::ALL {
        let (mut fleet, mut reads) = one_that_knows(engine).await;
        let caller = fleet.replicas[0].caller("a", 1);
        caller.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
        told(&fleet, 2, 1).await;
        reads += 1;
        let [one, two] = &stored(&fleet, ENTRIES)[..] else { panic!("two entries") };
        let swap = "local a, b = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2]) \
                    redis.call('SET', KEYS[1], b) redis.call('SET', KEYS[2], a)";
        let flip = "local v = redis.call('GET', KEYS[1]) local at = math.floor(#v / 2) redis.call('SET', KEYS[1], \
                    v:sub(1, at) .. string.char((v:byte(at + 1) + 1) % 256) .. v:sub(at + 2))";
        let cut = "local v = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], v:sub(1, #v - 1))";
        for spoil in [
            [&["EVAL", swap, "2", one, two][..], &["PING"]],
            [&["EVAL", flip, "1", one], &["EVAL", flip, "1", two]],
            [&["EVAL", cut, "1", one], &["EVAL", cut, "1", two]],
            [&["SET", one, "made up"], &["SET", two, "made up"]],
        ] {
            for command in spoil {
                let answer = fleet.store.ask(command);
                assert!(!answer.starts_with('-'), "{answer}");
            }
            let new = fleet.add(patient).await;
            for n in [1, 2] {
                new.caller("a", 1)
                    .get(&label_path(n))
                    .send()
                    .await
                    .assert_label(&format!("a-{n}"))
                    .assert_miss();
            }
            let rejected =
                metric(new, "instantly_proxy_shared_rejected_total", r#"reason="unreadable""#).await;
            assert_eq!(rejected, 2.0);
            reads += 2;
            assert_eq!(fleet.label_reads(), reads);
        }
    }
}

#[tokio::test]
async fn replicas_that_miss_one_label_at_once_fetch_it_once() {
    for engine in Engine::ALL {
        let fleet = TestFleet::start_with(engine, 3, unhurried).await;
        let callers = fleet.warm("a", 1).await;
        let (before, waited) = (fleet.upstream.count(), followed(&fleet).await);
        let gate = fleet.upstream.hold(|request| request.target == label_path(2));
        let asked: Vec<_> = callers.iter().map(|caller| caller.get(&label_path(2)).spawn()).collect();
        gate.held(1).await;
        patiently("the others to follow", async { while followed(&fleet).await < waited + 2.0 {} }).await;
        gate.release();
        for reply in asked {
            reply.await.expect("it was answered").assert_label("a-2");
        }
        assert_eq!(fleet.upstream.count(), before + 1);
    }
}

/// R7: there is nothing to wait for.
#[tokio::test]
async fn a_label_that_the_api_says_not_to_store_is_fetched_by_every_replica_at_once() {
    for engine in Engine::ALL {
        let fleet = TestFleet::start_with(engine, 3, |config| {
            unhurried(config);
            config.cache.lead_labels.upstream_directives = UpstreamDirectives::Respect;
        })
        .await;
        let callers = fleet.warm("a", 1).await;
        fleet.upstream.script(|request| {
            let answer = || Answer::json(200, label("a", 2, "a-2")).field("cache-control", "no-store");
            request.is("GET", &label_path(2)).then(answer)
        });
        for caller in &callers {
            caller.get(&label_path(2)).send().await.assert_label("a-2").assert_unstored();
        }
        let gate = fleet.upstream.hold(|request| request.target == label_path(2));
        let asked: Vec<_> = callers.iter().map(|caller| caller.get(&label_path(2)).spawn()).collect();
        gate.held(3).await;
        gate.release();
        for reply in asked {
            reply.await.expect("it was answered").assert_label("a-2");
        }
    }
}

#[tokio::test]
async fn a_fetch_that_fails_at_one_replica_is_the_next_ones() {
    for engine in Engine::ALL {
        let fleet = fleet_of(engine, 2).await;
        let callers = fleet.warm("a", 1).await;
        let failed = AtomicBool::new(false);
        fleet.upstream.script(move |request| {
            let first = request.target == label_path(2) && !failed.swap(true, Ordering::SeqCst);
            first.then(|| Answer::json(400, r#"{"message":"no"}"#))
        });
        let replies = together(2, |at| callers[at].get(&label_path(2)).send()).await;
        let answered = replies.iter().filter(|reply| reply.status == 200).count();
        assert!(answered >= 1, "{replies:?}");
    }
}

#[tokio::test]
async fn a_client_that_asks_for_a_younger_answer_is_not_answered_from_the_store() {
    for engine in Engine::ALL {
        let (mut fleet, reads) = one_that_knows(engine).await;
        let new = fleet.add(patient).await;
        let caller = new.caller("a", 1);
        caller.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_miss();
        assert_eq!(fleet.label_reads(), reads + 1);
    }
}

#[tokio::test]
async fn a_label_that_one_replica_finds_gone_is_gone_at_the_others() {
    for engine in Engine::ALL {
        let (mut fleet, _) = one_that_knows(engine).await;
        fleet.add(patient).await;
        let callers = fleet.callers("a", 1);
        assert_shared(&callers[1].get(&label_path(1)).send().await, "a-1");
        fleet.vendor.remove_label("a", 1);
        let again = callers[0].get(&label_path(1)).field("cache-control", "no-cache");
        again.send().await.assert_status(404);
        patiently("the others to hear of it", async {
            while callers[1].get(&label_path(1)).send().await.status != 404 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let new = fleet.add(patient).await;
        new.caller("a", 1).get(&label_path(1)).send().await.assert_status(404);
    }
}

#[tokio::test]
async fn grants_that_one_replica_is_shown_end_the_sharing_of_all() {
    for engine in Engine::ALL {
        let mut fleet = fleet_of(engine, 2).await;
        for n in [1, 2] {
            fleet.warm("a", n).await;
        }
        fleet.vendor.own("a", Grants::Everywhere);
        fleet.vendor.hide(&token("a", 2), 1);
        // The vendor shows key 1 who may see its labels; key 2, which may not see label 1, asks the other replica.
        fleet.replicas[0].caller("a", 1).get(&label_path(3)).send().await.assert_label("a-3");
        let other = fleet.replicas[1].caller("a", 2);
        patiently("the others to hear of it", async {
            while other.get(&label_path(1)).send().await.status != 404 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let new = fleet.add(patient).await;
        new.caller("a", 1).get(&label_path(1)).send().await.assert_label("a-1");
        new.caller("a", 2).get(&label_path(1)).send().await.assert_status(404);
    }
}

#[tokio::test]
async fn a_refusal_that_one_replica_meets_ends_the_proofs_of_all_and_the_one_in_the_store() {
    for engine in Engine::ALL {
        let fleet = fleet_of(engine, 2).await;
        let callers = fleet.warm("a", 1).await;
        told(&fleet, 1, 1).await;
        let old = stored(&fleet, PROOFS);
        fleet.store.ask(&["COPY", &old[0], "kept"]);
        let before = asked_of_proofs(&fleet.replicas[1]).await;
        fleet.vendor.revoke(&token("a", 1));
        callers[0].get(&label_path(3)).send().await.assert_status(401);
        patiently("the others to hear of it", async {
            while callers[1].get(&label_path(1)).send().await.status != 401 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        told(&fleet, 1, 0).await;
        // The other one has looked for a proof, met the refusal, too, and takes out what there is, behind its answer.
        patiently("both to have taken it out", async {
            while asked_of_proofs(&fleet.replicas[1]).await < before + 2.0 {}
        })
        .await;
        // Played again, it is from before the refusal, of which a new replica reads in the log.
        let mut fleet = fleet;
        fleet.store.ask(&["COPY", "kept", &old[0]]);
        let new = fleet.add(patient).await;
        new.caller("a", 1).get(&label_path(1)).send().await.assert_status(401);
        let rejected = metric(new, "instantly_proxy_shared_rejected_total", r#"reason="superseded""#).await;
        assert!(rejected >= 1.0, "{rejected}");
    }
}

/// The key has moved: what one replica has proved it by serves it at none.
#[tokio::test]
async fn an_organization_that_an_answer_contradicts_comes_back_neither_from_the_store_nor_from_other_replicas()
 {
    for engine in Engine::ALL {
        let mut fleet = fleet_of(engine, 2).await;
        let callers = fleet.warm("a", 1).await;
        told(&fleet, 1, 1).await;
        fleet.vendor.admit(&token("a", 1), "b");
        callers[0].get(&label_path(2)).send().await.assert_error(ErrorKind::MixedUpAnswer);
        callers[0].get(&label_path(1)).send().await.assert_label("b-1").assert_proof();
        patiently("the other to hear of it", async {
            while !callers[1].get(&label_path(1)).send().await.text().contains("b-1") {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let new = fleet.add(patient).await;
        new.caller("a", 1).get(&label_path(1)).send().await.assert_label("b-1");
    }
}

#[tokio::test]
async fn a_store_that_stands_still_costs_no_answer() {
    for engine in Engine::ALL {
        let fleet = fleet_of(engine, 2).await;
        let callers = fleet.warm("a", 1).await;
        fleet.store.freeze();
        for n in [1, 2, 3] {
            for caller in &callers {
                caller.get(&label_path(n)).send().await.assert_label(&format!("a-{n}"));
            }
        }
        fleet.store.thaw();
    }
}

/// Whether proofs are shared, and then none of the replicas shares them.
#[tokio::test]
async fn proofs_are_each_replicas_own_where_they_are_not_to_be_shared() {
    for engine in Engine::ALL {
        let change = |config: &mut Config| {
            patient(config);
            config.shared.as_mut().expect("it is a fleet").share_proofs = false;
        };
        let fleet = TestFleet::start_with(engine, 2, change).await;
        for caller in fleet.callers("a", 1) {
            caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
        }
        assert_eq!(stored(&fleet, PROOFS), [""; 0]);
    }
}

#[tokio::test]
async fn one_replica_renews_a_proof_for_all() {
    let renewed = async |engine| {
        let change = |config: &mut Config| {
            unhurried(config);
            config.proof.max_age = Duration::from_secs(12);
            config.proof.outage_max_age = Duration::from_secs(12);
        };
        let fleet = TestFleet::start_with(engine, 3, change).await;
        let (callers, clock) = (fleet.callers("a", 1), Clock::system());
        let begun = clock.now();
        // One to begin with, and then one in three quarters of its age.
        while fleet.label_reads() < 3 {
            for caller in &callers {
                caller.get(&label_path(1)).send().await.assert_label("a-1");
            }
        }
        let took = clock.now().since(begun);
        assert!(took >= Duration::from_secs(16), "{engine:?}: two renewals in {took:?}");
    };
    let [one, other] = Engine::ALL;
    tokio::join!(renewed(one), renewed(other));
}

const ORGANIZATIONS: usize = 20;
const KEYS: u32 = 5;
const READS: usize = 20_000;

/// So many cold replicas read labels and lists of 20 organizations with 5 keys each; how many calls that costs.
async fn cost(engine: Engine, replicas: usize) -> usize {
    let fleet = TestFleet::start_with(engine, replicas, unhurriedly_listing).await;
    let names: Vec<_> = (0..ORGANIZATIONS).map(|number| format!("c{number}")).collect();
    for name in &names {
        for n in 1..=KEYS {
            fleet.vendor.put_label(name, n, &format!("{name}-{n}"));
            fleet.vendor.admit(&token(name, n), name);
        }
    }
    let mut callers: Vec<(String, Caller)> = Vec::new();
    for key in 1..=KEYS {
        for name in &names {
            for replica in &fleet.replicas {
                callers.push((name.clone(), replica.caller(name, key)));
            }
        }
    }
    let rounds = READS / callers.len();
    for some in (0..rounds).collect::<Vec<_>>().chunks(rounds.div_ceil(10)) {
        read(&callers, some).await;
    }
    fleet.label_reads()
}

/// Each of them reads once in each round.
async fn read(callers: &[(String, Caller)], rounds: &[usize]) {
    together(callers.len(), |number| {
        let ((name, caller), rounds) = (callers[number].clone(), rounds.to_vec());
        async move {
            for round in rounds {
                let n = u32::try_from((number + round) % 5).expect("small") + 1;
                if round % 7 == 6 {
                    caller.get(&format!("{LABELS}?limit=100")).send().await.assert_status(200);
                } else {
                    caller.get(&label_path(n)).send().await.assert_label(&format!("{name}-{n}"));
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn three_cold_replicas_cost_what_one_process_costs() {
    for engine in Engine::ALL {
        let (one, three) = (cost(engine, 1).await, cost(engine, 3).await);
        assert!(three * 10 <= one * 11, "{three} calls of three, {one} of one");
    }
}
