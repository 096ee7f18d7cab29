//! [`Applier`]: does here what the notices of others say.

use std::sync::Arc;
use std::time::Duration;

use super::control::{Apply, WriteId};
use super::heard::{Heard, Number};
use super::notice::{Notice, Told, Whom};
use super::seal::{SealPurpose, Sealer};
use super::tier::times::StoreClock;
use crate::cache::{Cache, Purge};
use crate::caller::bindings::Bindings;
use crate::caller::credential::{AuthorizationDigest, CredentialDigest};
use crate::clock::{Clock, Moment};
use crate::fence::{Fate, Reach};
use crate::metrics::{InvalidationCause, Metrics, Rejected};
use crate::organization::{Extent, OrganizationId, OrganizationName};
use crate::resource::{Descriptor, Resources};

/// What notices are sealed to.
pub(super) const NOTICE: &[u8] = b"notice";

/// What notices change.
#[derive(Debug)]
pub(super) struct Applier {
    pub(super) cache: Arc<Cache>,
    pub(super) bindings: Arc<Bindings>,
    pub(super) heard: Arc<Heard>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) times: Arc<StoreClock>,
    pub(super) resources: Resources,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

impl Apply for Applier {
    fn notice(&mut self, number: Number, body: &[u8], own: Option<WriteId>) {
        let opened = self.sealer.open(SealPurpose::Notice, NOTICE, body).ok();
        match opened.as_deref().and_then(Notice::from_bytes) {
            Some(notice) => {
                // First: whoever judged by what was heard before this took its place in the order of fetches before that is
                // raised below, and is shut out by it. The other way round, a read that begins while all that is stored is
                // gone through would be given by the second tier what is from before the notice.
                self.note(number, &notice);
                // What this replica said itself it does again: until it came back with its number, the second tier could bring
                // what was stored before it.
                self.apply(number, &notice, own);
            }
            // A newer form, or a secret that is not known here: it may say anything.
            None => {
                self.metrics.shared().rejected(Rejected::Unreadable);
                self.drop_everything(number, Fate::Unknown);
            }
        }
        // Last: whoever reads this stamp has had all of it applied.
        self.heard.note_applied(number);
    }

    fn everything(&mut self, number: Number) {
        self.drop_everything(number, Fate::Known);
    }
}

impl Applier {
    /// Nobody knows what was said, or written; what became of that is this at the worst.
    fn drop_everything(&self, number: Number, fate: Fate) {
        let (now, fence) = (self.clock.now(), self.cache.fence());
        // First: whoever sees this invalidation in the order of fetches knows that the history may be another, and that nothing
        // that others have stored counts from before it.
        self.heard.stamp_with(None);
        self.heard.note_everything(number);
        // A refusal may have been among what was missed, and a write that has not settled. Who has read nothing yet has
        // missed nothing, and should not begin with a time in which nothing is kept.
        let has_read = self.bindings.count() > 0;
        if has_read {
            // And grants. Before anything is invalidated: what is read after that must not be shared by what lists have shown.
            fence.organizations().doubt_witnesses(fence.sequence(), now);
        }
        fence.invalidate_all_settling(has_read.then(|| now.plus(fate.settles_after())));
        let ended = fence.sequence().advance();
        self.bindings.end_first_proofs(ended);
        if has_read {
            self.bindings.end_proofs(None, ended);
        }
        self.metrics.invalidation(InvalidationCause::Fleet);
        self.heard.note_applied(number);
    }

