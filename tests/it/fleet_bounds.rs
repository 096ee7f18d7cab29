//! What a replica keeps of its fleet is bounded, whether the store answers or not.

use std::sync::Arc;
use std::time::Duration;

use instantly_proxy::clock::{Clock, Moment};
use instantly_proxy::fleet::control::{
    Call, Control, ControlScript, ControlSettings, Event, Held, MemberId, Ring, Settled, Step, WriteId,
};
use instantly_proxy::fleet::lease::Lease;

const LEASE: Duration = Duration::from_millis(500);
/// More cannot be said one by one.
const MOST_UNANNOUNCED: u64 = 4096;

fn replica() -> Control {
    let settings = ControlSettings::new(LEASE, b"{test}:bell".to_vec(), Ring::Publish);
    Control::new(settings, MemberId([7; 16]), Arc::<Lease>::default())
}

/// All that is to be sent at this moment.
fn calls(control: &mut Control, now: Moment) -> Vec<Call> {
    let mut calls = Vec::new();
    while let Step::Send(call) = control.next(now) {
        calls.push(call);
    }
    calls
}

fn settled(control: &mut Control) -> Vec<Settled> {
    let settled = |event| if let Event::Settled { settled, .. } = event { Some(settled) } else { None };
    std::iter::from_fn(|| control.event()).filter_map(settled).collect()
}

#[test]
fn what_cannot_be_said_is_kept_up_to_a_bound_and_then_said_as_one() {
    let (clock, _) = Clock::manual();
    let mut control = replica();
    for write in 0..MOST_UNANNOUNCED {
        control.announce(WriteId(write), vec![b"notice".to_vec()], Held::Nothing, clock.now());
    }
    assert_eq!(control.status().unannounced as u64, MOST_UNANNOUNCED);
    control.announce(WriteId(MOST_UNANNOUNCED), vec![b"notice".to_vec()], Held::Nothing, clock.now());
    assert_eq!(control.status().unannounced, 1);
    for write in MOST_UNANNOUNCED + 1..3 * MOST_UNANNOUNCED {
        control.announce(WriteId(write), vec![b"notice".to_vec()], Held::Nothing, clock.now());
        assert!(control.status().unannounced as u64 <= MOST_UNANNOUNCED);
    }
}

#[test]
fn calls_under_way_go_with_their_link_and_what_was_to_be_said_is_said_on_the_next() {
    let (clock, _) = Clock::manual();
    let mut control = replica();
    control.link_up("one");
    control.announce(WriteId(1), vec![b"notice".to_vec()], Held::Answer, clock.now());
    // Alone before it began, it holds nothing up.
    assert_eq!(settled(&mut control), [Settled::Unannounced]);
    let first = calls(&mut control, clock.now());
    let scripts: Vec<_> = first.iter().map(|call| call.script).collect();
    assert_eq!(scripts, [ControlScript::Append, ControlScript::Beat], "one of each, and no more");
    assert!(calls(&mut control, clock.now()).is_empty());
    for link in 0..100 {
        control.link_down();
        assert!(calls(&mut control, clock.now()).is_empty(), "nobody would take it");
        assert_eq!(control.status().unannounced, 1);
        control.link_up(&format!("server {link}"));
        let sent = calls(&mut control, clock.now());
        assert!(sent.len() <= 2, "{sent:?}");
        for call in &first {
            control.failed(call.id);
        }
    }
}
