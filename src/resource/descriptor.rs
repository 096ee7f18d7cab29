//! [`Descriptor`]: what tells one cached resource from another.

use std::hash::{Hash, Hasher};

use crate::config::{Cache, CachedResource};

/// What the proxy must know of a kind of reference data to cache it. There is one of each kind, in a `static`.
#[derive(Debug)]
pub struct Descriptor {
    /// Name in keys and explanations.
    pub name: &'static str,
    /// Names of its routes in logs and metrics.
    pub routes: RouteNames,
    /// Whether an organization has many of it, or one.
    pub kind: Kind,
    /// What is said of it.
    pub sentences: Sentences,
    /// Path of the collection, without escapes; an item is one segment below it, a UUID. Of a singleton: its path.
    pub collection: &'static str,
    /// Query parameters of a list that may be stored, sorted.
    pub list_parameters: &'static [&'static str],
    /// The parameter for the largest page, and the number of items that it holds.
    pub largest_page: (&'static str, &'static str, usize),
    /// Query parameters with which a list proves, but is never stored.
    pub unstored_parameters: &'static [&'static str],
    /// Paths elsewhere in the API at or below which a write changes items of this resource, or makes one.
    pub changed_by: &'static [&'static str],
    /// Paths below the collection, or below what else changes it, whose POST changes nothing.
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
    /// Members, at any depth, whose UUID is a user's. Any other that is neither the item's nor its organization's may be
    /// another item's.
    pub user_members: &'static [&'static str],
    /// What a write of an item changes.
    pub write_changes: WriteChanges,
    /// Whether it is cached at all; settled at start.
    pub enabled: fn(&Cache) -> bool,
    /// For how long an item is kept.
    pub item_lifetimes: fn(&Cache) -> &CachedResource,
    /// For how long a page is kept.
    pub list_lifetimes: fn(&Cache) -> &CachedResource,
}

/// Whether an organization has many of a resource, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Many: a list of them, and each by its id.
    Collection,
    /// One, whose path is all that there is to ask for. It is read, kept and shut out as the one page of a list would be that has
    /// no parameters; what stands below its path is none of ours. Its id is the organization.
    Singleton {
        /// Members that it has, each: its id alone could be that of any item, and an answer that belongs to another call
        /// must not be taken for it.
        members: &'static [&'static str],
    },
}

/// What a write of an item changes, as far as the vendor documents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteChanges {
    /// That item, and lists.
    Item,
    /// Other items too, or nobody knows.
    Anything,
}

/// What the routes of one resource are called, in logs and metrics.
#[derive(Clone, Copy, Debug)]
pub struct RouteNames {
    /// A read of one item; of a singleton: of something below its path.
    pub item: &'static str,
    /// A read of a page, or of a singleton.
    pub list: &'static str,
    /// A write.
    pub write: &'static str,
}

/// What is said of a resource, to clients and in the log.
#[derive(Clone, Copy, Debug)]
pub struct Sentences {
    /// What its items are called, at the beginning of a sentence of the log.
    pub items: &'static str,
    /// The error of a path that only some readers take for one of its own: which paths to send.
    pub misspelt: &'static str,
    /// The error of a write whose body is too large.
    pub write_too_large: &'static str,
    /// Why a list is read for an item.
    pub fetched_by_list: &'static str,
    /// What becomes of a write.
    pub written: &'static str,
}

impl Descriptor {
    /// Whether an organization has one of it.
    #[must_use]
    pub const fn is_singleton(&self) -> bool {
        matches!(self.kind, Kind::Singleton { .. })
    }
}

/// A descriptor is equal to itself alone: to compare two, or to find one, costs no more than their addresses.
impl PartialEq for Descriptor {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Descriptor {}

impl Hash for Descriptor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self, state);
    }
}
