//! [`Caller`]: who sends a request, as far as its fields tell.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use super::credential::{AS_WORKSPACE, AuthorizationDigest, Credential, CredentialDigest, Digester};
use crate::semantics::lines::Lines;

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

impl Digester {
    /// Who sends a request with these fields.
    #[must_use]
    pub fn caller(&self, fields: &HeaderMap) -> Caller {
        self.caller_of(Lines::of(fields, &AUTHORIZATION), Lines::of(fields, &AS_WORKSPACE))
    }

    /// Who sends a request with these lines of `Authorization` and `x-as-workspace`.
    #[must_use]
    pub fn caller_of(&self, authorization: Lines<'_>, workspace: Lines<'_>) -> Caller {
        let Some(authorization) = authorization.one() else { return Caller::Anonymous };
        let workspace = match workspace {
            Lines::None => Some(None),
            Lines::One(value) => hyphenated(value).map(|id| Some((value, id))),
            Lines::More => None,
        };
        match workspace {
            Some(workspace) => Caller::Credential(self.credential_of(authorization, workspace)),
            None => Caller::Authorization(self.authorization_of(authorization)),
        }
    }

    /// The digest of the one `Authorization` value, if there is just one.
    #[cfg(test)]
    pub fn authorization(&self, fields: &HeaderMap) -> Option<AuthorizationDigest> {
        self.caller(fields).as_ref().authorization()
    }

    /// The credential that a request with these fields presents, if it does.
    #[must_use]
    pub fn credential(&self, fields: &HeaderMap) -> Option<Credential> {
        match self.caller(fields) {
            Caller::Credential(credential) => Some(credential),
            Caller::Authorization(_) | Caller::Anonymous => None,
        }
    }
}

fn hyphenated(value: &HeaderValue) -> Option<Uuid> {
    let bytes = value.as_bytes();
    if bytes.len() == 36 { Uuid::try_parse_ascii(bytes).ok() } else { None }
}
