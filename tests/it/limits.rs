//! The budget: what leaves in a second and in a minute, who waits, and for how long. `accounts` has who shares one.
//!
//! Time moves in steps, and between two steps every call is either answered or in the queue: so what has arrived
//! upstream by the end of a step has left in it.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use instantly_proxy::config::Config;
use instantly_proxy::error::ErrorKind;
use tokio::task::JoinHandle;

use crate::support::labels::{CAMPAIGNS, label_path, token};
use crate::support::{Caller, Reply, World, patiently};

/// A step of time: twenty of them are a second.
const STEP: Duration = Duration::from_millis(50);
const STEPS_A_SECOND: usize = 20;

pub(super) fn per_second(limit: u32) -> impl FnOnce(&mut Config) {
    move |config| {
        config.cache.list_fill = false;
        config.shield.requests_per_second = NonZeroU32::new(limit).expect("not zero");
    }
}

/// A caller whose organization is known, with nothing spent in the last minute.
pub(super) async fn bound(world: &World, name: &str, n: u32) -> Caller {
    let caller = world.proven(name, n).await;
    world.proxy.advance_seconds(62);
    caller
}

/// Both, with nothing spent in the last minute.
pub(super) async fn both_bound(world: &World, one: (&str, u32), other: (&str, u32)) -> (Caller, Caller) {
    let first = bound(world, one.0, one.1).await;
    (first, bound(world, other.0, other.1).await)
}

pub(super) async fn assert_goes(caller: &Caller) {
    caller.get(CAMPAIGNS).field("prefer", "wait=0").send().await.assert_status(200);
}

pub(super) async fn assert_over_budget(caller: &Caller) {
    caller.get(CAMPAIGNS).field("prefer", "wait=0").send().await.assert_error(ErrorKind::OverBudget);
}

async fn queued(world: &World) -> usize {
    let queued = world.proxy.metric("instantly_proxy_shield_queued", &[]).await;
    queued as usize
}

/// Waits until this many calls wait in queues.
#[track_caller]
fn queue_has(world: &World, count: usize) -> impl Future<Output = ()> + '_ {
    patiently("calls to wait in the queue", async move { while queued(world).await != count {} })
}

/// Calls under way, each in a task of its own.
#[derive(Default)]
struct Load {
    calls: Vec<JoinHandle<Reply>>,
    done: Arc<AtomicUsize>,
}

impl Load {
    fn offer(&mut self, caller: &Caller, count: usize) {
        for _ in 0..count {
            let (call, done) = (caller.get(CAMPAIGNS).send(), Arc::clone(&self.done));
            self.calls.push(tokio::spawn(async move {
                let reply = call.await;
                done.fetch_add(1, Ordering::SeqCst);
                reply
            }));
        }
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    async fn replies(self) -> Vec<Reply> {
        let mut replies = Vec::new();
        for call in self.calls {
            replies.push(call.await.expect("no panic"));
        }
        replies
    }
}

/// Time that goes on in steps, each of which ends when the proxy has done what there was to do in it.
pub(super) struct Steps<'a> {
    world: &'a World,
    /// On every worker a few.
    connections: Vec<Caller>,
}

impl<'a> Steps<'a> {
    /// To be called before others connect, so that every worker gets its part.
    pub(super) async fn begin(world: &'a World) -> Self {
        let steps = Self { world, connections: (0..8).map(|_| world.proxy.anonymous()).collect() };
        steps.pass_workers().await;
        steps
    }

    async fn step(&self, loads: &[&Load]) {
        self.world.proxy.advance(STEP);
        self.settle(loads).await;
    }

    /// Waits until every timer that is due has been heard, and every call is answered or waits in a queue.
    async fn settle(&self, loads: &[&Load]) {
        // One that wakes may wake others on another worker.
        for _ in 0..3 {
            self.pass_workers().await;
        }
        patiently("every call to be answered or queued", async {
            let offered: usize = loads.iter().map(|load| load.calls.len()).sum();
            while done(loads) + queued(self.world).await != offered {}
        })
        .await;
    }

