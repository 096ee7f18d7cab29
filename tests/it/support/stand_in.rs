//! Another resource in place of lead labels: with `RESOURCE_UNDER_TEST=custom_tag` (or `lead_list`) the suites speak of labels, and
//! what the proxy sees are custom tags.
//!
//! Both are called as labels are but for their paths: callers send the other path, and the upstream takes it for a label's. What
//! labels have and they do not stands in [`Peculiar`]; a test of that ends at once where it is not there.

use std::sync::OnceLock;

use instantly_proxy::config::{Config, OptionalResource};
use instantly_proxy::resource::{CUSTOM_TAG, Descriptor, LEAD_LABEL, LEAD_LIST};

use super::labels::LABELS;

#[expect(clippy::disallowed_methods, reason = "what a run is about is no configuration of the proxy")]
fn stand_in() -> Option<&'static Descriptor> {
    static CHOSEN: OnceLock<Option<&'static Descriptor>> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("RESOURCE_UNDER_TEST").ok()?;
        let known = [&CUSTOM_TAG, &LEAD_LIST].into_iter().find(|resource| resource.name == name);
        Some(known.expect("RESOURCE_UNDER_TEST is custom_tag or lead_list"))
    })
}

/// What a caller sends in place of this target.
pub(super) fn outward(target: &str) -> String {
    stand_in().map_or_else(|| target.to_owned(), |resource| moved(target, LABELS, resource.collection))
}

/// What a caller sends in place of these bytes, in which paths of labels stand as text.
pub(super) fn outward_text(bytes: &[u8]) -> Vec<u8> {
    match (stand_in(), std::str::from_utf8(bytes)) {
        (Some(resource), Ok(text)) => text.replace(LABELS, resource.collection).into_bytes(),
        _ => bytes.to_vec(),
    }
}

/// What the upstream takes this target for.
pub(super) fn inward(target: String) -> String {
    stand_in().map_or_else(|| target.clone(), |resource| moved(&target, resource.collection, LABELS))
}

fn moved(target: &str, from: &str, to: &str) -> String {
    target.strip_prefix(from).map_or_else(|| target.to_owned(), |below| format!("{to}{below}"))
}

/// Has it cached as labels are.
pub(super) fn configure(config: &mut Config) {
    if stand_in().is_some() {
        keep_as_labels(config);
    }
}

/// Has those resources cached, as labels are, whose calls are made and answered as those of labels.
pub fn keep_as_labels(config: &mut Config) {
    let cache = &mut config.cache;
    let (items, lists) = (cache.lead_labels, cache.lead_label_lists);
    for optional in [&mut cache.custom_tags, &mut cache.lead_lists] {
        *optional = OptionalResource { enabled: true, items, lists };
    }
}

/// What labels have, and not every resource that may stand in for them.
#[derive(Clone, Copy, Debug)]
pub enum Peculiar {
    /// Lists by interest are kept.
    ListsByInterest,
    /// A trial of replies, whose POST changes nothing.
    ReplyTrial,
    /// The simulated API has keys that may read them, and shows who may see each.
    SimulatedGrants,
    /// Other resources are beside them, with all in one run.
    Neighbours,
}

impl Peculiar {
    /// Whether the resource has it that this run is about.
    pub fn is_there(self) -> bool {
        let resource = stand_in().unwrap_or(&LEAD_LABEL);
        match self {
            Self::ListsByInterest => resource.list_parameters.contains(&"interest_status"),
            Self::ReplyTrial => resource.harmless_posts.iter().any(|post| post.ends_with("/ai-reply-label")),
            Self::SimulatedGrants => resource == &LEAD_LABEL,
            Self::Neighbours => stand_in().is_none(),
        }
    }
}
