//! Late answers: requests that wait at a gate while other things happen.

use std::collections::VecDeque;

use tokio::task::JoinHandle;

use super::super::arena::{Asked, Told, Written};
use super::super::ledger::Before;
use super::super::oracle::Fate;
use super::super::parties::PARTIES;
use super::super::steps::{Verb, Wish};
use super::Alone;
use crate::support::{Gate, Outgoing, Reply, patiently};

/// A request whose answer comes late.
pub(super) struct Late {
    gate: Gate,
    task: JoinHandle<Result<Reply, String>>,
    what: What,
    target: String,
    /// Whether it may have been answered at a moment that the test did not choose.
    unseen: bool,
}

impl Late {
    fn release_unseen(&mut self) {
        self.gate.release();
        self.unseen = true;
    }
}

enum What {
    Read(Asked),
    Write(Written),
}

impl Alone {
    pub(super) async fn hold_read(&mut self, party: usize, target: usize) {
        let target = self.targets[target].clone();
        let (asked, outgoing) = self.arena.reading(party, &target, Wish::Plain);
        self.allowance += 4;
        let gate = self.hold("GET", &target);
        self.late_one(gate, outgoing, What::Read(asked)).await;
    }

    pub(super) async fn hold_write(&mut self, party: usize, verb: Verb, label: u32, fate: Fate) {
        let (written, outgoing) = self.arena.writing(party, verb, label, fate);
        self.allowance += 1;
        self.forget_stored();
        let nonce = written.nonce.clone();
        let gate = self.arena.upstream.hold(move |request| request.field("x-nonce") == Some(&nonce));
        self.late_one(gate, outgoing, What::Write(written)).await;
    }

    fn hold(&self, method: &'static str, target: &str) -> Gate {
        let target = target.to_owned();
        self.arena.upstream.hold(move |request| request.is(method, &target))
    }

    /// Sends a request; it is late if its call waits at the gate, or if it waits for another late one.
    async fn late_one(&mut self, gate: Gate, outgoing: Outgoing, what: What) {
        let mut task = tokio::spawn(outgoing.attempt());
        let held = gate.held(1);
        let surely = async {
            match self.late.is_empty() {
                true => std::future::pending().await,
                false => self.surely().await,
            }
        };
        tokio::select! {
            biased;
            reply = &mut task => return self.finish(what, reply.expect("no panic"), None),
            () = held => {}
            () = surely => {}
        }
        let target = match &what {
            What::Read(asked) => asked.target.clone(),
            What::Write(written) => written.nonce.clone(),
        };
        self.late.push_back(Late { gate, task, what, target, unseen: false });
    }

    /// Lets the oldest go, and with it those that may follow it.
    pub(super) async fn release(&mut self) {
        let Some(oldest) = self.late.front().map(|late| late.target.clone()) else { return };
        let (chosen, rest) = self.late.drain(..).partition(|late| late.target == oldest);
        self.late = rest;
        self.let_go(chosen).await;
    }

    pub(super) async fn release_all(&mut self) {
        let all = self.late.drain(..).collect();
        self.let_go(all).await;
    }

    async fn let_go(&mut self, chosen: VecDeque<Late>) {
        let known = self.arena.before();
        chosen.iter().for_each(|late| late.gate.release());
        for late in chosen {
            let mut task = late.task;
            let reply = tokio::select! {
                biased;
                reply = &mut task => reply,
                // It waits for another late one.
                () = self.surely() => {
                    self.late.iter_mut().for_each(Late::release_unseen);
                    patiently("a late answer", task).await
                }
            };
            self.finish(late.what, reply.expect("no panic"), Some(&known).filter(|_| !late.unseen));
        }
    }

    /// What came late is held to what was known when it was asked for, and its right to it to what was `known` when it
    /// was let go.
    fn finish(&mut self, what: What, reply: Result<Reply, String>, known: Option<&Before>) {
        let reply = reply.expect("a whole answer");
        match what {
            What::Read(asked) => {
                let told = self.arena.check_read(&asked, reply);
                if let Some(known) = known {
                    self.arena.check_overtaken(&asked, &told);
                    self.check_right(known, &asked, &told);
                }
                if told.reply.status >= 400 {
                    self.doubt_token(asked.party);
                }
                if told.is_hit() {
                    self.prove_behind(asked.party);
                } else {
                    // It may have proven anew, dated by a wall clock that was set back meanwhile.
                    self.proven.remove(&asked.party);
                }
            }
            What::Write(written) => {
                self.arena.check_write(&written, &reply);
                self.wrote(&written, reply.status);
            }
        }
    }

    /// Who shared another credential's answer was still proven when that came.
    #[track_caller]
    fn check_right(&self, known: &Before, asked: &Asked, told: &Told) {
        if told.body.is_none() || told.reply.cache_status() != "fwd=miss; collapsed" {
            return;
        }
        let oracle = &self.arena.oracle;
        let own = oracle.any(|_, entry| {
            entry.party == Some(asked.party)
                && entry.target == asked.target
                && told.body.as_ref() == Some(&entry.body)
        });
        let party = PARTIES[asked.party];
        let may_have = own || known.may_be_proven(oracle, asked.party, false);
        assert!(may_have, "refused before it was answered: {party:?} {:?}", told.reply);
    }

    pub(super) async fn abandon(&mut self) {
        let Some(late) = self.late.pop_front() else { return };
        late.task.abort();
        let _ = late.task.await;
        late.gate.release();
        self.late.iter_mut().for_each(|other| other.unseen |= other.target == late.target);
        self.forget_stored();
        // Nobody is told when it ends.
        (0..PARTIES.len()).for_each(|party| self.prove_behind(party));
    }
}
