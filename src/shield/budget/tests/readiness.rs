//! A turn is for a call that can be written at once: connections, and who has one when.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::shield::share::Urgency;

/// What became of a call without an open connection.
type Outcome = Result<Admission, Option<Rejection>>;

/// A call that connects when it is told to.
struct Cold {
    call: JoinHandle<Outcome>,
    connect: Option<oneshot::Sender<Result<(), ()>>>,
}

impl World {
    /// Sends a call off that has no connection; `connecting` counts those that connect or have connected.
    async fn cold(&self, call: Call, connecting: &Arc<AtomicUsize>) -> Cold {
        let (connect, connected) = oneshot::channel();
        let (budget, connecting) = (self.budget.clone(), Arc::clone(connecting));
        let call = tokio::spawn(async move {
            let connect = async move {
                connecting.fetch_add(1, Ordering::SeqCst);
                connected.await.unwrap_or(Err(()))
            };
            match budget.admit(call, None, connect, || {}).await {
                Ok((admission, ())) => Ok(admission),
                Err(Turned::Rejected(rejection)) => Err(Some(rejection)),
                Err(Turned::Unconnected(())) => Err(None),
            }
        });
        quiet().await;
        Cold { call, connect: Some(connect) }
    }
}

impl Cold {
    async fn connects(&mut self) {
        self.connect.take().expect("once").send(Ok(())).expect("it waits for that");
        quiet().await;
    }
}

fn key() -> AccountKey {
    organization(1)
}

#[tokio::test]
async fn a_turn_is_spent_when_the_call_is_connected_and_not_before() {
    let world = World::new(&rules());
    let connecting = Arc::default();
    let mut cold = world.cold(call(key(), world.caller(1), Duration::ZERO), &connecting).await;
    assert_eq!((connecting.load(Ordering::SeqCst), world.used(key()), world.budget.queued()), (1, (0, 0), 0));
    world.advance(ms(700)).await;
    cold.connects().await;
    let admission = cold.call.await.unwrap().unwrap();
    assert_eq!((admission.waited, world.used(key())), (Duration::ZERO, (1, 1)));
    // It counts from when it was written.
    world.advance(WINDOW - ms(1)).await;
    assert_eq!(world.used(key()).0, 1);
}

