//! [`RequestLine`]: what is said of a request at its end, in plain values, and [`Fields`], which each style of a line writes.
//!
//! What a line says and in which order stands here alone; how it looks is up to the styles, and to write it up to `request`.

use std::time::Duration;

use http::Method;
use tracing::Level;
use uuid::Uuid;

use super::who::Who;

/// The target of these lines, by which `log.level` silences them.
pub(super) const TARGET: &str = "instantly_proxy::access";
/// Their level.
pub(super) const LEVEL: Level = Level::INFO;
/// Their message.
pub(super) const MESSAGE: &str = "request";
/// A path is cut here; what matters of it comes first. In bytes.
const MAX_PATH: usize = 200;

/// A request that has ended, in plain values. What is `'static` is of a closed set, or of code: letters, digits and little
/// else.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// When it ended: time since 1970-01-01T00:00:00Z.
    pub at: Duration,
    /// The id under which it is found in the logs of every hop. Nothing of it has to be escaped: it is ours, or was looked at
    /// before it was taken over.
    pub request_id: &'a str,
    /// Of its trace, where it has one.
    pub trace_id: Option<&'a str>,
    /// Address and port of the client.
    pub peer: &'a str,
    /// Its method, as [`method`] has it: a token (RFC 9110 §5.6.2).
    pub method: &'a str,
    /// Its path without the query, where a key may stand; of any length.
    pub path: &'a str,
    /// Which of the series of the metrics it is in.
    pub route: &'static str,
    /// How it was answered.
    pub outcome: &'static str,
    /// Of the answer, unless the client left before there was one.
    pub status: Option<u16>,
    /// Who sent it, from that address, where callers are told apart.
    pub who: Option<&'a Who>,
    /// Why it was bypassed, served stale or refused.
    pub reason: Option<&'static str>,
    /// How long its calls waited for their turns.
    pub waited: Duration,
    /// How long its calls took.
    pub upstream: Duration,
    /// Calls that were sent for it.
    pub upstream_calls: u64,
    /// The kind of our own error, where the answer is one.
    pub error: Option<&'static str>,
    /// What brought the error about, or cut the answer.
    pub cause: Option<&'a str>,
    /// From its head to the end of the answer.
    pub duration: Duration,
    /// Bytes of the answer's body that were sent.
    pub response_bytes: u64,
    /// How the answer ended.
    pub ending: Ending,
}

/// How an answer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it.
    Complete,
    /// Its client or its source was gone before its end.
    Cut,
}

/// A field's name as each style writes it, made where the code is compiled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// `,"name":`
    pub(super) json: &'static str,
    /// `,"name":"`
    pub(super) json_text: &'static str,
    /// ` name=`
    pub(super) text: &'static str,
}

macro_rules! key {
    ($name:literal) => {
        Key {
            json: concat!(",\"", $name, "\":"),
            json_text: concat!(",\"", $name, "\":\""),
            text: concat!(" ", $name, "="),
        }
    };
}

/// What writes the fields of one line, in one style.
pub(super) trait Fields {
    /// A value from outside.
    fn text(&mut self, key: Key, value: &str);
    /// A value of a closed set, of code, or of characters that somebody has looked at: none has to be escaped.
    fn word(&mut self, key: Key, value: &str);
    fn integer(&mut self, key: Key, value: u64);
    /// With a full stop, and as many decimals as say it exactly.
    fn milliseconds(&mut self, key: Key, value: Duration);
    /// `true` or `false`.
    fn literal(&mut self, key: Key, value: &'static str);
    /// Where it came from and who sent it, as it was written before.
    fn who(&mut self, who: &Who);
}

impl RequestLine<'_> {
    /// All that is said, in this order, in whichever style: the one place to add to.
    pub(super) fn fields(&self, to: &mut impl Fields) {
        to.word(key!("request_id"), self.request_id);
        if let Some(trace_id) = self.trace_id {
            to.text(key!("trace_id"), trace_id);
        }
        match self.who {
            Some(who) => to.who(who),
            None => to.word(key!("peer"), self.peer),
        }
        to.word(key!("method"), self.method);
        to.text(key!("path"), cut(self.path));
        to.word(key!("route"), self.route);
        to.word(key!("outcome"), self.outcome);
        if let Some(reason) = self.reason {
            to.word(key!("reason"), reason);
        }
        if let Some(status) = self.status {
            to.integer(key!("status"), status.into());
        }
        if let Some(error) = self.error {
            to.word(key!("error"), error);
        }
        if let Some(cause) = self.cause {
            to.text(key!("cause"), cause);
        }
        to.milliseconds(key!("duration_ms"), self.duration);
        // Most are answered without a call, and say nothing of one.
        if !self.waited.is_zero() {
            to.milliseconds(key!("wait_ms"), self.waited);
        }
        if self.upstream_calls > 0 {
            to.milliseconds(key!("upstream_ms"), self.upstream);
            to.integer(key!("upstream_calls"), self.upstream_calls);
        }
        to.integer(key!("response_bytes"), self.response_bytes);
        to.literal(key!("complete"), if self.ending == Ending::Complete { "true" } else { "false" });
    }
}

/// What is said of who sent a request: once for many of its lines.
pub(super) fn who_fields(who: &Who, to: &mut impl Fields) {
    let [caller, credential] = who.names();
    to.word(key!("peer"), who.peer());
    to.text(key!("caller"), caller);
    to.text(key!("credential"), credential);
    if let Some(organization) = who.organization() {
        let mut text = Uuid::encode_buffer();
        to.text(key!("organization"), organization.hyphenated().encode_lower(&mut text));
    }
}

/// What a line says of a method: `other` for one that HTTP does not have. What stands in its place may be anything, of any
/// length; a client that slips by a line sends its key there.
#[must_use]
pub fn method(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS
        | Method::TRACE
        | Method::CONNECT => method.as_str(),
        _ => "other",
    }
}

fn cut(path: &str) -> &str {
    &path[..path.floor_char_boundary(MAX_PATH)]
}

#[cfg(test)]
mod tests {
    use crate::error::ErrorKind;
    use crate::outcome::Outcome;
    use crate::resource::{RESOURCES, Route};

    #[test]
    fn what_is_said_of_a_closed_set_has_nothing_to_escape() {
        let of = |resource| [Route::Item(resource), Route::List(resource), Route::Write(resource)];
        let routes =
            RESOURCES.iter().flat_map(of).chain([Route::PassThrough, Route::Refused]).map(Route::as_str);
        let outcomes = Outcome::ALL.iter().map(|outcome| outcome.as_str());
        let errors = ErrorKind::ALL.iter().map(|kind| kind.as_str());
        for word in routes.chain(outcomes).chain(errors) {
            assert!(word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{word}");
        }
    }
}
