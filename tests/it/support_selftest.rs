//! The harness against itself: a test is worth what its tools are.

use serde_json::json;

use crate::support::labels::{CAMPAIGNS, LABELS, label, label_id, label_path, organization, token};
use crate::support::{
    Answer, Caller, RawConnection, TestUpstream, Vendor, World, patiently, sum_of_series, together,
};

const GET: &str = "GET /x HTTP/1.1\r\nhost: a\r\n\r\n";

fn always(answer: Answer) -> TestUpstream {
    TestUpstream::start(move |_| answer.clone())
}

/// A client of the upstream itself.
fn direct(upstream: &TestUpstream, token: &str) -> Caller {
    Caller::anonymous(upstream.address()).with_token(token)
}

fn vendor_world() -> (Vendor, TestUpstream) {
    let vendor = World::vendor();
    let upstream = TestUpstream::of(&vendor);
    (vendor, upstream)
}

#[tokio::test]
async fn an_answer_arrives_in_each_framing() {
    for (answer, framing) in [
        (Answer::json(200, "{}"), "content-length"),
        (Answer::json(200, "{}").chunked(), "transfer-encoding"),
        (Answer::json(200, "{}").close_delimited(), "connection"),
    ] {
        let upstream = always(answer);
        let mut client = RawConnection::open(upstream.address()).await;
        client.send(GET).await;
        let reply = client.read().await;
        assert_eq!((reply.status(), reply.body.as_slice()), (200, b"{}".as_slice()));
        assert_eq!(reply.head.values(framing).len(), 1, "{framing}: {:?}", reply.head);
    }
}

#[tokio::test]
async fn trailers_and_interim_answers_are_sent() {
    let answer = Answer::json(200, "{}").trailer("x-sum", "1").interim("HTTP/1.1 103 Early Hints");
    let upstream = always(answer);
    let mut client = RawConnection::open(upstream.address()).await;
    client.send(GET).await;
    assert_eq!(client.read().await.status(), 103);
    assert_eq!(client.read().await.trailers, ["x-sum: 1"]);
}

#[tokio::test]
async fn a_cut_answer_has_no_end() {
    for answer in [
        Answer::json(200, "{\"a\":1}").cut_after(3),
        Answer::json(200, "{\"a\":1}").chunked().cut_after(7),
        Answer::close(),
    ] {
        let upstream = always(answer);
        let mut client = RawConnection::open(upstream.address()).await;
        client.send(GET).await;
        assert!(client.read_or_end().await.is_none());
    }
}

#[tokio::test]
async fn a_hanging_upstream_says_nothing_until_the_client_leaves() {
    let upstream = always(Answer::hang());
    let mut client = RawConnection::open(upstream.address()).await;
    client.send(GET).await;
    upstream.arrived(1).await;
    client.half_close().await;
    client.assert_closed().await;
}

