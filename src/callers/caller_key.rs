//! [`CallerKey`]: what a caller is found by.

use crate::caller::credential::AuthorizationDigest;

/// What a caller is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum CallerKey {
    /// The name that a source told.
    Named(Box<str>),
    /// Its key, or that it has none.
    Credential(Option<AuthorizationDigest>),
}