#[tokio::test]
async fn who_is_connected_goes_before_who_is_not_and_nobody_is_forgotten() {
    let world = World::new(&rules());
    let connecting = Arc::default();
    let mut cold = Vec::new();
    for _ in 0..87 {
        cold.push(world.cold(call(key(), world.caller(1), WINDOW), &connecting).await);
    }
    assert_eq!(world.used(key()).0, 0);
    assert!(world.ask(key(), 1).await.is_ok(), "a slot that nobody can use yet");
    for call in &mut cold {
        call.connects().await;
    }
    let gone = cold.iter().filter(|call| call.call.is_finished()).count();
    assert_eq!((gone, world.used(key()).0, world.budget.queued()), (86, 87, 1));
    world.advance(WINDOW).await;
    for call in cold {
        assert!(call.call.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn only_those_connect_whose_turn_is_near() {
    let world = World::new(&rules());
    world.exhaust(key(), 1).await;
    let connecting: Arc<AtomicUsize> = Arc::default();
    let mut cold = Vec::new();
    for _ in 0..50 {
        let call = Call { ahead: ms(100), ..call(key(), world.caller(1), 2 * WINDOW) };
        cold.push(world.cold(call, &connecting).await);
    }
    assert_eq!((connecting.load(Ordering::SeqCst), world.budget.queued()), (0, 50));
    // The pace of a caller with all of the second: one in eleven milliseconds.
    world.advance(WINDOW - ms(100)).await;
    let near = connecting.load(Ordering::SeqCst);
    assert!((1..=50).contains(&near), "{near}");
    for call in &mut cold {
        let _ = call.connect.take().expect("once").send(Ok(()));
    }
    for _ in 0..2000 {
        world.advance(ms(1)).await;
    }
    for call in cold {
        assert!(call.call.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn who_cannot_connect_is_told_so_and_leaves_nothing_behind() {
    let world = World::new(&rules());
    let connecting = Arc::default();
    for class in Class::ALL {
        let call = Call { class: *class, ..call(key(), world.caller(1), WINDOW) };
        let mut cold = world.cold(call, &connecting).await;
        cold.connect.take().unwrap().send(Err(())).unwrap();
        assert!(matches!(cold.call.await.unwrap(), Err(None)), "{class}");
    }
    assert_eq!((world.used(key()), world.budget.queued()), ((0, 0), 0));
}

#[tokio::test]
async fn a_call_that_leaves_while_it_connects_spends_nothing() {
    let world = World::new(&rules());
    let cold = world.cold(call(key(), world.caller(1), WINDOW), &Arc::default()).await;
    cold.call.abort();
    quiet().await;
    assert_eq!((world.used(key()), world.budget.queued(), world.budget.lock().waiters.len()), ((0, 0), 0, 0));
}

/// Its longest wait is for its turn, and its turn is here.
#[tokio::test]
async fn connecting_takes_as_long_as_it_takes_whatever_the_patience() {
    let world = World::new(&rules());
    let mut cold = world.cold(call(key(), world.caller(1), Duration::ZERO), &Arc::default()).await;
    world.advance(5 * WINDOW).await;
    assert!(!cold.call.is_finished());
    cold.connects().await;
    assert!(cold.call.await.unwrap().is_ok());
}

#[tokio::test]
async fn who_connected_too_late_for_its_turn_and_would_not_wait_is_told_when_to_come_again() {
    let world = World::new(&rules());
    let mut cold = world.cold(call(key(), world.caller(1), Duration::ZERO), &Arc::default()).await;
    world.exhaust(key(), 1).await;
    cold.connects().await;
    let rejection = cold.call.await.unwrap().unwrap_err().expect("it is connected");
    assert_eq!((rejection.reason, rejection.retry_after), (Reason::Budget, WINDOW));
}

#[tokio::test]
async fn a_connection_is_given_back_while_the_turn_is_far() {
    let world = World::new(&rules());
    world.exhaust(key(), 1).await;
    let (held, mut released) = oneshot::channel::<()>();
    let budget = world.budget.clone();
    let call = Call { ahead: ms(10), ..call(key(), world.caller(1), 2 * WINDOW) };
    let waiting = tokio::spawn(async move {
        let connect = std::future::ready(Ok::<_, ()>(None));
        budget.admit(call, Some(Some(held)), connect, || {}).await.is_ok()
    });
    quiet().await;
    assert!(released.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
    world.advance(WINDOW).await;
    assert!(waiting.await.unwrap());
}

#[tokio::test]
async fn a_burst_goes_by_halves() {
    let world = World::new(&ShieldRules { burst: Burst::Half, ..rules() });
    let mut sent = Vec::new();
    while world.clock.now().uptime() < 4 * WINDOW {
        while world.ask(key(), 1).await.is_ok() {
            sent.push(world.clock.now().uptime());
        }
        world.hand.advance(ms(1));
    }
    assert_eq!(densest(&sent, ms(1)), 45);
    assert!(densest(&sent, WINDOW / 2) <= 45 && densest(&sent, WINDOW) <= 90);
    assert!(sent.len() >= 4 * 80, "{}", sent.len());
}

/// A call of a caller that has what others leave.
fn background(world: &World) -> Call {
    let share = Share { caller: Some(9), urgency: Urgency::Spare, ..Share::default() };
    Call { share, ahead: ms(20), ..call(key(), world.caller(1), 8 * SECOND) }
}

#[tokio::test]
async fn a_background_call_that_waits_for_what_others_leave_is_not_on_its_way() {
    let world = World::new(&rules());
    let connecting: Arc<AtomicUsize> = Arc::default();
    let mut first = world.cold(background(&world), &connecting).await;
    first.connects().await;
    assert!(first.call.await.unwrap().is_ok());
    // A fifth of the minute is free, and the second has room for others.
    let mut second = world.cold(background(&world), &connecting).await;
    assert_eq!((connecting.load(Ordering::SeqCst), world.budget.queued()), (1, 1));
    world.advance(ms(40)).await;
    assert_eq!(connecting.load(Ordering::SeqCst), 2);
    second.connects().await;
    assert!(second.call.await.unwrap().unwrap().waited >= ms(40));
}

/// It may have to wait once more when it is connected: a proof that counts as sent would be taken for one that is not answered.
#[tokio::test]
async fn a_background_call_is_not_told_to_be_on_its_way_before_it_goes() {
    let world = World::new(&rules());
    let (connect, connected) = oneshot::channel::<Result<(), ()>>();
    let told: Arc<AtomicUsize> = Arc::default();
    let (budget, call, note) = (world.budget.clone(), background(&world), Arc::clone(&told));
    let call = tokio::spawn(async move {
        let connect = async { connected.await.unwrap_or(Err(())) };
        let connects = || {
            note.fetch_add(1, Ordering::SeqCst);
        };
        budget.admit(call, None, connect, connects).await.is_ok()
    });
    quiet().await;
    assert_eq!((told.load(Ordering::SeqCst), world.budget.queued()), (0, 0), "it connects");
    connect.send(Ok(())).expect("it waits for that");
    assert!(call.await.unwrap());
}

#[tokio::test]
async fn background_calls_connect_one_by_one_and_keep_no_connections_from_others() {
    let world = World::new(&rules());
    let connecting: Arc<AtomicUsize> = Arc::default();
    let mut background_calls = Vec::new();
    for _ in 0..200 {
        background_calls.push(world.cold(background(&world), &connecting).await);
    }
    assert_eq!(connecting.load(Ordering::SeqCst), 1);
    let mut other = world.cold(call(key(), world.caller(2), SECOND), &connecting).await;
    assert_eq!(connecting.load(Ordering::SeqCst), 2);
    // The other one may wait for the very connection that this one has.
    background_calls[0].connects().await;
    assert!(background_calls[0].call.is_finished());
    world.advance(ms(40)).await;
    assert_eq!(connecting.load(Ordering::SeqCst), 2, "as long as somebody waits, no further one connects");
    other.connects().await;
    assert!(other.call.await.unwrap().is_ok());
    world.advance(ms(40)).await;
    assert_eq!(connecting.load(Ordering::SeqCst), 3);
}
