//! [`Names`]: the fields with which a read may be answered on the fast path, with what guard and classifier ask of each.
//!
//! They are the rows of [`KNOWN`] that are marked so, with what a stored answer makes of each. What the guard and the
//! classifier ask of such a name is taken from their own tables, and asked as they ask it: a rule that either of them gets
//! tomorrow holds here as well, and nobody has to remember that there is a second reader. A name that is not in the table
//! sends its request to the HTTP library.

use std::sync::LazyLock;

use crate::classify::fields::Concern;
use crate::guard::fields::{Rule, refuse_look_alike};
pub(super) use crate::semantics::request_fields::Part;
use crate::semantics::request_fields::{KNOWN, LONGEST, Way};

/// The names, each with its part.
fn fields() -> impl Iterator<Item = (&'static str, Part)> {
    KNOWN.iter().filter(|(.., way)| *way == Way::Fast).map(|&(name, part, _)| (name, part))
}

/// A field of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    name: &'static str,
    pub(super) part: Part,
    pub(super) rule: Option<Rule>,
    pub(super) concern: Option<Concern>,
    /// Its own bit.
    pub(super) bit: u32,
}

/// The table, by the length of the name.
#[derive(Debug)]
pub(super) struct Names([Vec<Known>; LONGEST + 1]);

static NAMES: LazyLock<Names> = LazyLock::new(Names::derive);

impl Names {
    pub(super) fn table() -> &'static Self {
        &NAMES
    }

    fn derive() -> Self {
        let mut of_length = [const { Vec::new() }; LONGEST + 1];
        for (at, (name, part)) in fields().enumerate() {
            let rule = Rule::of(name);
            if rule.is_none() && refuse_look_alike(name).is_err() {
                continue;
            }
            of_length[name.len()].push(Known { name, part, rule, concern: Concern::of(name), bit: 1 << at });
        }
        Self(of_length)
    }

    /// The field of this name, in any case. The name is a token of HTTP, as the parser sees to.
    pub(super) fn of(&self, name: &str) -> Option<&Known> {
        self.0.get(name.len())?.iter().find(|known| is_spelt(name.as_bytes(), known.name.as_bytes()))
    }
}

/// Whether a token is this name, of lower-case letters, digits and hyphens and as long, in any case. Eight bytes at a time: of
/// what may stand in a token (RFC 9110 §5.6.2) the bit that tells the cases of a letter apart makes nothing else of these.
fn is_spelt(token: &[u8], name: &[u8]) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let same =
        |token: &[u8; 8], name: &[u8; 8]| (u64::from_ne_bytes(*token) | CASE) == u64::from_ne_bytes(*name);
    let (tokens, names) = (token.as_chunks::<8>(), name.as_chunks::<8>());
    let whole = tokens.0.iter().zip(names.0).all(|(token, name)| same(token, name));
    match (token.last_chunk::<8>(), name.last_chunk::<8>()) {
        // The last eight overlap those before.
        (Some(token), Some(name)) => whole && same(token, name),
        _ => token.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_in_any_case_and_nothing_else_is() {
        let names = Names::table();
        for (at, (name, part)) in fields().enumerate() {
            for spelling in [name.to_owned(), name.to_ascii_uppercase()] {
                let known = names.of(&spelling).expect("it is in the table");
                assert_eq!((known.name, known.part, known.bit), (name, part, 1 << at));
            }
            for other in
                [format!("{name}x"), format!("x{name}"), name[1..].to_owned(), name.replace('-', "_")]
            {
                let is_row = fields().any(|(row, _)| row == other);
                assert_eq!(names.of(&other).is_some(), is_row, "{other}");
            }
        }
        assert!(names.of("").is_none());
    }

    #[test]
    fn no_byte_of_a_token_passes_for_another_but_a_letter_for_itself_in_the_other_case() {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let names = fields().map(|(name, _)| name.as_bytes());
        for name in names {
            assert!(name.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')));
            for at in 0..name.len() {
                for byte in (0..=u8::MAX).filter(|byte| is_token(*byte)) {
                    let mut token = name.to_vec();
                    token[at] = byte;
                    assert_eq!(
                        is_spelt(&token, name),
                        token.eq_ignore_ascii_case(name),
                        "{}",
                        token.escape_ascii()
                    );
                }
            }
        }
    }

    /// What the long way reads of a request besides, and what the HTTP library reads, is in no row.
    #[test]
    fn no_row_frames_a_body_or_asks_anything_of_the_cache() {
        for name in [
            "cache-control",
            "pragma",
            "prefer",
            "range",
            "if-match",
            "if-modified-since",
            "if-unmodified-since",
            "if-range",
            "content-length",
            "transfer-encoding",
            "te",
            "trailer",
            "expect",
            "upgrade",
            "http2-settings",
            "cookie",
            "via",
            "proxy-authorization",
            "x-http-method-override",
        ] {
            assert!(Names::table().of(name).is_none(), "{name}");
        }
    }

    /// The one identity of a request is what the classifier takes for one.
    #[test]
    fn what_the_classifier_looks_at_makes_the_credential() {
        for (name, part) in fields() {
            let is_credential = matches!(part, Part::Authorization | Part::Workspace);
            assert_eq!(Concern::of(name).is_some(), is_credential, "{name}");
        }
    }
}