    fn apply(&self, number: Number, notice: &Notice, own: Option<WriteId>) {
        let now = self.clock.now();
        let fence = self.cache.fence();
        match notice {
            Notice::Organization { id, item, fate } => {
                let organization = fence.organizations().get(OrganizationId::sealed_by_replica(*id), now);
                let extent = item.map_or(Extent::Organization, Extent::Item);
                let until = self.settles_until(number, *fate, now);
                let (again, before) = fence.invalidate_settling(&organization, extent, until);
                match own {
                    Some(_) => organization.note_invalidated_again(again, before),
                    None => self.metrics.invalidation(InvalidationCause::Fleet),
                }
            }
            Notice::Everywhere { item, fate } => {
                let reach = item.map_or(Reach::Lists, Reach::Item);
                fence.invalidate_everywhere(reach, Some(self.settles_until(number, *fate, now)));
                self.metrics.invalidation(InvalidationCause::Fleet);
            }
            Notice::Everything { fate } => {
                fence.invalidate_all_settling(Some(self.settles_until(number, *fate, now)));
                self.metrics.invalidation(InvalidationCause::Fleet);
            }
            Notice::Purge { organization, label, resource } => {
                let organization = organization.map(OrganizationName);
                let resource = self.named(resource.as_deref());
                self.cache.purge(Purge { organization, label: *label, resource }, &self.bindings);
            }
            Notice::Gone { resource, organization, item } => {
                let known = self.named(Some(resource));
                let organization =
                    fence.organizations().peek(OrganizationId::sealed_by_replica(*organization));
                if let (Some(resource), Some(organization)) = (known, organization) {
                    self.cache.evict_item(resource, &organization, *item);
                }
            }
            Notice::Grants { organization } => {
                let id = OrganizationId::sealed_by_replica(*organization);
                self.cache.note_told_grants(self.resources.first(), &fence.organizations().get(id, now));
            }
            Notice::Refused { digests, whom, resource } => {
                let (arrived, by) = (fence.sequence().advance(), self.named(resource.as_deref()));
                for known in digests {
                    let authorization = AuthorizationDigest::told(known.authorization);
                    let credential = CredentialDigest::told(known.credential);
                    match (whom, by) {
                        (Whom::Authorization, _) => {
                            self.bindings.refuse_authorization(authorization, arrived)
                        }
                        (Whom::Credential, Some(resource)) => {
                            self.bindings.refuse_by(resource, authorization, credential, arrived)
                        }
                        (Whom::Credential, None) => {
                            self.bindings.refuse_credential(authorization, credential, arrived)
                        }
                    };
                }
            }
        }
    }

    /// What the stamps of others are judged by from now on.
    fn note(&self, number: Number, notice: &Notice) {
        match notice {
            Notice::Organization { id, item: Some(item), .. } => {
                self.heard.note_written(*id, *item, number);
            }
            Notice::Grants { organization: id } | Notice::Organization { id, item: None, .. } => {
                self.heard.note_organization(*id, number);
            }
            // Of one resource alone, too: the store's entries of the others are fetched anew.
            Notice::Purge { organization: Some(id), label: None, .. } => {
                self.heard.note_organization(*id, number);
                self.heard.note_purge(*id, number);
            }
            Notice::Everywhere { item, .. } | Notice::Purge { label: item @ Some(_), .. } => {
                self.heard.note_lists(number);
                if let Some(item) = item {
                    self.heard.note_item(*item, number);
                }
            }
            Notice::Everything { .. } => self.heard.note_changed(number),
            Notice::Purge { organization: None, label: None, .. } => self.heard.note_everything(number),
            Notice::Gone { item, .. } => self.heard.note_item(*item, number),
            Notice::Refused { digests, resource, .. } => {
                let by = self.named(resource.as_deref());
                for known in digests {
                    let authorization = AuthorizationDigest::told(known.authorization);
                    match by {
                        Some(resource) => self.heard.note_refusal_by(resource, authorization, number),
                        None => self.heard.note_refusal(authorization, number),
                    }
                }
            }
        }
    }

    /// The resource of this name. What has a name that is not known here is not known to be nothing of ours.
    fn named(&self, name: Option<&str>) -> Option<&'static Descriptor> {
        self.resources.iter().find(|known| Some(known.name) == name)
    }

    /// Until when what is read of an organization has to settle, which may be over. A notice may be old when it is read: its
    /// number is the store's time at which it was appended, in microseconds.
    fn settles_until(&self, number: Number, fate: Told, now: Moment) -> Moment {
        let age = self.times.least_age(Duration::from_micros(number.0), now);
        now.back(age).plus(Fate::from(fate).settles_after())
    }
}

