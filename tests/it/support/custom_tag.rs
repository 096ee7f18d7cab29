//! [`CUSTOM_TAG`]: a second resource, of which the program knows nothing. All that it needs is on this page, and one line in
//! the table that its process is handed ([`BOTH`]).
//!
//! Nothing of it is called as lead labels call it, and it is kept for other times.

use std::time::Duration;

use instantly_proxy::config::{CachedResource, UpstreamDirectives};
use instantly_proxy::resource::{Descriptor, LEAD_LABEL, Resources, RouteNames, Sentences, WriteChanges};

/// Lead labels, and a resource that the program does not have.
pub const BOTH: Resources = Resources::new(TABLE);

const TABLE: &[&Descriptor] = &[&LEAD_LABEL, &CUSTOM_TAG];

/// Tags that nobody sells.
pub static CUSTOM_TAG: Descriptor = Descriptor {
    name: "custom_tag",
    routes: RouteNames { item: "custom_tag", list: "custom_tag_list", write: "custom_tag_write" },
    sentences: Sentences {
        items: "tags",
        misspelt: "This is another spelling of a tag path: send /api/v2/custom-tags or /api/v2/custom-tags/{id}.",
        write_too_large: "The body of a tag write may have 1 MiB at most; nothing was sent to the API.",
        fetched_by_list: "The credential is proven, and one list read brings this tag along with the others.",
        written: "A tag write is sent on and answered after what is stored has been shut out.",
    },
    collection: "/api/v2/custom-tags",
    list_parameters: &["cursor", "page_size"],
    largest_page: ("page_size", "40", 40),
    unstored_parameters: &["name_like"],
    harmless_posts: &["/api/v2/custom-tags/try"],
    id_member: "tag_id",
    organization_member: "workspace",
    grants_member: "shared_with",
    items_member: "tags",
    user_members: &[],
    write_changes: WriteChanges::Anything,
    item_lifetimes: |_| &TAGS,
    list_lifetimes: |_| &PAGES,
};

static TAGS: CachedResource = CachedResource {
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
