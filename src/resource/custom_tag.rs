//! Custom tags: a short list, read to turn a name into an id, and written by find-or-create.

use super::{Descriptor, Kind, RouteNames, Sentences, WriteChanges};

/// Custom tags. Below the collection the vendor has one more write: `toggle-resource` ties tags to accounts and campaigns.
/// It answers `{"success": true}` and changes mappings, which are no part of a tag; lists that are filtered by them are not
/// stored.
/// <https://developer.instantly.ai/api-reference/customtag/assign-or-unassign-tags-to-resources>
pub static CUSTOM_TAG: Descriptor = Descriptor {
    name: "custom_tag",
    routes: RouteNames { item: "custom_tag", list: "custom_tag_list", write: "custom_tag_write" },
    kind: Kind::Collection,
    sentences: Sentences {
        items: "custom tags",
        misspelt: "This is another spelling of a custom-tag path: send /api/v2/custom-tags or /api/v2/custom-tags/{id}.",
        write_too_large: "The body of a custom-tag write may have 1 MiB at most; nothing was sent to the API.",
        fetched_by_list: "The credential is proven, and one list read brings this custom tag along with the others.",
        written: "A custom-tag write is sent on and answered after what is stored has been shut out.",
    },
    collection: "/api/v2/custom-tags",
    list_parameters: &["limit", "starting_after"],
    largest_page: ("limit", "100", 100),
    // What a tag is tied to changes without a write of a tag: lists by that are passed through.
    unstored_parameters: &["search"],
    changed_by: &[],
    harmless_posts: &["/api/v2/custom-tags/toggle-resource"],
    id_member: "id",
    organization_member: "organization_id",
    grants_member: "access_grants",
    items_member: "items",
    user_members: &["created_by", "owned_by", "user_id"],
    // Of a tag nothing names another: https://developer.instantly.ai/api-reference/schemas/custom-tag
    write_changes: WriteChanges::Item,
    enabled: |cache| cache.custom_tags.enabled,
    item_lifetimes: |cache| &cache.custom_tags.items,
    list_lifetimes: |cache| &cache.custom_tags.lists,
};
