//! What one replica says, step by step.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::{Clock, ManualClock};

mod answers;
mod beats;

const LEASE: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_millis(600);
/// Beats of three members are this far apart at least.
const SPACED: Duration = Duration::from_micros(120);
const WRITE: WriteId = WriteId(7);

/// What was applied, in order; everything as an empty notice.
#[derive(Debug, Default)]
struct Applied {
    notices: Vec<(u64, Vec<u8>)>,
    /// Which of them this replica had said itself.
    own: Vec<WriteId>,
}

impl Apply for Applied {
    fn notice(&mut self, number: Number, body: &[u8], own: Option<WriteId>) {
        self.notices.push((number.0, body.to_vec()));
        self.own.extend(own);
    }

    fn everything(&mut self, number: Number) {
        self.notices.push((number.0, Vec::new()));
    }
}

struct Replica {
    control: Control,
    lease: Arc<Lease>,
    clock: Clock,
    hand: ManualClock,
    applied: Applied,
}

/// What the store says to a beat.
struct Said {
    history: &'static str,
    known: bool,
    more: bool,
    members: i64,
    lowest: i64,
    notices: &'static [&'static str],
    /// Of all beats.
    count: i64,
    /// At which the open write that was not renewed for longest was renewed.
    oldest: Option<i64>,
}

const FIRST: &str = "0000000000000100by the first of members";
const SECOND: &str = "0000000000000300by the first of members";
const QUIET: Said = Said {
    history: FIRST,
    known: true,
    more: false,
    members: 3,
    lowest: 100,
    notices: &[],
    count: 1,
    oldest: None,
};
const JOINED: Said = Said { known: false, notices: &["0000000000000100"], ..QUIET };

/// What the store says of its log behind an append.
struct Logs {
    known: bool,
    more: bool,
    notices: &'static [&'static str],
}

const APPENDED: Logs = Logs { known: true, more: false, notices: &["0000000000000200mine"] };

fn appended(by: &str, number: i64, logs: &Logs) -> Reply {
    let ints = [number, 100, i64::from(logs.known), i64::from(logs.more), 9].map(Reply::Int);
    Reply::List([&[history(by)][..], &ints, &[bytes(logs.notices)]].concat())
}

fn history(name: &str) -> Reply {
    Reply::Bytes(format!("{name:<40}").into_bytes())
}

fn bytes(texts: &[&str]) -> Reply {
    Reply::List(texts.iter().map(|text| Reply::Bytes(text.as_bytes().to_vec())).collect())
}

impl Replica {
    fn new() -> Self {
        let (clock, hand) = Clock::manual();
        let lease = Arc::new(Lease::default());
        let settings = ControlSettings::new(LEASE, b"bell".to_vec(), Ring::Publish);
        let mut control = Control::new(settings, MemberId([1; 16]), Arc::clone(&lease));
        control.link_up("run");
        Self { control, lease, clock, hand, applied: Applied::default() }
    }

    /// One that has a lease, in a history that it has long known.
    fn settled() -> Self {
        let mut replica = Self::new();
        replica.beat(&JOINED);
        replica.hand.advance(LATER);
        replica.beat(&QUIET);
        replica.events();
        replica
    }

    fn call(&mut self) -> Call {
        match self.control.next(self.clock.now()) {
            Step::Send(call) => call,
            Step::Wait(until) => panic!("waits until {until:?}"),
        }
    }

    fn waits(&mut self) -> Option<Duration> {
        match self.control.next(self.clock.now()) {
            Step::Send(call) => panic!("sends {call:?}"),
            Step::Wait(until) => until.map(|until| until.saturating_sub(self.clock.uptime())),
        }
    }

    fn answer(&mut self, call: &Call, reply: Reply) {
        self.control.answered(call.id, reply, self.clock.now(), &mut self.applied);
    }

    fn answer_beat(&mut self, call: &Call, said: &Said) {
        assert_eq!(call.script, ControlScript::Beat);
        let (known, more) = (i64::from(said.known), i64::from(said.more));
        let by = Reply::Bytes(b"somebody".to_vec());
        let [known, more, members, lowest] = [known, more, said.members, said.lowest].map(Reply::Int);
        let [began, count, time] = [0, said.count, 1].map(Reply::Int);
        let oldest = said.oldest.map_or(Reply::Nil, Reply::Int);
        let notices = bytes(said.notices);
        let all =
            [history(said.history), began, known, more, count, members, lowest, by, oldest, time, notices];
        self.answer(call, Reply::List(all.to_vec()));
    }

