//! The demonstration: its acts show what they say, and the key that it gives away is one. That of a fleet starts and ends a real
//! store.

use std::io::{BufRead, BufReader, Read, Write};
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

/// Reads lines until one begins so, once what stands before it is taken away; all of them.
fn read_until(output: &mut impl BufRead, start: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).expect("text"), 0, "no {start} in\n{}", lines.concat());
        let is_it = line.trim_start().starts_with(start);
        lines.push(line);
        if is_it {
            return lines;
        }
    }
}

#[test]
fn the_acts_show_what_they_say_and_the_key_that_is_given_away_is_a_live_one() {
    let mut running = Running(demo(&[]).stdout(Stdio::piped()).spawn().expect("it runs"));
    let mut output = BufReader::new(running.0.stdout.take().expect("it is piped"));
    let mut told = read_until(&mut output, "curl -i ");
    let acts = told.concat();
    for (act, outcome) in [
        ("cold ", "200 in "),
        ("warm ", "1000 hits of 1000 reads"),
        ("write ", "the read behind it: the new value"),
        ("flood ", "with:    1000 of 1000 answered, 0 refused with 429"),
        ("outage ", "the API itself: no answer"),
        (
            "revoked ",
            "read before: 200\na call that the API refuses: 401\nread after: 401\nread with another key: 200",
        ),
    ] {
        let (_, behind) =
            acts.split_once(&format!("\n{act}")).unwrap_or_else(|| panic!("no {act} in\n{acts}"));
        let said: Vec<_> =
            behind.lines().skip(1).take_while(|line| !line.is_empty()).map(str::trim).collect();
        assert!(said.join("\n").contains(outcome), "{act}{said:?}");
    }
    let outage = acts.lines().find(|line| line.contains("of what is stored answered")).expect("it is told");
    let mut counts = outage.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
    let (answered, reads) = (counts.next().expect("a number"), counts.next().expect("a number"));
    assert!(reads > 0 && answered == reads, "{outage}");
    assert!(acts.contains("calls pass again"), "{acts}");

    let url = told.pop().expect("what to paste");
    let url = url.trim().trim_start_matches("curl -i http://").trim_end_matches(" \\");
    let field = read_until(&mut output, "-H '").concat();
    let field = field.trim().trim_start_matches("-H '");
    let (address, path) = url.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let head = format!(
        "GET /{path} HTTP/1.1\r\nHost: {address}\r\n{}\r\nConnection: close\r\n\r\n",
        field.trim_end_matches('\'')
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("it runs").success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    assert_eq!(running.0.wait().expect("it ends").code(), Some(0), "{rest}");
    assert!(!acts.contains('\x1b') && !rest.contains('\x1b'), "colours are for terminals");
    let side =
        row(&rest, "answered with 429").split_whitespace().map(|word| word.parse::<u32>().expect("a number"));
    let [without, with] = side.collect::<Vec<_>>()[..] else { panic!("{rest}") };
    assert!(without > 0 && with == 0, "{rest}");
    assert!(rest.contains("as a client sees them"), "{rest}");
}

#[test]
fn a_program_reads_one_document() {
    let output = demo(&["--json", "--load-only", "--for", "2s"]).output().expect("it runs");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(told["load"]["errors"], 0, "{told}");
    assert!(
        told["load"]["hits"].as_u64() > Some(0) && told["load"]["hit_times"]["p99_ms"].is_number(),
        "{told}"
    );
    assert!(told["acts"].as_array().is_some_and(Vec::is_empty) && told["flood"].is_null(), "{told}");
    let output = demo(&["--json"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "without an end there is no document");
}
