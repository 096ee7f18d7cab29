//! [`Following`]: the wait of a fetch for another replica's, which brings what it is for.

use std::time::Duration;

use super::Fetcher;
use super::flight::Publisher;
use super::result::Fetched;
use super::task::{Fetch, Waited};
use crate::clock::Moment;
use crate::fleet::tier::Progress;

/// How long after the first look-up the next one is, while another replica fetches; it doubles.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// The wait for another replica's fetch.
pub(super) struct Following<'a> {
    fetch: &'a Fetch,
    publisher: &'a Publisher<Fetched>,
    pause: Duration,
    begun: Moment,
    progress: Option<Progress>,
}

/// What became of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// Ask again.
    Over,
    /// Nobody waits for the fetch any more.
    Abandoned,
    /// It has lasted for as long as a fetch may: whoever leads goes upstream.
    TooLong,
}

impl<'a> Following<'a> {
    pub(super) const fn new(fetch: &'a Fetch, publisher: &'a Publisher<Fetched>, begun: Moment) -> Self {
        Self { fetch, publisher, pause: ASK_AGAIN, begun, progress: None }
    }

    /// Whether it has not waited yet.
    pub(super) const fn is_new(&self) -> bool {
        self.progress.is_none()
    }

    /// Waits before the store is asked again. Whoever waits for this fetch waits as for one of its own that is as far.
    pub(super) async fn pause(&mut self, fetcher: &Fetcher, progress: Progress) -> Pause {
        let now = fetcher.clock.now();
        if self.progress != Some(progress) {
            self.progress = Some(progress);
            match progress {
                Progress::Begun => {}
                Progress::Queued => self.publisher.note_queued(),
                Progress::Sent => self.publisher.note_sent(),
            }
            if let Some(attempt) = &self.fetch.attempt {
                match progress {
                    Progress::Begun => {}
                    Progress::Queued => attempt.note_queued(),
                    Progress::Sent => attempt.note_sent(now),
                }
            }
        }
        let longest = self.fetch.rules.timeouts.fill_timeout + self.fetch.rules.max_wait(None);
        if now.since(self.begun) >= longest {
            return Pause::TooLong;
        }
        let sleep = fetcher.clock.sleep(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if self.fetch.waited == Waited::Behind {
            sleep.await;
            return Pause::Over;
        }
        tokio::select! {
            biased;
            () = sleep => Pause::Over,
            () = self.publisher.abandoned() => Pause::Abandoned,
        }
    }
}
