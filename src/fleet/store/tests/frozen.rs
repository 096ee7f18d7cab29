//! A store that does not answer costs no call more than its deadline, and in the end none at all.

use super::*;
use crate::fleet::store::test_store;

const TIMEOUT: Duration = Duration::from_millis(100);

fn quick(store: &TestStore) -> StoreSettings {
    StoreSettings { timeout: TIMEOUT, ..settings(store) }
}

#[tokio::test]
async fn a_frozen_store_is_soon_not_asked_and_heals_by_itself() {
    let store = TestStore::start(Engine::Redis);
    let clock = Clock::system();
    let series = SharedSeries::default();
    let data = Data::start(quick(&store), clock.clone(), series, &Handle::current());
    connected(&data, &clock).await;
    store.freeze();
    let began = clock.now();
    let mut timeouts = 0;
    for _ in 0..1000 {
        let error = data.call(Operation::Lookup, &ECHO, &[b"k"], &[b"v"], soon(&clock)).await.unwrap_err();
        match error.kind() {
            StoreErrorKind::Timeout => timeouts += 1,
            kind => assert_eq!(kind, StoreErrorKind::Lost, "{error}"),
        }
    }
    // The first gives the connection up, and no other comes about.
    assert_eq!(timeouts, 1);
    assert!(clock.now().since(began) < Duration::from_secs(5), "{:?}", clock.now().since(began));
    store.thaw();
    connected(&data, &clock).await;
}

#[tokio::test]
async fn a_store_that_becomes_a_replica_is_left_until_it_is_a_primary_again() {
    let primary = TestStore::start(Engine::Valkey);
    let store = TestStore::start(Engine::Valkey);
    let clock = Clock::system();
    let data = Data::start(settings(&store), clock.clone(), SharedSeries::default(), &Handle::current());
    connected(&data, &clock).await;
    let port = primary.port().to_string();
    assert_eq!(store.ask(&["REPLICAOF", "127.0.0.1", &port]), "OK");
    let error = data.call(Operation::Book, &WRITE, &[b"k"], &[b"v"], soon(&clock)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
    assert_eq!(store.ask(&["REPLICAOF", "NO", "ONE"]), "OK");
    connected(&data, &clock).await;
    data.call(Operation::Book, &WRITE, &[b"k"], &[b"v"], soon(&clock)).await.unwrap();
}

#[tokio::test]
async fn a_full_store_refuses_and_goes_on_being_asked() {
    let store = TestStore::start_with(Engine::Redis, &["maxmemory 100kb", "maxmemory-policy noeviction"]);
    let clock = Clock::system();
    let data = Data::start(settings(&store), clock.clone(), SharedSeries::default(), &Handle::current());
    connected(&data, &clock).await;
    for _ in 0..20 {
        let error = data.call(Operation::Store, &WRITE, &[b"k"], &[b"v"], soon(&clock)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Oom, "{error}");
    }
    data.call(Operation::Lookup, &ECHO, &[b"k"], &[b"v"], soon(&clock)).await.unwrap();
}

/// As one that reads its file does.
#[tokio::test]
async fn a_store_that_has_no_data_yet_refuses_and_keeps_its_connection() {
    static READ: Script = Script::new("read", "return redis.call('GET', KEYS[1])");
    for engine in Engine::ALL {
        let store = TestStore::start_with(engine, &["replica-serve-stale-data no"]);
        let clock = Clock::system();
        let data = Data::start(settings(&store), clock.clone(), SharedSeries::default(), &Handle::current());
        connected(&data, &clock).await;
        let nobody = test_store::free_port().to_string();
        assert_eq!(store.ask(&["REPLICAOF", "127.0.0.1", &nobody]), "OK");
        let error = data.call(Operation::Lookup, &READ, &[b"k"], &[], soon(&clock)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Loading, "{engine:?}: {error}");
        assert_eq!(store.ask(&["REPLICAOF", "NO", "ONE"]), "OK");
        let reply = data.call(Operation::Lookup, &READ, &[b"k"], &[], soon(&clock)).await.unwrap();
        assert_eq!(reply, Reply::Nil);
    }
}
