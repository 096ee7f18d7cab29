//! Logging: one subscriber a process.

use crate::config::Log;

/// Sets the process's subscriber.
///
/// # Errors
///
/// If there is one already.
pub fn init(_log: &Log) -> Result<(), String> {
    Ok(())
}
