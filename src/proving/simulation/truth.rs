//! What is true upstream: organizations with labels under the same ids, and credentials of theirs.

use uuid::Uuid;

use super::super::wire::Message;
use super::broken::hold;

pub(super) const ORGANIZATIONS: usize = 8;
pub(super) const LABELS: usize = 4;
pub(super) const PARTIES: usize = 5 * ORGANIZATIONS;
/// Where an organization limits who sees a label, it is this one.
const LIMITED: usize = LABELS - 1;

const COLLECTION: &str = "/api/v2/lead-labels";
pub(super) const ELSEWHERE: &str = "/api/v2/campaigns";

/// A credential. Of each organization there are five at first: three plain ones, the token of the third once more with the
/// `x-as-workspace` of that organization, and one that may not read labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Party(pub(super) usize);

impl Party {
    /// Whose it is before any token moves.
    pub(super) const fn first_home(self) -> usize {
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

    /// The organization that it says it acts for.
    pub(super) const fn workspace(self) -> Option<usize> {
        if self.kind() == 3 { Some(self.first_home()) } else { None }
    }

    /// Whether it sees a label of an organization that limits who does: one sees all, and one none.
    pub(super) const fn sees(self, label: usize) -> bool {
        match self.kind() {
            0 => true,
            1 => false,
            _ => label != LIMITED,
        }
    }

    /// Whose a request is that arrived upstream.
    pub(super) fn of(request: &Message) -> Self {
        let token = request.field("authorization").and_then(|value| value.strip_prefix("Bearer t"));
        let token: usize = token.and_then(|token| token.parse().ok()).expect("a token of ours");
        match request.field("x-as-workspace") {
            None => Self(token),
            Some(workspace) => {
                let party = Self(token + ORGANIZATIONS);
                assert_eq!(workspace, organization_id(party.first_home()).to_string(), "another workspace");
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    Read(usize),
    List,
    /// A read with a query that nobody knows, and what the simulation calls it.
    Doubt(usize, usize),
    /// A write, and what the simulation calls it.
    Write(usize, usize),
    /// Another call, whose body says what the simulation calls it.
    Pass(usize),
}

/// A client's request.
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: String,
    /// Where the framing can do without, whether its length is told.
    pub(super) tells_length: bool,
}

impl Request {
    /// As it goes over a connection of HTTP/1.1.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { method, target, fields, body, .. } = self;
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: a\r\n");
        for (name, value) in fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.extend(["\r\n", body]);
        head.into_bytes()
    }
}

impl What {
    /// Whether it may be answered from memory.
    pub(super) const fn is_read(self) -> bool {
        matches!(self, Self::Read(_) | Self::List)
    }

    pub(super) const fn is_of_labels(self) -> bool {
        !matches!(self, Self::Pass(_))
    }

    /// The same without what the simulation calls it.
    pub(super) const fn kind(self) -> Self {
        match self {
            Self::Doubt(label, _) => Self::Doubt(label, 0),
            Self::Write(label, _) => Self::Write(label, 0),
            Self::Pass(_) => Self::Pass(0),
            Self::Read(_) | Self::List => self,
        }
    }

    /// What must not be sent a second time.
    pub(super) const fn nonce(self) -> Option<usize> {
        match self {
            Self::Write(_, nonce) | Self::Pass(nonce) => Some(nonce),
            Self::Read(_) | Self::List | Self::Doubt(..) => None,
        }
    }

    /// The request of a client, with a field that no fetch may carry.
    pub(super) fn request(self, party: Party) -> Request {
        let id = |label| format!("{COLLECTION}/{}", label_id(label));
        let (method, target, body) = match self {
            Self::Read(label) => ("GET", id(label), String::new()),
            Self::List => ("GET", COLLECTION.to_owned(), String::new()),
            Self::Doubt(label, nonce) => ("GET", format!("{}?doubt={nonce}", id(label)), String::new()),
            Self::Write(label, nonce) => ("PATCH", id(label), format!("{{\"label\":\"w{nonce}\"}}")),
            Self::Pass(nonce) => ("POST", ELSEWHERE.to_owned(), format!("p{nonce}")),
        };
        let mut fields =
            vec![("authorization", format!("Bearer t{}", party.token())), ("x-junk", "j".to_owned())];
        if let Some(workspace) = party.workspace() {
            fields.push(("x-as-workspace", organization_id(workspace).to_string()));
        }
        if !body.is_empty() {
            fields.push(("content-type", "application/json".to_owned()));
            fields.push(("content-length", body.len().to_string()));
        }
        let tells_length = self.nonce().is_none_or(|nonce| nonce.is_multiple_of(2));
        Request { method, target, fields, body, tells_length }
    }

    /// What a request that arrived upstream asks for.
    pub(super) fn of(request: &Message) -> Self {
        let mut words = request.line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let body = String::from_utf8_lossy(&request.body);
        let nonce = |before: &str, behind: &str| {
            let digits = body.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
            let nonce = digits.and_then(|digits| digits.parse().ok());
            hold(nonce.is_some(), "R9: a body that is sent on is one that a client sent", || {
                body.to_string()
            });
            nonce.unwrap_or_default()
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
        let doubt = query.strip_prefix("doubt=").and_then(|nonce| nonce.parse().ok());
        match (method, label) {
            ("GET", Some(label)) if query.is_empty() => Self::Read(label),
            ("GET", Some(label)) if doubt.is_some() => Self::Doubt(label, doubt.unwrap_or_default()),
            ("GET", None) if query.is_empty() || query == "limit=100" => Self::List,
            ("PATCH", Some(label)) => Self::Write(label, nonce("{\"label\":\"w", "\"}")),
            _ => panic!("nobody asked for {}", request.line),
        }
    }
}

/// The labels of an organization, by the versions that they have.
pub(super) type Versions = [u64; LABELS];

/// Whether an answer says who may see a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grants {
    Silent,
    Shown,
}

/// A label as this call was answered with it: whose it is, how old, and by which call can be told from its bytes.
pub(super) fn item(organization: usize, label: usize, version: u64, call: usize, grants: Grants) -> String {
    let (id, organization) = (label_id(label), organization_id(organization));
    let shown = match grants {
        Grants::Silent => "",
        Grants::Shown if label == LIMITED => "\"access_grants\":[\"somebody\"],",
        Grants::Shown => "\"access_grants\":[],",
    };
    format!(r#"{{"id":"{id}","organization_id":"{organization}",{shown}"label":"v{version}","n":{call}}}"#)
}

/// By which calls the labels in a body were answered.
pub(super) fn calls_in(body: &str) -> Vec<usize> {
    let numbers = body.split("\"n\":").skip(1);
    numbers.filter_map(|rest| rest.split(['}', ',']).next()?.parse().ok()).collect()
}
