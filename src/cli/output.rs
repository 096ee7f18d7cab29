//! How a command's answer is written: for people, or as JSON for programs.

use std::fmt::Display;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::say::say;

/// For people, or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Lines of text.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// `-o`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct Output {
    /// How the answer is written
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
}

impl Output {
    /// Writes what is known in the form that was asked for.
    pub(super) fn write(self, text: impl FnOnce() -> String, document: &impl Serialize) {
        match self.format {
            Format::Text => say(text().trim_end()),
            Format::Json => say(Json(document)),
        }
    }

    /// Whether lines of text are asked for.
    pub(super) fn is_text(self) -> bool {
        self.format == Format::Text
    }
}

struct Json<'a, T>(&'a T);

impl<T: Serialize> Display for Json<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string_pretty(self.0).expect("plain members have a JSON form"))
    }
}
