//! Time-outs and bounds of a connection (security.md F12, F15, F16, Q17).

use std::num::NonZeroUsize;

use super::*;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

#[test]
fn a_connection_that_never_finishes_its_first_head_is_closed_at_the_header_time_out() {
    let server = TestServer::start();
    let beginnings: [&[u8]; 6] = [
        b"",
        b"P",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"GET / HTTP/1.1\r\nhost: a\r\n",
    ];
    for beginning in beginnings {
        let mut client = server.connect();
        client.send(beginning);
        let passed = server.advance_until_closed(&mut client);
        assert!(passed >= HEADER_TIMEOUT, "{beginning:?}: {passed:?}");
    }
}

#[test]
fn a_head_that_ends_in_time_is_answered() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\n");
    server.hand.advance(HEADER_TIMEOUT.checked_sub(Duration::from_secs(1)).unwrap());
    client.send(b"host: a\r\n\r\n").assert_answer(200);
}

#[test]
fn an_idle_connection_lives_through_the_idle_time_of_common_pools() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.get("/").assert_answer(200);
    server.hand.advance(Duration::from_secs(100));
    client.get("/").assert_answer(200);
    let passed = server.advance_until_closed(&mut client);
    assert!(passed >= IDLE_TIMEOUT, "{passed:?}");
}

#[test]
fn a_slow_second_head_is_closed_though_the_first_was_fast() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.get("/").assert_answer(200);
    client.send(b"GET / HTTP/1.1\r\n");
    let passed = server.advance_until_closed(&mut client);
    assert!(passed >= HEADER_TIMEOUT, "{passed:?}");
}

#[test]
fn a_request_under_way_outlives_every_time_out_of_its_connection() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.get("/held");
    server.arrival();
    server.hand.advance(10 * IDLE_TIMEOUT);
    // Another connection is swept meanwhile: so the first one was looked at too.
    server.advance_until_closed(&mut server.connect());
    server.gate.add_permits(1);
    assert_eq!(client.answer().1, b"held");
}

#[test]
fn a_reader_that_takes_nothing_of_its_answer_is_cut() {
    let server = TestServer::start_with(|config| config.listen.workers = NonZeroUsize::new(1));
    let (mut stalled, mut bystander) = (server.connect(), server.connect());
    stalled.get("/big");
    bystander.get("/").assert_answer(200);
    let metrics = server.server.metrics();
    let passed = server.advance_until(|| {
        // A round trip through the only worker, so that its sweep keeps up with the steps.
        bystander.get("/").assert_answer(200);
        metrics.totals().connections == 1
    });
    assert!(passed >= Duration::from_secs(30), "{passed:?}");
}

#[test]
fn a_head_over_its_limits_is_answered_431_and_the_connection_closed() {
    let server = TestServer::start();
    let large = |length: usize| format!("GET / HTTP/1.1\r\nhost: a\r\na: {}\r\n\r\n", "a".repeat(length));
    let many = |count: usize| format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(count - 1));
    for (head, status) in [
        (large(31 * 1024), 200),
        (large(33 * 1024), 431),
        (large(200 * 1024), 431),
        (many(100), 200),
        (many(101), 431),
    ] {
        let mut client = server.connect();
        // Of what is over the limit the server reads no more: sending the rest may fail.
        client.0.write_all(head.as_bytes()).ok();
        client.assert_answer(status);
        if status == 431 {
            assert!(client.is_closed());
        }
    }
}

#[test]
fn what_is_no_http_is_answered_400_and_the_connection_closed() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").assert_answer(400);
    assert!(client.is_closed());
}

#[test]
fn connections_are_counted_while_they_are_open() {
    let server = TestServer::start();
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.get("/").assert_answer(200));
    assert_eq!(server.server.metrics().totals().connections, 3);
    drop(clients);
    while server.server.metrics().totals().connections > 0 {
        thread::yield_now();
    }
}

/// It is read over to keep the connection: nothing in it is a head. Where `100 Continue` was asked for and not waited for any
/// longer, the connection ends.
#[test]
fn the_rest_of_a_body_that_nobody_read_begins_no_request_and_hides_none() {
    let server = TestServer::start_with(|config| config.listen.workers = NonZeroUsize::new(1));
    let answered_early = |pieces: &[&str], expect: &str| {
        let mut client = server.connect();
        let head =
            format!("POST /held HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n{expect}\r\n{}", pieces[0]);
        client.send(head.as_bytes());
        assert_eq!(server.arrival(), "/held");
        pieces[1..].iter().for_each(|piece| _ = client.send(piece.as_bytes()));
        // A round trip through the only worker: it knows that the rest has come.
        server.connect().get("/").assert_answer(200);
        assert_eq!(server.arrival(), "/");
        server.gate.add_permits(1);
        (client.answer().0, client)
    };
    let pieces = &["{\"a#\":1}"];
    answered_early(pieces, "").1.get("/next").assert_answer(200);
    assert_eq!(server.arrival(), "/next", "without a fragment");
    let passed = server.advance_until_closed(&mut answered_early(pieces, "").1);
    assert!(passed >= Duration::from_secs(60), "it stands idle: {passed:?}");
    let (head, mut ending) = answered_early(&["", pieces[0]], "expect: 100-continue\r\n");
    assert!(head.contains("connection: close\r\n"), "{head}");
    server.advance_until_closed(ending.get("/next"));
    answered_early(pieces, "").1.get("/next#").assert_answer(200);
    assert_eq!(server.arrival(), "/next#");
}

/// It is slow to send, and may read as fast as anybody: what ends connections that read nothing is not for it.
#[test]
fn who_was_held_for_long_and_sends_no_body_has_its_answer() {
    let server = TestServer::start_with(|config| config.listen.workers = NonZeroUsize::new(1));
    let mut client = server.connect();
    client.send(b"POST /held HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n");
    assert_eq!(server.arrival(), "/held");
    let mut other = server.connect();
    for _ in 0..40 {
        server.hand.advance(Duration::from_secs(1));
        // A round trip through the only worker: it has seen how late it is.
        other.get("/").assert_answer(200);
        assert_eq!(server.arrival(), "/");
    }
    server.gate.add_permits(1);
    client.0.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    server.advance_until(|| client.0.peek(&mut [0]).is_ok());
    let (head, _) = client.answer();
    assert!(head.starts_with("http/1.1 200 ") && head.contains("connection: close\r\n"), "{head}");
}
