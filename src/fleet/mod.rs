//! The fleet: through a Redis or Valkey store many replicas are one cache with one budget and one order of writes.
//!
//! What every replica must know is a [`Notice`] in the store's log; a replica that has applied all of it holds a [`Lease`] and
//! may serve what is stored. `docs/FLEET.md` has the whole argument. [`store`] is the way to the store. Without `[shared]`
//! nothing here runs.

pub mod account;
mod apply;
mod calls;
pub mod control;
mod driver;
pub mod heard;
pub mod lease;
pub mod names;
pub mod notice;
pub mod number;
pub mod open_write;
pub mod order;
pub mod overview;
pub mod receipts;
pub mod roster;
pub mod seal;
pub mod start;
pub mod store;
pub mod taken;
pub mod tier;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use self::control::{Entry, Status};
use self::heard::{Heard, Number};
use self::lease::Lease;
use self::names::{Names, SharedCredential};
use self::notice::{Digests, Notice, Whom};
use self::open_write::OpenWrite;
pub(crate) use self::order::Order;
pub use self::order::Receipt;
use self::roster::Replica;
use self::seal::Sealer;
use self::store::Data;
use self::taken::{Taken, Unsure};
use self::tier::Tier;
use crate::caller::bindings::Refusal;
use crate::caller::credential::{AuthorizationDigest, Credential, CredentialDigest};
use crate::caller::standing::Ended;
use crate::clock::{Clock, Moment};
use crate::config::{CachedResource, WhenLost};
use crate::lock::Mutex;
use crate::resource::Descriptor;

/// What the rest of the process asks of the fleet: a handle; the link to the store is a task of the control thread.
#[derive(Debug)]
pub struct Fleet {
    lease: Arc<Lease>,
    heard: Arc<Heard>,
    /// How old a stored response may be that is served without a lease.
    alone_ttl: Duration,
    when_lost: WhenLost,
    names: Arc<Names>,
    sealer: Arc<Sealer>,
    data: Arc<Data>,
    tier: Arc<Tier>,
    orders: mpsc::UnboundedSender<Order>,
    seen: Mutex<Seen>,
    /// Something of it changed that the budget goes by.
    changed: Notify,
    unsure: Mutex<Unsure>,
    /// The same of items that are gone: ids that somebody makes up must not keep refusals from being told.
    unsure_of_gone: Mutex<Unsure>,
    clock: Clock,
}

/// What the link's task shows.
#[derive(Debug, Default)]
struct Seen {
    store: Option<String>,
    status: Option<Status>,
    /// By what the budget goes: whether there was a lease when it asked last, and how many were seen.
    told: (bool, Option<NonZeroU32>),
}

/// Proofs that a refusal takes out of the store.
struct TakenOut {
    /// Of this credential, by the name that each secret gives it.
    named: Vec<SharedCredential>,
    /// Those by this resource alone, if it alone refused it.
    by: Option<&'static Descriptor>,
}

impl Fleet {
    /// How long a stored response may be served to what was read at `read_at`: as configured with a lease, briefly without.
    ///
    /// To be asked before the look-up, never behind it: a lease that came back between the two would vouch for what was
    /// looked up before.
    #[must_use]
    pub fn lifetimes(&self, configured: &CachedResource, read_at: Moment) -> CachedResource {
        if self.lease.holds_at(read_at) {
            return *configured;
        }
        CachedResource { ttl: configured.ttl.min(self.alone_ttl), ..*configured }
    }

    /// Whether this replica has a lease for what was read at this moment; without one it is alone, and asks the store nothing.
    #[must_use]
    pub fn has_lease(&self, read_at: Moment) -> bool {
        self.lease.holds_at(read_at)
    }

    /// Whether label writes are refused at this moment.
    #[must_use]
    pub fn refuses_writes(&self, now: Moment) -> bool {
        self.when_lost == WhenLost::RefuseWrites && !self.lease.holds_at(now)
    }

    /// Whether this write is refused at this moment: also where the store has not said that the fleet knows of it, for then
    /// nobody would tell the others if this replica died with it.
    #[must_use]
    pub fn refuses(&self, write: &OpenWrite, now: Moment) -> bool {
        self.refuses_writes(now) || self.when_lost == WhenLost::RefuseWrites && write.entry() == Entry::Unsaid
    }

