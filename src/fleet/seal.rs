//! [`Sealer`]: what is put into the store can be read and made by nobody but those who have a secret of the fleet.
//!
//! AES-256-GCM of the TLS library, under a key that is made for each message (HKDF, RFC 5869) from 32 random bytes and the
//! key of its purpose. One key with random nonces of 96 bits would be spent after 2^32 messages, which are three days of
//! proofs; a key that is used once needs no nonce. The first secret seals, all open: so a secret is changed without a gap.
//!
//! What cannot be opened is [`Unreadable`], whatever the reason: cut, changed, made under another secret or for another
//! purpose, bound to something else. Who holds the store learns nothing from a difference.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

/// Shortest secret, in bytes.
pub const SHORTEST_SECRET: usize = 32;
/// Random bytes in front of each message, of which its key is made.
const RANDOM: usize = 32;
/// Bytes behind each message by which it is known to be whole and the fleet's own.
const TAG: usize = 16;
/// Bytes that sealing adds.
pub const OVERHEAD: usize = RANDOM + TAG;
/// Every key is derived under this; with another format of messages comes another word.
const FORMAT: &[u8] = b"instantly-proxy fleet 1";

/// A secret of the fleet: shows nothing of itself, and leaves nothing in memory when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Secret {
    /// These bytes; nothing if they are fewer than [`SHORTEST_SECRET`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= SHORTEST_SECRET).then(|| Self(Zeroizing::new(bytes.to_vec())))
    }

    /// A key of 32 bytes for this use in this namespace, from which the secret cannot be told.
    pub(super) fn key_for(&self, using: &str, namespace: &str) -> Zeroizing<[u8; 32]> {
        // Lengths in front, since the parts are put together without anything between them.
        let length = |text: &str| (text.len() as u64).to_be_bytes();
        let (first, second) = (length(using), length(namespace));
        let info = [FORMAT, &first, using.as_bytes(), &second, namespace.as_bytes()];
        derived(FORMAT, &self.0, &info)
    }
}

/// What a message is for; each purpose has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealPurpose {
    /// A stored response.
    Entry,
    /// That a credential was accepted for an organization.
    Proof,
    /// What every replica must know.
    Notice,
}

impl SealPurpose {
    const ALL: [Self; 3] = [Self::Entry, Self::Proof, Self::Notice];

    const fn word(self) -> &'static str {
        match self {
            Self::Entry => "seal entry",
            Self::Proof => "seal proof",
            Self::Notice => "seal notice",
        }
    }
}

/// What was found in the store is not what a replica of this fleet put there for this use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the store has cannot be opened")
    }
}

impl std::error::Error for Unreadable {}

/// Seals under the first secret, opens under each.
pub struct Sealer(Box<[[Zeroizing<[u8; 32]>; SealPurpose::ALL.len()]]>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer(*** of {})", self.0.len())
    }
}

impl Sealer {
    /// Of these secrets, the first of which seals. Without any it seals under a key that nobody else has.
    #[must_use]
    pub fn new(secrets: &[Secret], namespace: &str) -> Self {
        let keys_of = |secret: &Secret| SealPurpose::ALL.map(|of| secret.key_for(of.word(), namespace));
        if secrets.is_empty() {
            return Self(Box::new([keys_of(&Secret(Zeroizing::new(random().to_vec())))]));
        }
        Self(secrets.iter().map(keys_of).collect())
    }

    /// Seals `plain`: it opens for this purpose and together with the same `bound_to` alone.
    #[must_use]
    pub fn seal(&self, purpose: SealPurpose, bound_to: &[u8], plain: &[u8]) -> Vec<u8> {
        let random = random();
        let mut sealed = Vec::with_capacity(OVERHEAD + plain.len());
        sealed.extend_from_slice(&random);
        sealed.extend_from_slice(plain);
        let key = message_key(&self.0[0][purpose as usize], &random);
        let tag = key
            .seal_in_place_separate_tag(only_nonce(), Aad::from(bound_to), &mut sealed[RANDOM..])
            .expect("a message is far below the 64 GiB of AES-GCM");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what was sealed for this purpose, together with `bound_to`.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] if it was not, by anybody with one of the secrets.
    pub fn open(&self, purpose: SealPurpose, bound_to: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        if sealed.len() < OVERHEAD {
            return Err(Unreadable);
        }
        let (random, message) = sealed.split_first_chunk::<RANDOM>().ok_or(Unreadable)?;
        for keys in &self.0 {
            let key = message_key(&keys[purpose as usize], random);
            // Decrypting destroys what it fails on: each secret gets a copy of its own.
            let mut opened = message.to_vec();
            let length =
                key.open_in_place(only_nonce(), Aad::from(bound_to), &mut opened).map(|plain| plain.len());
            if let Ok(length) = length {
                opened.truncate(length);
                return Ok(opened);
            }
        }
        Err(Unreadable)
    }
}

/// The key of one message.
fn message_key(of_purpose: &[u8; 32], random: &[u8; RANDOM]) -> LessSafeKey {
    let key = derived(random, of_purpose, &[FORMAT, b"message"]);
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key).expect("32 bytes are a key of AES-256"))
}

