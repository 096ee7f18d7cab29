//! What is no label read goes through unchanged in meaning, both ways.

use instantly_proxy::error::ErrorKind;

use crate::support::labels::{CAMPAIGNS, error, token};
use crate::support::{Answer, Framing, Streams, World};

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// A request to `/api/v2/x` by a caller with a token, with these lines and this body, as bytes.
fn request(method: &str, lines: &str, body: &str) -> String {
    let lines = lines.replace('\n', "\r\n");
    let token = token("a", 1);
    format!("{method} /api/v2/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{lines}\r\n{body}")
}

/// A world in which the caller's organization is known: an unknown caller's first answer starts a list read of its own.
async fn introduced() -> World {
    let world = World::start();
    world.proven("a", 1).await;
    world
}

#[tokio::test]
async fn methods_targets_and_bodies_arrive_as_they_were_sent() {
    let world = introduced().await;
    let caller = world.caller("a", 1);
    let target = "/api/v2/leads/list?x=%2F..&y=a+b&z=%ff&empty&q=//";
    for method in METHODS {
        let body = format!("{{\"by\": \"{method}\"}}");
        let reply = caller.request(method, target).json(&body).send().await;
        reply.assert_status(200).assert_cache_status("fwd=bypass");
        let seen = world.upstream.last();
        assert!(seen.is(method, target), "{seen:?}");
        assert_eq!((seen.text(), seen.field("content-type")), (body, Some("application/json")));
    }
}

/// The HTTP library of the way up has defaults of its own for some methods; none of them may show.
#[tokio::test]
async fn a_body_is_framed_as_it_was_announced_for_every_method() {
    let world = introduced().await;
    let chunks = "4\r\nabcd\r\n0\r\n\r\n";
    for method in METHODS {
        for (lines, body, framing, read) in [
            ("", "", Framing::None, ""),
            ("Content-Length: 0\n", "", Framing::Length(0), ""),
            ("Content-Length: 4\n", "abcd", Framing::Length(4), "abcd"),
            ("Transfer-Encoding: chunked\n", chunks, Framing::Chunked, "abcd"),
            ("Transfer-Encoding: chunked\n", "0\r\n\r\n", Framing::Chunked, ""),
        ] {
            let mut raw = world.proxy.raw().await;
            raw.send(request(method, lines, body)).await;
            assert_eq!(raw.read_head_only().await.status(), 200, "{method} {lines}");
            let seen = world.upstream.last();
            assert!(seen.is(method, "/api/v2/x"), "{seen:?}");
            assert_eq!((seen.framing, seen.text().as_str()), (framing, read), "{method} {lines}");
        }
    }
}

#[tokio::test]
async fn a_body_over_http2_is_framed_as_it_was_announced_for_every_method() {
    let world = introduced().await;
    let authorization = format!("Bearer {}", token("a", 1));
    let mut streams = Streams::open(world.proxy.address()).await;
    for method in METHODS {
        for (length, framing) in
            [(None, Framing::Chunked), (Some("4"), Framing::Length(4)), (Some("0"), Framing::Length(0))]
        {
            let mut fields = vec![("authorization", authorization.as_str())];
            fields.extend(length.map(|length| ("content-length", length)));
            let mut stream = streams.begin(method, "/api/v2/x", &fields).await;
            let body = if length == Some("0") { "" } else { "abcd" };
            stream.end(body);
            stream.answer().await.expect("an answer").assert_status(200);
            let seen = world.upstream.last();
            assert_eq!((seen.framing, seen.text().as_str()), (framing, body), "{method} {length:?}");
        }
    }
}

#[tokio::test]
async fn a_label_write_without_a_byte_says_so_as_it_was_said() {
    let world = introduced().await;
    let caller = world.caller("a", 1);
    let target = crate::support::labels::label_path(1);
    for (length, framing) in [(Some("0"), Framing::Length(0)), (None, Framing::None)] {
        let mut outgoing = caller.request("DELETE", &target);
        if let Some(length) = length {
            outgoing = outgoing.field("content-length", length);
        }
        let _ = outgoing.send().await;
        assert_eq!(world.upstream.last().framing, framing, "{length:?}");
    }
}

