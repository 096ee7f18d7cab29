//! Both ways to the store, against real servers.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::test_store::{Engine, TestStore};
use super::way::{As, Way};
use super::*;
use crate::clock::{Clock, Moment};
use crate::config::{StoreAddress, StoreSettings};
use crate::metrics::SharedSeries;

mod deployments;
mod frozen;
mod login;
mod probing;

const BELL: &[u8] = b"{test}:bell";
static ECHO: Script = Script::new("echo", "return {KEYS[1], ARGV[1], 7, false}");
static TELL: Script = Script::new("tell", "return redis.call('PUBLISH', KEYS[1], ARGV[1])");
static WRITE: Script = Script::new("write", "redis.call('SET', KEYS[1], ARGV[1]) return 1");

/// For a call, where nothing is frozen: what takes longer is a fault.
const PATIENCE: Duration = Duration::from_secs(5);

fn settings(store: &TestStore) -> StoreSettings {
    let address = StoreAddress::new("127.0.0.1", store.port());
    StoreSettings { timeout: PATIENCE, ..StoreSettings::standalone(address) }
}

/// Tries to connect until it works: an attempt has an end of its own, which a busy machine may not meet.
async fn linked(settings: &StoreSettings, clock: &Clock) -> (Link, Bells) {
    let end = clock.now().plus(Duration::from_secs(20));
    loop {
        match Link::connect(&First::default(), settings, BELL, clock, &SharedSeries::default()).await {
            Ok(linked) => return linked,
            Err(error) => assert!(!clock.now().reached(end), "{:?}: {error}", settings.mode),
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until a server says this of itself; nothing tells a client of it.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::system();
    let end = clock.now().plus(Duration::from_secs(20));
    while !is_so() {
        assert!(!clock.now().reached(end), "not in 20 s: {what}");
        tokio::task::yield_now().await;
    }
}

fn soon(clock: &Clock) -> Moment {
    clock.now().plus(Duration::from_secs(5))
}

/// Asks until the connection is there: nothing tells a caller of it, since none may wait for it.
async fn connected(data: &Data, clock: &Clock) {
    let end = clock.now().plus(Duration::from_secs(20));
    while let Err(error) = data.call(Operation::Lookup, &ECHO, &[b"k"], &[b"v"], soon(clock)).await {
        assert!(!clock.now().reached(end), "{error}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_link_runs_scripts_and_hears_the_bell() {
    for engine in Engine::ALL {
        let store = TestStore::start(engine);
        let clock = Clock::system();
        let (link, mut bells) = linked(&settings(&store), &clock).await;
        assert_eq!(link.run_id().len(), 40);
        assert!(link.version().starts_with(match engine {
            Engine::Redis => "Redis 7.",
            Engine::Valkey => "Valkey 8.",
        }));
        let reply = link.call(Operation::Beat, &ECHO, &[b"{test}:k"], &[b"a\r\nb\0"]).await.unwrap();
        let [key, value, seven, nothing] = reply.exactly().unwrap();
        assert_eq!(key.bytes().unwrap(), b"{test}:k");
        assert_eq!(value.bytes().unwrap(), b"a\r\nb\0");
        assert_eq!((seven.int().unwrap(), nothing), (7, Reply::Nil));
        link.call(Operation::Beat, &TELL, &[BELL], &[b"ding"]).await.unwrap();
        assert_eq!(bells.next().await.unwrap(), b"ding");
        // It is known by its digest now, and forgotten again.
        store.ask(&["SCRIPT", "FLUSH"]);
        link.call(Operation::Beat, &TELL, &[BELL], &[b"dong"]).await.unwrap();
        assert_eq!(bells.next().await.unwrap(), b"dong");
    }
}

#[tokio::test]
async fn a_link_that_is_lost_says_so_and_stays_lost() {
    let mut store = TestStore::start(Engine::Redis);
    let clock = Clock::system();
    let (link, mut bells) = linked(&settings(&store), &clock).await;
    let old_run = link.run_id().to_owned();
    store.restart();
    assert_eq!(bells.next().await, None);
    let error = link.call(Operation::Beat, &ECHO, &[b"k"], &[b"v"]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Lost);
    assert!(link.is_lost());
    let (new, _) = linked(&settings(&store), &clock).await;
    assert_ne!(new.run_id(), old_run);
}

#[tokio::test]
async fn a_frozen_server_costs_a_call_its_deadline_and_no_reply_comes_late() {
    let store = TestStore::start(Engine::Valkey);
    let clock = Clock::system();
    let quick = StoreSettings { timeout: Duration::from_millis(100), ..settings(&store) };
    let (link, _bells) = linked(&quick, &clock).await;
    store.freeze();
    let error = link.call(Operation::Beat, &ECHO, &[b"old"], &[b"v"]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    store.thaw();
    // It goes on when it has a core: until then some calls may cost their deadline, too. The first reply is nobody else's.
    let end = clock.now().plus(Duration::from_secs(20));
    let reply = loop {
        match link.call(Operation::Beat, &ECHO, &[b"new"], &[b"v"]).await {
            Ok(reply) => break reply,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Timeout, "{error}"),
        }
        assert!(!clock.now().reached(end), "it goes on, and nothing is answered");
    };
    assert_eq!(reply.list().unwrap()[0], Reply::Bytes(b"new".to_vec()));
}

#[tokio::test]
async fn a_replica_is_no_server_for_a_link() {
    let primary = TestStore::start(Engine::Redis);
    let replicaof = format!("replicaof 127.0.0.1 {}", primary.port());
    let replica = TestStore::start_with(Engine::Redis, &[&replicaof]);
    let error = Link::connect(
        &First::default(),
        &settings(&replica),
        BELL,
        &Clock::system(),
        &SharedSeries::default(),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
}

#[tokio::test]
async fn a_link_to_nobody_is_an_error_at_once() {
    let mut store = TestStore::start(Engine::Redis);
    store.kill();
    let error =
        Link::connect(&First::default(), &settings(&store), BELL, &Clock::system(), &SharedSeries::default())
            .await
            .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Lost, "{error}");
}

#[tokio::test]
async fn data_connects_again_by_itself_and_nobody_waits_for_it() {
    let mut store = TestStore::start(Engine::Redis);
    let clock = Clock::system();
    let data = Data::start(settings(&store), clock.clone(), SharedSeries::default(), &Handle::current());
    connected(&data, &clock).await;
    let lives = Duration::from_secs(60);
    data.set(Operation::Store, b"k", b"v", lives, soon(&clock)).await.unwrap();
    assert_eq!(store.ask(&["GET", "k"]), "v");
    assert!(store.ask(&["PTTL", "k"]).parse::<u64>().unwrap() > 50_000);
    store.kill();
    let mut waits = Vec::new();
    for _ in 0..100 {
        let began = clock.now();
        let error = data.call(Operation::Lookup, &ECHO, &[b"k"], &[b"v"], soon(&clock)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Lost);
        waits.push(clock.now().since(began));
    }
    // Soon there is a second and more between two attempts to connect. A machine that stands still makes a few wait.
    waits.sort_unstable();
    assert!(waits[50] < Duration::from_millis(50), "they waited for the store: {waits:?}");
    store.restart();
    connected(&data, &clock).await;
}

#[tokio::test]
async fn a_call_ends_at_its_callers_deadline_if_that_is_earlier() {
    let store = TestStore::start(Engine::Redis);
    let clock = Clock::system();
    let patient = StoreSettings { timeout: Duration::from_secs(3600), ..settings(&store) };
    let data = Data::start(patient, clock.clone(), SharedSeries::default(), &Handle::current());
    connected(&data, &clock).await;
    store.freeze();
    let deadline = clock.now().plus(Duration::from_millis(50));
    let error = data.call(Operation::Lookup, &ECHO, &[b"k"], &[b"v"], deadline).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    // The caller was in a hurry, and others need not be: the connection stands.
    store.thaw();
    data.call(Operation::Lookup, &ECHO, &[b"k"], &[b"v"], soon(&clock)).await.unwrap();
}

#[tokio::test]
async fn calls_of_many_threads_get_their_own_replies() {
    let store = TestStore::start(Engine::Redis);
    let clock = Clock::system();
    let data =
        Arc::new(Data::start(settings(&store), clock.clone(), SharedSeries::default(), &Handle::current()));
    connected(&data, &clock).await;
    let calls = (0..200).map(|number: u32| {
        let (data, clock) = (Arc::clone(&data), clock.clone());
        tokio::spawn(async move {
            let value = number.to_string();
            let reply = data.call(Operation::Lookup, &ECHO, &[b"k"], &[value.as_bytes()], soon(&clock)).await;
            assert_eq!(reply.unwrap().list().unwrap()[1], Reply::Bytes(value.into_bytes()));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn what_a_server_refuses_has_its_kind() {
    let full = ["maxmemory 100kb", "maxmemory-policy noeviction"];
    let alone = ["min-replicas-to-write 1"];
    let clock = Clock::system();
    for engine in Engine::ALL {
        for (lines, kind) in
            [(full.as_slice(), StoreErrorKind::Oom), (alone.as_slice(), StoreErrorKind::NoReplicas)]
        {
            let store = TestStore::start_with(engine, lines);
            let (link, _bells) = linked(&settings(&store), &clock).await;
            let error = link.call(Operation::Beat, &WRITE, &[b"k"], &[b"v"]).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{engine:?}: {error}");
        }
    }
}
