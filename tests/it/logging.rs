//! The log: its fields are those that are documented, and nobody who reads it holds a request up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use instantly_proxy::resource::RESOURCES;
use serde_json::Value;

use crate::support::labels::{CAMPAIGNS, LABELS, label_path, token};
use crate::support::{Answer, Caller, Serving, TestUpstream, World, patiently, sum_of_series};

/// The tables of a document's sections: the first cell of each row with the others.
fn tables(document: &str) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let mut tables: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    let mut section = String::new();
    for line in document.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        } else if let Some(row) = line.strip_prefix("| `") {
            let (name, rest) = row.split_once('`').expect("a name in back-quotes");
            let cells = rest.trim_matches(['|', ' ']).split(" | ").map(|cell| cell.trim().to_owned());
            tables.entry(section.clone()).or_default().insert(name.to_owned(), cells.collect());
        }
    }
    tables
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/LOGGING.md");
    fs::read_to_string(path).expect("the document is there")
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        _ => "other",
    }
}

/// Requests of every kind, and what the process says of them and of itself.
async fn walk() -> Vec<Value> {
    let upstream = TestUpstream::of(&World::vendor());
    let collector = TestUpstream::start(|_| Answer::status(200));
    let endpoint = format!("http://{}", collector.address());
    let environment = [
        ("INSTANTLY_PROXY_LOG__LEVEL", "info,instantly_proxy=trace"),
        ("INSTANTLY_PROXY_TELEMETRY__OTLP_ENDPOINT", endpoint.as_str()),
        ("INSTANTLY_PROXY_CALLERS__SOURCES", "credential"),
    ];
    let serving = Serving::start(&format!("http://{}", upstream.address()), &environment).await;
    let caller = serving.caller(&token("a", 1));
    for target in [&*label_path(1), &*label_path(1), LABELS, CAMPAIGNS, "/api/v2/a?api_key=x"] {
        caller.get(target).send().await.assert_status(200);
    }
    caller.patch(&label_path(1), r#"{"label":"new"}"#).send().await.assert_status(200);
    caller.request("OPTIONS", CAMPAIGNS).send().await.assert_status(405);
    upstream.reply_to("GET", "/api/v2/cut", Answer::json(200, "{\"a\":\"bcdefgh\"}").cut_after(4));
    assert!(caller.get("/api/v2/cut").attempt().await.is_err());
    upstream.break_networking().await;
    let down = caller.get("/api/v2/down").send().await;
    assert!(down.status >= 500, "{down:?}");
    serving.process.signal("HUP");
    serving.process.logged("configuration taken").await;
    serving.process.signal("INT");
    assert_eq!(serving.process.ended().await, Some(0));
    serving.process.stdout().lines().map(|line| serde_json::from_str(line).expect("one object")).collect()
}

#[tokio::test]
async fn the_line_of_a_request_has_the_fields_that_are_documented_and_each_is_seen() {
    let tables = tables(&document());
    let (common, access) = (&tables["Every line"], &tables["The line of a request"]);
    let mut seen = BTreeSet::new();
    let mut lines = 0;
    for line in walk().await {
        let fields = line.as_object().expect("an object");
        for name in common.keys() {
            assert!(fields.contains_key(name), "{name} is in every line: {line}");
        }
        if line["target"] != "instantly_proxy::access" {
            continue;
        }
        lines += 1;
        for (name, value) in fields {
            let row = common.get(name).or_else(|| access.get(name));
            let row = row.unwrap_or_else(|| panic!("{name} is not documented: {line}"));
            assert_eq!(row[0], type_of(value), "{name}: {line}");
            seen.insert(name.clone());
        }
        for (name, row) in access.iter().filter(|(_, row)| row.last().is_some_and(|when| when == "always")) {
            assert!(fields.contains_key(name), "{name} {row:?}: {line}");
        }
    }
    assert!(lines >= 9, "{lines}");
    let documented: BTreeSet<_> = common.keys().chain(access.keys()).cloned().collect();
    assert_eq!(seen, documented);
}

/// What a line says and which fields it has, as it stands in the code.
fn statements(source: &str) -> Vec<(String, String, Vec<String>)> {
    let mut found = Vec::new();
    for level in ["error", "warn", "info", "debug", "trace"] {
        let mut rest = source;
        while let Some(at) = rest.find(&format!("{level}!(")) {
            let before = &rest[..at];
            rest = &rest[at + level.len() + 2..];
            let is_ours = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !is_ours || before.lines().last().is_some_and(|line| line.trim_start().starts_with("//")) {
                continue;
            }
            let (mut depth, mut quoted, mut arguments) = (0_i32, false, vec![String::new()]);
            for c in rest.chars() {
                match c {
                    '"' => quoted = !quoted,
                    '(' | '[' | '{' if !quoted => depth += 1,
                    ')' | ']' | '}' if !quoted => depth -= 1,
                    _ => {}
                }
                if depth < 0 {
                    break;
                }
                if c == ',' && depth == 0 && !quoted {
                    arguments.push(String::new());
                } else if let Some(last) = arguments.last_mut() {
                    last.push(c);
                }
            }
            let arguments: Vec<_> = arguments.iter().map(|text| text.trim()).collect();
            let message = arguments.iter().find_map(|text| text.strip_prefix('"')?.strip_suffix('"'));
            let names = arguments.iter().filter(|text| !text.starts_with('"') && !text.is_empty());
            let names = names.filter(|text| !text.starts_with("target:"));
            let names = names.map(|text| {
                text.split(" = ").next().unwrap_or_default().trim_start_matches(['%', '?', '&']).to_owned()
            });
            found.push((level.to_owned(), message.unwrap_or_default().to_owned(), names.collect()));
        }
    }
    found
}

fn sources(place: &Path) -> Vec<String> {
    if place.is_dir() {
        let entries = fs::read_dir(place).expect("a folder").map(|entry| entry.expect("an entry").path());
        let code = entries.filter(|entry| entry.file_stem().is_none_or(|name| name != "tests"));
        return code.flat_map(|entry| sources(&entry)).collect();
    }
    let source = fs::read_to_string(place).expect("a source");
    vec![source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()]
}

/// Every other line by its message: level and fields as in the code, and none that is not there.
#[test]
fn every_other_line_is_documented_with_its_level_and_its_fields() {
    let document = document();
    let mut tables = tables(&document);
    let documented = tables.remove("Other lines").expect("the section");
    let fields = tables.remove("Fields of other lines").expect("the section");
    let (mut said, mut named) = (BTreeSet::new(), BTreeSet::new());
    for source in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        for (level, message, names) in statements(&source) {
            // A notice is its own message; the line of a request has a table of its own.
            if message == "{notice}" || message == "request" {
                continue;
            }
            // What is said of items is said of those of each resource.
            for resource in RESOURCES.iter() {
                let message = message.replace("{items}", resource.sentences.items);
                let row = documented.get(&message).unwrap_or_else(|| panic!("{message:?} is not documented"));
                let wanted: BTreeSet<_> = row[1].split('`').skip(1).step_by(2).map(str::to_owned).collect();
                assert_eq!(row[0], level, "{message}");
                assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), wanted, "{message}");
                said.insert(message);
            }
            named.extend(names);
        }
    }
    assert_eq!(said, documented.keys().cloned().collect());
    assert_eq!(named, fields.keys().cloned().collect());
}

