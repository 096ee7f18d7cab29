//! The workspace that a caller acts for: `/api/v2/workspaces/current`.
//! <https://developer.instantly.ai/api-reference/schemas/workspace>

use std::time::Duration;

use http::Response;
use serde_json::json as members;

use super::answer::Refusal;
use super::organization::Organization;
use super::shelf::{Members, stamp, whole};
use super::sketch::OPENING;
use crate::body::Body;

/// `GET /workspaces/current`
pub(super) fn read(organization: &Organization) -> Response<Body> {
    let workspace = members!({
        "id": organization.id(),
        "timestamp_created": OPENING,
        "timestamp_updated": OPENING,
        "owner": organization.owner(),
        "name": organization.name(),
        "plan_id": "pid_hg_v1",
        "plan_id_crm": null,
        "plan_id_leadfinder": null,
    });
    let mut workspace = workspace.as_object().cloned().unwrap_or_default();
    workspace.extend(organization.shelves().workspace.lock().clone());
    whole(&workspace)
}

/// `PATCH /workspaces/current`: its name, and the address of its logo.
pub(super) fn update(
    organization: &Organization,
    now: Duration,
    body: Option<&Members>,
) -> Result<Response<Body>, Refusal> {
    let known = |name: &str| matches!(name, "name" | "org_logo_url");
    let changes: Members = body
        .into_iter()
        .flatten()
        .filter(|(name, _)| known(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if changes.is_empty() {
        return Err(Refusal::Invalid("body must NOT have fewer than 1 properties".to_owned()));
    }
    let mut changed = organization.shelves().workspace.lock();
    changed.extend(changes);
    changed.insert("timestamp_updated".to_owned(), stamp(now));
    drop(changed);
    Ok(read(organization))
}
