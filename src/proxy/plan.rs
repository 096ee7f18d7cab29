//! [`plan`]: what to do about a label read, and why. Pure: it is told what is known and answers; nothing is spent, noted or
//! begun by asking it. `read` carries plans out, `explain` prints them.
//!
//! | the credential is | stored and allowed | plan |
//! |---|---|---|
//! | proven | fresh | serve |
//! | proven | stale, inside `stale_while_revalidate` | serve stale, refresh behind |
//! | proven | fresh, a younger one is asked for | fetch, or serve where refetches are used up |
//! | proven | stale, inside `stale_if_error` | fetch, or serve stale where that would fail |
//! | proven | nothing | wait for a list that brings it, or fetch |
//! | lapsed, its proof would do in an outage | anything that may be served | serve in an outage; else ask, for a moment |
//! | lapsed, or unknown | whatever | ask with its own token, which proves it |
//!
//! `only-if-cached` makes 504 of a fetch, and an edge that turns our own reads away makes a pass-through of it.

use crate::cache::decide::{Decision, Servable};
use crate::caller::standing::{Outage, Standing};
use crate::fetch::{Fallback, Ground, Wait, Waits};
use crate::outcome::StaleReason;

/// What to do about a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Answer from the fresh stored response.
    Serve(Servable, Behind),
    /// Answer from the stale stored response.
    Stale(Servable, StaleReason, Behind),
    /// Answer from the stored response although a younger one is asked for: refetches are used up.
    RefetchLimited(Servable),
    /// Wait for a list that brings it along with others.
    WaitForList,
    /// Wait for the proof that another read of this credential asks for.
    WaitForProof(Urgency),
    /// Ask the API, by itself or with whoever asks the same.
    Fetch(Ground, Urgency),
    /// Pass the caller's own request through: our own reads are turned away.
    Pass,
    /// 504: only a stored response is asked for.
    OnlyIfCached,
}

/// What is to be done behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    Nothing,
    /// Renew the proof; the answer to that refreshes the response, too.
    Prove,
    Refresh,
}

/// How long a read waits for what is fetched for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Until its deadline.
    Patient,
    /// For a moment: an old proof would do if the API could not be asked.
    Brief,
}

/// What is known of a read.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) standing: &'a Standing,
    /// What is to be done by the stored response and the client's wishes alone.
    pub(super) decision: Decision,
    pub(super) only_if_cached: bool,
    pub(super) waits: Waits,
}

/// What else there is to know: asked where it matters, for each costs a lock. Asking changes nothing.
pub(super) trait Circumstances {
    /// Whether the organization may fetch something that is stored and fresh.
    fn may_refetch(&self) -> bool;
    /// Why a fetch would fail, as far as it is known before.
    fn why_not_ask(&self) -> Option<StaleReason>;
    /// Whether the API cannot be asked for this organization at all.
    fn cannot_be_asked(&self) -> bool;
    /// Whether a list brings, or is about to bring, what is wanted.
    fn has_list(&self) -> bool;
    /// Whether another read of this credential asks for its proof.
    fn has_attempt(&self) -> bool;
    /// Whether the edge lets our own reads pass.
    fn edge_is_open(&self) -> bool;
}

/// What to do about a read.
pub(super) fn plan(view: &View<'_>, around: &impl Circumstances) -> Plan {
    match view.standing {
        Standing::Proven { renew, .. } => {
            proven(view, if *renew { Behind::Prove } else { Behind::Refresh }, around)
        }
        Standing::Lapsed { outage: Some(outage), .. } => in_doubt(view, *outage, around),
        Standing::Lapsed { outage: None, .. } | Standing::Unknown => unproven(view, Urgency::Patient, around),
    }
}

/// `behind` is what goes on behind an answer from the store: a proof reads the label, too, and goes ahead where a refresh is
/// left for later.
fn proven(view: &View<'_>, behind: Behind, around: &impl Circumstances) -> Plan {
    let ground = match view.decision {
        Decision::Serve { stored, ageing } => {
            let idle = !ageing && behind == Behind::Refresh;
            return Plan::Serve(stored, if idle { Behind::Nothing } else { behind });
        }
        Decision::Revalidate(stale) => return Plan::Stale(stale, StaleReason::Revalidating, behind),
        Decision::Refuse => return Plan::OnlyIfCached,
        Decision::Refetch(fresh) if !around.may_refetch() => return Plan::RefetchLimited(fresh),
        Decision::Refetch(_) => Ground::Younger,
        Decision::Fetch { fallback: Some(stale) } => match around.why_not_ask() {
            // In the background one of them finds out when the API may be asked again.
            Some(reason) => return Plan::Stale(stale, reason, behind),
            None => Ground::Missing(Fallback::Stored),
        },
        Decision::Fetch { fallback: None } => Ground::Missing(Fallback::Nothing),
    };
    if ground.fallback() == Fallback::Nothing && !view.waits.has(Wait::List) && around.has_list() {
        return Plan::WaitForList;
    }
    if around.edge_is_open() { Plan::Fetch(ground, Urgency::Patient) } else { Plan::Pass }
}

/// The proof is old, but would do if the API could not be asked: ask, yet not for long.
fn in_doubt(view: &View<'_>, outage: Outage, around: &impl Circumstances) -> Plan {
    let behind = if outage.attempt_due { Behind::Prove } else { Behind::Nothing };
    let served = match view.decision {
        Decision::Serve { stored, .. } => Plan::Serve(stored, behind),
        Decision::Revalidate(stale) | Decision::Fetch { fallback: Some(stale) } => {
            Plan::Stale(stale, StaleReason::Error, behind)
        }
        Decision::Fetch { fallback: None } | Decision::Refetch(_) | Decision::Refuse => {
            return unproven(view, Urgency::Patient, around);
        }
    };
    if outage.confirmed || around.cannot_be_asked() || view.waits.has(Wait::OwnProof) {
        return served;
    }
    unproven(view, Urgency::Brief, around)
}

/// No proof: the API, with the read's own token, sharing with no other credential.
fn unproven(view: &View<'_>, urgency: Urgency, around: &impl Circumstances) -> Plan {
    if view.only_if_cached {
        return Plan::OnlyIfCached;
    }
    if !view.waits.has(Wait::Proof) && around.has_attempt() {
        return Plan::WaitForProof(urgency);
    }
    if around.edge_is_open() { Plan::Fetch(Ground::ToProve, urgency) } else { Plan::Pass }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
