//! Bodies of answers: the gate beside a reading of the whole document.

use http::header::{CONTENT_ENCODING, SET_COOKIE};
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use uuid::Uuid;

use crate::cache::gate::{self, Expected};
use crate::cache::items;
use crate::classify::{ListQuery, Target};
use crate::resource::LEAD_LABEL;

/// The id that is asked for where the first byte is even.
const ASKED: Uuid = Uuid::from_u128(0x0199_7c3e_25b5_7d2f_a5c8_0d1d_1e6e_4d10);

/// A byte that says what was asked for, and a body; or, behind an `h`, the fields of a head.
pub(super) fn gate(bytes: &[u8]) {
    let Some((&first, body)) = bytes.split_first() else { return };
    if first == b'h' {
        return judge_head(body);
    }
    let target = if first % 2 == 0 { Target::Item(ASKED) } else { Target::List(ListQuery::default()) };
    let verdict = gate::examine_body(&LEAD_LABEL, &target, Expected::default(), body);
    let grants = gate::shows_grants(&LEAD_LABEL, body);
    let _ = (gate::id_of(&LEAD_LABEL, body), gate::organization_of(&LEAD_LABEL, body));
    let Ok(identity) = verdict else { return };

    let whose = identity.organization;
    assert_eq!(identity.grants, grants, "who may see it is told one way only");
    let mixed = gate::mix_up(&LEAD_LABEL, Some(ASKED), Some(whose), body);
    assert!(target != Target::Item(ASKED) || mixed.is_none(), "ours, and somebody else's");
    let text = std::str::from_utf8(body).expect("JSON is UTF-8");
    // A number that no machine holds is one that the value's reader refuses.
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let mut named = Vec::new();
    collect(&value, "organization_id", &mut named);
    assert!(!named.is_empty(), "passed without a name");
    for name in named {
        let name = name.as_str().and_then(|name| Uuid::try_parse(name).ok());
        assert_eq!(name, Some(whose.name().0), "another organization in it");
    }
    match target {
        Target::Item(id) => assert_eq!(value["id"].as_str(), Some(&*id.to_string())),
        Target::List(_) => judge_page(body, &value, whose),
    }
    let others = Expected {
        organization: Some(crate::organization::OrganizationId::sealed_by_replica(ASKED)),
        workspace: None,
    };
    let foreign = gate::examine_body(&LEAD_LABEL, &target, others, body);
    assert!(foreign.is_err() || whose.name().0 == ASKED, "another's body passed");
}

/// Each item that a page is taken apart into is one of the page's own.
fn judge_page(body: &[u8], value: &Value, whose: crate::organization::OrganizationId) {
    let page = value["items"].as_array().map_or(0, Vec::len);
    let (taken, count) = items::split(&LEAD_LABEL, whose, body);
    assert!(count == page && taken.len() <= page, "{count} of {page}");
    for item in taken {
        let alone = gate::examine_body(&LEAD_LABEL, &Target::Item(item.id), Expected::default(), item.body);
        assert_eq!(
            alone.map(|identity| identity.organization),
            Ok(whose),
            "an item that does not stand alone"
        );
    }
}

fn collect<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, name, found)),
        Value::Object(members) => {
            for (member, value) in members {
                if member == name {
                    found.push(value);
                }
                collect(value, name, found);
            }
        }
        _ => {}
    }
}

/// Lines of a head, each `name:value`.
fn judge_head(bytes: &[u8]) {
    let mut response = http::Response::new(());
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) else {
            return;
        };
        response.headers_mut().append(name, value);
    }
    let (head, ()) = response.into_parts();
    if gate::examine_head(&head).is_err() {
        return;
    }
    assert!(!head.headers.contains_key(CONTENT_ENCODING));
    let kind = head.headers[http::header::CONTENT_TYPE].as_bytes().to_ascii_lowercase();
    assert!(kind.starts_with(b"application/json"), "stored as something else");
    for cookie in head.headers.get_all(SET_COOKIE) {
        let cookie = cookie.as_bytes().trim_ascii_start().to_ascii_lowercase();
        let of_the_edge =
            [&b"__cf"[..], b"_cf", b"cf_", b"awsalb"].iter().any(|start| cookie.starts_with(start));
        assert!(of_the_edge, "somebody's cookie");
    }
}
