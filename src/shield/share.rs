//! [`Share`]: what a caller has of the turns, beside other callers.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::Mode;

/// What a caller has of the turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Tells callers apart; nothing where each credential is one.
    pub caller: Option<u64>,
    /// Its part, beside those of others.
    pub weight: NonZeroU32,
    /// Calls that all replicas send for it in any minute.
    pub cap: Option<NonZeroU32>,
    /// When its calls may go.
    pub urgency: Urgency,
    /// Whether its cap holds, or is counted alone.
    pub mode: Mode,
}

/// When a caller's calls may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// In its turn.
    Turns,
    /// When nobody else waits, and what others are likely to need is left.
    Spare,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            caller: None,
            weight: NonZeroU32::MIN,
            cap: None,
            urgency: Urgency::Turns,
            mode: Mode::Enforce,
        }
    }
}

/// What limits that are observed alone would have made of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It would have waited so long.
    Waits(Duration),
    /// It would have been refused, and told to come again in so long.
    Refused(Duration),
}
