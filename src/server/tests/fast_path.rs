//! Requests that are answered from memory, between those that the HTTP library answers.

use std::net::Shutdown as Half;
use std::num::NonZeroUsize;

use super::*;
use crate::cache::stored::StoredBody;

/// Answers `GET /fast/N` with N bytes, each the first letter of the `host`, if that is all that has come. The field `fast` tells
/// such an answer from one of the library's.
pub(super) fn answer(request: &[u8], head: &mut Vec<u8>) -> Option<FromMemory> {
    let text = std::str::from_utf8(request).ok()?.strip_prefix("GET /fast/")?.strip_suffix("\r\n\r\n")?;
    let (length, host) = text.split_once(" HTTP/1.1\r\nhost: ")?;
    let (length, letter) = (length.parse().ok()?, *host.as_bytes().first()?);
    let has_more = host.contains('\r');
    if *host == *"panic" {
        head.extend_from_slice(b"of another caller");
        panic!("on purpose, with an answer that is half written");
    }
    let body = StoredBody::Bytes(Bytes::from(vec![letter; length]));
    head.extend_from_slice(
        format!("HTTP/1.1 200 OK\r\nfast: yes\r\ncontent-length: {length}\r\n\r\n").as_bytes(),
    );
    (!has_more).then_some(FromMemory { body, at: Duration::ZERO })
}

pub(super) fn one_worker() -> TestServer {
    TestServer::start_with(|config| config.listen.workers = NonZeroUsize::new(1))
}

impl TestServer {
    /// A round trip through the only worker: it has seen by now all that was sent before.
    fn settle(&self) {
        self.connect().get("/settle").assert_answer(200);
        while self.arrival() != "/settle" {}
    }

    /// As many sweeps as seconds.
    fn sweep(&self, seconds: u32) {
        for _ in 0..seconds {
            self.hand.advance(Duration::from_secs(1));
            self.settle();
        }
    }
}

impl Client {
    #[track_caller]
    fn assert_fast(&mut self, length: usize) {
        let (head, body) = self.answer();
        assert!(head.contains("\r\nfast: yes\r\n"), "{head}");
        assert_eq!(body, vec![b'a'; length]);
    }

    #[track_caller]
    fn assert_library(&mut self) -> String {
        let (head, _) = self.answer();
        assert!(head.starts_with("http/1.1 200 ") && !head.contains("fast:"), "{head}");
        head
    }
}

#[test]
fn the_ways_take_turns_on_one_connection() {
    let server = TestServer::start();
    let mut client = server.connect();
    for round in 0..200 {
        client.get("/fast/5").assert_fast(5);
        if round % 3 == 0 {
            client.get("/").assert_library();
        }
    }
}

#[test]
fn the_library_keeps_a_connection_that_asks_nothing_else_and_gives_it_back_after_a_second_of_rest() {
    let server = one_worker();
    let mut client = server.connect();
    let mut kept_for = 0;
    for _ in 0..10 {
        client.get("/").assert_library();
    }
    loop {
        let (head, _) = client.get("/fast/1").answer();
        if head.contains("fast: yes") {
            break;
        }
        kept_for += 1;
        assert!(kept_for <= 64, "it never comes back");
    }
    assert!(kept_for > 0, "it was given back after each request");
    // And anew, by rest alone.
    for _ in 0..10 {
        client.get("/").assert_library();
    }
    server.sweep(3);
    client.get("/fast/1").assert_fast(1);
}

#[test]
fn a_head_in_any_two_pieces_is_answered() {
    let server = one_worker();
    let head = b"GET /fast/3 HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut client = server.connect();
    for at in 1..head.len() {
        client.send(&head[..at]);
        server.settle();
        client.send(&head[at..]).assert_library();
    }
}

