//! Stopping (security.md F11).

use super::*;

impl TestServer {
    fn readiness(&self) -> u16 {
        let (head, _) = self.admin().get("/readyz").answer();
        head["http/1.1 ".len()..][..3].parse().unwrap()
    }

    fn is_refusing(&self) -> bool {
        TcpStream::connect(self.server.data_address()).is_err()
    }
}

#[test]
fn a_graceful_stop_flips_readiness_accepts_for_the_delay_and_ends_what_is_under_way() {
    let server = TestServer::start();
    let (mut busy, mut idle) = (server.connect(), server.connect());
    idle.get("/").assert_answer(200);
    busy.get("/held");
    while server.arrival() != "/held" {}
    assert_eq!(server.readiness(), 200);

    server.server.shutdown(Shutdown::Graceful);
    while server.readiness() != 503 {}
    let (head, _) = server.connect().get("/").answer();
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");

    // The admin port's round trip is one through the thread that times the delay.
    let passed = server.advance_until(|| server.readiness() == 503 && server.is_refusing());
    assert!(passed >= Duration::from_secs(5), "{passed:?}");
    assert!(idle.is_closed());
    assert_eq!(server.readiness(), 503);

    server.gate.add_permits(1);
    let (head, body) = busy.answer();
    assert!(head.contains("\r\nconnection: close\r\n") && body == b"held", "{head}");
    assert_eq!(server.server.wait(), Drained { cut: 0 });
}

#[test]
fn an_answer_that_is_read_slowly_ends_whole() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.get("/big");
    server.arrival();
    server.server.shutdown(Shutdown::WithoutDelay);
    while !server.is_refusing() {}
    let (_, body) = client.answer();
    assert_eq!(body.len(), BIG);
    assert_eq!(server.server.wait(), Drained { cut: 0 });
}

#[test]
fn what_is_left_at_the_drain_time_out_is_cut_and_told() {
    let server = TestServer::start();
    let (mut busy, mut silent) = (server.connect(), server.connect());
    silent.send(b"GET");
    busy.get("/held");
    server.arrival();
    server.server.shutdown(Shutdown::WithoutDelay);
    let passed = server.advance_until_closed(&mut busy);
    assert!(passed >= Duration::from_secs(25), "{passed:?}");
    assert_eq!(server.server.wait(), Drained { cut: 1 });
}

#[test]
fn a_second_harder_stop_cuts_at_once() {
    let server = TestServer::start();
    let mut busy = server.connect();
    busy.get("/held");
    server.arrival();
    server.server.shutdown(Shutdown::Graceful);
    server.server.shutdown(Shutdown::Now);
    server.server.shutdown(Shutdown::Graceful);
    assert!(busy.is_closed());
    assert_eq!(server.server.wait(), Drained { cut: 1 });
}

#[test]
fn a_connection_that_waits_in_the_backlog_is_served_before_the_port_closes() {
    let server = TestServer::start();
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    server.server.shutdown(Shutdown::WithoutDelay);
    for client in &mut clients {
        client.get("/").assert_answer(200);
    }
    assert_eq!(server.server.wait(), Drained { cut: 0 });
}

#[test]
fn a_server_that_is_dropped_stops() {
    let TestServer { server, .. } = TestServer::start();
    let address = server.data_address();
    drop(server);
    while TcpStream::connect(address).is_ok() {}
}
