//! The custom tags of an organization: `/api/v2/custom-tags`.
//!
//! A name is unique in its workspace once the space around it is cut: a second one is answered 409, as documented.
//! <https://developer.instantly.ai/api-reference/schemas/custom-tag>

use std::time::Duration;

use http::{Response, StatusCode, Uri};
use serde_json::{Value, json as members};

use super::answer::{Refusal, json};
use super::organization::Organization;
use super::query::parameter;
use super::shelf::{Members, Unique, required, stamp};
use crate::body::Body;

const UNIQUE: Unique = Unique { member: "label", conflict: "A tag with this name already exists." };

/// One organization's tags, as one request finds them.
#[derive(Clone, Copy)]
pub(super) struct CustomTags<'a> {
    pub(super) organization: &'a Organization,
    pub(super) now: Duration,
}

impl CustomTags<'_> {
    /// `GET /custom-tags`: `search` is a part of the name; the filters by what tags are tied to find nothing, for nothing is.
    pub(super) fn list(self, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let search = parameter(uri, "search").unwrap_or_default();
        let ids = parameter(uri, "tag_ids").filter(|ids| !ids.is_empty());
        let tied = parameter(uri, "resource_ids").is_some_and(|ids| !ids.is_empty());
        self.organization.shelves().tags.page(uri, |tag| {
            let (id, label) = (text(tag, "id"), text(tag, "label"));
            !tied
                && label.contains(&search)
                && ids.as_ref().is_none_or(|ids| ids.split(',').any(|one| one == id))
        })
    }

    /// `POST /custom-tags`
    pub(super) fn create(self, body: Option<&Members>) -> Result<Response<Body>, Refusal> {
        let label = required(body, "label")?;
        let description = body.and_then(|members| members.get("description")).cloned();
        self.organization.shelves().tags.create(self.tag(&label, description), Some(UNIQUE))
    }

    /// `PATCH /custom-tags/{id}`
    pub(super) fn update(self, id: &str, body: Option<&Members>) -> Result<Response<Body>, Refusal> {
        let body = body.filter(|body| !body.is_empty());
        let body =
            body.ok_or_else(|| Refusal::Invalid("body must NOT have fewer than 1 properties".to_owned()))?;
        let tags = &self.organization.shelves().tags;
        let label = body.contains_key("label").then(|| required(Some(body), "label")).transpose()?;
        if label.as_ref().is_some_and(|label| tags.has_other(id, "label", label)) {
            return Err(Refusal::Conflict(UNIQUE.conflict));
        }
        tags.edit(id, |tag| {
            tag.extend(label.map(|label| ("label".to_owned(), label.into())));
            tag.extend(body.get("description").map(|text| ("description".to_owned(), text.clone())));
            tag.insert("timestamp_updated".to_owned(), stamp(self.now));
        })
    }

    /// `POST /custom-tags/toggle-resource`: ties tags to accounts or campaigns, and changes no tag.
    pub(super) fn toggle(body: Option<&Members>) -> Result<Response<Body>, Refusal> {
        for name in ["tag_ids", "resource_type", "assign"] {
            if body.is_none_or(|members| !members.contains_key(name)) {
                return Err(Refusal::Invalid(format!("body must have required property '{name}'")));
            }
        }
        Ok(json(StatusCode::OK, members!({"success": true}).to_string().into()))
    }

    /// A tag that is made now.
    pub(super) fn tag(self, label: &str, description: Option<Value>) -> Members {
        let mut tag = Members::new();
        tag.insert("id".to_owned(), self.organization.shelves().new_id(self.now).to_string().into());
        tag.insert("timestamp_created".to_owned(), stamp(self.now));
        tag.insert("timestamp_updated".to_owned(), stamp(self.now));
        tag.insert("organization_id".to_owned(), self.organization.id().to_string().into());
        tag.insert("label".to_owned(), label.into());
        tag.insert("description".to_owned(), description.unwrap_or_default());
        tag
    }
}

fn text<'t>(tag: &'t Members, name: &str) -> &'t str {
    tag[name].as_str().unwrap_or_default()
}
