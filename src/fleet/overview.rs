//! [`FleetOverview`]: what of the fleet is shown, on the status page and by `status`.

use super::Fleet;
use super::roster::Replica;
use crate::clock::Moment;

/// The fleet as this replica sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetOverview {
    /// Whether this replica has a lease.
    pub lease: bool,
    /// The server that it is linked to, if it is.
    pub store: Option<String>,
    /// Members, as of the last beat.
    pub members: u32,
    /// Number of the last notice applied here.
    pub applied: u64,
    /// Writes under way, which the fleet knows of.
    pub open_writes: usize,
    /// Answers that are held until others have applied what they invalidate.
    pub held_answers: usize,
    /// Writes that could not be told yet.
    pub unannounced: usize,
    /// Who is there; nothing where the store cannot be asked.
    pub replicas: Option<Vec<Replica>>,
}

impl Fleet {
    /// What is to be shown now.
    pub async fn overview(&self, now: Moment) -> FleetOverview {
        let replicas = if self.has_lease(now) { self.roster().await } else { None };
        let seen = self.seen.lock();
        FleetOverview {
            lease: self.has_lease(now),
            store: seen.store.clone(),
            members: seen.status.as_ref().map_or(0, |status| status.members),
            applied: self.stamp().0,
            open_writes: seen.status.as_ref().map_or(0, |status| status.open_writes),
            held_answers: seen.status.as_ref().map_or(0, |status| status.held_answers),
            unannounced: seen.status.as_ref().map_or(0, |status| status.unannounced),
            replicas,
        }
    }
}
