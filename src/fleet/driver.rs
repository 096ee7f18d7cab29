//! The link's task: carries [`Control`] to the store and back, on the control thread.
//!
//! One task owns all of it, so that what is applied, said and let go has one order. Calls to the store are tasks of their own:
//! a late answer holds up nobody.

mod told;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::apply::Applier;
use super::calls;
use super::control::{Call, CallId, Control, Entry, Ring, Spelling, Step, WriteId};
use super::heard::Number;
use super::roster::Introduction;
use super::seal::Sealer;
use super::store::{Backoff, Bells, First, Link, Reply, StoreError, StoreErrorKind};
use super::{Fleet, Order, Receipt};
use crate::clock::{Clock, Moment};
use crate::config::StoreSettings;
use crate::metrics::{LinkState, Metrics};

/// Calls in a row that were not answered in time, after which the link is given up: the server may be frozen, or the way to it.
const UNANSWERED: u32 = 8;

/// What the task needs, and nobody else has.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) control: Control,
    pub(super) applier: Applier,
    pub(super) fleet: Weak<Fleet>,
    pub(super) settings: StoreSettings,
    pub(super) bell: Vec<u8>,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) roster: [Vec<u8>; 2],
    pub(super) introduction: Introduction,
    pub(super) sealer: Arc<Sealer>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) runtime: Handle,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

/// What came of a call.
type Answer = (CallId, Result<Reply, StoreError>);
/// What came of connecting.
type Connected = Result<(Link, Bells), StoreError>;

/// The link, or how far it is from being one.
enum Way {
    /// Until this moment nothing is tried.
    Waiting(Moment),
    Connecting(oneshot::Receiver<Connected>),
    Linked {
        link: Arc<Link>,
        bells: Bells,
        unanswered: u32,
    },
}

/// Who is to be told what becomes of a write.
#[derive(Default)]
struct Waiting {
    entered: Option<oneshot::Sender<Entry>>,
    appended: Option<oneshot::Sender<()>>,
    settled: Option<oneshot::Sender<Receipt>>,
    number: Number,
}

/// The task at work.
struct Running {
    driver: Driver,
    way: Way,
    first: First,
    backoff: Backoff,
    answers: mpsc::UnboundedSender<Answer>,
    waiting: HashMap<WriteId, Waiting>,
    left: Option<oneshot::Sender<()>>,
    has_left: bool,
    last_refusal: Option<StoreErrorKind>,
    /// What is announced without a write has numbers from the end of their range.
    announcements: u64,
}

/// What woke the task.
enum Woken {
    Answered(Answer),
    Ordered(Option<Order>),
    Rang(Option<Vec<u8>>),
    Connected(Box<Connected>),
    Due,
}

impl Driver {
    /// Runs until every handle of the fleet is gone, or it has left.
    pub(super) async fn run(self) {
        let (answers, mut answered) = mpsc::unbounded_channel();
        let now = self.clock.now();
        let mut running = Running {
            driver: self,
            way: Way::Waiting(now),
            first: First::default(),
            backoff: Backoff::default(),
            answers,
            waiting: HashMap::new(),
            left: None,
            has_left: false,
            last_refusal: None,
            announcements: u64::MAX,
        };
        loop {
            let due = running.work();
            if running.has_left {
                return;
            }
            let woken = running.wait(&mut answered, due).await;
            if running.take(woken).is_none() {
                return;
            }
        }
    }
}

impl Running {
    /// Sends what is to be sent, tells what has happened; until when there is nothing to do.
    fn work(&mut self) -> Option<Duration> {
        loop {
            let now = self.driver.clock.now();
            let step = self.driver.control.next(now);
            // Before a write is let go whose notice has no number yet.
            self.stamp();
            while let Some(event) = self.driver.control.event() {
                self.tell(event);
            }
            match step {
                Step::Send(call) => self.send(call),
                Step::Wait(due) => {
                    self.show();
                    return due;
                }
            }
        }
    }

    async fn wait(&mut self, answered: &mut mpsc::UnboundedReceiver<Answer>, due: Option<Duration>) -> Woken {
        let Self { driver, way, first, .. } = self;
        let Driver { settings, bell, runtime, clock, orders, metrics, .. } = driver;
        let sleep = async {
            match due {
                Some(due) => clock.sleep_until_uptime(due).await,
                None => std::future::pending().await,
            }
        };
        let linking = async {
            match way {
                Way::Waiting(until) => {
                    let (done, connected) = oneshot::channel();
                    clock.sleep_until(*until).await;
                    let (first, settings, bell) = (first.clone(), settings.clone(), bell.clone());
                    let clock = clock.clone();
                    let series = metrics.shared().clone();
                    runtime.spawn(async move {
                        let _ = done.send(Link::connect(&first, &settings, &bell, &clock, &series).await);
                    });
                    *way = Way::Connecting(connected);
                    Woken::Due
                }
                Way::Connecting(connected) => match connected.await {
                    Ok(connected) => Woken::Connected(Box::new(connected)),
                    // Its task panicked: as a failure.
                    Err(_) => Woken::Connected(Box::new(Err(StoreError::unreadable("a connection")))),
                },
                Way::Linked { bells, .. } => Woken::Rang(bells.next().await),
            }
        };
        tokio::select! {
            biased;
            // Notices that others have said come before what is said here.
            Some(answer) = answered.recv() => Woken::Answered(answer),
            woken = linking => woken,
            order = orders.recv() => Woken::Ordered(order),
            () = sleep => Woken::Due,
        }
    }

