//! [`AccountKey`] and [`Accounts`]: who pays for a call.

use crate::caller::credential::AuthorizationDigest;
use crate::organization::{OrganizationId, OrganizationName};

/// Whose calls count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountKey {
    /// Of a bound credential, or of the workspace that `x-as-workspace` names.
    Organization(OrganizationName),
    /// Of a caller whose organization is not known.
    Authorization(AuthorizationDigest),
    /// Of every caller where there is one workspace; else of those without an `Authorization`, and of those for whom
    /// the table has no room.
    Everybody,
}

impl AccountKey {
    /// That of a caller: its organization's, where that is known.
    #[must_use]
    pub fn of(organization: Option<OrganizationId>, authorization: Option<AuthorizationDigest>) -> Self {
        match (organization, authorization) {
            (Some(organization), _) => Self::Organization(organization.name()),
            (None, Some(authorization)) => Self::Authorization(authorization),
            (None, None) => Self::Everybody,
        }
    }
}

/// The accounts that a call takes from: both or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// The one in whose queue it waits.
    pub first: AccountKey,
    /// The key's own, where it acts for another workspace.
    pub second: Option<AccountKey>,
}

impl Accounts {
    /// One account.
    #[must_use]
    pub const fn one(key: AccountKey) -> Self {
        Self { first: key, second: None }
    }

    /// That of the workspace named in `x-as-workspace`, and the key's own.
    #[must_use]
    pub const fn acting(workspace: AccountKey, own: AccountKey) -> Self {
        Self { first: workspace, second: Some(own) }
    }

    pub(super) fn keys(self) -> impl Iterator<Item = AccountKey> {
        std::iter::once(self.first).chain(self.second)
    }

    pub(super) fn renamed(self, from: AccountKey, to: AccountKey) -> Self {
        let rename = |key| if key == from { to } else { key };
        let first = rename(self.first);
        Self { first, second: self.second.map(rename).filter(|key| *key != first) }
    }
}
