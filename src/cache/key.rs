//! [`CacheKey`]: what a stored response is found by.

use std::borrow::Cow;

use uuid::Uuid;

use crate::caller::credential::CredentialDigest;
use crate::classify::Target;
use crate::organization::{Organization, OrganizationId};
use crate::resource::Descriptor;

/// Resource, organization and target, compared whole. Nothing that a client sends is in it unread, and there is no way
/// to make one without an organization, which the upstream itself has named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey(Form);

/// A store has a key for each item that everybody may have: that form takes half the room of what could be any key. What
/// could be written in it is never written in the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    Item { resource: &'static Descriptor, organization: OrganizationId, id: Uuid },
    Any(Box<AnyKey>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AnyKey {
    resource: &'static Descriptor,
    organization: OrganizationId,
    owner: Option<CredentialDigest>,
    target: Target,
}

impl CacheKey {
    /// The key of a target of an organization: for all of its credentials, or for the one that is given.
    #[must_use]
    pub fn new(
        resource: &'static Descriptor,
        organization: &Organization,
        owner: Option<CredentialDigest>,
        target: Target,
    ) -> Self {
        let organization = organization.id();
        Self(match (owner, target) {
            (None, Target::Item(id)) => Form::Item { resource, organization, id },
            (owner, target) => Form::Any(Box::new(AnyKey { resource, organization, owner, target })),
        })
    }

    /// The same for one credential alone.
    #[must_use]
    pub fn owned_by(self, credential: CredentialDigest) -> Self {
        let key = match self.0 {
            Form::Item { resource, organization, id } => {
                AnyKey { resource, organization, owner: None, target: Target::Item(id) }
            }
            Form::Any(key) => *key,
        };
        Self(Form::Any(Box::new(AnyKey { owner: Some(credential), ..key })))
    }

    /// The resource.
    #[must_use]
    pub fn resource(&self) -> &'static Descriptor {
        match &self.0 {
            Form::Item { resource, .. } => resource,
            Form::Any(key) => key.resource,
        }
    }

    /// Whose response it is.
    #[must_use]
    pub fn organization(&self) -> OrganizationId {
        match &self.0 {
            Form::Item { organization, .. } => *organization,
            Form::Any(key) => key.organization,
        }
    }

    /// Set where the response belongs to one credential alone.
    #[must_use]
    pub fn owner(&self) -> Option<CredentialDigest> {
        match &self.0 {
            Form::Item { .. } => None,
            Form::Any(key) => key.owner,
        }
    }

    /// The item, or the page.
    #[must_use]
    pub fn target(&self) -> Cow<'_, Target> {
        match &self.0 {
            Form::Item { id, .. } => Cow::Owned(Target::Item(*id)),
            Form::Any(key) => Cow::Borrowed(&key.target),
        }
    }

    /// Bytes on the heap beyond the struct itself.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let Form::Any(key) = &self.0 else { return 0 };
        let of_target = match &key.target {
            Target::Item(_) => 0,
            Target::List(query) => {
                query.0.iter().map(|(_, value)| size_of::<(&str, Box<str>)>() + value.len()).sum()
            }
        };
        size_of::<AnyKey>() + of_target
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::credential::Digester;
    use crate::classify::ListQuery;
    use crate::clock::Clock;
    use crate::organization::Organizations;
    use crate::resource::LEAD_LABEL;

    #[test]
    fn a_key_is_equal_to_one_of_the_same_resource_organization_owner_and_target_alone() {
        let fields = |token| {
            let value = http::HeaderValue::from_static(token);
            http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])
        };
        let digester = Digester::default();
        let owner = |token| digester.credential(&fields(token)).map(|credential| credential.digest());
        let owners = [None, owner("Bearer one"), owner("Bearer other")];
        let targets =
            [Target::Item(Uuid::from_u128(1)), Target::Item(Uuid::from_u128(2)), list("1"), list("2")];
        let (clock, _) = Clock::manual();
        let organizations = Organizations::default();
        let organizations =
            [1, 2].map(|number| organizations.get(OrganizationId::example(number), clock.now()));
        let mut keys = Vec::new();
        for organization in &organizations {
            for owner in owners {
                for target in &targets {
                    let key = CacheKey::new(&LEAD_LABEL, organization, owner, target.clone());
                    assert_eq!((key.organization(), key.owner()), (organization.id(), owner));
                    assert_eq!((key.target().into_owned(), key.resource()), (target.clone(), &LEAD_LABEL));
                    if let Some(owner) = owner {
                        let shared = CacheKey::new(&LEAD_LABEL, organization, None, target.clone());
                        assert_eq!(shared.owned_by(owner), key);
                    }
                    assert!(!keys.contains(&key), "{key:?}");
                    keys.push(key);
                }
            }
        }
    }

    fn list(limit: &str) -> Target {
        Target::List(ListQuery(Box::new([("limit", limit.into())])))
    }

    #[test]
    fn what_a_key_takes_beside_itself_is_counted() {
        let (clock, _) = Clock::manual();
        let organization = Organizations::default().get(OrganizationId::example(1), clock.now());
        let taken = |target| CacheKey::new(&LEAD_LABEL, &organization, None, target).heap_bytes();
        assert_eq!(taken(Target::Item(Uuid::from_u128(1))), 0);
        let whole = taken(Target::List(ListQuery(Box::new([]))));
        assert_eq!(whole, size_of::<AnyKey>());
        assert_eq!(taken(list("")), whole + size_of::<(&str, Box<str>)>());
        assert_eq!(taken(list("100")), taken(list("")) + 3);
        let both = ListQuery(Box::new([("limit", "100".into()), ("search", "a".into())]));
        assert_eq!(taken(Target::List(both)) - taken(list("100")), size_of::<(&str, Box<str>)>() + 1);
    }

    #[test]
    fn the_key_of_an_item_that_everybody_may_have_takes_forty_bytes() {
        assert_eq!(size_of::<CacheKey>(), 40);
    }
}
