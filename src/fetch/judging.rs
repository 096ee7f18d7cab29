//! [`Judging`]: what is found out about a body by going through it, large ones off the control thread.
//!
//! One thread carries every fetch and write: a list of 4 MB that it went through itself would hold up the calls of all other
//! organizations for a tenth of a second. What is found out here is about the bytes alone. Whether they may be stored and
//! delivered (proof, refusals, fence) is asked on the control thread after that, at the moment of storing.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::cache::gate::{self, Expected, Identity};
use crate::cache::stored::{Packed, pack};
use crate::cache::{Grants, items};
use crate::classify::Target;
use crate::error::{ErrorKind, ProxyError};
use crate::held::Held;
use crate::organization::OrganizationId;
use crate::reason::GateReason;
use crate::resource::{Descriptor, Place};
use crate::semantics::validator;

/// Bodies up to this are judged where they are: to hand one over and back costs more.
const JUDGED_HERE: usize = 64 * 1024;
/// Bodies that are judged at once, of as many cores as twice that: the others are for who does not ask for MiBs.
const MOST_AT_ONCE: usize = 4;

/// How much less than others the threads that judge are to run (nice(2)): about a tenth, which delays them only while all cores are in use.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Places on other threads.
#[derive(Clone, Debug)]
pub(super) struct Judging {
    places: Arc<Semaphore>,
    /// Whose threads for blocking work are used; they are made when they are needed.
    runtime: Handle,
}

impl Judging {
    pub(super) fn new(runtime: Handle) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self { places: Arc::new(Semaphore::new((cores / 2).clamp(1, MOST_AT_ONCE))), runtime }
    }

    /// What `judge` finds out about `body`: at once if it is small, else when another thread has a place for it. The place
    /// is taken until `judge` ends, whether or not anybody waits for it still.
    ///
    /// # Errors
    ///
    /// If it panicked.
    pub(super) async fn of<T: Send + 'static>(
        &self,
        body: &Bytes,
        judge: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<T, ProxyError> {
        if body.len() <= JUDGED_HERE {
            return Ok(judge(body));
        }
        let internal =
            |cause: Box<dyn std::error::Error + Send + Sync>| ErrorKind::Internal.error().because(cause);
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|ended| internal(ended.into()))?;
        let body = body.clone();
        let judging = self.runtime.spawn_blocking(move || {
            give_way();
            let _place = place;
            judge(&body)
        });
        judging.await.map_err(|panicked| internal(panicked.into()))
    }
}

/// What is asked of the body of a 200.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) resource: &'static Descriptor,
    pub(super) target: Target,
    pub(super) expected: Expected,
    /// The upstream's validator, if it is a strong one.
    pub(super) etag: Option<HeaderValue>,
    /// Whether a page is also taken as its items.
    pub(super) takes_items: bool,
    pub(super) held: Held,
}

/// A body that is what was asked for.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) identity: Identity,
    pub(super) packed: Packed,
    pub(super) lesson: Lesson,
}

/// A body that is not.
#[derive(Debug)]
pub(super) struct Unsound {
    pub(super) reason: GateReason,
    pub(super) grants: Option<Grants>,
}

/// What a body says beyond itself.
#[derive(Debug)]
pub(super) enum Lesson {
    /// The member names of a single read, as a hash.
    Single(Option<u64>),
    /// The items of a page, and how many it has in all.
    Page(Vec<Item>, usize),
    Nothing,
}

/// An item of a page, as the single read that it can stand for.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: Uuid,
    pub(super) shape: u64,
    pub(super) packed: Packed,
}

