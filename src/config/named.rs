//! Keys that name files, once the files could be read.

use std::path::{Path, PathBuf};

use super::files;
use super::key::Key;
use super::raw::{Raw, Refused};

/// The path at `key`, if one is set, once `read` could read it.
pub(super) fn file<T>(
    raw: &mut Raw,
    key: Key,
    read: impl FnOnce(&Path) -> Result<T, String>,
) -> Result<Option<PathBuf>, Refused> {
    let path = raw.path(key)?;
    if let Some(path) = &path {
        raw.open(key, path, read)?;
    }
    Ok(path)
}

/// The files of a certificate and of its key, both or none, once they were found to belong together.
pub(super) fn pair(raw: &mut Raw, of_chain: Key, of_key: Key) -> Result<Option<(PathBuf, PathBuf)>, Refused> {
    let (certificate, key) = (raw.path(of_chain), raw.path(of_key));
    let mut alone =
        |key, other| Err(raw.refuse(key, Some("stands alone"), &format!("only together with {other}")));
    match (certificate?, key?) {
        (None, None) => Ok(None),
        (Some(_), None) => alone(of_chain, of_key),
        (None, Some(_)) => alone(of_key, of_chain),
        (Some(certificate), Some(key)) => {
            let chain = raw.open(of_chain, &certificate, files::certificates);
            let private = raw.open(of_key, &key, files::private_key);
            if let (Some(chain), Some(private)) = (chain?, private?) {
                let provider = rustls::crypto::aws_lc_rs::default_provider();
                raw.open(of_key, &key, |_| files::certified_key(chain, private, &provider))?;
            }
            Ok(Some((certificate, key)))
        }
    }
}
