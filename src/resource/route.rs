//! [`Route`]: what kind of request it was, in the words of its resource.

use super::{Descriptor, Resources};

/// What kind of request it was: the `route` label. What it can say is said by the table of resources alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A read of one item of a resource.
    Item(&'static Descriptor),
    /// A read of a page of its items.
    List(&'static Descriptor),
    /// A write of an item.
    Write(&'static Descriptor),
    /// Anything else that the API offers.
    PassThrough,
    /// Refused by the guard before it was looked at.
    Refused,
}

const OF_A_RESOURCE: [fn(&'static Descriptor) -> Route; 3] = [Route::Item, Route::List, Route::Write];
const OF_NONE: [Route; 2] = [Route::PassThrough, Route::Refused];

impl Route {
    /// Every route that there is with these resources, in the order of [`Self::index`].
    pub fn all(resources: Resources) -> impl Iterator<Item = Self> {
        resources.iter().flat_map(|resource| OF_A_RESOURCE.map(|route| route(resource))).chain(OF_NONE)
    }

    /// How many those are.
    #[must_use]
    pub const fn count(resources: Resources) -> usize {
        resources.count() * OF_A_RESOURCE.len() + OF_NONE.len()
    }

    /// The one text of this route, in logs and metrics alike.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Item(resource) => resource.routes.item,
            Self::List(resource) => resource.routes.list,
            Self::Write(resource) => resource.routes.write,
            Self::PassThrough => "pass_through",
            Self::Refused => "refused",
        }
    }

    /// Position in [`Self::all`].
    #[must_use]
    pub fn index(self, resources: Resources) -> usize {
        let of = |resource, kind| resources.place_of(resource) * OF_A_RESOURCE.len() + kind;
        match self {
            Self::Item(resource) => of(resource, 0),
            Self::List(resource) => of(resource, 1),
            Self::Write(resource) => of(resource, 2),
            Self::PassThrough => resources.count() * OF_A_RESOURCE.len(),
            Self::Refused => resources.count() * OF_A_RESOURCE.len() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::RESOURCES;

    #[test]
    fn every_route_has_its_own_place_and_its_own_name() {
        let routes: Vec<_> = Route::all(RESOURCES).collect();
        assert_eq!(routes.len(), Route::count(RESOURCES));
        for (place, route) in routes.iter().enumerate() {
            assert_eq!(route.index(RESOURCES), place, "{route:?}");
            assert!(routes[..place].iter().all(|other| other.as_str() != route.as_str()), "{route:?}");
        }
    }
}
