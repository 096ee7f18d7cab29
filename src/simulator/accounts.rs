//! Sending accounts: two in every organization, for a proxy to pass through. Nothing changes them.
//!
//! The vendor does not say what a cursor of this list is made of; here it is the last e-mail address of the page.

use http::{Response, StatusCode, Uri};
use serde_json::{Value, json};

use super::answer::{Refusal, json};
use super::operation::{Operation, Resource};
use super::organization::Organization;
use super::query::{decode, limit, parameter};
use super::sketch::OPENING;
use crate::body::Body;

/// Accounts a page where the request names no `limit`.
const DEFAULT_LIMIT: usize = 10;

/// `GET /api/v2/accounts`, by address; `search` is a part of it.
pub(super) fn list(organization: &Organization, uri: &Uri) -> Result<Response<Body>, Refusal> {
    let limit = limit(uri, DEFAULT_LIMIT)?;
    let after = parameter(uri, "starting_after").unwrap_or_default();
    let search = parameter(uri, "search").unwrap_or_default().to_lowercase();
    let wanted = every(organization).filter(|(email, _)| *email > after && email.contains(&search));
    let (emails, items): (Vec<_>, Vec<_>) = wanted.take(limit).unzip();
    let mut answer = json!({ "items": items });
    if let Some(last) = emails.last().filter(|_| emails.len() == limit) {
        answer["next_starting_after"] = last.as_str().into();
    }
    Ok(json(StatusCode::OK, answer.to_string().into()))
}

/// `GET /api/v2/accounts/{email}`; the address may be escaped.
pub(super) fn read(organization: &Organization, path: &str) -> Result<Response<Body>, Refusal> {
    // A plus sign is one, in a path.
    let wanted = decode(&Operation::item(Resource::Accounts, path).replace('+', "%2B"));
    let found = every(organization).find(|(email, _)| *email == wanted);
    let (_, account) = found.ok_or(Refusal::NotFound)?;
    Ok(json(StatusCode::OK, account.to_string().into()))
}

fn every(organization: &Organization) -> impl Iterator<Item = (String, Value)> {
    [("Ada", 2), ("Grace", 1)].into_iter().map(|(name, provider)| {
        let email = format!("{}@{}.example", name.to_lowercase(), organization.canary());
        let account = json!({
            "email": email,
            "timestamp_created": OPENING,
            "timestamp_updated": OPENING,
            "first_name": name,
            "last_name": organization.canary(),
            "organization": organization.id(),
            "warmup_status": 1,
            "provider_code": provider,
            "setup_pending": false,
            "is_managed_account": false,
            "added_by": organization.owner(),
            "daily_limit": 30,
            "status": 1,
            "stat_warmup_score": 100,
            "sending_gap": 10,
        });
        (email, account)
    })
}
