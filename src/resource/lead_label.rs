//! Lead labels: a short list, read by every service that looks at a lead, written rarely.

use super::{Descriptor, Kind, RouteNames, Sentences, WriteChanges};

/// Lead labels. Besides reading and writing them the vendor has a trial of its reply classifier below the collection:
/// a POST that needs read scopes only and changes nothing.
pub static LEAD_LABEL: Descriptor = Descriptor {
    name: "lead_label",
    routes: RouteNames { item: "lead_label", list: "lead_label_list", write: "lead_label_write" },
    kind: Kind::Collection,
    sentences: Sentences {
        items: "labels",
        misspelt: "This is another spelling of a lead-label path: send /api/v2/lead-labels or /api/v2/lead-labels/{id}.",
        write_too_large: "The body of a lead-label write may have 1 MiB at most; nothing was sent to the API.",
        fetched_by_list: "The credential is proven, and one list read brings this label along with the others.",
        written: "A label write is sent on and answered after what is stored has been shut out.",
    },
    collection: "/api/v2/lead-labels",
    list_parameters: &["interest_status", "limit", "starting_after"],
    largest_page: ("limit", "100", 100),
    unstored_parameters: &["search"],
    changed_by: &[],
    harmless_posts: &["/api/v2/lead-labels/ai-reply-label"],
    id_member: "id",
    organization_member: "organization_id",
    grants_member: "access_grants",
    items_member: "items",
    user_members: &["created_by", "user_id"],
    // Of a label nothing names another, and two may have one text:
    // https://developer.instantly.ai/api-reference/schemas/lead-label
    write_changes: WriteChanges::Item,
    enabled: |_| true,
    item_lifetimes: |cache| &cache.lead_labels,
    list_lifetimes: |cache| &cache.lead_label_lists,
};
