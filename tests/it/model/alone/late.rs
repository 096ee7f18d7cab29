//! Late answers: requests that wait at a gate while other things happen.

use tokio::task::JoinHandle;

use super::super::arena::{Asked, Written};
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
            reply = &mut task => return self.finish(what, reply.expect("no panic")),
            () = held => {}
            () = surely => {}
        }
        self.late.push_back(Late { gate, task, what });
    }

    pub(super) async fn release(&mut self, late: Late) {
        late.gate.release();
        let mut task = late.task;
        // It may wait for another late one.
        let reply = tokio::select! {
            biased;
            reply = &mut task => reply,
            () = self.surely() => {
                self.late.iter().for_each(|other| other.gate.release());
                patiently("a late answer", task).await
            }
        };
        self.finish(late.what, reply.expect("no panic"));
    }

    pub(super) async fn release_all(&mut self) {
        self.late.iter().for_each(|late| late.gate.release());
        while let Some(late) = self.late.pop_front() {
            self.release(late).await;
        }
    }

    /// What came late is held to what was known when it was asked for.
    fn finish(&mut self, what: What, reply: Result<Reply, String>) {
        let reply = reply.expect("a whole answer");
        match what {
            What::Read(asked) => {
                let told = self.arena.check_read(&asked, reply);
                self.arena.check_overtaken(&asked, &told);
                if told.reply.status >= 400 {
                    self.doubt_token(asked.party);
                }
                if told.is_hit() {
                    self.prove_behind(asked.party);
                }
            }
            What::Write(written) => {
                self.arena.check_write(&written, &reply);
                self.wrote(&written, reply.status);
            }
        }
    }

    pub(super) async fn abandon(&mut self) {
        let Some(late) = self.late.pop_front() else { return };
        late.task.abort();
        let _ = late.task.await;
        late.gate.release();
        self.forget_stored();
        // Nobody is told when it ends.
        (0..PARTIES.len()).for_each(|party| self.prove_behind(party));
    }
}
