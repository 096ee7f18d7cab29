//! A stop loses nothing that could still be answered, and ends in time whatever its clients do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use instantly_proxy::clock::Clock;
use instantly_proxy::config::WriteInvalidates;
use instantly_proxy::server::Shutdown;
use instantly_proxy::simulator::{Aim, Fault, Gate, Limits, Operation, Simulator, SimulatorConfig};

use crate::support::labels::{CAMPAIGNS, LABELS, label_path};
use crate::support::{Caller, Serving, World, patiently};

async fn simulator() -> Simulator {
    let config = SimulatorConfig { limits: Limits::NONE, ..SimulatorConfig::default() };
    Simulator::start(config, Clock::system()).await.expect("a free port")
}

/// A proxy with this drain delay and time-out, a client of it, and a label that exists.
async fn serving(simulator: &Simulator, delay: &str, timeout: &str) -> (Serving, Caller, String) {
    let environment =
        [("INSTANTLY_PROXY_LISTEN__DRAIN_DELAY", delay), ("INSTANTLY_PROXY_LISTEN__DRAIN_TIMEOUT", timeout)];
    let serving = Serving::start(&simulator.url(), &environment).await;
    let organization = &simulator.world().organizations()[0];
    let caller = serving.caller(organization.keys()[0].secret());
    (serving, caller, format!("{LABELS}/{}", organization.labels()[0].id))
}

fn hold_campaigns(simulator: &Simulator) -> Gate {
    let gate = Gate::new();
    let aim = Aim::everything().operation(Operation::ListCampaigns);
    simulator.faults().arm(aim, Fault::HoldAnswer(gate.clone()));
    gate
}

async fn until_unready(operator: &Caller) {
    patiently("the end of readiness", async { while operator.get("/readyz").send().await.status != 503 {} })
        .await;
}

/// Asks again and again until the port is closed; says how many were answered. Any other failure is one too many.
async fn ask_until_closed(caller: Caller, target: String, answered: Arc<AtomicUsize>) {
    loop {
        match caller.get(&target).attempt().await {
            Ok(reply) => {
                reply.assert_status(200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(fault) => {
                assert!(fault.contains("Connection refused"), "a request failed: {fault}");
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_terminated_process_under_load_fails_no_request_and_cuts_none() {
    let simulator = simulator().await;
    let (serving, caller, item) = serving(&simulator, "8s", "15s").await;
    caller.get(&item).send().await.assert_status(200);
    let answered = Arc::new(AtomicUsize::new(0));
    let loads: Vec<_> = (0..8)
        .map(|n| {
            let target =
                if n % 4 == 0 { "/api/v2/sim/download?bytes=300000".to_owned() } else { item.clone() };
            // A clone would share its connections, and one client could meet the end of another's.
            let own = serving.caller(simulator.world().organizations()[0].keys()[0].secret());
            tokio::spawn(ask_until_closed(own, target, Arc::clone(&answered)))
        })
        .collect();
    let gate = hold_campaigns(&simulator);
    let slow = caller.get(CAMPAIGNS).spawn();
    patiently("a slow call", gate.arrived(1)).await;
    let before = answered.load(Ordering::Relaxed);
    serving.process.signal("TERM");
    until_unready(&serving.operator()).await;
    assert!(loads.iter().all(|load| !load.is_finished()), "readiness ends first, and accepting later");
    for load in loads {
        load.await.expect("no request failed");
    }
    assert!(answered.load(Ordering::Relaxed) > before, "it served on while it was draining");
    assert!(!slow.is_finished(), "the slow call is still under way");
    gate.release();
    slow.await.expect("no panic").assert_status(200);
    assert_eq!(serving.process.ended().await, Some(0), "{}", serving.process.stderr());
}

#[tokio::test]
async fn a_drain_that_runs_out_of_time_ends_well_and_tells_what_it_cut() {
    let simulator = simulator().await;
    let (serving, caller, _) = serving(&simulator, "0s", "500ms").await;
    let gate = hold_campaigns(&simulator);
    let cut = AtomicBool::new(false);
    let (outcome, ()) = tokio::join!(caller.get(CAMPAIGNS).attempt(), async {
        patiently("a slow call", gate.arrived(1)).await;
        serving.process.signal("TERM");
        assert_eq!(serving.process.ended().await, Some(0));
        cut.store(true, Ordering::SeqCst);
    });
    assert!(outcome.is_err() && cut.load(Ordering::SeqCst), "{outcome:?}");
    let line = serving.process.logged("connections were cut with a request under way").await;
    assert_eq!(line["connections"], 1);
}

#[tokio::test]
async fn an_interrupted_process_drains_without_the_delay() {
    let simulator = simulator().await;
    let (serving, caller, item) = serving(&simulator, "1h", "15s").await;
    caller.get(&item).send().await.assert_status(200);
    serving.process.signal("INT");
    assert_eq!(serving.process.ended().await, Some(0));
    assert!(caller.get(&item).attempt().await.is_err());
}

#[tokio::test]
async fn a_terminated_process_can_be_hurried_by_an_interrupt() {
    let simulator = simulator().await;
    let (serving, caller, item) = serving(&simulator, "1h", "15s").await;
    serving.process.signal("TERM");
    serving.process.logged("stopping").await;
    caller.get(&item).send().await.assert_status(200);
    serving.process.signal("INT");
    assert_eq!(serving.process.ended().await, Some(0));
}

#[tokio::test]
async fn a_second_interrupt_ends_the_process_at_once() {
    let simulator = simulator().await;
    let (serving, caller, _) = serving(&simulator, "1h", "1h").await;
    let gate = hold_campaigns(&simulator);
    let slow = tokio::spawn(caller.get(CAMPAIGNS).attempt());
    patiently("a slow call", gate.arrived(1)).await;
    serving.process.signal("INT");
    serving.process.logged("stopping").await;
    serving.process.signal("INT");
    assert_eq!(serving.process.ended().await, Some(1));
    assert!(slow.await.expect("no panic").is_err());
}

#[tokio::test]
async fn a_draining_process_answers_hits_and_stores_no_fill_that_began_after_the_signal() {
    let world = World::start_with(|config| {
        config.listen.drain_delay = Duration::from_secs(3600);
        config.cache.write_invalidates = WriteInvalidates::Organization;
    });
    let caller = world.proven("a", 1).await;
    let gate = world.upstream.hold(|request| request.target == label_path(3));
    let early = caller.get(&label_path(3)).spawn();
    gate.held(1).await;
    world.proxy.shutdown(Shutdown::Graceful);
    until_unready(world.proxy.operator()).await;
    let hit = caller.get(&label_path(1)).send().await;
    hit.assert_label("a-1").assert_hit();
    assert_eq!(hit.field("connection"), Some("close"), "clients are asked to go elsewhere");
    for _ in 0..2 {
        caller.get(&label_path(2)).send().await.assert_label("a-2").assert_unstored();
    }
    gate.release();
    early.await.expect("no panic").assert_label("a-3");
    world.vendor.put_label("a", 1, "later");
    caller.patch(&label_path(2), r#"{"label":"changed"}"#).send().await.assert_label("changed");
    caller.get(&label_path(1)).send().await.assert_label("later").assert_unstored();
}