/// The program with a standard output that nobody reads beyond the line that tells its ports.
struct Unread {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    data: SocketAddr,
    admin: SocketAddr,
}

impl Unread {
    fn start(upstream: &TestUpstream) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_instantly-proxy"))
            .env_clear()
            .env("INSTANTLY_PROXY_UPSTREAM__URL", format!("http://{}", upstream.address()))
            .env("INSTANTLY_PROXY_LISTEN__ADDRESS", "127.0.0.1:0")
            .env("INSTANTLY_PROXY_ADMIN__ADDRESS", "127.0.0.1:0")
            .env("INSTANTLY_PROXY_LISTEN__IDLE_TIMEOUT", "1h")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let mut output = BufReader::with_capacity(256, child.stdout.take().expect("it is piped"));
        let ready = loop {
            let mut line = String::new();
            output.read_line(&mut line).expect("text");
            let line: Value = serde_json::from_str(&line).expect("one object");
            if line["message"] == "ready" {
                break line;
            }
        };
        let address = |key: &str| ready[key].as_str().expect("text").parse().expect("an address");
        let (data, admin) = (address("data"), address("admin"));
        Self { child, output, data, admin }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_standard_output_that_stands_still_holds_no_request_up_and_what_is_dropped_is_counted() {
    let upstream = TestUpstream::of(&World::vendor());
    let mut unread = Unread::start(&upstream);
    let operator = Caller::anonymous(unread.admin);
    let dropped = async || {
        let text = operator.get("/metrics").send().await.assert_status(200).text();
        sum_of_series(&text, "instantly_proxy_log_lines_dropped_total", &[])
    };
    assert!(dropped().await < 1.0);
    // Long lines fill pipe and buffer sooner: the path of a request is in each.
    let refused = format!("/{}", "a".repeat(190));
    let caller = Caller::anonymous(unread.data).over_http2();
    let mut asked = 0;
    patiently("a line that is dropped", async {
        while dropped().await < 1.0 {
            for reply in crate::support::together(100, |_| caller.request("OPTIONS", &refused).send()).await {
                reply.assert_status(405);
                asked += 1;
            }
        }
    })
    .await;
    Caller::anonymous(unread.data).with_token(&token("a", 1)).get(CAMPAIGNS).send().await.assert_status(200);
    operator.get("/readyz").send().await.assert_status(200);

    // Who reads again gets whole lines, and all that were not counted.
    let dropped = dropped().await;
    let pid = unread.child.id().to_string();
    assert!(
        Command::new("sh").args(["-c", &format!("kill -INT {pid}")]).status().expect("a shell").success()
    );
    let mut text = String::new();
    unread.output.read_to_string(&mut text).expect("text");
    assert_eq!(unread.child.wait().expect("it ends").code(), Some(0));
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("whole lines"));
    let requests = lines.filter(|line| line["message"] == "request").count();
    let lost = f64::from(u32::try_from(asked + 1 - requests).expect("no more lines than requests"));
    assert!(lost >= dropped, "{lost} {dropped}");
    assert!(requests > 1000, "{requests}");
}

#[tokio::test]
async fn a_reader_that_never_comes_back_does_not_keep_the_process_from_ending() {
    let upstream = TestUpstream::of(&World::vendor());
    let mut unread = Unread::start(&upstream);
    let caller = Caller::anonymous(unread.data).over_http2();
    let refused = format!("/{}", "a".repeat(190));
    for _ in 0..10 {
        crate::support::together(100, |_| caller.request("OPTIONS", &refused).send()).await;
    }
    let pid = unread.child.id().to_string();
    assert!(
        Command::new("sh").args(["-c", &format!("kill -INT {pid}")]).status().expect("a shell").success()
    );
    let ended = tokio::task::spawn_blocking(move || unread.child.wait().map(|status| status.code()));
    let ended = patiently("the end of the program", ended).await.expect("no panic");
    assert_eq!(ended.expect("a status"), Some(0));
}
