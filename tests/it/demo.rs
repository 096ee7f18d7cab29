//! The demonstration of a fleet: it starts and ends a real store, and shows what it says.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_instantly-proxy"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).arg("demo").args(arguments).stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// The port of the store, from the line that names it.
fn port_of_store(line: &str) -> Option<u16> {
    let server = line.strip_prefix("store ")?.trim();
    assert!(server.starts_with("valkey-server on ") || server.starts_with("redis-server on "), "{line}");
    server.rsplit(':').next()?.parse().ok()
}

/// What stands behind the name of a row of the summary.
fn row<'a>(summary: &'a str, name: &str) -> &'a str {
    let mut rows = summary.lines().filter_map(|line| line.trim_start().strip_prefix(name));
    rows.next().unwrap_or_else(|| panic!("no {name} in\n{summary}")).trim()
}

#[test]
fn what_is_written_through_one_replica_is_read_at_once_through_the_others_and_the_store_ends_with_it() {
    let output = demo(&["--replicas", "3", "--for", "5s"]).output().expect("the program runs");
    let told = text(&output);
    assert_eq!(output.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(told.lines().filter(|line| line.starts_with("proxy ")).count(), 3, "{told}");
    let port = told.lines().find_map(port_of_store).expect("a store");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the store still runs");
    assert_eq!(row(&told, "replicas"), "3");
    assert_eq!(row(&told, "errors"), "0", "{told}");
    let (read_back, rest) = row(&told, "read at other replicas").split_once(' ').expect("a number");
    assert!(read_back.parse::<u32>().expect("a number") > 0, "{told}");
    assert_eq!(rest, "at once after a write, 0 of them old");
}

/// A child that is killed if its test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_signal_ends_the_store_too() {
    let mut running = Running(demo(&["--replicas", "2"]).stdout(Stdio::piped()).spawn().expect("it runs"));
    let mut output = BufReader::new(running.0.stdout.take().expect("it is piped"));
    let mut line = String::new();
    let port = loop {
        line.clear();
        assert_ne!(output.read_line(&mut line).expect("text"), 0, "it ended by itself");
        if let Some(port) = port_of_store(line.trim_end()) {
            break port;
        }
    };
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    let pid = running.0.id().to_string();
    assert!(
        Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status().expect("a shell").success()
    );
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    assert_eq!(running.0.wait().expect("it ends").code(), Some(0), "{rest}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the store still runs");
    assert!(rest.contains("requests answered"), "{rest}");
}

#[test]
fn without_a_server_it_says_what_to_install() {
    let output =
        demo(&["--replicas", "2", "--for", "1s"]).env("PATH", "/nonexistent").output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let reason = String::from_utf8_lossy(&output.stderr);
    for word in ["valkey-server", "redis-server", "install"] {
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn a_fleet_has_two_to_sixteen_replicas() {
    for count in ["0", "1", "17", "-2", "many", ""] {
        let output = demo(&["--replicas", count, "--for", "1s"]).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{count:?}: {}", text(&output));
        assert!(!output.stderr.is_empty(), "{count:?}");
    }
}
