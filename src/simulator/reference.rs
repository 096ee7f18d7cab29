//! The other endpoints: something for a proxy to pass through, with the members that tell tenants apart.

use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::json;
use super::organization::Organization;
use super::sketch::OPENING;
use crate::body::Body;

/// The workspace that the caller acts for.
pub(super) fn current_workspace(organization: &Organization) -> Response<Body> {
    let answer = json!({
        "id": organization.id(),
        "timestamp_created": OPENING,
        "timestamp_updated": OPENING,
        "owner": organization.owner(),
        "name": organization.name(),
        "plan_id": "pid_hg_v1",
        "plan_id_crm": null,
        "plan_id_leadfinder": null,
    });
    json(StatusCode::OK, answer.to_string().into())
}

/// Two campaigns, with an entity tag: 304 to an `If-None-Match` that knows it.
pub(super) fn campaigns(organization: &Organization, fields: &HeaderMap) -> Response<Body> {
    let items: Vec<Value> = (1..=2_u8)
        .map(|number| {
            json!({
                "id": uuid::Uuid::from_u128(organization.id().as_u128() ^ u128::from(number)),
                "name": format!("Campaign {number} {}", organization.canary()),
                "status": number,
                "campaign_schedule": { "schedules": [] },
                "timestamp_created": OPENING,
                "timestamp_updated": OPENING,
                "organization": organization.id(),
            })
        })
        .collect();
    let body = json!({ "items": items }).to_string();
    let tag = format!("\"{}\"", &blake3::hash(body.as_bytes()).to_hex()[..16]);
    let mut answer = if knows(fields, &tag) {
        let mut unchanged = Response::new(Body::empty());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        json(StatusCode::OK, body.into())
    };
    answer.headers_mut().insert(ETAG, HeaderValue::try_from(tag).expect("quoted hexadecimal digits"));
    answer
}

/// 204.
pub(super) fn no_content() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// RFC 9110 §13.1.2, by weak comparison: any tag of the list, or `*`.
fn knows(fields: &HeaderMap, tag: &str) -> bool {
    fields
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_tag_is_compared_weakly_with_each_of_the_list() {
        for (known, matches) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            let fields = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(known))]);
            assert_eq!(knows(&fields, "\"a\""), matches, "{known}");
        }
        assert!(!knows(&HeaderMap::new(), "\"a\""));
    }
}
