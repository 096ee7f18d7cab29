//! [`Known`]: what one process knows for certain, by all that has reached it.

use std::collections::HashSet;
use std::time::Duration;

use super::judge::{PATIENCE, PROOF};
use super::truth::{LABELS, ORGANIZATIONS, PARTIES, Party};
use crate::clock::Moment;

/// A 200 to a credential's own read that named its organization.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    pub(super) organization: usize,
    /// By whose read.
    pub(super) replica: usize,
    /// When its call was sent, and where that stands among all events.
    pub(super) at: Moment,
    pub(super) event: u64,
    /// The event in which all of it was on its way.
    pub(super) landed: u64,
}

/// An answer that showed who may see a label.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) event: u64,
    pub(super) at: Moment,
}

pub(super) struct Known {
    /// Of each credential, for each organization that it was proven for: the latest, and earlier ones that are later by the wall
    /// clock, which was set back in between.
    proofs: Vec<Vec<Proof>>,
    pub(super) refused: [u64; PARTIES],
    /// Until when this may hear of the last refusal anywhere.
    pub(super) hearing: [Duration; PARTIES],
    /// Whose organization it surely knows: what is said of another is no answer to it.
    pub(super) bound: [bool; PARTIES],
    /// Whether it has a proof of it for certain, by a read of its own: a refusal here is told to the others.
    pub(super) proved: [bool; PARTIES],
    /// What a credential asked for before the last purge, or before the last answer to somebody else, does not make it known.
    pub(super) unbound: [u64; PARTIES],
    /// Until when a call may be the second try of what was asked for before that.
    retried: [Duration; PARTIES],
    /// Refusals on their way, each with the event in which its head may have come.
    pub(super) coming: Vec<(usize, u64)>,
    /// Answers to somebody else on their way: they cost the binding, and the proof with it.
    mixed_up: Vec<usize>,
    /// Proofs on their way: those for other organizations count no more once they have come.
    proven: Vec<(usize, usize)>,
    met_401: HashSet<usize>,
    /// Whether a page of labels has come.
    pub(super) witnessed: [bool; ORGANIZATIONS],
    limits_coming: Vec<usize>,
    pub(super) limits: [Option<Limits>; ORGANIZATIONS],
    /// Nothing that was asked for before it.
    pub(super) purged: [[u64; LABELS]; ORGANIZATIONS],
}

impl Known {
    pub(super) fn nothing() -> Self {
        Self {
            proofs: vec![Vec::new(); PARTIES],
            refused: [0; PARTIES],
            hearing: [Duration::ZERO; PARTIES],
            bound: [false; PARTIES],
            proved: [false; PARTIES],
            unbound: [0; PARTIES],
            retried: [Duration::ZERO; PARTIES],
            coming: Vec::new(),
            mixed_up: Vec::new(),
            proven: Vec::new(),
            met_401: HashSet::new(),
            witnessed: [false; ORGANIZATIONS],
            limits_coming: Vec::new(),
            limits: [None; ORGANIZATIONS],
            purged: [[0; LABELS]; ORGANIZATIONS],
        }
    }

    /// What is left when another process takes its place and the store still has the proofs.
    pub(super) fn restarted(&mut self) {
        let proofs = std::mem::take(&mut self.proofs);
        *self = Self { proofs, refused: self.refused, purged: self.purged, ..Self::nothing() };
    }

    pub(super) fn proofs(&self, party: Party, organization: usize) -> impl Iterator<Item = &Proof> {
        self.proofs[party.0].iter().filter(move |proof| proof.organization == organization)
    }

    /// Whether it knows a credential, by a read of its own since then that need not be renewed.
    pub(super) fn is_surely_proven(
        &self,
        party: Party,
        replica: usize,
        now: Moment,
        since: Duration,
    ) -> bool {
        let is_young = |proof: &Proof| {
            // A refusal of somebody else's ends what was asked for before it is heard of.
            let asked_at = proof.at.uptime();
            let is_behind = proof.event > self.refused[party.0] && asked_at > self.hearing[party.0];
            proof.replica == replica && now.since(proof.at) <= PROOF / 2 && is_behind && asked_at >= since
        };
        let proofs = &self.proofs[party.0];
        self.bound[party.0] && proofs.len() == 1 && proofs.iter().all(is_young)
    }

    /// A proof comes here; one for another organization is worth nothing once it has.
    pub(super) fn prove(&mut self, party: Party, proof: Proof) {
        let moved = self.proofs[party.0].iter().any(|known| known.organization != proof.organization);
        if self.learn(party, proof) {
            self.proven.push((party.0, proof.organization));
            self.bound[party.0] =
                !moved && proof.event > self.refused[party.0] && self.is_anew(party, &proof);
        }
    }

    /// Another process may have shared it. Whether it is the latest.
    pub(super) fn learn(&mut self, party: Party, proof: Proof) -> bool {
        let proofs = &mut self.proofs[party.0];
        if proofs.iter().any(|known| known.event > proof.event) {
            return false;
        }
        let is_of_use = |known: &Proof| known.at.unix() > proof.at.unix();
        proofs.retain(|known| known.organization != proof.organization || is_of_use(known));
        proofs.push(proof);
        true
    }

    /// Whether it was surely asked for behind what made its credential unknown.
    pub(super) fn is_anew(&self, party: Party, proof: &Proof) -> bool {
        proof.event > self.unbound[party.0] && proof.at.uptime() >= self.retried[party.0]
    }

    pub(super) fn mix_up(&mut self, party: Party, event: u64, now: Moment) {
        self.unbind(party.0, event, Some(now));
        self.mixed_up.push(party.0);
    }

    /// It is not known any more. Where something that it asked for is under way, calls for that may still be made.
    pub(super) fn unbind(&mut self, party: usize, event: u64, asking: Option<Moment>) {
        (self.bound[party], self.proved[party], self.unbound[party]) = (false, false, event);
        if let Some(now) = asking {
            self.retried[party] = now.uptime() + PATIENCE;
        }
    }

    /// Whether a 401 to another call counts: the second of them may be one of scope.
    pub(super) fn is_first_401(&mut self, party: Party) -> bool {
        self.met_401.insert(party.0)
    }

    /// A page of labels came, which says who may see them if anybody may not.
    pub(super) fn witness(&mut self, organization: usize, limits: bool) {
        self.witnessed[organization] = true;
        if limits {
            self.limits_coming.push(organization);
        }
    }

    /// What was on its way has come. How many refusals that were.
    pub(super) fn note_quiet(&mut self, event: u64, last_quiet: u64, now: Moment) -> u64 {
        for party in self.mixed_up.drain(..) {
            // One that came together with it may have come behind it.
            self.proofs[party].retain(|proof| proof.landed >= last_quiet);
        }
        for (party, organization) in self.proven.drain(..) {
            self.proofs[party]
                .retain(|proof| proof.organization == organization || proof.landed >= last_quiet);
        }
        for organization in self.limits_coming.drain(..) {
            self.limits[organization] = Some(Limits { event, at: now });
        }
        let coming = std::mem::take(&mut self.coming);
        for (party, begun) in &coming {
            self.refuse(*party, event.min(*begun));
        }
        coming.len() as u64
    }

    pub(super) fn refuse(&mut self, party: usize, event: u64) {
        self.refused[party] = self.refused[party].max(event);
        (self.bound[party], self.proved[party]) = (false, false);
    }
}
