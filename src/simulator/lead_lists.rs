//! The lead lists of an organization: `/api/v2/lead-lists`.
//! <https://developer.instantly.ai/api-reference/schemas/lead-list>

use std::time::Duration;

use http::{Response, Uri};

use super::answer::Refusal;
use super::organization::Organization;
use super::query::parameter;
use super::shelf::{Members, required, stamp};
use crate::body::Body;

/// One organization's lead lists, as one request finds them.
#[derive(Clone, Copy)]
pub(super) struct LeadLists<'a> {
    pub(super) organization: &'a Organization,
    pub(super) now: Duration,
}

impl LeadLists<'_> {
    /// `GET /lead-lists`: `search` is a part of the name.
    pub(super) fn list(self, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let search = parameter(uri, "search").unwrap_or_default();
        let enriched = parameter(uri, "has_enrichment_task").map(|text| text == "true");
        self.organization.shelves().lead_lists.page(uri, |list| {
            list["name"].as_str().is_some_and(|name| name.contains(&search))
                && enriched.is_none_or(|wanted| list["has_enrichment_task"] == wanted)
        })
    }

    /// `POST /lead-lists`
    pub(super) fn create(self, body: Option<&Members>) -> Result<Response<Body>, Refusal> {
        let mut list = self.lead_list(&required(body, "name")?);
        apply(&mut list, body);
        self.organization.shelves().lead_lists.create(list, None)
    }

    /// `PATCH /lead-lists/{id}`
    pub(super) fn update(self, id: &str, body: Option<&Members>) -> Result<Response<Body>, Refusal> {
        self.organization.shelves().lead_lists.edit(id, |list| apply(list, body))
    }

    /// A list that is made now.
    pub(super) fn lead_list(self, name: &str) -> Members {
        let mut list = Members::new();
        list.insert("id".to_owned(), self.organization.shelves().new_id(self.now).to_string().into());
        list.insert("organization_id".to_owned(), self.organization.id().to_string().into());
        list.insert("has_enrichment_task".to_owned(), false.into());
        list.insert("owned_by".to_owned(), self.organization.owner().to_string().into());
        list.insert("name".to_owned(), name.into());
        list.insert("timestamp_created".to_owned(), stamp(self.now));
        list
    }
}

fn apply(list: &mut Members, body: Option<&Members>) {
    for (name, value) in body.into_iter().flatten() {
        if matches!(name.as_str(), "name" | "has_enrichment_task" | "owned_by") {
            list.insert(name.clone(), value.clone());
        }
    }
}
