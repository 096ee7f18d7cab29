//! [`Vendor`]: the lead-label API in memory, small enough to reason about in a test.
//!
//! Organizations may have labels with the same ids. A token belongs to one organization; one that administers others
//! acts for them with `x-as-workspace`. Other paths answer with an echo of the request, to known tokens only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::labels::{LABELS, Label, error, label_id, organization, page};
use super::recorded::Recorded;

/// A handle to the vendor's state.
#[derive(Clone, Debug, Default)]
pub struct Vendor(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    labels: BTreeMap<(Uuid, Uuid), Label>,
    tokens: HashMap<String, Token>,
    calls: HashMap<String, usize>,
    next_label: u32,
    /// Organizations with resource ownership.
    owning: HashMap<Uuid, Grants>,
    hidden: BTreeSet<(String, Uuid)>,
}

/// Which answers of an organization with resource ownership say who may see a label; the vendor's documents leave it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grants {
    /// Lists alone.
    InLists,
    /// All that carry a label.
    Everywhere,
}

#[derive(Clone, Debug)]
struct Token {
    organization: Uuid,
    administers: BTreeSet<Uuid>,
    revoked: bool,
}

impl Vendor {
    /// Without organizations, tokens and labels.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives `token` to the organization with this name.
    pub fn admit(&self, token: &str, name: &str) {
        let entry = Token { organization: organization(name), administers: BTreeSet::new(), revoked: false };
        self.state().tokens.insert(token.to_owned(), entry);
    }

    /// Lets a known token act for the organization with this name, too.
    #[track_caller]
    pub fn let_administer(&self, token: &str, name: &str) {
        let mut state = self.state();
        let entry = state.tokens.get_mut(token).expect("the token is known");
        entry.administers.insert(organization(name));
    }

    /// From now on `token` gets 401 everywhere.
    #[track_caller]
    pub fn revoke(&self, token: &str) {
        self.state().tokens.get_mut(token).expect("the token is known").revoked = true;
    }

    /// Creates or changes label `n` as the vendor's own web page would: unseen by any proxy.
    pub fn put_label(&self, name: &str, n: u32, text: &str) {
        let label = Label::new(organization(name), n, text);
        self.state().labels.insert((label.organization, label.id), label);
    }

    /// Takes label `n` away, unseen by any proxy.
    pub fn remove_label(&self, name: &str, n: u32) {
        self.state().labels.remove(&(organization(name), label_id(n)));
    }

    /// Switches resource ownership on in the organization with this name: labels say who may see them.
    pub fn own(&self, name: &str, grants: Grants) {
        self.state().owning.insert(organization(name), grants);
    }

    /// Switches it off again.
    pub fn disown(&self, name: &str) {
        self.state().owning.remove(&organization(name));
    }

    /// Hides label `n` from `token` wherever resource ownership is on: 404 by id, and in no list.
    pub fn hide(&self, token: &str, n: u32) {
        self.state().hidden.insert((token.to_owned(), label_id(n)));
    }

    /// How many calls came with `token`.
    pub fn calls(&self, token: &str) -> usize {
        self.state().calls.get(token).copied().unwrap_or_default()
    }

    /// The vendor's answer.
    pub fn answer(&self, request: &Recorded) -> Answer {
        let mut state = self.state();
        let Some(authorization) = request.field("authorization") else {
            return refused(401, "Missing Authorization header");
        };
        let token = authorization.strip_prefix("Bearer ").unwrap_or(authorization).to_owned();
        *state.calls.entry(token.clone()).or_default() += 1;
        let Some(known) = state.tokens.get(&token).filter(|token| !token.revoked).cloned() else {
            return refused(401, "Invalid authorization header or API key");
        };
        if request.lines_of("x-as-workspace") > 1 {
            return refused(400, "Bad Request");
        }
        let organization = match request.field("x-as-workspace") {
            None => known.organization,
            Some(id) => match id.parse().ok().filter(|id| known.administers.contains(id)) {
                Some(sub) => sub,
                None => return refused(403, "Forbidden"),
            },
        };
        state.route(request, (organization, &token))
    }
}

