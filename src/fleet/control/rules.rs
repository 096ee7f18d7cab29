//! [`Rule`]: what P1 rests on. In tests each can be left out, to see that the simulation misses it.

/// One rule of `docs/FLEET.md`, "How P1 holds".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// All that a beat brought is applied before the lease is extended.
    ApplyBeforeLease,
    /// The lease runs from when the beat was sent.
    LeaseFromSent,
    /// A beat that left more to bring gives no lease.
    LeaseAfterLastPage,
    /// An answer goes when all have applied its notices, not when they are in the log.
    HoldUntilApplied,
    /// Else 1.2 leases after the reply to the append was read.
    WaitFromReply,
    /// By the monotonic clock alone.
    MonotonicAlone,
    /// A list of members that was first seen is waited out.
    WaitOutNewList,
    /// A notice of the bell is applied if the one before it has been.
    BellAfterPredecessor,
    /// Who is not in the log has missed something: everything.
    EverythingWhenUnknown,
    /// What was appended to another history, or not for certain, is appended anew.
    AppendAnew,
    /// Open writes that nobody renews are taken over.
    TakeOver,
    /// A lease is given up before the membership.
    LeaseEndsBeforeLeaving,
}

/// The rules that are kept: all of them.
#[cfg(not(test))]
#[derive(Debug)]
pub(super) struct Rules;

#[cfg(not(test))]
impl Rules {
    pub(super) const ALL: Self = Self;

    #[expect(clippy::unused_self, reason = "in tests a rule can be left out")]
    pub(super) const fn keep(&self, _: Rule) -> bool {
        true
    }
}

/// The rules that are kept: all but one at most.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct Rules(pub(super) Option<Rule>);

#[cfg(test)]
impl Rules {
    pub(super) const ALL: Self = Self(None);

    pub(super) fn keep(&self, rule: Rule) -> bool {
        self.0 != Some(rule)
    }
}