    /// What a worker was told before it answers has been heard.
    pub(super) async fn pass_workers(&self) {
        for connection in &self.connections {
            connection.request("OPTIONS", CAMPAIGNS).send().await.assert_error(ErrorKind::MethodNotAllowed);
        }
    }

    /// Lets time go on until every call is answered; the largest number that arrived upstream in any second from when
    /// `before` had arrived.
    async fn fullest_second(&self, loads: &[&Load], mut before: usize) -> usize {
        let mut arrived: VecDeque<usize> = VecDeque::new();
        let mut fullest = 0;
        self.settle(loads).await;
        loop {
            arrived.push_back(self.world.upstream.count() - before);
            before = self.world.upstream.count();
            if arrived.len() > STEPS_A_SECOND {
                arrived.pop_front();
            }
            fullest = fullest.max(arrived.iter().sum());
            if loads.iter().all(|load| load.done() == load.calls.len()) {
                return fullest;
            }
            self.step(loads).await;
        }
    }
}

fn done(loads: &[&Load]) -> usize {
    loads.iter().map(|load| load.done()).sum()
}

#[tokio::test]
async fn no_second_has_more_calls_than_its_limit_and_whoever_waits_is_served() {
    let world = World::start_shielded_with(|config| {
        per_second(5)(config);
        config.shield.max_wait = Duration::from_secs(20);
    });
    let steps = Steps::begin(&world).await;
    let caller = bound(&world, "a", 1).await;
    let (mut load, before) = (Load::default(), world.upstream.count());
    load.offer(&caller, 40);
    let fullest = steps.fullest_second(&[&load], before).await;
    assert_eq!(fullest, 5);
    for reply in load.replies().await {
        reply.assert_status(200);
    }
}

#[tokio::test]
async fn no_minute_has_more_calls_than_its_limit() {
    let world = World::start_shielded_with(|config| {
        config.shield.requests_per_minute = NonZeroU32::new(6).expect("not zero");
    });
    let caller = bound(&world, "a", 1).await;
    let before = world.upstream.count();
    for _ in 0..120 {
        let _ = caller.get(CAMPAIGNS).field("prefer", "wait=0").attempt().await;
        world.proxy.advance(Duration::from_millis(500));
    }
    assert_eq!(world.upstream.count() - before, 6);
    world.proxy.advance_seconds(2);
    assert_goes(&caller).await;
}

#[tokio::test]
async fn a_caller_with_few_calls_has_its_turn_among_those_of_one_with_many() {
    let world = World::start_shielded_with(|config| {
        per_second(5)(config);
        config.shield.max_wait = Duration::from_secs(20);
    });
    let steps = Steps::begin(&world).await;
    let (many, few) = both_bound(&world, ("a", 1), ("a", 2)).await;
    let (mut flood, mut trickle) = (Load::default(), Load::default());
    flood.offer(&many, 40);
    steps.settle(&[&flood]).await;
    trickle.offer(&few, 2);
    steps.settle(&[&flood, &trickle]).await;
    // The window is a little longer than a second, and a call that connects may miss a step of time that it takes none of.
    for _ in 0..STEPS_A_SECOND + 2 {
        steps.step(&[&flood, &trickle]).await;
    }
    assert_eq!(trickle.done(), 2, "two steps behind a second both have gone");
    assert!(flood.done() <= 9, "{}", flood.done());
    steps.fullest_second(&[&flood, &trickle], world.upstream.count()).await;
    for reply in flood.replies().await {
        reply.assert_status(200);
    }
}

