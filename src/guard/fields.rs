//! The fields that decide how a request is framed, for whom it is and where it goes: one row each in [`Rule::of`]. Whoever
//! reads heads without the HTTP library asks the same rows.
//!
//! All fields are looked at once, in their order; values that only one kind of path cares about are left to
//! [`classify`](crate::classify).

use http::{HeaderMap, HeaderValue, Version};

use crate::error::ErrorKind;
use crate::semantics::fields::{overrides_method, with_hyphens};
use crate::semantics::framing;
use crate::semantics::list::tokens;
use crate::semantics::via;

/// The most fields, each line counted.
const MAX_FIELDS: usize = 100;

/// The most bytes of all names and values, with the colon, the space and the line end of each.
const MAX_BYTES: usize = 32 * 1024;
const BYTES_BESIDES: usize = 4;

/// What the rest of the guard must know of the fields.
#[derive(Debug, Default)]
pub(crate) struct Seen<'a> {
    pub(super) host: Option<&'a [u8]>,
    authorization: bool,
    content_length: bool,
    transfer_encoding: bool,
}

/// Checks every field by itself and how often it comes.
pub(super) fn check<'a>(
    version: Version,
    fields: &'a HeaderMap,
    own_via: &'a str,
) -> Result<Seen<'a>, ErrorKind> {
    let mut pass = Pass::begin(version, fields.len(), own_via);
    for (name, value) in fields {
        pass.line(name.as_str(), Question::of(name.as_str()), value);
    }
    pass.end()
}

/// What is asked of the lines of one name, whatever their values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// What its rule asks.
    Rule(Rule),
    /// Nothing: it is not passed on.
    Refused(ErrorKind),
    /// No more than of every line.
    Nothing,
}

impl Question {
    /// That of a name in lower case.
    pub(crate) fn of(name: &str) -> Self {
        match Rule::of(name) {
            Some(rule) => Self::Rule(rule),
            None => refuse_look_alike(name).map_or_else(Self::Refused, |()| Self::Nothing),
        }
    }
}

/// One look at the fields of a request, line by line in their order. The first fault counts, and ends it.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    version: Version,
    own_via: &'a str,
    bytes: usize,
    seen: Result<Seen<'a>, ErrorKind>,
}

impl<'a> Pass<'a> {
    /// Over so many lines.
    pub(crate) fn begin(version: Version, lines: usize, own_via: &'a str) -> Self {
        let seen = if lines > MAX_FIELDS { Err(ErrorKind::FieldsTooLarge) } else { Ok(Seen::default()) };
        Self { version, own_via, bytes: 0, seen }
    }

    /// Looks at a line; `question` is that of its name.
    pub(crate) fn line(&mut self, name: &str, question: Question, value: &'a HeaderValue) {
        if let Ok(seen) = &mut self.seen {
            let value = value.as_bytes();
            self.bytes += name.len() + value.len() + BYTES_BESIDES;
            let checked = match question {
                _ if self.bytes > MAX_BYTES => Err(ErrorKind::FieldsTooLarge),
                Question::Rule(rule) => rule.check(value, self.version, self.own_via, seen),
                Question::Refused(kind) => Err(kind),
                Question::Nothing => Ok(()),
            };
            let checked = match checked {
                Ok(()) if begins_or_ends_with_space(value) => Err(ErrorKind::BadFieldValue),
                checked => checked,
            };
            if let Err(kind) = checked {
                self.seen = Err(kind);
            }
        }
    }

    /// What was seen.
    ///
    /// # Errors
    ///
    /// The first fault.
    pub(crate) fn end(self) -> Result<Seen<'a>, ErrorKind> {
        self.seen
    }
}

/// What is asked of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Authorization,
    Connection,
    ContentLength,
    Expect,
    Host,
    MethodOverride,
    Te,
    TransferEncoding,
    Via,
    /// Nothing by itself; another name must not imitate it.
    Genuine,
}

