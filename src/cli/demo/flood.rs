//! The same flood of reads without the proxy and with it, side by side.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use tokio::task::JoinSet;

use super::client::{Client, Heard};
use super::figures::Times;
use crate::clock::Clock;
use crate::simulator::{Key, Organization};

/// Who asks at once.
const CALLERS: usize = 40;
/// How often each does.
const READS: usize = 25;
/// Between two of its reads.
const PAUSE: Duration = Duration::from_millis(20);

/// A flood, and what came of it both ways.
#[derive(Debug, Serialize)]
pub(super) struct Flood {
    pub(super) without: Side,
    pub(super) with: Side,
}

/// One way of it.
#[derive(Debug, Serialize)]
pub(super) struct Side {
    /// Reads that were asked.
    pub(super) reads: u64,
    /// Of them answered with the label.
    pub(super) answered: u64,
    /// Of them refused with 429.
    pub(super) refused: u64,
    /// Of them neither.
    pub(super) failed: u64,
    /// Calls that the API had of it.
    pub(super) api_calls: u64,
    /// From the first request to the last answer.
    pub(super) seconds: f64,
    /// Of those that were answered, as the client sees it.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Side {
    /// Reads of an organization's labels by many callers of one key at once; `calls` says how many calls the API has had so far.
    pub(super) async fn run(
        address: SocketAddr,
        organization: &Organization,
        key: &Key,
        clock: &Clock,
        calls: impl Fn() -> u64,
    ) -> Self {
        let paths: Arc<[String]> =
            organization.labels().iter().map(|label| format!("/api/v2/lead-labels/{}", label.id)).collect();
        let (calls_before, begun) = (calls(), clock.now());
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            let client = Client::new(key, clock);
            callers.spawn(ask(client, address, Arc::clone(&paths), number as u64));
        }
        let heard: Vec<_> = callers.join_all().await.into_iter().flatten().flatten().collect();
        let seconds = clock.now().since(begun).as_secs_f64();
        let (mut times, mut refused, mut answered) = (Times::default(), 0, 0);
        for answer in &heard {
            match answer.status {
                StatusCode::OK => {
                    answered += 1;
                    times.note(answer.took);
                }
                StatusCode::TOO_MANY_REQUESTS => refused += 1,
                _ => {}
            }
        }
        let reads = (CALLERS * READS) as u64;
        Self {
            reads,
            answered,
            refused,
            failed: reads - answered - refused,
            api_calls: calls() - calls_before,
            seconds,
            p50_ms: times.milliseconds(0.5),
            p99_ms: times.milliseconds(0.99),
        }
    }
}

/// What one caller is answered; nothing in place of what had no answer.
async fn ask(client: Client, address: SocketAddr, paths: Arc<[String]>, seed: u64) -> Vec<Option<Heard>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut heard = Vec::with_capacity(READS);
    for _ in 0..READS {
        heard.push(client.get(address, &paths[random.usize(..paths.len())]).await);
        client.clock().sleep(PAUSE).await;
    }
    heard
}

impl Flood {
    /// The table at the end.
    pub(super) fn table(&self) -> String {
        let (one, other) = (&self.without, &self.with);
        let whole = |value: fn(&Side) -> u64| [value(one), value(other)].map(|value| value.to_string());
        let time = |value: fn(&Side) -> f64, unit: &str| {
            [value(one), value(other)].map(|value| format!("{value:.1} {unit}"))
        };
        let rows = [
            ("", ["without the proxy".to_owned(), "with the proxy".to_owned()]),
            ("reads asked", whole(|side| side.reads)),
            ("calls of the API", whole(|side| side.api_calls)),
            ("answered with 429", whole(|side| side.refused)),
            ("failed otherwise", whole(|side| side.failed)),
            ("p50 of the answered", time(|side| side.p50_ms, "ms")),
            ("p99 of the answered", time(|side| side.p99_ms, "ms")),
            ("all of it took", time(|side| side.seconds, "s")),
        ];
        let mut text = String::new();
        for (name, [without, with]) in rows {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {name:<22}{without:>18}{with:>18}");
        }
        text
    }
}
