//! The items of a list, as the single reads that they can stand for.
//!
//! Each item's bytes are those of the list's body; each passes the same identity check as a single read. What does not
//! is left out: a list never says of an item more than that it was there.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::scan::Scan;
use crate::classify::{ListQuery, Target};
use crate::organization::OrganizationId;
use crate::resource::Descriptor;

/// An item of a list that may be stored as a single read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListItem<'a> {
    /// Its id.
    pub id: Uuid,
    /// Its bytes, as a part of the page's.
    pub body: &'a [u8],
    /// Its member names as a hash, to compare with what single reads show.
    pub shape: u64,
}

/// The largest page of a resource's list, from its beginning and without a filter; of a singleton: itself.
#[must_use]
pub fn whole_list(resource: &'static Descriptor) -> Target {
    if resource.is_singleton() {
        return Target::List(ListQuery::default());
    }
    let (name, value, _) = resource.largest_page;
    Target::List(ListQuery(Box::new([(name, value.into())])))
}

/// Whether an answer to `target` with `items` items holds the whole list.
#[must_use]
pub fn is_whole(resource: &'static Descriptor, target: &Target, items: usize) -> bool {
    *target == whole_list(resource) && items < resource.largest_page.2
}

/// The items of a page that passed the gate, each checked on its own, and how many the page has.
#[must_use]
pub fn split<'a>(
    resource: &'static Descriptor,
    organization: OrganizationId,
    page: &'a [u8],
) -> (Vec<ListItem<'a>>, usize) {
    let members: HashMap<Cow<'_, str>, &'a RawValue> = serde_json::from_slice(page).unwrap_or_default();
    let raw: Vec<&'a RawValue> = members
        .get(resource.items_member)
        .and_then(|items| serde_json::from_str(items.get()).ok())
        .unwrap_or_default();
    let count = raw.len();
    (raw.into_iter().filter_map(|item| check(resource, organization, item.get())).collect(), count)
}

/// The member names of a single read's body as a hash.
#[must_use]
pub fn shape_of(resource: &'static Descriptor, item: &[u8]) -> Option<u64> {
    Scan::of(resource, item).ok().map(|scan| scan.shape)
}

fn check<'a>(
    resource: &'static Descriptor,
    organization: OrganizationId,
    item: &'a str,
) -> Option<ListItem<'a>> {
    let scan = Scan::of(resource, item.as_bytes()).ok()?;
    let text = scan.id.as_deref()?;
    let id = Uuid::try_parse(text).ok()?;
    let is_canonical = id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text;
    let is_ours = scan.organization() == Ok(organization);
    (is_canonical && is_ours).then_some(ListItem { id, body: item.as_bytes(), shape: scan.shape })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::LEAD_LABEL;

    const A: OrganizationId = OrganizationId::example(0xa);

    fn item(id: &str, organization: u128) -> String {
        format!(r#"{{"id":"{id}","n":1.0,"organization_id":"{}"}}"#, Uuid::from_u128(organization))
    }

    #[test]
    fn items_keep_their_bytes_and_are_checked_one_by_one() {
        let good = item(&Uuid::from_u128(1).to_string(), 0xa);
        let rows = [
            item(&Uuid::from_u128(2).to_string(), 0xb),
            item(&Uuid::from_u128(0xabc).to_string().to_uppercase(), 0xa),
            item("7", 0xa),
            item(&Uuid::from_u128(3).to_string(), 0xa).replace("\"n\"", "\"access_grants\":[],\"n\""),
        ];
        let page = format!(r#"{{"items":[{good},{}],"next_starting_after":null}}"#, rows.join(","));
        let (items, count) = split(&LEAD_LABEL, A, page.as_bytes());
        assert_eq!(count, 5);
        assert_eq!(items.len(), 2, "{items:?}");
        assert_eq!(items[1].body, rows[3].as_bytes(), "whose it is decides whoever stores it");
        assert_eq!(items[0].body, good.as_bytes());
        assert_eq!(items[0].id, Uuid::from_u128(1));
    }

    #[test]
    fn the_order_of_members_is_no_difference_of_shape() {
        let id = Uuid::from_u128(1);
        let one = format!(r#"{{"items":[{{"id":"{id}","organization_id":"{A}","label":"x"}}]}}"#);
        let other = format!(r#"{{"items":[{{"label":"y","organization_id":"{A}","id":"{id}"}}]}}"#);
        let more = format!(r#"{{"items":[{{"label":"y","organization_id":"{A}","id":"{id}","new":1}}]}}"#);
        let shape = |page: &str| split(&LEAD_LABEL, A, page.as_bytes()).0[0].shape;
        assert_eq!(shape(&one), shape(&other));
        assert_ne!(shape(&one), shape(&more));
    }

    #[test]
    fn only_the_largest_page_from_the_beginning_shows_the_whole_list() {
        let whole = whole_list(&LEAD_LABEL);
        assert!(is_whole(&LEAD_LABEL, &whole, 99));
        assert!(!is_whole(&LEAD_LABEL, &whole, 100), "there may be more");
        assert!(!is_whole(&LEAD_LABEL, &Target::List(ListQuery::default()), 5));
    }
}
