//! Two callers of two organizations, and what the upstream says to them where it answers honestly.

pub(super) const PATH: &str = "/api/v2/lead-labels/01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10";
/// What the honest caller has: a token, an organization, and what its label says.
pub(super) const TOKEN: &str = "Bearer 5b0e6f8efc1a4f6f9d3c";
pub(super) const ORGANIZATION: &str = "018f6d3b-9a41-7c55-8e0b-4f1f7a2be9d6";
pub(super) const SAYS: &str = "8c1f3e0d72b94a65";
/// What the others' label says, where the upstream answers them honestly.
pub(super) const OTHERS_SAY: &str = "d1a7c94e60f2b835";
const OTHERS: &str = "018f2a00-0000-7000-8000-000000000001";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Honest,
    Others,
}

pub(super) fn label(organization: &str, says: &str) -> String {
    format!(r#"{{"id":"{}","organization_id":"{organization}","label":"{says}"}}"#, &PATH[PATH.len() - 36..])
}

/// Their label, or a page of it.
pub(super) fn body_of(whose: Whose, reads_item: bool) -> String {
    let label = match whose {
        Whose::Honest => label(ORGANIZATION, SAYS),
        Whose::Others => label(OTHERS, OTHERS_SAY),
    };
    if reads_item { label } else { format!(r#"{{"items":[{label}]}}"#) }
}
