//! `[cache.custom_tags]` and its like: resources that are cached where an operator says so.
//!
//! One table each: what holds for lists differs from what holds for items by its lifetime alone.

use std::ops::RangeInclusive;
use std::time::Duration;

use figment::value::Value;

use super::key::Key;
use super::raw::{Raw, Refused};
use super::{Cache, CachedResource, OptionalResource, parse};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A lifetime, of these and of labels.
pub(super) const TTL: RangeInclusive<Duration> = Duration::from_millis(1)..=DAY;
/// A window in which what is stale is served.
pub(super) const STALE: RangeInclusive<Duration> = Duration::ZERO..=DAY;

/// The keys of one of them.
pub(super) struct Keys {
    enabled: Key,
    ttl: Key,
    /// None where there are no lists.
    list_ttl: Option<Key>,
    stale_while_revalidate: Key,
    stale_if_error: Key,
    upstream_directives: Key,
}

pub(super) const CUSTOM_TAGS: Keys = Keys {
    enabled: Key::CustomTagsEnabled,
    ttl: Key::CustomTagsTtl,
    list_ttl: Some(Key::CustomTagsListTtl),
    stale_while_revalidate: Key::CustomTagsStaleWhileRevalidate,
    stale_if_error: Key::CustomTagsStaleIfError,
    upstream_directives: Key::CustomTagsUpstreamDirectives,
};

pub(super) const LEAD_LISTS: Keys = Keys {
    enabled: Key::LeadListsEnabled,
    ttl: Key::LeadListsTtl,
    list_ttl: Some(Key::LeadListsListTtl),
    stale_while_revalidate: Key::LeadListsStaleWhileRevalidate,
    stale_if_error: Key::LeadListsStaleIfError,
    upstream_directives: Key::LeadListsUpstreamDirectives,
};

pub(super) const WORKSPACES: Keys = Keys {
    enabled: Key::WorkspacesEnabled,
    ttl: Key::WorkspacesTtl,
    list_ttl: None,
    stale_while_revalidate: Key::WorkspacesStaleWhileRevalidate,
    stale_if_error: Key::WorkspacesStaleIfError,
    upstream_directives: Key::WorkspacesUpstreamDirectives,
};

pub(super) const CAMPAIGNS: Keys = Keys {
    enabled: Key::CampaignsEnabled,
    ttl: Key::CampaignsTtl,
    list_ttl: Some(Key::CampaignsListTtl),
    stale_while_revalidate: Key::CampaignsStaleWhileRevalidate,
    stale_if_error: Key::CampaignsStaleIfError,
    upstream_directives: Key::CampaignsUpstreamDirectives,
};

pub(super) fn resolve(raw: &mut Raw, keys: &Keys) -> Result<OptionalResource, Refused> {
    let enabled = raw.flag(keys.enabled);
    let ttl = raw.duration(keys.ttl, TTL);
    let list_ttl = keys.list_ttl.map_or(ttl, |key| raw.duration(key, TTL));
    let stale_while_revalidate = raw.duration(keys.stale_while_revalidate, STALE);
    let stale_if_error = raw.duration(keys.stale_if_error, STALE);
    let upstream_directives = raw.text(keys.upstream_directives, parse::upstream_directives);
    let items = CachedResource {
        ttl: ttl?,
        stale_while_revalidate: stale_while_revalidate?,
        stale_if_error: stale_if_error?,
        upstream_directives: upstream_directives?,
    };
    Ok(OptionalResource { enabled: enabled?, items, lists: CachedResource { ttl: list_ttl?, ..items } })
}

/// All of them, each with its keys.
const fn all(cache: &Cache) -> [(&'static Keys, &OptionalResource); 4] {
    [
        (&CUSTOM_TAGS, &cache.custom_tags),
        (&LEAD_LISTS, &cache.lead_lists),
        (&WORKSPACES, &cache.workspaces),
        (&CAMPAIGNS, &cache.campaigns),
    ]
}

/// The value of a key of one of them, as a file would give it.
pub(super) fn value(cache: &Cache, key: Key) -> Option<Value> {
    all(cache).into_iter().find_map(|(keys, resource)| keys.value(resource, key))
}

impl Keys {
    fn value(&self, resource: &OptionalResource, key: Key) -> Option<Value> {
        let OptionalResource { enabled, items, lists } = resource;
        Some(match key {
            _ if key == self.enabled => (*enabled).into(),
            _ if key == self.ttl => parse::duration_text(items.ttl).into(),
            _ if Some(key) == self.list_ttl => parse::duration_text(lists.ttl).into(),
            _ if key == self.stale_while_revalidate => {
                parse::duration_text(items.stale_while_revalidate).into()
            }
            _ if key == self.stale_if_error => parse::duration_text(items.stale_if_error).into(),
            _ if key == self.upstream_directives => {
                parse::upstream_directives_text(items.upstream_directives).into()
            }
            _ => return None,
        })
    }
}

/// Refuses what is switched on in a fleet that is told of writes of lead labels alone. A replica that has it off, as all have it
/// while it is switched on at one after the other, would pass its writes through and tell nobody, and a replica that has it on
/// would go on answering with what was stored before them.
pub(super) fn refuse_untold(raw: &mut Raw, cache: &Cache) {
    for (keys, _) in all(cache).iter().filter(|(_, resource)| resource.enabled) {
        raw.refuse(
            keys.enabled,
            Some("together with [shared] without shared.tell_all_writes, where replicas tell each other of writes of lead labels alone"),
            "false, or shared.tell_all_writes = true at every replica first, or no [shared]",
        );
    }
}