    fn beat(&mut self, said: &Said) {
        let call = self.call();
        self.answer_beat(&call, said);
    }

    /// Announces a write, which becomes notice 200 of the first history.
    fn announce(&mut self) {
        self.control.announce(WRITE, vec![b"mine".to_vec()], Held::Answer, self.clock.now());
        let call = self.call();
        assert_eq!(
            (call.script, call.args.last().unwrap().as_slice()),
            (ControlScript::Append, &b"mine"[..])
        );
        self.answer(&call, appended(FIRST, 200, &APPENDED));
    }

    /// What has happened since it was last asked.
    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.control.event()).collect()
    }

    fn settled_as(&mut self) -> Option<Settled> {
        self.events()
            .into_iter()
            .filter_map(|event| if let Event::Settled { settled, .. } = event { Some(settled) } else { None })
            .next_back()
    }

    fn has_lease(&self) -> bool {
        self.lease.holds_at(self.clock.now())
    }
}

#[test]
fn a_lease_runs_from_when_a_beat_was_sent_and_only_after_the_last_page() {
    let mut replica = Replica::new();
    let call = replica.call();
    replica.hand.advance(Duration::from_millis(200));
    replica.answer_beat(&call, &Said { more: true, ..JOINED });
    assert!(!replica.has_lease(), "there is more");
    let call = replica.call();
    replica.hand.advance(Duration::from_millis(200));
    replica.answer_beat(&call, &Said { notices: &["0000000000000150theirs"], ..QUIET });
    assert_eq!(replica.applied.notices, [(100, vec![]), (100, vec![]), (150, b"theirs".to_vec())]);
    assert!(replica.has_lease());
    replica.hand.advance(Duration::from_millis(300));
    assert!(!replica.has_lease(), "500 ms after the beat was sent");
}

#[test]
fn beats_keep_a_distance_that_grows_with_the_members() {
    let mut replica = Replica::settled();
    assert_eq!(replica.waits(), Some(LEASE / 4));
    let bell = format!("{FIRST:<40}{:016}{:016}theirs", 100, 150);
    replica.control.rang(bell.as_bytes(), &mut replica.applied);
    assert_eq!(replica.applied.notices.last().unwrap().0, 150, "the one before it was applied");
    assert_eq!(replica.waits(), Some(Duration::from_micros(120)), "40 us for each of three");
    replica.hand.advance(Duration::from_micros(120));
    replica.beat(&QUIET);
    let bell = format!("{FIRST:<40}{:016}{:016}theirs", 160, 170);
    replica.control.rang(bell.as_bytes(), &mut replica.applied);
    assert_eq!(replica.applied.notices.last().unwrap().0, 150, "one is missing");
}

#[test]
fn an_answer_goes_once_all_have_applied_its_notice() {
    let mut replica = Replica::settled();
    replica.announce();
    assert_eq!(replica.settled_as(), None);
    for (lowest, settled) in [(100, None), (150, None), (200, Some(Settled::Confirmed))] {
        replica.hand.advance(Duration::from_millis(5));
        replica.beat(&Said { lowest, ..QUIET });
        assert_eq!(replica.settled_as(), settled, "{lowest}");
    }
}

#[test]
fn a_list_of_members_that_is_new_here_is_waited_out() {
    let mut replica = Replica::new();
    replica.beat(&JOINED);
    replica.announce();
    replica.hand.advance(Duration::from_millis(5));
    replica.beat(&Said { lowest: 200, ..QUIET });
    assert_eq!(replica.settled_as(), None, "who is not on it may have a lease");
}

#[test]
fn after_the_leases_of_all_an_answer_goes_and_who_has_not_moved_is_removed() {
    let mut replica = Replica::settled();
    replica.announce();
    for _ in 0..5 {
        replica.hand.advance(Duration::from_millis(100));
        replica.beat(&QUIET);
    }
    replica.hand.advance(Duration::from_millis(100));
    assert_eq!(replica.settled_as(), None);
    let call = replica.call();
    assert_eq!(call.script, ControlScript::Remove);
    assert_eq!(call.args[5..], [b"0000000000000200".to_vec(), b"0000000000000009".to_vec()]);
    assert_eq!(replica.settled_as(), Some(Settled::LeasesOver));
}

