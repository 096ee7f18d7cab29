//! The cached resources: one descriptor each, one line each in [`RESOURCES`].
//!
//! Paths, queries, keys, writes and the tables of the tests all iterate [`RESOURCES`], so that another kind of
//! reference data is one more file here and one more line. A process is handed its table when it starts: one with another
//! resource in it needs no other code. What a request asks of a resource is said by
//! [`classify`](crate::classify); this module only knows how paths are spelled.

mod campaign;
mod custom_tag;
mod descriptor;
mod lead_label;
mod lead_list;
mod path;
pub(crate) mod percent;
mod route;
mod table;
mod target;
mod workspace;

pub use campaign::CAMPAIGN;
pub use custom_tag::CUSTOM_TAG;
pub use descriptor::{Descriptor, Kind, RouteNames, Sentences, WriteChanges};
pub use lead_label::LEAD_LABEL;
pub use lead_list::LEAD_LIST;
pub use path::{Place, may_lead_to, surely_leads_to};
pub use route::Route;
pub use table::{ByResource, Resources};
pub use target::{ListQuery, Target, target_path};
pub use workspace::WORKSPACE;

/// Every resource that can be cached. Lead labels are first: by them a caller is asked for of whom nothing is known.
pub const RESOURCES: Resources = Resources::new(TABLE);

const TABLE: &[&Descriptor] = &[&LEAD_LABEL, &CUSTOM_TAG, &LEAD_LIST, &WORKSPACE, &CAMPAIGN];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_descriptor_keeps_what_the_rest_relies_on() {
        for resource in RESOURCES.iter() {
            assert!(resource.collection.starts_with('/') && !resource.collection.ends_with('/'));
            assert!(
                resource.collection.bytes().all(|b| b.is_ascii_lowercase() || b"/-0123456789".contains(&b))
            );
            assert!(resource.list_parameters.is_sorted());
            let (parameter, text, number) = resource.largest_page;
            let has_pages = resource.list_parameters.contains(&parameter) && text == number.to_string();
            assert_ne!(resource.is_singleton(), has_pages);
            assert!(!resource.is_singleton() || resource.list_parameters.is_empty());
            assert!(resource.sentences.misspelt.contains(resource.collection));
            let written = || resource.changed_by.iter().chain([&resource.collection]);
            for post in resource.harmless_posts {
                let is_below =
                    |path: &&str| post.strip_prefix(*path).is_some_and(|rest| rest.starts_with('/'));
                assert!(written().any(is_below));
            }
            for parameter in resource.unstored_parameters {
                assert!(!resource.list_parameters.contains(parameter));
            }
            // Reads of one page are one call, also where that is not stored. A page by what changes without a write of the
            // resource would be joined by a read that comes behind such a change.
            assert!(resource.unstored_parameters.iter().all(|parameter| *parameter == "search"));
        }
    }

    #[test]
    fn no_two_descriptors_are_taken_for_each_other() {
        for (place, resource) in RESOURCES.iter().enumerate() {
            for other in RESOURCES.iter().take(place) {
                assert_ne!(resource.name, other.name);
                let is_below = |path: &str, other: &str| {
                    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                assert!(!is_below(resource.collection, other.collection));
                assert!(!is_below(other.collection, resource.collection));
            }
        }
    }
}
