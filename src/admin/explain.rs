//! The body of a question: the head of a request that is not sent.
//!
//! It holds a caller's token. Nothing of it is kept, logged or said again: a refusal names the member that is wrong and
//! never what was in it.

use std::fmt;
use std::marker::PhantomData;

use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::refusal::Refusal;

const ALLOWED: &str = "Send a JSON object with method, path (with its query) and headers: an object of names with a text \
                       or a list of texts each.";

/// Reads the head of a request. One without a Host is given one, as every client sends it.
pub(super) fn parse(body: &[u8]) -> Result<Parts, Refusal> {
    let members: Members<Box<RawValue>> =
        serde_json::from_slice(body).map_err(|_| refused("The body is no JSON object"))?;
    let (mut method, mut path, mut headers) = (None, None, None);
    for (name, value) in members.0 {
        let member = match name.as_str() {
            "method" => &mut method,
            "path" => &mut path,
            "headers" => &mut headers,
            _ => return Err(refused("There is a member of another name")),
        };
        if member.replace(value).is_some() {
            return Err(refused("A member is there twice"));
        }
    }
    let mut request = Request::new(());
    *request.method_mut() = text(method.as_deref())
        .and_then(|method| Method::from_bytes(method.as_bytes()).ok())
        .ok_or_else(|| refused("method is missing or is no method"))?;
    *request.uri_mut() = text(path.as_deref())
        .and_then(|path| Uri::try_from(path).ok())
        .ok_or_else(|| refused("path is missing or is no request target"))?;
    *request.headers_mut() = match headers {
        Some(headers) => fields(&headers)
            .ok_or_else(|| refused("headers is no object of field names with a value or values each"))?,
        None => HeaderMap::new(),
    };
    request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("localhost"));
    Ok(request.into_parts().0)
}

fn text(member: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(member?.get()).ok()
}

fn fields(member: &RawValue) -> Option<HeaderMap> {
    let members: Members<Value> = serde_json::from_str(member.get()).ok()?;
    let mut fields = HeaderMap::new();
    for (name, value) in members.0 {
        let name = HeaderName::try_from(name).ok()?;
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let mut value = HeaderValue::from_bytes(value.as_str()?.trim().as_bytes()).ok()?;
            value.set_sensitive(name == AUTHORIZATION);
            fields.try_append(&name, value).ok()?;
        }
    }
    Some(fields)
}

fn refused(reason: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, format!("{reason}. {ALLOWED}"))
}

/// An object's members as they come: a name that is there twice is, as in a request.
struct Members<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Object<V> {
            type Value = Members<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::framing::announces_body;

    const TOKEN: &str = "a-token-that-must-not-show";

    #[test]
    fn a_question_is_the_head_of_a_request() {
        let body = r#"{"method":"GET","path":"/a?b=c","headers":{"X-A":["1","2"],"x-a":" 3 ","Host":"h"}}"#;
        let head = parse(body.as_bytes()).ok().unwrap();
        assert!(!announces_body(&head.headers));
        assert_eq!((head.method, head.uri.to_string()), (Method::GET, "/a?b=c".to_owned()));
        assert_eq!(head.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!(head.headers["host"], "h");
        let body = r#"{"method":"POST","path":"/","headers":{"content-length":"3"}}"#;
        let head = parse(body.as_bytes()).ok().unwrap();
        assert!(announces_body(&head.headers) && head.headers["host"] == "localhost");
    }

    #[test]
    fn a_bad_question_names_the_member_and_never_what_is_in_it() {
        let member = |name: &str, value: &str| {
            let members = [("method", "\"GET\""), ("path", "\"/\""), ("headers", "{}")];
            let members = members
                .map(|(known, sound)| format!("\"{known}\":{}", if known == name { value } else { sound }));
            format!("{{{}}}", members.join(","))
        };
        for (body, named) in [
            (String::new(), "no JSON object"),
            ("[]".to_owned(), "no JSON object"),
            (format!("\"{TOKEN}\""), "no JSON object"),
            (format!("{{\"headers\":{{\"authorization\":\"{TOKEN}\"}}"), "no JSON object"),
            ("{} {}".to_owned(), "no JSON object"),
            (format!("{{\"{TOKEN}\":1}}"), "a member of another name"),
            (format!("{{\"path\":\"/{TOKEN}\",\"path\":\"/\"}}"), "twice"),
            (r#"{"path":"/","headers":{}}"#.to_owned(), "method is missing"),
            (r#"{"method":"GET","headers":{}}"#.to_owned(), "path is missing"),
            (member("method", "5"), "method is missing or"),
            (member("method", &format!("\"{TOKEN} \"")), "method is missing or"),
            (member("path", "null"), "path is missing or"),
            (member("path", &format!("\" {TOKEN}\"")), "path is missing or"),
            (member("headers", &format!("\"{TOKEN}\"")), "headers is no object"),
            (member("headers", &format!("[\"{TOKEN}\"]")), "headers is no object"),
            (member("headers", &format!("{{\"{TOKEN} x\":\"\"}}")), "headers is no object"),
            (member("headers", &format!("{{\"a\":\"{TOKEN}\\u0000\"}}")), "headers is no object"),
            (member("headers", "{\"a\":5}"), "headers is no object"),
            (member("headers", "{\"a\":[[]]}"), "headers is no object"),
        ] {
            let Refusal(status, message) = parse(body.as_bytes()).err().unwrap_or_else(|| panic!("{body}"));
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
            assert!(message.contains(named) && message.ends_with(ALLOWED), "{body}: {message}");
            assert!(!message.contains(TOKEN), "{body}: {message}");
        }
    }
}