#[cfg(test)]
mod tests {
    use tracing::span;
    use tracing::{Event, Metadata, Subscriber};
    use uuid::Uuid;

    use super::*;
    use crate::cache::gate::Identity;
    use crate::caller::credential::{Credential, Digester};
    use crate::classify::{ListQuery, Read, Target};
    use crate::config::Config;
    use crate::fence::Fence;
    use crate::fleet::control::{HistoryId, Stamp};
    use crate::fleet::notice::Told;
    use crate::fleet::seal::Secret;
    use crate::lock::Mutex;
    use crate::lock::interleavings::explore;
    use crate::organization::Organization;
    use crate::organization::sharing::Shown;
    use crate::reason::ProofResult;
    use crate::resource::{LEAD_LABEL, RESOURCES};
    use crate::rules::Rules;
    use crate::tick::Tick;

    const ORGANIZATION: Uuid = Uuid::from_u128(1);
    const BEFORE: Stamp = Stamp { history: HistoryId::example(1), number: Number(7) };

    fn applier() -> Applier {
        applier_by_hand().0
    }

    fn applier_by_hand() -> (Applier, crate::clock::ManualClock) {
        let (clock, hand) = Clock::manual();
        hand.advance(Duration::from_secs(100));
        let (fence, metrics) = (Arc::<Fence>::default(), Arc::<Metrics>::default());
        let applier = Applier {
            cache: Arc::new(Cache::new(1 << 20, fence, clock.clone(), Arc::clone(&metrics))),
            bindings: Arc::new(Bindings::new(std::num::NonZeroUsize::MIN)),
            heard: Arc::default(),
            times: Arc::default(),
            sealer: Arc::new(Sealer::new(&[Secret::new(&[1; 32]).unwrap()], "fleet")),
            resources: RESOURCES,
            clock,
            metrics,
        };
        (applier, hand)
    }

    /// Sees with each line of the log whether what was fetched before is still admitted.
    struct Admitted {
        heard: Arc<Heard>,
        lines: Arc<Mutex<Vec<bool>>>,
    }

    impl Subscriber for Admitted {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {
            let target = Target::Item(Uuid::from_u128(2));
            self.lines.lock().push(self.heard.admits_stamp(ORGANIZATION, &target, BEFORE));
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    fn bound(applier: &Applier) -> Arc<Organization> {
        let tick = applier.cache.fence().sequence().advance();
        let (organization, _) = answered(applier, tick, Bindings::prove);
        organization
    }

