//! Writes, and what the store's answers to them mean.

use super::*;

impl Replica {
    /// Asks to append a notice for which nobody waits, if nothing else is said.
    fn append(&mut self, held: Held) -> Call {
        self.control.announce(WRITE, vec![b"mine".to_vec()], held, self.clock.now());
        let call = self.call();
        assert_eq!(call.script, ControlScript::Append);
        call
    }

    /// Whether nothing before what was appended is unknown here.
    fn is_complete(&mut self) -> Option<bool> {
        self.events().into_iter().find_map(|event| match event {
            Event::Appended { complete, .. } => Some(complete),
            _ => None,
        })
    }
}

#[test]
fn a_write_is_entered_in_the_store_and_taken_out_where_nothing_is_said_of_it() {
    let mut replica = Replica::settled();
    replica.control.open(WRITE, b"will", replica.clock.now());
    assert_eq!(replica.events(), [], "it waits for the store");
    let open = replica.call();
    assert_eq!(open.script, ControlScript::Open);
    let entry = open.args.last().unwrap().clone();
    replica.answer(&open, Reply::Int(1));
    assert_eq!(replica.events(), [Event::Entered { write: WRITE, entry: Entry::Said }]);
    replica.control.close(WRITE);
    let done = replica.call();
    assert_eq!((done.script, done.args.last().unwrap()), (ControlScript::Done, &entry));
    assert_eq!(replica.control.status().open_writes, 0);
}

#[test]
fn who_is_alone_enters_a_write_without_asking_even_while_it_has_a_link() {
    let mut replica = Replica::settled();
    replica.hand.advance(LEASE);
    replica.control.open(WRITE, b"will", replica.clock.now());
    let entered = Event::Entered { write: WRITE, entry: Entry::Unsaid };
    assert!(replica.events().contains(&entered));
    assert_eq!(replica.call().script, ControlScript::Beat, "which carries it");
}

#[test]
fn an_append_is_complete_where_all_before_it_was_brought_with_it() {
    let mut replica = Replica::settled();
    let append = replica.append(Held::Nothing);
    replica.answer(&append, appended(FIRST, 200, &APPENDED));
    assert_eq!(replica.is_complete(), Some(true));
    assert_eq!((replica.control.applied(), replica.control.has_unheard()), (Number(200), false));
}

#[test]
fn an_append_behind_more_than_one_page_is_not_complete_until_beats_have_brought_it() {
    let mut replica = Replica::settled();
    let append = replica.append(Held::Nothing);
    replica.answer(
        &append,
        appended(FIRST, 200, &Logs { more: true, notices: &["0000000000000150theirs"], ..APPENDED }),
    );
    assert_eq!(replica.is_complete(), Some(false));
    assert_eq!((replica.control.applied(), replica.control.has_unheard()), (Number(150), true));
    replica.hand.advance(LEASE / 4);
    replica.beat(&Said { notices: &["0000000000000200mine"], ..QUIET });
    assert_eq!((replica.control.applied(), replica.control.has_unheard()), (Number(200), false));
}

#[test]
fn what_does_not_follow_what_is_known_here_is_left_to_beats() {
    let mut replica = Replica::settled();
    let append = replica.append(Held::Nothing);
    replica.answer(&append, appended(FIRST, 200, &Logs { known: false, ..APPENDED }));
    assert_eq!(replica.is_complete(), Some(false));
    assert_eq!(replica.control.applied(), Number(100));
}

/// The beat that missed something has begun anew with the oldest there is.
#[test]
fn what_was_asked_for_behind_more_than_is_known_now_is_left_to_beats() {
    let mut replica = Replica::settled();
    replica.hand.advance(LEASE / 4);
    replica.beat(&Said { notices: &["0000000000000180theirs"], ..QUIET });
    let append = replica.append(Held::Nothing);
    replica.hand.advance(LEASE / 4);
    replica.beat(&Said { known: false, more: true, notices: &["0000000000000110theirs"], ..QUIET });
    assert_eq!(replica.control.applied(), Number(110));
    replica.answer(&append, appended(FIRST, 200, &APPENDED));
    assert_eq!(replica.is_complete(), Some(false));
    assert_eq!(replica.control.applied(), Number(110), "181 to 199 are not known here");
}

/// The store lost everything; the next beat will say so.
#[test]
fn what_is_appended_to_a_history_that_no_beat_has_told_of_is_left_to_beats_and_held_for_long() {
    let mut replica = Replica::settled();
    let append = replica.append(Held::Answer);
    replica.answer(&append, appended(SECOND, 310, &Logs { notices: &["0000000000000310mine"], ..APPENDED }));
    assert_eq!(replica.is_complete(), Some(false));
    assert_eq!((replica.control.applied(), replica.control.has_unheard()), (Number(100), true));
    let mut later = |by| {
        replica.hand.advance(by);
        replica.beat(&QUIET);
        replica.settled_as()
    };
    let held: Vec<_> = (0..17).map(|_| later(LEASE / 5)).collect();
    assert_eq!(held, [None; 17], "whether it is cut off the store is yet to say");
    replica.hand.advance(LEASE / 5);
    replica.waits();
    assert_eq!(replica.settled_as(), Some(Settled::Unannounced), "three times what a lease lasts elsewhere");
}

