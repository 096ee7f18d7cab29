//! Campaigns: read by dropdowns and reports, again and again.

use super::{Descriptor, Kind, RouteNames, Sentences, WriteChanges};

/// Campaigns. `status` changes by itself, so they are kept for seconds: what is gained is that reads at one time are one call.
/// What stands below an item or beside it (analytics, sending status) is passed through.
pub static CAMPAIGN: Descriptor = Descriptor {
    name: "campaign",
    routes: RouteNames { item: "campaign", list: "campaign_list", write: "campaign_write" },
    kind: Kind::Collection,
    sentences: Sentences {
        items: "campaigns",
        misspelt: "This is another spelling of a campaign path: send /api/v2/campaigns or /api/v2/campaigns/{id}.",
        write_too_large: "The body of a campaign write may have 1 MiB at most; nothing was sent to the API.",
        fetched_by_list: "The credential is proven, and one list read brings this campaign along with the others.",
        written: "A campaign write is sent on and answered after what is stored has been shut out.",
    },
    collection: "/api/v2/campaigns",
    list_parameters: &["limit", "starting_after", "status"],
    largest_page: ("limit", "100", 100),
    // What they are tied to changes without a write of a campaign: lists by that are passed through.
    unstored_parameters: &["search"],
    changed_by: &[],
    harmless_posts: &[],
    id_member: "id",
    organization_member: "organization",
    grants_member: "access_grants",
    items_member: "items",
    user_members: &["created_by", "owned_by", "user_id"],
    // One can be made of another, started and stopped, and the vendor does not say what else changes with that.
    write_changes: WriteChanges::Anything,
    enabled: |cache| cache.campaigns.enabled,
    item_lifetimes: |cache| &cache.campaigns.items,
    list_lifetimes: |cache| &cache.campaigns.lists,
};
