//! Fields that forbid caching: whatever may choose whose data comes back and is not the credential.
//!
//! A credential is one `Authorization` and at most one `x-as-workspace`, both well formed; the vendor documents nothing
//! else. Anything that looks as if it named a tenant or carried a second identity sends the read upstream, uncached.

use http::HeaderMap;

use crate::outcome::BypassReason;
use crate::semantics::cookie;
use crate::semantics::octets::Octets;

/// The longest token that is taken for a key of the vendor; those have 68 characters today.
const MAX_TOKEN: usize = 4096;

/// The vendor's one documented selector of a tenant besides the key itself.
const WORKSPACE: &str = "x-as-workspace";

/// The first reason for which these fields forbid caching.
pub(super) fn bypass(fields: &HeaderMap) -> Option<BypassReason> {
    let mut seen = Seen::default();
    let mut reason = None;
    for (name, value) in fields {
        let fault = Concern::of(name.as_str()).and_then(|concern| concern.fault(value.as_bytes(), &mut seen));
        reason = reason.or(fault);
    }
    reason.or_else(|| seen.lacks_credential())
}

/// What the lines of a request have shown.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    authorization: bool,
    workspace: bool,
}

impl Seen {
    /// The reason that is left when no line has one: nobody asks.
    pub(crate) fn lacks_credential(&self) -> Option<BypassReason> {
        (!self.authorization).then_some(BypassReason::Authorization)
    }
}

/// Why a field may forbid caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    Authorization,
    Cookie,
    Workspace,
    Identity,
}

impl Concern {
    /// That of a name in lower case, if there is any.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "authorization" => Some(Self::Authorization),
            "cookie" => Some(Self::Cookie),
            WORKSPACE => Some(Self::Workspace),
            _ => chooses_identity(name).then_some(Self::Identity),
        }
    }

    /// What is wrong with one line; `seen` is what the lines before it have shown.
    pub(crate) fn fault(self, value: &[u8], seen: &mut Seen) -> Option<BypassReason> {
        let (is_sound, otherwise) = match self {
            Self::Authorization => {
                let once = !std::mem::replace(&mut seen.authorization, true);
                (once && is_bearer(value), BypassReason::Authorization)
            }
            Self::Cookie => (cookie::sends_edge_cookies_only(value), BypassReason::Cookie),
            Self::Workspace => {
                let once = !std::mem::replace(&mut seen.workspace, true);
                (once && is_hyphenated_uuid(value), BypassReason::Workspace)
            }
            Self::Identity => (false, BypassReason::IdentityField),
        };
        (!is_sound).then_some(otherwise)
    }
}

/// `Bearer` in any case, spaces, one token68 (RFC 9110 §11.2). Other values are the upstream's to judge.
fn is_bearer(value: &[u8]) -> bool {
    let Some((scheme, rest)) = value.split_at_checked("bearer".len()) else { return false };
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let (_, token) = rest.split_at(spaces);
    scheme.eq_ignore_ascii_case(b"bearer") && spaces > 0 && token.len() <= MAX_TOKEN && is_token68(token)
}

fn is_token68(token: &[u8]) -> bool {
    static TOKEN68: Octets = Octets::letters_digits_and(b"-._~+/");
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let (text, _) = token.split_at(token.len() - padding);
    !text.is_empty() && TOKEN68.have_all_of(text)
}

fn is_hyphenated_uuid(value: &[u8]) -> bool {
    value.len() == 36 && uuid::Uuid::try_parse_ascii(value).is_ok()
}

/// Whether a part of this name, between hyphens, speaks of a tenant or an identity. `_` counts as a hyphen, as it does
/// for readers that hand fields on as environment variables.
///
/// `Proxy-Authorization` does not count: it is for us alone (RFC 9110 §11.7.2) and never goes upstream, so it can choose
/// nothing there. Any other `…-authorization` does.
fn chooses_identity(name: &str) -> bool {
    if name == "proxy-authorization" {
        return false;
    }
    let mut before: &[u8] = b"";
    name.as_bytes().split(|byte| matches!(byte, b'-' | b'_')).any(|part| {
        let found = match part {
            b"workspace" | b"org" | b"organization" | b"tenant" | b"account" | b"impersonate" | b"auth"
            | b"authorization" => true,
            b"key" => before == b"api",
            _ => false,
        };
        before = part;
        found
    })
}
