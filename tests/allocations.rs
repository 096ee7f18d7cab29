//! Bars: a hit takes no more than twelve allocations beyond those of hyper itself; a remembered 401 keeps its words, and
//! nothing of the connection that they came on; what is counted of callers and keys is at most 8 MiB.
//!
//! They are counted in processes of their own, over real sockets and with everything on that is on by default, the line of
//! the log included: the counting allocator is the whole process's.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use instantly_proxy::caller::credential::Digester;
use instantly_proxy::callers::figures::Figure;
use instantly_proxy::callers::{self, CallerRules, Evidence, Field, Memo};
use instantly_proxy::clock::Clock;
use instantly_proxy::config::{CallerSource, Callers, Config};
use instantly_proxy::logging;
use instantly_proxy::outcome::{BypassReason, Outcome};
use instantly_proxy::server::Server;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const BAR: u64 = 12;
const REQUESTS: u64 = 1000;
const ID: &str = "01935c4b-0000-7abc-9def-000000000001";

/// Refused keys, fewer than an address may have refused at once.
const REFUSED: usize = 20;
/// Bytes of the head of each of their answers: what a slice of it would keep.
const HEAD: usize = 48 * 1024;

/// Set in the process in which is counted.
const COUNTS_HERE: &str = "COUNT_ALLOCATIONS";

#[test]
fn a_hit_allocates_little_beyond_what_hyper_does() {
    let Some(count) = counted("a_hit_allocates_little_beyond_what_hyper_does", count_hits) else { return };
    let (bare, hit, fast) = (count("bare hyper:"), count("hit:"), count("hit on the fast path:"));
    println!(
        "allocations of an answer: {bare} of bare hyper, {hit} of a hit, {fast} of one on the fast path"
    );
    assert!(bare > 0 && hit > 0, "nothing was counted");
    assert!(hit <= bare + BAR, "{hit} of a hit, {bare} of bare hyper");
    assert_eq!(fast, 0, "of a hit on the fast path");
}

#[test]
fn a_remembered_401_keeps_nothing_of_the_connection_that_it_came_on() {
    let test = "a_remembered_401_keeps_nothing_of_the_connection_that_it_came_on";
    let Some(count) = counted(test, count_refusals) else { return };
    let kept = count("kept of each:");
    println!("bytes kept of a 401: {kept}");
    assert!(kept < HEAD as u64 / 8, "{kept} bytes of each of {HEAD} are kept");
}

/// Every row is full: each of its numbers changes in each step of the last hour.
#[test]
fn the_tables_of_callers_and_keys_hold_at_most_8_mib_whoever_calls() {
    let test = "the_tables_of_callers_and_keys_hold_at_most_8_mib_whoever_calls";
    let Some(count) = counted(test, count_callers) else { return };
    let kept = count("kept of callers and keys:");
    println!("bytes kept of 100,000 callers and keys: {kept}");
    assert!(kept > 100_000 && kept <= 8 * 1024 * 1024, "{kept} bytes");
}

/// Runs a test again in a process that counts, where `count_here` tells on standard error what it counted: standard output
/// is the log's. What was told, by name; nothing in that process itself.
fn counted(test: &str, count_here: fn()) -> Option<impl Fn(&str) -> u64> {
    if env::var_os(COUNTS_HERE).is_some() {
        let _profiler = dhat::Profiler::builder().testing().build();
        count_here();
        return None;
    }
    let this = env::current_exe().expect("the test has a file");
    let child = Command::new(this)
        .args(["--exact", test, "--nocapture"])
        .env(COUNTS_HERE, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("the test runs again");
    let told = String::from_utf8_lossy(&child.stderr).into_owned();
    Some(move |name: &str| {
        let found = told.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("{told}")).trim().parse().expect("a number")
    })
}

fn count_hits() {
    eprintln!("bare hyper: {}", allocations_of(bare_hyper(), "content-length", ""));
    let (server, _log) = proxy(upstream());
    let hits = |field| allocations_of(server.data_address(), "instantly-proxy; hit", field);
    // A field that the fast path does not know.
    eprintln!("hit: {}", hits("x-unknown: 1\r\n"));
    eprintln!("hit on the fast path: {}", hits(""));
}

