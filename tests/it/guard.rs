//! What two parsers could read differently is refused, closes the connection, and reaches nobody.
//!
//! Each row is sent as bytes by a proven caller whose label is cached: a refusal comes before a hit, too. Behind each
//! request that must close the connection lies a second one, which must never be read.

use instantly_proxy::error::ErrorKind;
use instantly_proxy::error::ErrorKind as Kind;

use crate::support::labels::{LABELS, label_path, token};
use crate::support::{RawReply, TestProxy, TestUpstream, World};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// A request with a request line's first two words, further lines and a body. Authorization comes last.
fn request(line: &str, fields: &str, body: &str) -> String {
    let fields = fields.replace('\n', "\r\n");
    format!("{line} HTTP/1.1\r\n{fields}Authorization: Bearer {}\r\n\r\n{body}", token("a", 1))
}

/// A read of label 1 with further lines.
fn read(fields: &str) -> String {
    request(&format!("GET {}", label_path(1)), &format!("Host: a\n{fields}"), "")
}

fn get(target: &str) -> String {
    request(&format!("GET {target}"), "Host: a\n", "")
}

/// Sends bytes on a new connection of a warm world; the answer, if there is one, and whether the connection ended.
async fn exchange(world: &World, bytes: &str) -> (Option<RawReply>, bool) {
    let mut raw = world.proxy.raw().await;
    raw.send(bytes).await;
    let reply = raw.read_or_end().await;
    raw.half_close().await;
    let rest = raw.read_to_end().await;
    (reply, rest.is_empty())
}

/// Every row is refused with its kind; a 400 is the last thing on its connection; nothing goes upstream.
async fn assert_refused(rows: &[(&str, String, ErrorKind)]) {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let heads = world.upstream.heads();
    for (row, bytes, kind) in rows {
        let closes = kind.status() == 400;
        let bytes = if closes { format!("{bytes}{SMUGGLED}") } else { bytes.clone() };
        let (reply, silent) = exchange(&world, &bytes).await;
        let reply = reply.unwrap_or_else(|| panic!("{row}: no answer")).reply();
        assert_eq!(reply.error_kind(), Some(*kind), "{row}: {reply:?}");
        reply.assert_error(*kind);
        if closes {
            assert_eq!(reply.field("connection"), Some("close"), "{row}");
            assert!(silent, "{row}: more was answered");
        }
        assert_eq!(world.upstream.heads(), heads, "{row}: something went upstream");
    }
    caller.get(&label_path(1)).send().await.assert_hit();
}

#[tokio::test]
async fn framing_that_could_be_read_twice_is_refused() {
    let post = |fields: &str, body: &str| request("POST /api/v2/x", &format!("Host: a\n{fields}"), body);
    let chunks = "0\r\n\r\n";
    assert_refused(&[
        (
            "Q1 chunked twice",
            post("Transfer-Encoding: chunked, chunked\n", chunks),
            Kind::BadTransferEncoding,
        ),
        (
            "Q1 chunked in two fields",
            post("Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n", chunks),
            Kind::BadTransferEncoding,
        ),
        ("Q1 empty coding", post("Transfer-Encoding: ,chunked\n", chunks), Kind::BadTransferEncoding),
        ("Q1 another coding", post("Transfer-Encoding: gzip, chunked\n", chunks), Kind::BadTransferEncoding),
        ("Q1 leading zero", post("Content-Length: 010\n", "0123456789"), Kind::BadContentLength),
        ("Q15 Expect", post("Expect: y 100-continue\n", ""), Kind::ExpectationFailed),
        ("Q15 Expect twice", post("Expect: 100-continue, x\n", ""), Kind::ExpectationFailed),
    ])
    .await;
}

