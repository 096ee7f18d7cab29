//! `explain`: what would happen to a request, without sending it.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use super::admin_client::AdminClient;
use super::failure::Failure;
use super::key;
use super::output::Output;
use super::runtime::block_on;
use super::setup::Files;
use crate::config::Loaded;

const PATIENCE: Duration = Duration::from_secs(10);

/// The request.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    output: Output,
    /// Its path, with its query
    path: String,
    /// Its method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A field of its head, as "name: value"; may be repeated. A key is better given by --key-stdin: others see arguments
    #[arg(long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// Read the API key that it carries from standard input
    #[arg(long)]
    key_stdin: bool,
}

impl Arguments {
    fn body(&self, key: Option<&str>) -> Result<Value, Failure> {
        let mut headers = Map::new();
        let mut add = |name: &str, value: String| {
            let values = headers.entry(name.to_ascii_lowercase()).or_insert_with(|| json!([]));
            values.as_array_mut().expect("it was made one").push(value.into());
        };
        for field in &self.headers {
            let Some((name, value)) = field.split_once(':') else {
                return Err(Failure::misused("--header wants \"name: value\""));
            };
            add(name.trim(), value.trim().to_owned());
        }
        if let Some(key) = key {
            add("authorization", format!("Bearer {key}"));
        }
        Ok(json!({"method": self.method, "path": self.path, "headers": headers}))
    }
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let admin = &loaded.config.admin;
    let key = if arguments.key_stdin { Some(key::of_standard_input()?) } else { None };
    let client = AdminClient::new(admin, PATIENCE)?.authorized(admin)?;
    let body = arguments.body(key.as_deref())?;
    let explanation = block_on(client.post("/api/explain", &body))?.document(admin)?;
    arguments.output.write(|| text(&explanation), &explanation);
    Ok(ExitCode::SUCCESS)
}

/// The decision and its reason, and below them all that they rest on.
fn text(explanation: &Value) -> String {
    let mut text = String::new();
    let member = |name: &str| explanation.get(name).and_then(Value::as_str).unwrap_or_default();
    let _ = writeln!(text, "{}: {}", member("decision"), member("why"));
    for (name, value) in explanation.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "decision" | "why") {
            add(&mut text, name, value, "  ");
        }
    }
    text
}

fn add(text: &mut String, name: &str, value: &Value, indent: &str) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            let _ = writeln!(text, "{indent}{name}");
            let deeper = format!("{indent}  ");
            members.iter().for_each(|(name, value)| add(text, name, value, &deeper));
        }
        Value::String(said) => {
            let _ = writeln!(text, "{indent}{name}: {said}");
        }
        other => {
            let _ = writeln!(text, "{indent}{name}: {other}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_begins_with_the_decision() {
        let said = json!({"why": "It is fresh.", "decision": "hit", "proof": {"state": "fresh", "age_seconds": 3}, "none": null});
        assert_eq!(text(&said), "hit: It is fresh.\n  proof\n    age_seconds: 3\n    state: fresh\n");
    }
}
