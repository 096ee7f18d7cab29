//! The probe tells everything that a store lacks, and leaves nothing behind.

use super::*;

const GOOD: [&str; 2] = ["maxmemory 100mb", "maxmemory-policy volatile-lru"];

async fn found(settings: &StoreSettings) -> Vec<String> {
    let clock = Clock::system();
    probe(settings, "test", &clock).await.iter().map(ToString::to_string).collect()
}

async fn assert_clean(store: &TestStore) {
    assert_eq!(store.ask(&["DBSIZE"]), "0");
    // The server sees a moment later that the connection was closed.
    until("nobody is subscribed", || store.ask(&["PUBSUB", "CHANNELS"]).is_empty()).await;
}

#[tokio::test]
async fn a_good_store_lacks_nothing() {
    for engine in Engine::ALL {
        let store = TestStore::start_with(engine, &GOOD);
        assert_eq!(found(&settings(&store)).await, [""; 0]);
        assert_clean(&store).await;
    }
}

#[tokio::test]
async fn the_documented_user_lacks_nothing_and_each_of_its_permissions_is_missed() {
    let permissions = include_str!("../acl.txt").trim().replace("NAMESPACE", "test");
    for engine in Engine::ALL {
        let store = TestStore::start_with(engine, &GOOD);
        let files = tempfile::TempDir::new().unwrap();
        let password_file = files.path().join("password");
        std::fs::write(&password_file, "secret").unwrap();
        let settings = StoreSettings {
            username: Some("fleet".to_owned()),
            password_file: Some(password_file),
            ..settings(&store)
        };
        let user = |without: &str| {
            let rules = permissions.split_whitespace().filter(|rule| *rule != without);
            let words = ["ACL", "SETUSER", "fleet", "reset", "on", ">secret"];
            let words: Vec<_> = words.into_iter().chain(rules).collect();
            assert_eq!(store.ask(&words), "OK");
        };
        user("");
        assert_eq!(found(&settings).await, [""; 0]);
        for rule in permissions.split_whitespace() {
            // Those of slots are for a Cluster.
            if ["-@all", "+spublish", "+ssubscribe"].contains(&rule) {
                continue;
            }
            user(rule);
            let found = found(&settings).await;
            let told = found.iter().any(|found| found.contains(&format!("needed: {rule}")));
            assert!(told, "{engine:?} without {rule}: {found:?}");
            let others = found.len() > 1 && !["+set", "~test:*", "&test:*"].contains(&rule);
            assert!(!others, "{engine:?} without {rule}: {found:?}");
        }
        // What could not be deleted ends by itself.
        store.ask(&["FLUSHALL"]);
        user("+lpush");
        found(&settings).await;
        assert_clean(&store).await;
    }
}

#[tokio::test]
async fn the_documented_user_needs_one_more_permission_for_another_database() {
    let permissions = include_str!("../acl.txt").trim().replace("NAMESPACE", "test");
    for engine in Engine::ALL {
        let store = TestStore::start_with(engine, &GOOD);
        let files = tempfile::TempDir::new().unwrap();
        let password_file = files.path().join("password");
        std::fs::write(&password_file, "secret").unwrap();
        let settings = StoreSettings {
            username: Some("fleet".to_owned()),
            password_file: Some(password_file),
            database: 1,
            ..settings(&store)
        };
        let user = ["ACL", "SETUSER", "fleet", "reset", "on", ">secret"];
        let words: Vec<_> = user.into_iter().chain(permissions.split_whitespace()).collect();
        assert_eq!(store.ask(&words), "OK");
        let lacking = found(&settings).await;
        assert!(matches!(&lacking[..], [one] if one.contains("needed: +select")), "{engine:?}: {lacking:?}");
        assert_eq!(store.ask(&["ACL", "SETUSER", "fleet", "+select"]), "OK");
        assert_eq!(found(&settings).await, [""; 0]);
    }
}

#[tokio::test]
async fn everything_that_is_missing_is_told_at_once() {
    let store = TestStore::start_with(Engine::Redis, &["maxmemory-policy allkeys-lru"]);
    let replicaof = format!("replicaof 127.0.0.1 {}", store.port());
    let replica = TestStore::start_with(Engine::Redis, &[&replicaof, GOOD[0], GOOD[1]]);
    let says = |what: &str| store.ask(&["INFO", "replication"]).contains(what);
    until("the replica follows", || says("connected_slaves:1")).await;
    let of_primary = found(&settings(&store)).await;
    let [policy, replicas] = &of_primary[..] else { panic!("{of_primary:?}") };
    assert!(
        policy.contains("maxmemory-policy is allkeys-lru; needed: volatile-lru: the log goes"),
        "{policy}"
    );
    assert!(
        replicas.contains("it has 1 replicas") && replicas.contains("min-replicas-to-write 1"),
        "{replicas}"
    );
    assert_eq!(store.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]), "OK");
    until("the replica has said that it follows", || says("min_slaves_good_slaves:1")).await;
    let of_primary = found(&settings(&store)).await;
    assert_eq!(of_primary, [policy.as_str()]);
    let of_replica = found(&settings(&replica)).await;
    assert!(of_replica[0].contains("its role is slave; needed: a primary"), "{of_replica:?}");
    assert!(of_replica[1].contains("it takes no write: read_only"), "{of_replica:?}");
}

#[tokio::test]
async fn clocks_that_are_far_apart_are_told() {
    let store = TestStore::start_with(Engine::Valkey, &GOOD);
    // A manual clock stands somewhere else.
    let (clock, _hand) = Clock::manual();
    let shortfalls = probe(&settings(&store), "test", &clock).await;
    let [shortfall] = &shortfalls[..] else { panic!("{shortfalls:?}") };
    assert!(shortfall.found.contains("its clock is"), "{shortfall}");
    assert_eq!(shortfall.gravity, Gravity::Unsound);
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_one_shortfall() {
    let mut store = TestStore::start_with(Engine::Redis, &["requirepass secret"]);
    let found_of = async |settings: StoreSettings| {
        let shortfalls = probe(&settings, "test", &Clock::system()).await;
        let [shortfall] = <[Shortfall; 1]>::try_from(shortfalls).unwrap();
        assert_eq!(shortfall.gravity, Gravity::Unusable);
        shortfall.to_string()
    };
    let refused = found_of(settings(&store)).await;
    assert!(refused.contains("no_auth") && refused.contains("shared.password_file"), "{refused}");
    store.kill();
    let gone = found_of(settings(&store)).await;
    assert!(gone.contains("lost") && gone.contains("a server that answers"), "{gone}");
}
