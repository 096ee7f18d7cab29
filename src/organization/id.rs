//! [`OrganizationId`]: which organization, as the upstream has said; [`OrganizationName`]: which one somebody means.

use std::borrow::Borrow;
use std::fmt;

use uuid::Uuid;

/// The id of an organization that exists: an answer of the upstream named it (the vendor's word in URLs is workspace). There
/// is a constructor for each place that it may come from, and none for an id that somebody else says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganizationId(OrganizationName);

/// An organization as anybody may name it: an operator who purges, a client that acts for it, an account that pays. It is
/// compared, and counted by. Nothing is looked up for it, and it proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganizationName(pub Uuid);

impl OrganizationId {
    /// From a body of the upstream's, where the member that names its organization has this value.
    pub(crate) fn in_body(value: &str) -> Option<Self> {
        let id = (value.len() == 36).then(|| Uuid::try_parse(value).ok()).flatten();
        id.map(|id| Self(OrganizationName(id)))
    }

    /// From another replica of this fleet: a body of the upstream's named it there, and came here under its seal.
    #[must_use]
    pub const fn sealed_by_replica(id: Uuid) -> Self {
        Self(OrganizationName(id))
    }

    /// The one with this number, for tests.
    #[cfg(test)]
    pub const fn example(number: u128) -> Self {
        Self(OrganizationName(Uuid::from_u128(number)))
    }

    /// What it is called by.
    #[must_use]
    pub const fn name(self) -> OrganizationName {
        self.0
    }
}

/// A table of organizations can be asked for one by its name.
impl Borrow<OrganizationName> for OrganizationId {
    fn borrow(&self) -> &OrganizationName {
        &self.0
    }
}

impl fmt::Debug for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for OrganizationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for OrganizationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
