use super::*;
use crate::resource::{LEAD_LABEL, RESOURCES};
use proptest::prelude::*;

const ID: &str = "01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10";

fn locate(path: &str) -> Place {
    RESOURCES.locate(path)
}

fn id() -> Uuid {
    ID.parse().unwrap()
}

fn variant(below: bool, item: Option<Uuid>) -> Place {
    Place::Variant { resource: &LEAD_LABEL, below, item }
}

#[test]
fn the_exact_paths_are_the_collection_and_its_items() {
    assert_eq!(locate("/api/v2/lead-labels"), Place::Collection(&LEAD_LABEL));
    assert_eq!(locate(&format!("/api/v2/lead-labels/{ID}")), Place::Item(&LEAD_LABEL, id()));
}

/// Q10: these reach the upstream, uncached.
#[test]
fn plain_variants_keep_the_item_that_they_name() {
    let upper = ID.to_uppercase();
    let simple = ID.replace('-', "");
    for (path, expected) in [
        ("/api/v2/lead-labels/".to_owned(), variant(false, None)),
        (format!("/api/v2/lead-labels/{upper}"), variant(true, Some(id()))),
        (format!("/api/v2/lead-labels/{upper}/"), variant(true, Some(id()))),
        (format!("/api/v2/lead-labels/{ID}/"), variant(true, Some(id()))),
        (format!("/api/v2/lead-labels/{simple}"), variant(true, Some(id()))),
        (format!("/api/v2/lead-labels/urn:uuid:{ID}"), variant(true, Some(id()))),
        (format!("/api/v2/lead-labels/{ID}/history"), variant(true, Some(id()))),
        ("/api/v2/lead-labels/ai-reply-label".to_owned(), variant(true, None)),
        ("/api/v2/lead-labels/a.b/c".to_owned(), variant(true, None)),
        (format!("/api/v2/lead-labels/{}", "0".repeat(36)), variant(true, None)),
    ] {
        assert_eq!(locate(&path), expected, "{path}");
    }
}

/// Q10, one row a reading; the composed ones are in the table of `classify`.
#[test]
fn what_only_a_permissive_reader_takes_for_a_label_path_is_disguised() {
    for path in [
        "/API/v2/lead-labels",
        "/api/v2/lead%2dlabels",
        "/api/v2/lead%252dlabels",
        "/api/v2/lead%2%35%32dlabels",
        "/api/v2%2flead-labels",
        "/api/v2/lead-labels%2f",
        "/api/v2//lead-labels",
        "//api/v2/lead-labels",
        "//host/api/v2/lead-labels",
        "//user@host:80/api/v2/lead-labels/x",
        "/\\host/api/v2/lead-labels",
        "/%2fhost/api/v2/lead-labels",
        "/\t/host/api/v2/lead-labels",
        "/api/v2/lead-labels//",
        "/api/v2/lead-labels//x",
        "/api/./v2/lead-labels",
        "/api/v2/x/../lead-labels",
        "/api/v2//../lead-labels",
        "/api/v2/;x/../lead-labels",
        "/api/v2/x/..;y/lead-labels",
        "/api/v2/x/%2e%2e/lead-labels",
        "/api/v2/lead-labels/../accounts",
        "/api/v2/lead-labels/x/.",
        "/api\\v2\\lead-labels",
        "/api%5cv2%255clead-labels",
        "/api/v2;x/lead-labels",
        "/api/v2/lead-labels;x",
        "/api/v2/lead-labels%3bx",
        "/api/v2/lead-labels%3flimit=1",
        "/api/v2/lead-labels%23x",
        "/api/v2/lead-labels%00",
        "/api/v2/lead-labels%00.png",
        "/api/v2/lead-labels%20",
        "/api/v2/lead-labels%0d%0a",
        "/api/v2/lead-labels.json",
        "/api/v2/lead-labels.",
        "/api/v2/lead-labels:batch",
        "/api/v2/lead-label\u{17F}",
        "/api/v2/lead-label%c5%bf",
        "/ap\u{131}/v2/lead-labels",
        "/api/v2/lead-labels\u{200B}",
        "/api/v2/\u{FF4C}\u{FF45}ad-labels",
        "/api/v2%c0%aflead-labels",
        "/api/v2/x/%c0%ae%c0%ae/lead-labels",
        "/api/v2/lead-labels/x%20y",
        "/api/v2/lead-labels/caf\u{E9}",
    ] {
        assert_eq!(locate(path), Place::Disguised(&LEAD_LABEL), "{path}");
    }
}

/// R9: what is not ours is not judged.
#[test]
fn other_paths_are_elsewhere_however_they_are_spelled() {
    for path in [
        "/",
        "/api/v2/accounts",
        "/api/v2/lead-labelsx",
        "/api/v2/lead-labels-x",
        "/api/v2/lead_labels",
        "/api/v2/lead",
        "/api/v2",
        "/v2/lead-labels",
        "/api/v2/leads/lead-labels",
        "/api/v2/accounts/joe@example.com",
        "/api/v2/accounts/jos%C3%A9%40example.com",
        "/api/v2/accounts//x/../y",
        "/api/v2/accounts/%zz",
        "/api/v2/accounts/%",
        "/api/v2/caf\u{E9}/x",
        "/\u{E9}/\u{FC}/\u{65E5}",
    ] {
        assert_eq!(locate(path), Place::Elsewhere, "{path}");
    }
}

#[test]
fn a_long_nest_of_escapes_is_decoded_in_one_pass() {
    let path = format!("/api/v2/lead%{}2dlabels", "25".repeat(1 << 16));
    assert_eq!(locate(&path), Place::Disguised(&LEAD_LABEL));
}

proptest! {
    #[test]
    fn locating_never_panics(path in "(/|\\\\|[a-z]|%[0-9a-f]{0,2}|\\PC|\\.){0,40}") {
        let _ = locate(&path);
    }

    #[test]
    fn every_lower_case_uuid_is_an_item(id in any::<u128>()) {
        let id = Uuid::from_u128(id);
        prop_assert_eq!(locate(&format!("/api/v2/lead-labels/{id}")), Place::Item(&LEAD_LABEL, id));
    }

    #[test]
    fn decoding_leaves_nothing_to_decode(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let once = unescaped(&bytes);
        prop_assert_eq!(&unescaped(&once), &once);
    }
}
