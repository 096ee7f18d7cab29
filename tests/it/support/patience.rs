//! Waiting for others, with an end: the only real-time timer of these tests.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

/// Long enough for a loaded machine, short enough that a hung test is told from a slow one.
const PATIENCE: Duration = Duration::from_secs(20);

/// Awaits `future`; panics with the caller's place and `what` if it takes 20 s of real time.
///
/// This is no part of any assertion: a test that passes never comes near it.
#[track_caller]
pub fn patiently<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> + use<F> {
    let (place, what) = (Location::caller(), what.to_owned());
    async move {
        #[expect(clippy::disallowed_methods, reason = "a hung test must fail, whatever its own clock says")]
        let outcome = tokio::time::timeout(PATIENCE, future).await;
        outcome.unwrap_or_else(|_| panic!("{place}: waited {PATIENCE:?} for {what}"))
    }
}

/// Runs `count` futures at the same time, each in its own task; their outputs in order.
#[track_caller]
pub fn together<F, M: Fn(usize) -> F>(count: usize, make: M) -> impl Future<Output = Vec<F::Output>>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|index| tokio::spawn(make(index))).collect();
    patiently("every one of the concurrent tasks", async move {
        let mut outputs = Vec::with_capacity(count);
        for task in tasks {
            outputs.push(task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())));
        }
        outputs
    })
}
