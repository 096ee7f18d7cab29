//! [`Who`]: what lines say of who sent a request. Written once for many lines: a connection's requests are nearly always of one
//! caller, one key and one organization, and names that are checked and copied again for each line took half of what it costs
//! to tell callers apart.

use std::sync::OnceLock;

use uuid::Uuid;

use super::json::Page;
use super::line::{Fields, key};
use super::text::Text;

/// A caller, the name of its key, and the key's organization, as lines say them.
#[derive(Clone, Debug)]
pub struct Who {
    caller: Box<str>,
    credential: Box<str>,
    organization: Option<Uuid>,
    json: OnceLock<Box<str>>,
    text: OnceLock<Box<str>>,
}

impl Who {
    /// Of these names, and of this organization if it is known.
    #[must_use]
    pub fn new(caller: &str, credential: &str, organization: Option<Uuid>) -> Self {
        Self {
            caller: caller.into(),
            credential: credential.into(),
            organization,
            json: OnceLock::new(),
            text: OnceLock::new(),
        }
    }

    /// The organization.
    #[must_use]
    pub const fn organization(&self) -> Option<Uuid> {
        self.organization
    }

    /// The fields in a line of JSON.
    pub(super) fn json(&self) -> &str {
        self.json.get_or_init(|| self.written(|page| self.fields(page)))
    }

    /// The fields in a line of text.
    pub(super) fn text(&self) -> &str {
        self.text.get_or_init(|| self.written(|page| self.fields(&mut Text(page))))
    }

    /// A page of its own: the thread's is in use.
    fn written(&self, write: impl FnOnce(&mut Page)) -> Box<str> {
        let mut page = Page::default();
        write(&mut page);
        page.line.into_boxed_str()
    }

    fn fields(&self, to: &mut impl Fields) {
        to.text(key!("caller"), &self.caller);
        to.text(key!("credential"), &self.credential);
        if let Some(organization) = self.organization {
            let mut text = Uuid::encode_buffer();
            to.text(key!("organization"), organization.hyphenated().encode_lower(&mut text));
        }
    }
}