#[test]
fn requests_in_one_piece_are_answered_in_turn() {
    let server = TestServer::start();
    let mut client = server.connect();
    let (fast, slow) = ("GET /fast/3 HTTP/1.1\r\nhost: a\r\n\r\n", "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n");
    for pieces in [[fast, fast, fast], [slow, fast, slow], [fast, slow, fast], [slow, slow, fast]] {
        client.send(pieces.concat().as_bytes());
        for _ in pieces {
            client.assert_library();
        }
        assert_eq!(server.arrivals.lock().unwrap().try_iter().count(), 3);
    }
}

#[test]
fn the_beginning_of_a_request_behind_another_is_not_lost() {
    let server = one_worker();
    for first in ["/fast/3", "/"] {
        let mut client = server.connect();
        for _ in 0..10 {
            client
                .send(format!("GET {first} HTTP/1.1\r\nhost: a\r\n\r\nGET /fas").as_bytes())
                .assert_library();
            server.settle();
            client.send(b"t/4 HTTP/1.1\r\nhost: a\r\n\r\n").assert_library();
            assert_eq!(server.arrivals.lock().unwrap().try_iter().last().unwrap(), "/fast/4");
        }
    }
}

/// It came while another was answered, and is known to the library by then.
#[test]
fn a_request_that_comes_before_its_time_is_answered_after_the_first() {
    let server = one_worker();
    let mut client = server.connect();
    for _ in 0..10 {
        client.get("/held");
        while server.arrival() != "/held" {}
        client.get("/fast/3");
        server.settle();
        server.gate.add_permits(1);
        client.assert_library();
        client.assert_library();
        assert_eq!(server.arrival(), "/fast/3");
    }
}

#[test]
fn a_target_with_a_fragment_is_told_from_one_without_on_a_connection_that_came_back() {
    let server = TestServer::start();
    let mut client = server.connect();
    for _ in 0..5 {
        client.get("/fast/1").assert_answer(200);
        client.get("/x#y").assert_library();
        while !server.arrival().ends_with('#') {}
        client.get("/x").assert_library();
        assert_eq!(server.arrival(), "/x");
    }
}

