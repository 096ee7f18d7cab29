//! The whole proxy between raw bytes: what clients send and what the upstream answers is taken from the input.
//!
//! Beside them stands one honest caller of another organization. Its token, the id of its organization and what its label says
//! stand in no input, so whoever else hears of it heard it from the proxy. HTTP/1.1 and HTTP/2 on the clients' side; on the
//! upstream's HTTP/1.1, or, in an input that begins with `h2:`, HTTP/2 for label calls, as if TLS had agreed on it.

mod bounds;
mod honest;
mod http2;
mod stage;

pub use self::bounds::Gauge;
use self::bounds::{Bill, assert_within};
use self::honest::{ORGANIZATION, SAYS, TOKEN};
use self::stage::{Stage, in_world, prices};

/// More steps of an input find nothing new.
const MOST_STEPS: usize = 64;

/// What an input begins with whose upstream speaks HTTP/2.
const HTTP2: &[u8] = b"h2:";

/// Steps, each a byte that says what is done, a length, and so many bytes.
pub(super) fn steps(bytes: &[u8]) {
    if let Some(input) = Input::of(bytes) {
        input.run(None);
    }
}

/// The same, and what they may cost.
pub(super) fn steps_within(bytes: &[u8], gauge: Gauge) {
    if let Some(input) = Input::of(bytes) {
        assert_within(prices(gauge), || input.run(Some(gauge)));
    }
}

/// An input that names none of the honest caller's.
struct Input<'a> {
    speaks_http2: bool,
    steps: &'a [u8],
}

impl<'a> Input<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let names_it = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        if [&TOKEN[7..], ORGANIZATION, SAYS].into_iter().any(names_it) {
            return None;
        }
        let http2 = bytes.strip_prefix(HTTP2);
        Some(Self { speaks_http2: http2.is_some(), steps: http2.unwrap_or(bytes) })
    }

    /// What it cost.
    fn run(&self, gauge: Option<Gauge>) -> Bill {
        in_world(self.speaks_http2, gauge, async |stage| self.take_place(stage).await)
    }

    async fn take_place(&self, stage: &mut Stage) -> Bill {
        // moka gives each part of its tables room when it is first looked at, whoever looks: some 64 KiB for each cache.
        stage.purge().await;
        stage.read_honestly().await;
        stage.begin_bill();
        let mut rest = self.steps;
        for _ in 0..MOST_STEPS {
            let Some((&[what, length], behind)) = rest.split_first_chunk() else { break };
            let (given, behind) = behind.split_at(usize::from(length).min(behind.len()));
            rest = behind;
            stage.step(what, given).await;
            stage.assert_held();
        }
        let bill = stage.bill;
        stage.end_well().await;
        bill
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::Path;
    use std::time::Duration;

    use super::{Gauge, Input, in_world, steps_within};

    fn seed(name: &str) -> Vec<u8> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/whole");
        fs::read(corpus.join(name)).expect("a seed")
    }

    /// A seed that reaches nothing proves nothing.
    #[test]
    fn the_seeds_of_the_whole_proxy_reach_answers_over_both_protocols() {
        let http2_upstream = ["h2up_read", "h2up_list", "h2up_write", "h2up_h2_read"];
        for name in ["read", "list", "h2_read", "write_in_parts", "leaves"].into_iter().chain(http2_upstream)
        {
            let seed = seed(name);
            let input = Input::of(&seed).expect("it names nobody");
            let heard = in_world(input.speaks_http2, None, async |stage| {
                input.take_place(stage).await;
                stage.others_heard
            });
            assert!(heard, "{name}: nobody was answered");
        }
    }

    thread_local! {
        static HELD: Cell<usize> = const { Cell::new(0) };
        static SPENT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        /// What is told to be held more, and to be spent, whenever it is asked for.
        static STEPS: Cell<(usize, Duration)> = const { Cell::new((0, Duration::ZERO)) };
    }

    fn held() -> usize {
        HELD.set(HELD.get() + STEPS.get().0);
        HELD.get()
    }

    fn spent() -> Duration {
        SPENT.set(SPENT.get() + STEPS.get().1);
        SPENT.get()
    }

    #[test]
    fn an_input_that_holds_or_costs_too_much_is_found() {
        let microsecond = Duration::from_micros(1);
        let run = |steps| {
            STEPS.set(steps);
            catch_unwind(|| steps_within(&seed("read"), Gauge { held, spent }))
        };
        assert!(run((1, microsecond)).is_ok(), "the prices are measured by this one");
        let told = |steps| *run(steps).expect_err("too much").downcast::<String>().expect("what was wrong");
        assert!(told((256 << 10, microsecond)).ends_with("bytes are held"));
        assert!(told((1, Duration::from_secs(1))).contains("costs more than"));
    }
}
