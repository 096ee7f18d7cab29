use super::*;
use http::Request;
use proptest::prelude::*;

use crate::resource::{LEAD_LABEL, RESOURCES, WORKSPACE, target_path};

const ID: &str = "01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10";
/// The look of a key of the vendor: base64 of `<uuid>:<12 characters>`.
const KEY: &str = "Bearer MDE5OTdjM2UtMjViNS03ZDJmLWE1YzgtMGQxZDFlNmU0ZDEwOkFCQ0QrZi9naGlqa2w==";

fn classified(method: &str, target: &str, fields: &[(&str, &str)]) -> Class {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    classify(&head, RESOURCES.locate(head.uri.path()))
}

fn get(target: &str) -> Class {
    classified("GET", target, &[("authorization", KEY)])
}

fn get_with(fields: &[(&str, &str)]) -> Class {
    classified("GET", &format!("/api/v2/lead-labels/{ID}"), fields)
}

fn item() -> Class {
    let target = Target::Item(ID.parse().unwrap());
    Class::Read(Read { resource: &LEAD_LABEL, target, storable: true, head: false })
}

fn list(parameters: &[(&'static str, &str)]) -> Target {
    Target::List(ListQuery(parameters.iter().map(|(name, value)| (*name, Box::from(*value))).collect()))
}

fn uncached(item: bool, reason: BypassReason) -> Class {
    Class::Uncached { resource: &LEAD_LABEL, item, reason }
}

fn write(item: Option<&str>) -> Class {
    Class::Write { resource: &LEAD_LABEL, item: item.map(|id| id.parse().unwrap()) }
}

#[test]
fn an_exact_item_path_is_an_item_read() {
    let target = format!("/api/v2/lead-labels/{ID}");
    assert_eq!(get(&target), item());
    assert_eq!(get(&format!("{target}?")), item());
    assert_eq!(get(&format!("http://localhost{target}")), item());
    let head = classified("HEAD", &target, &[("authorization", KEY)]);
    assert!(matches!(head, Class::Read(Read { head: true, storable: true, .. })));
}

/// The query is compared decoded and ordered: one key for every spelling of one meaning.
#[test]
fn a_lists_query_is_read_as_form_data() {
    for (query, expected, storable) in [
        ("", list(&[]), true),
        ("?", list(&[]), true),
        ("?limit=100", list(&[("limit", "100")]), true),
        ("?limit=", list(&[("limit", "")]), true),
        ("?limit", list(&[("limit", "")]), true),
        ("?limit=010", list(&[("limit", "010")]), true),
        ("?&limit=1&&", list(&[("limit", "1")]), true),
        ("?li%6dit=%31", list(&[("limit", "1")]), true),
        (
            "?starting_after=a&limit=1&interest_status=positive",
            list(&[("interest_status", "positive"), ("limit", "1"), ("starting_after", "a")]),
            true,
        ),
        (
            "?starting_after=2025-03-07T00%3A00:00.000Z",
            list(&[("starting_after", "2025-03-07T00:00:00.000Z")]),
            true,
        ),
        ("?starting_after=a+b%20c%2Bd", list(&[("starting_after", "a b c+d")]), true),
        ("?starting_after=a=b;limit=2", list(&[("starting_after", "a=b;limit=2")]), true),
        ("?starting_after=%C3%A9\u{E9}", list(&[("starting_after", "\u{E9}\u{E9}")]), true),
        ("?search=Won", list(&[("search", "Won")]), false),
        ("?search=a&limit=2", list(&[("limit", "2"), ("search", "a")]), false),
    ] {
        let class = get(&format!("/api/v2/lead-labels{query}"));
        let read = Read { resource: &LEAD_LABEL, target: expected, storable, head: false };
        assert_eq!(class, Class::Read(read), "{query}");
    }
}

/// Q12.
#[test]
fn a_query_that_is_not_ours_is_not_cached() {
    for query in [
        "?page=2",
        "?limit=1&limit=1",
        "?limit=1&li%6dit=2",
        "?Limit=1",
        "?limit[]=1",
        "?limit =1",
        "?=1",
        "?limit=%",
        "?limit=%4",
        "?limit=%zz",
        "?limit=%ff",
        "?limit=%c0%af",
        "?%=1",
        "?search=a&search=b",
    ] {
        let Ok(target) = format!("/api/v2/lead-labels{query}").parse::<http::Uri>() else { continue };
        assert_eq!(get(&target.to_string()), uncached(false, BypassReason::Query), "{query}");
    }
    // A caller chooses what becomes a part of keys: as much as means something, and no more.
    for (value, is_ours) in [("x".repeat(256), true), ("x".repeat(257), false), ("%78".repeat(256), true)] {
        let class = get(&format!("/api/v2/lead-labels?starting_after={value}"));
        assert_eq!(class != uncached(false, BypassReason::Query), is_ours, "{} bytes", value.len());
    }
    for query in ["?limit=1", "?x", "?=", "?&"] {
        assert_eq!(
            get(&format!("/api/v2/lead-labels/{ID}{query}")),
            uncached(true, BypassReason::Query),
            "{query}"
        );
    }
}

/// T11.
#[test]
fn a_key_in_the_query_is_not_cached() {
    for query in
        ["api_key=x", "limit=1&api_key", "API%5fKEY=x", "limit=1;api_key=x", "api_key[]=x", "%zz=1&api_key=x"]
    {
        assert_eq!(
            get(&format!("/api/v2/lead-labels?{query}")),
            uncached(false, BypassReason::ApiKey),
            "{query}"
        );
    }
}

/// Q9: it may be a write behind the upstream's front.
#[test]
fn a_method_in_the_query_makes_a_write_of_anything() {
    for query in
        ["_method=DELETE", "limit=1&_method", "%5fMethod=patch", "limit=1;_method=put", "_method[]=put"]
    {
        for method in ["GET", "HEAD", "POST"] {
            let target = format!("/api/v2/lead-labels/{ID}?{query}");
            assert_eq!(classified(method, &target, &[]), write(Some(ID)), "{method} {query}");
        }
    }
    assert_eq!(get("/api/v2/lead-labels/ai-reply-label?_method=put"), write(None));
    assert_eq!(classified("POST", "/api/v2/lead-labels/ai-reply-label?_method=put", &[]), write(None));
    assert_eq!(get("/api/v2/accounts?_method=DELETE"), Class::PassThrough);
}

#[test]
fn a_method_other_than_get_and_head_is_a_write_at_and_below_the_collection() {
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for (path, id) in [
            ("", None),
            ("?limit=1", None),
            ("/", None),
            (&*format!("/{ID}"), Some(ID)),
            (&*format!("/{ID}/"), Some(ID)),
            (&*format!("/{}", ID.to_uppercase()), Some(ID)),
            (&*format!("/{ID}/merge"), Some(ID)),
            ("/bulk", None),
            ("/ai-reply-label/", None),
            ("/ai-reply-label/x", None),
        ] {
            assert_eq!(
                classified(method, &format!("/api/v2/lead-labels{path}"), &[]),
                write(id),
                "{method} {path}"
            );
        }
    }
}

#[test]
fn only_the_post_that_changes_nothing_passes() {
    for resource in RESOURCES.iter() {
        for path in resource.harmless_posts {
            assert_eq!(classified("POST", path, &[]), Class::PassThrough);
            assert_eq!(classified("PUT", path, &[]), Class::Write { resource, item: None });
            let below = Class::Uncached { resource, item: true, reason: BypassReason::Path };
            let is_below = path.starts_with(resource.collection);
            assert_eq!(get(path), if is_below { below } else { Class::PassThrough });
        }
    }
}

/// Q10.
#[test]
fn a_read_of_another_path_below_the_collection_is_not_cached() {
    for (path, below) in [
        ("/".to_owned(), false),
        (format!("/{}", ID.to_uppercase()), true),
        (format!("/{ID}/"), true),
        (format!("/{ID}/x"), true),
        (format!("/{}", ID.replace('-', "")), true),
        ("/x".to_owned(), true),
    ] {
        assert_eq!(get(&format!("/api/v2/lead-labels{path}")), uncached(below, BypassReason::Path), "{path}");
    }
}

#[test]
fn everything_else_passes_through() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        for path in ["/", "/api/v2/accounts", "/api/v2/leads", "/api/v2/lead-labelsx", "/api/v1/lead-labels"]
        {
            assert_eq!(classified(method, path, &[("cookie", "a=b")]), Class::PassThrough, "{method} {path}");
        }
    }
}

