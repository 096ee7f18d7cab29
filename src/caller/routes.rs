//! `Routes`: digests of routes that are asked for again and again.
//!
//! A route's digest decides whether a 401 that is said on two routes ends proofs, so that it is a keyed hash of full width;
//! to make one takes as long as a label's look-up. Those of the vendor's API are few, and each is made once. What is
//! remembered is found by the route itself, compared byte by byte.

use foldhash::HashMap;
use http::Method;

use crate::lock::Mutex;

/// How many segments of a path make a route.
pub(super) const SEGMENTS: usize = 3;
/// Routes of one method; the vendor has some hundred paths. With more somebody makes them up, and all are forgotten.
const MOST: usize = 512;
/// A longer one is none of the vendor's, in bytes.
const LONGEST: usize = 128;

/// Methods that pass the guard.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// What is known of each method's routes.
#[derive(Debug)]
pub(super) struct Routes<D>([Mutex<HashMap<Box<str>, D>>; METHODS.len()]);

impl<D: Copy> Routes<D> {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// The digest of a route, `made` where it is not known.
    pub(super) fn known(&self, method: &Method, segments: Option<&str>, made: impl FnOnce() -> D) -> D {
        let place = METHODS.iter().position(|known| known == method);
        let (Some(place), Some(segments)) = (place, segments.filter(|route| route.len() <= LONGEST)) else {
            return made();
        };
        let mut routes = self.0[place].lock();
        if let Some(known) = routes.get(segments) {
            return *known;
        }
        if routes.len() >= MOST {
            routes.clear();
        }
        let digest = made();
        routes.insert(segments.into(), digest);
        digest
    }
}

/// The first segments of a path, those that make its route; nothing of what is no path.
#[must_use]
pub fn segments(path: &str) -> Option<&str> {
    let behind = path.strip_prefix('/')?;
    let end = memchr::memchr_iter(b'/', behind.as_bytes()).nth(SEGMENTS - 1).unwrap_or(behind.len());
    behind.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_remembered_up_to_a_bound_for_each_method_and_long_ones_are_not() {
        let routes = Routes::new();
        for number in 0..10 * MOST {
            let name = format!("made/up/{number}");
            assert_eq!(routes.known(&Method::GET, Some(&name), || number), number);
            assert_eq!(routes.known(&Method::GET, Some(&name), || usize::MAX), number);
            routes.known(&Method::DELETE, Some(&name), || number);
            assert!(routes.0.iter().all(|known| known.lock().len() <= MOST));
        }
        let long = "x".repeat(LONGEST + 1);
        routes.known(&Method::HEAD, Some(&long), || 0);
        assert!(routes.0.iter().all(|known| known.lock().get(long.as_str()).is_none()));
    }
}
