//! What is cut after any of its bytes, and a process that stands still in the middle of its work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use instantly_proxy::clock::Clock;
use instantly_proxy::error::ErrorKind;
use instantly_proxy::simulator::{Simulator, SimulatorConfig};
use serde_json::json;

use crate::support::labels::{LABELS, label, label_path};
use crate::support::{Answer, Serving, World, is_label_read, patiently};

/// F3, on HTTP/1.1: by length and in chunks.
#[tokio::test]
async fn an_answer_that_is_cut_after_any_of_its_bytes_is_an_error_and_never_stored() {
    let body = label("a", 1, "a-1");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let wholes = [
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()),
        format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
    ];
    for whole in wholes {
        let world = World::start();
        let (cut, cuts) = (Arc::new(Mutex::new(Answer::close())), Arc::new(AtomicUsize::new(0)));
        let (answer, counted) = (Arc::clone(&cut), Arc::clone(&cuts));
        world.upstream.script(move |request| {
            // A read may be tried once more.
            is_label_read(request).then(|| {
                counted.fetch_add(1, Ordering::SeqCst);
                answer.lock().expect("no panic").clone()
            })
        });
        let caller = world.caller("a", 1);
        for length in 0..whole.len() {
            *cut.lock().expect("no panic") = Answer::raw(&whole.as_bytes()[..length]).then_close();
            let before = cuts.load(Ordering::SeqCst);
            caller.get(&label_path(1)).send().await.assert_error(ErrorKind::BadUpstreamAnswer);
            assert!(cuts.load(Ordering::SeqCst) > before, "what came before byte {length} was stored");
        }
        world.upstream.clear_scripts();
        caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
        caller.get(&label_path(1)).send().await.assert_hit();
    }
}

/// F14: what came while it stood still is answered, and what it had stored and proved meanwhile grew old.
#[tokio::test]
async fn a_process_that_was_stopped_answers_what_came_meanwhile_and_finds_its_proofs_old() {
    let simulator = Simulator::start(SimulatorConfig::default(), Clock::system()).await.expect("a free port");
    let organization = &simulator.world().organizations()[0];
    let (secret, item) =
        (organization.keys()[0].secret(), format!("{LABELS}/{}", organization.labels()[0].id));
    let authorization = format!("Bearer {secret}");
    let question =
        json!({"method": "GET", "path": item, "headers": {"Authorization": authorization}}).to_string();
    let short = [("INSTANTLY_PROXY_PROOF__MAX_AGE", "8s")];
    let stopped = Serving::start(&simulator.url(), &short).await;
    let running = Serving::start(&simulator.url(), &short).await;
    // Proven at the same time, first the one that is stopped.
    let (first, second) = (stopped.caller(secret), running.caller(secret));
    first.get(&item).send().await.assert_status(200);
    first.get(&item).send().await.assert_hit();
    stopped.process.signal("STOP");
    second.get(&item).send().await.assert_status(200);
    let before = simulator.counters().recent().len();
    let asked = tokio::spawn(first.get(&item).send());
    // A question proves nothing anew.
    patiently("the end of the other's proof", async {
        loop {
            let told =
                running.operator().post("/api/explain", &question).send().await.assert_status(200).json();
            if told["decision"] != "hit" {
                break;
            }
        }
    })
    .await;
    stopped.process.signal("CONT");
    let reply = patiently("an answer", asked).await.expect("no panic");
    reply.assert_status(200);
    assert!(!reply.cache_status().starts_with("hit"), "a proof that stood still with its process: {reply:?}");
    assert!(simulator.counters().recent().len() > before, "the upstream was asked");
}
