//! [`Caller`]: who sends a request, as far as its fields tell.

use super::credential::{AuthorizationDigest, Credential, CredentialDigest};

/// Who sends a request. It is told once, by [`Digester::caller`](super::credential::Digester::caller), and what follows
/// asks this value and not the fields again. `C` is how it has its credential: its own, or a borrowed one.
#[derive(Clone, Copy, Debug)]
pub enum Caller<C = Credential> {
    /// One `Authorization`, and `x-as-workspace` absent or one UUID.
    Credential(C),
    /// An `Authorization` value that makes no credential with what stands beside it.
    Authorization(AuthorizationDigest),
    /// No `Authorization`, or more than one.
    Anonymous,
}

impl Caller {
    /// The same caller, with a borrowed credential.
    #[must_use]
    pub const fn as_ref(&self) -> Caller<&Credential> {
        match self {
            Self::Credential(credential) => Caller::Credential(credential),
            Self::Authorization(authorization) => Caller::Authorization(*authorization),
            Self::Anonymous => Caller::Anonymous,
        }
    }

    /// The same caller with field values in memory of their own: for what outlives the request that brought it.
    #[must_use]
    pub fn detached(&self) -> Self {
        match self {
            Self::Credential(credential) => Self::Credential(credential.detached()),
            Self::Authorization(authorization) => Self::Authorization(*authorization),
            Self::Anonymous => Self::Anonymous,
        }
    }
}

impl<'a> Caller<&'a Credential> {
    /// Its credential, if it has one.
    #[must_use]
    pub const fn credential(self) -> Option<&'a Credential> {
        match self {
            Self::Credential(credential) => Some(credential),
            Self::Authorization(_) | Self::Anonymous => None,
        }
    }

    /// Stands for its credential, if it has one.
    #[must_use]
    pub fn digest(self) -> Option<CredentialDigest> {
        self.credential().map(Credential::digest)
    }

    /// Stands for its `Authorization` value, if there is one.
    #[must_use]
    pub const fn authorization(self) -> Option<AuthorizationDigest> {
        match self {
            Self::Credential(credential) => Some(credential.authorization_digest()),
            Self::Authorization(authorization) => Some(authorization),
            Self::Anonymous => None,
        }
    }
}
