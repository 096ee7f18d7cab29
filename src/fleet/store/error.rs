//! [`StoreError`]: why the store gave no answer.

use std::fmt;

use crate::closed_enum::closed_enum;
use crate::metrics::OperationResult;

closed_enum! {
    /// Why the store gave no answer, as metrics and log lines say it.
    pub enum StoreErrorKind {
        /// No reply came in time.
        Timeout = "timeout",
        /// There is no connection, or it broke.
        Lost = "lost",
        /// The server is a replica, or has become one.
        ReadOnly = "read_only",
        /// The key lies on another node of the Cluster, or on none at present (MOVED, ASK, TRYAGAIN, CLUSTERDOWN).
        Moved = "moved",
        /// The server reads its file.
        Loading = "loading",
        /// The server's memory is full.
        Oom = "oom",
        /// User or password are missing or wrong.
        NoAuth = "no_auth",
        /// The user may not do this.
        NoPermission = "no_permission",
        /// The primary has lost its replicas and takes no write.
        NoReplicas = "no_replicas",
        /// The server does not know the script. [`super::Script`] then sends it whole, so nobody sees this.
        NoScript = "no_script",
        /// The server is too old: it does not speak RESP3.
        TooOld = "too_old",
        /// The TLS handshake failed, or a file that it needs.
        Tls = "tls",
        /// Anything else, and every reply that cannot be read.
        Other = "other",
    }
}

/// Why the store gave no answer: a kind to act on, and the server's or system's own words for a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    kind: StoreErrorKind,
    detail: String,
}

/// More of a server's words than this is not kept: a script's error may quote what it was given.
const LONGEST_DETAIL: usize = 200;

impl StoreError {
    pub(super) fn new(kind: StoreErrorKind, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if detail.len() > LONGEST_DETAIL {
            let end = (0..=LONGEST_DETAIL).rev().find(|end| detail.is_char_boundary(*end)).unwrap_or(0);
            detail.truncate(end);
        }
        Self { kind, detail }
    }

    /// A reply that is not what the script or command gives.
    #[must_use]
    pub fn unreadable(what: &str) -> Self {
        Self::new(StoreErrorKind::Other, format!("the reply is not {what}"))
    }

    /// What to act on.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// How the question ended, as metrics tell it.
    #[must_use]
    pub const fn result(&self) -> OperationResult {
        match self.kind {
            StoreErrorKind::Timeout => OperationResult::Timeout,
            StoreErrorKind::Lost | StoreErrorKind::Tls => OperationResult::Lost,
            _ => OperationResult::Refused,
        }
    }

    /// What the client says that was told something by the server, and does not say by which code.
    pub(super) fn of_client(words: &str) -> Self {
        Self::new(of_words(words), words)
    }

    /// What the server said: its code and its words.
    pub(super) fn of_server(code: &str, words: &str) -> Self {
        let kind = match code {
            "READONLY" => StoreErrorKind::ReadOnly,
            "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "CROSSSLOT" => StoreErrorKind::Moved,
            "LOADING" | "MASTERDOWN" | "BUSY" => StoreErrorKind::Loading,
            "OOM" => StoreErrorKind::Oom,
            "NOAUTH" | "WRONGPASS" => StoreErrorKind::NoAuth,
            "NOPERM" => StoreErrorKind::NoPermission,
            "NOREPLICAS" => StoreErrorKind::NoReplicas,
            "NOSCRIPT" => StoreErrorKind::NoScript,
            "NOPROTO" => StoreErrorKind::TooOld,
            _ => of_words(words),
        };
        Self::new(kind, format!("{code} {words}"))
    }
}

/// What an error without a code of its own means. An engine wraps what a command inside a script was refused for.
fn of_words(words: &str) -> StoreErrorKind {
    let says = |text: &str| words.contains(text);
    if says("READONLY") || says("against a read only replica") {
        StoreErrorKind::ReadOnly
    } else if says("OOM ") || says("'maxmemory'") {
        StoreErrorKind::Oom
    } else if says("NOREPLICAS") {
        StoreErrorKind::NoReplicas
    } else if says("NOPERM")
        || says("has no permissions to run")
        || says("ACL failure")
        || says("executing the script can't")
    {
        StoreErrorKind::NoPermission
    } else if says("unknown command `HELLO`") || says("unknown command 'HELLO'") {
        StoreErrorKind::TooOld
    } else if says("invalid username-password") || says("without any password configured") {
        StoreErrorKind::NoAuth
    } else {
        StoreErrorKind::Other
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.as_str() {
            "" => f.write_str(self.kind.as_str()),
            detail => write!(f, "{}: {detail}", self.kind),
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_has_one_meaning() {
        for (code, words, kind) in [
            ("READONLY", "You can't write against a read only replica.", StoreErrorKind::ReadOnly),
            ("MOVED", "3999 127.0.0.1:6381", StoreErrorKind::Moved),
            ("TRYAGAIN", "Multiple keys request during rehashing of slot", StoreErrorKind::Moved),
            ("CLUSTERDOWN", "Hash slot not served", StoreErrorKind::Moved),
            ("LOADING", "Redis is loading the dataset in memory", StoreErrorKind::Loading),
            ("OOM", "command not allowed when used memory > 'maxmemory'.", StoreErrorKind::Oom),
            ("WRONGPASS", "invalid username-password pair or user is disabled.", StoreErrorKind::NoAuth),
            ("NOAUTH", "Authentication required.", StoreErrorKind::NoAuth),
            ("NOPERM", "User a has no permissions to run the 'set' command", StoreErrorKind::NoPermission),
            ("ERR", "ACL failure in script: No permissions to access a key", StoreErrorKind::NoPermission),
            ("NOREPLICAS", "Not enough good replicas to write.", StoreErrorKind::NoReplicas),
            ("NOPROTO", "unsupported protocol version", StoreErrorKind::TooOld),
            ("ERR", "unknown command `HELLO`, with args beginning with: `3`", StoreErrorKind::TooOld),
            ("ERR", "value is not an integer or out of range", StoreErrorKind::Other),
        ] {
            assert_eq!(StoreError::of_server(code, words).kind(), kind, "{code} {words}");
        }
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let error = StoreError::of_server("ERR", &"ä".repeat(1000));
        assert!(error.to_string().len() < 250, "{error}");
    }
}
