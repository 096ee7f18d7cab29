//! The second tier, as fetches ask it: before one goes upstream, the store may have what another replica fetched or proved, or
//! say that another replica is about to; and what was fetched here is told the others, behind its answer.
//!
//! What is found counts as a body from upstream does: under the tick of the flight, which was taken before the store was
//! asked, and after the same checks. `found` has those.

use std::sync::Arc;
use std::time::Duration;

use super::asker::Asker;
use super::flight::Publisher;
use super::following::{Following, Pause};
use super::result::Fetched;
use super::spared::{Asks, Behind, Spared};
use super::task::Fetch;
use super::{BRIEF_MAX_WAIT, Fetcher};
use crate::cache::items;
use crate::cache::key::CacheKey;
use crate::caller::credential::Credential;
use crate::caller::standing::BackgroundRead;
use crate::classify::Target;
use crate::error::ErrorKind;
use crate::fleet::control::Stamp;
use crate::fleet::notice::Notice;
use crate::fleet::tier::{self, FillLock, Found, Learned, LookUp, Patience, Proved, Tier};
use crate::metrics::LookupResult;
use crate::organization::sharing::Shared;
use crate::organization::{Organization, OrganizationId};
use crate::resource;
use crate::tick::Tick;

/// When whoever keeps an old proof asks again while another replica renews it.
const RENEWED_IN: Duration = Duration::from_secs(2);

impl Fetcher {
    /// Asks the store whether another replica spares a fetch.
    ///
    /// What that takes is noted in the fetch: its question for a slot has what is left of the same time.
    pub(super) async fn spare(&self, fetch: &mut Fetch, publisher: &Publisher<Fetched>) -> Spared {
        let Some(tier) = self.fleet.as_ref().map(|fleet| fleet.tier()) else { return Spared::Not(None) };
        let mut patience = tier.patience();
        patience.spend(fetch.store_waited);
        let before = patience;
        // In a box: a fetch without a fleet keeps no room for it.
        let spared = match fetch.asks {
            Asks::Nothing => Spared::Not(None),
            Asks::Entry => Box::pin(self.spare_by_entry(tier, fetch, publisher, &mut patience)).await,
            Asks::Proof | Asks::Renewal => {
                Box::pin(self.spare_by_proof(tier, fetch, publisher, &mut patience)).await
            }
        };
        fetch.store_waited += before.left().saturating_sub(patience.left());
        spared
    }

    async fn spare_by_entry(
        &self,
        tier: &Arc<Tier>,
        fetch: &Fetch,
        publisher: &Publisher<Fetched>,
        patience: &mut Patience,
    ) -> Spared {
        let Some(organization) = &fetch.organization else { return Spared::Not(None) };
        let begun = self.clock.now();
        // What nobody may keep is not there, and is waited for by nobody.
        if !self.flights.is_collapsible(&fetch.key(organization), begun) {
            return Spared::Not(None);
        }
        let mut look_up = self.look_up_in(tier, fetch, organization);
        let mut following = Following::new(fetch, publisher, begun);
        loop {
            let progress = match tier.ask(&mut look_up, patience).await {
                Found::Some(entries) => {
                    if let Some(found) =
                        self.take_best(tier, fetch, publisher.begun(), &look_up, entries).await
                    {
                        tier.count_look_up(LookupResult::Hit);
                        return Spared::By(found);
                    }
                    // None of them counts: asked for again, less these.
                    continue;
                }
                Found::Mine(lock) => {
                    tier.count_look_up(LookupResult::Miss);
                    return Spared::Not(Some(lock));
                }
                Found::Without => {
                    tier.count_look_up(LookupResult::Without);
                    return Spared::Not(None);
                }
                Found::List(progress) => {
                    if self.clock.now().since(begun) >= BRIEF_MAX_WAIT {
                        look_up.forget_list();
                    }
                    progress
                }
                Found::Others(progress) => progress,
            };
            if following.is_new() {
                tier.count_look_up(LookupResult::Followed);
            }
            match following.pause(self, progress).await {
                Pause::Over => {}
                Pause::Abandoned => return given_up(),
                Pause::TooLong => return Spared::Not(None),
            }
        }
    }

    /// What the store is asked for in place of a fetch: what everybody may have and the list that has it, or what this
    /// credential alone may.
    fn look_up_in(&self, tier: &Arc<Tier>, fetch: &Fetch, organization: &Arc<Organization>) -> LookUp {
        let (resource, rules, target) = (fetch.read.resource, &fetch.rules, &fetch.read.target);
        let path = resource::target_path(resource, target);
        let wanted = |path: &str, owner| tier::Wanted { path: path.to_owned(), owner };
        let shared = rules.shared_in(organization, resource);
        let mut all = Vec::new();
        let mut list = None;
        if matches!(shared, Shared::Organization | Shared::Unwitnessed) {
            all.push(wanted(&path, None));
            if rules.cache.list_fill
                && matches!(target, Target::Item(_))
                && organization.lists(resource).stand_for_items()
            {
                let whole = resource::target_path(resource, &items::whole_list(resource));
                all.push(wanted(&whole, None));
                list = Some(whole);
            }
        }
        if shared != Shared::Organization {
            let owners = tier.all_named(&fetch.credential);
            all.extend(owners.into_iter().map(|owner| wanted(&path, Some(owner))));
        }
        tier.look_up(organization.id(), all, list.as_deref())
    }

