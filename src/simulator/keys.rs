//! Keys of the simulated API: how they look, what they allow, and that they can be revoked.
//!
//! A [`Key`] prints itself redacted: the habit is worth more than these made-up secrets. [`World::describe`] is the one
//! place that shows them.
//!
//! [`World::describe`]: super::World::describe

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderValue;
use uuid::Uuid;

/// A key of one organization.
pub struct Key {
    index: usize,
    secret: Box<str>,
    scopes: &'static [&'static str],
    revoked: AtomicBool,
}

impl Key {
    /// Makes a key that looks like the vendor's: base64 of `<uuid>:<12 characters>`, 68 characters, `==` at the end.
    pub(super) fn new(index: usize, scopes: &'static [&'static str], rng: &mut fastrand::Rng) -> Self {
        let tail: String = (0..12).map(|_| rng.alphanumeric()).collect();
        let secret = base64(format!("{}:{tail}", random_uuid(rng)).as_bytes()).into_boxed_str();
        Self { index, secret, scopes, revoked: AtomicBool::new(false) }
    }

    /// Position among all keys of the world: what the request log shows in place of the key.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// The key itself, as a client sends it behind `Bearer `.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The whole value of an `Authorization` field, marked as sensitive.
    #[must_use]
    pub fn bearer(&self) -> HeaderValue {
        let mut value =
            HeaderValue::try_from(format!("Bearer {}", self.secret)).expect("base64 is a valid field value");
        value.set_sensitive(true);
        value
    }

    /// What the key allows, in the vendor's words: `lead-labels:read`, `all:all`.
    #[must_use]
    pub const fn scopes(&self) -> &'static [&'static str] {
        self.scopes
    }

    /// Whether the key is refused with 401.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    pub(super) fn restore(&self) {
        self.revoked.store(false, Ordering::Release);
    }

    /// Any one of `resource:action`, `resource:all`, `all:action`, `all:all` is enough.
    pub(super) fn allows(&self, need: Scope) -> bool {
        self.scopes.iter().any(|scope| {
            let (resource, action) = scope.split_once(':').unwrap_or((scope, ""));
            (resource == need.resource || resource == "all") && (action == need.action || action == "all")
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("index", &self.index)
            .field("secret", &"***")
            .field("scopes", &self.scopes)
            .field("revoked", &self.is_revoked())
            .finish()
    }
}

/// What an operation needs of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) resource: &'static str,
    /// `read`, `create`, `update` or `delete`.
    pub(super) action: &'static str,
}

/// Scopes of an organization's keys, by position; beyond the last it begins anew.
pub(super) const SCOPES: [&[&str]; 5] = [
    &["all:all"],
    &["lead-labels:read"],
    &["campaigns:read"],
    &["lead-labels:all", "workspaces:read"],
    &["all:read"],
];

/// A version 4 UUID from a seeded source.
pub(super) fn random_uuid(rng: &mut fastrand::Rng) -> Uuid {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// RFC 4648 §4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(*group.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let sextet = bits >> (18 - 6 * at) & 63;
            text.push(if at <= group.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_rfc_4648_section_10() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded, "{plain}");
        }
    }

    #[test]
    fn a_key_looks_like_the_vendors() {
        let key = Key::new(0, SCOPES[0], &mut fastrand::Rng::with_seed(1));
        assert_eq!(key.secret().len(), 68);
        assert!(key.secret().ends_with("==") && !key.secret().ends_with("==="));
    }

    #[test]
    fn debug_output_does_not_show_the_secret() {
        let key = Key::new(0, SCOPES[0], &mut fastrand::Rng::with_seed(1));
        assert!(!format!("{key:?} {:?}", key.bearer()).contains(key.secret()));
    }

    #[test]
    fn a_scope_is_met_by_itself_or_by_a_wider_one() {
        let read_labels = Scope { resource: "lead-labels", action: "read" };
        let delete_labels = Scope { resource: "lead-labels", action: "delete" };
        for (scopes, reads, deletes) in [
            (&["all:all"] as &'static [&'static str], true, true),
            (&["all:read"], true, false),
            (&["lead-labels:read"], true, false),
            (&["lead-labels:all", "workspaces:read"], true, true),
            (&["lead-labels:delete"], false, true),
            (&["campaigns:read"], false, false),
            (&["campaigns:all"], false, false),
        ] {
            let key = Key::new(0, scopes, &mut fastrand::Rng::with_seed(1));
            assert_eq!((key.allows(read_labels), key.allows(delete_labels)), (reads, deletes), "{scopes:?}");
        }
    }
}
