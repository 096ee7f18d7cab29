//! The second tier: stored responses and proofs in the store, behind the memory of each replica.
//!
//! [`Tier`] asks for them and puts them there; `entry` and `proof` are what is sealed, `times` how old it is, `fill_lock` who
//! fetches it, `scripts` what the store does in one step. What was found is handed on as it is: whether it is the answer to a
//! read is judged by whoever asked, as a body from the upstream would be.
//!
//! A replica without a lease asks nothing, nor does one that does not know what its calls are stamped with. All calls of one
//! request share one [`Patience`]; when it is spent the rest goes without the store.

pub mod entry;
mod fill_lock;
mod look_up;
mod look_up_proof;
pub mod proof;
mod record;
pub mod times;
mod write_behind;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

pub use self::fill_lock::{FillLock, Progress};
pub use self::look_up::{Found, LookUp, Wanted};
pub use self::look_up_proof::ProofLookUp;
use self::proof::SharedProof;
pub use self::record::Scope;
use self::times::{StoreClock, Trust};
pub use self::write_behind::{Learned, Proved};
use super::heard::Heard;
use super::lease::Lease;
use super::names::Names;
use super::seal::Sealer;
use super::store::Data;
use crate::caller::credential::Credential;
use crate::clock::{Clock, Moment};
use crate::metrics::{LookupResult, Rejected, SharedSeries};
use crate::resource::Descriptor;

/// The part of `shared.timeout` that look-ups may take.
const LOOK_UPS_PART: f32 = 0.8;

/// How much longer a request may wait for the store, all of its look-ups together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(Duration);

impl Patience {
    /// What is left.
    #[must_use]
    pub const fn left(self) -> Duration {
        self.0
    }

    /// Less so much.
    pub fn spend(&mut self, waited: Duration) {
        self.0 = self.0.saturating_sub(waited);
    }
}

/// What a [`Tier`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// Until when this replica may ask.
    pub lease: Arc<Lease>,
    /// What judges the stamps of entries and proofs.
    pub heard: Arc<Heard>,
    /// What is known of the store's clock.
    pub times: Arc<StoreClock>,
    /// The connections.
    pub data: Arc<Data>,
    /// What everything is called.
    pub names: Arc<Names>,
    /// What seals it.
    pub sealer: Arc<Sealer>,
    /// Host and port of the upstream.
    pub authority: Box<str>,
    /// Whether proofs are shared.
    pub proofs: ShareProofs,
    /// How long one request may wait for the store.
    pub timeout: Duration,
    /// Runs what nobody waits for.
    pub runtime: Handle,
    /// The time.
    pub clock: Clock,
    /// Counts.
    pub series: SharedSeries,
}

/// Whether proofs are shared (`shared.share_proofs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareProofs {
    /// They are.
    Yes,
    /// Each replica proves for itself.
    No,
}

/// The second tier, as requests ask it.
#[derive(Debug)]
pub struct Tier(Parts);

impl Tier {
    /// Of these parts.
    #[must_use]
    pub const fn new(parts: Parts) -> Self {
        Self(parts)
    }

    /// How long the look-ups of one request may wait for the store: a fifth of what it may wait in all is kept for the
    /// question for a slot of the budget, which comes behind them where they found nothing. Without that, a store that takes
    /// as long as it may for the one would leave no time for the other, and the call would take from the share of this
    /// replica although the store answers.
    #[must_use]
    pub fn patience(&self) -> Patience {
        Patience(self.0.timeout.mul_f32(LOOK_UPS_PART))
    }

    /// Whether the store may be asked now.
    #[must_use]
    pub fn may_ask(&self, now: Moment) -> bool {
        self.0.lease.holds_at(now) && self.0.heard.stamp().is_some()
    }

    /// The store's time, which was asked for and answered at these moments.
    pub fn note_time(&self, time: Duration, asked: Moment, answered: Moment) {
        match self.0.times.note(time, asked, answered) {
            Trust::Ended => tracing::warn!("the clocks of this machine and of the store are apart"),
            Trust::Began => tracing::info!("the clocks of this machine and of the store agree"),
            Trust::Unchanged => {}
        }
    }

    /// Whether something may be taken out of the store now: that needs no stamp, for nothing is judged.
    fn may_take_out(&self, now: Moment) -> bool {
        self.0.lease.holds_at(now)
    }

    /// Whether proofs are shared.
    #[must_use]
    pub fn shares_proofs(&self) -> bool {
        self.0.proofs == ShareProofs::Yes
    }

    /// What judges the stamps of entries.
    #[must_use]
    pub fn heard(&self) -> &Heard {
        &self.0.heard
    }

    /// Whether a proof is from after all that ended proofs of this credential by this resource here, heard of or met.
    #[must_use]
    pub fn admits_proof(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        proof: &SharedProof,
    ) -> bool {
        let (heard, stamp, now) = (&self.0.heard, proof.stamp.number, self.0.clock.now());
        let Some(sent) = self.age(proof.sent, now).map(|age| now.back(age)) else { return false };
        let mut named = self.0.names.credentials(credential);
        // In this order, as for entries.
        named.all(|named| {
            heard.admits_proof(named.authorization, resource, proof.organization, stamp)
                && !heard.is_refused_here_since(named.authorization, resource, sent)
        }) && heard.is_of_this_history(proof.stamp)
    }

    /// Counts something that the store has and that does not count.
    pub fn count(&self, rejected: Rejected) {
        self.0.series.rejected(rejected);
        tracing::debug!(reason = %rejected, "what the store has does not count");
    }

    /// Counts a look-up.
    pub fn count_look_up(&self, result: LookupResult) {
        self.0.series.lookup(result);
    }

    fn scope(&self) -> Scope<'_> {
        Scope { namespace: self.0.names.namespace(), authority: &self.0.authority }
    }
}

#[cfg(test)]
mod tests;
