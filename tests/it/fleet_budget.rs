//! One budget for all replicas, over sockets with a real store: what one replica does not use another may, and all of them
//! together keep the limit.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use instantly_proxy::config::Config;

use crate::support::fleet::TestFleet;
use crate::support::labels::CAMPAIGNS;
use crate::support::store::Engine;
use crate::support::{Caller, Reply};

/// Less than the three seconds that 180 calls take by one limit of sixty a second, and twice what they take by three of them.
/// From the first call's leaving to the last one's arrival it can only take longer on a busy machine.
const BY_ONE_LIMIT: Duration = Duration::from_secs(2);

fn sixty_a_second(config: &mut Config) {
    config.shield.requests_per_second = NonZeroU32::new(60).expect("not zero");
    config.shield.requests_per_minute = NonZeroU32::new(3600).expect("not zero");
    config.shield.max_wait = Duration::from_secs(10);
    // An answer that the machine under the test keeps for 50 ms is no fault of the store: for one that is late a call takes
    // from its replica's share.
    if let Some(shared) = &mut config.shared {
        (shared.store.timeout, shared.lease) = (Duration::from_millis(200), Duration::from_secs(1));
    }
}

/// Calls that leave at once and wait for their turn.
fn spawn(caller: &Caller, count: usize) -> Vec<tokio::task::JoinHandle<Reply>> {
    (0..count).map(|_| caller.get(CAMPAIGNS).field("prefer", "wait=10").spawn()).collect()
}

/// When the last call arrived at the upstream.
#[expect(clippy::disallowed_methods, reason = "the upstream's time is the machine's")]
fn last_arrival(fleet: &TestFleet) -> Arc<Mutex<Instant>> {
    let last = Arc::new(Mutex::new(Instant::now()));
    let noted = Arc::clone(&last);
    fleet.upstream.script(move |request| {
        if request.target == CAMPAIGNS {
            *noted.lock().expect("nobody panics") = Instant::now();
        }
        None
    });
    last
}

#[tokio::test]
async fn three_replicas_together_keep_the_limit_and_one_alone_may_use_it() {
    for engine in Engine::ALL {
        let fleet = TestFleet::start_with(engine, 3, sixty_a_second).await;
        let callers = fleet.warm("a", 1).await;
        let last = last_arrival(&fleet);
        let begun = *last.lock().expect("nobody panics");
        let calls: Vec<_> = callers.iter().flat_map(|caller| spawn(caller, 60)).collect();
        for call in calls {
            call.await.expect("no panic").assert_status(200);
        }
        let took = last.lock().expect("nobody panics").duration_since(begun);
        assert!(took >= BY_ONE_LIMIT, "{engine:?}: 180 calls in {took:?}");
        // What is told of a wait goes by the distance of this replica's last moments, and three have just taken turns: by
        // these it learns that it is alone with the account.
        for call in spawn(&callers[0], 30) {
            call.await.expect("no panic").assert_status(200);
        }
        // By a share of twenty a second no more than 220 of these would have gone in time. All of them take 5 s by the whole
        // limit.
        for call in spawn(&callers[0], 300) {
            call.await.expect("no panic").assert_status(200);
        }
    }
}
