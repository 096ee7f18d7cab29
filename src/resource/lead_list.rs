//! Lead lists: names of lists of leads, read by dropdowns and before leads are moved.

use super::{Descriptor, Kind, RouteNames, Sentences, WriteChanges};

/// Lead lists. `has_enrichment_task` changes by itself, so they are kept for a short time only, and lists by it are not stored.
pub static LEAD_LIST: Descriptor = Descriptor {
    name: "lead_list",
    routes: RouteNames { item: "lead_list", list: "lead_list_list", write: "lead_list_write" },
    kind: Kind::Collection,
    sentences: Sentences {
        items: "lead lists",
        misspelt: "This is another spelling of a lead-list path: send /api/v2/lead-lists or /api/v2/lead-lists/{id}.",
        write_too_large: "The body of a lead-list write may have 1 MiB at most; nothing was sent to the API.",
        fetched_by_list: "The credential is proven, and one list read brings this lead list along with the others.",
        written: "A lead-list write is sent on and answered after what is stored has been shut out.",
    },
    collection: "/api/v2/lead-lists",
    list_parameters: &["limit", "starting_after"],
    largest_page: ("limit", "100", 100),
    unstored_parameters: &["search"],
    // Enrichment begins and ends there, and makes a list where it is given none. Three of its POSTs only ask:
    // https://developer.instantly.ai/api-reference/supersearchenrichment
    changed_by: &["/api/v2/supersearch-enrichment"],
    harmless_posts: &[
        "/api/v2/supersearch-enrichment/count-leads-from-supersearch",
        "/api/v2/supersearch-enrichment/preview-leads-from-supersearch",
        "/api/v2/supersearch-enrichment/signal-keywords-facet",
    ],
    id_member: "id",
    organization_member: "organization_id",
    grants_member: "access_grants",
    items_member: "items",
    user_members: &["created_by", "owned_by", "user_id"],
    // Of a list of leads nothing names another: https://developer.instantly.ai/api-reference/schemas/lead-list
    write_changes: WriteChanges::Item,
    enabled: |cache| cache.lead_lists.enabled,
    item_lifetimes: |cache| &cache.lead_lists.items,
    list_lifetimes: |cache| &cache.lead_lists.lists,
};
