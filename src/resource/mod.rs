//! The cached resources: one descriptor each, one line each in [`RESOURCES`].

/// What the proxy must know of a kind of reference data to cache it.
#[derive(Debug, PartialEq)]
pub struct Descriptor {
    /// Name in keys, logs and metrics.
    pub name: &'static str,
    /// Path of the collection; an item is one segment below it.
    pub collection: &'static str,
    /// Query parameters of a list that may be stored, sorted.
    pub list_parameters: &'static [&'static str],
    /// Query parameters with which a list proves, but is never stored.
    pub unstored_parameters: &'static [&'static str],
    /// Paths below the collection whose POST changes nothing.
    pub harmless_posts: &'static [&'static str],
    /// Member of an item that holds its id.
    pub id_member: &'static str,
    /// Member, at any depth, that names the organization.
    pub organization_member: &'static str,
    /// Member of an item that limits who may see it: a non-null value is not shared between credentials.
    pub grants_member: &'static str,
    /// Member of a page that holds its items.
    pub items_member: &'static str,
}

/// Lead labels: a short list, read by every service that looks at a lead, written rarely.
pub const LEAD_LABEL: Descriptor = Descriptor {
    name: "lead_label",
    collection: "/api/v2/lead-labels",
    list_parameters: &["interest_status", "limit", "starting_after"],
    unstored_parameters: &["search"],
    harmless_posts: &["/api/v2/lead-labels/ai-reply-label"],
    id_member: "id",
    organization_member: "organization_id",
    grants_member: "access_grants",
    items_member: "items",
};

/// Every cached resource.
pub const RESOURCES: &[&Descriptor] = &[&LEAD_LABEL];
