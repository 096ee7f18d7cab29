//! Sentinels and a Cluster of real servers.

use std::net::{Ipv4Addr, TcpListener};

use super::*;
use crate::config::StoreMode;
use crate::fleet::store::test_store::free_port;

fn address(store: &TestStore) -> StoreAddress {
    StoreAddress::new("127.0.0.1", store.port())
}

/// A server that takes connections and says nothing, as one that is frozen: its kernel takes them for it.
fn silent() -> (TcpListener, StoreAddress) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, StoreAddress::new("127.0.0.1", port))
}

#[tokio::test]
async fn a_silent_first_sentinel_or_node_keeps_nobody_from_the_store() {
    let primary = TestStore::start(Engine::Redis);
    let monitor = format!("sentinel monitor ours 127.0.0.1 {} 1", primary.port());
    let sentinel = TestStore::start_sentinel(Engine::Redis, &[&monitor]);
    let nodes = cluster().await;
    let (_listening, nothing) = silent();
    let master_name = "ours".to_owned();
    for (mode, answers) in [(StoreMode::Sentinel { master_name }, &sentinel), (StoreMode::Cluster, &nodes[0])]
    {
        let addresses = vec![nothing.clone(), nothing.clone(), address(answers)];
        let settings = StoreSettings { mode, addresses, ..settings(&primary) };
        let clock = Clock::system();
        linked(&settings, &clock).await;
        let data = Data::start(settings, clock.clone(), SharedSeries::default(), &Handle::current());
        connected(&data, &clock).await;
    }
}

/// It goes on naming the primary that is cut off with it, which takes no write.
#[tokio::test]
async fn a_sentinel_that_is_cut_off_and_stands_first_keeps_nobody_from_the_store() {
    let lonely = TestStore::start_with(Engine::Redis, &["min-replicas-to-write 1"]);
    let primary = TestStore::start(Engine::Redis);
    let of = |store: &TestStore| {
        let monitor = format!("sentinel monitor ours 127.0.0.1 {} 1", store.port());
        TestStore::start_sentinel(Engine::Redis, &[&monitor])
    };
    let sentinels = [of(&lonely), of(&primary)];
    let settings = StoreSettings {
        mode: StoreMode::Sentinel { master_name: "ours".to_owned() },
        addresses: sentinels.iter().map(address).collect(),
        ..settings(&primary)
    };
    let (clock, series) = (Clock::system(), SharedSeries::default());
    let end = clock.now().plus(Duration::from_secs(20));
    // The first attempt asks the one that is cut off, and the second the other. Whichever has no core for a moment is as good as
    // silent, and an attempt fails, or the next one is asked: nothing but such a round is played again.
    loop {
        let (first, mut named) = (First::default(), Vec::new());
        let mut last = clock.now();
        for _ in 0..2 {
            last = clock.now();
            let linked = Link::connect(&first, &settings, BELL, &clock, &series).await;
            named.push(linked.map(|(link, _bells)| link.address().clone()));
        }
        if let [Ok(one), Ok(two)] = &named[..]
            && *one == address(&lonely)
        {
            if *two == address(&primary) {
                break;
            }
            let took = clock.now().since(last);
            assert!(
                took >= Duration::from_millis(250),
                "nobody was silent, and the same one was asked first"
            );
        }
        assert!(!clock.now().reached(end), "{named:?}");
    }
    let data = Data::start(settings, clock.clone(), series, &Handle::current());
    let end = clock.now().plus(Duration::from_secs(20));
    while let Err(error) = data.call(Operation::Lookup, &WRITE, &[b"k"], &[b"v"], soon(&clock)).await {
        assert!(!clock.now().reached(end), "{error}");
        tokio::task::yield_now().await;
    }
}

/// Silence hides no refusal of those that answered.
#[tokio::test]
async fn what_a_sentinel_said_is_told_though_another_one_is_silent() {
    let primary = TestStore::start(Engine::Redis);
    let monitor = format!("sentinel monitor ours 127.0.0.1 {} 1", primary.port());
    let sentinel = TestStore::start_sentinel(Engine::Redis, &[&monitor]);
    let (_listening, nothing) = silent();
    let settings = StoreSettings {
        mode: StoreMode::Sentinel { master_name: "unknown".to_owned() },
        addresses: vec![nothing, address(&sentinel)],
        ..settings(&primary)
    };
    let error = Link::connect(&First::default(), &settings, BELL, &Clock::system(), &SharedSeries::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("knows no primary of the name unknown"), "{error}");
}

