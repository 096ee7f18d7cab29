//! [`Broken`]: a promise that was broken, which ends a run.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// Always the same words for the same promise: by them a smaller history is known to break it, too.
    pub(super) promise: &'static str,
    pub(super) how: String,
}

/// What broke where nobody judged: the proxy, or the simulation itself.
const PANIC: &str = "nothing panics";

/// Ends the run where a promise does not hold. Nothing is printed: a history is shrunk by breaking it again and again.
pub(super) fn hold(holds: bool, promise: &'static str, how: impl FnOnce() -> String) {
    if !holds {
        resume_unwind(Box::new(Broken { promise, how: how() }));
    }
}

/// Runs something, and says what it broke.
pub(super) fn catch<T>(what: impl FnOnce() -> T) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|payload| match payload.downcast::<Broken>() {
        Ok(broken) => *broken,
        Err(payload) => Broken { promise: PANIC, how: text(&*payload) },
    })
}

fn text(payload: &(dyn Any + Send)) -> String {
    let known = payload.downcast_ref::<String>().map(String::as_str);
    known.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}