#[test]
fn who_has_lost_its_lease_lets_a_late_answer_go_and_removes_nobody() {
    let mut replica = Replica::settled();
    replica.announce();
    let _unanswered = {
        replica.hand.advance(SPACED);
        replica.call()
    };
    replica.hand.advance(LATER);
    assert_eq!(replica.waits(), None);
    assert_eq!(replica.settled_as(), Some(Settled::Unannounced));
}

#[test]
fn an_append_that_failed_is_tried_again_behind_the_next_beat() {
    let mut replica = Replica::settled();
    let append = replica.append(Held::Answer);
    replica.control.failed(append.id);
    replica.hand.advance(LEASE / 4);
    replica.beat(&QUIET);
    assert_eq!(replica.call().script, ControlScript::Append);
}

#[test]
fn whom_and_what_others_have_lost_is_said_as_the_store_counts_it() {
    let mut replica = Replica::settled();
    replica.announce();
    for _ in 0..5 {
        replica.hand.advance(LEASE / 5);
        replica.beat(&QUIET);
    }
    replica.hand.advance(LEASE / 5);
    let remove = replica.call();
    assert_eq!(remove.script, ControlScript::Remove);
    replica.events();
    replica.answer(&remove, Reply::Int(2));
    assert_eq!(replica.events(), [Event::Removed(2)]);

    let mut replica = Replica::settled();
    for _ in 0..6 {
        replica.hand.advance(LEASE / 4);
        replica.beat(&Said { count: 50, oldest: Some(40), ..QUIET });
    }
    let take_over = replica.call();
    assert_eq!(take_over.script, ControlScript::TakeOver);
    replica.events();
    replica.answer(&take_over, Reply::Int(3));
    assert_eq!(replica.events(), [Event::TakenOver(3)]);
}

#[test]
fn what_is_open_held_and_unsaid_is_counted() {
    let mut replica = Replica::settled();
    let counted = |replica: &Replica| {
        let Status { open_writes, held_answers, unannounced, .. } = replica.control.status();
        (open_writes, held_answers, unannounced)
    };
    assert_eq!(counted(&replica), (0, 0, 0));
    let now = replica.clock.now();
    replica.control.open(WRITE, b"will", now);
    replica.control.open(WriteId(8), b"will", now);
    assert_eq!(counted(&replica), (2, 0, 0));
    replica.control.announce(WRITE, vec![b"mine".to_vec()], Held::Answer, now);
    assert_eq!(counted(&replica), (1, 1, 1));
    let calls: Vec<_> = (0..3).map(|_| replica.call()).collect();
    replica.answer(&calls[2], appended(FIRST, 200, &APPENDED));
    assert_eq!(counted(&replica), (1, 1, 0), "it is held until others have it");
}

#[test]
fn a_notice_that_comes_back_is_known_for_the_write_that_said_it() {
    let mut replica = Replica::settled();
    replica.control.announce(WriteId(6), vec![b"another".to_vec()], Held::Nothing, replica.clock.now());
    let another = replica.call();
    let append = replica.append(Held::Answer);
    replica.answer(
        &append,
        appended(
            FIRST,
            200,
            &Logs { notices: &["0000000000000190theirs", "0000000000000200mine"], ..APPENDED },
        ),
    );
    assert_eq!(replica.applied.own, [WRITE], "and those of others for nobody's");
    assert!(replica.control.is_under_way(another.id));
}

#[test]
fn too_much_to_be_said_one_by_one_is_said_as_everything_and_what_is_held_by_itself() {
    let mut replica = Replica::settled();
    replica.control.link_down();
    let now = replica.clock.now();
    let mut announce =
        |write, held| replica.control.announce(WriteId(write), vec![b"mine".to_vec()], held, now);
    announce(0, Held::Answer);
    for write in 1..=4096 {
        announce(write, Held::Nothing);
    }
    assert_eq!(replica.control.status().unannounced, 4097);
    replica.control.announce(WriteId(4097), vec![b"mine".to_vec()], Held::Nothing, now);
    assert_eq!(replica.control.status().unannounced, 2);
    assert_eq!(replica.control.status().held_answers, 1);
    replica.control.link_up("run");
    replica.hand.advance(SPACED);
    replica.beat(&QUIET);
    let said: Vec<_> = (0..2).map(|_| replica.call().args.last().unwrap().clone()).collect();
    assert_eq!(said, [b"mine".to_vec(), Vec::new()], "an empty notice says everything");
}