#[tokio::test]
async fn a_bad_chunk_of_any_method_is_told_to_be_the_clients_fault() {
    let world = introduced().await;
    let whole = world.upstream.count();
    for method in METHODS {
        let mut raw = world.proxy.raw().await;
        raw.send(request(method, "Transfer-Encoding: chunked\n", "4\r\nabcd\r\nxyz\r\n")).await;
        assert_eq!(raw.read_head_only().await.status(), 400, "{method}");
        assert_eq!(world.upstream.count(), whole, "{method}");
    }
}

#[tokio::test]
async fn unknown_fields_are_kept_and_repeated_ones_stay_in_order() {
    let world = introduced().await;
    let outgoing = world.caller("a", 1).get(CAMPAIGNS);
    let outgoing = outgoing.field("x-custom", "one").field("x-custom", "two").field("x_under", "kept");
    let outgoing =
        outgoing.field("user-agent", "curl/8").field("accept", "*/*").field("accept-encoding", "br, gzip");
    outgoing.field("cookie", "session=1").field("idempotency-key", "k").send().await.assert_status(200);
    let seen = world.upstream.last();
    assert_eq!(seen.head.values("x-custom"), ["one", "two"]);
    for (name, value) in [
        ("x_under", "kept"),
        ("user-agent", "curl/8"),
        ("accept", "*/*"),
        ("accept-encoding", "br, gzip"),
        ("cookie", "session=1"),
        ("idempotency-key", "k"),
    ] {
        assert_eq!(seen.field(name), Some(value));
    }
    assert_eq!(seen.field("host"), Some(world.upstream.address().to_string().as_str()));
}

#[tokio::test]
async fn a_request_without_a_user_agent_gets_none() {
    let world = introduced().await;
    world.caller("a", 1).get(CAMPAIGNS).send().await.assert_status(200);
    assert_eq!(world.upstream.last().field("user-agent"), None);
}

#[tokio::test]
async fn any_authorization_passes_off_the_label_paths() {
    let world = introduced().await;
    world.upstream.reply_to("POST", "/oauth/token", Answer::json(200, "{}"));
    let outgoing = world.proxy.anonymous().post("/oauth/token", "{}").field("authorization", "Basic YTpi");
    outgoing.send().await.assert_status(200);
    assert_eq!(world.upstream.last().field("authorization"), Some("Basic YTpi"));
    let refused = world.proxy.anonymous().get(CAMPAIGNS).send().await;
    refused.assert_refused_upstream(401).assert_cache_status("fwd=bypass");
}

#[tokio::test]
async fn hop_by_hop_fields_end_here_on_the_way_up() {
    let world = introduced().await;
    let mut raw = world.proxy.raw().await;
    let lines = "Connection: keep-alive, X-Hop\nX-Hop: 1\nKeep-Alive: timeout=5\nProxy-Connection: close\n\
                 Upgrade: h2c\nTE: trailers\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: http\nForwarded: for=x\n\
                 X-Original-URL: /x\nX-Host: a\nClient-Ip: 1.2.3.4\nX-Client-IP: 1.2.3.4\n\
                 True-Client-IP: 1.2.3.4\nX-Cluster-Client-IP: 1.2.3.4\nX-Kept: 1\n";
    raw.send(request("GET", lines, "")).await;
    assert_eq!(raw.read().await.status(), 200);
    let seen = world.upstream.last();
    for name in [
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "te",
        "x-forwarded-for",
        "x-forwarded-proto",
        "forwarded",
        "x-original-url",
        "x-host",
        "client-ip",
        "x-client-ip",
        "true-client-ip",
        "x-cluster-client-ip",
    ] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert_eq!(seen.field("x-kept"), Some("1"));
}

#[tokio::test]
async fn hop_by_hop_fields_end_here_on_the_way_down() {
    let world = introduced().await;
    let answer =
        Answer::json(200, "{}").field("connection", "x-hop").field("x-hop", "1").field("x-kept", "1");
    let answer =
        answer.field("keep-alive", "timeout=5").field("proxy-connection", "close").field("upgrade", "h2c");
    world.upstream.reply_to("GET", CAMPAIGNS, answer);
    let reply = world.caller("a", 1).get(CAMPAIGNS).send().await;
    for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(reply.field(name), None, "{name}");
    }
    assert_eq!(reply.field("x-kept"), Some("1"));
}