impl Rule {
    /// That of a name in lower case, if it has one.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "authorization" => Self::Authorization,
            "connection" => Self::Connection,
            "content-length" => Self::ContentLength,
            "expect" => Self::Expect,
            "host" => Self::Host,
            "te" => Self::Te,
            "transfer-encoding" => Self::TransferEncoding,
            "via" => Self::Via,
            "content-encoding"
            | "content-type"
            | "cookie"
            | "proxy-authorization"
            | "proxy-connection"
            | "trailer"
            | "upgrade"
            | "x-as-workspace"
            | "x-forwarded-host" => Self::Genuine,
            name if overrides_method(name) => Self::MethodOverride,
            _ => return None,
        })
    }

    /// Asks it of one line, whose value has no space around it; `seen` is what the lines before it have shown.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(crate) fn check<'a>(
        self,
        bytes: &'a [u8],
        version: Version,
        own_via: &str,
        seen: &mut Seen<'a>,
    ) -> Result<(), ErrorKind> {
        let (sound, otherwise) = match self {
            Self::Host => (seen.host.replace(bytes).is_none(), ErrorKind::RepeatedHost),
            Self::Authorization => {
                let once = !std::mem::replace(&mut seen.authorization, true);
                // All of it, without an early end: so it is compared many bytes at a time.
                let has_control = bytes.iter().fold(false, |found, byte| found | byte.is_ascii_control());
                (once && !has_control, ErrorKind::BadAuthorization)
            }
            Self::ContentLength => {
                let once = !std::mem::replace(&mut seen.content_length, true);
                let sound = once && framing::is_length(bytes) && !seen.transfer_encoding;
                (sound, ErrorKind::BadContentLength)
            }
            Self::TransferEncoding => {
                let once = !std::mem::replace(&mut seen.transfer_encoding, true);
                let sound = version == Version::HTTP_11 && bytes.eq_ignore_ascii_case(b"chunked");
                (once && sound && !seen.content_length, ErrorKind::BadTransferEncoding)
            }
            Self::Connection => (!tokens(bytes).any(must_stay), ErrorKind::BadConnection),
            // RFC 9113 §8.2.2; on HTTP/1.1 it speaks of this hop alone, and ends here.
            Self::Te => (
                version != Version::HTTP_2
                    || tokens(bytes).all(|coding| coding.eq_ignore_ascii_case(b"trailers")),
                ErrorKind::BadTe,
            ),
            Self::Expect => (bytes.eq_ignore_ascii_case(b"100-continue"), ErrorKind::ExpectationFailed),
            Self::Via => (!via::names(bytes, own_via), ErrorKind::Loop),
            Self::MethodOverride => (false, ErrorKind::MethodOverride),
            Self::Genuine => return Ok(()),
        };
        if sound { Ok(()) } else { Err(otherwise) }
    }
}

/// Q16; RFC 9113 §8.2.1: HTTP/2 carries such a value and has no reader of it; behind HTTP/1.1 it is another value.
fn begins_or_ends_with_space(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.first()) || is_space(value.last())
}

/// Q18: what one reader takes for another name than the next one does. Other names with `_` pass.
pub(crate) fn refuse_look_alike(name: &str) -> Result<(), ErrorKind> {
    let imitates = |name: &str| !matches!(Rule::of(name), None | Some(Rule::Via));
    if name.contains('_') && with_hyphens(name, imitates) { Err(ErrorKind::LookAlikeField) } else { Ok(()) }
}

/// Q5: a field that `Connection` may not name, because it would be removed for the next hop. Any other is removed.
fn must_stay(name: &[u8]) -> bool {
    let is = |field: &str| name.eq_ignore_ascii_case(field.as_bytes());
    name.get(..CONTENT.len()).is_some_and(|start| start.eq_ignore_ascii_case(CONTENT))
        || ["authorization", "host", "transfer-encoding", "cookie", "cache-control", "x-as-workspace"]
            .into_iter()
            .any(is)
}

const CONTENT: &[u8] = b"content-";
