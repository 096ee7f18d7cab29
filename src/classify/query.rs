//! Queries of a resource's paths, read as form data (WHATWG URL §5.1).
//!
//! A list's query is read strictly, because it becomes part of a key: whatever could be read in two ways is no query of
//! ours. A parameter that must be noticed wherever any reader might see it is looked for generously.

use std::iter;

use crate::resource::{Descriptor, ListQuery, percent};

/// Longest value of a parameter, decoded. It becomes a part of keys, and a caller chooses it: none that means anything is
/// nearly as long, but for what is searched for.
const MAX_VALUE: usize = 256;

/// A list's query and whether its answer may be stored; `None` if a parameter is unknown or repeated,
/// does not decode or is longer than any that means something.
pub(super) fn list(resource: &Descriptor, query: &str) -> Option<(ListQuery, bool)> {
    if query.is_empty() {
        return Some((ListQuery::default(), true));
    }
    let mut parameters: Vec<(&'static str, Box<str>)> = Vec::new();
    let mut storable = true;
    for piece in query.split('&').filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let name = decode(name)?;
        let known = |names: &'static [&'static str]| names.iter().copied().find(|known| **known == *name);
        let stored = known(resource.list_parameters);
        storable &= stored.is_some();
        let name = stored.or_else(|| known(resource.unstored_parameters))?;
        if parameters.iter().any(|(seen, _)| *seen == name) {
            return None;
        }
        parameters.push((name, decode(value).filter(|value| value.len() <= MAX_VALUE)?));
    }
    parameters.sort_unstable_by_key(|(name, _)| *name);
    Some((ListQuery(parameters.into_boxed_slice()), storable))
}

/// Whether some reader finds this parameter: in any case, with `;` as separator, as an array (`name[]`), in a query that
/// does not decode.
pub(super) fn has_parameter(query: &str, name: &str) -> bool {
    query.split(['&', ';']).any(|piece| {
        let found = bytes(piece).map(|decoded| decoded.unwrap_or(b'%').to_ascii_lowercase());
        found.take_while(|byte| !matches!(byte, b'=' | b'[')).eq(name.bytes())
    })
}

/// The text behind form encoding; `None` if an escape is incomplete or the bytes are no UTF-8.
fn decode(text: &str) -> Option<Box<str>> {
    let decoded: Option<Vec<u8>> = bytes(text).collect();
    String::from_utf8(decoded?).ok().map(String::into_boxed_str)
}

/// The decoded bytes; `None` in place of a `%` that begins no escape.
fn bytes(text: &str) -> impl Iterator<Item = Option<u8>> {
    let mut rest = text.as_bytes();
    iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        rest = after;
        Some(match (first, after) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, after @ ..]) => {
                let byte = percent::byte(*high, *low);
                if byte.is_some() {
                    rest = after;
                }
                byte
            }
            (b'%', _) => None,
            (byte, _) => Some(byte),
        })
    })
}