#[tokio::test]
async fn who_does_not_want_to_wait_is_told_at_once_when_to_come_again() {
    let world = World::start_shielded_with(per_second(2));
    let caller = bound(&world, "a", 1).await;
    assert_goes(&caller).await;
    world.proxy.advance(Duration::from_millis(300));
    assert_goes(&caller).await;
    let before = world.upstream.count();
    let reply = caller.get(CAMPAIGNS).field("prefer", "wait=0").send().await;
    reply.assert_error(ErrorKind::OverBudget);
    assert_eq!(reply.field("preference-applied"), Some("wait=0"));
    assert_eq!(reply.field("retry-after"), Some("1"));
    assert_eq!(world.upstream.count(), before);
    world.proxy.advance_window();
    assert_goes(&caller).await;
}

#[tokio::test]
async fn a_label_read_has_the_same_say() {
    let world = World::start_shielded_with(per_second(1));
    let caller = bound(&world, "a", 1).await;
    assert_goes(&caller).await;
    let reply = caller.get(&label_path(2)).field("prefer", "wait=0").send().await;
    reply.assert_error(ErrorKind::OverBudget);
    assert_eq!(reply.field("preference-applied"), Some("wait=0"));
    assert_eq!(reply.field("retry-after"), Some("2"));
}

#[tokio::test]
async fn retry_after_tells_the_truth_about_the_minute() {
    let world = World::start_shielded_with(|config| {
        config.shield.requests_per_minute = NonZeroU32::new(1).expect("not zero");
    });
    let caller = bound(&world, "a", 1).await;
    assert_goes(&caller).await;
    world.proxy.advance_seconds(20);
    let reply = caller.get(CAMPAIGNS).send().await;
    reply.assert_error(ErrorKind::OverBudget);
    let seconds: u64 = reply.field("retry-after").expect("a wait").parse().expect("seconds");
    assert!((41..=42).contains(&seconds), "{seconds}");
    world.proxy.advance_seconds(seconds);
    assert_goes(&caller).await;
}

