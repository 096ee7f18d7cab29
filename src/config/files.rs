//! The files that the configuration names: certificates, keys, roots, the admin token.
//!
//! Each reader says in one sentence what is wrong, without the path, which whoever asked knows, and without a byte of
//! what the file holds.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore, client};

/// Tells whether a file holds what it held, without keeping that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark([u8; 32]);

impl Mark {
    /// Of what a file holds.
    #[must_use]
    pub fn of(contents: &[u8]) -> Self {
        Self(*blake3::hash(contents).as_bytes())
    }

    /// Of several files together.
    #[must_use]
    pub fn of_all(marks: &[Self]) -> Self {
        Self::of(&marks.iter().flat_map(|mark| mark.0).collect::<Vec<_>>())
    }

    /// The same where it may be that it could not be read.
    #[must_use]
    pub fn of_read(contents: &Result<Vec<u8>, String>) -> Self {
        match contents {
            Ok(contents) => Self::of(contents),
            Err(fault) => Self(blake3::derive_key("a file that cannot be read", fault.as_bytes())),
        }
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark")
    }
}

/// A certificate with less time left is told of.
pub const ENDS_SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// 9999-12-31, when every certificate has expired.
const FAR: Duration = Duration::from_secs(253_402_300_799);

/// Shorter tokens can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// The admin token: what `Authorization: Bearer` must carry. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token itself, for comparing and sending.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Reads the admin token of a file: one line, whose newline does not count.
///
/// # Errors
///
/// If the file cannot be read, or holds anything but at least 16 visible ASCII characters.
pub fn token(path: &Path) -> Result<Token, String> {
    token_of(&contents(path)?)
}

/// The same of what a file held.
///
/// # Errors
///
/// If it holds anything but at least 16 visible ASCII characters.
pub fn token_of(bytes: &[u8]) -> Result<Token, String> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(_) if line.is_empty() => Err("is empty".to_owned()),
        Ok(text) if line.iter().all(u8::is_ascii_graphic) => (text.len() >= SHORTEST_TOKEN)
            .then(|| Token(text.to_owned()))
            .ok_or_else(|| "is too short".to_owned()),
        _ => Err("holds more than one line of visible ASCII characters".to_owned()),
    }
}

/// A password of the store's. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself, for logging in.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// Reads a password of a file: one line, whose newline does not count.
///
/// # Errors
///
/// If the file cannot be read, or holds anything but one line of UTF-8 text.
pub fn password(path: &Path) -> Result<Password, String> {
    let text = String::from_utf8(contents(path)?).map_err(|_| "is not UTF-8 text".to_owned())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err("is empty".to_owned()),
        line if line.contains(char::is_control) => Err("holds more than one line of text".to_owned()),
        line => Ok(Password(line.to_owned())),
    }
}

/// The secret by which keys get their names. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct FingerprintSecret(Vec<u8>);

impl FingerprintSecret {
    /// The secret itself, to derive a key of.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for FingerprintSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintSecret(***)")
    }
}

/// Reads the secret of a file by which keys get their names: one line, whose newline does not count.
///
/// # Errors
///
/// If the file cannot be read, or holds anything but one line of 32 bytes or more.
pub fn fingerprint_secret(path: &Path) -> Result<FingerprintSecret, String> {
    let secrets = shared_secrets(path)?;
    let mut lines = secrets.expose();
    match (lines.next(), lines.next()) {
        (Some(secret), None) => Ok(FingerprintSecret(secret.to_vec())),
        _ => Err("holds more than one secret".to_owned()),
    }
}

/// Shorter secrets can be guessed.
const SHORTEST_SECRET: usize = 32;

/// The secrets that a fleet shares: the first seals, each opens. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecrets(Vec<Vec<u8>>);

impl SharedSecrets {
    /// Each of them, in the order of the file: at least one, of at least 32 bytes.
    pub fn expose(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }
}

impl fmt::Debug for SharedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSecrets(*** of {})", self.0.len())
    }
}

/// Reads the secrets of a fleet: one a line; empty lines do not count.
///
/// # Errors
///
/// If the file cannot be read, or holds no secret, the same one twice, or one of fewer than 32 bytes.
pub fn shared_secrets(path: &Path) -> Result<SharedSecrets, String> {
    shared_secrets_of(&contents(path)?)
}

