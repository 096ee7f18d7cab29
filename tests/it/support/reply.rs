//! [`Reply`]: what a caller got, with the asserts that tests of behaviour need.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use instantly_proxy::error::ErrorKind;
use instantly_proxy::resource::{LEAD_LABEL, RESOURCES};
use serde_json::Value;

use super::wire::Head;

/// A whole answer. Every assert gives the reply back, so that they chain.
#[derive(Clone, Debug)]
#[must_use = "an answer that nobody looks at proves nothing: assert its status at least"]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The fields.
    pub fields: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    pub(super) fn from_raw(status: u16, head: &Head, body: &[u8]) -> Self {
        let mut fields = HeaderMap::new();
        for (name, value) in &head.fields {
            let name = HeaderName::try_from(name.as_str()).expect("a field name");
            fields.append(name, HeaderValue::try_from(value.as_str()).expect("a field value"));
        }
        Self { status, fields, body: Bytes::copy_from_slice(body) }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|fault| panic!("{fault}: {:?}", self.text()))
    }

    /// The `label` member of a lead label.
    #[track_caller]
    pub fn label(&self) -> String {
        self.json()["label"].as_str().unwrap_or_else(|| panic!("no label: {}", self.text())).to_owned()
    }

    /// A field's value; panics if it came twice.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.get_all(name).iter();
        let first = values.next().map(|value| value.to_str().expect("a text"));
        assert!(values.next().is_none(), "{name} came more than once");
        first
    }

    /// Every value of a field, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.fields.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// Names of all fields, sorted, once each.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.fields.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    /// What `Cache-Status` says after this proxy's name; empty without the field.
    #[track_caller]
    pub fn cache_status(&self) -> &str {
        let Some(value) = self.field("cache-status") else { return "" };
        value.strip_prefix("instantly-proxy; ").unwrap_or_else(|| panic!("a foreign Cache-Status: {value}"))
    }

    /// Seconds of freshness left that a hit claims.
    #[track_caller]
    pub fn ttl(&self) -> i64 {
        let ttl = self.cache_status().strip_prefix("hit; ttl=").and_then(|rest| rest.split(';').next());
        ttl.and_then(|ttl| ttl.parse().ok()).unwrap_or_else(|| panic!("no hit: {self:?}"))
    }

    /// Which failure of the proxy's own this is, told by its sentence.
    pub fn error_kind(&self) -> Option<ErrorKind> {
        let envelope: Value = serde_json::from_slice(&self.body).ok()?;
        let message = envelope["message"].as_str()?;
        // Some speak of the resource that was asked for, and by default of labels.
        let label = &LEAD_LABEL.sentences;
        let of_labels = RESOURCES.iter().map(|resource| &resource.sentences).find_map(|own| {
            let pairs = [(own.misspelt, label.misspelt), (own.write_too_large, label.write_too_large)];
            pairs.into_iter().find(|(own, _)| *own == message).map(|(_, label)| label)
        });
        let message = of_labels.unwrap_or(message);
        ErrorKind::ALL.iter().copied().find(|kind| kind.message() == message)
    }

    /// The status is this one.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The body is this text.
    #[track_caller]
    pub fn assert_text(&self, text: &str) -> &Self {
        assert_eq!(self.text(), text);
        self
    }

    /// The body is this JSON, whatever its blanks and order.
    #[track_caller]
    pub fn assert_json(&self, expected: &Value) -> &Self {
        assert_eq!(self.json(), *expected);
        self
    }

    /// It is a lead label with this text.
    #[track_caller]
    pub fn assert_label(&self, text: &str) -> &Self {
        let reply = self.assert_status(200);
        assert_eq!(reply.label(), text, "{reply:?}");
        reply
    }

    /// `Cache-Status` says exactly this after the proxy's name.
    #[track_caller]
    pub fn assert_cache_status(&self, value: &str) -> &Self {
        assert_eq!(self.cache_status(), value, "{self:?}");
        self
    }

    /// Answered from a fresh stored response.
    #[track_caller]
    pub fn assert_hit(&self) -> &Self {
        let value = self.cache_status();
        assert!(value.starts_with("hit; ttl=") && !value.contains("detail"), "no hit: {self:?}");
        assert!(self.ttl() >= 0, "a stale hit: {self:?}");
        self
    }

    /// Fetched for a proven credential, and stored.
    #[track_caller]
    pub fn assert_miss(&self) -> &Self {
        self.assert_cache_status("fwd=miss; stored")
    }

    /// Fetched for a proven credential, and not stored.
    #[track_caller]
    pub fn assert_unstored(&self) -> &Self {
        self.assert_cache_status("fwd=miss")
    }

    /// Answered by the upstream to a credential that had no proof.
    #[track_caller]
    pub fn assert_proof(&self) -> &Self {
        self.assert_cache_status("fwd=request; detail=proof")
    }

    /// `Age` is this.
    #[track_caller]
    pub fn assert_age(&self, seconds: u64) -> &Self {
        assert_eq!(self.field("age"), Some(seconds.to_string().as_str()), "{self:?}");
        self
    }

    /// A failure of the proxy's own: its status and sentence in the vendor's shape, `Proxy-Status`, no `Cache-Status`.
    #[track_caller]
    pub fn assert_error(&self, kind: ErrorKind) -> &Self {
        assert_eq!(self.error_kind(), Some(kind), "{self:?}");
        let reply = self.assert_status(kind.status().as_u16());
        let proxy_status = reply.field("proxy-status").unwrap_or_default();
        let expected = format!("instantly-proxy; error={}", kind.proxy_status());
        assert_eq!(proxy_status, expected);
        assert_eq!(reply.field("cache-status"), None, "an error of ours has no Cache-Status");
        assert_eq!(reply.json()["statusCode"], reply.status);
        assert_eq!(reply.json()["error"], kind.status().canonical_reason().unwrap_or_default());
        reply
    }

    /// A failure of the proxy's own, of whatever kind, with a status among these.
    #[track_caller]
    pub fn assert_own_failure(&self, statuses: &[u16]) -> &Self {
        assert!(statuses.contains(&self.status), "{self:?}");
        assert!(self.field("proxy-status").is_some(), "not of the proxy's making: {self:?}");
        assert_eq!(self.field("cache-status"), None, "an error of ours has no Cache-Status");
        assert_eq!(self.json()["statusCode"], self.status);
        self
    }

    /// The upstream's own refusal, passed on.
    #[track_caller]
    pub fn assert_refused_upstream(&self, status: u16) -> &Self {
        assert_eq!(self.field("proxy-status"), None, "of the proxy's making: {self:?}");
        self.assert_status(status)
    }
}
