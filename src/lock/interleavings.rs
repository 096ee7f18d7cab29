//! Every order in which threads may take their steps: for what must hold in whichever order they come.
//!
//! [`explore`] runs the same threads over the real types again and again. Each access to a [`Mutex`](super::Mutex) or an
//! [`AtomicU64`] is a step, before which its thread waits until it is chosen; the choices are gone through depth first. All accesses
//! are sequentially consistent ([`AtomicU64`] takes no other order), so the orders of steps are all that can happen. Orders that
//! differ in neighbours alone which do not meet in one place are one order: of those one is run (sleep sets, Godefroid 1996).

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

/// An atomic number each access of which is a step.
#[derive(Debug, Default)]
pub(crate) struct AtomicU64(std::sync::atomic::AtomicU64);

impl AtomicU64 {
    pub(crate) const fn new(value: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        self.step(Kind::Load, order);
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        self.step(Kind::Change, order);
        self.0.store(value, order);
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.step(Kind::Change, order);
        self.0.fetch_add(value, order)
    }

    pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        self.step(Kind::Change, order);
        self.0.fetch_max(value, order)
    }

    fn step(&self, kind: Kind, order: Ordering) {
        assert_eq!(order, Ordering::SeqCst, "of another order the interleavings are not all that can happen");
        step(Access { kind, place: std::ptr::from_ref(self).addr() });
    }
}

/// Locks as a step; `None` where no orders are tried.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    let access = Access { kind: Kind::Lock, place: std::ptr::from_ref(mutex).addr() };
    loop {
        if !step(access) {
            return None;
        }
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(guard)) => return Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => ME.with_borrow(|me| {
                if let Some((stage, number)) = me {
                    stage.state().threads[*number].is_held_up = true;
                }
            }),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Load,
    Change,
    Lock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    kind: Kind,
    place: usize,
}

#[derive(Clone, Debug, Default)]
struct Thread {
    /// The step before which it waits; none while it runs.
    next: Option<Access>,
    /// Which locks it has taken: it may let go of one behind any of its later steps.
    locked: Vec<usize>,
    is_done: bool,
    /// Its lock was held by another: it waits for a step of somebody else's.
    is_held_up: bool,
}

impl Thread {
    /// Whether its next step and that of another come to the same in either order.
    fn commutes_with(&self, other: &Self) -> bool {
        let (Some(mine), Some(its)) = (self.next, other.next) else { return false };
        let is_freed_by =
            |lock: Access, thread: &Self| lock.kind == Kind::Lock && thread.locked.contains(&lock.place);
        !is_freed_by(mine, other)
            && !is_freed_by(its, self)
            && (mine.place != its.place || (mine.kind, its.kind) == (Kind::Load, Kind::Load))
    }
}

/// A choice between threads.
#[derive(Debug)]
struct Node {
    threads: Vec<Thread>,
    /// Whose step leads to orders that were run, or are run from another node.
    asleep: Vec<usize>,
    left: Vec<usize>,
    chosen: usize,
}

#[derive(Debug, Default)]
struct State {
    threads: Vec<Thread>,
    path: Vec<Node>,
    depth: usize,
    chosen: Option<usize>,
    /// Nothing is chosen any more: everybody runs to the end.
    is_free: bool,
    fault: Option<String>,
}

#[derive(Debug)]
struct Stage {
    state: Mutex<State>,
    turns: Vec<Condvar>,
}

thread_local! {
    static ME: RefCell<Option<(Arc<Stage>, usize)>> = const { RefCell::new(None) };
}

/// Waits until this step is chosen; says whether steps are chosen here.
fn step(access: Access) -> bool {
    let Some((stage, number)) = ME.with_borrow(Clone::clone) else { return false };
    let mut state = stage.state();
    state.threads[number].next = Some(access);
    stage.choose(&mut state);
    let is_waiting = |state: &mut State| state.chosen != Some(number) && !state.is_free;
    let mut state = stage.turns[number].wait_while(state, is_waiting).unwrap_or_else(PoisonError::into_inner);
    state.threads[number].next = None;
    if state.is_free {
        return false;
    }
    state.chosen = None;
    if access.kind == Kind::Lock {
        state.threads[number].locked.push(access.place);
    }
    true
}

