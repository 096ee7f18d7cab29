//! Both windows against a model that remembers everything.

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const A: CallerId = CallerId(1);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn fits_now(free_at: Duration, now: Duration) -> bool {
    free_at <= now
}

/// Most sends in any half-open stretch of `length`.
fn densest(sends: &[Duration], length: Duration) -> usize {
    let within = |from: Duration| sends.iter().filter(|at| (from..from + length).contains(*at)).count();
    sends.iter().map(|from| within(*from)).max().unwrap_or(0)
}

/// Gaps from a nanosecond to a minute, mostly short.
fn gaps() -> impl Strategy<Value = Vec<Duration>> {
    let gap = prop_oneof![
        8 => (0..50_000_000_u64).prop_map(Duration::from_nanos),
        3 => (0..1100_u64).prop_map(ms),
        1 => (0..70_000_u64).prop_map(ms),
    ];
    prop::collection::vec(gap, 1..400)
}

proptest! {
    #[test]
    fn no_second_holds_more_than_the_limit_and_none_that_fits_is_held_back(gaps in gaps(), limit in 1_u32..20) {
        let (mut window, mut sends, mut now) = (Second::default(), Vec::new(), Duration::ZERO);
        for gap in gaps {
            now += gap;
            let inside = sends.iter().filter(|at| **at + WINDOW > now).count();
            prop_assert_eq!(window.used(now) as usize, inside);
            prop_assert_eq!(fits_now(window.free_at(limit, 1, now), now), inside < limit as usize);
            if inside < limit as usize {
                window.take(A, now);
                sends.push(now);
            }
        }
        prop_assert!(densest(&sends, WINDOW) <= limit as usize);
    }

    #[test]
    fn no_minute_holds_more_than_the_limit_and_a_send_is_held_back_a_second_too_long_at_most(
        gaps in gaps(),
        limit in 1_u32..60,
    ) {
        let (mut window, mut sends, mut now) = (Minute::default(), Vec::new(), Duration::ZERO);
        for gap in gaps {
            now += gap;
            let inside = |length: Duration| sends.iter().filter(|at| **at + length > now).count();
            let fits = fits_now(window.free_at(limit, 1, now), now);
            prop_assert!(!fits || inside(MINUTE) < limit as usize);
            prop_assert!(fits || inside(MINUTE + WINDOW) >= limit as usize);
            if fits {
                window.take(now);
                sends.push(now);
            }
        }
        prop_assert!(densest(&sends, MINUTE) <= limit as usize);
    }

    #[test]
    fn what_is_foretold_of_the_next_sends_comes_true(gaps in gaps(), limit in 1_u32..20, further in 1_u32..60) {
        let (mut window, mut now) = (Second::default(), Duration::ZERO);
        for gap in gaps {
            now += gap;
            if fits_now(window.free_at(limit, 1, now), now) {
                window.take(A, now);
            }
        }
        let foretold = window.free_at(limit, further, now);
        for _ in 1..further {
            now = window.free_at(limit, 1, now);
            window.take(A, now);
        }
        prop_assert_eq!(window.free_at(limit, 1, now), foretold);
    }

    #[test]
    fn a_merged_window_holds_what_both_held(left in gaps(), right in gaps(), later in 0_u64..70_000) {
        let (mut seconds, mut minutes) = (Vec::new(), Vec::new());
        let (mut sends, mut end) = (Vec::new(), Duration::ZERO);
        for gaps in [left, right] {
            let (mut second, mut minute, mut now) = (Second::default(), Minute::default(), Duration::ZERO);
            for gap in gaps {
                now += gap;
                second.take(A, now);
                minute.take(now);
                sends.push(now);
            }
            end = end.max(now);
            seconds.push(second);
            minutes.push(minute);
        }
        let (mut second, mut minute) = (seconds.remove(0), minutes.remove(0));
        second.merge(seconds.remove(0), end);
        minute.merge(minutes.remove(0), end);
        let now = end + ms(later);
        let inside = |length: Duration| sends.iter().filter(|at| **at + length > now).count();
        prop_assert_eq!(second.used(now) as usize, inside(WINDOW));
        prop_assert!((inside(MINUTE)..=inside(MINUTE + WINDOW)).contains(&(minute.used(now) as usize)));
        second.expire(now);
        prop_assert_eq!(second.of(A), second.used(now));
    }
}

/// Calls of ever new keys of one organization are spent on accounts of their own, and merged.
#[test]
fn a_window_that_is_merged_into_again_and_again_does_not_grow() {
    let (mut second, mut minute) = (Second::default(), Minute::default());
    for sent in 0..100_000 {
        let now = ms(sent * 10);
        let (mut own_second, mut own_minute) = (Second::default(), Minute::default());
        own_second.take(CallerId(sent), now);
        own_minute.take(now);
        second.merge(own_second, now);
        minute.merge(own_minute, now);
        assert!(second.log.len() <= 101 && second.callers() <= 101, "{}", second.log.len());
        assert!(minute.cells.len() <= 63, "{}", minute.cells.len());
    }
    let now = ms(999_990);
    assert_eq!((second.used(now), minute.used(now)), (101, 6100));
}

#[test]
fn what_was_never_sent_is_not_counted() {
    let (mut second, mut minute) = (Second::default(), Minute::default());
    for at in [ms(100), ms(200)] {
        second.take(A, at);
        minute.take(at);
    }
    second.give_back(A, ms(100));
    minute.give_back(ms(100));
    assert_eq!((second.used(ms(300)), minute.used(ms(300)), second.of(A)), (1, 1, 1));
    assert_eq!(second.free_at(1, 1, ms(300)), ms(200) + WINDOW);
}

#[test]
fn a_clock_read_late_by_another_thread_does_not_disorder_the_log() {
    let mut second = Second::default();
    second.take(A, ms(200));
    assert_eq!(second.moment(ms(100)), ms(200));
}

#[test]
fn an_empty_window_gives_its_memory_back() {
    let mut second = Second::default();
    for _ in 0..90 {
        second.take(A, ms(0));
    }
    second.shrink(WINDOW - ms(1));
    assert_eq!(second.used(WINDOW - ms(1)), 90);
    second.shrink(WINDOW);
    assert_eq!((second.log.capacity(), second.callers()), (0, 0));
}

#[test]
fn whose_sends_are_inside_is_told_the_same_of_few_and_of_many() {
    let mut second = Second::default();
    let (mut sent, mut at) = (Vec::new(), 0);
    for step in 0..200_u64 {
        at += if step / 25 % 2 == 0 { 10 } else { 300 };
        second.take(CallerId(step % 5), Duration::from_millis(at));
        sent.push((at, step % 5));
        sent.retain(|(sent, _)| sent + 1005 > at);
        let of = |caller: u64| sent.iter().filter(|(_, other)| *other == caller).count();
        let mut who: Vec<u64> = second.who().map(|caller| caller.0).collect();
        who.sort_unstable();
        assert_eq!(who, (0..5).filter(|caller| of(*caller) > 0).collect::<Vec<_>>(), "{step}");
        assert_eq!(second.callers() as usize, who.len(), "{step}");
        assert!((0..5).all(|caller| second.of(CallerId(caller)) as usize == of(caller)), "{step}");
    }
}
