//! [`Answer`]: what the upstream did about a call, and what it says by which protocol.

use super::truth::{Grants, LABELS, Party, Versions, What, item};

/// What the upstream did, and says.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<u64>,
    pub(super) body: String,
    /// Whose its token was at that moment, and what its labels were.
    pub(super) organization: usize,
    pub(super) versions: Versions,
    /// Whether the organization limited who sees a label.
    pub(super) limits: bool,
    /// The version that a write made.
    pub(super) wrote: Option<u64>,
    /// The connection ends in its place.
    pub(super) is_lost: bool,
}

impl Answer {
    /// What it says where all is well.
    pub(super) fn done(&self, party: Party, what: What, number: usize) -> String {
        match what {
            What::Read(label) | What::Write(label, _) | What::Doubt(label, _) => {
                self.item(what, label, number)
            }
            What::List => {
                let seen = (0..LABELS).filter(|label| !self.limits || party.sees(*label));
                let items: Vec<_> = seen.map(|label| self.item(what, label, number)).collect();
                format!(r#"{{"items":[{}],"next_starting_after":null}}"#, items.join(","))
            }
            What::Pass(nonce) => format!("{{\"echo\":{nonce},\"of\":{}}}", party.0),
        }
    }

    /// A label as it says it. Lists alone say who may see it.
    pub(super) fn item(&self, what: What, label: usize, number: usize) -> String {
        let grants = if self.limits && what == What::List { Grants::Shown } else { Grants::Silent };
        item(self.organization, label, self.versions[label], number, grants)
    }

    /// Its head, as a stream has it.
    pub(super) fn head(&self) -> http::Response<()> {
        let head = http::Response::builder().status(self.status).header("content-type", "application/json");
        let head = match self.retry_after {
            Some(wait) => head.header("retry-after", wait),
            None => head,
        };
        head.body(()).expect("a sound head")
    }

    /// What is sent of it by a stream: a byte that stands for the head, and the body.
    pub(super) fn to_piece(&self) -> Vec<u8> {
        [b"h", self.body.as_bytes()].concat()
    }

    /// What is sent of it over HTTP/1.1.
    pub(super) fn to_bytes(&self, number: usize) -> Vec<u8> {
        let Self { status, body, .. } = self;
        let wait = self.retry_after.map_or_else(String::new, |wait| format!("retry-after: {wait}\r\n"));
        let head = format!("HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n{wait}");
        let length = body.len();
        if number % 2 == 1 {
            return format!("{head}content-length: {length}\r\n\r\n{body}").into_bytes();
        }
        let (one, two) = body.split_at(length / 2);
        let (first, second) = (one.len(), two.len());
        format!(
            "{head}transfer-encoding: chunked\r\n\r\n{first:x}\r\n{one}\r\n{second:x}\r\n{two}\r\n0\r\n\r\n"
        )
        .into_bytes()
    }
}
