//! Waiting, waking and leaving in every order: whoever waits for its turn is woken at the moment at which there is budget, whoever
//! left before it, and no window holds more than its limit.
//!
//! The budget is one lock, so a step is a poll: which of those that were woken is polled next, who leaves, and when nobody is left
//! to be polled, time. Each order is run from the beginning.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::*;

/// One second holds one call.
const LIMIT: usize = 1;
const CALLS: usize = 5;
/// Who may leave, and how long time goes: to the last millisecond of a window, and over it.
const LEAVES: usize = 2;
const PASSES: [Duration; 2] = [WINDOW.saturating_sub(SHORT), SHORT];
const SHORT: Duration = ms(1);

/// What may be done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// The task that hands out is not woken.
    NobodyHandsOut,
    /// Who leaves does not say so.
    LeavesInSilence,
}

/// How calls are made.
#[derive(Clone, Copy, Debug)]
struct Way {
    open: Option<()>,
    /// The first that has its turn does not send.
    gives_back: bool,
    wrong: Wrong,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Option<Pin<Box<dyn Future<Output = Option<Admission>>>>>,
    woken: Arc<Woken>,
    /// It has been polled.
    has_come: bool,
}

impl Task {
    fn of(future: impl Future<Output = Option<Admission>> + 'static) -> Self {
        Self {
            future: Some(Box::pin(future)),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            has_come: false,
        }
    }

    fn is_due(&self) -> bool {
        self.future.is_some() && self.woken.0.load(Ordering::Relaxed)
    }

    /// The turn that it has now.
    fn poll(&mut self) -> Option<Admission> {
        self.has_come = true;
        self.woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.future.as_mut()?.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(came) => {
                self.future = None;
                came
            }
            Poll::Pending => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Poll(usize),
    Leave(usize),
    Pass,
}

struct Stage {
    budget: Budget,
    clock: Clock,
    hand: ManualClock,
    /// Calls in the order in which they come, and behind them who hands out.
    tasks: Vec<Task>,
    way: Way,
    leaves: usize,
    passes: usize,
    sent: Vec<Duration>,
}

impl Stage {
    fn new(way: Way) -> Self {
        let (clock, hand) = Clock::manual();
        let second = NonZeroU32::new(u32::try_from(LIMIT).unwrap()).unwrap();
        let budget = Budget::new(&ShieldRules { requests_per_second: second, ..rules() }, clock.clone());
        let digester = Digester::default();
        let value = HeaderValue::from_static("Bearer a");
        let caller = digester.authorization(&HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]));
        let call = call(organization(1), Who::Authorization(caller.unwrap()), MINUTE);
        let mut tasks: Vec<_> = (0..CALLS)
            .map(|_| {
                let budget = budget.clone();
                Task::of(async move {
                    let connect = std::future::ready(Ok::<_, std::convert::Infallible>(()));
                    let (admission, ()) = budget.admit(call, way.open, connect, || {}).await.expect("a turn");
                    Some(admission)
                })
            })
            .collect();
        let handing_out = budget.hand_out();
        tasks.push(Task::of(async move {
            handing_out.await;
            None
        }));
        Self { budget, clock, hand, tasks, way, leaves: 0, passes: 0, sent: Vec::new() }
    }

    fn waiting(&self) -> usize {
        self.tasks[..CALLS].iter().filter(|task| task.future.is_some()).count()
    }

    fn moves(&self) -> Vec<Move> {
        let is_asleep = |number: &usize| *number == CALLS && self.way.wrong == Wrong::NobodyHandsOut;
        let due = (0..=CALLS).filter(|number| self.tasks[*number].is_due() && !is_asleep(number));
        let mut moves: Vec<_> = due.map(Move::Poll).collect();
        // Calls come in their order: which of those comes first that are alike is no other order.
        if let Some(first) =
            moves.iter().position(|step| matches!(step, Move::Poll(number) if self.is_new(*number)))
        {
            moves.truncate(first + 1);
        }
        if moves.is_empty() && self.passes < 2 * CALLS && self.waiting() > 0 {
            self.assert_nobody_waits_for_nothing();
            moves.push(Move::Pass);
        }
        if self.leaves < LEAVES {
            let waits = |number: &usize| self.tasks[*number].future.is_some() && !self.is_new(*number);
            moves.extend((0..CALLS).filter(waits).map(Move::Leave));
        }
        moves
    }

    /// A call that has not come yet.
    fn is_new(&self, number: usize) -> bool {
        number < CALLS && !self.tasks[number].has_come
    }

    fn step(&mut self, step: Move) {
        let now = self.clock.now().uptime();
        match step {
            Move::Poll(number) => {
                if let Some(admission) = self.tasks[number].poll() {
                    if self.way.gives_back && number == 0 {
                        self.budget.give_back(admission);
                    } else {
                        self.sent.push(now);
                    }
                }
            }
            Move::Leave(number) => {
                self.leaves += 1;
                let future = self.tasks[number].future.take();
                if self.way.wrong == Wrong::LeavesInSilence {
                    std::mem::forget(future);
                }
            }
            Move::Pass => {
                self.hand.advance(PASSES[self.passes % 2]);
                self.passes += 1;
            }
        }
        assert!(densest(&self.sent, WINDOW) <= LIMIT, "more than the limit: {:?}", self.sent);
    }

    /// Nobody is woken any more: then the window is full.
    fn assert_nobody_waits_for_nothing(&self) {
        let now = self.clock.now().uptime();
        let spent = self.sent.iter().filter(|at| **at + WINDOW > now).count();
        assert!(spent >= LIMIT, "somebody waits at {now:?} although there is budget: {:?}", self.sent);
    }
}

/// Runs every order; how many there are, and of how many steps.
fn orders(way: Way) -> (usize, usize) {
    let (mut path, mut ran, mut steps) = (Vec::<(Vec<Move>, usize)>::new(), 0, 0);
    loop {
        let mut stage = Stage::new(way);
        for depth in 0.. {
            if depth == path.len() {
                let moves = stage.moves();
                if moves.is_empty() {
                    break;
                }
                path.push((moves, 0));
            }
            let (moves, at) = &path[depth];
            stage.step(moves[*at]);
            steps += 1;
        }
        assert_eq!(stage.waiting(), 0, "somebody waits for ever");
        ran += 1;
        while let Some((moves, at)) = path.last_mut() {
            *at += 1;
            if *at < moves.len() {
                break;
            }
            path.pop();
        }
        if path.is_empty() {
            return (ran, steps);
        }
    }
}

#[test]
fn no_order_of_waking_and_leaving_leaves_anybody_waiting_while_there_is_budget() {
    let mut sum = 0;
    for open in [Some(()), None] {
        for gives_back in [false, true] {
            let way = Way { open, gives_back, wrong: Wrong::Nothing };
            let (ran, steps) = orders(way);
            println!("budget: {ran} orders of {steps} steps, {way:?}");
            sum += ran;
        }
    }
    assert!(sum > 1000, "{sum} orders");
}

#[test]
fn a_wake_up_that_is_lost_is_found_out() {
    for wrong in [Wrong::NobodyHandsOut, Wrong::LeavesInSilence] {
        let way = Way { open: Some(()), gives_back: false, wrong };
        let found = std::panic::catch_unwind(|| orders(way));
        assert!(found.is_err(), "{wrong:?} is not found: {found:?}");
    }
}
