//! [`Resources::locate`]: where a request's path lies, seen from the cached resources.
//!
//! Two readers of one path must not disagree about whether it is a resource's: a write that we take for something else
//! leaves an old value in the cache. So the strict reading here knows a few spellings, and whatever only a permissive
//! reader would take for a path at or below a collection is [`Place::Disguised`]. What to do with either is left to
//! [`guard`](crate::guard) and [`classify`](crate::classify).

use uuid::Uuid;

use super::{Descriptor, ListQuery, Resources, Target, percent};

/// Where a path lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// A collection, spelled as its descriptor spells it.
    Collection(&'static Descriptor),
    /// An item: one segment below a collection, a hyphenated lower-case UUID.
    Item(&'static Descriptor, Uuid),
    /// Plainly at or below a collection and neither of these: with a trailing slash, an upper-case UUID, another path.
    Variant {
        /// Whose path.
        resource: &'static Descriptor,
        /// Whether anything stands below the collection.
        below: bool,
        /// The UUID, in any of its forms, that the first segment below the collection is.
        item: Option<Uuid>,
    },
    /// Nothing of these, but a reader that decodes, folds or normalises more than we do may take it for one.
    Disguised(&'static Descriptor),
    /// Outside every collection, but what is written there changes this resource.
    Beside(&'static Descriptor),
    /// Anywhere else.
    Elsewhere,
}

impl Place {
    /// The resource at or below whose collection the path lies, by any reading.
    #[must_use]
    pub const fn resource(self) -> Option<&'static Descriptor> {
        match self {
            Self::Collection(resource)
            | Self::Item(resource, _)
            | Self::Variant { resource, .. }
            | Self::Disguised(resource) => Some(resource),
            Self::Beside(_) | Self::Elsewhere => None,
        }
    }

    /// The item that the path names, by any reading that leaves no doubt.
    #[must_use]
    pub const fn item(self) -> Option<Uuid> {
        match self {
            Self::Item(_, id) => Some(id),
            Self::Variant { item, .. } => item,
            Self::Collection(_) | Self::Disguised(_) | Self::Beside(_) | Self::Elsewhere => None,
        }
    }

    /// Whether the path plainly lies below a collection.
    #[must_use]
    pub const fn is_below(self) -> bool {
        matches!(self, Self::Item(..) | Self::Variant { below: true, .. })
    }
}

impl Resources {
    /// The collection, or the item, whose path this is, spelled as the descriptor spells it: what [`Self::locate`] says of
    /// such a path, at little cost for any other.
    #[must_use]
    pub fn locate_plain(self, path: &str) -> Option<(&'static Descriptor, Target)> {
        self.iter().find_map(|resource| {
            let rest = path.strip_prefix(resource.collection)?;
            let target = match rest.strip_prefix('/') {
                Some(_) if resource.is_singleton() => return None,
                Some(below) => Target::Item(lower_case_uuid(below)?),
                None if rest.is_empty() => Target::List(ListQuery::default()),
                None => return None,
            };
            Some((resource, target))
        })
    }

    /// Says where a path lies. Allocates only for a path that is not plain.
    #[must_use]
    pub fn locate(self, path: &str) -> Place {
        for resource in self.iter() {
            let Some(rest) = path.strip_prefix(resource.collection) else { continue };
            if rest.is_empty() {
                return Place::Collection(resource);
            }
            if let Some(below) = rest.strip_prefix('/') {
                return below_collection(resource, below);
            }
        }
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'/');
        if path.bytes().all(plain) && !path.contains("//") {
            return self.beside(|below| {
                path.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
        }
        let beside = || self.beside(|below| may_lead_to(path, below));
        permissive_reading(self, path).map_or_else(beside, Place::Disguised)
    }

    /// The resource that a path changes from outside, where it lies at or below one of these.
    fn beside(self, lies_below: impl Fn(&str) -> bool) -> Place {
        let changed = |resource: &&Descriptor| resource.changed_by.iter().any(|below| lies_below(below));
        self.iter().find(changed).map_or(Place::Elsewhere, Place::Beside)
    }
}

fn below_collection(resource: &'static Descriptor, below: &str) -> Place {
    if let Some(id) = lower_case_uuid(below).filter(|_| !resource.is_singleton()) {
        return Place::Item(resource, id);
    }
    if below.is_empty() {
        return Place::Variant { resource, below: false, item: None };
    }
    let inner = below.strip_suffix('/').unwrap_or(below);
    if !inner.split('/').all(is_plain_segment) {
        return Place::Disguised(resource);
    }
    let first = inner.split('/').next().unwrap_or(inner);
    let item = Uuid::try_parse(first).ok().filter(|_| !resource.is_singleton());
    Place::Variant { resource, below: true, item }
}

fn lower_case_uuid(segment: &str) -> Option<Uuid> {
    let bytes = segment.as_bytes();
    if bytes.len() != 36 || bytes.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    Uuid::try_parse_ascii(bytes).ok()
}

/// Whether every reader takes this segment for the same one: `pchar` of RFC 3986 §3.3 without escapes, no dot segment.
fn is_plain_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte))
}

