//! [`Who`]: what lines say of who sent a request. Written once for many lines: a connection's requests are nearly always of one
//! caller, one key and one organization, and names that are checked and copied again for each line took half of what it costs
//! to tell callers apart. The address stands before the names, and is written with them: so a line costs next to nothing more
//! than one that says nothing of callers.

use std::sync::OnceLock;

use uuid::Uuid;

/// A client's address, a caller, the name of its key, and the key's organization, as lines say them.
#[derive(Clone, Debug)]
pub struct Who {
    peer: Box<str>,
    caller: Box<str>,
    credential: Box<str>,
    organization: Option<Uuid>,
    json: OnceLock<Box<str>>,
    text: OnceLock<Box<str>>,
}

impl Who {
    /// Of this address and port, of these names, and of this organization if it is known.
    #[must_use]
    pub fn new(peer: &str, caller: &str, credential: &str, organization: Option<Uuid>) -> Self {
        Self {
            peer: peer.into(),
            caller: caller.into(),
            credential: credential.into(),
            organization,
            json: OnceLock::new(),
            text: OnceLock::new(),
        }
    }

    /// The organization.
    #[must_use]
    pub const fn organization(&self) -> Option<Uuid> {
        self.organization
    }

    /// Address and port.
    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// The caller's name, and that of its key.
    pub(super) fn names(&self) -> [&str; 2] {
        [&self.caller, &self.credential]
    }

    /// The fields in a line of JSON, as they were written first.
    pub(super) fn json(&self, write: impl FnOnce() -> String) -> &str {
        self.json.get_or_init(|| write().into_boxed_str())
    }

    /// The fields in a line of text, likewise.
    pub(super) fn text(&self, write: impl FnOnce() -> String) -> &str {
        self.text.get_or_init(|| write().into_boxed_str())
    }
}
