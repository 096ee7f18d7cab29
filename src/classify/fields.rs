//! Fields that forbid caching: whatever may choose whose data comes back and is not the credential.
//!
//! A credential is one `Authorization` and at most one `x-as-workspace`, both well formed; the vendor documents nothing
//! else. Anything that looks as if it named a tenant or carried a second identity sends the read upstream, uncached.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use crate::outcome::BypassReason;
use crate::semantics::cookie;
use crate::semantics::octets::Octets;

/// The longest token that is taken for a key of the vendor; those have 68 characters today.
const MAX_TOKEN: usize = 4096;

/// The vendor's one documented selector of a tenant besides the key itself.
const WORKSPACE: &str = "x-as-workspace";

/// The first reason for which these fields forbid caching.
pub(super) fn bypass(fields: &HeaderMap) -> Option<BypassReason> {
    let mut authorizations = 0;
    let mut workspaces = 0;
    let mut reason = None;
    for (name, value) in fields {
        let fault = if name == AUTHORIZATION {
            authorizations += 1;
            (authorizations > 1 || !is_bearer(value.as_bytes())).then_some(BypassReason::Authorization)
        } else if name == COOKIE {
            (!cookie::sends_edge_cookies_only(value)).then_some(BypassReason::Cookie)
        } else if name == WORKSPACE {
            workspaces += 1;
            (workspaces > 1 || !is_hyphenated_uuid(value.as_bytes())).then_some(BypassReason::Workspace)
        } else {
            chooses_identity(name.as_str()).then_some(BypassReason::IdentityField)
        };
        reason = reason.or(fault);
    }
    reason.or_else(|| (authorizations == 0).then_some(BypassReason::Authorization))
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
