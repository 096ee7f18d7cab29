//! [`Shelf`]: the items of one kind of one organization, of whatever members. [`Shelves`]: all of them.

use std::time::Duration;

use http::{Response, StatusCode, Uri};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::answer::{Refusal, json};
use super::book::Timestamp;
use super::query;
use super::sketch::{OPENING, label_id};
use crate::body::Body;
use crate::lock::Mutex;

/// The members of an item, in the order in which they are sent.
pub(super) type Members = Map<String, Value>;

/// Items in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Vec<Members>>);

/// What an organization has besides its labels.
#[derive(Debug)]
pub(super) struct Shelves {
    pub(super) tags: Shelf,
    pub(super) lead_lists: Shelf,
    pub(super) campaigns: Shelf,
    /// What of the workspace was changed.
    pub(super) workspace: Mutex<Members>,
    /// Where ids come from.
    ids: Mutex<fastrand::Rng>,
}

impl Shelves {
    /// Empty, with ids from this seed.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            tags: Shelf::default(),
            lead_lists: Shelf::default(),
            campaigns: Shelf::default(),
            workspace: Mutex::default(),
            ids: Mutex::new(fastrand::Rng::with_seed(seed)),
        }
    }

    /// The id of something that is made now.
    pub(super) fn new_id(&self, now: Duration) -> Uuid {
        label_id(OPENING.plus(now), &mut self.ids.lock())
    }
}

impl Shelf {
    /// Puts an item behind the others.
    pub(super) fn put(&self, item: Members) {
        self.0.lock().push(item);
    }

    /// A page of those that `shows` lets through, the newest first; the cursor is the id of the last.
    pub(super) fn page(
        &self,
        uri: &Uri,
        shows: impl Fn(&Members) -> bool,
    ) -> Result<Response<Body>, Refusal> {
        let (limit, after) = (query::limit_of(uri)?, query::parameter(uri, "starting_after"));
        let items = self.0.lock();
        let mut left = items.iter().rev().filter(|item| shows(item)).peekable();
        if let Some(after) = &after {
            // Behind a cursor that nothing has, there is nothing.
            let _ = left.by_ref().find(|item| item["id"] == after.as_str());
        }
        let page: Vec<&Members> = left.by_ref().take(limit).collect();
        let next = left.peek().and_then(|_| page.last()).map(|last| last["id"].clone());
        let mut body = Members::new();
        body.insert("items".to_owned(), serde_json::to_value(&page).unwrap_or_default());
        body.extend(next.map(|cursor| ("next_starting_after".to_owned(), cursor)));
        Ok(whole(&body))
    }

    /// One item.
    pub(super) fn read(&self, id: &str) -> Result<Response<Body>, Refusal> {
        self.edit(id, |_| ())
    }

    /// Puts an item behind the others, unless one has this member's value already; 409 then.
    pub(super) fn create(&self, item: Members, unique: Option<Unique>) -> Result<Response<Body>, Refusal> {
        let mut items = self.0.lock();
        if let Some(Unique { member, conflict }) = unique
            && items.iter().any(|other| other[member] == item[member])
        {
            return Err(Refusal::Conflict(conflict));
        }
        let answer = whole(&item);
        items.push(item);
        Ok(answer)
    }

    /// One item, as it is behind a change.
    pub(super) fn edit(&self, id: &str, edit: impl FnOnce(&mut Members)) -> Result<Response<Body>, Refusal> {
        let id = query::item_id(id)?.to_string();
        let mut items = self.0.lock();
        let item = items.iter_mut().find(|item| item["id"] == id.as_str()).ok_or(Refusal::NotFound)?;
        edit(item);
        Ok(whole(item))
    }

    /// Takes one away; the answer has it.
    pub(super) fn delete(&self, id: &str) -> Result<Response<Body>, Refusal> {
        let answer = self.read(id)?;
        let id = query::item_id(id)?.to_string();
        self.0.lock().retain(|item| item["id"] != id.as_str());
        Ok(answer)
    }

    /// Whether an item but this one has this value of a member.
    pub(super) fn has_other(&self, id: &str, member: &str, value: &str) -> bool {
        self.0.lock().iter().any(|item| item["id"] != id && item[member] == value)
    }
}

/// A member of which no two items have one value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unique {
    pub(super) member: &'static str,
    pub(super) conflict: &'static str,
}

/// 200 with these members.
pub(super) fn whole(members: &Members) -> Response<Body> {
    json(StatusCode::OK, serde_json::to_vec(members).unwrap_or_default().into())
}

/// A text of a JSON body that must be there and not be blank.
pub(super) fn required(body: Option<&Members>, name: &'static str) -> Result<String, Refusal> {
    let value = body.and_then(|members| members.get(name));
    let value =
        value.ok_or_else(|| Refusal::Invalid(format!("body must have required property '{name}'")))?;
    match value.as_str().map(str::trim) {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(Refusal::Invalid(format!("body/{name} must be string"))),
    }
}

/// The moment at which something is made or changed.
pub(super) fn stamp(now: Duration) -> Value {
    let moment: Timestamp = OPENING.plus(now);
    moment.to_string().into()
}