#[tokio::test]
async fn raw_bytes_go_out_as_they_are() {
    let upstream =
        always(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: \u{1}\r\n\r\nabc").then_close());
    let mut client = RawConnection::open(upstream.address()).await;
    client.send(GET).await;
    assert!(client.read_to_end().await.ends_with(b"X: \x01\r\n\r\nabc"));
}

#[tokio::test]
async fn a_held_answer_carries_the_value_of_the_moment_at_which_its_request_came() {
    let (vendor, upstream) = vendor_world();
    let gate = upstream.hold(|request| request.target == label_path(1));
    let reader = direct(&upstream, &token("a", 1)).get(&label_path(1)).spawn();
    gate.held(1).await;
    vendor.put_label("a", 1, "later");
    gate.release();
    reader.await.expect("no panic").assert_label("a-1");
    direct(&upstream, &token("a", 1)).get(&label_path(1)).send().await.assert_label("later");
}

#[tokio::test]
async fn requests_and_connections_are_counted_and_recorded() {
    let upstream = always(Answer::status(204));
    let mut client = RawConnection::open(upstream.address()).await;
    client.send("POST /y?z=1 HTTP/1.1\r\nHost: a\r\nX-One:  1 \r\ntransfer-encoding: chunked\r\n\r\n").await;
    upstream.heads_arrived(1).await;
    assert_eq!((upstream.heads(), upstream.count()), (1, 0));
    client.send("3\r\nabc\r\n0\r\n\r\n").await;
    assert_eq!(client.read().await.status(), 204);
    client.send(GET).await;
    assert_eq!(client.read().await.status(), 204);
    RawConnection::open(upstream.address()).await.send(GET).await;
    upstream.arrived(3).await;
    let first = &upstream.requests()[0];
    assert!(first.is("POST", "/y?z=1"));
    assert_eq!((first.text().as_str(), first.field("x-one")), ("abc", Some("1")));
    assert_eq!((upstream.connections(), upstream.last().connection), (2, 2));
    assert_eq!(upstream.count_of(|request| request.is("GET", "/x")), 2);
}

#[tokio::test]
async fn broken_networking_cuts_refuses_and_heals() {
    let upstream = always(Answer::json(200, "{}"));
    let mut client = RawConnection::open(upstream.address()).await;
    client.send(GET).await;
    assert_eq!(client.read().await.status(), 200);
    upstream.break_networking().await;
    client.assert_closed().await;
    assert!(direct(&upstream, "t").get("/x").attempt().await.is_err());
    upstream.heal_networking().await;
    direct(&upstream, "t").get("/x").send().await.assert_status(200);
}

#[tokio::test]
async fn scripts_come_before_the_handler_the_latest_first() {
    let (_, upstream) = vendor_world();
    let client = direct(&upstream, &token("a", 1));
    upstream.reply_to("GET", CAMPAIGNS, Answer::edge_block());
    upstream.reply_to("GET", CAMPAIGNS, Answer::status(418));
    client.get(CAMPAIGNS).send().await.assert_status(418);
    upstream.clear_scripts();
    client.get(CAMPAIGNS).send().await.assert_status(200);
}

#[tokio::test]
#[should_panic(expected = "malformed request")]
async fn a_request_with_two_framings_fails_the_test() {
    let upstream = always(Answer::status(204));
    let mut client = RawConnection::open(upstream.address()).await;
    client
        .send(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        )
        .await;
    upstream.arrived(1).await;
}

#[tokio::test]
#[should_panic(expected = "a script panicked")]
async fn a_script_that_panics_fails_the_test() {
    let upstream = TestUpstream::start(|_| unreachable!("on purpose"));
    RawConnection::open(upstream.address()).await.send(GET).await;
    upstream.arrived(1).await;
}

#[tokio::test]
async fn the_vendor_pages_through_one_organizations_labels_alone() {
    let (vendor, upstream) = vendor_world();
    vendor.put_label("b", 4, "b-4");
    let client = direct(&upstream, &token("a", 1));
    let page = client.get(&format!("{LABELS}?limit=2")).send().await.assert_status(200).json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
    let cursor = page["next_starting_after"].as_str().expect("there is a third").to_owned();
    let last = client.get(&format!("{LABELS}?limit=2&starting_after={cursor}")).send().await.json();
    assert_eq!(last["items"][0]["label"], "a-3");
    assert_eq!(last.get("next_starting_after"), None);
    let found = client.get(&format!("{LABELS}?search=a-2")).send().await.json();
    assert_eq!(
        found["items"],
        json!([serde_json::from_str::<serde_json::Value>(&label("a", 2, "a-2")).unwrap()])
    );
    assert_eq!(vendor.calls(&token("a", 1)), 3);
}

#[tokio::test]
async fn the_vendor_changes_creates_and_deletes() {
    let (_, upstream) = vendor_world();
    let client = direct(&upstream, &token("a", 1));
    client.patch(&label_path(1), r#"{"label":"new"}"#).send().await.assert_label("new");
    client.delete(&label_path(2)).send().await.assert_label("a-2");
    client.get(&label_path(2)).send().await.assert_status(404);
    let made = client.post(LABELS, r#"{"label":"made","interest_status_label":"neutral"}"#).send().await;
    let id = made.assert_label("made").json()["id"].as_str().expect("an id").to_owned();
    client.get(&format!("{LABELS}/{id}")).send().await.assert_label("made");
    direct(&upstream, &token("b", 1)).get(&label_path(1)).send().await.assert_label("b-1");
}

#[tokio::test]
async fn the_vendor_knows_whom_it_serves() {
    let (vendor, upstream) = vendor_world();
    let admin = direct(&upstream, &token("admin", 1));
    let path = label_path(1);
    admin.get(&path).send().await.assert_label("admin-1");
    admin.workspace(organization("b")).get(&path).send().await.assert_label("b-1");
    admin.workspace(organization("c")).get(&path).send().await.assert_status(403);
    direct(&upstream, "unknown").get(&path).send().await.assert_status(401);
    Caller::anonymous(upstream.address()).get(&path).send().await.assert_status(401);
    vendor.revoke(&token("admin", 1));
    let refused = admin.get(&path).send().await;
    refused.assert_status(401);
    assert_eq!(refused.json()["error"], "Unauthorized");
}

#[test]
fn tokens_look_like_the_vendors_and_differ() {
    let all: std::collections::HashSet<String> =
        ["a", "b", "admin"].iter().flat_map(|name| (1..=3).map(|n| token(name, n))).collect();
    assert_eq!(all.len(), 9);
    assert!(all.iter().all(|token| token.len() == 68 && token.ends_with("==") && !token.contains(' ')));
    assert_eq!(label_id(1).to_string().len(), 36);
}

#[test]
fn metrics_are_summed_over_the_labels_that_are_not_asked_for() {
    let text = "# TYPE a counter\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"3\"} 4\nb 5\na_total_more{x=\"1\"} 9\n";
    assert_eq!(sum_of_series(text, "a_total", &["x=\"1\"".to_owned()]), 7.0);
    assert_eq!(sum_of_series(text, "a_total", &["y=\"3\"".to_owned()]), 4.0);
    assert_eq!(sum_of_series(text, "b", &[]), 5.0);
    assert_eq!(sum_of_series(text, "c", &[]), 0.0);
}

#[tokio::test]
async fn concurrent_tasks_give_their_outputs_in_order() {
    let upstream = always(Answer::json(200, "{}"));
    let client = direct(&upstream, "t");
    let statuses = together(8, |n| {
        let sent = client.get(&format!("/{n}")).send();
        async move { (n, sent.await.status) }
    });
    assert_eq!(patiently("all of them", statuses).await, (0..8).map(|n| (n, 200)).collect::<Vec<_>>());
}