#[tokio::test]
async fn a_caller_waits_as_long_as_it_says_and_no_longer_than_the_operator_allows() {
    // (Prefer, calls that fit at one in a little over a second, what is applied)
    let rows = [
        (None, 4, None),
        (Some("wait=2"), 2, Some("wait=2")),
        (Some("wait=60"), 4, Some("wait=4")),
        (Some("respond-async, wait=2"), 2, Some("wait=2")),
        (Some("wait=soon"), 4, None),
        (Some("wait=-1"), 4, None),
        (Some("wait"), 4, None),
        (Some("return=minimal"), 4, None),
        (Some("\"=;,,="), 4, None),
    ];
    for (prefer, fit, applied) in rows {
        let world = World::start_shielded_with(|config| {
            per_second(1)(config);
            config.shield.max_wait = Duration::from_secs(4);
        });
        let caller = bound(&world, "a", 1).await;
        let mut calls = Vec::new();
        for n in 0..5 {
            let call = caller.get(CAMPAIGNS);
            let call = match prefer {
                Some(prefer) => call.field("prefer", prefer),
                None => call,
            };
            calls.push(call.spawn());
            if n < fit {
                let waiting = usize::try_from(n).expect("small");
                queue_has(&world, waiting).await;
                world.upstream.arrived(2).await;
            }
        }
        for refused in calls.split_off(usize::try_from(fit).expect("small")) {
            let reply = refused.await.expect("no panic");
            reply.assert_error(ErrorKind::OverBudget);
            assert_eq!(reply.field("preference-applied"), applied, "{prefer:?}");
        }
        for waiting in (0..calls.len() - 1).rev() {
            world.proxy.advance_window();
            queue_has(&world, waiting).await;
        }
        for call in calls {
            let reply = call.await.expect("no panic");
            assert_eq!(reply.assert_status(200).field("preference-applied"), applied, "{prefer:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_up() {
    let world = World::start_shielded_with(per_second(1));
    let caller = bound(&world, "a", 1).await;
    assert_goes(&caller).await;
    let bearer = token("a", 1);
    let mut leaving = world.proxy.raw().await;
    leaving.send(format!("POST {CAMPAIGNS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\nContent-Length: 0\r\n\r\n")).await;
    queue_has(&world, 1).await;
    let path = label_path(2);
    let mut reading = world.proxy.raw().await;
    reading.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\n\r\n")).await;
    queue_has(&world, 2).await;
    leaving.reset();
    reading.reset();
    queue_has(&world, 0).await;
    let before = world.upstream.count();
    world.proxy.advance_window();
    assert_goes(&caller).await;
    assert_eq!(world.upstream.count() - before, 1, "neither was sent");
}

#[tokio::test]
async fn wishes_for_a_younger_label_take_a_tenth_of_the_budget() {
    let world = World::start_shielded();
    let caller = bound(&world, "a", 1).await;
    caller.get(&label_path(1)).send().await.assert_label("a-1");
    let before = world.upstream.count();
    let read = || caller.get(&label_path(1)).field("cache-control", "no-cache").send();
    for _ in 0..9 {
        assert!(read().await.assert_label("a-1").cache_status().starts_with("fwd=request"));
    }
    let limited = read().await;
    let status = limited.assert_label("a-1").cache_status();
    assert!(status.starts_with("hit; ttl=") && status.ends_with("; detail=refill-limited"), "{status}");
    assert_eq!(world.upstream.count() - before, 9);
    world.proxy.advance_window();
    assert!(read().await.cache_status().starts_with("fwd=request"));
}

#[tokio::test]
async fn a_list_read_ahead_that_waits_for_its_turn_holds_nobody_up_who_would_not_wait() {
    let world = World::start_shielded_with(|config| {
        config.shield.requests_per_second = NonZeroU32::new(1).expect("not zero");
    });
    let caller = bound(&world, "a", 1).await;
    caller.get(&label_path(1)).send().await.assert_label("a-1");
    for n in [2, 3] {
        let reply = caller.get(&label_path(n)).field("prefer", "wait=0").send().await;
        reply.assert_error(ErrorKind::OverBudget);
    }
}

#[tokio::test]
async fn a_first_proof_that_waits_for_its_turn_holds_nobody_up_who_would_not_wait() {
    let world = World::start_shielded_with(per_second(1));
    let caller = bound(&world, "a", 1).await;
    assert_goes(&caller).await;
    let proving = caller.get(&label_path(2)).spawn();
    queue_has(&world, 1).await;
    let reply = caller.get(&label_path(3)).field("prefer", "wait=0").send().await;
    reply.assert_error(ErrorKind::OverBudget);
    world.proxy.advance_window();
    proving.await.expect("no panic").assert_label("a-2").assert_proof();
}

#[tokio::test]
async fn five_times_the_budget_costs_no_credential_its_proof() {
    let world = World::start_shielded_with(per_second(10));
    let callers = [world.proven("a", 1).await, world.proven("a", 2).await, world.proven("a", 3).await];
    let mut calls = Vec::new();
    let step = Duration::from_millis(200);
    for _ in 0..600 {
        for caller in &callers {
            for _ in 0..3 {
                calls.push(caller.get(CAMPAIGNS).spawn());
            }
            caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
        }
        calls.retain(|call| !call.is_finished());
        // What was let go arrives and is answered in its own step: no proof is late because a thread had no core.
        world.quiet().await;
        world.proxy.advance(step);
    }
    let ended = together_ended(&world, calls).await;
    assert!(ended.iter().all(|status| matches!(status, 200 | 429)), "{ended:?}");
}

/// What became of calls under way, while time goes on.
async fn together_ended(world: &World, calls: Vec<JoinHandle<Reply>>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for call in calls {
        let reply = world.proxy.advancing("the call's turn", call).await.expect("no panic");
        statuses.push(reply.status);
    }
    statuses
}

#[tokio::test]
async fn hits_go_on_when_the_budget_is_out() {
    let world = World::start_shielded_with(per_second(1));
    let caller = world.proven("a", 1).await;
    assert_over_budget(&caller).await;
    for _ in 0..50 {
        caller.get(&label_path(1)).field("prefer", "wait=0").send().await.assert_label("a-1").assert_hit();
    }
}
