//! The cached resources: one descriptor each, one line each in [`RESOURCES`].
//!
//! Paths, queries, keys, writes and the tables of the tests all iterate [`RESOURCES`], so that another kind of
//! reference data is one more file here and one more line. What a request asks of a resource is said by
//! [`classify`](crate::classify); this module only knows how paths are spelled.

mod lead_label;
mod path;
pub(crate) mod percent;
mod target;

pub use lead_label::LEAD_LABEL;
pub use path::{Place, locate};
pub use target::{ListQuery, Target, target_path};

/// What the proxy must know of a kind of reference data to cache it.
#[derive(Debug, PartialEq)]
pub struct Descriptor {
    /// Name in keys, logs and metrics.
    pub name: &'static str,
    /// Path of the collection, without escapes; an item is one segment below it, a UUID.
    pub collection: &'static str,
    /// Query parameters of a list that may be stored, sorted.
    pub list_parameters: &'static [&'static str],
    /// The parameter for the largest page, and the number of items that it holds.
    pub largest_page: (&'static str, &'static str, usize),
    /// Query parameters with which a list proves, but is never stored.
    pub unstored_parameters: &'static [&'static str],
    /// Paths below the collection whose POST changes nothing.
    pub harmless_posts: &'static [&'static str],
    /// Member of an item that holds its id.
    pub id_member: &'static str,
    /// Member, at any depth, that names the organization.
    pub organization_member: &'static str,
    /// Member, at any depth, that says who may see an item: with a value, nothing of the organization is shared between
    /// credentials.
    pub grants_member: &'static str,
    /// Member of a page that holds its items.
    pub items_member: &'static str,
}

/// Every cached resource.
pub const RESOURCES: &[&Descriptor] = &[&LEAD_LABEL];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_descriptor_keeps_what_the_rest_relies_on() {
        for resource in RESOURCES {
            assert!(resource.collection.starts_with('/') && !resource.collection.ends_with('/'));
            assert!(
                resource.collection.bytes().all(|b| b.is_ascii_lowercase() || b"/-0123456789".contains(&b))
            );
            assert!(resource.list_parameters.is_sorted());
            for post in resource.harmless_posts {
                assert!(post.strip_prefix(resource.collection).is_some_and(|rest| rest.starts_with('/')));
            }
            for parameter in resource.unstored_parameters {
                assert!(!resource.list_parameters.contains(parameter));
            }
        }
    }
}