#[test]
fn the_version_and_the_wish_of_a_client_to_end_the_connection_are_heeded() {
    let server = TestServer::start();
    for last in [
        "GET /fast/1 HTTP/1.0\r\nhost: a\r\n\r\n",
        "GET /fast/1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.get("/fast/1").assert_fast(1);
        client.get("/").assert_library();
        client.get("/fast/1").assert_fast(1);
        let (head, _) = client.send(last.as_bytes()).answer();
        assert!(!head.contains("fast"), "{head}");
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_sends_no_more_gets_its_answer() {
    let server = TestServer::start();
    for path in ["/fast/70000", "/"] {
        for before in [&[] as &[&str], &["/fast/1"], &["/", "/fast/1"]] {
            let mut client = server.connect();
            before.iter().for_each(|path| client.get(path).assert_answer(200));
            client.get(path);
            client.0.shutdown(Half::Write).unwrap();
            client.assert_answer(200);
            assert!(client.is_closed());
        }
    }
}

/// What the system does not take at once is kept, and is the client's own.
#[test]
fn a_slow_reader_gets_its_own_answer_whole_while_others_are_answered() {
    let server = one_worker();
    let get = |letter: char| format!("GET /fast/{BIG} HTTP/1.1\r\nhost: {letter}\r\n\r\n");
    let mut slow: Vec<_> = ('p'..='s').map(|letter| (letter, server.connect())).collect();
    for (letter, client) in &mut slow {
        client.send(get(*letter).as_bytes());
    }
    let mut other = server.connect();
    for length in [0, 1, 1000, 60_000] {
        other.get(&format!("/fast/{length}")).assert_fast(length);
    }
    for (letter, client) in &mut slow {
        let (_, body) = client.answer();
        assert!(body.len() == BIG && body.iter().all(|byte| *byte == *letter as u8), "{letter}");
        client.get("/fast/1").assert_fast(1);
    }
}

#[test]
fn a_reader_that_takes_nothing_of_an_answer_from_memory_is_cut() {
    let server = one_worker();
    let (mut stalled, mut bystander) = (server.connect(), server.connect());
    stalled.get(&format!("/fast/{BIG}"));
    let metrics = server.server.metrics();
    let passed = server.advance_until(|| {
        bystander.get("/fast/1").assert_fast(1);
        metrics.totals().connections == 1
    });
    assert!(passed >= Duration::from_secs(30), "{passed:?}");
}

#[test]
fn a_connection_that_is_answered_from_memory_alone_has_the_time_outs_of_every_other() {
    let server = one_worker();
    let fast = |client: &mut Client| client.get("/fast/1").assert_fast(1);
    let mut idle = server.connect();
    fast(&mut idle);
    server.hand.advance(Duration::from_secs(100));
    fast(&mut idle);
    let passed = server.advance_until_closed(&mut idle);
    assert!(passed >= Duration::from_secs(20), "{passed:?}");
    for beginning in ["G", "GET /fast/1 HTTP/1.1\r\n"] {
        let (mut slow, mut bystander) = (server.connect(), server.connect());
        fast(&mut slow);
        slow.send(beginning.as_bytes());
        let passed = server.advance_until_closed_beside(&mut slow, || bystander.get("/").assert_answer(200));
        assert!(passed >= Duration::from_secs(10) && passed < Duration::from_secs(60), "{passed:?}");
    }
}

#[test]
fn a_stop_ends_what_is_sent_from_memory_whole_and_closes_what_is_idle() {
    let server = one_worker();
    let (mut idle, mut busy, mut silent) = (server.connect(), server.connect(), server.connect());
    idle.get("/fast/1").assert_fast(1);
    busy.get(&format!("/fast/{BIG}"));
    silent.get("/fast/1").assert_fast(1);
    server.settle();
    server.server.shutdown(Shutdown::Graceful);
    while !server.admin().get("/readyz").answer().0.starts_with("http/1.1 503") {}
    // From now on each answer is a connection's last, and says so.
    server.settle();
    let head = silent.get("/fast/1").assert_library();
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    server.server.shutdown(Shutdown::WithoutDelay);
    assert!(idle.is_closed());
    assert_eq!(busy.answer().1.len(), BIG);
    assert!(busy.is_closed());
    assert_eq!(server.server.wait(), Drained { cut: 0 });
}

#[test]
fn a_reader_of_an_answer_from_memory_that_is_cut_is_told() {
    let server = one_worker();
    let mut busy = server.connect();
    busy.get(&format!("/fast/{BIG}"));
    server.settle();
    server.server.shutdown(Shutdown::Now);
    assert_eq!(server.server.wait(), Drained { cut: 1 });
    drop(busy);
}

#[test]
fn who_is_answered_from_memory_gives_way_as_every_idle_connection() {
    let server = TestServer::start_with(|config| {
        config.listen.max_connections = 2;
        config.listen.workers = NonZeroUsize::new(1);
    });
    let mut idle: Vec<_> = (0..2).map(|_| server.connect()).collect();
    idle.iter_mut().for_each(|client| client.get("/fast/1").assert_fast(1));
    server.hand.advance(Duration::from_secs(1));
    server.connect().get("/fast/1").assert_fast(1);
    let is_closed = |client: &mut Client| {
        client.0.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        client.is_closed()
    };
    assert_eq!(idle.iter_mut().map(is_closed).collect::<Vec<_>>(), [true, false], "the oldest goes");
}

/// The buffers are the thread's: what a request that failed has left in them is in no answer to another one.
#[test]
fn what_a_panic_leaves_in_the_buffers_of_the_thread_is_in_no_answer() {
    let server = one_worker();
    let mut failing = server.connect();
    assert!(failing.send(b"GET /fast/3 HTTP/1.1\r\nhost: panic\r\n\r\n").is_closed());
    let mut client = server.connect();
    let (head, body) = client.get("/fast/3").answer();
    assert!(head.starts_with("http/1.1 200 ok\r\nfast: yes\r\n"), "{head}");
    assert_eq!(body, b"aaa");
}
