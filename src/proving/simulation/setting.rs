//! [`Setting`]: what kind of world it is.

use super::truth::ORGANIZATIONS;

/// What kind of world it is, beside its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) replicas: usize,
    /// What the upstream speaks where label calls may share a connection.
    pub(super) speaks: Speaks,
    pub(super) flaw: Option<Flaw>,
}

/// What is agreed on with the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
}

/// What is wrong with it on purpose, so that a promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Other calls change a label, and whoever made one expects to see that.
    OtherCallsWrite,
}

impl Setting {
    /// One process, without a store.
    pub(super) const ALONE: Self = Self { replicas: 1, speaks: Speaks::Http1, flaw: None };
    /// Several, with one.
    pub(super) const FLEET: Self = Self { replicas: 3, speaks: Speaks::Http1, flaw: None };

    /// Every other world has an upstream that speaks HTTP/2.
    pub(super) const fn of_seed(self, seed: u64) -> Self {
        let speaks = if seed.is_multiple_of(2) { Speaks::Http2 } else { Speaks::Http1 };
        Self { speaks, ..self }
    }

    /// How many organizations have callers.
    pub(super) const fn organizations(self) -> usize {
        if self.is_fleet() { ORGANIZATIONS / 2 } else { ORGANIZATIONS }
    }

    pub(super) const fn is_fleet(self) -> bool {
        self.replicas > 1
    }
}
