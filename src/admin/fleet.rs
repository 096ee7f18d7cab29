//! The fleet, as `/api/status` shows it.

use serde::Serialize;

use crate::fleet::overview::FleetOverview;
use crate::fleet::roster::Replica;

/// The fleet as this replica sees it.
#[derive(Serialize)]
pub(super) struct Fleet {
    /// Whether this replica may serve what is stored for its whole lifetime; without a lease it is alone.
    lease: bool,
    /// The server that it is linked to.
    store: Option<String>,
    members: u32,
    /// Number of the last notice applied here.
    applied: u64,
    open_writes: usize,
    held_answers: usize,
    unannounced_writes: usize,
    /// Nothing where the store cannot be asked.
    replicas: Option<Vec<Member>>,
}

/// One of its replicas.
#[derive(Serialize)]
struct Member {
    name: String,
    version: Option<String>,
    /// Unix time of its start, in seconds.
    since: Option<u64>,
    /// Number of the last notice that it has applied.
    applied: u64,
    /// Whether it tells of the writes of what it does not cache, too.
    tells_all_writes: Option<bool>,
}

impl From<FleetOverview> for Fleet {
    fn from(overview: FleetOverview) -> Self {
        let FleetOverview { lease, store, members, applied, .. } = overview;
        let FleetOverview { open_writes, held_answers, unannounced, replicas, .. } = overview;
        let replicas = replicas.map(|replicas| replicas.iter().map(Member::of).collect());
        Self {
            lease,
            store,
            members,
            applied,
            open_writes,
            held_answers,
            unannounced_writes: unannounced,
            replicas,
        }
    }
}

impl Member {
    fn of(replica: &Replica) -> Self {
        let about = replica.about.as_ref();
        Self {
            name: replica.name(),
            version: about.map(|about| about.version.clone()),
            since: about.map(|about| about.since),
            applied: replica.applied.0,
            tells_all_writes: about.map(|about| about.tells_all_writes),
        }
    }
}
