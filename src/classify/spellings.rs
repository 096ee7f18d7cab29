//! Bar: no spelling of a resource's path is a wrong hit or a write that invalidates nothing (Q10, Q11).
//!
//! The spellings are made by rules, each of which some router undoes: whatever comes out may reach the resource.

use std::collections::BTreeSet;

use http::Request;
use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::guard;
use crate::resource::RESOURCES;

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const ID: &str = "/01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10";

/// Applied at one place of a path: `at` is the index of a character.
type Rule = fn(path: &str, at: usize) -> Option<String>;

const RULES: &[Rule] = &[
    |path, at| replaced(path, at, |c| Some(encoded(c, "%"))),
    |path, at| replaced(path, at, |c| Some(encoded(c, "%25"))),
    |path, at| replaced(path, at, |c| Some(encoded(c, "%2525"))),
    |path, at| replaced(path, at, |c| c.is_ascii_lowercase().then(|| c.to_ascii_uppercase().to_string())),
    |path, at| replaced(path, at, |c| c.is_ascii_graphic().then(|| full_width(c))),
    |path, at| replaced(path, at, |c| (c == 's').then(|| "\u{17F}".to_owned())),
    |path, at| replaced(path, at, |c| (c == 'i').then(|| "\u{131}".to_owned())),
    |path, at| replaced(path, at, |c| (c == '-').then(|| "\u{2010}".to_owned())),
    |path, at| after_slash(path, at, "/"),
    |path, at| after_slash(path, at, "./"),
    |path, at| after_slash(path, at, "x/../"),
    |path, at| after_slash(path, at, "/../"),
    |path, at| after_slash(path, at, "x/%2e%2e/"),
    |path, at| after_slash(path, at, "x/..;y/"),
    |path, at| after_slash(path, at, "x/..%2f"),
    |path, at| after_slash(path, at, "x%5c..%5c"),
    |path, at| after_slash(path, at, ";x=y/"),
    |path, at| replaced(path, at, |c| (c == '/').then(|| "\\".to_owned())),
    |path, at| replaced(path, at, |c| (c == '/').then(|| "%5C".to_owned())),
    |path, at| replaced(path, at, |c| (c == '/').then(|| "%c0%af".to_owned())),
    |path, at| before_slash(path, at, ";x"),
    |path, at| before_slash(path, at, "%3bx"),
    |path, at| before_slash(path, at, "%00"),
    |path, at| before_slash(path, at, "%20"),
    |path, at| at_end(path, at, "%00.json"),
    |path, at| at_end(path, at, ".json"),
    |path, at| at_end(path, at, "/"),
    |path, at| at_end(path, at, "//"),
    |path, at| at_end(path, at, "/."),
    |path, at| at_end(path, at, "/x/.."),
    |path, at| at_end(path, at, "%2f"),
    |path, at| at_end(path, at, "%3flimit=1"),
    |path, at| at_end(path, at, "%23x"),
];

fn replaced(path: &str, at: usize, by: impl FnOnce(char) -> Option<String>) -> Option<String> {
    let (start, old) = path.char_indices().nth(at)?;
    let new = by(old)?;
    Some(format!("{}{new}{}", &path[..start], &path[start + old.len_utf8()..]))
}

fn encoded(c: char, escape: &str) -> String {
    c.to_string().bytes().map(|byte| format!("{escape}{byte:02x}")).collect()
}

fn full_width(c: char) -> String {
    char::from_u32(u32::from(c) + 0xFEE0).map(String::from).unwrap()
}

fn after_slash(path: &str, at: usize, text: &str) -> Option<String> {
    replaced(path, at, |c| (c == '/').then(|| format!("/{text}")))
}

/// Behind a segment: before the slash that ends it. The slash that a path begins with ends none.
fn before_slash(path: &str, at: usize, text: &str) -> Option<String> {
    if at == 0 {
        return Some(format!("{path}{text}"));
    }
    replaced(path, at, |c| (c == '/').then(|| format!("{text}/")))
}

fn at_end(path: &str, at: usize, text: &str) -> Option<String> {
    (at == 0).then(|| format!("{path}{text}"))
}

fn plain_paths() -> Vec<String> {
    RESOURCES
        .iter()
        .flat_map(|resource| [resource.collection.to_owned(), format!("{}{ID}", resource.collection)])
        .collect()
}

/// Asserts that a path is refused, or never answered from the cache and never taken for something else. False if it is
/// no path that HTTP can carry.
fn is_kept_safe(path: &str) -> bool {
    METHODS.into_iter().all(|method| {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let Ok(request) = request.header("authorization", "Bearer a").body(()) else { return false };
        let (head, ()) = request.into_parts();
        match guard::check(RESOURCES, &head, "own") {
            Err(error) => assert_eq!(error.kind(), ErrorKind::PathSpelling, "{method} {path}"),
            Ok(place) => match classify(&head, place) {
                Class::Uncached { reason, .. } => assert_eq!(reason, BypassReason::Path, "{method} {path}"),
                Class::Write { .. } => assert!(!matches!(method, "GET" | "HEAD"), "{method} {path}"),
                class => panic!("{method} {path}: {class:?}"),
            },
        }
        true
    })
}

#[test]
fn no_spelling_of_a_label_path_is_a_hit_or_a_write_unseen() {
    let plain = plain_paths();
    let spellings: BTreeSet<String> = plain
        .iter()
        .flat_map(|path| {
            (0..path.len()).flat_map(move |at| RULES.iter().filter_map(move |rule| rule(path, at)))
        })
        .filter(|spelling| !plain.contains(spelling))
        .collect();
    let carried = spellings.iter().filter(|spelling| is_kept_safe(spelling)).count();
    assert!(carried >= 300, "{carried} of {}", spellings.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nor_is_one_made_by_several_rules(
        path in prop::sample::select(plain_paths()),
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..5),
    ) {
        let mut spelling = path.clone();
        for (rule, at) in steps {
            let at = at.index(spelling.chars().count());
            spelling = rule.get(RULES)(&spelling, at).unwrap_or(spelling);
        }
        if spelling != path {
            is_kept_safe(&spelling);
        }
    }
}
