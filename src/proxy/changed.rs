//! [`Changed`]: what a write has changed.

use crate::fence::Fate;
use crate::organization::Extent;

/// What a write has changed, as far as anybody knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    pub(super) extent: Extent,
    pub(super) fate: Fate,
}

impl Changed {
    /// It may have changed anything.
    pub(super) const fn unknown() -> Self {
        Self { extent: Extent::Organization, fate: Fate::Unknown }
    }
}
