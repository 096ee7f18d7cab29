//! The vendor's `workspaces/current`: one object for each organization, which names it by its own id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::answer::Answer;
use super::recorded::Recorded;
use super::vendor::Vendor;

/// Its path.
pub const WORKSPACE: &str = "/api/v2/workspaces/current";

/// The workspaces whose names were changed.
#[derive(Clone, Debug, Default)]
pub struct Workspaces(Arc<Mutex<HashMap<Value, String>>>);

impl Workspaces {
    /// What a vendor with these tokens answers.
    pub fn answer(&self, tokens: &Vendor, request: &Recorded) -> Option<Answer> {
        if !request.target.starts_with(WORKSPACE) {
            return None;
        }
        // What it says of any path that it does not know: whose the token is.
        let known = tokens.answer(request);
        let change: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let below = request.target != WORKSPACE;
        Some(known.map_text(|echo| {
            let echo: Value = serde_json::from_str(&echo).unwrap_or_default();
            let organization = &echo["organization"];
            if organization.is_null() || below {
                return echo.to_string();
            }
            let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let name = names.entry(organization.clone()).or_insert_with(|| "at first".to_owned());
            if request.method == "PATCH" {
                *name = change["name"].as_str().unwrap_or_default().to_owned();
            }
            json!({
                "id": organization,
                "timestamp_created": "2025-03-07T00:00:00.000Z",
                "timestamp_updated": "2025-03-07T00:00:00.000Z",
                "owner": "01911111-0000-7000-8000-000000000001",
                "name": name,
                "plan_id": "pid_hg_v1",
            })
            .to_string()
        }))
    }
}
