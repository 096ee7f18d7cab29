//! [`HeldShare`]: what one caller has of the turns, as the table keeps it.

use std::time::Duration;

use super::share::Share;
use super::window::Minute;

/// What one caller has of the turns, and had of its cap.
#[derive(Debug)]
pub(super) struct HeldShare {
    pub(super) share: Share,
    pub(super) minute: Minute,
    pub(super) used_at: Duration,
}
