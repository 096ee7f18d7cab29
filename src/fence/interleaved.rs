//! Raise, begin, store and serve in every order of their steps, over the real fence: no read that begins after a write was answered
//! is served what was before it. Each way to get an order wrong is found out.

use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::classify::ListQuery;
use crate::clock::Clock;
use crate::lock::interleavings::{Explored, explore};
use crate::organization::OrganizationId;

const ID: Uuid = Uuid::from_u128(1);

/// What stands around the fence: the upstream's value, one place of the store, and whether the write was answered.
struct World {
    fence: Fence,
    organization: Arc<Organization>,
    now: Moment,
    /// 0 before the write, 1 behind it.
    upstream: AtomicU64,
    /// The tick of the fetch, and what it brought; 0: nothing is stored.
    stored: AtomicU64,
    answered: AtomicU64,
}

impl World {
    fn new() -> Self {
        let fence = Fence::default();
        let (clock, _) = Clock::manual();
        let organization = fence.organizations().get(OrganizationId::example(1), clock.now());
        let [upstream, stored, answered] = [const { AtomicU64::new(0) }; 3];
        Self { fence, organization, now: clock.now(), upstream, stored, answered }
    }

    fn admits(&self, target: &Target, begun: u64) -> bool {
        self.fence.admits(&self.organization, target, Tick(begun))
    }
}

/// What may be done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// The fetch takes its tick when its answer is here.
    TicksLate,
    /// The write is answered before it invalidates.
    AnswersFirst,
    /// What is stored is served as it is.
    Serves,
}

/// What a write shuts out.
#[derive(Clone, Copy, Debug)]
enum Shut {
    Extent(Extent),
    Reach(Reach),
}

/// A fetch, a write and a read of one target.
fn orders(shut: Shut, target: &Target, wrong: Wrong) -> Result<Explored, String> {
    let fetch = |world: &World| {
        let early = world.fence.sequence().advance();
        let value = world.upstream.load(SeqCst);
        let begun = if wrong == Wrong::TicksLate { world.fence.sequence().advance() } else { early };
        if world.admits(target, begun.0) {
            world.stored.store(begun.0 << 1 | value, SeqCst);
        }
    };
    let write = |world: &World| {
        world.upstream.store(1, SeqCst);
        if wrong == Wrong::AnswersFirst {
            world.answered.store(1, SeqCst);
        }
        match shut {
            Shut::Extent(extent) => {
                world.fence.invalidate(&world.organization, extent, Fate::Known, world.now);
            }
            Shut::Reach(reach) => {
                world.fence.invalidate_everywhere(reach, Some(world.now.plus(Fate::Known.settles_after())))
            }
        }
        world.answered.store(1, SeqCst);
    };
    let read = |world: &World| {
        let is_answered = world.answered.load(SeqCst) == 1;
        let stored = world.stored.load(SeqCst);
        if stored == 0 || !(wrong == Wrong::Serves || world.admits(target, stored >> 1)) {
            return;
        }
        let is_old = stored & 1 == 0;
        assert!(!(is_answered && is_old), "an old value behind an answered write");
    };
    let last = |world: &World| {
        let stored = world.stored.load(SeqCst);
        let is_served = stored != 0 && world.admits(target, stored >> 1);
        assert!(!is_served || stored & 1 == 1, "an old value for ever");
    };
    explore(World::new, &[&fetch, &write, &read], last)
}

fn rows() -> Vec<(Shut, Target)> {
    let (item, list) = (Target::Item(ID), Target::List(ListQuery::default()));
    let one = Shut::Extent(Extent::Item(ID));
    let all = Shut::Extent(Extent::Organization);
    let everywhere = Shut::Reach(Reach::Item(ID));
    vec![
        (one, item.clone()),
        (one, list.clone()),
        (all, item.clone()),
        (everywhere, item.clone()),
        (everywhere, list.clone()),
        (Shut::Reach(Reach::Lists), list),
        (Shut::Reach(Reach::Everything), item),
    ]
}

#[test]
fn no_order_of_a_fetch_a_write_and_a_read_serves_what_was_before_the_write() {
    let mut sum = Explored::default();
    for (shut, target) in rows() {
        let explored = orders(shut, &target, Wrong::Nothing);
        let explored = explored.unwrap_or_else(|fault| panic!("{shut:?} {target:?}: {fault}"));
        sum = Explored { orders: sum.orders + explored.orders, steps: sum.steps + explored.steps };
    }
    println!("fence: {} orders of {} steps", sum.orders, sum.steps);
    assert!(sum.orders > 100, "{sum:?}");
}

#[test]
fn each_step_of_the_fence_that_is_left_out_or_swapped_is_found_out() {
    for (shut, target) in rows() {
        for wrong in [Wrong::TicksLate, Wrong::AnswersFirst, Wrong::Serves] {
            let found = orders(shut, &target, wrong);
            assert!(found.is_err(), "{wrong:?} is not found: {shut:?} {target:?}: {found:?}");
        }
    }
}
