//! Who asks, for what, and the model's time.

use std::time::Duration;

use uuid::Uuid;

use crate::support::labels::{label_id, organization, token};
use crate::support::{Kind, LABEL, Peculiar};

/// Organizations with labels; the admin workspace is one of them.
pub(super) const NAMES: [&str; 4] = ["a", "b", "c", "admin"];

/// A credential: a key, and whom it acts for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Party {
    home: &'static str,
    key: u32,
    acts_for: Option<&'static str>,
    /// Whose labels it is given; none is refused everywhere.
    pub(super) organization: Option<&'static str>,
}

const fn party(home: &'static str, key: u32) -> Party {
    Party { home, key, acts_for: None, organization: Some(home) }
}

/// Every credential of the model.
pub(super) const PARTIES: [Party; 11] = [
    party("a", 1),
    party("a", 2),
    party("a", 3),
    party("b", 1),
    party("b", 2),
    party("c", 1),
    party("admin", 1),
    Party { acts_for: Some("a"), organization: Some("a"), ..party("admin", 1) },
    Party { acts_for: Some("b"), organization: Some("b"), ..party("admin", 1) },
    Party { acts_for: Some("c"), organization: None, ..party("admin", 1) },
    Party { organization: None, ..party("nobody", 1) },
];

/// Labels that a party does not see while its organization has resource ownership on; nobody writes them.
pub(super) const HIDDEN: [(usize, u32); 3] = [(1, 3), (4, 3), (4, 4)];

/// Whether this label is hidden from this party at times.
pub(super) fn may_be_hidden(party: usize, id: Uuid) -> bool {
    HIDDEN.iter().any(|(from, label)| *from == party && label_id(*label) == id)
}

impl Party {
    pub(super) fn token(self) -> String {
        token(self.home, self.key)
    }

    /// Whether this workspace is given to it.
    pub(super) fn is_of(self, workspace: Uuid) -> bool {
        self.organization.is_some_and(|name| organization(name) == workspace)
    }

    pub(super) fn workspace(self) -> Option<Uuid> {
        self.acts_for.map(organization)
    }
}

/// The party that sends these fields.
pub(super) fn party_of(authorization: Option<&str>, workspace: Option<&str>) -> Option<usize> {
    let token = authorization?.strip_prefix("Bearer ")?;
    let workspace = workspace.and_then(|workspace| workspace.parse().ok());
    PARTIES.iter().position(|party| party.token() == token && party.workspace() == workspace)
}

/// What only this organization's labels hold.
pub(super) fn canary(name: &str) -> String {
    format!("canary-{name}-")
}

/// The text of this version of an item.
pub(super) fn text(kind: Kind, name: &str, version: u64) -> String {
    format!("{}{}-{version}", canary(name), kind.resource.name)
}

/// Targets of reads: four items and five lists. The last one is never stored.
pub(super) fn targets(kind: Kind) -> Vec<String> {
    let all = match kind == LABEL && Peculiar::ListsByInterest.is_there() {
        true => "?interest_status=positive&limit=100",
        false => "?limit=50",
    };
    let lists = ["", "?limit=100", "?limit=2", all, "?search=canary"];
    (1..=4).map(|n| kind.path(n)).chain(lists.iter().map(|query| format!("{}{query}", kind.list()))).collect()
}

/// How many those are.
pub(super) const TARGETS: usize = 9;

/// A list that holds every label of an organization.
pub(super) fn is_full_list(target: &str) -> bool {
    target.ends_with("limit=100")
}

/// A list, whose lifetime is a minute.
pub(super) fn is_list(target: &str) -> bool {
    target.matches('/').count() == "/api/v2/collection".matches('/').count()
}

/// The label with this id.
pub(super) fn is_label(target: &str, id: Uuid) -> bool {
    target.ends_with(&id.to_string())
}

/// A list that proves and is never stored.
pub(super) fn is_search(target: &str) -> bool {
    target.contains("search=")
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Time {
    monotonic: Duration,
    wall: Duration,
}

impl Time {
    /// Where the model begins: the wall clock can be set back by years from here.
    pub(super) fn start() -> Self {
        Self { monotonic: Duration::ZERO, wall: Duration::from_secs(1_800_000_000) }
    }

    pub(super) fn advanced(self, by: Duration) -> Self {
        Self { monotonic: self.monotonic + by, wall: self.wall + by }
    }

    pub(super) fn wall_ahead(self, by: Duration) -> Self {
        Self { wall: self.wall + by, ..self }
    }

    pub(super) fn wall_back(self, by: Duration) -> Self {
        Self { wall: self.wall.saturating_sub(by), ..self }
    }

    /// The later reading of each clock.
    pub(super) fn latest(self, other: Self) -> Self {
        Self { monotonic: self.monotonic.max(other.monotonic), wall: self.wall.max(other.wall) }
    }

    /// Whether either clock has come to `other`.
    pub(super) fn reached(self, other: Self) -> bool {
        self.monotonic >= other.monotonic || self.wall >= other.wall
    }

    /// What the monotonic clock says has passed.
    pub(super) fn ran_since(self, earlier: Self) -> Duration {
        self.monotonic.saturating_sub(earlier.monotonic)
    }

    /// The larger of what both clocks say has passed.
    pub(super) fn since(self, earlier: Self) -> Duration {
        self.monotonic.saturating_sub(earlier.monotonic).max(self.wall.saturating_sub(earlier.wall))
    }
}
