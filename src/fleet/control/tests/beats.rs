//! When beats go, what they carry, and what becomes of the lease.

use super::*;

impl Replica {
    /// One that has something to ask: who hears of a notice that it cannot take asks for what is missing.
    fn rang(&mut self) {
        let bell = format!("{FIRST:<40}{:016}{:016}theirs", 160, 170);
        self.control.rang(bell.as_bytes(), &mut self.applied);
    }

    fn lost(&mut self) -> Option<LeaseLoss> {
        let _ = self.control.next(self.clock.now());
        self.events().into_iter().find_map(|event| match event {
            Event::LeaseLost(loss) => Some(loss),
            _ => None,
        })
    }
}

#[test]
fn a_new_link_is_asked_at_once_whatever_the_old_one_has_not_answered() {
    let mut replica = Replica::settled();
    replica.hand.advance(LEASE / 4);
    let unanswered = replica.call();
    assert_eq!(unanswered.script, ControlScript::Beat);
    assert!(replica.control.is_under_way(unanswered.id));
    replica.control.link_up("run");
    assert!(!replica.control.is_under_way(unanswered.id));
    replica.hand.advance(SPACED);
    let call = replica.call();
    assert_eq!(call.script, ControlScript::Beat);
    replica.answer_beat(&unanswered, &Said { members: 9, ..QUIET });
    assert_eq!(replica.control.status().members, 3, "nothing comes of it any more");
    assert!(replica.control.is_under_way(call.id));
    replica.answer_beat(&call, &QUIET);
    assert!(!replica.control.is_under_way(call.id));
}

#[test]
fn a_beat_that_failed_is_followed_by_another() {
    let mut replica = Replica::settled();
    replica.hand.advance(LEASE / 4);
    let call = replica.call();
    replica.control.failed(call.id);
    assert!(!replica.control.is_under_way(call.id));
    assert_eq!(replica.waits(), Some(LEASE / 4));
    replica.hand.advance(LEASE / 4);
    assert_eq!(replica.call().script, ControlScript::Beat);
}

#[test]
fn who_waits_for_a_beat_looks_again_when_its_lease_ends_and_not_behind_that() {
    let mut replica = Replica::settled();
    replica.hand.advance(LEASE / 4);
    let _unanswered = replica.call();
    assert_eq!(replica.waits(), Some(LEASE / 4 * 3), "that the lease is over is said when it is");
    replica.hand.advance(LEASE / 4 * 3);
    assert_eq!(replica.waits(), None, "only an answer, or that there is none, changes anything");
}

#[test]
fn a_lost_lease_is_said_once_and_with_what_it_was_lost_by() {
    let mut unlinked = Replica::settled();
    unlinked.control.link_down();
    assert_eq!(unlinked.lost(), None, "it has it yet");
    unlinked.hand.advance(LEASE);
    assert_eq!((unlinked.lost(), unlinked.lost()), (Some(LeaseLoss::Link), None));

    let mut unanswered = Replica::settled();
    unanswered.hand.advance(LEASE / 4);
    let call = unanswered.call();
    unanswered.control.failed(call.id);
    unanswered.hand.advance(LEASE);
    assert_eq!(unanswered.lost(), Some(LeaseLoss::Unanswered));

    let mut late = Replica::settled();
    late.hand.advance(LEASE / 4);
    late.beat(&QUIET);
    late.hand.advance(LEASE);
    assert_eq!(late.lost(), Some(LeaseLoss::Late));

    for linked in [true, false] {
        let mut gone = Replica::settled();
        if !linked {
            gone.control.link_down();
        }
        gone.control.leave();
        assert_eq!(gone.lost(), Some(LeaseLoss::Left));
    }
}

#[test]
fn beats_that_follow_each_other_closely_carry_the_open_writes_once() {
    let mut replica = Replica::settled();
    replica.control.open(WRITE, b"will", replica.clock.now());
    let open = replica.call();
    assert_eq!(open.script, ControlScript::Open);
    replica.answer(&open, Reply::Int(1));
    let mut carries = |later: Duration| {
        replica.rang();
        replica.hand.advance(later);
        let call = replica.call();
        replica.answer_beat(&call, &QUIET);
        (call.script, call.args.iter().any(|arg| arg.ends_with(b"will")))
    };
    let (with, without) = ((ControlScript::Beat, true), (ControlScript::Beat, false));
    assert_eq!(carries(LEASE / 8), with);
    assert_eq!(carries(SPACED), without);
    assert_eq!(carries(LEASE / 8 - SPACED), with);
}

#[test]
fn who_has_appended_asks_soon_whether_the_others_have_it_and_then_more_and_more_seldom() {
    let mut replica = Replica::settled();
    replica.announce();
    assert_eq!(replica.waits(), Some(SPACED));
    replica.hand.advance(SPACED);
    for pace in [1, 2, 4, 5, 5] {
        replica.beat(&QUIET);
        assert_eq!(replica.waits(), Some(Duration::from_millis(pace)));
        replica.hand.advance(Duration::from_millis(pace));
    }
}

#[test]
fn a_notice_that_is_brought_twice_is_applied_once() {
    let mut replica = Replica::settled();
    for _ in 0..2 {
        replica.hand.advance(LEASE / 4);
        replica.beat(&Said { notices: &["0000000000000150theirs"], ..QUIET });
    }
    let theirs = replica.applied.notices.iter().filter(|(_, body)| body == b"theirs").count();
    assert_eq!((theirs, replica.control.applied()), (1, Number(150)));
}

#[test]
fn writes_of_who_is_not_heard_of_are_taken_over_by_one_call_at_a_time() {
    let mut replica = Replica::settled();
    let lost = Said { count: 50, oldest: Some(40), ..QUIET };
    let mut asked = Vec::new();
    for _ in 0..9 {
        replica.hand.advance(LEASE / 4);
        replica.beat(&lost);
        // What was lost is taken over behind the beat that says so, and the next beat goes behind that.
        if let Step::Send(call) = replica.control.next(replica.clock.now()) {
            assert_eq!(call.script, ControlScript::TakeOver);
            asked.push(call);
        }
    }
    assert_eq!(asked.len(), 1, "while its answer is waited for: {asked:?}");
    replica.answer(&asked[0], Reply::Int(1));
    replica.hand.advance(LEASE / 4);
    replica.beat(&lost);
    assert_eq!(replica.call().script, ControlScript::TakeOver, "one more has been lost");
}

#[test]
fn a_history_is_known_by_the_number_of_its_first_notice() {
    let mut replica = Replica::settled();
    assert_eq!(replica.control.status().history, Some(Number(100)));
    replica.hand.advance(LEASE / 4);
    replica.beat(&Said { history: "1234567890123456by somebody", notices: &["1234567890123456"], ..JOINED });
    assert_eq!(replica.control.status().history, Some(Number(1_234_567_890_123_456)));
    let begins = Event::History { first: Number(1_234_567_890_123_456), begun_here: false };
    assert!(replica.events().contains(&begins));
}

/// Beats go while an answer is held; when none is answered it is late all the same.
#[test]
fn who_holds_an_answer_looks_again_when_it_is_late() {
    let mut replica = Replica::settled();
    replica.announce();
    replica.hand.advance(LEASE / 5 * 4);
    replica.beat(&QUIET);
    replica.hand.advance(LEASE / 50);
    let _unanswered = replica.call();
    assert_eq!(replica.waits(), Some(Duration::from_millis(600 - 410)), "before its lease is over");
}
