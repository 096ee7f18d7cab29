//! The process takes its ports or says why not, and its admin port answers from start to stop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use instantly_proxy::clock::Clock;
use instantly_proxy::config::Config;
use instantly_proxy::server::{Drained, Server, Shutdown};

fn config() -> Config {
    let mut config = Config::default();
    config.listen.address = ([127, 0, 0, 1], 0).into();
    config.admin.address = ([127, 0, 0, 1], 0).into();
    config.upstream.url = http::Uri::from_static("http://127.0.0.1:1");
    config
}

/// Everything that a server sends in answer to these bytes until it closes the connection.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the port accepts");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and then the end");
    answer
}

fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
}

#[track_caller]
fn assert_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
}

#[test]
fn a_taken_port_is_named_with_its_key_and_the_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for key in ["listen.address", "admin.address"] {
        let mut config = config();
        match key {
            "listen.address" => config.listen.address = address,
            _ => config.admin.address = address,
        }
        let error = Server::start(config, Clock::system()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{key} {address}: ")), "{error}");
        assert!(error.contains("in use"), "{error}");
    }
}

#[test]
fn a_second_process_cannot_share_the_ports() {
    let server = Server::start(config(), Clock::system()).unwrap();
    let mut second = config();
    second.listen.address = server.data_address();
    assert!(Server::start(second, Clock::system()).is_err());
}

#[test]
fn an_unreadable_token_file_is_named() {
    let mut config = config();
    config.admin.token_file = Some("/nowhere/token".into());
    let error = Server::start(config, Clock::system()).unwrap_err().to_string();
    assert!(error.starts_with("admin.token_file: /nowhere/token "), "{error}");
}

#[test]
fn the_admin_port_answers_probes_metrics_status_and_purge() {
    let server = Server::start(config(), Clock::system()).unwrap();
    let admin = server.admin_address();
    for path in ["/livez", "/readyz", "/metrics", "/api/status"] {
        assert_status(&get(admin, path), 200);
    }
    let purge = format!(
        "POST /api/purge HTTP/1.1\r\nhost: {admin}\r\ncontent-type: application/json\r\n\
         content-length: 2\r\nconnection: close\r\n\r\n{{}}"
    );
    let answer = exchange(admin, &purge);
    assert_status(&answer, 200);
    assert!(answer.ends_with(r#"{"entries":0,"bytes":0,"proofs":0}"#), "{answer}");
    let metrics = get(admin, "/metrics");
    let series = r#"instantly_proxy_admin_requests_total{path="/api/purge",status="2xx"} 1"#;
    assert!(metrics.lines().any(|line| line == series), "{metrics}");
}

#[test]
fn the_admin_port_is_not_on_the_data_port() {
    let server = Server::start(config(), Clock::system()).unwrap();
    let answer = get(server.data_address(), "/metrics");
    assert!(!answer.contains("instantly_proxy_"), "{answer}");
}

#[test]
fn a_silent_connection_to_the_admin_port_is_closed_after_a_short_time_out_of_its_own() {
    let (clock, hand) = Clock::manual();
    let server = Server::start(config(), clock).unwrap();
    let mut silent = TcpStream::connect(server.admin_address()).unwrap();
    silent.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut passed = Duration::ZERO;
    while !matches!(silent.read(&mut [0]), Ok(0)) {
        hand.advance(Duration::from_secs(1));
        passed += Duration::from_secs(1);
        assert_status(&get(server.admin_address(), "/livez"), 200);
    }
    assert!(passed >= Duration::from_secs(3), "{passed:?}");
}

#[tokio::test]
async fn a_server_starts_and_stops_inside_another_runtime() {
    let server = Server::start(config(), Clock::system()).unwrap();
    server.shutdown(Shutdown::WithoutDelay);
    let drained = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert_eq!(drained, Drained { cut: 0 });
}

#[test]
fn the_health_path_of_the_data_port_is_answered_here_and_never_passed_on() {
    let mut config = config();
    config.listen.health_path = Some("/.well-known/ready".to_owned());
    config.listen.drain_delay = Duration::from_secs(3600);
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    upstream.set_nonblocking(true).unwrap();
    config.upstream.url = format!("http://{}", upstream.local_addr().unwrap()).parse().unwrap();
    let server = Server::start(config, Clock::system()).unwrap();
    let data = server.data_address();
    let answer = get(data, "/.well-known/ready");
    assert_status(&answer, 200);
    assert!(answer.ends_with("\r\n\r\nready\n"), "{answer}");
    // As some load balancers ask: an old version, and no name.
    let answer = exchange(data, "GET /.well-known/ready HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    let head = format!("HEAD /.well-known/ready HTTP/1.1\r\nhost: {data}\r\nconnection: close\r\n\r\n");
    let answer = exchange(data, &head);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    server.shutdown(Shutdown::Graceful);
    while !get(server.admin_address(), "/readyz").starts_with("HTTP/1.1 503 ") {}
    let mut answer = get(data, "/.well-known/ready");
    // Readiness goes first, by an instant.
    while answer.starts_with("HTTP/1.1 200 ") {
        answer = get(data, "/.well-known/ready");
    }
    assert_status(&answer, 503);
    assert!(upstream.accept().is_err(), "the upstream was asked");
    let page = server.metrics().render(instantly_proxy::metrics::Gauges::default());
    assert!(!page.contains("instantly_proxy_requests_total{"), "a check is no request of a caller's: {page}");
    server.shutdown(Shutdown::WithoutDelay);
    drop(server);
}

#[test]
fn without_a_health_path_a_check_of_the_data_port_is_a_call_like_any_other() {
    let server = Server::start(config(), Clock::system()).unwrap();
    let answer = get(server.data_address(), "/.well-known/ready");
    // Nobody listens where the upstream should be.
    assert_status(&answer, 502);
}
