//! The lead-label endpoints: list, read, create, update, delete, and the reply classifier.

use bytes::Bytes;
use http::{Response, StatusCode, Uri};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Refusal, json};
use super::book::When;
use super::keys::Key;
use super::operation::{Operation, Resource};
use super::organization::Organization;
use super::ownership::Answer;
use super::query::{self, LabelMembers, page};
use crate::body::Body;

/// A JSON body's members, where there is one.
pub(super) type Members = Option<Map<String, Value>>;

/// One organization's labels, as one request finds them.
#[derive(Clone, Copy)]
pub(super) struct Labels<'a> {
    pub(super) organization: &'a Organization,
    /// Who asks.
    pub(super) key: &'a Key,
    pub(super) when: When,
    /// A member that every label of the answer has beside the documented ones.
    pub(super) extra: Option<&'a str>,
}

impl Labels<'_> {
    /// Newest first. A full page has a cursor, also where it happens to be the last.
    pub(super) fn list(self, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let page = page(uri)?;
        let sees = |label| self.organization.ownership().shows(self.key, label);
        let items = self.organization.book().page(&page, sees, self.when.now);
        let grants = self.grants(Answer::List);
        let mut body = Vec::with_capacity(64 + items.iter().map(|item| item.json.len() + 1).sum::<usize>());
        body.extend_from_slice(br#"{"items":["#);
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&self.with_members(item.json.clone(), grants.as_deref()));
        }
        body.push(b']');
        if let Some(last) = items.last().filter(|_| items.len() == page.limit) {
            let cursor = last.label.timestamp_created;
            body.extend_from_slice(format!(r#","next_starting_after":"{cursor}""#).as_bytes());
        }
        body.push(b'}');
        Ok(json(StatusCode::OK, body.into()))
    }

    pub(super) fn read(self, path: &str) -> Result<Response<Body>, Refusal> {
        let id = self.visible(path)?;
        self.found(self.organization.book().read(id, self.when.now))
    }

    pub(super) fn create(self, body: Members) -> Result<Response<Body>, Refusal> {
        let members = LabelMembers::whole(body)?;
        let interest = members.interest().expect("`whole` has found one");
        let mut label = self.organization.blank_label(interest, self.when.now);
        members.apply(&mut label);
        let written = self.organization.book().create(label, self.when);
        self.found(Some(written))
    }

    pub(super) fn update(self, path: &str, body: Members) -> Result<Response<Body>, Refusal> {
        let id = self.visible(path)?;
        let members = LabelMembers::part(body)?;
        self.found(self.organization.book().edit(id, self.when, |label| members.apply(label)))
    }

    /// Answers the label that was deleted.
    pub(super) fn delete(self, path: &str, body: Members) -> Result<Response<Body>, Refusal> {
        let id = self.visible(path)?;
        let reassigned = body.as_ref().and_then(|members| members.get("reassigned_status"));
        if reassigned.is_some_and(|value| !value.is_number()) {
            return Err(Refusal::Invalid("body/reassigned_status must be number".to_owned()));
        }
        let status = reassigned.and_then(Value::as_f64);
        self.found(self.organization.book().delete(id, self.when, status))
    }

    /// A POST that changes nothing but the count of its own calls.
    pub(super) fn classify(self, body: &Members) -> Result<Response<Body>, Refusal> {
        let text = body.as_ref().and_then(|members| members.get("reply_text"));
        match text {
            None => return Err(Refusal::Invalid("body must have required property 'reply_text'".to_owned())),
            Some(text) if !text.is_string() => {
                return Err(Refusal::Invalid("body/reply_text must be string".to_owned()));
            }
            Some(_) => {}
        }
        self.organization.account().classify(self.when.now).map_err(|_| Refusal::ClassifierLimit)?;
        let considered: Vec<String> = self
            .organization
            .book()
            .labels()
            .filter(|label| label.use_with_ai == Some(true))
            .map(|label| label.label.clone())
            .collect();
        let answer = json!({"result": considered.first(), "custom_labels_considered": considered});
        Ok(json(StatusCode::OK, answer.to_string().into()))
    }

    fn found(self, label: Option<Bytes>) -> Result<Response<Body>, Refusal> {
        let grants = self.grants(Answer::Single);
        label
            .map(|label| json(StatusCode::OK, self.with_members(label, grants.as_deref())))
            .ok_or(Refusal::NotFound)
    }

    /// The label that a path names, if who asks may see it.
    fn visible(self, path: &str) -> Result<Uuid, Refusal> {
        let id = item_id(path)?;
        self.organization.ownership().shows(self.key, id).then_some(id).ok_or(Refusal::NotFound)
    }

    fn grants(self, answer: Answer) -> Option<String> {
        self.organization.ownership().member(answer, self.organization.owner())
    }

    fn with_members(self, label: Bytes, grants: Option<&str>) -> Bytes {
        let more = [grants, self.extra];
        more.into_iter().flatten().fold(label, |label, member| {
            let members = label.strip_suffix(b"}").unwrap_or(&label);
            [members, b",", member.as_bytes(), b"}"].concat().into()
        })
    }
}

fn item_id(path: &str) -> Result<Uuid, Refusal> {
    query::item_id(Operation::item(Resource::Labels, path))
}
