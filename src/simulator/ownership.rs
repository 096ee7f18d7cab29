//! Resource ownership: who may see which label of an organization, and which answers say so.
//!
//! The vendor says of `access_grants` that labels carry it only while ownership is on for the workspace. It does not say
//! whether answers other than lists do, nor what a key sees that has no grant: here such a key gets 404 by id, for reads
//! and writes alike, and does not find the label in a list.

use std::collections::HashSet;

use uuid::Uuid;

use super::keys::Key;
use crate::lock::Mutex;

/// Which answers of an organization with resource ownership carry `access_grants`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grants {
    /// Lists alone.
    InLists,
    /// Every answer with a label.
    Everywhere,
}

/// An answer with labels in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A list of them.
    List,
    /// One alone.
    Single,
}

/// The resource ownership of one organization; off at first.
#[derive(Debug, Default)]
pub(super) struct Ownership(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    grants: Option<Grants>,
    /// Labels that a key does not see, by the key's index, while ownership is on.
    hidden: HashSet<(usize, Uuid)>,
}

impl Ownership {
    pub(super) fn set(&self, grants: Option<Grants>) {
        self.0.lock().grants = grants;
    }

    pub(super) fn hide(&self, key: &Key, label: Uuid) {
        self.0.lock().hidden.insert((key.index(), label));
    }

    /// Whether a key sees a label.
    pub(super) fn shows(&self, key: &Key, label: Uuid) -> bool {
        let state = self.0.lock();
        state.grants.is_none() || !state.hidden.contains(&(key.index(), label))
    }

    /// The member that a label has in an answer.
    pub(super) fn member(&self, answer: Answer, owner: Uuid) -> Option<String> {
        let carried = match self.0.lock().grants {
            None => false,
            Some(Grants::InLists) => answer == Answer::List,
            Some(Grants::Everywhere) => true,
        };
        carried.then(|| format!(r#""access_grants":[{{"user_id":"{owner}","access_type":4}}]"#))
    }
}
