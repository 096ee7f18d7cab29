//! [`Fault`]: one thing that is wrong with the configuration, in words that an operator can act on.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A file of `--config`.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
        }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Dotted name in lower case; empty where a whole file is at fault.
    pub key: String,
    /// Where the value came from.
    pub origin: Origin,
    /// What was given, and what is wrong with it where that is not plain; no secret.
    pub given: String,
    /// What is allowed.
    pub allowed: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{} (from {}); allowed: {}", self.given, self.origin, self.allowed)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_key_source_value_and_what_is_allowed() {
        let mut fault = Fault {
            key: "listen.workers".to_owned(),
            origin: Origin::Variable("INSTANTLY_PROXY_LISTEN__WORKERS".to_owned()),
            given: "\"many\"".to_owned(),
            allowed: "a whole number".to_owned(),
        };
        assert_eq!(
            fault.to_string(),
            "listen.workers: \"many\" (from variable INSTANTLY_PROXY_LISTEN__WORKERS); allowed: a whole number"
        );
        fault.key.clear();
        fault.origin = Origin::File(PathBuf::from("a.toml"));
        assert_eq!(fault.to_string(), "\"many\" (from file a.toml); allowed: a whole number");
    }
}