impl Question {
    /// Goes through the body.
    pub(super) fn answer(&self, body: &[u8]) -> Result<Sound, Unsound> {
        let identity = gate::examine_body(self.resource, &self.target, self.expected, body)
            .map_err(|reason| Unsound { reason, grants: Grants::in_body(self.resource, body) })?;
        let etag = self.etag.clone().unwrap_or_else(|| validator::strong_etag_of(body));
        let lesson = match &self.target {
            _ if !self.takes_items || self.resource.is_singleton() => Lesson::Nothing,
            Target::Item(_) => Lesson::Single(items::shape_of(self.resource, body)),
            Target::List(_) => {
                let (mut found, count) = items::split(self.resource, identity.organization, body);
                // Each is stored on the control thread: more than a page can have is not what was asked for.
                if count > self.resource.largest_page.2 {
                    found.clear();
                }
                Lesson::Page(found.into_iter().map(|item| self.item(item)).collect(), count)
            }
        };
        Ok(Sound { identity, packed: pack(&etag, body, &self.held), lesson })
    }

    fn item(&self, item: items::ListItem<'_>) -> Item {
        let packed = pack(&validator::strong_etag_of(item.body), item.body, &self.held);
        Item { id: item.id, shape: item.shape, packed }
    }
}

/// What is asked of the body that answers a write.
#[derive(Debug)]
pub struct WriteQuestion {
    /// Whose path was written to.
    pub resource: &'static Descriptor,
    /// Where that path lies.
    pub place: Place,
    /// The label that was written, if the request says which.
    pub item: Option<Uuid>,
    /// The label that the answer must be, if it is one at all.
    pub written: Option<Uuid>,
    /// Of the writer.
    pub expected: Expected,
    /// The upstream's validator, if it is a strong one.
    pub etag: Option<HeaderValue>,
    /// Counts what is kept of it.
    pub held: Held,
}

/// What an answer to a write says, whatever its shape.
#[derive(Debug)]
pub struct Told {
    /// The organization that it names.
    pub named: Option<OrganizationId>,
    /// Why it belongs to somebody else, if it does.
    pub mix_up: Option<GateReason>,
    /// Whether it says who may see what is in it.
    pub grants: Option<Grants>,
    /// The label that was written.
    pub id: Option<Uuid>,
    /// That label, if it is one of the writer's organization and the answer names nothing else.
    pub alone: Option<Uuid>,
    /// That label as it is now, if the answer is one of the writer's organization.
    pub label: Option<(Identity, Packed)>,
}

impl WriteQuestion {
    /// Goes through the body; nothing if it is no JSON.
    pub(super) fn answer(&self, body: &[u8]) -> Option<Told> {
        serde_json::from_slice::<serde::de::IgnoredAny>(body).ok()?;
        let id = self.item.or_else(|| gate::id_of(self.resource, body));
        let (named, grants) =
            (gate::organization_of(self.resource, body), Grants::in_body(self.resource, body));
        let mix_up = gate::mix_up(self.resource, self.written, self.expected.organization, body);
        let names = self.names_organizations();
        Some(Told {
            named: named.filter(|_| names),
            grants: if names { grants } else { grants.map(Grants::of_its_caller) },
            mix_up: mix_up.filter(|_| names),
            id,
            alone: id.filter(|id| gate::names_alone(self.resource, *id, self.expected, body)),
            label: id.and_then(|id| self.label(id, body)),
        })
    }

    /// The id of a singleton is its organization's; what stands below one may answer with an id of anything.
    const fn names_organizations(&self) -> bool {
        !self.resource.is_singleton() || matches!(self.place, Place::Collection(_))
    }

    fn label(&self, id: Uuid, body: &[u8]) -> Option<(Identity, Packed)> {
        self.expected.organization?;
        let identity = gate::examine_body(self.resource, &Target::Item(id), self.expected, body).ok()?;
        let etag = self.etag.clone().unwrap_or_else(|| validator::strong_etag_of(body));
        Some((identity, pack(&etag, body, &self.held)))
    }
}

