use tokio::io::AsyncWriteExt;

use std::cell::Cell;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Waker;
use std::time::Duration;

use super::super::limits::Limits;
use super::super::progress::{Share, Stage};
use super::*;
use crate::body::Body;
use crate::clock::Clock;

/// Whoever reads before the protocol is told has read more than tells it, and all of it is read again.
#[tokio::test]
async fn what_was_read_before_the_protocol_was_told_is_read_again_to_the_last_byte() {
    for length in [1, 14, 23, 24, 25, 1023, 1024, 1025, 2048, 4095, 4096] {
        for start in [PREFACE, b"GET / HTTP/1.1\r\n"] {
            let numbers = (0..).map(|number: usize| number.to_le_bytes()[0]);
            let flight: Vec<u8> = start.iter().copied().chain(numbers).take(length).collect();
            let (mut client, server) = tokio::io::duplex(8192);
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into();
            let mut server = Watched::new(server, peer, Progress::new(Clock::manual().0, Stage::Serving));
            server.keep(&flight);
            let rest = &PREFACE[length.min(PREFACE.len())..];
            client.write_all(rest).await.unwrap();
            client.write_all(b"behind").await.unwrap();
            drop(client);
            let protocol = if start == PREFACE { Protocol::Http2 } else { Protocol::Http1 };
            assert_eq!(server.protocol().await.unwrap(), Some(protocol), "{length} bytes");
            let mut read = Vec::new();
            server.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, [&flight, rest, b"behind"].concat(), "{length} bytes of {start:?}");
        }
    }
}

async fn told_from(pieces: &[&[u8]]) -> (Option<Protocol>, Vec<u8>) {
    let (mut client, server) = tokio::io::duplex(4096);
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into();
    let mut server = Watched::new(server, peer, Progress::new(Clock::manual().0, Stage::Serving));
    let send = async {
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(client);
    };
    let (protocol, ()) = tokio::join!(server.protocol(), send);
    let mut rest = Vec::new();
    server.read_to_end(&mut rest).await.unwrap();
    (protocol.unwrap(), rest)
}

#[tokio::test]
async fn the_protocol_is_told_from_the_first_bytes_and_none_is_lost() {
    let split: Vec<_> = PREFACE.chunks(1).collect();
    let get: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
    let rows: [(&[&[u8]], Option<Protocol>); 6] = [
        (&[PREFACE], Some(Protocol::Http2)),
        (&split, Some(Protocol::Http2)),
        (&[PREFACE, b"more"], Some(Protocol::Http2)),
        (&[get], Some(Protocol::Http1)),
        (&[b"P", b"OST / HTTP/1.1\r\n\r\n"], Some(Protocol::Http1)),
        (&[b"PRI * HTTP/2.0\r\n\r\nX"], Some(Protocol::Http1)),
    ];
    for (pieces, protocol) in rows {
        assert_eq!(told_from(pieces).await, (protocol, pieces.concat()));
    }
}

/// The sweep asked before the answer was there, and the connection's task comes to it after.
#[tokio::test]
async fn a_client_is_not_asked_inside_its_answer_by_a_question_that_is_late() {
    let (mut client, server) = tokio::io::duplex(4096);
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into();
    let (clock, hand) = Clock::manual();
    let progress = Progress::new(clock, Stage::Serving);
    let mut server = Watched::new(server, peer, Rc::clone(&progress));
    for (answered, expected) in [(false, QUESTION), (true, &[][..])] {
        let request = progress.begin();
        progress.note_request(http::Version::HTTP_11, None);
        progress.note_silent();
        hand.advance(Duration::from_secs(1));
        progress.sweep(Limits { header: Duration::MAX, idle: Duration::MAX, stream: Duration::MAX });
        if answered {
            request.note_answered(&Body::empty());
        }
        server.flush().await.unwrap();
        server.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        let mut came = vec![0; expected.len() + 17];
        client.read_exact(&mut came).await.unwrap();
        assert_eq!(came, [expected, b"HTTP/1.1 200 OK\r\n"].concat());
        drop(request);
    }
}

#[tokio::test]
async fn a_client_that_leaves_within_the_preface_speaks_nothing() {
    for pieces in [&[][..], &[&PREFACE[..1]], &[&PREFACE[..23]]] {
        assert_eq!(told_from(pieces).await.0, None);
    }
}

#[tokio::test]
async fn an_answer_that_the_system_takes_at_once_lets_others_on_the_thread_go_between() {
    const PIECE: usize = 64 * 1024;
    const PIECES: usize = 4 * AT_ONCE / PIECE;
    let (_client, server) = tokio::io::duplex(PIECES * PIECE);
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into();
    let mut server = Watched::new(server, peer, Progress::new(Clock::manual().0, Stage::Serving));
    let writing = async {
        for _ in 0..PIECES {
            server.write_all(&[0; PIECE]).await.unwrap();
        }
    };
    let turns = Cell::new(0);
    let others = poll_fn(|_| {
        turns.set(turns.get() + 1);
        Poll::<()>::Pending
    });
    tokio::select! {
        biased;
        () = writing => {}
        () = others => {}
    }
    assert_eq!(turns.get(), 3, "between four parts");
}

/// The library lets go of a request before it has sent its answer, of which the system may not take a byte yet.
#[tokio::test]
async fn a_connection_whose_answer_is_not_sent_is_not_at_rest() {
    let (mut client, server) = tokio::io::duplex(8);
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into();
    let progress = Progress::new(Clock::manual().0, Stage::Serving);
    let mut server = Watched::new(server, peer, Rc::clone(&progress));
    let is_at_rest = || {
        let cx = Context::from_waker(Waker::noop());
        progress.poll_rest(&cx, Share::Had).is_ready()
    };
    drop(progress.begin());
    server.write_all(b"answer 1").await.unwrap();
    server.flush().await.unwrap();
    assert!(is_at_rest());

    drop(progress.begin());
    let unsent = poll_fn(|cx| Poll::Ready(Pin::new(&mut server).poll_write(cx, b"answer 2"))).await;
    assert!(unsent.is_pending(), "nobody has read the first");
    assert!(!is_at_rest());
    client.read_exact(&mut [0; 8]).await.unwrap();
    server.write_all(b"answer 2").await.unwrap();
    server.flush().await.unwrap();
    assert!(is_at_rest());
}

#[tokio::test]
async fn empty_lines_behind_a_request_are_not_a_head_that_does_not_end() {
    for (unused, kept) in [(&b"\r\n"[..], &b""[..]), (b"\n\r\nGET /", b"GET /"), (b"GET /\r\n", b"GET /\r\n")]
    {
        let (client, server) = tokio::io::duplex(8);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into();
        let progress = Progress::new(Clock::manual().0, Stage::Serving);
        let mut server = Watched::new(server, peer, Rc::clone(&progress));
        drop(progress.begin());
        server.put_back(unused);
        assert_eq!(progress.leaves_unread(), !kept.is_empty(), "a head is awaited behind {unused:?}");
        drop(client);
        let mut read = Vec::new();
        server.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, kept);
    }
}
