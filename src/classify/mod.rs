//! Classification: what a request asks of a cached resource, if anything.
//!
//! Promises that a [`Read`] is exactly that: its path is spelled as the resource's descriptor spells it, its query means
//! one thing only, and nothing in it but its credential can choose whose data comes back. Doubt makes a read
//! [`Class::Uncached`] (the upstream decides) and a write a [`Class::Write`] (too much is invalidated rather than too
//! little). What must not be passed on at all is left to [`guard`](crate::guard).

pub(crate) mod fields;
mod query;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Method};
use uuid::Uuid;

use crate::outcome::BypassReason;
use crate::resource::{Descriptor, Place, Resources};

pub use crate::resource::{ListQuery, Target};

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
    /// A write at or below a resource's collection, or where else the resource is changed.
    Write {
        /// Whose path.
        resource: &'static Descriptor,
        /// The item, where the path names one.
        item: Option<Uuid>,
    },
    /// Everything else.
    PassThrough,
}

impl Class {
    /// The same where these are cached: of what is not, writes alone are told apart.
    #[must_use]
    pub fn of_cached(self, resources: Resources) -> Self {
        match self {
            Self::Read(Read { resource, .. }) | Self::Uncached { resource, .. }
                if !resources.caches(resource) =>
            {
                Self::PassThrough
            }
            class => class,
        }
    }
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

/// Says what kind of request this is, whose path lies in `place`. The guard has passed it: method, path spelling and field
/// syntax are sound.
///
/// Every path at or below a collection is a read or a write of that resource, even one that the vendor does not have: a
/// refusal there ends proofs, and a write there may be one that this version does not know.
#[must_use]
pub fn classify(head: &Parts, place: Place) -> Class {
    classify_by(head, place, || fields::bypass(&head.headers))
}

/// The same of a request whose fields somebody has looked at: `forbids` says why they forbid caching, if they do.
pub(crate) fn classify_by(
    head: &Parts,
    place: Place,
    forbids: impl FnOnce() -> Option<BypassReason>,
) -> Class {
    let (resource, is_beside) = match place {
        Place::Beside(resource) => (resource, true),
        _ => match place.resource() {
            Some(resource) => (resource, false),
            None => return Class::PassThrough,
        },
    };
    let query = head.uri.query().unwrap_or_default();

    // A framework behind the upstream's front that obeys it makes a write of anything that carries it (Q9).
    let overridden = overrides_method(query);
    if !overridden && head.method == Method::POST && resource.harmless_posts.contains(&head.uri.path()) {
        return Class::PassThrough;
    }
    if overridden || !matches!(head.method, Method::GET | Method::HEAD) {
        return Class::Write { resource, item: place.item() };
    }
    if is_beside {
        return Class::PassThrough;
    }
    match read(head, place, query, forbids) {
        Ok(read) => Class::Read(read),
        Err(reason) => Class::Uncached { resource, item: place.is_below(), reason },
    }
}

/// Whether a query carries what a framework behind the upstream's front may take for the method: then even a `GET` may write.
#[must_use]
pub fn overrides_method(query: &str) -> bool {
    query::has_parameter(query, "_method")
}

/// Whether nothing in a request tells the upstream who asks: no `Authorization`, and nothing else that may stand for one.
#[must_use]
pub fn says_nobody(fields: &HeaderMap, query: &str) -> bool {
    let names_none = !fields.contains_key(AUTHORIZATION);
    // The reason that is left when no line has another.
    names_none
        && fields::bypass(fields) == Some(BypassReason::Authorization)
        && !query::has_parameter(query, API_KEY)
}

/// Whether anything in a request beside its credential may choose whose data it is about: what forbids caching a read.
#[must_use]
pub fn may_say_another(fields: &HeaderMap, query: &str) -> bool {
    fields::bypass(fields).is_some() || query::has_parameter(query, API_KEY)
}

/// Where older versions of the API took a key.
const API_KEY: &str = "api_key";

/// The read, or the first reason for which it may not be cached.
fn read(
    head: &Parts,
    place: Place,
    query: &str,
    forbids: impl FnOnce() -> Option<BypassReason>,
) -> Result<Read, BypassReason> {
    if query::has_parameter(query, API_KEY) {
        return Err(BypassReason::ApiKey);
    }
    let (resource, target, storable) = match place {
        Place::Item(resource, id) if query.is_empty() => (resource, Target::Item(id), true),
        Place::Item(..) => return Err(BypassReason::Query),
        Place::Collection(resource) => {
            let (list, storable) = query::list(resource, query).ok_or(BypassReason::Query)?;
            (resource, Target::List(list), storable)
        }
        Place::Variant { .. } | Place::Disguised(_) | Place::Beside(_) | Place::Elsewhere => {
            return Err(BypassReason::Path);
        }
    };
    match forbids() {
        Some(reason) => Err(reason),
        None => Ok(Read { resource, target, storable, head: head.method == Method::HEAD }),
    }
}

#[cfg(test)]
mod spellings;
#[cfg(test)]
mod tests;
