//! What is true upstream: organizations with labels under the same ids, and credentials of theirs.

use uuid::Uuid;

use super::super::wire::Message;

pub(super) const ORGANIZATIONS: usize = 8;
pub(super) const LABELS: usize = 4;
pub(super) const PARTIES: usize = 5 * ORGANIZATIONS;

const COLLECTION: &str = "/api/v2/lead-labels";
pub(super) const ELSEWHERE: &str = "/api/v2/campaigns";

/// A credential. Of each organization there are five: three plain ones, the token of the third once more with the
/// `x-as-workspace` of its own organization, and one that may not read labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Party(pub(super) usize);

impl Party {
    pub(super) const fn organization(self) -> usize {
        self.0 % ORGANIZATIONS
    }

    const fn kind(self) -> usize {
        self.0 / ORGANIZATIONS
    }

    /// Two of an organization's have the same.
    pub(super) const fn token(self) -> usize {
        if self.kind() == 3 { self.0 - ORGANIZATIONS } else { self.0 }
    }

    pub(super) const fn may_read(self) -> bool {
        self.kind() != 4
    }

    /// Its fields, as a client sends them.
    pub(super) fn fields(self) -> String {
        let workspace = match self.kind() {
            3 => format!("x-as-workspace: {}\r\n", organization_id(self.organization())),
            _ => String::new(),
        };
        format!("authorization: Bearer t{}\r\n{workspace}", self.token())
    }

    /// Whose a request is that arrived upstream.
    pub(super) fn of(request: &Message) -> Self {
        let token = request.field("authorization").and_then(|value| value.strip_prefix("Bearer t"));
        let token: usize = token.and_then(|token| token.parse().ok()).expect("a token of ours");
        match request.field("x-as-workspace") {
            None => Self(token),
            Some(workspace) => {
                let party = Self(token + ORGANIZATIONS);
                assert_eq!(workspace, organization_id(party.organization()).to_string(), "another workspace");
                party
            }
        }
    }
}

pub(super) fn organization_id(organization: usize) -> Uuid {
    Uuid::from_u128(0x018f_2a00_0000_7000_8000_0000_0000_0000 + organization as u128)
}

/// Every organization has a label with this id.
pub(super) fn label_id(label: usize) -> Uuid {
    Uuid::from_u128(0x0199_7c3e_0000_7000_8000_0000_0000_0000 + label as u128)
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Read(usize),
    List,
    /// A write, and what the simulation calls it.
    Write(usize, usize),
    /// Another call, whose body says what the simulation calls it.
    Pass(usize),
}

impl What {
    pub(super) const fn is_read(self) -> bool {
        matches!(self, Self::Read(_) | Self::List)
    }

    /// The request of a client, with a field that no fetch may carry.
    pub(super) fn request(self, party: Party) -> Vec<u8> {
        let (line, body) = match self {
            Self::Read(label) => (format!("GET {COLLECTION}/{}", label_id(label)), String::new()),
            Self::List => (format!("GET {COLLECTION}"), String::new()),
            Self::Write(label, nonce) => {
                (format!("PATCH {COLLECTION}/{}", label_id(label)), format!("{{\"label\":\"w{nonce}\"}}"))
            }
            Self::Pass(nonce) => (format!("POST {ELSEWHERE}"), format!("p{nonce}")),
        };
        let length = match body.len() {
            0 => String::new(),
            length => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
        };
        let fields = party.fields();
        format!("{line} HTTP/1.1\r\nhost: a\r\n{fields}x-junk: j\r\n{length}\r\n{body}").into_bytes()
    }

    /// What a request that arrived upstream asks for.
    pub(super) fn of(request: &Message) -> Self {
        let mut words = request.line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let body = String::from_utf8_lossy(&request.body);
        let nonce = |before: &str, behind: &str| {
            let digits = body.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
            digits.and_then(|digits| digits.parse().ok()).expect("the body that a client sent")
        };
        if target == ELSEWHERE && method == "POST" {
            return Self::Pass(nonce("p", ""));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let item = path.strip_prefix(COLLECTION).expect("a target of ours").strip_prefix('/');
        let label = item.map(|id| {
            (0..LABELS)
                .find(|label| label_id(*label).to_string() == id)
                .expect("an id of ours, spelled as it is")
        });
        match (method, label) {
            ("GET", Some(label)) if query.is_empty() => Self::Read(label),
            ("GET", None) if query.is_empty() || query == "limit=100" => Self::List,
            ("PATCH", Some(label)) => Self::Write(label, nonce("{\"label\":\"w", "\"}")),
            _ => panic!("nobody asked for {}", request.line),
        }
    }
}

/// The labels of an organization, by the versions that they have.
pub(super) type Versions = [u64; LABELS];

/// A label as this call was answered with it: whose it is, how old, and by which call can be told from its bytes.
pub(super) fn item(organization: usize, label: usize, version: u64, call: usize) -> String {
    let (id, organization) = (label_id(label), organization_id(organization));
    format!(r#"{{"id":"{id}","organization_id":"{organization}","label":"v{version}","n":{call}}}"#)
}

pub(super) fn page(organization: usize, versions: Versions, call: usize) -> String {
    let items: Vec<_> = versions
        .iter()
        .enumerate()
        .map(|(label, version)| item(organization, label, *version, call))
        .collect();
    format!(r#"{{"items":[{}],"next_starting_after":null}}"#, items.join(","))
}

/// By which calls the labels in a body were answered.
pub(super) fn calls_in(body: &str) -> Vec<usize> {
    let numbers = body.split("\"n\":").skip(1);
    numbers.filter_map(|rest| rest.split(['}', ',']).next()?.parse().ok()).collect()
}