    type Prove =
        fn(&Bindings, &Credential, &'static Descriptor, &Arc<Organization>, Tick, Moment) -> ProofResult;

    /// Somebody's read that was begun then is answered with 200.
    fn answered(applier: &Applier, begun: Tick, prove: Prove) -> (Arc<Organization>, ProofResult) {
        let now = applier.clock.now();
        let organization = applier.cache.fence().organizations().get(id(), now);
        let fields = http::HeaderMap::from_iter([(
            http::header::AUTHORIZATION,
            http::HeaderValue::from_static("Bearer somebody"),
        )]);
        let credential = Digester::default().credential(&fields).unwrap();
        let result = prove(&applier.bindings, &credential, &LEAD_LABEL, &organization, begun, now);
        (organization, result)
    }

    fn id() -> OrganizationId {
        OrganizationId::sealed_by_replica(ORGANIZATION)
    }

    fn item() -> Target {
        Target::Item(Uuid::from_u128(2))
    }

    /// A cache on the way may bring what is from before it as late as that. Who joins hears of all that is in the log: what has settled
    /// long since must not begin to settle anew with every replica that starts.
    #[test]
    fn what_was_read_before_a_write_that_is_heard_of_late_has_not_settled() {
        let list = Target::List(ListQuery::default());
        let fate = Told::Known;
        for (notice, target) in [
            (Notice::Organization { id: ORGANIZATION, item: None, fate }, item()),
            (Notice::Everywhere { item: Some(Uuid::from_u128(2)), fate }, item()),
            (Notice::Everywhere { item: None, fate }, list),
            (Notice::Everything { fate }, item()),
        ] {
            let mut applier = applier();
            let (organization, now) = (bound(&applier), applier.clock.now());
            let written = Number(u64::try_from(now.unix().as_micros()).unwrap() - 60_000_000);
            let body = applier.sealer.seal(SealPurpose::Notice, NOTICE, &notice.to_bytes());
            applier.notice(written, &body, None);
            let settles = |ago| {
                let sent = now.back(Duration::from_secs(ago));
                applier.cache.fence().is_settling(&organization, &target, sent)
            };
            assert!(settles(61) && settles(56), "before it, and in the time that the API takes: {notice:?}");
            assert!(!settles(50) && !settles(0), "that is over: {notice:?}");
        }
    }

    /// A wall clock that is ahead, or jumps there between two beats, would make of what was written just now something of long ago.
    #[test]
    fn once_the_stores_clock_was_read_no_wall_clock_shortens_what_settles() {
        let ahead = Duration::from_secs(70);
        for (fate, settled) in [(Told::Known, 5), (Told::Unknown, 60)] {
            for (is_ahead_before, notice) in [
                (true, Notice::Organization { id: ORGANIZATION, item: None, fate }),
                (true, Notice::Everywhere { item: Some(Uuid::from_u128(2)), fate }),
                (true, Notice::Everything { fate }),
                (false, Notice::Everything { fate }),
            ] {
                let (mut applier, hand) = applier_by_hand();
                let (organization, read) = (bound(&applier), applier.clock.now());
                let stores = if is_ahead_before { read.unix() - ahead } else { read.unix() };
                let _ = applier.times.note(stores, read, read);
                if !is_ahead_before {
                    hand.jump_wall_ahead(ahead);
                }
                let body = applier.sealer.seal(SealPurpose::Notice, NOTICE, &notice.to_bytes());
                applier.notice(Number(u64::try_from(stores.as_micros()).unwrap()), &body, None);
                let now = applier.clock.now();
                let settles = |seconds| {
                    let sent = now.plus(Duration::from_secs(seconds));
                    applier.cache.fence().is_settling(&organization, &item(), sent)
                };
                assert!(settles(0) && settles(settled - 1) && !settles(settled), "{notice:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_may_be_a_write_of_unknown_fate_and_may_have_told_of_grants() {
        let mut applier = applier();
        let (organization, now) = (bound(&applier), applier.clock.now());
        let (resource, sequence) = (&LEAD_LABEL, applier.cache.fence().sequence());
        let list = Shown { grants: false, is_witness: true, begun: sequence.advance(), sent: now };
        let _ = organization.sharing(resource).note(list, sequence, Duration::ZERO, now);
        assert!(organization.sharing(resource).is_witnessed());
        applier.notice(Number(8), b"of another version", None);
        assert!(!organization.sharing(resource).is_witnessed());
        let settles = |seconds| {
            let sent = now.plus(Duration::from_secs(seconds));
            applier.cache.fence().is_settling(&organization, &item(), sent)
        };
        assert!(settles(59) && !settles(60));
    }

    #[test]
    fn what_is_missed_may_have_told_of_grants_of_organizations_that_are_not_known_here() {
        let mut applier = applier();
        let _ = bound(&applier);
        let (begun, now) = (applier.cache.fence().sequence().advance(), applier.clock.now());
        applier.everything(Number(8));
        let (fence, rules) = (applier.cache.fence(), Rules::new(&Config::default()));
        let target = Target::List(ListQuery::default());
        let read = Read { resource: &LEAD_LABEL, target, storable: true, head: false };
        let is_witness = |begun, sent| {
            let identity = Identity { organization: OrganizationId::example(3), grants: false };
            let _ = applier.cache.note_identity(&read, identity, begun, sent, &rules);
            fence.organizations().get(identity.organization, now).sharing(&LEAD_LABEL).is_witnessed()
        };
        assert!(!is_witness(begun, now), "it was asked for before");
        let later = fence.sequence().advance();
        assert!(
            !is_witness(later, now.back(Duration::from_secs(1))),
            "a cache on the way has had it since before"
        );
        let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
        let ahead = Moment::of(now.uptime(), now.unix() + hour).back(second);
        assert!(!is_witness(later, ahead), "whatever the wall clock says meanwhile");
        assert!(is_witness(later, now));
    }

    /// A refusal may have been among it.
    #[test]
    fn a_first_read_that_was_under_way_when_something_was_missed_proves_nobody() {
        let mut applier = applier();
        let begun = applier.cache.fence().sequence().advance();
        applier.everything(Number(8));
        assert_eq!(answered(&applier, begun, Bindings::prove).1, ProofResult::Late);
        let later = applier.cache.fence().sequence().advance();
        assert_eq!(answered(&applier, later, Bindings::prove).1, ProofResult::Bound);
    }

    /// Every replica begins with a history that it does not know, and whose first notice says everything once more.
    #[test]
    fn who_has_read_nothing_has_missed_nothing() {
        let mut applier = applier();
        applier.everything(Number(8));
        applier.everything(Number(8));
        let begun = applier.cache.fence().sequence().advance();
        let (organization, proof) = answered(&applier, begun, Bindings::prove_by_aged);
        assert_eq!(proof, ProofResult::Bound);
        assert!(!applier.cache.fence().is_settling(&organization, &item(), applier.clock.now()));
    }

    /// What is looked up in the store behind it finds that proofs from before it count no more, in every order.
    #[test]
    fn no_order_of_what_cannot_be_read_and_of_a_look_up_adopts_a_proof_from_before() {
        let make = || {
            let applier = applier();
            let _ = bound(&applier);
            applier.bindings.end_proofs(None, applier.cache.fence().sequence().advance());
            applier.heard.stamp_with(Some(BEFORE));
            applier
        };
        let hear = |applier: &Applier| {
            applier.drop_everything(Number(8), Fate::Unknown);
            applier.heard.stamp_with(Some(Stamp { number: Number(8), ..BEFORE }));
        };
        let look = |applier: &Applier| {
            let begun = applier.cache.fence().sequence().advance();
            let authorization = AuthorizationDigest::told([0; 32]);
            if applier.heard.admits_proof(authorization, &LEAD_LABEL, ORGANIZATION, BEFORE.number)
                && applier.heard.is_of_this_history(BEFORE)
            {
                let _ = answered(applier, begun, Bindings::adopt);
            }
        };
        let explored = explore(make, &[&hear, &look], |applier| {
            assert_eq!(applier.bindings.end_proofs(None, Tick::default()), 0, "it was adopted");
        });
        assert!(explored.unwrap_or_else(|fault| panic!("{fault}")).orders > 2);
    }

    /// To be ready a purge goes through all that is stored, which takes its time.
    #[test]
    fn the_store_gives_nothing_from_before_a_purge_while_that_is_being_done() {
        for organization in [None, Some(ORGANIZATION)] {
            let mut applier = applier();
            applier.heard.stamp_with(Some(BEFORE));
            let lines = Arc::<Mutex<Vec<_>>>::default();
            let page = Admitted { heard: Arc::clone(&applier.heard), lines: Arc::clone(&lines) };
            let purge = Notice::Purge { organization, label: None, resource: None };
            let body = applier.sealer.seal(SealPurpose::Notice, NOTICE, &purge.to_bytes());
            tracing::subscriber::with_default(page, || applier.notice(Number(8), &body, None));
            assert_eq!(*lines.lock(), [false], "its line says that it is done");
        }
    }
}
