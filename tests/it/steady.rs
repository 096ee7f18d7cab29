//! Hours of ordinary load in virtual time: what a busy organization costs, and that nobody waits.

use crate::support::World;
use crate::support::labels::{label_path, token};

const LABELS: u32 = 60;
const KEYS: u32 = 5;
/// Default lifetime of a label, in seconds.
const LIFETIME: u64 = 300;
const LIFETIMES: u64 = 10;

/// Every credential reads every ten seconds at least; between two seconds all that goes on behind the answers ends.
#[tokio::test]
async fn busy_labels_are_never_missed_and_cost_a_proof_a_minute_and_a_list_a_lifetime() {
    let world = World::start_by_default();
    for n in 1..=LABELS {
        world.vendor.put_label("a", n, &format!("a-{n}"));
    }
    for key in 1..=KEYS {
        world.vendor.admit(&token("a", key), "a");
    }
    let callers: Vec<_> = (1..=KEYS).map(|key| world.caller("a", key)).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut reads, mut waited) = (0_u32, 0_u32);
    for second in 0..LIFETIME * LIFETIMES {
        for (key, caller) in callers.iter().enumerate() {
            // At a phase of its own, and a few reads at once.
            if !(second + key as u64 * 2).is_multiple_of(7) {
                continue;
            }
            for _ in 0..3 {
                let n = random.u32(1..=LABELS);
                let reply = caller.get(&label_path(n)).send().await;
                reply.assert_label(&format!("a-{n}"));
                reads += 1;
                let from_store = reply.cache_status().starts_with("hit; ttl=");
                if second >= 60 {
                    waited += u32::from(!from_store);
                    assert!(from_store, "at {second} s: {reply:?}");
                }
            }
        }
        world.quiet().await;
        world.proxy.advance_seconds(1);
    }
    let calls = world.upstream.count() as u64;
    let minutes = LIFETIME * LIFETIMES / 60;
    let bar = u64::from(KEYS) * minutes * 14 / 10 + 3 * LIFETIMES;
    assert_eq!(waited, 0);
    assert!(calls <= bar, "{calls} calls for {reads} reads, {bar} allowed");
}
