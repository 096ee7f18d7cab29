//! The other endpoints: something for a proxy to pass through, with the members that tell tenants apart.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::answer::json;
use super::organization::Organization;
use crate::body::Body;

/// Three leads; two of them carry the number of a label.
pub(super) fn leads(organization: &Organization) -> Response<Body> {
    let numbers: Vec<i32> = organization.book().labels().map(|label| label.interest_status).take(2).collect();
    let items: Vec<Value> = (1..=3_usize)
        .map(|number| {
            json!({
                "id": uuid::Uuid::from_u128(organization.id().as_u128() ^ (number as u128) << 8),
                "email": format!("lead-{number}@{}.example", organization.canary()),
                "organization": organization.id(),
                "lt_interest_status": numbers.get(number - 1),
            })
        })
        .collect();
    json(StatusCode::OK, json!({ "items": items }).to_string().into())
}

/// 204.
pub(super) fn no_content() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}