    async fn spare_by_proof(
        &self,
        tier: &Arc<Tier>,
        fetch: &Fetch,
        publisher: &Publisher<Fetched>,
        patience: &mut Patience,
    ) -> Spared {
        let collection = fetch.read.resource.collection;
        if fetch.rules.proof.max_age.is_zero() {
            return Spared::Not(None);
        }
        let Some(mut look_up) = tier.look_up_proof(&fetch.credential, collection) else {
            return Spared::Not(None);
        };
        let before = patience.left();
        let mut following = Following::new(fetch, publisher, self.clock.now());
        loop {
            let progress = match tier.ask_for_proof(&mut look_up, patience).await {
                Found::Some(proofs) => {
                    if proofs.iter().any(|(_, proof)| self.adopt(tier, fetch, publisher.begun(), proof)) {
                        return Spared::By(Fetched::Proven(before.saturating_sub(patience.left())));
                    }
                    continue;
                }
                Found::Mine(lock) => return Spared::Not(Some(lock)),
                Found::Without | Found::List(_) => return Spared::Not(None),
                Found::Others(_) if fetch.asks == Asks::Renewal => {
                    // The old one does until then.
                    let now = self.clock.now();
                    self.bindings.note_held(
                        &fetch.credential,
                        fetch.read.resource,
                        BackgroundRead::Proof,
                        now,
                    );
                    return Spared::By(Fetched::Held(ErrorKind::OverBudget, RENEWED_IN));
                }
                Found::Others(progress) => progress,
            };
            match following.pause(self, progress).await {
                Pause::Over => {}
                Pause::Abandoned => return given_up(),
                Pause::TooLong => return Spared::Not(None),
            }
        }
    }

    /// What is to be told other replicas of what was fetched under `stamp`.
    pub(super) fn behind(
        &self,
        fetch: &Fetch,
        stamp: Stamp,
        result: &Fetched,
        lock: Option<FillLock>,
    ) -> Option<Behind> {
        let tier = self.fleet.as_ref()?.tier();
        let mut behind = Behind { tier: Arc::clone(tier), learned: None, proved: None, lock };
        if let Fetched::Checked { response, stored, owner } = result {
            let (resource, target) = (fetch.read.resource, &fetch.read.target);
            let named = owner.is_some().then(|| tier.named(&fetch.credential));
            // Where it is for one credential alone and that has no name, it is for nobody else.
            if *stored && !response.settling && named.is_none_or(|named| named.is_some()) {
                let packed = response.packed();
                behind.learned = Some(Learned {
                    organization: response.organization,
                    path: resource::target_path(resource, target),
                    owner: named.flatten(),
                    stamp,
                    sent: response.sent(),
                    lifetime: response.freshness_lifetime(fetch.rules.of(resource, target).ttl),
                    jitter: response.jitter,
                    limit: response.limit(),
                    content_type: response.content_type().clone(),
                    etag: packed.etag,
                    body: packed.body,
                });
            }
            if fetch.use_of.proves() {
                behind.proved = Some(Proved {
                    credential: fetch.credential.clone(),
                    collection: resource.collection,
                    organization: response.organization,
                    stamp,
                    sent: response.sent(),
                    max_age: fetch.rules.proof.max_age,
                });
            }
        }
        Some(behind)
    }

    /// Takes away what is stored of something that is gone, here and, where there was anything, at all replicas: or the
    /// next look-up would bring it back. Ids that somebody made up are told to nobody while the store says that it has none.
    pub fn evict(&self, key: CacheKey, credential: &Credential) {
        let (resource, organization, target) =
            (key.resource(), key.organization(), key.target().into_owned());
        let evicted = self.cache.evict(key, credential);
        let (Some(fleet), Target::Item(item)) = (&self.fleet, target) else { return };
        let notice =
            Notice::Gone { resource: resource.name.to_owned(), organization: organization.name().0, item };
        if evicted {
            fleet.tell(notice.clone());
        }
        let (fleet, credential) = (Arc::clone(fleet), credential.clone());
        let path = resource::target_path(resource, &Target::Item(item));
        Arc::clone(fleet.tier()).behind(async move {
            let taken = fleet.tier().take_out_entries(organization, &path, &credential).await;
            if !evicted {
                fleet.tell_of_taken(notice, taken);
            }
        });
    }

    /// Tells all other replicas that the credentials of this organization share nothing any more: what they have for everybody
    /// was read before that was known.
    pub fn tell_grants(&self, ended: Option<OrganizationId>) {
        if let (Some(fleet), Some(organization)) = (&self.fleet, ended) {
            fleet.tell(Notice::Grants { organization: organization.name().0 });
        }
    }

    /// Whether nothing was heard of a target since a notice: what was fetched under that stamp counts.
    pub(super) fn has_heard_nothing_since(
        &self,
        stamp: Stamp,
        organization: &Organization,
        target: &Target,
    ) -> bool {
        let heard = self.fleet.as_ref().map(|fleet| fleet.heard());
        heard.is_some_and(|heard| heard.admits_stamp(organization.id().name().0, target, stamp))
    }
}

impl Asker<'_> {
    /// From now on only a fetch that begins now answers it.
    pub fn ask_upstream(&mut self, now: Tick) {
        self.youngest = now;
    }
}

/// What becomes of a fetch that nobody waits for any more.
fn given_up() -> Spared {
    Spared::By(Fetched::Held(ErrorKind::OverBudget, RENEWED_IN))
}