/// The same of what a file held.
///
/// # Errors
///
/// If it holds no secret, the same one twice, or one of fewer than 32 bytes.
pub fn shared_secrets_of(bytes: &[u8]) -> Result<SharedSecrets, String> {
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let number = index + 1;
        match line.len() {
            0 => {}
            length if length < SHORTEST_SECRET => {
                return Err(format!("has {length} bytes in line {number}, and a secret has 32 at least"));
            }
            _ if secrets.iter().any(|secret| secret == line) => {
                return Err(format!("has a secret twice, in line {number} again"));
            }
            _ => secrets.push(line.to_vec()),
        }
    }
    match secrets.is_empty() {
        true => Err("is empty".to_owned()),
        false => Ok(SharedSecrets(secrets)),
    }
}

/// Reads a certificate chain, leaf first.
///
/// # Errors
///
/// If the file cannot be read, or holds no certificate, or one that is malformed.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    certificates_of(&contents(path)?)
}

/// The same of what a file held.
///
/// # Errors
///
/// If it holds no certificate, or one that is malformed.
pub fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|fault| pem_fault(&fault))?;
    if chain.is_empty() {
        return Err("holds no certificate in PEM form".to_owned());
    }
    match chain.iter().find_map(|certificate| ParsedCertificate::try_from(certificate).err()) {
        Some(fault) => Err(format!("holds a certificate that cannot be used: {fault}")),
        None => Ok(chain),
    }
}

/// When a certificate expires, as the library says that verifies certificates: asked whether this one is good at the end
/// of time it names the moment at which it ceased to be. Whom to trust is not reached. Since 1970.
#[must_use]
pub fn end_of(leaf: &CertificateDer<'_>) -> Option<Duration> {
    let parsed = ParsedCertificate::try_from(leaf).ok()?;
    let (nobody, then) = (RootCertStore::empty(), UnixTime::since_unix_epoch(FAR));
    match client::verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], then, &[]) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(Duration::from_secs(not_after.as_secs()))
        }
        _ => None,
    }
}

/// Reads a private key in PKCS #8, PKCS #1 or SEC1 form.
///
/// # Errors
///
/// If the file cannot be read, or holds no private key.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    private_key_of(&contents(path)?)
}

/// The same of what a file held.
///
/// # Errors
///
/// If it holds no private key.
pub fn private_key_of(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|fault| match fault {
        PemError::NoItemsFound => "holds no private key in PEM form".to_owned(),
        fault => pem_fault(&fault),
    })
}

/// Joins a chain and a key to what a TLS listener presents.
///
/// # Errors
///
/// If the key is of an unknown kind, or is not the leaf certificate's.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    CertifiedKey::from_der(chain, key, provider).map_err(|fault| match fault {
        rustls::Error::InconsistentKeys(_) => "is not the key of the certificate".to_owned(),
        fault => fault.to_string(),
    })
}

/// Reads the roots to trust in place of the platform's.
///
/// # Errors
///
/// If the file cannot be read, holds no certificate, or one that cannot be a root.
pub fn roots(path: &Path) -> Result<RootCertStore, String> {
    roots_of(&contents(path)?)
}

/// The same of what a file held.
///
/// # Errors
///
/// If it holds no certificate, or one that cannot be a root.
pub fn roots_of(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of(pem)? {
        roots
            .add(certificate)
            .map_err(|fault| format!("holds a certificate that cannot be a root: {fault}"))?;
    }
    Ok(roots)
}

/// What a file holds.
///
/// # Errors
///
/// If it cannot be read.
pub fn contents(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|fault| format!("cannot be read: {fault}"))
}

/// The library's own words would quote the file.
fn pem_fault(fault: &PemError) -> String {
    match fault {
        PemError::MissingSectionEnd { .. } => "is not PEM: a section has no end".to_owned(),
        PemError::IllegalSectionStart { .. } => "is not PEM: a section's first line is malformed".to_owned(),
        PemError::Base64Decode(_) => "is not PEM: a section is not base64".to_owned(),
        _ => "is not PEM".to_owned(),
    }
}
