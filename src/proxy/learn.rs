//! What an answer teaches beyond itself: how long it may be kept, and what a list says of single labels.

use std::sync::Arc;
use std::time::Duration;

use http::response::Parts;

use super::Proxy;
use super::fill::Fill;
use super::judging::{Item, Lesson};
use crate::cache::items;
use crate::cache::key::CacheKey;
use crate::cache::stored::{Packed, StoredResponse};
use crate::caller::credential::CredentialDigest;
use crate::classify::Target;
use crate::config::{CachedResource, UpstreamDirectives};
use crate::metrics::InvalidationCause;
use crate::organization::Organization;
use crate::purpose::Purpose;
use crate::semantics::response_directives::{StorageRule, storage_rule};

impl Proxy {
    /// What the upstream's directives allow, where they are respected: whether they forbid storing, and a lifetime.
    pub(super) fn directives_of(head: &Parts, rules: &CachedResource) -> (bool, Option<Duration>) {
        if rules.upstream_directives == UpstreamDirectives::Ignore {
            return (false, None);
        }
        match storage_rule(&head.headers, rules.ttl) {
            StorageRule::Forbid(reason) => {
                tracing::debug!(reason = %reason, "the upstream forbids storing");
                (true, None)
            }
            StorageRule::Lifetime(limit) => (false, Some(limit)),
        }
    }

    /// Takes the items of a list as single reads, as long as they look like those.
    pub(super) fn learn(
        &self,
        fill: &Fill,
        (organization, owner): (&Arc<Organization>, Option<CredentialDigest>),
        head: &Parts,
        response: &Arc<StoredResponse>,
        lesson: Lesson,
    ) {
        if response.settling {
            return;
        }
        let unlike = match lesson {
            Lesson::Nothing => false,
            Lesson::Single(shape) => shape.is_some_and(|shape| organization.lists().note_item_shape(shape)),
            Lesson::Page(page, count) => {
                self.note_page(fill, (organization, owner), response, count);
                self.take_items(fill, (organization, owner), head, response, page)
            }
        };
        if unlike {
            tracing::warn!(organization = %organization.id(), "list items look unlike single reads: not filled from lists");
            self.metrics.invalidation(InvalidationCause::UnlikeItems);
            self.fence.raise_purged(organization);
        }
    }

    fn note_page(
        &self,
        fill: &Fill,
        (organization, owner): (&Arc<Organization>, Option<CredentialDigest>),
        page: &StoredResponse,
        count: usize,
    ) {
        let resource = fill.read.resource;
        if fill.read.target != items::whole_list(resource) {
            return;
        }
        let whole = items::is_whole(resource, &fill.read.target, count);
        organization.lists().note_page(owner, whole, page.begun);
        if fill.purpose == Purpose::ListFill {
            // It may have begun as one credential's own.
            let next = fill.sent.plus(fill.rules.cache.lead_labels.ttl);
            organization.lists().note_list_fill(owner, page.begun, next);
        }
    }

    fn take_items(
        &self,
        fill: &Fill,
        (organization, owner): (&Arc<Organization>, Option<CredentialDigest>),
        head: &Parts,
        page: &Arc<StoredResponse>,
        list: Vec<Item>,
    ) -> bool {
        let resource = fill.read.resource;
        let unlike = list.iter().any(|item| organization.lists().note_list_shape(item.shape));
        if unlike || !organization.lists().stand_for_items() {
            return unlike;
        }
        // What the upstream said of the page counts for them as the operator wants it for single reads.
        let (forbidden, limit) = Self::directives_of(head, &fill.rules.cache.lead_labels);
        if forbidden {
            return false;
        }
        let useful_for = useful_for(&fill.rules.cache.lead_labels);
        for item in list {
            let target = Target::Item(item.id);
            if !self.fence.admits(organization, &target, page.begun) {
                continue;
            }
            let Packed { etag, body, keeping } = item.packed;
            let response = StoredResponse {
                etag,
                body,
                jitter: fastrand::u8(..),
                settling: self.fence.is_settling(organization, &target, fill.sent),
                limit,
                keeping,
                ..StoredResponse::clone(page)
            };
            let key = CacheKey { resource: resource.name, organization: organization.id(), owner, target };
            self.keep(key, Arc::new(response), useful_for, (organization, &fill.rules));
        }
        false
    }
}

/// How long a stored response can be served at all.
pub(super) fn useful_for(rules: &CachedResource) -> Duration {
    rules.ttl + rules.stale_while_revalidate.max(rules.stale_if_error)
}
