//! One pass says what each who wants to know something would find alone.

use http::header::{AUTHORIZATION, CACHE_CONTROL, PRAGMA};
use http::{HeaderName, HeaderValue, Method, Request, Version};
use proptest::prelude::*;

use super::*;
use crate::caller::credential::{AS_WORKSPACE, Digester};
use crate::caller::identity::Caller;
use crate::classify::{classify, classify_by};
use crate::resource::RESOURCES;
use crate::semantics::directives::RequestDirectives;
use crate::semantics::preference::{self, PREFER};
use crate::semantics::request_id::{REQUEST_ID, incoming};

const OWN_VIA: &str = "instantly-proxy-7f3a";
const WORKSPACE: &str = "018f2a00-0000-7000-8000-00000000000a";
const PATHS: [&str; 5] = [
    "/api/v2/lead-labels/01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10",
    "/api/v2/lead-labels?limit=10",
    "/api/v2/lead-labels/x",
    "/api/v2/lead%2dlabels",
    "/api/v2/campaigns",
];

#[test]
fn what_is_made_of_a_field_is_made_of_the_one_that_others_look_for() {
    let parts = [
        (AUTHORIZATION, Part::Authorization),
        (AS_WORKSPACE, Part::Workspace),
        (REQUEST_ID, Part::RequestId),
        (PREFER, Part::Prefer),
        (CACHE_CONTROL, Part::Directives),
        (PRAGMA, Part::Directives),
    ];
    let with_part = KNOWN.iter().filter(|(_, part, _)| parts.iter().any(|(_, own)| own == part));
    assert!(
        with_part
            .map(|(name, part, _)| (HeaderName::from_static(name), *part))
            .eq(parts_in_order(parts.clone()))
    );
}

/// In the order of the table.
fn parts_in_order(mut parts: [(HeaderName, Part); 6]) -> [(HeaderName, Part); 6] {
    let place = |name: &HeaderName| KNOWN.iter().position(|(common, ..)| *name == *common);
    parts.sort_by_key(|(name, _)| place(name));
    parts
}

/// Common names, those that a rule is about, and some that look like them.
fn names() -> impl Strategy<Value = String> {
    let common = KNOWN.iter().map(|(name, ..)| (*name).to_owned()).collect::<Vec<_>>();
    prop_oneof![
        4 => prop::sample::select(common.clone()),
        1 => prop::sample::select(common).prop_map(|name| name.replace('-', "_")),
        1 => prop::sample::select(vec![
            "expect", "trailer", "upgrade", "x-http-method-override", "x_method_override", "proxy-authorization",
            "x-api-key", "x-org", "x-tenant-id", "impersonate-user", "x_workspace", "authorization_", "_host",
            "content-encoding", "x-unknown",
        ])
        .prop_map(str::to_owned),
        1 => "[a-z_-]{1,20}",
    ]
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => prop::sample::select(vec![
            "Bearer bm90IGEga2V5==", "Bearer a", "Basic YTpi", "Bearer ", WORKSPACE, "localhost:8080", "a b", "chunked", "0",
            "12", "012", "trailers", "gzip", "100-continue", "close", "close, host", "1.1 instantly-proxy-7f3a",
            "wait=10", "respond-async, wait=3", "no-cache", "no-store, max-age=5", "__cf_bm=x", "session=x",
            "0123456789abcdef", " a", "a\t", "",
        ])
        .prop_map(|value| value.as_bytes().to_vec()),
        1 => prop::collection::vec(prop_oneof![Just(b'\t'), 0x20_u8..0x7F, 0x80_u8..=0xFF], 0..40),
    ]
}

fn described(caller: Caller, digester: &Digester, head: &Parts) -> (bool, Option<Vec<u8>>) {
    let alone = digester.caller(&head.headers);
    let bytes = |caller: &Caller| {
        let digest = caller.as_ref().digest().map(|digest| digest.bytes().to_vec());
        digest.or_else(|| Some(caller.as_ref().authorization()?.bytes().to_vec()))
    };
    let same =
        std::mem::discriminant(&caller) == std::mem::discriminant(&alone) && bytes(&caller) == bytes(&alone);
    (same, bytes(&caller))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn one_pass_says_what_each_would_find_alone(
        path in prop::sample::select(PATHS.to_vec()),
        method in prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST, Method::OPTIONS]),
        version in prop::sample::select(vec![Version::HTTP_10, Version::HTTP_11, Version::HTTP_2]),
        plain in any::<bool>(),
        lines in prop::collection::vec((names(), values()), 0..8),
        many in prop_oneof![9 => Just(0_usize), 1 => 90_usize..110],
    ) {
        let mut request = Request::builder().method(method).uri(path).version(version);
        if plain {
            // Most heads of others would be refused for want of these.
            request = request.header("host", "localhost").header("authorization", "Bearer bm90IGEga2V5==");
        }
        for (name, value) in &lines {
            request = request.header(name, HeaderValue::from_bytes(value).unwrap());
        }
        for number in 0..many {
            request = request.header("x-many", number);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let place = RESOURCES.locate(head.uri.path());
        let survey = Survey::of(&head, place, OWN_VIA);
        let digester = Digester::default();

        let fields = &head.headers;
        prop_assert_eq!(incoming(survey.request_id), incoming(Lines::of(fields, &REQUEST_ID)));
        prop_assert_eq!(survey.prefer.then(|| preference::wait(fields)), preference::wait(fields));
        let wishes = survey.directives.then(|| RequestDirectives::parse(fields));
        prop_assert_eq!(wishes, RequestDirectives::parse(fields));
        let caller = digester.caller_of(survey.authorization, survey.workspace);
        let (same, digest) = described(caller, &digester, &head);
        prop_assert!(same, "{:?}", digest.is_some());

        let forbids = survey.forbids;
        let guarded = crate::guard::conclude(&head, place, survey.guarded);
        match (guarded, crate::guard::check(RESOURCES, &head, OWN_VIA)) {
            (Ok(place), Ok(alone)) => {
                prop_assert_eq!(classify_by(&head, place, || forbids), classify(&head, alone));
            }
            (Err(refused), Err(alone)) => prop_assert_eq!(refused.kind(), alone.kind()),
            (ours, alone) => prop_assert!(false, "{ours:?} {alone:?}"),
        }
    }
}
