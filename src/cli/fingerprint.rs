//! `fingerprint`: the name that log, status and page have for a key, which is read from standard input and shown nowhere.

use std::io::Read;
use std::process::ExitCode;

use super::failure::Failure;
use super::say::say;
use crate::callers::fingerprint::Fingerprints;
use crate::config::{Loaded, files};

/// No `Authorization` value that a server takes is longer.
const LONGEST: u64 = 16 * 1024;

pub(super) fn run(loaded: &Loaded, input: impl Read) -> Result<ExitCode, Failure> {
    say(name(loaded, input)?);
    Ok(ExitCode::SUCCESS)
}

fn name(loaded: &Loaded, input: impl Read) -> Result<String, Failure> {
    let callers = loaded.config.callers.as_ref();
    let file = callers.and_then(|callers| callers.fingerprint_secret_file.as_deref()).ok_or_else(|| {
        Failure::misused(
            "callers.fingerprint_secret_file is not set: without it the names of keys are of one process alone",
        )
    })?;
    let secret = files::fingerprint_secret(file).map_err(|fault| {
        Failure::misused(format!("callers.fingerprint_secret_file: {} {fault}", file.display()))
    })?;
    let mut key = Vec::new();
    input.take(LONGEST).read_to_end(&mut key).map_err(Failure::failed)?;
    if key.trim_ascii().is_empty() {
        return Err(Failure::misused("standard input holds no key"));
    }
    Ok(Fingerprints::from(&secret).name(&key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    #[test]
    fn a_key_has_the_name_that_the_proxy_gives_it_under_the_same_secret() {
        let files = tempfile::TempDir::new().unwrap();
        let (secret, site) = (files.path().join("secret"), files.path().join("site.toml"));
        std::fs::write(&secret, "s".repeat(32)).unwrap();
        let text = format!("[callers]\nsources = 'credential'\nfingerprint_secret_file = {secret:?}\n");
        std::fs::write(&site, text).unwrap();
        let loaded = load(&[site], std::iter::empty()).unwrap();
        let named = |input: &str| name(&loaded, input.as_bytes());
        assert_eq!(named("a-key\n").unwrap(), named("Bearer a-key").unwrap());
        assert_ne!(named("a-key").unwrap(), named("b-key").unwrap());
        assert_eq!(named(" \n").unwrap_err().code, Failure::MISUSED);
        let without = load(&[], std::iter::empty()).unwrap();
        assert_eq!(name(&without, &b"a-key"[..]).unwrap_err().code, Failure::MISUSED);
    }
}
