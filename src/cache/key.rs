//! [`CacheKey`]: what a stored response is found by.

use crate::caller::credential::CredentialDigest;
use crate::classify::Target;
use crate::organization::{Organization, OrganizationId};
use crate::resource::Descriptor;

/// Resource, organization and target, compared whole. Nothing that a client sends is in it unread, and there is no way
/// to make one without an organization, which the upstream itself has named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    resource: &'static Descriptor,
    organization: OrganizationId,
    owner: Option<CredentialDigest>,
    target: Target,
}

impl CacheKey {
    /// The key of a target of an organization: for all of its credentials, or for the one that is given.
    #[must_use]
    pub const fn new(
        resource: &'static Descriptor,
        organization: &Organization,
        owner: Option<CredentialDigest>,
        target: Target,
    ) -> Self {
        Self { resource, organization: organization.id(), owner, target }
    }

    /// The same for one credential alone.
    #[must_use]
    pub fn owned_by(self, credential: CredentialDigest) -> Self {
        Self { owner: Some(credential), ..self }
    }

    /// The resource.
    #[must_use]
    pub const fn resource(&self) -> &'static Descriptor {
        self.resource
    }

    /// Whose response it is.
    #[must_use]
    pub const fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// Set where the response belongs to one credential alone.
    #[must_use]
    pub const fn owner(&self) -> Option<CredentialDigest> {
        self.owner
    }

    /// The item, or the page.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Bytes on the heap beyond the struct itself.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match &self.target {
            Target::Item(_) => 0,
            Target::List(query) => {
                query.0.iter().map(|(_, value)| size_of::<(&str, Box<str>)>() + value.len()).sum()
            }
        }
    }
}
