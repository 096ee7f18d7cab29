//! [`Who`]: who calls, as far as it can be told without asking the upstream.
//!
//! Made once of what a request carries. Callers take turns by it, and by it the upstream's answers are remembered.

use crate::caller::credential::{AuthorizationDigest, CredentialDigest};

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// With a well-formed credential.
    Credential(CredentialDigest),
    /// With an `Authorization` value that makes no credential.
    Authorization(AuthorizationDigest),
    /// Without any `Authorization`: all such callers are one, and none of them is ever known.
    Anonymous,
}

impl Who {
    /// Who sends this credential, or else this `Authorization`.
    #[must_use]
    pub fn new(credential: Option<CredentialDigest>, authorization: Option<AuthorizationDigest>) -> Self {
        match (credential, authorization) {
            (Some(credential), _) => Self::Credential(credential),
            (None, Some(authorization)) => Self::Authorization(authorization),
            (None, None) => Self::Anonymous,
        }
    }
}
