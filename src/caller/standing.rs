//! [`Standing`]: what of one resource a credential may have at one moment, by what is remembered of it.

use std::sync::Arc;

use crate::organization::Organization;

/// What of one resource a credential may have, at one moment.
#[derive(Clone, Debug)]
pub enum Standing {
    /// No organization is known.
    Unknown,
    /// Proven: may have its organization's stored responses of that resource.
    Proven {
        /// Of this organization.
        organization: Arc<Organization>,
        /// Whether the proof has aged so far that it should be renewed in the background.
        renew: bool,
    },
    /// Known, but not proven; another resource may have told of it.
    Lapsed {
        /// Its organization: budget and epoch, no right to a hit.
        organization: Arc<Organization>,
        /// Set where the last proof would still do if the upstream could not be asked.
        outage: Option<Outage>,
    },
}

impl Standing {
    /// The organization, if it is known.
    #[must_use]
    pub const fn organization(&self) -> Option<&Arc<Organization>> {
        match self {
            Self::Unknown => None,
            Self::Proven { organization, .. } | Self::Lapsed { organization, .. } => Some(organization),
        }
    }

    /// The organization whose stored responses may be served to it, be it in an outage alone.
    #[must_use]
    pub const fn served(&self) -> Option<&Arc<Organization>> {
        match self {
            Self::Proven { organization, .. } | Self::Lapsed { organization, outage: Some(_) } => {
                Some(organization)
            }
            Self::Lapsed { outage: None, .. } | Self::Unknown => None,
        }
    }
}

/// What a background read of a credential is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackgroundRead {
    /// To renew its proof.
    Proof,
    /// To refresh what is stored.
    Refresh,
}

/// What is known of the upstream's reachability for a credential whose proof is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The latest attempt failed a moment ago: the upstream cannot be asked.
    pub confirmed: bool,
    /// The next attempt may begin.
    pub attempt_due: bool,
}

/// What a refusal has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing: the key merely has no scope for that route.
    Nothing,
    /// No proof, for there was none; but answers under way prove nothing any more.
    NoProof,
    /// One proof or more.
    Proofs,
}

impl Ended {
    pub(super) const fn of(proofs: usize) -> Self {
        if proofs == 0 { Self::NoProof } else { Self::Proofs }
    }
}
