//! [`Script`]: a step that the store takes as a whole.

use std::fmt::{self, Write as _};
use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// A Lua script, one `static` each.
///
/// It is asked for by its digest, and sent whole where the server does not know it: `EVAL` leaves it known, so `SCRIPT LOAD`,
/// which is one more round trip and one more permission, is never sent.
pub struct Script {
    name: &'static str,
    body: &'static str,
    digest: OnceLock<String>,
}

impl Script {
    /// A script: its name is for log lines, its body is what the server runs.
    #[must_use]
    pub const fn new(name: &'static str, body: &'static str) -> Self {
        Self { name, body, digest: OnceLock::new() }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the server runs.
    #[must_use]
    pub const fn body(&self) -> &'static str {
        self.body
    }

    /// The SHA-1 by which the server knows it, as 40 hexadecimal digits.
    pub(super) fn digest(&self) -> &str {
        self.digest.get_or_init(|| {
            let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, self.body.as_bytes());
            digest.as_ref().iter().fold(String::with_capacity(40), |mut text, byte| {
                write!(text, "{byte:02x}").expect("a string takes anything");
                text
            })
        })
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_digest_is_the_one_that_servers_compute() {
        // SCRIPT LOAD "return 1" answers this.
        let script = Script::new("one", "return 1");
        assert_eq!(script.digest(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}
