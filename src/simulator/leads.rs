//! Leads: three in every organization; two of them carry the number of a label.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::answer::json;
use super::organization::Organization;
use super::sketch::OPENING;
use crate::body::Body;

/// `POST /api/v2/leads/list`, all of them whatever is asked for.
pub(super) fn list(organization: &Organization) -> Response<Body> {
    let numbers: Vec<i32> = organization.book().labels().map(|label| label.interest_status).take(2).collect();
    let items: Vec<Value> = (1..=3_usize)
        .map(|number| {
            let domain = format!("{}.example", organization.canary());
            json!({
                "id": uuid::Uuid::from_u128(organization.id().as_u128() ^ (number as u128) << 8),
                "timestamp_created": OPENING,
                "timestamp_updated": OPENING,
                "organization": organization.id(),
                "status": 1,
                "email": format!("lead-{number}@{domain}"),
                "email_open_count": 0,
                "email_reply_count": 0,
                "email_click_count": 0,
                "company_domain": domain,
                "status_summary": {},
                "lt_interest_status": numbers.get(number - 1),
            })
        })
        .collect();
    json(StatusCode::OK, json!({ "items": items }).to_string().into())
}
