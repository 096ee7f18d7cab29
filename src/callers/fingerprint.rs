//! [`Fingerprints`]: names for keys that tell nothing of the keys: ten characters of a keyed digest.
//!
//! Fifty bits tell a thousand keys apart. Without the secret nobody can try out whether a key has a name.

use std::fmt;

use uuid::Uuid;

use crate::config::files::FingerprintSecret;

/// Crockford's digits: none of them is taken for another.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of a name.
pub const LENGTH: usize = 10;
const CONTEXT: &str = "instantly-proxy 2026-11-28 names of keys";

/// Names keys under one secret.
#[derive(Clone)]
pub struct Fingerprints([u8; 32]);

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprints(***)")
    }
}

impl Default for Fingerprints {
    /// Names of one process alone.
    fn default() -> Self {
        let seed = [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat();
        Self(blake3::derive_key(CONTEXT, &seed))
    }
}

impl From<&FingerprintSecret> for Fingerprints {
    fn from(secret: &FingerprintSecret) -> Self {
        Self(blake3::derive_key(CONTEXT, secret.expose()))
    }
}

impl Fingerprints {
    /// The name of the key in an `Authorization` value, or of a bare key: they are the same.
    #[must_use]
    pub fn name(&self, authorization: &[u8]) -> String {
        let digest = blake3::keyed_hash(&self.0, key_of(authorization));
        let mut bits = [0; 8];
        bits.copy_from_slice(&digest.as_bytes()[..8]);
        let bits = u64::from_le_bytes(bits);
        let digit = |place: usize| char::from(DIGITS[(bits >> (5 * place)) as usize & 31]);
        (0..LENGTH).map(digit).collect()
    }
}

/// The key without the scheme before it (RFC 9110 §11.4) and without space around it.
fn key_of(authorization: &[u8]) -> &[u8] {
    let value = authorization.trim_ascii();
    match value.split_at_checked("bearer ".len()) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => key.trim_ascii(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_name_with_its_scheme_or_without_and_another_under_another_secret() {
        let (one, other) = (Fingerprints::default(), Fingerprints::default());
        let name = one.name(b"Bearer a-key");
        assert!(name.len() == LENGTH && name.bytes().all(|byte| DIGITS.contains(&byte)), "{name}");
        for same in [&b"a-key"[..], b"bearer  a-key", b" a-key\n"] {
            assert_eq!(one.name(same), name);
        }
        assert!(one.name(b"Bearer b-key") != name && other.name(b"Bearer a-key") != name);
        assert!(!format!("{one:?}").contains(char::is_numeric));
    }
}