#[test]
fn what_was_appended_to_a_history_that_is_over_is_appended_anew() {
    let mut replica = Replica::settled();
    replica.announce();
    replica.hand.advance(Duration::from_millis(5));
    replica.beat(&Said { history: SECOND, lowest: 300, notices: &["0000000000000300"], ..JOINED });
    assert_eq!(replica.settled_as(), None);
    assert_eq!(replica.call().script, ControlScript::Append);
    assert!(replica.control.has_unheard());
}

#[test]
fn the_share_does_not_grow_while_the_others_come_back_to_a_store_that_lost_all() {
    let mut replica = Replica::settled();
    assert_eq!(replica.control.status().members, 3);
    let mut seen = |members: i64, later: u64| {
        replica.hand.advance(Duration::from_millis(later));
        replica.beat(&Said { history: SECOND, members, ..QUIET });
        replica.control.status().members
    };
    assert_eq!([seen(1, 200), seen(2, 200), seen(4, 200), seen(3, 200)], [3, 3, 4, 4]);
    assert_eq!(seen(2, 5000), 2, "who is not back by then is gone");
}

#[test]
fn what_was_appended_to_a_history_that_a_beat_has_ended_meanwhile_is_appended_anew() {
    let mut replica = Replica::settled();
    replica.control.announce(WRITE, vec![b"mine".to_vec()], Held::Nothing, replica.clock.now());
    let append = replica.call();
    replica.hand.advance(LEASE / 4);
    replica.beat(&Said { history: SECOND, lowest: 300, notices: &["0000000000000300"], ..JOINED });
    // It had been executed before the beat.
    replica.answer(&append, appended(FIRST, 200, &APPENDED));
    let append = replica.call();
    assert_eq!(append.script, ControlScript::Append);
    replica.answer(&append, appended(SECOND, 310, &Logs { notices: &["0000000000000310mine"], ..APPENDED }));
    assert!(!replica.control.has_unheard(), "the second tier may be asked");
}

#[test]
fn who_is_alone_before_a_write_answers_it_and_says_so_when_the_link_is_back() {
    let mut replica = Replica::settled();
    replica.control.link_down();
    replica.hand.advance(LEASE);
    let now = replica.clock.now();
    replica.control.open(WRITE, b"will", now);
    replica.control.announce(WRITE, vec![b"mine".to_vec()], Held::Answer, now);
    assert_eq!(replica.settled_as(), Some(Settled::Unannounced));
    assert!(replica.control.has_unheard());
    replica.control.link_up("run");
    replica.beat(&QUIET);
    assert_eq!(replica.call().script, ControlScript::Append);
}

#[test]
fn the_bell_is_rung_as_the_server_of_each_link_needs_it() {
    let mut replica = Replica::settled();
    let mut rung = |ring| {
        replica.hand.advance(LATER);
        replica.control.ring_by(ring);
        replica.control.link_up("run");
        replica.beat(&QUIET);
        let write = WriteId(u64::from(ring == Ring::ShardPublish));
        replica.control.announce(write, vec![b"mine".to_vec()], Held::Nothing, replica.clock.now());
        let call = replica.call();
        (call.script, call.args[2].clone(), call.args[3].clone())
    };
    let bell = b"bell".to_vec();
    assert_eq!(rung(Ring::ShardPublish), (ControlScript::Append, b"SPUBLISH".to_vec(), bell.clone()));
    assert_eq!(rung(Ring::Publish), (ControlScript::Append, b"PUBLISH".to_vec(), bell));
}

#[test]
fn who_leaves_has_no_lease_before_anybody_is_told() {
    let mut replica = Replica::settled();
    assert!(replica.has_lease());
    replica.control.leave();
    assert!(!replica.has_lease());
    let call = replica.call();
    assert_eq!(call.script, ControlScript::Leave);
    replica.answer(&call, Reply::Int(1));
    assert_eq!(replica.events().last(), Some(&Event::Left));
    replica.hand.advance(LEASE);
    assert_eq!(replica.waits(), None, "it beats no more");
}