    /// The number of the last notice applied here: to be read before an upstream call is sent.
    #[must_use]
    pub fn stamp(&self) -> Number {
        self.heard.applied()
    }

    /// What was heard of each organization; it judges stamps.
    #[must_use]
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// What others have stored.
    #[must_use]
    pub const fn tier(&self) -> &Arc<Tier> {
        &self.tier
    }

    /// Whether this replica has a lease now, and how many were seen last, itself included; nothing if none ever was.
    #[must_use]
    pub fn share(&self) -> (bool, Option<NonZeroU32>) {
        let mut seen = self.seen.lock();
        seen.told = self.share_by(&seen);
        seen.told
    }

    fn share_by(&self, seen: &Seen) -> (bool, Option<NonZeroU32>) {
        let members = seen.status.as_ref().map_or(0, |status| status.members);
        (self.has_lease(self.clock.now()), NonZeroU32::new(members))
    }

    /// Waits until [`Self::share`] may be another than it was when it was last asked for; not for the loss of a lease that nobody
    /// has noticed. One task waits. Cancel-safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Enters a write among the open ones, before it is sent. Never fails: what could not be entered is told others later.
    pub async fn open_write(&self, last_will: Notice) -> OpenWrite {
        OpenWrite::enter(self.orders.clone(), last_will).await
    }

    /// Tells all others; nobody waits for it.
    pub fn tell(&self, notice: Notice) {
        let ((appended, _), (settled, _)) = (oneshot::channel(), oneshot::channel());
        // The task is gone when the process ends: then nobody is to be told any more.
        let _ = self.orders.send(Order::Announce { write: None, notices: vec![notice], appended, settled });
    }

    /// The API has refused a credential, or contradicted what was known of it, which ended this here. All others are told if that
    /// was a proof, or if the store had one or did not say: tokens that somebody made up must not fill the log.
    pub fn note_refusal(self: &Arc<Self>, credential: &Credential, refusal: Refusal, ended: Ended) {
        let digests = |known: SharedCredential| Digests {
            authorization: *known.authorization.bytes(),
            credential: *known.credential.bytes(),
        };
        let (whom, by) = match refusal {
            Refusal::Unauthorized { .. } => (Whom::Authorization, None),
            Refusal::Credential => (Whom::Credential, None),
            Refusal::Resource(resource) => (Whom::Credential, Some(resource)),
        };
        let named: Vec<_> = self.names.credentials(credential).collect();
        let digests = named.iter().copied().map(digests).collect();
        let resource = by.map(|resource| resource.name.to_owned());
        self.refused(Notice::Refused { digests, whom, resource }, TakenOut { named, by }, ended);
    }

    /// The same of an `Authorization` value that came without a credential.
    pub fn note_refused_authorization(self: &Arc<Self>, authorization: AuthorizationDigest, ended: Ended) {
        let bytes = *authorization.bytes();
        let digests = vec![Digests { authorization: bytes, credential: bytes }];
        let named = SharedCredential { authorization, credential: CredentialDigest::told(bytes) };
        let notice = Notice::Refused { digests, whom: Whom::Authorization, resource: None };
        self.refused(notice, TakenOut { named: vec![named], by: None }, ended);
    }

    fn refused(self: &Arc<Self>, notice: Notice, what: TakenOut, ended: Ended) {
        match ended {
            Ended::Nothing => return,
            Ended::Proofs => self.tell(notice.clone()),
            Ended::NoProof => {}
        }
        // What another replica proved before counts here no more, whether or not this comes back with a number.
        let now = self.clock.now();
        for known in &what.named {
            self.heard.note_refused_here(known.authorization, what.by, now);
        }
        let fleet = Arc::clone(self);
        self.tier.behind(async move {
            let TakenOut { named, by } = what;
            let taken = match by {
                Some(resource) => fleet.tier.take_out_proof(&named, resource.collection).await,
                // All that this `Authorization` has there.
                None => fleet.tier.take_out_proofs(&named).await,
            };
            if ended == Ended::NoProof {
                fleet.tell_of_taken(notice, taken);
            }
        });
    }

