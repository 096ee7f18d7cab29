//! [`Failure`]: why a command could not do what it was asked for, and its exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::Fault;

/// Why a command could not do what it was asked for.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u8,
    pub(super) lines: Vec<String>,
}

impl Failure {
    pub(super) const FAILED: u8 = 1;
    pub(super) const MISUSED: u8 = 2;

    pub(super) fn failed(reason: impl Display) -> Self {
        Self { code: Self::FAILED, lines: vec![reason.to_string()] }
    }

    pub(super) fn misused(reason: impl Display) -> Self {
        Self { code: Self::MISUSED, lines: vec![reason.to_string()] }
    }

    pub(super) fn report(self) -> ExitCode {
        let mut stderr = io::stderr().lock();
        for line in self.lines {
            // Whoever closed stderr does not want to know.
            let _ = writeln!(stderr, "instantly-proxy: {line}");
        }
        ExitCode::from(self.code)
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        Self { code: Self::MISUSED, lines: faults.iter().map(ToString::to_string).collect() }
    }
}
