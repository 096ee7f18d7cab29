//! The workspace itself: one object, read to find out whose a key is and whether it is good.

use super::{Descriptor, Kind, RouteNames, Sentences, WriteChanges};

/// The workspace that a credential acts for. What names the organization is its own `id`, at the top of the object alone:
/// what stands deeper may have ids of other things.
pub static WORKSPACE: Descriptor = Descriptor {
    name: "workspace",
    routes: RouteNames { item: "workspace_part", list: "workspace", write: "workspace_write" },
    kind: Kind::Singleton { members: &["name", "owner"] },
    sentences: Sentences {
        items: "workspaces",
        misspelt: "This is another spelling of the path of the current workspace: send /api/v2/workspaces/current.",
        write_too_large: "The body of a workspace write may have 1 MiB at most; nothing was sent to the API.",
        fetched_by_list: "The credential is proven, and one read brings the workspace.",
        written: "A workspace write is sent on and answered after what is stored has been shut out.",
    },
    collection: "/api/v2/workspaces/current",
    list_parameters: &[],
    // Of no use: there is one.
    largest_page: ("", "", 0),
    unstored_parameters: &[],
    changed_by: &[],
    harmless_posts: &[],
    id_member: "id",
    organization_member: "id",
    grants_member: "access_grants",
    items_member: "items",
    user_members: &["owner", "user_id"],
    write_changes: WriteChanges::Anything,
    enabled: |cache| cache.workspaces.enabled,
    item_lifetimes: |cache| &cache.workspaces.items,
    list_lifetimes: |cache| &cache.workspaces.lists,
};