    /// Tells all others that something is over which the store had, or may have had: then they may have it, too.
    pub fn tell_of_taken(&self, notice: Notice, taken: Taken) {
        let tells = match taken {
            Taken::Nothing => false,
            Taken::Unsure => {
                let is_gone = matches!(notice, Notice::Gone { .. });
                let told = if is_gone { &self.unsure_of_gone } else { &self.unsure };
                told.lock().may_tell(self.clock.now())
            }
            Taken::Something => true,
        };
        if tells {
            self.tell(notice);
        }
    }

    /// Tells all others and waits until they have applied it, or their leases are over.
    pub async fn announce(&self, notice: Notice) -> Receipt {
        let ((appended, _), (settled, receipt)) = (oneshot::channel(), oneshot::channel());
        let _ = self.orders.send(Order::Announce { write: None, notices: vec![notice], appended, settled });
        receipt.await.unwrap_or_default()
    }

    /// Who is in the fleet, as the store has it; nothing where it cannot be asked.
    pub async fn roster(&self) -> Option<Vec<Replica>> {
        let (told, replicas) = oneshot::channel();
        self.orders.send(Order::Roster { told }).ok()?;
        replicas.await.ok()
    }

    /// The connections for what may be missed.
    #[must_use]
    pub const fn data(&self) -> &Arc<Data> {
        &self.data
    }

    /// What of the store everything is called.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Seals what the store is given.
    #[must_use]
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    fn note_status(&self, status: Status) {
        let mut seen = self.seen.lock();
        // None before the first beat: then the configuration says how many share.
        seen.status = Some(status);
        if seen.told != self.share_by(&seen) {
            self.changed.notify_one();
        }
    }

    fn note_store(&self, store: Option<String>) {
        self.seen.lock().store = store;
    }

    /// Gives the lease up and takes this replica out of the fleet: the last thing it does.
    pub async fn leave(&self) {
        let (left, done) = oneshot::channel();
        if self.orders.send(Order::Leave { left }).is_ok() {
            let _ = done.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{AUTHORIZATION, HeaderMap};

    use super::start::Unlinked;
    use super::*;
    use crate::config::{Shared, StoreAddress};
    use crate::metrics::SharedSeries;

    /// A replica whose store does not answer.
    fn replica(clock: &Clock) -> (Arc<Fleet>, Unlinked) {
        let files = tempfile::TempDir::new().unwrap();
        let secrets = files.path().join("secrets");
        std::fs::write(&secrets, "0123456789abcdef0123456789abcdef\n").unwrap();
        let shared = Shared::at(StoreAddress::new("127.0.0.1", 1), secrets);
        let runtime = tokio::runtime::Handle::current();
        Fleet::new(&shared, "http://upstream", clock, &SharedSeries::default(), &runtime).unwrap()
    }

    #[tokio::test]
    async fn a_refusal_is_told_where_the_store_did_not_say_whether_it_had_a_proof() {
        let (clock, _hand) = Clock::manual();
        let (fleet, mut unlinked) = replica(&clock);
        let value = HeaderValue::from_static("Bearer a");
        let fields = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let credential = fleet.names.digester().credential(&fields).unwrap();
        // Something said here is unheard: there is no stamp.
        assert_eq!(fleet.heard.stamp(), None);
        fleet.lease.extend(clock.now().plus(Duration::from_secs(1)));
        fleet.note_refusal(&credential, Refusal::Credential, Ended::NoProof);
        let Some(Order::Announce { notices, .. }) = unlinked.orders.recv().await else {
            panic!("nothing is announced")
        };
        assert!(matches!(&notices[..], [Notice::Refused { whom: Whom::Credential, .. }]), "{notices:?}");
    }

    #[tokio::test]
    async fn replicas_are_seen_with_the_first_beat_and_not_before() {
        let (clock, _hand) = Clock::manual();
        let (fleet, _unlinked) = replica(&clock);
        for (members, seen) in [(0, None), (3, NonZeroU32::new(3))] {
            fleet.note_status(Status { members, ..Status::default() });
            assert_eq!(fleet.share().1, seen);
        }
    }
}
