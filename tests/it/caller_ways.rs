//! The fast path and the long way tell the same caller of the same head: in the line of the log, in the bill and in metrics.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;

use crate::support::labels::{label_path, organization, token};
use crate::support::{RawConnection, Serving, TestUpstream, World};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Not among the networks whose field is believed.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// A field that nobody knows sends a request the long way.
const LONG_WAY: &str = "x-unknown: 1\r\n";
const HEADS: [(Ipv4Addr, &str); 9] = [
    (HERE, ""),
    (HERE, "x-service: billing\r\n"),
    (HERE, "X-SERVICE:billing  \r\n"),
    (HERE, "x-service: spiffe://cluster.local/ns/prod/sa/sync\r\n"),
    (HERE, "x-service: bill ing\r\n"),
    (HERE, "x-service: other\r\n"),
    (HERE, "x-service:\r\n"),
    (HERE, "x-service: billing\r\nx-service: sync\r\n"),
    (ELSEWHERE, "x-service: billing\r\n"),
];

/// Every number of the bill, and every metric of callers, by its name.
async fn counted(serving: &Serving) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let status = serving.operator().get("/api/status").send().await.json();
    for of in ["callers", "credentials"] {
        for row in status["callers"][of].as_array().expect("rows") {
            let name = row["name"].as_str().expect("a name");
            let total = row["total"].as_object().expect("numbers");
            let outcomes = total.get("outcomes").and_then(Value::as_object).into_iter().flatten();
            for (number, value) in total.iter().chain(outcomes).filter(|(_, value)| value.is_u64()) {
                found.insert(format!("{of} {name} {number}"), value.as_u64().expect("a number"));
            }
        }
    }
    let metrics = serving.operator().get("/metrics").send().await;
    for line in metrics.text().lines().filter(|line| line.starts_with("instantly_proxy_caller_")) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        found.insert(series.to_owned(), value.parse::<f64>().expect("a number") as u64);
    }
    found
}

/// What was counted since an earlier look, without what has not changed.
fn since(now: &BTreeMap<String, u64>, earlier: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let change = |(name, value): (&String, &u64)| {
        (name.clone(), value - earlier.get(name).copied().unwrap_or_default())
    };
    now.iter().map(change).filter(|(_, change)| *change > 0).collect()
}

async fn ask(serving: &Serving, way: &str, more: &str) {
    for (nth, (from, line)) in HEADS.iter().enumerate() {
        let mut connection = RawConnection::open_from(*from, serving.data).await;
        // Twice: a connection remembers who was its last.
        for again in 0..2 {
            let head = format!(
                "GET {} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
                 x-request-id: {way}-{nth}-{again}\r\n{line}{more}\r\n",
                label_path(1),
                token("a", 1),
            );
            connection.send_whole(head).await;
            let reply = connection.read().await;
            assert_eq!(reply.reply().status, 200, "{way} {line:?}");
        }
    }
}

#[tokio::test]
async fn both_ways_tell_the_same_caller_in_the_log_in_the_bill_and_in_metrics() {
    let upstream = TestUpstream::of(&World::vendor());
    let environment = [
        ("INSTANTLY_PROXY_CALLERS__SOURCES", "field, credential"),
        ("INSTANTLY_PROXY_CALLERS__FIELD", "x-service"),
        ("INSTANTLY_PROXY_CALLERS__TRUSTED", "127.0.0.1/32"),
        // The list behind the first answer would be a call of whichever way it came back in.
        ("INSTANTLY_PROXY_CACHE__LIST_FILL", "false"),
    ];
    let serving = Serving::start(&format!("http://{}", upstream.address()), &environment).await;
    let caller = serving.caller(&token("a", 1));
    for _ in 0..2 {
        caller.get(&label_path(1)).send().await.assert_status(200);
    }
    let first = counted(&serving).await;
    ask(&serving, "fast", "").await;
    let second = counted(&serving).await;
    ask(&serving, "long", LONG_WAY).await;
    let third = counted(&serving).await;
    let (fast, long) = (since(&second, &first), since(&third, &second));
    assert_eq!(fast, long);
    assert_eq!(fast["callers billing hit"], 4, "{fast:#?}");
    assert!(fast.keys().any(|name| name.contains("claims_ignored")), "{fast:#?}");
    serving.process.signal("INT");
    assert_eq!(serving.process.ended().await, Some(0));
    let mut lines = BTreeMap::new();
    for line in serving.process.stdout().lines() {
        let line: Value = serde_json::from_str(line).expect("one object");
        let Some(id) = line["request_id"].as_str().filter(|_| line["message"] == "request") else { continue };
        let who = ["caller", "credential", "organization"].map(|name| line[name].as_str().map(str::to_owned));
        lines.insert(id.to_owned(), who);
    }
    for (nth, (_, head)) in HEADS.iter().enumerate() {
        for again in 0..2 {
            let [fast, long] = ["fast", "long"].map(|way| &lines[&format!("{way}-{nth}-{again}")]);
            assert_eq!(fast, long, "{head:?}");
            assert_eq!(fast[2], Some(organization("a").to_string()), "{head:?}");
            assert!(fast[0].is_some() && fast[1].is_some(), "{head:?}: {fast:?}");
        }
    }
}
