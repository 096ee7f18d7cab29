//! Whether another replica spares a fetch: what it asks for, what came of that, and what others are told behind it.

use std::sync::Arc;

use super::asker::{Ground, Wanted};
use super::flight::Storing;
use super::result::Fetched;
use crate::fleet::tier::{FillLock, Learned, Proved, Tier};
use crate::purpose::Purpose;
use crate::tick::Tick;

/// What of other replicas would spare a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// Nothing: its client asks for what is younger than its request, or it is not for storing.
    Nothing,
    /// A stored response.
    Entry,
    /// A proof, for a credential that has none.
    Proof,
    /// A younger proof; the old one does for a while.
    Renewal,
}

impl Asks {
    /// Of a fetch for a read.
    pub(super) fn of(wanted: &Wanted<'_>) -> Self {
        match wanted.ground {
            _ if wanted.purpose == Purpose::Proof => Self::Renewal,
            Ground::ToProve => Self::Proof,
            Ground::Missing(_) if wanted.after == Tick::default() && wanted.storing == Storing::Allowed => {
                Self::Entry
            }
            Ground::Missing(_) | Ground::Younger => Self::Nothing,
        }
    }
}

/// Whether a fetch is spared.
pub(super) enum Spared {
    /// This is what came of it.
    By(Fetched),
    /// It goes upstream, holding the lock of what it is to bring, if it got one.
    Not(Option<FillLock>),
}

/// What is told other replicas behind an answer.
pub(super) struct Behind {
    pub(super) tier: Arc<Tier>,
    pub(super) learned: Option<Learned>,
    pub(super) proved: Option<Proved>,
    pub(super) lock: Option<FillLock>,
}

impl Behind {
    /// Tells them. The lock is freed last: who takes it next must find what it was held for.
    pub(super) fn tell_others(self) {
        let Self { tier, learned, proved, lock } = self;
        let work = Arc::clone(&tier);
        tier.behind(async move {
            if let Some(learned) = learned {
                work.keep(learned).await;
            }
            if let Some(proved) = proved {
                work.keep_proof(proved).await;
            }
            drop(lock);
        });
    }
}
