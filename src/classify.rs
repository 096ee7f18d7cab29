//! Classification: what a request asks of a cached resource, if anything.

use http::request::Parts;
use uuid::Uuid;

use crate::outcome::BypassReason;
use crate::resource::Descriptor;

/// What kind of request it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Class {
    /// A read that may be answered from the cache, once the credential is proven.
    Read(Read),
    /// A read on a resource's path that may not be cached: passed through.
    Uncached {
        /// Whose path.
        resource: &'static Descriptor,
        /// Whether it is below the collection.
        item: bool,
        /// Why.
        reason: BypassReason,
    },
    /// A write at or below a resource's collection.
    Write {
        /// Whose path.
        resource: &'static Descriptor,
        /// The item, where the path names one.
        item: Option<Uuid>,
    },
    /// Everything else.
    PassThrough,
}

/// A read that may be answered from the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// Of which resource.
    pub resource: &'static Descriptor,
    /// What of it.
    pub target: Target,
    /// False for a list with `search`: it proves, and is never stored.
    pub storable: bool,
    /// HEAD rather than GET.
    pub head: bool,
}

/// One item, or one page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The item with this id.
    Item(Uuid),
    /// A page.
    List(ListQuery),
}

/// A list's query: known parameters, decoded, each at most once, ordered by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListQuery(pub Box<[(&'static str, Box<str>)]>);

/// Says what kind of request this is. The guard has passed it: method, path spelling and field syntax are sound.
#[must_use]
pub fn classify(_head: &Parts) -> Class {
    Class::PassThrough
}
