//! `config`: print the effective configuration, each value with where it came from.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::output::Output;
use super::setup::Files;
use crate::config::{Key, Loaded};
use crate::descriptors;

/// What is printed, and how.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Document {
    keys: Vec<Row>,
    notices: Vec<String>,
}

/// One key; a secret's value is `***`.
#[derive(Serialize)]
struct Row {
    key: &'static str,
    value: Option<Value>,
    origin: String,
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> ExitCode {
    let notices: Vec<_> = loaded.notices(descriptors::highest()).collect();
    let text = || {
        // Comments, so that the output stays a file that can be given back.
        let mut text: String = notices.iter().map(|notice| format!("# {notice}\n")).collect();
        text.push_str(&loaded.report());
        text
    };
    let keys = Key::ALL.iter().map(|key| Row {
        key: key.as_str(),
        value: loaded.shown(*key).map(|shown| serde_json::from_str(&shown).unwrap_or(Value::String(shown))),
        origin: loaded.origin(*key).to_string(),
    });
    arguments.output.write(text, &Document { keys: keys.collect(), notices: notices.clone() });
    ExitCode::SUCCESS
}
