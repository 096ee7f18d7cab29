use super::*;

const MIB: usize = 1024 * KIB;

#[test]
fn large_calls_fill_the_account_and_small_ones_still_get_in() {
    let held = Held::new(64 * MIB);
    let mut large = Vec::new();
    while let Ok(charge) = held.take(MIB) {
        large.push(charge);
    }
    assert_eq!((large.len(), held.bytes()), (56, 56 * MIB), "an eighth is left");
    assert_eq!(held.check(MIB), Err(Full { held: 56 * MIB, size: 64 * MIB }));
    let small: Vec<_> = std::iter::from_fn(|| held.take(SMALL).ok()).collect();
    assert_eq!((small.len() * SMALL, held.bytes()), (8 * MIB, 64 * MIB));
    assert!(held.take(1).is_err());
    drop(large);
    assert!(held.take(MIB).is_ok());
    drop(small);
    assert_eq!(held.bytes(), 0, "all was given back");
}

#[test]
fn what_is_gathered_counts_by_capacity_until_its_last_slice_is_gone() {
    for length in [None, Some(300_000)] {
        let held = Held::new(MIB);
        let mut gathering = held.gather(length);
        for _ in 0..100 {
            gathering.push(&[b'x'; 3000]).unwrap();
            assert_eq!(held.bytes(), gathering.bytes.capacity());
            assert!(gathering.bytes.capacity() <= 2 * gathering.len(), "more than was received");
        }
        let bytes = gathering.finish();
        assert_eq!(bytes.len(), 300_000);
        assert!((300_000..=375_000).contains(&held.bytes()), "{}", held.bytes());
        let slice = bytes.slice(5..6);
        drop(bytes);
        assert!(held.bytes() >= 300_000, "the slice holds all of it");
        drop(slice);
        assert_eq!(held.bytes(), 0);
    }
}

#[test]
fn a_body_that_finds_no_room_is_refused_and_gives_back_what_it_had() {
    let held = Held::new(MIB);
    let mut gathering = held.gather(None);
    let refused = std::iter::repeat_with(|| gathering.push(&[0; 64 * KIB])).find_map(Result::err).unwrap();
    assert!(refused.to_string().starts_with("calls under way hold 0 MiB of 1"), "{refused}");
    assert!(gathering.len() >= 256 * KIB);
    drop(gathering);
    assert_eq!(held.bytes(), 0);
    assert_eq!(held.gather(Some(10)).finish(), Bytes::new());
}

#[test]
fn bodies_of_unverified_callers_have_a_part_of_the_account_that_they_fill_before_any_byte_comes() {
    let held = Held::new(64 * MIB);
    let ask = || held.gather_from(Sender::Unverified, None);
    let mut silent: Vec<_> = std::iter::from_fn(|| ask().ok()).collect();
    assert_eq!((silent.len() * KEPT_REQUEST, held.bytes()), (8 * MIB, 8 * MIB), "an eighth is theirs");
    let full = Full { held: 8 * MIB, size: 8 * MIB };
    assert_eq!(ask().unwrap_err(), full);
    assert_eq!(silent[0].push(b"x"), Err(full), "nor may one of them grow");
    let known: Vec<_> = std::iter::from_fn(|| held.take(MIB).ok()).collect();
    assert_eq!(known.len(), 48, "the rest is for all others");
    assert!(held.gather_from(Sender::Known, None).unwrap().push(b"x").is_ok());
    silent.truncate(1);
    silent[0].push(b"x").unwrap();
    assert_eq!(held.bytes(), 48 * MIB + KEPT_REQUEST + FIRST);
    let bytes = silent.remove(0).finish();
    assert_eq!(held.bytes(), 48 * MIB + 1, "its request goes on: what is left is its body");
    drop((known, bytes));
    assert_eq!((held.bytes(), held.0.unverified.load(Ordering::Relaxed)), (0, 0), "all was given back");
}

#[test]
fn a_part_that_finds_no_room_in_the_whole_account_is_given_back() {
    let held = Held::new(64 * MIB);
    let _others = held.take_held(64 * MIB);
    assert!(held.gather_from(Sender::Unverified, None).is_err());
    assert_eq!(held.0.unverified.load(Ordering::Relaxed), 0);
}

#[test]
fn a_length_that_was_announced_is_not_believed() {
    let held = Held::new(MIB);
    let mut gathering = held.gather(Some(usize::MAX));
    gathering.push(b"{}").unwrap();
    assert_eq!(held.bytes(), FIRST);
    let mut lied = held.gather(Some(1));
    lied.push(&[0; 2000]).unwrap();
    assert_eq!(lied.len(), 2000);
}

#[test]
fn what_is_stored_counts_for_the_store_and_here_before_and_after() {
    let held = Held::new(MIB);
    let keeping = Keeping::new(&held, 1000);
    assert_eq!(held.bytes(), 1000);
    for _ in 0..2 {
        keeping.enter_store();
        assert_eq!(held.bytes(), 0);
    }
    for _ in 0..2 {
        keeping.leave_store();
        assert_eq!(held.bytes(), 1000, "a reader has it still");
    }
    drop(keeping);
    assert_eq!(held.bytes(), 0);
    let stored = Keeping::new(&held, 1000);
    stored.enter_store();
    drop(stored);
    assert_eq!(held.bytes(), 0);
}

#[test]
fn threads_that_take_and_give_back_lose_nothing() {
    let held = Held::new(MIB);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..10_000 {
                    drop(held.take(number * 100 % (200 * KIB)));
                    assert!(held.bytes() <= MIB);
                }
            });
        }
    });
    assert_eq!(held.bytes(), 0);
}