/// HKDF (RFC 5869) with SHA-256, to 32 bytes.
fn derived(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let mut key = Zeroizing::new([0; 32]);
    Salt::new(HKDF_SHA256, salt)
        .extract(secret)
        .expand(info, Length)
        .and_then(|made| made.fill(&mut *key))
        .expect("32 bytes are fewer than HKDF can make");
    key
}

/// The nonce of a key that is used once.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn random() -> [u8; RANDOM] {
    let mut bytes = [0; RANDOM];
    aws_lc_rs::rand::fill(&mut bytes)
        .expect("the library ends the process where the system gives no random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(byte: u8) -> Secret {
        Secret::new(&[byte; SHORTEST_SECRET]).unwrap()
    }

    fn sealer(bytes: &[u8]) -> Sealer {
        let secrets: Vec<_> = bytes.iter().map(|byte| secret(*byte)).collect();
        Sealer::new(&secrets, "fleet")
    }

    #[test]
    fn what_was_sealed_opens_for_the_same_use_alone() {
        let sealer = sealer(&[1]);
        let sealed = sealer.seal(SealPurpose::Entry, b"name", b"a label");
        assert_eq!(sealed.len(), OVERHEAD + 7);
        assert_eq!(sealer.open(SealPurpose::Entry, b"name", &sealed).unwrap(), b"a label");
        assert_eq!(sealer.open(SealPurpose::Entry, b"other", &sealed), Err(Unreadable));
        assert_eq!(sealer.open(SealPurpose::Proof, b"name", &sealed), Err(Unreadable));
        assert_eq!(sealer.open(SealPurpose::Notice, b"name", &sealed), Err(Unreadable));
        let other = Sealer::new(&[secret(1)], "another fleet");
        assert_eq!(other.open(SealPurpose::Entry, b"name", &sealed), Err(Unreadable));
    }

    #[test]
    fn a_secret_is_changed_without_a_gap() {
        let steps = [sealer(&[1]), sealer(&[1, 2]), sealer(&[2, 1]), sealer(&[2])];
        for (older, newer) in steps.iter().zip(&steps[1..]) {
            for (writer, reader) in [(older, newer), (newer, older)] {
                let sealed = writer.seal(SealPurpose::Proof, b"", b"said");
                assert_eq!(reader.open(SealPurpose::Proof, b"", &sealed).unwrap(), b"said");
            }
        }
        let sealed = steps[0].seal(SealPurpose::Proof, b"", b"said");
        assert_eq!(steps[3].open(SealPurpose::Proof, b"", &sealed), Err(Unreadable));
    }

    #[test]
    fn the_same_is_never_sealed_to_the_same_bytes() {
        let sealer = sealer(&[1]);
        let seal = || sealer.seal(SealPurpose::Entry, b"name", b"a label");
        let (one, other) = (seal(), seal());
        assert_ne!(one[..RANDOM], other[..RANDOM]);
        assert_ne!(one[RANDOM..], other[RANDOM..]);
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_unreadable() {
        let sealer = sealer(&[1, 2]);
        let sealed = sealer.seal(SealPurpose::Entry, b"name", b"a label");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(sealer.open(SealPurpose::Entry, b"name", &changed), Err(Unreadable), "{at}");
            }
            assert_eq!(sealer.open(SealPurpose::Entry, b"name", &sealed[..at]), Err(Unreadable), "{at}");
        }
        let longer = [&sealed[..], &[0]].concat();
        assert_eq!(sealer.open(SealPurpose::Entry, b"name", &longer), Err(Unreadable));
    }

    #[test]
    fn without_a_secret_nobody_else_can_read() {
        let (one, other) = (Sealer::new(&[], "fleet"), Sealer::new(&[], "fleet"));
        let sealed = one.seal(SealPurpose::Notice, b"", b"said");
        assert!(one.open(SealPurpose::Notice, b"", &sealed).is_ok());
        assert_eq!(other.open(SealPurpose::Notice, b"", &sealed), Err(Unreadable));
    }

    #[test]
    fn a_short_secret_is_none_and_debug_output_shows_nothing() {
        assert!(Secret::new(&[b'x'; SHORTEST_SECRET - 1]).is_none());
        let text = format!("{:?} {:?}", Secret::new(&[b'x'; 40]).unwrap(), sealer(b"x"));
        assert_eq!(text, "Secret(***) Sealer(*** of 1)");
    }

    proptest! {
        #[test]
        fn whatever_was_sealed_comes_back(bound: Vec<u8>, plain: Vec<u8>) {
            let sealer = sealer(&[1, 2]);
            let sealed = sealer.seal(SealPurpose::Entry, &bound, &plain);
            prop_assert_eq!(sealer.open(SealPurpose::Entry, &bound, &sealed).unwrap(), plain);
        }

        #[test]
        fn nothing_that_was_not_sealed_opens(bound: Vec<u8>, made_up: Vec<u8>) {
            prop_assert!(sealer(&[1, 2]).open(SealPurpose::Entry, &bound, &made_up).is_err());
        }
    }
}
