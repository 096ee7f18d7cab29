//! [`Slot`]: one call's part of what its accounts may send.

use std::time::Duration;

use super::account::{Accounts, ProbeId};
use super::beside::Part;
use super::booked::Granted;
use super::share::Observed;
use super::window::CallerId;

/// What each account of a call had spent of its limits, that call included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Had {
    pub(super) first: Part,
    /// All of them where there is no second account.
    pub(super) second: Part,
}

/// A slot that was spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) accounts: Accounts,
    pub(super) caller: CallerId,
    /// What limits that are observed alone would have made of it.
    pub(super) observed: Option<Observed>,
    pub(super) at: Duration,
    /// What each of its accounts had spent with it.
    pub(super) had: Had,
    /// The moment that was booked for it, if one was.
    pub(super) booked: Option<Granted>,
    /// Set where the call is the probe of an account that was closed.
    pub(super) probe: Option<ProbeId>,
}