/// The resource at or below whose collection this path lies by some reading.
fn permissive_reading(resources: Resources, path: &str) -> Option<&'static Descriptor> {
    let collections: Vec<&str> = resources.iter().map(|resource| resource.collection).collect();
    let position = first_reached(path, &collections)?;
    resources.iter().nth(position)
}

/// Whether a path lies at or below another one by some reading.
#[must_use]
pub fn may_lead_to(path: &str, below: &str) -> bool {
    first_reached(path, &[&below.to_ascii_lowercase()]).is_some()
}

/// Whether a path lies at or below another one by every reading.
#[must_use]
pub fn surely_leads_to(path: &str, below: &str) -> bool {
    let Some(rest) = path.strip_prefix(below) else { return false };
    if below.is_empty() {
        // The root: nothing leads out of it.
        return true;
    }
    if !(rest.is_empty() || rest.starts_with('/')) {
        return false;
    }
    let text = folded(&unescaped(rest.as_bytes()));
    let names = text.split(['/', '\\']).map(|segment| segment.split([';', '?', '#', '\0']).next());
    !names.flatten().any(|name| name == "..")
}

/// The first of these collections at or below which a path lies by some reading: escapes decoded any number of times,
/// back-slashes taken for slashes, empty and dot segments resolved, parameters and suffixes cut, case folded, characters
/// beyond ASCII taken for look-alikes.
fn first_reached(path: &str, collections: &[&str]) -> Option<usize> {
    let text = folded(&unescaped(path.as_bytes()));
    let mut dots = DotSegments::None;
    let mut segments = Vec::new();
    for segment in text.split(['/', '\\']) {
        match segment.split([';', '?', '#', '\0']).next().unwrap_or(segment) {
            "" | "." => {}
            ".." => dots = DotSegments::Climb,
            name => segments.push(name),
        }
    }
    // A URL parser takes what stands behind two slashes for a host (RFC 3986 §4.2).
    let behind_host =
        text.get(1..).filter(|rest| rest.starts_with(['/', '\\'])).and_then(|_| segments.get(1..));
    collections.iter().position(|collection| {
        [Some(segments.as_slice()), behind_host]
            .into_iter()
            .flatten()
            .any(|segments| reaches(segments, dots, collection))
    })
}

/// What a path's dot segments may do to its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DotSegments {
    /// Nothing: it has none that climbs.
    None,
    /// A `..` may take any of them away.
    Climb,
}

/// Whether these segments may lead to the collection or below it. Readers differ on what `..` takes away (an empty
/// segment or the last name), but none of them reorders: what is left is always a subsequence.
fn reaches(segments: &[&str], dots: DotSegments, collection: &str) -> bool {
    let names: Vec<&str> = collection.split('/').skip(1).collect();
    if names.is_empty() {
        // The root, above everything.
        return true;
    }
    let mut matched = 0;
    for segment in segments {
        let last = matched + 1 == names.len();
        if resembles(if last { stem(segment) } else { segment }, names[matched]) {
            matched += 1;
        } else if dots == DotSegments::None {
            return false;
        }
        if matched == names.len() {
            return true;
        }
    }
    false
}

/// A last segment without what some routers cut off: a format (`.json`), a custom method (`:batch`), a trailing dot.
fn stem(segment: &str) -> &str {
    let cut = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_');
    segment.split(cut).next().unwrap_or(segment)
}

/// Whether a reader may take `segment` for `name`: they are equal, or would be if each character beyond ASCII stood for
/// one character or for none. Unicode has too many foldings to `k`, `s` or `-` to list them.
fn resembles(segment: &str, name: &str) -> bool {
    if segment.is_ascii() {
        return segment == name;
    }
    let mut rest = name.chars();
    let in_order = segment.chars().filter(char::is_ascii).all(|c| rest.any(|expected| expected == c));
    in_order && segment.chars().count() >= name.len()
}

/// Decodes percent escapes, overlong UTF-8 and full-width forms of ASCII (U+FF01 to U+FF5E) until nothing is left to
/// decode, in one pass: a decoded byte may complete the next escape. Decoding again and again would take quadratic time
/// for `%25252525…`.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    for &byte in path {
        decoded.push(byte);
        while let Some((length, byte)) = escape_at_end(&decoded) {
            decoded.truncate(decoded.len() - length);
            decoded.push(byte);
        }
    }
    decoded
}

fn escape_at_end(bytes: &[u8]) -> Option<(usize, u8)> {
    match *bytes {
        [.., lead @ (0xC0 | 0xC1), next @ 0x80..=0xBF] => Some((2, (lead & 1) << 6 | next & 0x3F)),
        [.., 0xEF, 0xBC, last @ 0x81..=0xBF] => Some((3, last - 0x60)),
        [.., 0xEF, 0xBD, last @ 0x80..=0x9E] => Some((3, last - 0x20)),
        [.., b'%', high, low] => Some((3, percent::byte(high, low)?)),
        _ => None,
    }
}

/// Lower case, without spaces and control characters but NUL.
fn folded(bytes: &[u8]) -> String {
    let counts = |c: &char| *c == '\0' || !(*c == ' ' || c.is_control());
    String::from_utf8_lossy(bytes).to_ascii_lowercase().chars().filter(counts).collect()
}

#[cfg(test)]
mod tests;
