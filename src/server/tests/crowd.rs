//! Silent connections lock out nobody, on neither port.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use socket2::{Domain, Socket, Type};

use super::*;
use crate::server::control::MAX_ADMIN_CONNECTIONS;

const PROBE: &str = "/livez";

/// A connection from another address of this machine.
fn connect_from(host: u8, to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    Client(socket.into())
}

#[test]
fn a_probe_gets_through_a_crowd_of_silent_connections_of_its_own_address() {
    let server = TestServer::start();
    let beginnings: [&[u8]; 4] =
        [b"", b"GET /livez HTTP/1.1\r\nhost: a\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n"];
    for beginning in beginnings {
        let crowd: Vec<_> = (0..3 * MAX_ADMIN_CONNECTIONS)
            .map(|_| {
                let mut client = server.admin();
                // It may have been closed already.
                client.0.write_all(beginning).ok();
                client
            })
            .collect();
        let mut probe = server.admin();
        probe.get(PROBE).assert_answer(200);
        drop(crowd);
    }
}

#[test]
fn a_probe_gets_through_a_crowd_of_silent_connections_of_many_addresses() {
    let server = TestServer::start();
    let admin = server.server.admin_address();
    let _crowd: Vec<_> = (2..=20).flat_map(|host| (0..16).map(move |_| connect_from(host, admin))).collect();
    for host in [1, 2, 99] {
        connect_from(host, admin).get(PROBE).assert_answer(200);
    }
}

#[test]
fn a_probe_gets_through_connections_that_were_answered_and_stay() {
    let server = TestServer::start();
    let mut crowd: Vec<_> = (0..16).map(|_| server.admin()).collect();
    crowd.iter_mut().for_each(|client| client.get(PROBE).assert_answer(200));
    let mut probe = server.admin();
    probe.get(PROBE).assert_answer(200);
    assert!(crowd[0].is_closed(), "the oldest goes");
    crowd[1].get(PROBE).assert_answer(200);
}

#[test]
fn a_newcomer_closes_no_silent_connection_of_another_address_while_there_is_room() {
    let server = TestServer::start();
    let admin = server.server.admin_address();
    let mut bystander = connect_from(2, admin);
    bystander.send(b"GET /livez HTTP/1.1\r\n");
    let _crowd: Vec<_> = (0..40).map(|_| server.admin()).collect();
    server.admin().get(PROBE).assert_answer(200);
    bystander.send(b"host: a\r\n\r\n").assert_answer(200);
}

#[test]
fn a_silent_connection_is_closed_sooner_on_the_admin_port() {
    let server = TestServer::start();
    for beginning in [&b""[..], b"GET / HTTP/1.1\r\n"] {
        let (mut client, mut bystander) = (server.admin(), server.admin());
        client.send(beginning);
        // The port's own thread sweeps it.
        let passed =
            server.advance_until_closed_beside(&mut client, || bystander.get(PROBE).assert_answer(200));
        assert!(passed >= Duration::from_secs(3) && passed < Duration::from_secs(10), "{passed:?}");
    }
}

#[test]
fn silent_connections_at_the_limit_give_way_to_callers() {
    for workers in [1, 3] {
        let server = TestServer::start_with(|config| {
            config.listen.max_connections = 8;
            config.listen.workers = NonZeroUsize::new(workers);
        });
        let _silent: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for _ in 0..20 {
            server.connect().get("/").assert_answer(200);
        }
    }
}

#[test]
fn who_never_asked_gives_way_before_who_stands_idle() {
    let server = TestServer::start_with(|config| {
        config.listen.max_connections = 3;
        config.listen.workers = NonZeroUsize::new(1);
    });
    let mut idle = server.connect();
    idle.get("/").assert_answer(200);
    let mut silent = server.connect();
    let mut others: Vec<_> = (0..2)
        .map(|_| {
            let mut other = server.connect();
            other.get("/").assert_answer(200);
            server.hand.advance(Duration::from_secs(1));
            other
        })
        .collect();
    assert!(silent.is_closed());
    server.hand.advance(Duration::from_secs(1));
    idle.get("/").assert_answer(200);
    server.connect().get("/").assert_answer(200);
    assert!(others[0].is_closed(), "it stood idle for longest");
}

/// It may be in the middle of its handshake.
#[test]
fn who_stands_idle_gives_way_before_who_has_just_come() {
    let server = TestServer::start_with(|config| {
        config.listen.max_connections = 3;
        config.listen.workers = NonZeroUsize::new(1);
    });
    let mut idle: Vec<_> = (0..3).map(|_| server.connect()).collect();
    idle.iter_mut().for_each(|client| client.get("/").assert_answer(200));
    server.hand.advance(Duration::from_secs(1));
    let mut comers: Vec<_> = (0..3).map(|_| server.connect()).collect();
    comers.iter_mut().for_each(|client| client.get("/").assert_answer(200));
    assert!(idle.iter_mut().all(Client::is_closed), "all of them stood idle for longer");
}

#[test]
fn a_connection_at_work_is_never_closed_for_a_new_one() {
    let server = TestServer::start_with(|config| config.listen.max_connections = 1);
    let mut first = server.connect();
    first.get("/held");
    assert_eq!(server.arrival(), "/held");
    let mut second = server.connect();
    second.get("/second");
    // The bystander's port is swept meanwhile: time has passed for both.
    server.advance_until_closed(&mut server.admin());
    server.gate.add_permits(1);
    assert_eq!(first.answer().1, b"held");
    // Who waits asks again once others may have fallen silent.
    second.0.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    server.advance_until(|| second.0.peek(&mut [0]).is_ok());
    second.0.set_read_timeout(None).unwrap();
    second.assert_answer(200);
    assert_eq!(server.arrival(), "/second");
}

/// On either protocol: whoever may connect may announce a body, before anybody has looked at its key.
#[test]
fn uploads_that_send_nothing_give_way_to_callers() {
    let uploads: [&[u8]; 2] = [
        b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
          \0\0\x0c\x01\x04\0\0\0\x01\x83\x86\x44\x05/read\x41\x01a",
    ];
    for upload in uploads {
        let server = TestServer::start_with(|config| config.listen.max_connections = 2);
        let mut crowd = [server.connect(), server.connect()];
        for client in &mut crowd {
            client.send(upload);
            assert_eq!(server.arrival(), "/read");
        }
        let mut caller = server.connect();
        caller.get("/").0.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let passed = server.advance_until(|| caller.0.peek(&mut [0]).is_ok());
        assert!(passed >= Duration::from_secs(5), "{passed:?}: an upload has time to begin");
        caller.0.set_read_timeout(None).unwrap();
        caller.assert_answer(200);
    }
}

#[test]
fn full_is_full_without_anybody_at_the_door() {
    let server = TestServer::start_with(|config| config.listen.max_connections = 2);
    let mut clients = [server.connect(), server.connect()];
    for _ in 0..3 {
        clients.iter_mut().for_each(|client| client.get("/").assert_answer(200));
    }
    server.advance_until_closed(&mut server.admin());
    clients.iter_mut().for_each(|client| client.get("/").assert_answer(200));
}
