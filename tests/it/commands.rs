//! Commands of an operator against running processes: what they say, in text and in JSON, and how they end.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::labels::{CAMPAIGNS, label_path, token};
use crate::support::{Serving, TestUpstream, World};

/// Runs the built program with this environment and no other.
fn run(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_instantly-proxy"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    // Whoever does not read it needs none of it.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test]
async fn an_operator_asks_a_running_process_and_the_way_to_the_api() {
    let upstream = TestUpstream::of(&World::vendor());
    let url = format!("http://{}", upstream.address());
    let serving = Serving::start(&url, &[]).await;
    let (admin, key) = (serving.admin.to_string(), token("a", 1));
    let environment = [("INSTANTLY_PROXY_ADMIN__ADDRESS", &*admin), ("INSTANTLY_PROXY_UPSTREAM__URL", &*url)];
    let caller = serving.caller(&key);
    caller.get(&label_path(1)).send().await.assert_label("a-1");
    caller.get(CAMPAIGNS).send().await.assert_status(200);

    let status = run(&["status"], &environment, "");
    assert!(
        status.status.success() && stdout(&status).starts_with("process        ready, version "),
        "{status:?}"
    );
    assert_eq!(json(&run(&["status", "-o", "json"], &environment, ""))["requests"]["forwarded"], 1);

    let input = format!("{key}\n");
    let explained = run(&["explain", &label_path(1), "--key-stdin"], &environment, &input);
    assert!(stdout(&explained).starts_with("hit: "), "{explained:?}");
    let explained = run(&["explain", &label_path(1), "--key-stdin", "-o", "json"], &environment, &input);
    assert_eq!(json(&explained)["decision"], "hit");

    let purged = run(&["purge", "-o", "json"], &environment, "");
    assert_eq!(json(&purged)["entries"].as_u64().map(|entries| entries > 0), Some(true), "{purged:?}");

    let found = run(&["doctor", "--key-stdin"], &environment, &input);
    assert_eq!(found.status.code(), Some(0), "{found:?}");
    for line in [
        "ok  connection",
        "ok  HTTP",
        "ok  key            may read labels",
        "ok  process        runs, and is ready",
    ] {
        assert!(stdout(&found).lines().any(|said| said.starts_with(line)), "{line}: {}", stdout(&found));
    }
    for output in [&status, &explained, &purged, &found] {
        assert!(!format!("{output:?}").contains(&key), "the key shows");
    }
    let refused = run(&["doctor", "--key-stdin", "-o", "json"], &environment, "unknown-key\n");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let report = json(&refused);
    let findings = report["findings"].as_array().expect("a list");
    assert!(
        findings.iter().any(|finding| finding["what"] == "key" && finding["verdict"] == "bad"),
        "{findings:?}"
    );
}

#[test]
fn a_way_that_ends_says_where() {
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let url = format!("http://{nobody}");
    let output = run(&["doctor"], &[("INSTANTLY_PROXY_UPSTREAM__URL", &url)], "");
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    assert!(
        said.lines().any(|line| line.starts_with("BAD connection") && line.contains("connect_failed")),
        "{said}"
    );
    assert!(said.lines().any(|line| line.starts_with("?   process")), "{said}");
}

#[test]
fn check_and_config_answer_programs_too() {
    let sound = run(&["check", "-o", "json"], &[], "");
    assert_eq!((sound.status.code(), &json(&sound)["sound"]), (Some(0), &Value::Bool(true)));
    let faulty = run(&["check", "-o", "json"], &[("INSTANTLY_PROXY_LISTEN__WORKERS", "many")], "");
    assert_eq!(faulty.status.code(), Some(2));
    let document = json(&faulty);
    assert_eq!(
        (&document["sound"], &document["faults"][0]["key"]),
        (&Value::Bool(false), &"listen.workers".into())
    );
    let printed = json(&run(&["config", "-o", "json"], &[("INSTANTLY_PROXY_LISTEN__WORKERS", "3")], ""));
    let keys = printed["keys"].as_array().expect("a list");
    let row = keys.iter().find(|row| row["key"] == "listen.workers").expect("it is there");
    assert_eq!(
        (&row["value"], &row["origin"]),
        (&3.into(), &"variable INSTANTLY_PROXY_LISTEN__WORKERS".into())
    );
}
