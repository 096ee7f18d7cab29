//! What an answer teaches beyond itself: how long it may be kept, and what a list says of single labels.

use std::sync::Arc;
use std::time::Duration;

use http::response::Parts;

use super::Proxy;
use super::fill::Fill;
use crate::cache::items;
use crate::cache::key::CacheKey;
use crate::cache::stored::{StoredResponse, pack};
use crate::classify::Target;
use crate::config::{CachedResource, UpstreamDirectives};
use crate::metrics::InvalidationCause;
use crate::organization::Organization;
use crate::semantics::response_directives::{StorageRule, storage_rule};
use crate::semantics::validator;

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
    pub(super) fn learn_shape(
        &self,
        fill: &Fill,
        organization: &Arc<Organization>,
        head: &Parts,
        response: &Arc<StoredResponse>,
    ) {
        let resource = fill.read.resource;
        if !fill.rules.cache.list_fill || response.settling {
            return;
        }
        let unlike = match &fill.read.target {
            Target::Item(_) => items::shape_of(resource, &response.body)
                .is_some_and(|shape| organization.note_item_shape(shape)),
            Target::List(_) => self.take_items(fill, organization, head, response),
        };
        if unlike {
            tracing::warn!(organization = %organization.id(), "list items look unlike single reads: not filled from lists");
            self.metrics.invalidation(InvalidationCause::UnlikeItems);
            self.fence.raise_purged(organization);
        }
    }

    fn take_items(
        &self,
        fill: &Fill,
        organization: &Arc<Organization>,
        head: &Parts,
        page: &Arc<StoredResponse>,
    ) -> bool {
        let resource = fill.read.resource;
        let (list, count) = items::split(resource, organization.id(), &page.body);
        if fill.read.target == items::whole_list(resource) {
            organization.note_page(items::is_whole(resource, &fill.read.target, count), page.begun);
        }
        let unlike = list.iter().any(|item| organization.note_list_shape(item.shape));
        if unlike || !organization.takes_items_of_lists() {
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
            let (etag, body) = pack(&validator::strong_etag_of(&item.body), &item.body);
            let response = StoredResponse {
                etag,
                body,
                jitter: fastrand::u8(..),
                settling: self.fence.is_settling(organization, &target, fill.sent),
                limit,
                ..StoredResponse::clone(page)
            };
            let key =
                CacheKey { resource: resource.name, organization: organization.id(), owner: None, target };
            self.store.insert(key, Arc::new(response), useful_for);
        }
        false
    }
}

/// How long a stored response can be served at all.
pub(super) fn useful_for(rules: &CachedResource) -> Duration {
    rules.ttl + rules.stale_while_revalidate.max(rules.stale_if_error)
}
