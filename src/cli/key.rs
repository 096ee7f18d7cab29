//! An API key that a command is given: on standard input, since arguments and variables are seen by others.

use std::io::{self, BufRead};

use super::failure::Failure;

/// The first line of standard input.
///
/// # Errors
///
/// If there is none, or one that no field could carry.
pub(super) fn of_standard_input() -> Result<String, Failure> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|_| Failure::misused("standard input cannot be read"))?;
    let key = line.trim();
    let is_sound = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    is_sound
        .then(|| key.to_owned())
        .ok_or_else(|| Failure::misused("standard input has no API key on its first line"))
}