#[tokio::test]
async fn what_the_parser_itself_cannot_read_is_refused() {
    let world = World::start();
    world.proven("a", 1).await;
    let heads = world.upstream.heads();
    let post = |fields: &str, body: &str| request("POST /api/v2/x", &format!("Host: a\n{fields}"), body);
    for (row, bytes) in [
        ("Q1 different lengths", post("Content-Length: 3\nContent-Length: 4\n", "abcd")),
        ("Q1 list of lengths", post("Content-Length: 3, 4\n", "abcd")),
        ("Q1 signed length", post("Content-Length: +3\n", "abc")),
        ("Q1 empty length", post("Content-Length: \n", "")),
        ("Q1 identity", post("Transfer-Encoding: identity\n", "abc")),
        ("Q1 chunked not last", post("Transfer-Encoding: chunked, gzip\n", "0\r\n\r\n")),
        ("Q1 TE in 1.0", post("Transfer-Encoding: chunked\n", "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0")),
        ("Q1 folded field", read("X-A: a\n b\n")),
        ("Q1 blank before the colon", read("X-A : a\n")),
        ("Q1 NUL", read("X-A: a\0b\n")),
        ("Q1 another version", get(&label_path(1)).replace("HTTP/1.1", "HTTP/1.2")),
        ("Q1 no version", format!("GET {}\r\n\r\n", label_path(1))),
        ("Q1 garbage", "\u{16}\u{3}\u{1}\r\n\r\n".to_owned()),
    ] {
        let (reply, silent) = exchange(&world, &format!("{bytes}{SMUGGLED}")).await;
        let status = reply.as_ref().map(RawReply::status);
        assert!(matches!(status, None | Some(400 | 505)), "{row}: {reply:?}");
        assert!(silent, "{row}: more was answered");
        assert_eq!(world.upstream.heads(), heads, "{row}: something went upstream");
    }
}

#[tokio::test]
async fn what_the_parser_repairs_is_served_alone_and_with_one_framing() {
    let world = World::start();
    let smuggling =
        request("POST /api/v2/x", "Host: a\nContent-Length: 5\nTransfer-Encoding: chunked\n", "0\r\n\r\n");
    let (reply, silent) = exchange(&world, &format!("{smuggling}{SMUGGLED}")).await;
    assert!(matches!(reply.map(|reply| reply.status()), None | Some(200 | 400)));
    assert!(silent, "what follows is not read");
    assert_eq!(world.upstream.count_of(|request| request.target == "/smuggled"), 0);

    let twice = request("POST /api/v2/x", "Host: a\nContent-Length: 2\nContent-Length: 2\n", "{}");
    let bare = request("POST /api/v2/x", "Host: a\nContent-Length: 2\n", "{}").replace("\r\n", "\n");
    for bytes in [twice, bare] {
        let (reply, _) = exchange(&world, &bytes).await;
        assert_eq!(reply.expect("an answer").status(), 200);
        // The proxy reads a list of its own beside the caller's call.
        let sent = world.upstream.requests().into_iter().rfind(|request| request.method == "POST");
        let sent = sent.expect("the call");
        assert_eq!((sent.text().as_str(), sent.field("content-length")), ("{}", Some("2")));
    }
}

/// RFC 9112 §7.1.2: readers differ on where the fields behind a body end.
#[tokio::test]
async fn nothing_is_read_behind_a_body_with_trailers() {
    let world = World::start();
    world.proven("a", 1).await;
    let body = "2\r\n{}\r\n0\r\nX-Last: 1\r\n\r\n";
    for line in ["POST /api/v2/x".to_owned(), format!("PATCH {}", label_path(1))] {
        let fields = "Host: a\nContent-Type: application/json\nTransfer-Encoding: chunked\n";
        let (reply, silent) = exchange(&world, &format!("{}{SMUGGLED}", request(&line, fields, body))).await;
        let reply = reply.expect("an answer").reply();
        assert_eq!((reply.status, reply.field("connection")), (200, Some("close")), "{line}");
        assert!(silent, "{line}: what follows is not read");
    }
    assert_eq!(world.upstream.count_of(|request| request.target == "/smuggled"), 0);
}

