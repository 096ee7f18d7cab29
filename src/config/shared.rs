//! [`Shared`]: the store that makes one fleet of many replicas.

use std::path::PathBuf;
use std::time::Duration;

use super::{StoreAddress, StoreSettings};

/// `[shared]`: where the fleet meets, and what is kept there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Where the store is and how one speaks to it.
    pub store: StoreSettings,
    /// Whether plaintext off loopback is accepted.
    pub allow_plaintext: bool,
    /// File with the secrets that the fleet shares.
    pub secret_file: PathBuf,
    /// What every name in the store begins with; replicas of one namespace are one fleet.
    pub namespace: String,
    /// How long a replica may serve what is stored after its last good beat.
    pub lease: Duration,
    /// Lifetime of stored responses, at most, at a replica without a lease.
    pub alone_ttl: Duration,
    /// Whether one replica's proof counts for all.
    pub share_proofs: bool,
    /// Whether the others are told of writes of what is not cached here, too.
    pub tell_all_writes: bool,
    /// What becomes of label writes at a replica without a lease.
    pub when_lost: WhenLost,
    /// Whether the process refuses to start where the store cannot be used.
    pub required: bool,
}

/// `shared.when_lost`: what becomes of label writes at a replica without a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenLost {
    /// They are sent, and announced when the link is back.
    Alone,
    /// They are refused.
    RefuseWrites,
}

impl Shared {
    /// The defaults, for one server and these secrets.
    #[must_use]
    pub fn at(address: StoreAddress, secret_file: PathBuf) -> Self {
        Self {
            store: StoreSettings::standalone(address),
            allow_plaintext: false,
            secret_file,
            namespace: "instantly-proxy".to_owned(),
            lease: Duration::from_millis(500),
            alone_ttl: Duration::from_secs(10),
            share_proofs: true,
            tell_all_writes: false,
            when_lost: WhenLost::Alone,
            required: false,
        }
    }
}