fn count_refusals() {
    let (server, _log) = proxy(refusing_upstream());
    // On a connection of its own, read to its end: what a connection holds is then gone each time that is counted.
    let ask = |key: usize| {
        let mut connection = TcpStream::connect(server.data_address()).expect("the server accepts");
        let request = format!(
            "GET /api/v2/campaigns HTTP/1.1\r\nhost: api.instantly.ai\r\nauthorization: Bearer key-{key}\r\n\
             connection: close\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).expect("the server reads");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("the server answers");
        assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
        assert!(answer.ends_with(b"no such key"), "{}", String::from_utf8_lossy(&answer));
        String::from_utf8_lossy(&answer).contains("http_request_denied")
    };
    ask(0);
    let before = dhat::HeapStats::get().curr_bytes;
    for key in 1..=REFUSED {
        assert!(!ask(key), "the upstream is asked");
    }
    let kept = || dhat::HeapStats::get().curr_bytes.saturating_sub(before);
    // A client hears the end of its connection before the server has let go of all that it held.
    let clock = Clock::system();
    let deadline = clock.now().plus(Duration::from_secs(30));
    while kept() >= REFUSED * HEAD / 8 && !clock.now().reached(deadline) {
        thread::yield_now();
    }
    let kept = kept();
    assert!(ask(REFUSED), "they are remembered");
    eprintln!("kept of each: {}", kept / REFUSED);
}

fn count_callers() {
    let told_apart = Callers { sources: CallerSource::ALL.to_vec(), ..Callers::default() };
    let trusted = Callers { trusted: vec!["127.0.0.0/8".parse().expect("a network")], ..told_apart };
    let config = Config { callers: Some(trusted), ..Config::default() };
    let rules = CallerRules::new(&config).expect("it tells callers apart");
    let (digester, memo) = (Digester::default(), Memo::default());
    let before = dhat::HeapStats::get().curr_bytes;
    let callers = callers::Callers::default();
    callers.set_rules(&rules, None, Duration::ZERO);
    let identify = |number: u32, now: Duration| {
        // The longest names that there are.
        let (name, key) = (format!("caller-{number:057}"), format!("Bearer {number}"));
        let evidence = Evidence {
            peer: Ipv4Addr::LOCALHOST.into(),
            certificate: None,
            field: Field::Once(name.as_bytes()),
            key: Some((digester.digests(key.as_bytes(), None).authorization(), key.as_bytes())),
        };
        callers.identify(&rules, &memo, &evidence, now)
    };
    for number in 0..99_000 {
        identify(number, Duration::ZERO).note_hit(Outcome::Hit, 1);
    }
    // The hour is kept in six steps of ten minutes, its last minute in six of ten seconds.
    for seconds in (0..3000).step_by(600).chain((3540..3600).step_by(10)) {
        let now = Duration::from_secs(seconds);
        for number in 99_000..100_000 {
            let identity = identify(number, now);
            for row in [&identity.caller, &identity.credential] {
                Outcome::ALL.iter().for_each(|outcome| row.counters.request(*outcome));
                BypassReason::ALL.iter().for_each(|reason| row.counters.bypass(*reason));
                Figure::ALL.iter().for_each(|figure| row.counters.add(*figure, 7));
            }
        }
        callers.tidy(now);
    }
    let kept = dhat::HeapStats::get().curr_bytes - before;
    let bill = callers.bill(Duration::from_secs(3600));
    assert_eq!((bill.callers.len(), bill.credentials.len()), (1001, 1001));
    eprintln!("kept of callers and keys: {kept}");
}

/// A proxy on free ports, and what keeps its log going.
fn proxy(upstream: SocketAddr) -> (Server, impl Sized) {
    let mut config = Config::default();
    config.upstream.url = format!("http://{upstream}").parse().expect("a URL");
    config.listen.address = ([127, 0, 0, 1], 0).into();
    config.admin.address = ([127, 0, 0, 1], 0).into();
    config.cache.list_fill = false;
    let log = logging::init(&config.log).expect("logging begins once");
    (Server::start(config, Clock::system()).expect("a server on free ports starts"), log)
}

/// Allocations of one answer on a kept-alive connection. `expected` is in the head of each.
fn allocations_of(server: SocketAddr, expected: &str, field: &str) -> u64 {
    let request = format!(
        "GET /api/v2/lead-labels/{ID} HTTP/1.1\r\nhost: api.instantly.ai\r\nauthorization: Bearer abcdefghijklmnop\r\n\
         accept: application/json\r\nuser-agent: service/1.0\r\naccept-encoding: identity\r\n\
         x-request-id: 0123456789abcdef\r\n{field}\r\n"
    );
    let mut connection = TcpStream::connect(server).expect("the server accepts");
    connection.set_nodelay(true).expect("the socket takes it");
    // Nothing may be allocated here while it is counted.
    let mut buffer = vec![0; 16 * 1024];
    let mut ask = |expected: &str| {
        connection.write_all(request.as_bytes()).expect("the server reads");
        let mut length = 0;
        loop {
            let read = connection.read(&mut buffer[length..]).expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            length += read;
            if let Some(head) = buffer[..length].windows(4).position(|end| end == b"\r\n\r\n") {
                let text = std::str::from_utf8(&buffer[..head]).expect("a head of ASCII");
                assert!(text.contains(expected), "{text}");
                let body = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                let body: usize = body.expect("a length").parse().expect("digits");
                if length == head + 4 + body {
                    return;
                }
            }
        }
    };
    ask("200");
    for _ in 0..100 {
        ask(expected);
    }
    let before = dhat::HeapStats::get().total_blocks;
    for _ in 0..REQUESTS {
        ask(expected);
    }
    let count = dhat::HeapStats::get().total_blocks - before;
    // What threads do each second is spread over so many requests that it vanishes.
    (count + REQUESTS / 2) / REQUESTS
}

fn bare_hyper() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("the socket takes it");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let (stream, _) = listener.accept().await.expect("a client");
            let answer = service_fn(|_: Request<Incoming>| async {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&[b'x'; 350]))))
            });
            http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await.ok();
        });
    });
    address
}

/// Answers every request with the one label, and closes.
fn upstream() -> SocketAddr {
    let body = format!(
        r#"{{"id":"{ID}","organization_id":"01920000-0000-7000-8000-000000000061","label":"Asked for pricing"}}"#
    );
    answering(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// Answers every request with a 401 that has a large head, and closes.
fn refusing_upstream() -> SocketAddr {
    let fields = format!("x-padding: {}\r\n", "x".repeat(4 * 1024)).repeat(HEAD / 4096);
    answering(format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: text/x-words-of-its-own\r\n{fields}connection: close\r\n\
         content-length: 11\r\n\r\nno such key"
    ))
}

fn answering(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}