#[tokio::test]
async fn sentinels_lead_to_the_primary_and_after_a_failover_to_the_new_one() {
    let mut primary = TestStore::start(Engine::Redis);
    let replicaof = format!("replicaof 127.0.0.1 {}", primary.port());
    let replica = TestStore::start_with(Engine::Redis, &[&replicaof, "repl-diskless-sync-delay 0"]);
    until("the replica follows", || replica.ask(&["ROLE"]).contains("connected")).await;
    let monitor = format!("sentinel monitor ours 127.0.0.1 {} 1", primary.port());
    let lines = ["sentinel down-after-milliseconds ours 300", "sentinel failover-timeout ours 2000"];
    let sentinel = TestStore::start_sentinel(Engine::Redis, &[&monitor, lines[0], lines[1]]);
    until("it knows the replica", || !sentinel.ask(&["SENTINEL", "REPLICAS", "ours"]).is_empty()).await;

    let clock = Clock::system();
    let nobody = StoreAddress::new("127.0.0.1", free_port());
    let of = |name: &str| StoreSettings {
        mode: StoreMode::Sentinel { master_name: name.to_owned() },
        addresses: vec![nobody.clone(), address(&sentinel)],
        ..settings(&primary)
    };
    let series = SharedSeries::default();
    let (link, mut bells) = linked(&of("ours"), &clock).await;
    assert_eq!(link.address(), &address(&primary));
    let error = Link::connect(&First::default(), &of("unknown"), BELL, &clock, &series).await.unwrap_err();
    assert!(error.to_string().contains("knows no primary of the name unknown"), "{error}");
    let data = Data::start(of("ours"), clock.clone(), series.clone(), &Handle::current());
    connected(&data, &clock).await;
    let settings = of("ours");

    primary.kill();
    assert_eq!(bells.next().await, None);
    until("the replica is the primary", || {
        replica.try_ask(&["ROLE"]).is_ok_and(|role| role.starts_with("master"))
    })
    .await;
    connected(&data, &clock).await;
    let end = clock.now().plus(Duration::from_secs(20));
    // The Sentinel tells of the new primary a moment after it has made it one.
    let link = loop {
        match Link::connect(&First::default(), &settings, BELL, &clock, &series).await {
            Ok((link, _bells)) => break link,
            Err(error) => assert!(!clock.now().reached(end), "{error}"),
        }
    };
    assert_eq!(link.address(), &address(&replica));
}

/// Three nodes without replicas, each with a third of the slots.
async fn cluster() -> Vec<TestStore> {
    let nodes: Vec<(TestStore, u16)> = (0..3)
        .map(|_| {
            let bus = free_port();
            let lines = [format!("cluster-port {bus}"), "cluster-node-timeout 2000".to_owned()];
            let lines = ["cluster-enabled yes", &lines[0], &lines[1]];
            (TestStore::start_with(Engine::Valkey, &lines), bus)
        })
        .collect();
    let ranges = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for ((node, _), (first, last)) in nodes.iter().zip(ranges) {
        assert_eq!(node.ask(&["CLUSTER", "ADDSLOTSRANGE", first, last]), "OK");
        for (other, bus) in &nodes {
            let (port, bus) = (other.port().to_string(), bus.to_string());
            assert_eq!(node.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]), "OK");
        }
    }
    for (node, _) in &nodes {
        until("the Cluster is whole", || node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")).await;
    }
    nodes.into_iter().map(|(node, _)| node).collect()
}

#[tokio::test]
async fn in_a_cluster_each_key_is_asked_of_its_owner_and_one_that_moves_is_found_again() {
    let nodes = cluster().await;
    let clock = Clock::system();
    let settings = StoreSettings {
        mode: StoreMode::Cluster,
        addresses: vec![address(&nodes[0])],
        ..settings(&nodes[0])
    };
    let series = SharedSeries::default();
    let owner = |key: &str| {
        nodes.iter().find(|node| !node.ask(&["GET", key]).starts_with("-MOVED")).expect("somebody owns it")
    };
    let (link, mut bells) = linked(&settings, &clock).await;
    assert_eq!(link.address(), &address(owner("{test}:bell")));
    static TELL_SLOT: Script = Script::new("tell slot", "return redis.call('SPUBLISH', KEYS[1], ARGV[1])");
    assert!(link.hears_slot_channels());
    for script in [&TELL, &TELL_SLOT] {
        link.call(Operation::Append, script, &[BELL], &[script.name().as_bytes()]).await.unwrap();
        assert_eq!(bells.next().await.unwrap(), script.name().as_bytes());
    }

    let data = Data::start(settings, clock.clone(), series, &Handle::current());
    let set = async |key: &str| {
        let end = clock.now().plus(Duration::from_secs(20));
        let lives = Duration::from_secs(60);
        while let Err(error) = data.set(Operation::Store, key.as_bytes(), b"v", lives, soon(&clock)).await {
            assert!(!clock.now().reached(end), "{key}: {error}");
            tokio::task::yield_now().await;
        }
    };
    for key in ["{a}", "{b}", "{c}", "{d}", "{e}", "{f}"] {
        set(key).await;
        assert_eq!(owner(key).ask(&["GET", key]), "v");
    }

    // One slot moves, in the way that the specification gives.
    let from = owner("{a}");
    let to = nodes.iter().find(|node| node.port() != from.port()).unwrap();
    let slot = from.ask(&["CLUSTER", "KEYSLOT", "{a}"]);
    let (from_id, to_id) = (from.ask(&["CLUSTER", "MYID"]), to.ask(&["CLUSTER", "MYID"]));
    assert_eq!(to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]), "OK");
    assert_eq!(from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]), "OK");
    let port = to.port().to_string();
    assert_eq!(from.ask(&["MIGRATE", "127.0.0.1", &port, "{a}", "0", "5000"]), "OK");
    let asked = data.call(Operation::Lookup, &ECHO, &[b"{a}"], &[b"v"], soon(&clock)).await.unwrap_err();
    assert_eq!(asked.kind(), StoreErrorKind::Moved, "{asked}");
    for node in [to, from] {
        assert_eq!(node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]), "OK");
    }
    set("{a}").await;
    assert_eq!(to.ask(&["GET", "{a}"]), "v");
    set("{b}").await;
}