impl Stage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chooses whose step is next, once everybody waits: along the path as far as it goes.
    fn choose(&self, state: &mut State) {
        let is_running = |thread: &Thread| thread.next.is_none() && !thread.is_done;
        if state.is_free || state.threads.iter().any(is_running) {
            return;
        }
        if state.depth == state.path.len() {
            match node_of(state) {
                Some(node) => state.path.push(node),
                None => return self.set_free(state),
            }
        }
        let chosen = state.path[state.depth].chosen;
        state.depth += 1;
        for (number, thread) in state.threads.iter_mut().enumerate() {
            thread.is_held_up &= number == chosen;
        }
        state.chosen = Some(chosen);
        self.turns[chosen].notify_one();
    }

    fn set_free(&self, state: &mut State) {
        state.is_free = true;
        self.turns.iter().for_each(Condvar::notify_one);
    }

    fn run(self: &Arc<Self>, number: usize, actor: impl FnOnce()) {
        ME.set(Some((Arc::clone(self), number)));
        let ended = catch_unwind(AssertUnwindSafe(actor));
        ME.set(None);
        let mut state = self.state();
        state.threads[number].is_done = true;
        if let Err(panic) = ended {
            state.fault.get_or_insert_with(|| text_of(&*panic));
            self.set_free(&mut state);
        } else if state.threads.iter().any(|thread| !thread.is_done) {
            self.choose(&mut state);
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// The choice that is to be made now; `None` if each that can be made was.
fn node_of(state: &State) -> Option<Node> {
    let threads = state.threads.clone();
    let asleep: Vec<usize> = state.path.last().map_or_else(Vec::new, |parent| {
        let chosen = &parent.threads[parent.chosen];
        let stays = |number: &&usize| parent.threads[**number].commutes_with(chosen);
        parent.asleep.iter().filter(stays).copied().collect()
    });
    let can_go = |number: &usize| {
        threads[*number].next.is_some() && !threads[*number].is_held_up && !asleep.contains(number)
    };
    let mut left: Vec<usize> = (0..threads.len()).filter(can_go).collect();
    let chosen = left.pop()?;
    Some(Node { threads, asleep, left, chosen })
}

/// What was run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Explored {
    /// To the end.
    pub(crate) orders: u64,
    pub(crate) steps: u64,
}

/// Runs `actors`, each on a thread of its own, over what `make` makes, in every order of their steps; then `check`.
///
/// # Errors
///
/// What the first panic said.
pub(crate) fn explore<W: Sync>(
    make: impl Fn() -> W,
    actors: &[&(dyn Fn(&W) + Sync)],
    check: impl Fn(&W),
) -> Result<Explored, String> {
    let (mut path, mut explored) = (Vec::<Node>::new(), Explored::default());
    loop {
        let world = make();
        let threads = vec![Thread::default(); actors.len()];
        let state = Mutex::new(State { threads, path, ..State::default() });
        let turns = actors.iter().map(|_| Condvar::new()).collect();
        let stage = Arc::new(Stage { state, turns });
        std::thread::scope(|scope| {
            for (number, actor) in actors.iter().enumerate() {
                let (stage, world) = (Arc::clone(&stage), &world);
                scope.spawn(move || stage.run(number, || actor(world)));
            }
        });
        let mut state = std::mem::take(&mut *stage.state());
        if let Some(fault) = state.fault {
            return Err(fault);
        }
        explored.steps += state.depth as u64;
        if !state.is_free {
            explored.orders += 1;
            catch_unwind(AssertUnwindSafe(|| check(&world))).map_err(|panic| text_of(&*panic))?;
        }
        // The next order that was not run.
        loop {
            let Some(node) = state.path.last_mut() else { return Ok(explored) };
            node.asleep.push(node.chosen);
            if let Some(next) = node.left.pop() {
                node.chosen = next;
                break;
            }
            state.path.pop();
        }
        path = state.path;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock;

    #[derive(Default)]
    struct Two {
        left: AtomicU64,
        right: AtomicU64,
        locked: lock::Mutex<u64>,
    }

    fn changes(times: u64) -> impl Fn(&Two) {
        move |two| {
            for _ in 0..times {
                two.left.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    #[test]
    fn as_many_orders_are_run_as_there_are() {
        let explored = explore(Two::default, &[&changes(3), &changes(3)], |_| ()).unwrap();
        // 6 over 3.
        assert_eq!(explored.orders, 20);
        let apart = |two: &Two| {
            two.right.fetch_add(1, Ordering::SeqCst);
        };
        let explored = explore(Two::default, &[&changes(3), &apart], |_| ()).unwrap();
        assert_eq!(explored.orders, 1, "they never meet");
    }

    #[test]
    fn a_count_that_is_not_one_step_is_found_out_and_one_under_a_lock_is_not() {
        let apart = |two: &Two| {
            let seen = two.left.load(Ordering::SeqCst);
            two.left.store(seen + 1, Ordering::SeqCst);
        };
        let both = |two: &Two| assert_eq!(two.left.load(Ordering::SeqCst), 2, "one was lost");
        assert!(explore(Two::default, &[&apart, &apart], both).is_err());
        let locked = |two: &Two| {
            let mut locked = two.locked.lock();
            apart(two);
            *locked += 1;
        };
        explore(Two::default, &[&locked, &locked, &|_: &Two| ()], both).unwrap();
    }
}
