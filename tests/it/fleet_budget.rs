//! One budget for all replicas, over sockets with a real store: what one replica does not use another may, and all of them
//! together keep the limit.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use instantly_proxy::config::Config;

use crate::support::fleet::{TestFleet, patient};
use crate::support::labels::CAMPAIGNS;
use crate::support::store::Engine;
use crate::support::{Caller, Reply};

fn sixty_a_second(config: &mut Config) {
    config.shield.requests_per_second = NonZeroU32::new(60).expect("not zero");
    config.shield.requests_per_minute = NonZeroU32::new(3600).expect("not zero");
    config.shield.max_wait = Duration::from_secs(10);
}

/// For a late answer of the store a call takes from its replica's share, and all together may pass the limit: here none is late.
fn whose_store_is_waited_for(config: &mut Config) {
    sixty_a_second(config);
    patient(config);
}

/// Those that are gone cost a replica their share for no longer than four seconds.
fn soon_alone(config: &mut Config) {
    sixty_a_second(config);
    // An answer that the machine under the test keeps for a moment is no fault of the store.
    if let Some(shared) = &mut config.shared {
        (shared.store.timeout, shared.lease) = (Duration::from_secs(1), Duration::from_secs(4));
    }
}

/// Calls that leave at once and wait for their turn.
fn spawn(caller: &Caller, count: usize) -> Vec<tokio::task::JoinHandle<Reply>> {
    (0..count).map(|_| caller.get(CAMPAIGNS).field("prefer", "wait=10").spawn()).collect()
}

/// When calls arrived at the upstream, since now.
#[expect(clippy::disallowed_methods, reason = "the upstream's time is the machine's")]
fn arrivals(fleet: &TestFleet) -> Arc<Mutex<Vec<Duration>>> {
    let (begun, arrived) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&arrived);
    fleet.upstream.script(move |request| {
        if request.target == CAMPAIGNS {
            noted.lock().expect("nobody panics").push(begun.elapsed());
        }
        None
    });
    arrived
}

#[tokio::test]
async fn three_replicas_together_keep_the_limit() {
    for engine in Engine::ALL {
        let fleet = TestFleet::start_with(engine, 3, whose_store_is_waited_for).await;
        let callers = fleet.warm("a", 1).await;
        let arrived = arrivals(&fleet);
        let calls: Vec<_> = callers.iter().flat_map(|caller| spawn(caller, 60)).collect();
        for call in calls {
            call.await.expect("no panic").assert_status(200);
        }
        let mut times = std::mem::take(&mut *arrived.lock().expect("nobody panics"));
        times.sort_unstable();
        assert_eq!(times.len(), 180);
        // Sixty leave in each second. Each arrives a little later than it leaves, however busy the machine is, and never earlier.
        for (seconds, at) in (1..).zip(times.iter().skip(60).step_by(60)) {
            assert!(
                *at >= Duration::from_secs(seconds),
                "{engine:?}: {seconds} times sixty and one in {at:?}"
            );
        }
    }
}

#[tokio::test]
async fn one_replica_alone_may_use_the_whole_limit() {
    for engine in Engine::ALL {
        let fleet = TestFleet::start_with(engine, 3, soon_alone).await;
        let callers = fleet.warm("a", 1).await;
        let calls: Vec<_> = callers.iter().flat_map(|caller| spawn(caller, 60)).collect();
        for call in calls {
            call.await.expect("no panic").assert_status(200);
        }
        // What is told of a wait goes by the distance of this replica's last moments, and three have just taken turns: by
        // these it learns that it is alone with the account.
        for call in spawn(&callers[0], 30) {
            call.await.expect("no panic").assert_status(200);
        }
        // By a share of twenty a second no more than 220 of these would have gone in time. All of them take 6.5 s by the whole
        // limit.
        for call in spawn(&callers[0], 260) {
            call.await.expect("no panic").assert_status(200);
        }
    }
}
