//! Which replicas have confirmed what was announced, by name.

use std::collections::BTreeSet;

use super::Fleet;
use super::notice::Notice;
use super::roster::Replica;

/// Which replicas have applied a notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmations {
    /// Whether the store took it; else it is told when the link is back.
    pub announced: bool,
    /// Those that have, this one included.
    pub confirmed: Vec<String>,
    /// Those that had not when their leases were over.
    pub silent: Vec<String>,
}

impl Fleet {
    /// Tells all others, waits until they have applied it or their leases are over, and says which have.
    pub async fn announce_and_ask(&self, notice: Notice) -> Confirmations {
        // Asked before as well: who does not answer is a member no more when the wait is over.
        let before = self.roster().await.unwrap_or_default();
        let receipt = self.announce(notice).await;
        let after = self.roster().await.unwrap_or_default();
        let announced = receipt.number.0 > 0;
        let has_confirmed = |replica: &&Replica| announced && replica.applied >= receipt.number;
        let confirmed: BTreeSet<_> =
            after.iter().filter(has_confirmed).map(|replica| replica.member).collect();
        let mut told = Confirmations { announced, ..Confirmations::default() };
        let mut seen = BTreeSet::new();
        for replica in after.iter().chain(&before) {
            if seen.insert(replica.member) {
                let list =
                    if confirmed.contains(&replica.member) { &mut told.confirmed } else { &mut told.silent };
                list.push(replica.name());
            }
        }
        told
    }
}

impl Replica {
    /// What it is called: as it says, or by the beginning of what the store calls it.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.about {
            Some(about) if !about.name.is_empty() => about.name.clone(),
            _ => self.member[..4].iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}
