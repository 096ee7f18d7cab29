//! The vendor's shapes: lead labels, pages, errors, fixed ids, tokens that look like real keys.

use uuid::Uuid;

/// The collection of lead labels.
pub const LABELS: &str = "/api/v2/lead-labels";

/// A path that is no label's, with an answer from the test vendor.
pub const CAMPAIGNS: &str = "/api/v2/campaigns";

/// Path of the label with number `n`.
pub fn label_path(n: u32) -> String {
    format!("{LABELS}/{}", label_id(n))
}

/// The organization with this name: the same id in every run.
pub fn organization(name: &str) -> Uuid {
    let letters = name.bytes().fold(0_u128, |sum, byte| sum << 8 | u128::from(byte));
    Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0000 | letters)
}

/// The id of label number `n`; organizations may share it.
pub fn label_id(n: u32) -> Uuid {
    Uuid::from_u128(0x0193_5c4b_0000_7abc_9def_0000_0000_0000 | u128::from(n))
}

/// Key number `n` of the organization with this name: base64 of an id, a colon and twelve characters, as the vendor's.
pub fn token(name: &str, n: u32) -> String {
    let id = Uuid::from_u128(0x0194_aaaa_0000_7000_8000_0000_0000_0000 | u128::from(n));
    base64(format!("{id}:{name:k>8}{n:04}").as_bytes())
}

/// A lead label with the nine documented members, in the order in which the vendor sends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// `id`
    pub id: Uuid,
    /// `timestamp_created`
    pub created: String,
    /// `organization_id`
    pub organization: Uuid,
    /// `label`
    pub text: String,
    /// `interest_status_label`
    pub interest: String,
    /// `description`
    pub description: Option<String>,
    /// `created_by`: null where a key made it.
    pub created_by: Option<Uuid>,
    /// `access_grants`, where the label has them.
    pub grants: Option<String>,
}

impl Label {
    /// Label number `n` of an organization.
    pub fn new(organization: Uuid, n: u32, text: &str) -> Self {
        Self {
            id: label_id(n),
            created: format!("2025-03-07T{:02}:{:02}:{:02}.000Z", n / 3600 % 24, n / 60 % 60, n % 60),
            organization,
            text: text.to_owned(),
            interest: "positive".to_owned(),
            description: None,
            created_by: Some(Uuid::from_u128(0x0191_1111_0000_7000_8000_0000_0000_0001)),
            grants: None,
        }
    }

    /// The label as the vendor would send it.
    pub fn json(&self) -> String {
        let string = |text: &str| serde_json::Value::from(text).to_string();
        format!(
            concat!(
                r#"{{"id":"{}","timestamp_created":"{}","created_by":{},"#,
                r#""organization_id":"{}","label":{},"interest_status_label":"{}","interest_status":-496,"#,
                r#""description":{},"use_with_ai":true{}}}"#
            ),
            self.id,
            self.created,
            self.created_by.map_or_else(|| "null".to_owned(), |user| string(&user.to_string())),
            self.organization,
            string(&self.text),
            self.interest,
            self.description.as_deref().map_or_else(|| "null".to_owned(), string),
            self.grants.as_deref().map(|grants| format!(r#","access_grants":{grants}"#)).unwrap_or_default(),
        )
    }
}

/// The body of label number `n` of the organization with this name.
pub fn label(name: &str, n: u32, text: &str) -> String {
    Label::new(organization(name), n, text).json()
}

/// A page of labels.
pub fn page(items: &[String], next: Option<&str>) -> String {
    let next = next.map(|cursor| format!(r#","next_starting_after":"{cursor}""#)).unwrap_or_default();
    format!(r#"{{"items":[{}]{next}}}"#, items.join(","))
}

/// The vendor's error envelope.
pub fn error(status: u16, message: &str) -> String {
    let phrase = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    format!(r#"{{"statusCode":{status},"error":"{}","message":"{message}"}}"#, phrase.unwrap_or_default())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() { '=' } else { char::from(letter) });
        }
    }
    text
}
