//! [`Recorded`]: a request as the upstream saw it.

use super::wire::{Framing, Head};

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Which connection it came on, counted from 1.
    pub connection: usize,
    /// Its head, raw and in fields.
    pub head: Head,
    /// First word of the request line.
    pub method: String,
    /// Second word of the request line.
    pub target: String,
    /// The decoded body.
    pub body: Vec<u8>,
    /// How the end of the body was told.
    pub framing: Framing,
}

impl Recorded {
    /// Whether it has this method and this very target.
    pub fn is(&self, method: &str, target: &str) -> bool {
        self.method == method && self.target == target
    }

    /// The value of a field that is there at most once.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.head.values(name);
        assert!(values.len() <= 1, "{name} came {} times: {values:?}", values.len());
        values.first().copied()
    }

    /// How many lines a field has.
    pub fn lines_of(&self, name: &str) -> usize {
        self.head.values(name).len()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Why no proxy may send this, if so.
    pub(super) fn fault(&self) -> Option<String> {
        let count = |name| self.head.values(name).len();
        let wrong = count("host") != 1
            || count("authorization") > 1
            || count("content-length") + count("transfer-encoding") > 1
            || !self.head.first_line.ends_with(" HTTP/1.1");
        wrong.then(|| {
            let redacted = self.head.fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
            format!("the upstream got a malformed request: {}, fields {redacted:?}", self.head.first_line)
        })
    }
}
