//! [`Slot`]: one call's part of what its accounts may send.

use std::time::Duration;

use super::account::{Accounts, ProbeId};
use super::window::CallerId;

/// A slot that was spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) accounts: Accounts,
    pub(super) caller: CallerId,
    pub(super) at: Duration,
    /// Set where the call is the probe of an account that was closed.
    pub(super) probe: Option<ProbeId>,
}
