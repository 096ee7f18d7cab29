//! [`SetupError`]: what of the configuration or the machine keeps the proxy from being set up.

use std::fmt;

/// Why it could not, in words for whoever starts it.
#[derive(Debug)]
pub struct SetupError(pub String);

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SetupError {}