#[tokio::test]
async fn a_bad_chunk_reaches_nobody_as_a_whole_request() {
    let world = World::start();
    let bytes = request("POST /api/v2/x", "Host: a\nTransfer-Encoding: chunked\n", "zz\r\nabc\r\n0\r\n\r\n");
    let (reply, silent) = exchange(&world, &format!("{bytes}{SMUGGLED}")).await;
    assert!(reply.is_none_or(|reply| reply.status() >= 400));
    assert!(silent);
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn a_bad_chunk_behind_good_ones_is_told_to_be_the_clients_fault() {
    let world = World::start();
    world.proven("a", 1).await;
    let (heads, whole) = (world.upstream.heads(), world.upstream.count());
    let bytes = request("POST /api/v2/x", "Host: a\nTransfer-Encoding: chunked\n", "3\r\nabc\r\n");
    let mut raw = world.proxy.raw().await;
    raw.send(&bytes).await;
    world.upstream.heads_arrived(heads + 1).await;
    raw.send("zz\r\n").await;
    raw.read().await.reply().assert_error(Kind::BodyBroken);
    raw.assert_closed().await;
    assert_eq!(world.upstream.count(), whole);
}

#[tokio::test]
async fn fields_that_would_choose_another_request_are_refused() {
    let connection = |name: &str| read(&format!("Connection: {name}\n"));
    let twice = read(&format!("Authorization: Bearer {}\n", token("a", 2)));
    let mut rows = vec![
        ("Q6 two credentials", twice, Kind::BadAuthorization),
        ("Q9 override", read("X-HTTP-Method-Override: DELETE\n"), Kind::MethodOverride),
        ("Q9 override", read("X-Method-Override: DELETE\n"), Kind::MethodOverride),
        ("Q9 override", read("X-HTTP-Method: DELETE\n"), Kind::MethodOverride),
        ("Q18 look-alike", read("Content_Length: 3\n"), Kind::LookAlikeField),
        ("Q18 look-alike", read("Transfer_Encoding: chunked\n"), Kind::LookAlikeField),
        ("Q18 look-alike", read("X_As_Workspace: b\n"), Kind::LookAlikeField),
    ];
    for name in ["Authorization", "host", "Content-Length", "transfer-encoding", "Cookie", "cache-control"] {
        rows.push(("Q5 nominated field", connection(name), Kind::BadConnection));
        rows.push(("Q5 among others", connection(&format!("keep-alive, {name}")), Kind::BadConnection));
    }
    rows.push(("Q5 nominated field", connection("x-as-workspace"), Kind::BadConnection));
    assert_refused(&rows).await;
}

#[tokio::test]
async fn a_host_that_is_not_one_is_refused() {
    let line = format!("GET {}", label_path(1));
    let absolute =
        |target: &str, host: &str| request(&format!("GET {target}"), &format!("Host: {host}\n"), "");
    assert_refused(&[
        ("Q7 none", request(&line, "", ""), Kind::BadHost),
        ("Q7 empty", request(&line, "Host: \n", ""), Kind::BadHost),
        ("Q7 two", request(&line, "Host: a\nHost: a\n", ""), Kind::RepeatedHost),
        ("Q7 user", request(&line, "Host: u@a\n", ""), Kind::BadHost),
        ("Q7 path", request(&line, "Host: a/b\n", ""), Kind::BadHost),
        ("Q7 bad port", request(&line, "Host: a:x\n", ""), Kind::BadHost),
        ("Q7 absolute, none", request(&format!("GET http://a{}", label_path(1)), "", ""), Kind::BadHost),
        ("Q7 absolute", absolute(&format!("http://b{}", label_path(1)), "a"), Kind::Misdirected),
        ("Q7 absolute, port", absolute(&format!("http://a:1{}", label_path(1)), "a:2"), Kind::Misdirected),
        ("Q7 asterisk", get("*"), Kind::BadTarget),
        ("Q7 authority", get("evil:443"), Kind::BadTarget),
    ])
    .await;
}

#[tokio::test]
async fn any_single_well_formed_host_is_served() {
    let world = World::start();
    world.proven("a", 1).await;
    for host in
        ["a", "localhost:8080", "127.0.0.1", "[::1]:80", "instantly.svc.cluster.local", "api.instantly.ai"]
    {
        for target in [label_path(1), format!("http://{host}{}", label_path(1))] {
            let bytes = request(&format!("GET {target}"), &format!("Host: {host}\n"), "");
            let (reply, _) = exchange(&world, &bytes).await;
            reply.unwrap_or_else(|| panic!("{host}: no answer")).reply().assert_hit();
        }
    }
}

#[tokio::test]
async fn other_spellings_of_a_label_path_are_refused() {
    let id = label_path(1).rsplit('/').next().expect("a path has a segment").to_owned();
    let spellings = [
        "/api/v2/lead%2dlabels".to_owned(),
        "/api/v2/lead%252dlabels".to_owned(),
        "/api/v2//lead-labels".to_owned(),
        "//api/v2/lead-labels".to_owned(),
        "/api/v2/./lead-labels".to_owned(),
        "/api/v2/x/../lead-labels".to_owned(),
        "/api/v2/x/%2e%2e/lead-labels".to_owned(),
        "/api/v2/lead-labels;x".to_owned(),
        "/api/v2/lead-labels;x=y/1".to_owned(),
        "/api/v2\\lead-labels".to_owned(),
        "/api/v2/%5clead-labels".to_owned(),
        "/API/v2/lead-labels".to_owned(),
        "/api/v2/Lead-Labels".to_owned(),
        "/api/v2/lead-labels%00".to_owned(),
        "/api/v2/lead-labels%2f".to_owned() + &id,
        format!("{LABELS}//{id}"),
        format!("{LABELS}/./{id}"),
        format!("{LABELS}/{}", id.replace('-', "%2d")),
    ];
    let rows: Vec<_> = spellings
        .iter()
        .flat_map(|target| ["GET", "DELETE"].map(|method| format!("{method} {target}")))
        .map(|line| ("Q10", request(&line, "Host: a\n", ""), Kind::PathSpelling))
        .collect();
    assert_refused(&rows).await;
}

#[tokio::test]
async fn methods_that_are_not_passed_on_are_named_so() {
    let world = World::start();
    for method in ["OPTIONS", "TRACE", "PURGE", "get", "Delete", "PROPFIND"] {
        for target in [LABELS, "/api/v2/x"] {
            let bytes = request(&format!("{method} {target}"), "Host: a\n", "");
            let reply =
                exchange(&world, &bytes).await.0.unwrap_or_else(|| panic!("{method}: no answer")).reply();
            reply.assert_error(Kind::MethodNotAllowed);
            assert_eq!(reply.field("allow"), Some("GET, HEAD, POST, PUT, PATCH, DELETE"), "RFC 9110 §15.5.6");
        }
    }
    let (reply, _) = exchange(&world, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").await;
    assert!(reply.is_none_or(|reply| [400, 405].contains(&reply.status())));
    assert_eq!(world.upstream.heads(), 0);
}

#[tokio::test]
async fn heads_over_their_limits_are_refused() {
    let world = World::start();
    let long = "x".repeat(8 * 1024);
    let many: String = (0..101).map(|n| format!("X-{n}: 1\n")).collect();
    let large: String = (0..4).map(|n| format!("X-{n}: {}\n", "y".repeat(9 * 1024))).collect();
    for (row, bytes, status) in [
        ("Q17 target", get(&format!("/api/v2/x?{long}")), 414),
        ("Q17 number of fields", read(&many), 431),
        ("Q17 size of fields", read(&large), 431),
    ] {
        let (reply, silent) = exchange(&world, &format!("{bytes}{SMUGGLED}")).await;
        let reply = reply.unwrap_or_else(|| panic!("{row}: no answer"));
        assert_eq!(reply.status(), status, "{row}");
        assert!(silent, "{row}: more was answered");
    }
    assert_eq!(world.upstream.heads(), 0);
}

#[tokio::test]
async fn a_request_that_comes_back_is_told_from_one_of_another_proxy() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let own = world.upstream.last().field("via").map(str::to_owned).expect("a fill has a Via");
    for via in [own.clone(), format!("1.1 other, {own}")] {
        caller.get(&label_path(1)).field("via", &via).send().await.assert_error(Kind::Loop);
    }
    caller.get(&label_path(1)).field("via", "1.1 instantly-proxy-0000").send().await.assert_hit();
}

#[tokio::test]
async fn a_sidecar_in_front_of_a_gateway_is_no_loop() {
    let vendor = World::vendor();
    let upstream = TestUpstream::of(&vendor);
    let gateway = TestProxy::start(&upstream);
    let address = gateway.address();
    let url = format!("http://{address}").parse().expect("an address");
    let sidecar = TestProxy::start_with(&upstream, |config| config.upstream.url = url);
    let caller = sidecar.caller(&token("a", 1));
    for target in [label_path(1), label_path(1), label_path(2), "/api/v2/x".to_owned()] {
        caller.get(&target).send().await.assert_status(200);
    }
    assert_eq!(upstream.count(), 3, "what the sidecar has stored asks nobody");
}

#[tokio::test]
async fn a_refusal_says_nothing_of_the_request() {
    let world = World::start();
    let bytes = read("X-HTTP-Method-Override: c4nary\n").replace("GET /", "GET /c4nary/../");
    let reply = exchange(&world, &bytes).await.0.expect("an answer");
    let head = String::from_utf8_lossy(&reply.head.raw).into_owned();
    assert!(!head.contains("c4nary") && !reply.reply().text().contains("c4nary"), "{head}");
    assert!(!head.contains(&token("a", 1)) && !reply.reply().text().contains(&token("a", 1)));
}

#[tokio::test]
async fn a_read_with_fields_that_mean_nothing_here_is_served() {
    let world = World::start();
    world.proven("a", 1).await;
    for fields in [
        "Content-Length: 0\n",
        "Content-Type: application/json\n",
        "TE: trailers\nConnection: TE\n",
        "TE: deflate,gzip;q=0.3\nConnection: TE, close\n",
        "X-Host: a\n",
        "X-Original-Host: a\nX-Original-URL: /api/v2/lead-labels\nX-Rewrite-URL: /x\n",
    ] {
        let (reply, _) = exchange(&world, &read(fields)).await;
        reply.expect("an answer").reply().assert_hit();
    }
}

#[tokio::test]
async fn what_the_parser_refuses_is_counted() {
    let world = World::start();
    let labels = [("route", "refused"), ("outcome", "rejected"), ("status", "4xx")];
    let (mut counted, mut refused) = (0.0, Vec::new());
    for target in [
        "/api/v2/\"x\"",
        "/api/v2/x?a=\"b\"",
        "/api/v2/<x>",
        "/api/v2/x>",
        "/api/v2/x?a=<b>",
        "/api/v2/x y",
        "x",
    ] {
        let (reply, _) = exchange(&world, &get(target)).await;
        if reply.is_some_and(|reply| reply.status() == 400) {
            counted += 1.0;
            refused.push(target);
        }
        world.proxy.metric_reaches("instantly_proxy_requests_total", &labels, counted).await;
    }
    // In a path it is passed on: clients send JSON there.
    assert_eq!(
        refused,
        ["/api/v2/x?a=\"b\"", "/api/v2/<x>", "/api/v2/x>", "/api/v2/x?a=<b>", "/api/v2/x y", "x"]
    );
    let (reply, _) = exchange(&world, &read(&format!("X-Long: {}\n", "x".repeat(40_000)))).await;
    assert_eq!(reply.map(|reply| reply.status()), Some(431));
    world.proxy.metric_reaches("instantly_proxy_requests_total", &labels, counted + 1.0).await;
}

/// RFC 9112 §3.2: no target has one, and readers differ on where it ends.
#[tokio::test]
async fn a_fragment_in_a_target_is_refused() {
    let label = label_path(1);
    assert_refused(&[
        ("item", get(&format!("{label}#x")), Kind::BadTarget),
        ("query", get(&format!("{LABELS}?limit=1#")), Kind::BadTarget),
        ("elsewhere", get("/api/v2/x#/../y"), Kind::BadTarget),
        ("empty lines before", format!("\r\n{}", get(&format!("{label}#x"))), Kind::BadTarget),
    ])
    .await;
    let world = World::start();
    world.proven("a", 1).await;
    let mut raw = world.proxy.raw().await;
    for _ in 0..2 {
        raw.send(read("X-Kept: a#b\n")).await;
        raw.read().await.reply().assert_hit();
    }
    raw.send(format!("GET {label}")).await;
    world.proxy.metrics_text().await;
    raw.send("#x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    raw.read().await.reply().assert_error(Kind::BadTarget);
}
