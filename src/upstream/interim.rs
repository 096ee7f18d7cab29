//! [`Interim`]: how many interim answers (1xx) an upstream sends before its answer.
//!
//! hyper drops them, however many come, and an upstream that sends nothing else would hold a call to its deadline. A few
//! are all that an answer needs. Over HTTP/2 hyper does not tell of them: there the deadline alone ends such a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use tokio::sync::Notify;

use crate::error::{ErrorKind, ProxyError};

/// The most that are dropped in front of one answer (Q15).
const MOST: usize = 8;

/// The interim answers to one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Interim(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    came: AtomicUsize,
    too_many: Notify,
}

impl Interim {
    /// Counts those that come before the answer to `request`.
    pub(super) fn of<B>(request: &mut Request<B>) -> Self {
        let interim = Self::default();
        let counted = interim.clone();
        hyper::ext::on_informational(request, move |_| {
            if counted.0.came.fetch_add(1, Ordering::Relaxed) == MOST {
                counted.0.too_many.notify_one();
            }
        });
        interim
    }

    /// Ends when too many have come.
    pub(super) async fn too_many(&self) {
        self.0.too_many.notified().await;
    }

    /// Refuses an answer before which too many came.
    pub(super) fn check(&self) -> Result<(), ProxyError> {
        if self.0.came.load(Ordering::Relaxed) > MOST { Err(Self::refusal()) } else { Ok(()) }
    }

    /// What a call ends with that gets too many.
    pub(super) fn refusal() -> ProxyError {
        ErrorKind::BadUpstreamAnswer.error().because("more than 8 interim answers")
    }
}
