//! A request's query and JSON body, read as the vendor's framework reads them: strictly, in the validator's words.

use http::Uri;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::answer::{Framework, Refusal};
use super::book::{Interest, Label, Page};
use crate::received::Received;

/// The framework's limit of a request body.
const BODY_LIMIT: usize = 1024 * 1024;
/// Labels a page where the request names no `limit`. The vendor documents none.
const DEFAULT_LIMIT: usize = 100;
const ALLOWED_VALUES: &str = "must be equal to one of the allowed values";

/// The id in a path.
pub(super) fn item_id(text: &str) -> Result<Uuid, Refusal> {
    uuid(text).ok_or_else(|| Refusal::Invalid(r#"params/id must match format "uuid""#.to_owned()))
}

/// The 36 characters of a hyphenated UUID, in either case; no other of the parser's forms.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// The first value of a query parameter, decoded as form data.
pub(super) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    uri.query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

/// The query of a list of labels. Unknown parameters are ignored.
pub(super) fn page(uri: &Uri) -> Result<Page, Refusal> {
    Ok(Page {
        limit: limit(uri, DEFAULT_LIMIT)?,
        starting_after: parameter(uri, "starting_after")
            .map(|text| {
                text.parse().map_err(|_| querystring("starting_after", r#"must match format "date-time""#))
            })
            .transpose()?,
        search: parameter(uri, "search").filter(|text| !text.is_empty()),
        interest: parameter(uri, "interest_status")
            .map(|text| Interest::parse(&text).ok_or_else(|| querystring("interest_status", ALLOWED_VALUES)))
            .transpose()?,
    })
}

/// `limit` of a list, or what holds without one.
pub(super) fn limit_of(uri: &Uri) -> Result<usize, Refusal> {
    limit(uri, DEFAULT_LIMIT)
}

/// `limit`, an integer from 1 to 100.
pub(super) fn limit(uri: &Uri, default: usize) -> Result<usize, Refusal> {
    let Some(text) = parameter(uri, "limit") else { return Ok(default) };
    match text.parse::<i64>() {
        Err(_) => Err(querystring("limit", "must be integer")),
        Ok(limit) if limit > 100 => Err(querystring("limit", "must be <= 100")),
        Ok(limit) if limit < 1 => Err(querystring("limit", "must be >= 1")),
        Ok(limit) => Ok(usize::try_from(limit).expect("from 1 to 100")),
    }
}

/// The members of a JSON body; `None` where there is neither a body nor a type. The type decides before the length.
pub(super) async fn json_body(head: &Parts, body: Received) -> Result<Option<Map<String, Value>>, Refusal> {
    let media_type = head.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let is_json = media_type.map(|text| {
        text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
    });
    let body = Limited::new(body, BODY_LIMIT)
        .collect()
        .await
        .map_err(|error| match error.is::<LengthLimitError>() {
            true => Refusal::Framework(Framework::BodyTooLarge),
            false => Refusal::Invalid("body ended early".to_owned()),
        })?
        .to_bytes();
    match is_json {
        None if body.is_empty() => return Ok(None),
        Some(true) if body.is_empty() => return Err(Refusal::Framework(Framework::EmptyJsonBody)),
        Some(true) => {}
        None | Some(false) => return Err(Refusal::Framework(Framework::InvalidMediaType)),
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(members)) => Ok(Some(members)),
        Ok(_) => Err(Refusal::Invalid("body must be object".to_owned())),
        Err(_) => Err(Refusal::Framework(Framework::InvalidJsonBody)),
    }
}

/// The writable members of a label, all of the right type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LabelMembers(Map<String, Value>);

impl LabelMembers {
    /// The body of a POST: `label` and `interest_status_label` have to be there.
    pub(super) fn whole(body: Option<Map<String, Value>>) -> Result<Self, Refusal> {
        let members = body.ok_or_else(|| Refusal::Invalid("body must be object".to_owned()))?;
        for required in ["label", "interest_status_label"] {
            if !members.contains_key(required) {
                return Err(Refusal::Invalid(format!("body must have required property '{required}'")));
            }
        }
        Self::checked(members)
    }

    /// The body of a PATCH: at least one member.
    pub(super) fn part(body: Option<Map<String, Value>>) -> Result<Self, Refusal> {
        let members = body.ok_or_else(|| Refusal::Invalid("body must be object".to_owned()))?;
        if members.is_empty() {
            return Err(Refusal::Invalid("body must NOT have fewer than 1 properties".to_owned()));
        }
        Self::checked(members)
    }

    fn checked(members: Map<String, Value>) -> Result<Self, Refusal> {
        for (name, value) in &members {
            let fault = match name.as_str() {
                "label" if !value.is_string() => "must be string",
                "interest_status_label" if !value.is_string() => "must be string",
                "interest_status_label" if value.as_str().and_then(Interest::parse).is_none() => {
                    ALLOWED_VALUES
                }
                "description" if !value.is_string() && !value.is_null() => "must be string,null",
                "use_with_ai" if !value.is_boolean() && !value.is_null() => "must be boolean,null",
                "label" | "interest_status_label" | "description" | "use_with_ai" => continue,
                _ => return Err(Refusal::Invalid("body must NOT have additional properties".to_owned())),
            };
            return Err(Refusal::Invalid(format!("body/{name} {fault}")));
        }
        Ok(Self(members))
    }

    pub(super) fn interest(&self) -> Option<Interest> {
        self.0.get("interest_status_label").and_then(Value::as_str).and_then(Interest::parse)
    }

    /// Sets what is given. The number that leads carry stays, whatever becomes of the category.
    pub(super) fn apply(&self, label: &mut Label) {
        for (name, value) in &self.0 {
            let text = value.as_str().map(str::to_owned);
            match name.as_str() {
                "label" => label.label = text.unwrap_or_default(),
                "description" => label.description = text,
                "use_with_ai" => label.use_with_ai = value.as_bool(),
                _ => {}
            }
        }
        if let Some(interest) = self.interest() {
            label.interest_status_label = interest;
        }
    }
}

fn querystring(name: &str, fault: &str) -> Refusal {
    Refusal::Invalid(format!("querystring/{name} {fault}"))
}

pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn uri(query: &str) -> Uri {
        format!("/api/v2/lead-labels?{query}").parse().unwrap()
    }

    #[test]
    fn a_query_is_read_as_form_data() {
        let uri = uri("search=a+b%20c%2Bd&starting_after=2026-01-05T08%3A00%3A00.000Z&other=1&limit=7");
        let page = page(&uri).unwrap();
        assert_eq!(page.search.as_deref(), Some("a b c+d"));
        assert_eq!(page.starting_after.unwrap().to_string(), "2026-01-05T08:00:00.000Z");
        assert_eq!((page.limit, page.interest), (7, None));
        assert_eq!(super::page(&Uri::from_static("/")).unwrap().limit, 100);
    }

    #[test]
    fn a_bad_query_is_refused_in_the_validators_words() {
        for (query, message) in [
            ("limit=101", "querystring/limit must be <= 100"),
            ("limit=0", "querystring/limit must be >= 1"),
            ("limit=ten", "querystring/limit must be integer"),
            ("interest_status=7", "querystring/interest_status must be equal to one of the allowed values"),
            ("starting_after=x", r#"querystring/starting_after must match format "date-time""#),
        ] {
            assert_eq!(page(&uri(query)), Err(Refusal::Invalid(message.to_owned())), "{query}");
        }
    }

    #[test]
    fn a_bad_body_is_refused_in_the_validators_words() {
        let positive = json!("positive");
        for (body, message) in [
            (json!({"interest_status_label": positive}), "body must have required property 'label'"),
            (json!({"label": "a"}), "body must have required property 'interest_status_label'"),
            (json!({"label": 1, "interest_status_label": positive}), "body/label must be string"),
            (
                json!({"label": "a", "interest_status_label": "good"}),
                "body/interest_status_label must be equal to one of the allowed values",
            ),
            (
                json!({"label": "a", "interest_status_label": positive, "use_with_ai": 1}),
                "body/use_with_ai must be boolean,null",
            ),
            (
                json!({"label": "a", "interest_status_label": positive, "id": 1}),
                "body must NOT have additional properties",
            ),
        ] {
            let members = body.as_object().cloned();
            assert_eq!(LabelMembers::whole(members), Err(Refusal::Invalid(message.to_owned())), "{body}");
        }
        assert_eq!(
            LabelMembers::part(Some(Map::new())),
            Err(Refusal::Invalid("body must NOT have fewer than 1 properties".to_owned()))
        );
    }
}
