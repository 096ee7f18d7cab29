//! [`CacheKey`]: what a stored response is found by.

use crate::caller::credential::CredentialDigest;
use crate::classify::Target;
use crate::organization::OrganizationId;

/// Resource, organization and target, compared whole. Nothing that a client sends is in it unread, and there is no way
/// to make one without an organization.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// Name of the resource.
    pub resource: &'static str,
    /// Whose response it is.
    pub organization: OrganizationId,
    /// Set where the response belongs to one credential alone.
    pub owner: Option<CredentialDigest>,
    /// The item, or the page.
    pub target: Target,
}

impl CacheKey {
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