/// Lets the threads that serve connections go before this one where they share a core. Where it is refused all share alike,
/// of which there is nothing to say for each body.
fn give_way() {
    // Elsewhere a priority is the whole process's.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::resource::LEAD_LABEL;

    /// Far above what anything takes here: a test that would hang fails.
    const MAX_WAIT: Duration = Duration::from_secs(60);

    fn large() -> Bytes {
        Bytes::from(vec![b'x'; JUDGED_HERE + 1])
    }

    #[tokio::test]
    async fn the_thread_that_hands_a_large_body_over_goes_on_while_it_is_judged() {
        let judging = Judging::new(Handle::current());
        let (release, gate) = mpsc::channel();
        let (tell, begun) = tokio::sync::oneshot::channel();
        let body = large();
        let judged = judging.of(&body, move |body: &[u8]| {
            let _ = tell.send(());
            (gate.recv_timeout(MAX_WAIT).is_ok(), body.len())
        });
        // This runtime has one thread, and only while that is free does anything here come to its end.
        let others = async {
            begun.await.unwrap();
            release.send(()).unwrap();
        };
        let (judged, ()) = tokio::join!(judged, others);
        assert_eq!(judged.unwrap(), (true, JUDGED_HERE + 1));
    }

    #[tokio::test]
    async fn a_small_body_is_judged_where_it_is() {
        let here = thread::current().id();
        let judging = Judging::new(Handle::current());
        let body = Bytes::from(vec![b'x'; JUDGED_HERE]);
        assert_eq!(judging.of(&body, |_: &[u8]| thread::current().id()).await.unwrap(), here);
        assert_ne!(judging.of(&large(), |_: &[u8]| thread::current().id()).await.unwrap(), here);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn whoever_judges_a_large_body_gives_way_to_the_threads_that_serve() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let judging = Judging::new(Handle::current());
        let before = priority();
        assert_eq!(judging.of(&large(), move |_: &[u8]| priority()).await.unwrap(), NICENESS.max(before));
        assert_eq!(priority(), before, "this thread's is its own");
    }

    #[tokio::test]
    async fn no_more_bodies_are_judged_at_once_than_there_are_places_even_if_nobody_waits_for_them() {
        let judging = Judging { places: Arc::new(Semaphore::new(1)), runtime: Handle::current() };
        let (release, gate) = mpsc::channel::<()>();
        let (tell, begun) = tokio::sync::oneshot::channel();
        let body = large();
        let left = judging.of(&body, move |_: &[u8]| {
            let _ = tell.send(());
            gate.recv_timeout(MAX_WAIT).is_ok()
        });
        tokio::select! {
            biased;
            _ = left => panic!("it waits for the gate"),
            told = begun => told.unwrap(),
        }
        assert_eq!(judging.places.available_permits(), 0, "nobody waits for it any more, and it goes on");
        release.send(()).unwrap();
        assert!(judging.of(&body, |_: &[u8]| true).await.unwrap());
    }

    #[test]
    fn a_page_is_taken_as_its_items_up_to_as_many_as_a_page_can_have() {
        let organization = OrganizationId::example(1);
        for (count, taken) in [(1, 1), (100, 100), (101, 0)] {
            let item = |number| {
                let id = Uuid::from_u128(number);
                format!(r#"{{"id":"{id}","organization_id":"{organization}"}}"#)
            };
            let page = format!(r#"{{"items":[{}]}}"#, (0..count).map(item).collect::<Vec<_>>().join(","));
            let question = Question {
                resource: &LEAD_LABEL,
                target: items::whole_list(&LEAD_LABEL),
                expected: Expected::default(),
                etag: None,
                takes_items: true,
                held: Held::new(0),
            };
            let Lesson::Page(found, all) = question.answer(page.as_bytes()).unwrap().lesson else {
                panic!("a page")
            };
            assert_eq!((found.len(), all), (taken, usize::try_from(count).unwrap()));
        }
    }

    #[tokio::test]
    async fn a_panic_ends_its_body_alone() {
        let judging = Judging::new(Handle::current());
        let failed = judging.of(&large(), |_: &[u8]| panic!("as a fault would")).await;
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Internal);
        assert!(judging.of(&large(), |_: &[u8]| true).await.unwrap());
    }
}