/// Q6; RFC 9110 §11.2.
#[test]
fn only_bearer_and_one_token68_is_a_credential() {
    let longest = format!("Bearer {}", "x".repeat(4096));
    for value in [KEY, "bearer a", "BEARER a==", "Bearer  a", "Bearer a-._~+/1", &longest] {
        assert_eq!(get_with(&[("authorization", value)]), item(), "{value}");
    }
    let too_long = format!("{longest}x");
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Bearera",
        "Bearer a b",
        "Bearer a=b",
        "Bearer =",
        "Bearer a,b",
        "Basic YTpi",
        "Bearer a, Bearer b",
        "Token a",
        "Bearer \u{E9}",
        "a",
        &too_long,
    ] {
        assert_eq!(
            get_with(&[("authorization", value)]),
            uncached(true, BypassReason::Authorization),
            "{value}"
        );
    }
    assert_eq!(get_with(&[]), uncached(true, BypassReason::Authorization));
    assert_eq!(
        get_with(&[("authorization", KEY), ("authorization", KEY)]),
        uncached(true, BypassReason::Authorization)
    );
}

#[test]
fn only_one_uuid_is_a_workspace() {
    let with = |values: &[&str]| {
        let mut fields = vec![("authorization", KEY)];
        fields.extend(values.iter().map(|value| ("x-as-workspace", *value)));
        get_with(&fields)
    };
    assert_eq!(with(&[ID]), item());
    assert_eq!(with(&[&ID.to_uppercase()]), item());
    let simple = ID.replace('-', "");
    let braced = format!("{{{ID}}}");
    for values in [&[""] as &[&str], &["x"], &[&simple], &[&braced], &[ID, ID], &["x", ID]] {
        assert_eq!(with(values), uncached(true, BypassReason::Workspace), "{values:?}");
    }
}

