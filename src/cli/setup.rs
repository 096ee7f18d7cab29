//! [`Setup`]: the files and the environment that a command reads its configuration from.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use crate::config::{Fault, Inputs, Loaded, load, load_again, load_values};

/// The files of the configuration. Stands before and behind a command's name; what is named before comes first. Not
/// clap's `global`, which forgets the former where there are both.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Files {
    /// Configuration file in TOML; may be repeated: later ones win, and the environment wins over all
    #[arg(long, value_name = "FILE")]
    pub(super) config: Vec<PathBuf>,
}

/// What a command needs to read its configuration.
pub(super) struct Setup {
    pub(super) files: Vec<PathBuf>,
    pub(super) environment: Vec<(String, String)>,
}

impl Setup {
    pub(super) fn and(mut self, more: Files) -> Self {
        self.files.extend(more.config);
        self
    }

    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        self.read().map_err(Failure::from)
    }

    pub(super) fn read(&self) -> Result<Loaded, Vec<Fault>> {
        load(&self.files, self.environment.iter().cloned())
    }

    /// Reads it again, while what `earlier` gave holds.
    pub(super) fn load_again(&self, earlier: &Inputs) -> Result<Loaded, Vec<Fault>> {
        load_again(&self.files, self.environment.iter().cloned(), earlier)
    }

    pub(super) fn load_values(&self) -> Result<Loaded, Failure> {
        self.read_values().map_err(Failure::from)
    }

    pub(super) fn read_values(&self) -> Result<Loaded, Vec<Fault>> {
        load_values(&self.files, self.environment.iter().cloned())
    }

    /// For commands that bring a configuration of their own.
    pub(super) fn expect_none(self) -> Result<(), Failure> {
        if self.files.is_empty() { Ok(()) } else { Err(Failure::misused("this command reads no --config")) }
    }
}