#[tokio::test]
async fn bodies_pass_in_whatever_framing() {
    let world = introduced().await;
    let mut raw = world.proxy.raw().await;
    raw.send(request("POST", "Transfer-Encoding: chunked\n", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")).await;
    assert_eq!(raw.read().await.status(), 200);
    assert_eq!(world.upstream.last().text(), "abcde");
    raw.send(request("POST", "Content-Length: 5\n", "fghij")).await;
    assert_eq!(raw.read().await.status(), 200);
    assert_eq!(
        (world.upstream.last().text().as_str(), world.upstream.last().framing),
        ("fghij", Framing::Length(5))
    );
    raw.send(request("POST", "Content-Length: 0\n", "")).await;
    assert_eq!(raw.read().await.status(), 200);
    assert_eq!(world.upstream.last().text(), "");
    let large = "x".repeat(3 * 1024 * 1024);
    world.caller("a", 1).post("/api/v2/x", &large).send().await.assert_status(200);
    assert_eq!(world.upstream.last().body.len(), large.len(), "no limit on what passes through");
}

#[tokio::test]
async fn a_request_body_is_passed_on_while_it_still_comes() {
    let world = introduced().await;
    let mut raw = world.proxy.raw().await;
    raw.send(request("POST", "Content-Length: 6\n", "abc")).await;
    world.upstream.heads_arrived(1).await;
    raw.send("def").await;
    assert_eq!(raw.read().await.status(), 200);
    assert_eq!(world.upstream.last().text(), "abcdef");
}

#[tokio::test]
async fn answers_pass_in_whatever_framing() {
    let body = "y".repeat(100_000);
    for answer in [
        Answer::json(200, body.clone()),
        Answer::json(200, body.clone()).chunked(),
        Answer::json(200, body.clone()).close_delimited(),
    ] {
        let world = introduced().await;
        world.upstream.reply_to("GET", CAMPAIGNS, answer);
        world.caller("a", 1).get(CAMPAIGNS).send().await.assert_status(200).assert_text(&body);
    }
}

#[tokio::test]
async fn an_answer_is_passed_on_while_it_still_comes() {
    let world = introduced().await;
    world.upstream.reply_to("GET", "/api/v2/x", Answer::json(200, "abcdef").stall_after(3));
    let mut raw = world.proxy.raw().await;
    raw.send(request("GET", "", "")).await;
    let reply = raw.read_head_only().await;
    assert_eq!(reply.head.values("content-length"), ["6"], "the head does not wait for the rest");
}

#[tokio::test]
async fn a_cut_answer_is_cut_for_the_client_too() {
    let body = "z".repeat(10_000);
    for answer in
        [Answer::json(200, body.clone()).cut_after(5_000), Answer::json(200, body).chunked().cut_after(5_000)]
    {
        let world = introduced().await;
        world.upstream.reply_to("GET", CAMPAIGNS, answer);
        let outcome = world.caller("a", 1).get(CAMPAIGNS).attempt().await;
        assert!(outcome.as_ref().map_or(true, |reply| reply.status == 502), "{outcome:?}");
    }
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let world = introduced().await;
    for (method, answer) in [
        ("HEAD", Answer::json(200, "{}")),
        ("DELETE", Answer::status(204)),
        ("GET", Answer::status(304).field("etag", "\"x\"")),
    ] {
        world.upstream.reply_to(method, "/api/v2/x", answer);
        let mut raw = world.proxy.raw().await;
        raw.send(request(method, "If-None-Match: \"x\"\n", "")).await;
        let reply = raw.read_head_only().await;
        assert!([200, 204, 304].contains(&reply.status()), "{method}");
        assert_eq!(world.upstream.last().field("if-none-match"), Some("\"x\""));
        assert_eq!(world.upstream.last().method, method);
        raw.send(request("GET", "Connection: close\n", "")).await;
        assert!([200, 304].contains(&raw.read_head_only().await.status()), "the connection is still in step");
    }
}

#[tokio::test]
async fn compressed_bodies_are_not_touched() {
    let world = introduced().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let answer = Answer::body(200, "application/json", bytes.clone()).field("content-encoding", "br");
    world.upstream.reply_to("GET", CAMPAIGNS, answer);
    let reply = world.caller("a", 1).get(CAMPAIGNS).send().await;
    assert_eq!((reply.body.as_ref(), reply.field("content-encoding")), (bytes.as_slice(), Some("br")));
}

#[tokio::test]
async fn every_status_and_field_of_the_upstream_is_passed_on() {
    let world = introduced().await;
    for status in [201, 202, 301, 307, 400, 402, 403, 404, 409, 413, 422, 429, 500, 501] {
        let body = error(status, "Vendor.");
        let answer =
            Answer::json(status, body.clone()).field("retry-after", "7").field("location", "/elsewhere");
        world.upstream.reply_to("POST", "/api/v2/x", answer);
        let reply = world.caller("a", 1).post("/api/v2/x", "{}").send().await;
        reply.assert_refused_upstream(status).assert_text(&body).assert_cache_status("fwd=bypass");
        assert_eq!((reply.field("retry-after"), reply.field("location")), (Some("7"), Some("/elsewhere")));
        world.proxy.advance_seconds(15);
    }
}

#[tokio::test]
async fn several_cookies_stay_several() {
    let world = introduced().await;
    let answer =
        Answer::json(200, "{}").field("set-cookie", "a=1, b").field("set-cookie", "c=2").field("link", "<x>");
    world.upstream.reply_to("GET", CAMPAIGNS, answer.field("link", "<y>"));
    let reply = world.caller("a", 1).get(CAMPAIGNS).send().await;
    assert_eq!(reply.values("set-cookie"), ["a=1, b", "c=2"]);
    assert_eq!(reply.values("link"), ["<x>", "<y>"]);
}

#[tokio::test]
async fn what_a_cache_behind_us_says_of_itself_stays() {
    let world = introduced().await;
    world.upstream.reply_to("GET", CAMPAIGNS, Answer::json(200, "{}").field("cache-status", "edge; hit"));
    let reply = world.caller("a", 1).get(CAMPAIGNS).send().await;
    assert_eq!(reply.values("cache-status"), ["edge; hit", "instantly-proxy; fwd=bypass"]);
}

#[tokio::test]
async fn trailers_are_dropped_both_ways() {
    let world = introduced().await;
    world.upstream.reply_to("POST", "/api/v2/x", Answer::json(200, "{}").trailer("x-trailer", "1"));
    let mut raw = world.proxy.raw().await;
    raw.send(request("POST", "Transfer-Encoding: chunked\nTrailer: x-t\n", "1\r\na\r\n0\r\nx-t: 1\r\n\r\n"))
        .await;
    let reply = raw.read().await;
    assert_eq!((reply.status(), reply.body.as_slice()), (200, b"{}".as_slice()));
    assert!(reply.trailers.is_empty(), "{:?}", reply.trailers);
    let seen = world.upstream.last();
    assert_eq!((seen.text().as_str(), seen.field("x-t")), ("a", None));
}

#[tokio::test]
async fn expect_is_answered_here_and_not_passed_on() {
    let world = introduced().await;
    let mut raw = world.proxy.raw().await;
    raw.send(request("POST", "Expect: 100-Continue\nContent-Length: 3\n", "")).await;
    assert_eq!(raw.read().await.status(), 100);
    raw.send("abc").await;
    assert_eq!(raw.read().await.status(), 200);
    assert_eq!((world.upstream.last().text().as_str(), world.upstream.last().field("expect")), ("abc", None));
}

/// Q15.
#[tokio::test]
async fn more_interim_answers_than_any_answer_needs_are_an_error() {
    let world = introduced().await;
    for (count, fails) in [(8, false), (9, true), (1000, true)] {
        let interim = |answer: Answer| {
            (0..count).fold(answer, |answer, _| answer.interim("HTTP/1.1 103 Early Hints\r\nLink: <x>"))
        };
        let label = crate::support::labels::label_path(count);
        for target in ["/api/v2/x", &label] {
            world.upstream.reply_to("GET", target, interim(Answer::json(404, "{}")));
            let reply = world.caller("a", 1).get(target).send().await;
            if fails {
                reply.assert_error(ErrorKind::BadUpstreamAnswer);
            } else {
                reply.assert_status(404);
            }
        }
    }
    let endless = "HTTP/1.1 102 Processing\r\n\r\n".repeat(9);
    world.upstream.reply_to("GET", CAMPAIGNS, Answer::raw(endless));
    world.caller("a", 1).get(CAMPAIGNS).send().await.assert_error(ErrorKind::BadUpstreamAnswer);
}

#[tokio::test]
async fn interim_answers_are_dropped_and_a_switch_of_protocols_is_an_error() {
    let world = introduced().await;
    let answer = Answer::json(200, "{}").interim("HTTP/1.1 103 Early Hints\r\nLink: <x>");
    world.upstream.reply_to("GET", "/api/v2/x", answer.interim("HTTP/1.1 102 Processing"));
    let mut raw = world.proxy.raw().await;
    raw.send(request("GET", "", "")).await;
    assert_eq!(raw.read().await.status(), 200);
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    world.upstream.reply_to("GET", CAMPAIGNS, Answer::raw(switched));
    world.caller("a", 1).get(CAMPAIGNS).send().await.assert_error(ErrorKind::UnaskedUpgrade);
}

#[tokio::test]
async fn ten_requests_share_a_connection_up_and_down() {
    let world = introduced().await;
    let mut raw = world.proxy.raw().await;
    for _ in 0..10 {
        raw.send(request("GET", "", "")).await;
        assert_eq!(raw.read().await.status(), 200);
    }
    assert!(world.upstream.connections() < 10, "upstream connections are kept, too");
}

#[tokio::test]
async fn a_call_whose_client_left_before_the_answer_is_counted() {
    let world = introduced().await;
    let gate = world.upstream.hold(|request| request.target == "/api/v2/x");
    let mut raw = world.proxy.raw().await;
    raw.send(request("GET", "", "")).await;
    gate.held(1).await;
    raw.reset();
    let labels = [("purpose", "pass_through"), ("status", "error")];
    world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", &labels, 1.0).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let world = introduced().await;
    let mut raw = world.proxy.raw().await;
    let both = request("POST", "Content-Length: 1\n", "1") + &request("POST", "Content-Length: 1\n", "2");
    raw.send(both).await;
    for expected in ["1", "2"] {
        assert_eq!(raw.read().await.reply().json()["body"], expected);
    }
}

/// RFC 9110 §6.6.1, §7.6.3, §10.2.4.
#[tokio::test]
async fn via_grows_and_date_and_server_are_those_of_the_origin() {
    let world = introduced().await;
    let date = "Sat, 01 Jan 2000 00:00:00 GMT";
    let answer = Answer::json(200, "{}").field("via", "1.1 edge").field("server", "x").field("date", date);
    world.upstream.reply_to("GET", CAMPAIGNS, answer);
    let reply = world.caller("a", 1).get(CAMPAIGNS).field("via", "1.0 before").send().await;
    assert_eq!(reply.values("via"), ["1.1 edge", "1.1 instantly-proxy"]);
    assert_eq!((reply.field("server"), reply.field("date")), (Some("x"), Some(date)));
    let seen = world.upstream.last();
    let via = seen.head.values("via");
    assert!(
        via.len() == 2 && via[0] == "1.0 before" && via[1].starts_with("1.1 instantly-proxy-"),
        "{via:?}"
    );

    world.upstream.reply_to("GET", CAMPAIGNS, Answer::json(200, "{}"));
    let reply = world.caller("a", 1).over_http2().get(CAMPAIGNS).send().await;
    assert!(world.upstream.last().field("via").is_some_and(|via| via.starts_with("2 instantly-proxy-")));
    assert_eq!((reply.field("server"), reply.values("date").len()), (None, 1));
}

#[tokio::test]
async fn what_the_edge_says_of_its_own_address_ends_here() {
    let world = introduced().await;
    world.upstream.reply_to(
        "GET",
        CAMPAIGNS,
        Answer::json(200, "{}").field("alt-svc", "h3=\":443\"; ma=86400"),
    );
    let reply = world.caller("a", 1).get(CAMPAIGNS).send().await;
    assert_eq!(reply.assert_status(200).field("alt-svc"), None);
}

#[tokio::test]
async fn a_status_without_a_phrase_has_none() {
    let world = introduced().await;
    world.upstream.reply_to("GET", "/api/v2/x", Answer::json(599, "{}"));
    let mut raw = world.proxy.raw().await;
    raw.send(request("GET", "", "")).await;
    assert_eq!(raw.read().await.head.first_line, "HTTP/1.1 599 ");
}
