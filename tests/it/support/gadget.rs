//! [`GADGET`]: another resource, of which the program knows nothing. All that it needs is on this page, and one line in
//! the table that its process is handed ([`MIXED`]).
//!
//! Nothing of it is called as lead labels call it, and it is kept for other times.

use std::time::Duration;

use instantly_proxy::config::{CachedResource, UpstreamDirectives};
use instantly_proxy::resource::{
    CAMPAIGN, CUSTOM_TAG, Descriptor, Kind, LEAD_LABEL, LEAD_LIST, Resources, RouteNames, Sentences,
    WORKSPACE, WriteChanges,
};

/// Every resource of the program, and one that it does not have.
pub const MIXED: Resources = Resources::new(TABLE);

const TABLE: &[&Descriptor] = &[&LEAD_LABEL, &GADGET, &CUSTOM_TAG, &LEAD_LIST, &WORKSPACE, &CAMPAIGN];

/// Gadgets, which nobody sells.
pub static GADGET: Descriptor = Descriptor {
    name: "gadget",
    routes: RouteNames { item: "gadget", list: "gadget_list", write: "gadget_write" },
    kind: Kind::Collection,
    sentences: Sentences {
        items: "gadgets",
        misspelt: "This is another spelling of a gadget path: send /api/v2/gadgets or /api/v2/gadgets/{id}.",
        write_too_large: "The body of a gadget write may have 1 MiB at most; nothing was sent to the API.",
        fetched_by_list: "The credential is proven, and one list read brings this gadget along with the others.",
        written: "A gadget write is sent on and answered after what is stored has been shut out.",
    },
    collection: "/api/v2/gadgets",
    list_parameters: &["cursor", "page_size"],
    largest_page: ("page_size", "40", 40),
    unstored_parameters: &["name_like"],
    changed_by: &["/api/v2/gadget-works"],
    harmless_posts: &["/api/v2/gadgets/try"],
    id_member: "gadget_id",
    organization_member: "workspace",
    grants_member: "shared_with",
    items_member: "gadgets",
    user_members: &[],
    write_changes: WriteChanges::Anything,
    enabled: |_| true,
    item_lifetimes: |_| &ITEMS,
    list_lifetimes: |_| &PAGES,
};

static ITEMS: CachedResource = CachedResource {
    ttl: Duration::from_secs(100),
    stale_while_revalidate: Duration::ZERO,
    stale_if_error: Duration::ZERO,
    upstream_directives: UpstreamDirectives::Ignore,
};

static PAGES: CachedResource = CachedResource {
    ttl: Duration::from_secs(40),
    stale_while_revalidate: Duration::ZERO,
    stale_if_error: Duration::ZERO,
    upstream_directives: UpstreamDirectives::Ignore,
};
