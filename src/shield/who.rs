//! [`Who`]: who calls, as far as it can be told without asking the upstream.
//!
//! Made once of what a request carries. Callers take turns by it, and by it the upstream's answers are remembered.

use crate::caller::credential::{AuthorizationDigest, Credential, CredentialDigest};
use crate::caller::identity::Caller;

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

impl From<Caller<&Credential>> for Who {
    fn from(caller: Caller<&Credential>) -> Self {
        match caller {
            Caller::Credential(credential) => Self::Credential(credential.digest()),
            Caller::Authorization(authorization) => Self::Authorization(authorization),
            Caller::Anonymous => Self::Anonymous,
        }
    }
}