impl State {
    fn route(&mut self, request: &Recorded, (organization, token): (Uuid, &str)) -> Answer {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let Some(below) = path.strip_prefix(LABELS) else { return echo(request, organization) };
        let id = below.strip_prefix('/').map(str::parse::<Uuid>);
        match (request.method.as_str(), below, id) {
            ("POST", "/ai-reply-label", _) => {
                Answer::json(200, r#"{"result":"positive","custom_labels_considered":[]}"#)
            }
            (_, _, Some(Ok(id))) if self.hides(organization, token, id) => refused(404, "Resource not found"),
            ("GET" | "HEAD", "", _) => self.list((organization, token), query),
            ("POST", "", _) => self.create(organization, &request.body),
            ("GET" | "HEAD", _, Some(Ok(id))) => self.found(organization, id, |_| ()),
            ("PATCH", _, Some(Ok(id))) => {
                let change = request.body.clone();
                self.found(organization, id, |label| apply(label, &change))
            }
            ("DELETE", _, Some(Ok(id))) => {
                let answer = self.found(organization, id, |_| ());
                self.labels.remove(&(organization, id));
                answer
            }
            (_, _, Some(Err(_))) => refused(400, "params/id must match format uuid"),
            _ => refused(404, "Resource not found"),
        }
    }

    fn found(&mut self, organization: Uuid, id: Uuid, change: impl FnOnce(&mut Label)) -> Answer {
        match self.labels.get_mut(&(organization, id)) {
            Some(label) => {
                change(label);
                let label = label.clone();
                Answer::json(200, self.shown(&label, Grants::Everywhere))
            }
            None => refused(404, "Resource not found"),
        }
    }

    fn hides(&self, organization: Uuid, token: &str, id: Uuid) -> bool {
        self.owning.contains_key(&organization) && self.hidden.contains(&(token.to_owned(), id))
    }

    /// A label as an answer shows it that has grants where these do.
    fn shown(&self, label: &Label, at: Grants) -> String {
        let owning = self.owning.get(&label.organization);
        let grants = owning.is_some_and(|grants| *grants == Grants::Everywhere || at == Grants::InLists);
        let user = r#"[{"user_id":"01911111-0000-7000-8000-000000000001","access_type":4}]"#;
        Label { grants: grants.then(|| user.to_owned()), ..label.clone() }.json()
    }

    fn create(&mut self, organization: Uuid, body: &[u8]) -> Answer {
        self.next_label += 1;
        let mut label = Label::new(organization, 9_000 + self.next_label, "");
        apply(&mut label, body);
        if label.text.is_empty() {
            return refused(400, "body must have required property 'label'");
        }
        // What a key makes has no user who made it.
        label.created_by = None;
        let answer = Answer::json(200, self.shown(&label, Grants::Everywhere));
        self.labels.insert((organization, label.id), label);
        answer
    }

    fn list(&self, (organization, token): (Uuid, &str), query: &str) -> Answer {
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.replace("%3A", ":")).next()
        };
        let limit = parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(10);
        let after = parameter("starting_after").unwrap_or_default();
        let (interest, search) = (parameter("interest_status"), parameter("search").unwrap_or_default());
        let mut labels = self.labels.values().filter(|label| {
            label.organization == organization
                && !self.hides(organization, token, label.id)
                && label.created > after
                && interest.as_ref().is_none_or(|wanted| *wanted == label.interest)
                && label.text.contains(&search)
        });
        let items: Vec<&Label> = labels.by_ref().take(limit).collect();
        let next = labels.next().and_then(|_| items.last()).map(|last| last.created.as_str());
        Answer::json(
            200,
            page(&items.iter().map(|label| self.shown(label, Grants::InLists)).collect::<Vec<_>>(), next),
        )
    }
}

fn apply(label: &mut Label, body: &[u8]) {
    let change: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| change[name].as_str().map(str::to_owned);
    label.text = text("label").unwrap_or_else(|| label.text.clone());
    label.interest = text("interest_status_label").unwrap_or_else(|| label.interest.clone());
    label.description = text("description").or_else(|| label.description.clone());
}

fn echo(request: &Recorded, organization: Uuid) -> Answer {
    let body = json!({
        "method": request.method,
        "target": request.target,
        "organization": organization,
        "body": request.text(),
    });
    Answer::json(200, body.to_string())
}

fn refused(status: u16, message: &str) -> Answer {
    Answer::json(status, error(status, message))
}
