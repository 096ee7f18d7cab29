//! What a command writes.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a command's output; whoever closed the pipe has read enough.
pub(super) fn say(text: impl Display) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}
