use http::{HeaderValue, Response};
use uuid::Uuid;

use super::*;
use crate::classify::ListQuery;
use crate::resource::{LEAD_LABEL, WORKSPACE};

const ID: Uuid = Uuid::from_u128(0x018f_2a00_0000_7000_8000_0000_0000_00aa);
const A: OrganizationId = OrganizationId::example(0xa);
const B: OrganizationId = OrganizationId::example(0xb);

fn label(id: &str, organization: OrganizationId) -> String {
    format!(r#"{{"id":"{id}","organization_id":"{organization}","label":"x","description":null}}"#)
}

fn item(body: &str) -> Result<Identity, GateReason> {
    examine_body(&LEAD_LABEL, &Target::Item(ID), Expected::default(), body.as_bytes())
}

fn list(body: &str) -> Result<Identity, GateReason> {
    let target = Target::List(ListQuery::default());
    examine_body(&LEAD_LABEL, &target, Expected::default(), body.as_bytes())
}

const fn of(organization: OrganizationId) -> Result<Identity, GateReason> {
    Ok(Identity { organization, grants: false })
}

#[test]
fn an_item_passes_only_if_it_is_the_one_asked_for_and_names_one_organization() {
    let id = ID.to_string();
    let good = label(&id, A);
    let rows: Vec<(&str, String, Result<Identity, GateReason>)> = vec![
        ("G3 good", good.clone(), of(A)),
        ("G3 unknown members", good.replace("\"label\"", "\"new\":{\"a\":[1]},\"label\""), of(A)),
        ("G3 BOM", format!("\u{feff}{good}"), Err(GateReason::NotJson)),
        ("G3 HTML", "<html></html>".into(), Err(GateReason::NotJson)),
        ("G3 no object", format!("[{good}]"), Err(GateReason::NotJson)),
        ("G2 bytes after the end", format!("{good}{{}}"), Err(GateReason::NotJson)),
        ("G3 error object", r#"{"error":"ACC_AUTH_ERROR"}"#.into(), Err(GateReason::Shape)),
        ("G3 id of another label", label(&Uuid::nil().to_string(), A), Err(GateReason::OtherId)),
        ("G3 id in upper case", label(&id.to_uppercase(), A), Err(GateReason::Shape)),
        ("G3 id that is no UUID", label("7", A), Err(GateReason::Shape)),
        (
            "T6 id twice",
            good.replace("\"label\"", &format!("\"id\":\"{id}\",\"label\"")),
            Err(GateReason::DuplicateKey),
        ),
        (
            "T6 id twice, once written with an escape",
            good.replace("\"label\"", &format!("\"\\u0069d\":\"{id}\",\"label\"")),
            Err(GateReason::DuplicateKey),
        ),
        ("T6 twice, deeper", good.replace("null", r#"{"a":1,"a":2}"#), Err(GateReason::DuplicateKey)),
        ("T6 organization missing", format!(r#"{{"id":"{id}"}}"#), Err(GateReason::NoOrganization)),
        ("T6 organization null", good.replace(&format!("\"{A}\""), "null"), Err(GateReason::NoOrganization)),
        ("T6 organization no UUID", good.replace(&A.to_string(), "a"), Err(GateReason::NoOrganization)),
        (
            "T6 another organization inside",
            good.replace("null", &format!(r#"[{{"organization_id":"{B}"}}]"#)),
            Err(GateReason::MixedOrganizations),
        ),
        (
            "G3 too deep",
            good.replace("null", &format!("{}{}", "[".repeat(64), "]".repeat(64))),
            Err(GateReason::TooDeep),
        ),
        (
            "§4 access_grants",
            good.replace("\"label\"", "\"access_grants\":[],\"label\""),
            Ok(Identity { organization: A, grants: true }),
        ),
        ("§4 access_grants null", good.replace("\"label\"", "\"access_grants\":null,\"label\""), of(A)),
    ];
    for (row, body, expected) in rows {
        assert_eq!(item(&body), expected, "{row}: {body}");
    }
}

#[test]
fn invalid_utf_8_does_not_pass() {
    let mut body = label(&ID.to_string(), A).into_bytes();
    let at = body.iter().position(|byte| *byte == b'x').unwrap();
    body[at] = 0xff;
    let examined = examine_body(&LEAD_LABEL, &Target::Item(ID), Expected::default(), &body);
    assert_eq!(examined, Err(GateReason::NotJson));
}

#[test]
fn a_page_passes_only_with_items_that_name_one_organization() {
    let (first, second) = (label(&ID.to_string(), A), label(&Uuid::nil().to_string(), A));
    let foreign = label(&Uuid::nil().to_string(), B);
    let granted = first.replace("\"label\"", "\"access_grants\":[\"u\"],\"label\"");
    let rows: Vec<(&str, String, Result<Identity, GateReason>)> = vec![
        ("good", format!(r#"{{"items":[{first},{second}],"next_starting_after":"x"}}"#), of(A)),
        ("empty", r#"{"items":[]}"#.into(), Err(GateReason::EmptyList)),
        ("no items", r#"{"error":"x"}"#.into(), Err(GateReason::Shape)),
        ("items no array", r#"{"items":{}}"#.into(), Err(GateReason::Shape)),
        ("mixed", format!(r#"{{"items":[{first},{foreign}]}}"#), Err(GateReason::MixedOrganizations)),
        ("nobody's", r#"{"items":[{"id":"x"}]}"#.into(), Err(GateReason::NoOrganization)),
        ("granted", format!(r#"{{"items":[{granted}]}}"#), Ok(Identity { organization: A, grants: true })),
    ];
    for (row, body, expected) in rows {
        assert_eq!(list(&body), expected, "{row}: {body}");
    }
}

#[test]
fn a_workspace_passes_only_with_its_own_id_and_what_tells_it_from_an_item() {
    let rows: Vec<(&str, String, Result<Identity, GateReason>)> = vec![
        ("good", format!(r#"{{"id":"{A}","name":"n","owner":"{B}"}}"#), of(A)),
        (
            "ids of its parts",
            format!(r#"{{"id":"{A}","name":"n","owner":"{B}","plan":{{"id":"{B}"}}}}"#),
            of(A),
        ),
        ("without an owner", format!(r#"{{"id":"{A}","name":"n"}}"#), Err(GateReason::Shape)),
        ("without an id", format!(r#"{{"name":"n","owner":"{A}"}}"#), Err(GateReason::Shape)),
        (
            "with items",
            format!(r#"{{"id":"{A}","name":"n","owner":"{B}","items":[]}}"#),
            Err(GateReason::Shape),
        ),
        ("a label", label(&ID.to_string(), A), Err(GateReason::Shape)),
    ];
    let target = Target::List(ListQuery::default());
    for (row, body, expected) in rows {
        let examined = examine_body(&WORKSPACE, &target, Expected::default(), body.as_bytes());
        assert_eq!(examined, expected, "{row}: {body}");
    }
}

#[test]
fn the_answer_to_a_write_is_somebody_elses_where_it_says_so_plainly() {
    let (own, foreign) = (label(&ID.to_string(), A), label(&ID.to_string(), B));
    let other = label(&Uuid::nil().to_string(), A);
    let of = |written, writer, body: &str| mix_up(&LEAD_LABEL, written, writer, body.as_bytes());
    assert_eq!(of(Some(ID), Some(A), &own), None);
    assert_eq!(of(Some(ID), Some(A), &foreign), Some(GateReason::OtherOrganization));
    assert_eq!(of(Some(ID), Some(A), &other), Some(GateReason::OtherId));
    assert_eq!(of(Some(ID), None, &other), Some(GateReason::OtherId), "by whomever it is");
    assert_eq!(of(Some(ID), None, &foreign), None, "of a writer whom nobody knows");
    assert_eq!(of(None, Some(A), &other), None, "a label that is new has an id of its own");
    for unsaid in ["", "{}", "<html>", r#"{"error":"x"}"#, &label("7", A)] {
        assert_eq!(of(Some(ID), Some(A), unsaid), None, "{unsaid}");
    }
}

#[test]
fn a_write_names_its_label_alone_where_its_answer_is_that_label_and_nothing_else() {
    let expected = |organization| Expected { organization, workspace: None };
    let alone = |by, body: &str| names_alone(&LEAD_LABEL, ID, expected(by), body.as_bytes());
    let own = label(&ID.to_string(), A);
    assert!(alone(Some(A), &own));
    let another = Uuid::from_u128(1);
    let inside = own.replace("null", &format!(r#"{{"id":"{another}"}}"#));
    let beside = own.replace("\"label\"", &format!(r#""merged":"{another}","label""#));
    let listed = own.replace("\"label\"", r#""items":[],"label""#);
    let rows = [
        ("of a writer whom nobody knows", None, &own),
        ("of another organization", Some(B), &own),
        ("another label", Some(A), &label(&another.to_string(), A)),
        ("another one inside", Some(A), &inside),
        ("another one beside it", Some(A), &beside),
        ("a list beside it", Some(A), &listed),
        ("no label", Some(A), &"{}".to_owned()),
    ];
    for (row, by, body) in rows {
        assert!(!alone(by, body), "{row}: {body}");
    }
}

#[test]
fn what_a_write_answers_tells_an_id_and_an_organization_where_it_is_written_plainly() {
    let told =
        |body: &str| (id_of(&LEAD_LABEL, body.as_bytes()), organization_of(&LEAD_LABEL, body.as_bytes()));
    assert_eq!(told(&label(&ID.to_string(), A)), (Some(ID), Some(A)));
    assert_eq!(told(&label("7", B)), (None, Some(B)));
    assert_eq!(told(&format!(r#"{{"id":"{ID}"}}"#)), (Some(ID), None));
    assert_eq!(told("<html>"), (None, None));
}

#[test]
fn what_may_not_be_stored_excuses_nothing_that_may_not_be_delivered() {
    let (unstored, foreign) = (GateReason::SetCookie, GateReason::OtherOrganization);
    assert_eq!(verdict(Ok(()), Ok(7)), Ok(7));
    assert_eq!(verdict(Err(unstored), Ok(7)), Err(unstored));
    assert_eq!(verdict::<()>(Ok(()), Err(GateReason::Shape)), Err(GateReason::Shape));
    assert_eq!(verdict::<()>(Err(unstored), Err(GateReason::Shape)), Err(unstored));
    assert_eq!(verdict::<()>(Err(unstored), Err(foreign)), Err(foreign));
    assert_eq!(verdict::<()>(Ok(()), Err(foreign)), Err(foreign));
}

#[test]
fn the_organization_must_be_the_one_that_is_expected() {
    let body = label(&ID.to_string(), A);
    let examine = |expected| examine_body(&LEAD_LABEL, &Target::Item(ID), expected, body.as_bytes());
    let expected = |organization, workspace| Expected { organization, workspace };
    assert_eq!(examine(expected(Some(A), Some(A.name()))), of(A));
    assert_eq!(examine(expected(Some(B), None)), Err(GateReason::OtherOrganization));
    assert_eq!(examine(expected(None, Some(B.name()))), Err(GateReason::OtherWorkspace));
    let acting = examine(expected(Some(B), Some(B.name())));
    assert_eq!(acting, Err(GateReason::OtherOrganization), "known to be of it, and got another's");
    assert!(GateReason::OtherOrganization.is_mix_up() && !GateReason::OtherWorkspace.is_mix_up());
}

#[test]
fn no_prefix_of_a_good_body_passes() {
    let body = label(&ID.to_string(), A);
    for end in 0..body.len() {
        assert!(item(&body[..end]).is_err(), "{end} bytes");
    }
}

#[test]
fn a_head_is_judged_by_its_fields() {
    let good = [("content-type", "application/json; charset=utf-8"), ("content-length", "2")];
    type Row = (&'static str, &'static [(&'static str, &'static str)], Result<(), GateReason>);
    let rows: &[Row] = &[
        ("good", &[], Ok(())),
        (
            "G4 edge cookies alone",
            &[("set-cookie", "__cf_bm=x; path=/"), ("set-cookie", "_cfuvid=y")],
            Ok(()),
        ),
        (
            "G4 any other cookie",
            &[("set-cookie", "__cf_bm=x"), ("set-cookie", "sid=y")],
            Err(GateReason::SetCookie),
        ),
        ("G4 inert Vary", &[("vary", "Accept-Encoding, Origin")], Ok(())),
        ("G4 Vary", &[("vary", "Authorization")], Err(GateReason::Vary)),
        ("G5", &[("content-encoding", "gzip")], Err(GateReason::Encoded)),
    ];
    for (row, more, expected) in rows {
        let mut answer = Response::builder();
        for (name, value) in good.iter().chain(*more) {
            answer = answer.header(*name, HeaderValue::from_static(value));
        }
        assert_eq!(examine_head(&answer.body(()).unwrap().into_parts().0), *expected, "{row}");
    }
    let html = Response::builder().header("content-type", "text/html").header("content-length", "2");
    assert_eq!(examine_head(&html.body(()).unwrap().into_parts().0), Err(GateReason::ContentType));
    let endless = Response::builder().header("content-type", "application/json");
    assert_eq!(
        examine_head(&endless.body(()).unwrap().into_parts().0),
        Err(GateReason::CloseDelimited),
        "G1"
    );
}
