//! Heads and queries: guard and classification beside a slower reading of the same.

use http::Method;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;

use crate::classify::{Class, Read, classify};
use crate::guard;
use crate::proxy::alike;
use crate::resource::{RESOURCES, Target, target_path};
use crate::survey::Survey;

const OWN: &str = "instantly-proxy-00000000";

/// One head of HTTP/1.1, as bytes.
pub(super) fn head(bytes: &[u8]) {
    if let Some(head) = alike::long_reading(bytes) {
        judge(&head);
    }
}

/// The query of a list: these bytes.
pub(super) fn query(bytes: &[u8]) {
    let Ok(query) = std::str::from_utf8(bytes) else { return };
    let target = format!("{}?{query}", RESOURCES.first().collection);
    let request = http::Request::builder().uri(target).header(HOST, "a").header(AUTHORIZATION, "Bearer a");
    let Ok(request) = request.body(()) else { return };
    let (head, ()) = request.into_parts();
    if head.uri.query().unwrap_or_default() == query {
        judge(&head);
    }
}

/// Asserts of one head what guard and classification promise together.
fn judge(head: &Parts) {
    let place = RESOURCES.locate(head.uri.path());
    let survey = Survey::of(head, place, OWN);
    let forbids = survey.forbids;
    let surveyed = guard::conclude(head, place, survey.guarded).map_err(|refused| refused.kind());
    let checked = guard::check(RESOURCES, head, OWN).map_err(|refused| refused.kind());
    assert_eq!(surveyed, checked, "one pass says what each asker says");
    let Ok(place) = checked else { return };

    let passed_on = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    assert!(passed_on.contains(&head.method), "a method that nobody knows");
    for name in [HOST, AUTHORIZATION] {
        assert!(head.headers.get_all(name).iter().count() <= 1, "two readings");
    }
    let path = head.uri.path();
    let leads_there = leads_to_a_resource(path);
    match classify(head, place) {
        Class::Read(read) => {
            assert!(forbids.is_none(), "read although {forbids:?}");
            judge_read(head, &read);
        }
        Class::Write { .. } => {
            let reads = matches!(head.method, Method::GET | Method::HEAD);
            let query = head.uri.query().unwrap_or_default().to_ascii_lowercase();
            assert!(!reads || query.contains("method") || query.contains('%'), "a read taken for a write");
        }
        Class::Uncached { .. } => assert!(matches!(head.method, Method::GET | Method::HEAD)),
        Class::PassThrough => {
            let harmless = RESOURCES.iter().any(|resource| resource.harmless_posts.contains(&path));
            assert!(!leads_there || harmless, "a resource's path that nobody saw: {path}");
        }
    }
}

/// What may be answered from memory means one thing, and is asked for as it was meant.
fn judge_read(head: &Parts, read: &Read) {
    assert!(matches!(head.method, Method::GET | Method::HEAD));
    assert_eq!(read.head, head.method == Method::HEAD);
    let authorization = head.headers.get(AUTHORIZATION).expect("a read has a credential").as_bytes();
    let (scheme, token) = authorization.split_at_checked(7).expect("a scheme and a token");
    assert!(scheme.eq_ignore_ascii_case(b"bearer ") && !token.trim_ascii().contains(&b' '));

    let path = target_path(read.resource, &read.target);
    match &read.target {
        Target::Item(_) => assert_eq!(path, head.uri.path_and_query().expect("a target").as_str()),
        Target::List(query) => {
            assert_eq!(head.uri.path(), read.resource.collection);
            let meant = pairs(head.uri.query().unwrap_or_default()).expect("a query that decodes");
            let mut asked: Vec<(String, String)> = query
                .0
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone().into_string()))
                .collect();
            asked.sort();
            assert_eq!(asked, meant, "another query than the client's");
        }
    }
    let again = http::Request::builder().method(&head.method).uri(&path).header(AUTHORIZATION, authorization);
    let (mut again, ()) = again.body(()).expect("what a fetch asks for is a target").into_parts();
    again.headers.insert(HOST, head.headers[HOST].clone());
    let place = guard::check(RESOURCES, &again, OWN).expect("what a fetch asks for passes");
    let Class::Read(second) = classify(&again, place) else { panic!("a fetch that is no read") };
    assert_eq!((second.resource, &second.target), (read.resource, &read.target), "no fixed point");
}

/// The pairs of form data in order, empty pieces left out; nothing where any does not decode.
fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for piece in query.split('&').filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let plain = |text: &str| decoded(text.replace('+', " ").as_bytes()).map(String::from_utf8);
        pairs.push((plain(name)?.ok()?, plain(value)?.ok()?));
    }
    pairs.sort();
    Some(pairs)
}

/// Percent-decoded once; nothing where an escape is broken.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    Some(out)
}

/// Whether a plain router finds a resource behind a path: decoded as often as it changes anything, case and slashes levelled,
/// dots walked.
fn leads_to_a_resource(path: &str) -> bool {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..2 {
        bytes = decoded(&bytes).unwrap_or(bytes);
    }
    let level = String::from_utf8_lossy(&bytes).to_ascii_lowercase().replace('\\', "/");
    let mut segments = Vec::new();
    for segment in level.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    RESOURCES.iter().any(|resource| {
        let sought: Vec<_> = resource.collection.split('/').filter(|name| !name.is_empty()).collect();
        segments.starts_with(&sought)
    })
}
