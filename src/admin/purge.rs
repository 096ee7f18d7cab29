//! The body of a purge, and of its answer.

use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::refusal::Refusal;
use crate::fleet::receipts::Confirmations;
use crate::organization::OrganizationName;
use crate::proxy::{Purge, Purged};
use crate::resource::{Descriptor, Resources};

const ALLOWED: &str =
    "Send a JSON object with any of organization and label, each a UUID, and resource, the name of one.";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default, deserialize_with = "given")]
    organization: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    label: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    resource: Option<Value>,
}

/// What a purge is to reach; an empty body is everything.
pub(super) fn parse(body: &[u8], resources: Resources) -> Result<Purge, Refusal> {
    let raw = match body.trim_ascii() {
        [] => Raw::default(),
        // An array would be taken for the members in their order.
        [b'[', ..] => return Err(refused("an array is no object")),
        body => serde_json::from_slice(body).map_err(|error| refused(&error.to_string()))?,
    };
    let organization = member("organization", raw.organization)?.map(OrganizationName);
    let resource = raw.resource.map(|name| named(&name, resources)).transpose()?;
    Ok(Purge { organization, label: member("label", raw.label)?, resource })
}

/// The resource that is called so, of those that are cached.
fn named(name: &Value, resources: Resources) -> Result<&'static Descriptor, Refusal> {
    let known = resources.cached().find(|resource| name.as_str() == Some(resource.name));
    known.ok_or_else(|| {
        let names: Vec<_> = resources.cached().map(|resource| resource.name).collect();
        refused(&format!("resource is none of those that are cached: {}", names.join(", ")))
    })
}

/// A null is not taken for an absent member: that would purge more than a script with an unset variable meant.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

fn member(name: &str, value: Option<Value>) -> Result<Option<Uuid>, Refusal> {
    let uuid = |value: Value| {
        let uuid = value.as_str().and_then(|text| Uuid::try_parse(text).ok());
        uuid.ok_or_else(|| refused(&format!("{name} is no UUID")))
    };
    value.map(uuid).transpose()
}

fn refused(reason: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, format!("{reason}. {ALLOWED}"))
}

/// What a purge took away.
#[derive(Serialize)]
pub(super) struct Gone {
    entries: u64,
    bytes: u64,
    proofs: u64,
    /// What the other replicas say, where there is a fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<Replicas>,
}

/// Which replicas have confirmed a purge.
#[derive(Serialize)]
struct Replicas {
    announced: bool,
    confirmed: Vec<String>,
    silent: Vec<String>,
}

impl Gone {
    pub(super) fn new(purged: Purged, told: Option<Confirmations>) -> Self {
        let Purged { entries, bytes, proofs } = purged;
        let replicas = told.map(|Confirmations { announced, confirmed, silent }| Replicas {
            announced,
            confirmed,
            silent,
        });
        Self { entries, bytes, proofs, replicas }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{CUSTOM_TAG, RESOURCES};

    const A: Uuid = Uuid::from_u128(0x0a11_ce00_0000_4000_8000_0000_0000_0001);
    const B: Uuid = Uuid::from_u128(0x0b0b_0000_0000_4000_8000_0000_0000_0002);

    #[test]
    fn a_purge_reaches_what_its_members_name() {
        let rows = [
            (String::new(), None, None),
            (" \n".to_owned(), None, None),
            ("{}".to_owned(), None, None),
            (format!(r#"{{"organization":"{A}"}}"#), Some(A), None),
            (format!(r#"{{"label":"{B}"}}"#), None, Some(B)),
            (format!(r#"{{"label":"{B}","organization":"{A}"}}"#), Some(A), Some(B)),
        ];
        for (body, organization, label) in rows {
            let organization = organization.map(OrganizationName);
            let expected = Purge { organization, label, resource: None };
            assert_eq!(parse(body.as_bytes(), RESOURCES), Ok(expected), "{body}");
        }
        let body = format!(r#"{{"resource":"custom_tag","organization":"{A}"}}"#);
        let organization = Some(OrganizationName(A));
        let expected = Purge { organization, label: None, resource: Some(&CUSTOM_TAG) };
        assert_eq!(parse(body.as_bytes(), RESOURCES), Ok(expected));
    }

    #[test]
    fn a_body_that_means_something_else_is_refused_and_the_member_is_named() {
        let rows = [
            (r#"{"organisation":"x"}"#.to_owned(), "organisation"),
            (r#"{"organization":"x"}"#.to_owned(), "organization is no UUID"),
            (r#"{"label":5}"#.to_owned(), "label is no UUID"),
            (format!(r#"{{"label":"{A}","label":"{B}"}}"#), "duplicate field `label`"),
            (r#"{"label":null}"#.to_owned(), "label is no UUID"),
            (
                r#"{"resource":"lead"}"#.to_owned(),
                "resource is none of those that are cached: lead_label, custom_tag",
            ),
            (r#"{"resource":null}"#.to_owned(), "resource is none of those"),
            ("[]".to_owned(), ""),
            (format!(r#"["{A}","{B}"]"#), ""),
            ("{".to_owned(), ""),
            ("null".to_owned(), ""),
            ("{} {}".to_owned(), ""),
        ];
        for (body, named) in rows {
            let Refusal(status, message) = parse(body.as_bytes(), RESOURCES).unwrap_err();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
            assert!(message.contains(named) && message.ends_with(ALLOWED), "{body}: {message}");
        }
    }
}
