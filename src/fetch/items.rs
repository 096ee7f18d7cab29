//! What an answer teaches beyond itself: what a list says of single labels.

use std::sync::Arc;

use super::Fetcher;
use super::allowed::{Allowed, useful_for};
use super::judging::{Item, Lesson};
use super::task::{Begun, Fetch};
use crate::cache::items;
use crate::cache::key::CacheKey;
use crate::cache::stored::{StoredResponse, ToStore};
use crate::caller::credential::CredentialDigest;
use crate::classify::Target;
use crate::fleet::control::Stamp;
use crate::metrics::InvalidationCause;
use crate::organization::lists::Page;
use crate::organization::{Extent, Organization};
use crate::purpose::Purpose;

/// A response that was just stored, and what else is known of it.
#[derive(Clone, Copy)]
pub(super) struct Taught<'a> {
    pub(super) fetch: &'a Fetch,
    /// What it answers, be it not what the fetch was for.
    pub(super) target: &'a Target,
    pub(super) begun: Begun,
    pub(super) organization: &'a Arc<Organization>,
    /// Set where it is for one credential alone.
    pub(super) owner: Option<CredentialDigest>,
    /// What the upstream said of it, as far as it counts for single items.
    pub(super) of_items: Allowed,
    /// Set where another replica fetched it: what it had applied then.
    pub(super) stamp: Option<Stamp>,
    pub(super) response: &'a StoredResponse,
}

impl Fetcher {
    /// Takes the items of a list as single reads, as long as they look like those.
    pub(super) fn learn(&self, taught: Taught<'_>, lesson: Lesson) {
        let Taught { fetch, organization, response, .. } = taught;
        let lists = organization.lists(fetch.read.resource);
        if response.settling {
            return;
        }
        let unlike = match lesson {
            Lesson::Nothing => false,
            Lesson::Single(shape) => shape.is_some_and(|shape| lists.note_item_shape(shape)),
            Lesson::Page(page, count) => {
                note_page(taught, count);
                self.take_items(taught, page)
            }
        };
        if unlike {
            tracing::warn!(organization = %organization.id(), "list items look unlike single reads: not filled from lists");
            self.metrics.invalidation(InvalidationCause::UnlikeItems);
            self.cache.fence().invalidate_settled(organization, Extent::Organization);
        }
    }

    fn take_items(&self, taught: Taught<'_>, list: Vec<Item>) -> bool {
        let Taught { fetch, organization, owner, of_items: allowed, stamp, response, .. } = taught;
        let (resource, rules) = (fetch.read.resource, &fetch.rules);
        let unlike = list.iter().any(|item| organization.lists(resource).note_list_shape(item.shape));
        if unlike || !organization.lists(resource).stand_for_items() {
            return unlike;
        }
        if allowed.is_nothing() {
            return false;
        }
        let useful_for = useful_for(rules.of_items(resource));
        let fence = self.cache.fence();
        for item in list {
            let target = Target::Item(item.id);
            if !fence.admits(organization, &target, response.begun)
                || stamp.is_some_and(|stamp| !self.has_heard_nothing_since(stamp, organization, &target))
            {
                continue;
            }
            let response = ToStore {
                jitter: fastrand::u8(..),
                // When what the list says was true, which may be before it was asked for.
                settling: fence.is_settling(organization, &target, response.sent()),
                limit: allowed.limit(),
                ..ToStore::like(response, item.packed)
            };
            let key = CacheKey::new(resource, organization, owner, target);
            let is_known = match stamp {
                None => self.cache.has_younger(&key, organization, response.sent),
                Some(_) => self.cache.has_as_young(&key, organization, response.sent),
            };
            if !is_known {
                self.cache.keep(key, response.stored(), useful_for, organization, rules);
            }
        }
        false
    }
}

fn note_page(taught: Taught<'_>, count: usize) {
    let Taught { fetch, target, begun, organization, owner, stamp, response, .. } = taught;
    let resource = fetch.read.resource;
    if *target != items::whole_list(resource) {
        return;
    }
    let is_whole = items::is_whole(resource, target, count);
    let page = if is_whole { Page::Whole } else { Page::First };
    organization.lists(resource).note_page(owner, page, response.begun);
    if fetch.purpose == Purpose::ListFill || stamp.is_some() {
        // It may have begun as one credential's own.
        let next = begun.sent.plus(fetch.rules.of_items(resource).ttl);
        organization.lists(resource).note_list_fill(owner, response.begun, next);
    }
}
