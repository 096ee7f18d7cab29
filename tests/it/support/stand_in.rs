//! Another resource in place of lead labels: with `RESOURCE_UNDER_TEST=custom_tag` (or `lead_list`) the suites speak of labels, and
//! what the proxy sees are custom tags.
//!
//! Both are called as labels are but for their paths: callers send the other path, and the upstream takes it for a label's. Tests
//! that name a route or a path in another way, and raw connections, go on speaking of labels.

use std::sync::OnceLock;

use instantly_proxy::config::{Config, OptionalResource};
use instantly_proxy::resource::{CUSTOM_TAG, Descriptor, LEAD_LIST};

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
        let cache = &mut config.cache;
        let (items, lists) = (cache.lead_labels, cache.lead_label_lists);
        for optional in [&mut cache.custom_tags, &mut cache.lead_lists] {
            *optional = OptionalResource { enabled: true, items, lists };
        }
    }
}