    /// Nothing where all is over.
    fn take(&mut self, woken: Woken) -> Option<()> {
        let now = self.driver.clock.now();
        match woken {
            Woken::Answered((call, answer)) => self.answered(call, answer, now),
            Woken::Rang(Some(message)) => self.driver.control.rang(&message, &mut self.driver.applier),
            Woken::Rang(None) => self.lose_link(&StoreErrorKind::Lost, now),
            Woken::Connected(connected) => match *connected {
                Ok((link, bells)) => self.linked(link, bells),
                Err(error) => self.not_linked(&error, now),
            },
            Woken::Ordered(order) => self.order(order?, now),
            Woken::Due => {}
        }
        Some(())
    }

    fn linked(&mut self, link: Link, bells: Bells) {
        let (version, address) = (link.version(), link.address().to_string());
        tracing::info!(version, address, "linked to the store of the fleet");
        let ring = if link.hears_slot_channels() { Ring::ShardPublish } else { Ring::Publish };
        self.driver.control.ring_by(ring);
        self.driver.control.link_up(link.run_id());
        self.driver.metrics.shared().link_up(LinkState::Up);
        self.note_store(Some(format!("{version} at {address}")));
        let link = Arc::new(link);
        let (introduction, clock) = (self.driver.introduction.clone(), self.driver.clock.clone());
        self.driver.runtime.spawn(introduction.keep_up(Arc::downgrade(&link), clock));
        self.way = Way::Linked { link, bells, unanswered: 0 };
        self.last_refusal = None;
    }

    fn not_linked(&mut self, error: &StoreError, now: Moment) {
        if self.last_refusal.replace(error.kind()) != Some(error.kind()) {
            let (kind, cause) = (error.kind().as_str(), error.to_string());
            tracing::warn!(kind, cause, "the store of the fleet cannot be reached: this replica is alone");
        }
        self.way = Way::Waiting(now.plus(self.backoff.wait()));
    }

    fn lose_link(&mut self, kind: &StoreErrorKind, now: Moment) {
        if let Way::Linked { .. } = self.way {
            tracing::warn!(kind = kind.as_str(), "the link to the store of the fleet is lost");
            self.driver.control.link_down();
            self.driver.metrics.shared().link_up(LinkState::Down);
            self.note_store(None);
            self.way = Way::Waiting(now.plus(self.backoff.wait()));
        }
    }

    fn answered(&mut self, call: CallId, answer: Result<Reply, StoreError>, now: Moment) {
        let Way::Linked { unanswered, .. } = &mut self.way else { return };
        if !self.driver.control.is_under_way(call) {
            // Of a link that is lost: it says nothing of this one.
            return;
        }
        match answer {
            Ok(reply) => {
                *unanswered = 0;
                self.backoff.forget();
                self.driver.control.answered(call, reply.into(), now, &mut self.driver.applier);
            }
            Err(error) => {
                if error.kind() == StoreErrorKind::Timeout {
                    *unanswered += 1;
                }
                let is_over = *unanswered >= UNANSWERED || ends_link(error.kind());
                self.note_refusal(&error);
                self.driver.control.failed(call);
                if is_over {
                    self.lose_link(&error.kind(), now);
                }
            }
        }
    }

    fn note_refusal(&mut self, error: &StoreError) {
        if self.last_refusal.replace(error.kind()) != Some(error.kind()) {
            let (kind, cause) = (error.kind().as_str(), error.to_string());
            tracing::warn!(kind, cause, "the store of the fleet refuses a step");
        }
    }

    fn send(&self, call: Call) {
        let Way::Linked { link, .. } = &self.way else { return };
        let (link, answers, keys) = (Arc::clone(link), self.answers.clone(), self.driver.keys.clone());
        self.driver.runtime.spawn(async move {
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let args: Vec<&[u8]> = call.args.iter().map(Vec::as_slice).collect();
            let flags = link.knows_script_flags();
            let spelling = if flags { Spelling::Flagged } else { Spelling::Plain };
            let answer = link
                .call(calls::operation(call.script), calls::script(call.script, spelling), &keys, &args)
                .await;
            let _ = answers.send((call.id, answer));
        });
    }
}

/// Whether the server, or what it takes us for, is another than when the link was made.
const fn ends_link(kind: StoreErrorKind) -> bool {
    match kind {
        StoreErrorKind::Lost
        | StoreErrorKind::ReadOnly
        // A primary that lost its replicas was as a rule put aside for one of them, and says so to nobody.
        | StoreErrorKind::NoReplicas
        | StoreErrorKind::Moved
        | StoreErrorKind::Loading
        | StoreErrorKind::NoAuth
        | StoreErrorKind::Tls
        | StoreErrorKind::TooOld => true,
        StoreErrorKind::Timeout
        | StoreErrorKind::Oom
        | StoreErrorKind::NoPermission
        | StoreErrorKind::NoScript
        | StoreErrorKind::Other => false,
    }
}