#[test]
fn only_edge_cookies_do_not_hinder() {
    let with = |cookie| get_with(&[("authorization", KEY), ("cookie", cookie)]);
    assert_eq!(with("__cf_bm=a; _cfuvid=b; cf_clearance=c; AWSALB=d"), item());
    assert_eq!(with("__cf_bm=a; session=b"), uncached(true, BypassReason::Cookie));
    assert_eq!(
        get_with(&[("authorization", KEY), ("cookie", "__cf_bm=a"), ("cookie", "s=b")]),
        uncached(true, BypassReason::Cookie)
    );
}

#[test]
fn fields_that_may_choose_whose_data_comes_back_are_not_cached() {
    let with = |name| get_with(&[("authorization", KEY), (name, "x")]);
    for name in [
        "x-org-auth",
        "x-org",
        "x-workspace-id",
        "workspace",
        "X-Tenant",
        "x-account-id",
        "organization",
        "x-organization-id",
        "x-impersonate-user",
        "x-instantly-api-key",
        "api-key",
        "x-auth",
        "x_org_id",
        "x-authorization",
        "x-api_key",
    ] {
        assert_eq!(with(name), uncached(true, BypassReason::IdentityField), "{name}");
    }
    for name in [
        "proxy-authorization",
        "user-agent",
        "accept",
        "x-author",
        "x-organism",
        "x-key",
        "x-api-version",
        "idempotency-key",
        "x-request-id",
        "traceparent",
        "x-forwarded-for",
        "sec-fetch-site",
    ] {
        assert_eq!(with(name), item(), "{name}");
    }
}

/// A resource, and something that can be asked of it.
fn targets() -> impl Strategy<Value = (&'static Descriptor, Target)> {
    let list = |resource: &'static Descriptor| {
        let mut names = [resource.list_parameters, resource.unstored_parameters].concat();
        names.sort_unstable();
        let count = names.len();
        (prop::sample::subsequence(names, 0..=count), prop::collection::vec("\\PC{0,12}|[ -~]{0,12}", count))
            .prop_map(|(names, values)| {
                let values = values.into_iter().map(String::into_boxed_str);
                Target::List(ListQuery(names.into_iter().zip(values).collect()))
            })
    };
    let resources: Vec<_> = RESOURCES.iter().collect();
    prop::sample::select(resources).prop_flat_map(move |resource| {
        let item = any::<u128>().prop_map(|id| Target::Item(Uuid::from_u128(id))).boxed();
        let target = if resource.is_singleton() {
            list(resource).boxed()
        } else {
            prop_oneof![item, list(resource)].boxed()
        };
        target.prop_map(move |target| (resource, target))
    })
}

#[test]
fn a_singleton_is_its_own_path_alone() {
    let path = "/api/v2/workspaces/current";
    let target = Target::List(ListQuery::default());
    assert_eq!(get(path), Class::Read(Read { resource: &WORKSPACE, target, storable: true, head: false }));
    for (other, item, reason) in [
        (format!("{path}?limit=1"), false, BypassReason::Query),
        (format!("{path}/"), false, BypassReason::Path),
        (format!("{path}/{ID}"), true, BypassReason::Path),
        (format!("{path}/whitelabel-domain"), true, BypassReason::Path),
    ] {
        assert_eq!(get(&other), Class::Uncached { resource: &WORKSPACE, item, reason }, "{other}");
    }
    for (method, other) in [("PATCH", path.to_owned()), ("POST", format!("{path}/{ID}"))] {
        assert_eq!(classified(method, &other, &[]), Class::Write { resource: &WORKSPACE, item: None });
    }
    assert_eq!(get("/api/v2/workspaces"), Class::PassThrough);
}

proptest! {
    #[test]
    fn what_a_fill_asks_for_is_what_was_asked((resource, target) in targets()) {
        let Class::Read(read) = get(&target_path(resource, &target)) else {
            return Err(TestCaseError::fail("no read"));
        };
        prop_assert_eq!(&read.target, &target);
        prop_assert_eq!(read.resource, resource);
    }

    #[test]
    fn the_order_of_parameters_is_no_part_of_the_meaning(
        mut pieces in Just(vec!["limit=1", "starting_after=%C3%A9", "interest_status=neutral", "search=+"]).prop_shuffle(),
        kept in 0_usize..=4,
    ) {
        pieces.truncate(kept);
        let asked = get(&format!("/api/v2/lead-labels?{}", pieces.join("&")));
        pieces.sort_unstable();
        prop_assert_eq!(asked, get(&format!("/api/v2/lead-labels?{}", pieces.join("&"))));
    }

    #[test]
    fn no_head_makes_it_panic(target in "/api/v2/lead-labels[?/][!-~]{0,40}", value in "[ -~]{0,40}") {
        if target.parse::<http::Uri>().is_ok() {
            for name in ["authorization", "cookie", "x-as-workspace"] {
                let _ = classified("GET", &target, &[(name, &value)]);
            }
        }
    }
}
