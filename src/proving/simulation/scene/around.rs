//! What happens around callers and calls: time, tokens, operators, faults, and the end.

use std::time::Duration;

use super::super::broken::hold;
use super::super::client::Client;
use super::super::event::Event;
use super::super::store::Fault;
use super::super::truth::{LABELS, ORGANIZATIONS, PARTIES, Party, What, label_id, organization_id};
use super::super::upstream::{Call, Fate, Share};
use super::{CLIENTS, Purging, Scene, favourite};
use crate::organization::OrganizationName;
use crate::proxy::Purge;
use crate::resource::LEAD_LABEL;

/// A fetch takes no longer.
const DEADLINE: Duration = Duration::from_secs(10);
/// A replica whose link to the store is well has a lease again after so long, whatever was before.
const LINKED: Duration = Duration::from_secs(5);

impl Scene {
    pub(super) fn pass(&mut self, time: Duration) {
        self.settle();
        self.note(&Event::Passes { time });
        let most = if self.setting.is_fleet() { Duration::from_millis(20) } else { Duration::from_secs(1) };
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(most);
            self.stage.pass(step);
            // Whoever waits may run out of time.
            let now = self.stage.now();
            let waiting = self.upstream.lines.iter().filter_map(|line| line.call);
            for call in waiting.map(|number| &self.upstream.calls[number]) {
                self.oracle.note_trouble_of(call, now);
                if now.since(call.at) >= DEADLINE {
                    self.oracle.note_unreachable(call.replica);
                }
            }
            self.settle();
            left -= step;
        }
    }

    pub(super) fn jump(&mut self) {
        // What was said before it is judged by the time of then.
        self.settle();
        let by = Duration::from_secs(self.chance.u64(1..4000));
        let ahead = self.chance.bool();
        self.note(&Event::Jumps { by, ahead });
        self.oracle.note_doubt(self.event);
        if ahead {
            self.stage.hand.jump_wall_ahead(by);
        } else {
            self.stage.hand.jump_wall_back(by);
        }
    }

    pub(super) fn refuse(&mut self) {
        self.note(&Event::Refuses);
        self.stage.upstream.refuse();
        self.refusing = true;
    }

    pub(super) fn listen(&mut self) {
        self.note(&Event::Listens);
        self.stage.upstream.listen_again();
        self.refusing = false;
    }

    pub(super) fn switch_token(&mut self) {
        // Often one by which somebody waits for an answer.
        let waiting = self.clients.iter().filter_map(Client::asked).map(|asked| asked.party.token());
        let waiting = favourite(self.seed, waiting.map(|token| (token, token)));
        let token = waiting.filter(|_| self.chance.bool()).unwrap_or_else(|| self.chance.usize(..PARTIES));
        // Most of the time most are welcome.
        let is_now = !self.upstream.revoked[token] && self.chance.u32(..2) == 0;
        self.upstream.revoked[token] = is_now;
        self.note(&Event::Revoked { token, is_now });
    }

    /// Some tokens move, and some move back.
    pub(super) fn move_token(&mut self) {
        let token = self.chance.usize(ORGANIZATIONS..3 * ORGANIZATIONS);
        let to =
            if self.chance.bool() { Party(token).first_home() } else { self.chance.usize(..ORGANIZATIONS) };
        self.note(&Event::Moved { token, to });
        self.upstream.homes[token] = to;
        self.oracle.has_moved[token] = true;
    }

    /// Every other organization limits now and then who sees a label.
    pub(super) fn restrict(&mut self) {
        let organization = 1 + 2 * self.chance.usize(..ORGANIZATIONS / 2);
        let is_now = !self.upstream.limits[organization];
        self.upstream.limits[organization] = is_now;
        self.note(&Event::Restricted { organization, is_now });
    }

    pub(super) fn purge(&mut self) {
        self.settle();
        let organization = (self.chance.u32(..4) > 0).then(|| self.chance.usize(..ORGANIZATIONS));
        let label = self.chance.bool().then(|| self.chance.usize(..LABELS));
        let replica = self.chance.usize(..self.setting.replicas);
        // A resource by itself goes another way.
        let resource = (self.chance.u32(..3) == 0).then_some(&LEAD_LABEL);
        self.note(&Event::Purge { organization, label, of_resource: resource.is_some(), replica });
        self.oracle.note_doubt(self.event);
        let name = organization.map(|organization| OrganizationName(organization_id(organization)));
        let what = Purge { organization: name, label: label.map(label_id), resource };
        let done = self.stage.process(replica).purge(what);
        self.purges.push(Purging { done, event: self.event, replica, organization, label });
    }

    /// Two callers whose organizations are known get each other's answers. Of one at a time: the first makes it unknown again.
    pub(super) fn slip(&mut self) {
        let calls = &self.upstream.calls;
        let on_its_way = |call: &Call| {
            let others = self.upstream.lines.iter().filter_map(|line| Some(&calls[line.call?]));
            others.filter(|other| other.slipped).any(|other| other.party.token() == call.party.token())
        };
        let ready = |number: usize| {
            let call = &calls[number];
            let done = call.answer.as_ref().is_some_and(|answer| answer.status == 200);
            let is_known = self.oracle.is_bound(call) && !self.oracle.has_moved[call.party.token()];
            done && matches!(call.what, What::Read(_)) && is_known && !on_its_way(call)
        };
        let lines = self.upstream.lines.iter();
        let waiting: Vec<_> = lines
            .filter(|line| !line.has_begun())
            .filter_map(|line| line.call)
            .filter(|number| ready(*number))
            .collect();
        let (Some(&one), Some(&other)) = (waiting.first(), waiting.last()) else { return };
        let differ =
            calls[one].what != calls[other].what || calls[one].organization != calls[other].organization;
        if differ {
            self.note(&Event::Slip { one, other });
            self.upstream.slip(one, other);
        }
    }

    /// Whose link to the store is not well may be alone, and for a while after it is.
    pub(super) fn note_links(&mut self) {
        let Some(shared) = &self.stage.shared else { return };
        let now = self.stage.now().uptime();
        let until = now + LINKED;
        for replica in 0..self.setting.replicas {
            let lost = shared.store.faults.iter().any(|fault| fault.severs(replica));
            self.oracle.note_link(replica, lost.then_some(now));
            if shared.store.faults.iter().any(|fault| fault.concerns(replica)) {
                self.oracle.note_disturbed(replica, now, until);
            }
        }
    }

    pub(super) fn store_fails(&mut self) {
        self.settle();
        let replica = self.chance.usize(..self.setting.replicas);
        let fault = match self.chance.u32(..20) {
            0..4 => Fault::Cut(replica),
            4..7 => Fault::Freeze(replica),
            7..11 => Fault::Slow(replica, self.chance.u16(1..60)),
            11 | 12 => Fault::Deaf(replica),
            13 => Fault::Echo(replica),
            14 => Fault::Restart,
            15 => Fault::Flush,
            16 => Fault::Evict,
            _ => Fault::Tamper,
        };
        self.note(&Event::Store { fault });
        let now = self.stage.now();
        let until = now.uptime() + LINKED;
        let Some(shared) = &mut self.stage.shared else { return };
        shared.store.befall(fault, &mut self.chance);
        if fault == Fault::Evict {
            self.oracle.note_counts_lost(now);
        }
        for replica in (0..self.setting.replicas).filter(|replica| fault.concerns(*replica)) {
            self.oracle.note_disturbed(replica, now.uptime(), until);
        }
    }

    pub(super) fn store_heals(&mut self) {
        self.note_links();
        if let Some(shared) = &mut self.stage.shared {
            shared.store.faults.clear();
        }
        self.note_links();
        self.note(&Event::StoreHeals);
    }

    pub(super) fn restart(&mut self) {
        self.settle();
        let replica = self.chance.usize(..self.setting.replicas);
        self.note(&Event::Restart { replica });
        for client in (replica..CLIENTS).step_by(self.setting.replicas) {
            self.clients[client].lose();
        }
        self.upstream.lose(replica);
        self.purges.retain(|purge| purge.replica != replica);
        self.stage.restart(replica);
        self.oracle.note_restart(replica, self.stage.now());
        if self.setting.is_fleet() {
            let now = self.stage.now().uptime();
            self.oracle.note_disturbed(replica, now, now + LINKED);
        }
    }

    /// Whoever waits gets what is true now.
    pub(super) fn answer_everybody(&mut self) {
        for client in 0..CLIENTS {
            self.clients[client].send_rest();
            self.note_sent(client);
        }
        for line in 0..self.upstream.lines.len() {
            let Some(number) = self.upstream.lines[line].call else { continue };
            if self.upstream.calls[number].answer.is_none() {
                self.act(number, Fate::Done);
            }
            self.answer(line, Share::All);
        }
    }

    /// Everything is well again: whoever waits gets an answer, and so does whoever asks then.
    pub(super) fn end_well(&mut self) {
        self.listen();
        self.store_heals();
        self.upstream.revoked = [false; PARTIES];
        self.answer_for(50);
        // The first calls find out that whatever was shut is open again.
        self.ask_all();
        self.answer_for(20);
        self.well = Some(self.event);
        self.ask_all();
        self.answer_for(20);
    }

    /// Every client asks for a label that it may have.
    fn ask_all(&mut self) {
        for client in 0..CLIENTS {
            let (party, label) = (Party(client), client % LABELS);
            let hidden = self.upstream.limits[party.first_home()] && !party.sees(label);
            if self.clients[client].is_idle() && !self.oracle.has_moved[party.token()] && !hidden {
                self.ask_for(client, party, What::Read(label), 0);
            }
        }
    }

    /// For so many half seconds every call is answered; then nobody waits.
    fn answer_for(&mut self, turns: u32) {
        for _ in 0..turns {
            self.event += 1;
            self.answer_everybody();
            self.settle();
            self.pass(Duration::from_millis(500));
        }
        let waits = |client: &&Client| !client.is_idle();
        let waiting: Vec<_> = self.clients.iter().filter(waits).filter_map(Client::asked).collect();
        let is_over = waiting.is_empty() && self.purges.is_empty();
        hold(is_over, "R7: nobody waits for ever", || format!("{waiting:?}"));
    }
}
