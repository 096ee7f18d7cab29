//! What of other replicas is found in the second tier: judged as a body from upstream is, and taken over if it counts.

use std::sync::Arc;
use std::time::Duration;

use super::Fetcher;
use super::allowed::{Allowed, useful_for};
use super::items::Taught;
use super::judging::{Lesson, Question, Sound, Unsound};
use super::result::Fetched;
use super::spared::Asks;
use super::task::{Begun, Fetch, Waited};
use crate::cache::gate::Expected;
use crate::cache::items;
use crate::cache::key::CacheKey;
use crate::cache::stored::{StoredResponse, ToStore};
use crate::caller::credential::CredentialDigest;
use crate::classify::{Read, Target};
use crate::config::UpstreamDirectives;
use crate::fleet::control::Stamp;
use crate::fleet::tier::entry::Entry;
use crate::fleet::tier::proof::SharedProof;
use crate::fleet::tier::{LookUp, Tier};
use crate::metrics::Rejected;
use crate::organization::{Organization, OrganizationId};
use crate::reason::ProofResult;
use crate::tick::Tick;

/// Behind answers something is fetched anew in the last part of its lifetime: so much of it.
const LAST_PART: u32 = 10;

/// An entry that was found, and what it is to be.
struct FoundEntry<'a> {
    fetch: &'a Fetch,
    organization: &'a Arc<Organization>,
    /// What it answers: what the fetch is for, or the list that has it.
    target: Target,
    /// The tick of the flight, taken before the store was asked.
    tick: Tick,
    /// Whether it is for the fetch's credential alone.
    is_own: bool,
    entry: Entry,
    age: Duration,
}

impl Fetcher {
    /// Takes over the youngest of these entries that counts and answers the fetch; nothing if none does.
    pub(super) async fn take_best(
        &self,
        tier: &Tier,
        fetch: &Fetch,
        tick: Tick,
        look_up: &LookUp,
        entries: Vec<(usize, Entry)>,
    ) -> Option<Fetched> {
        let (organization, now) = (fetch.organization.as_ref()?, self.clock.now());
        let mut found = Vec::new();
        for (place, entry) in entries {
            let Some(age) = tier.age(entry.sent, now) else {
                tier.count(Rejected::Old);
                continue;
            };
            let target = if look_up.is_list(place) {
                items::whole_list(fetch.read.resource)
            } else {
                fetch.read.target.clone()
            };
            let is_own = look_up.wanted(place).owner.is_some();
            found.push(FoundEntry { fetch, organization, target, tick, is_own, entry, age });
        }
        found.sort_by_key(|found| found.age);
        for found in found {
            match self.take(tier, found).await {
                Ok(Some(fetched)) => return Some(fetched),
                Ok(None) => {}
                Err(rejected) => tier.count(rejected),
            }
        }
        None
    }

    /// Judges an entry and takes it over; gives what answers the fetch, if that is in it.
    async fn take(&self, tier: &Tier, found: FoundEntry<'_>) -> Result<Option<Fetched>, Rejected> {
        let FoundEntry { fetch, organization, target, tick, is_own, entry, .. } = &found;
        let (resource, rules) = (fetch.read.resource, &fetch.rules);
        if !tier.heard().admits_stamp(organization.id().name().0, target, entry.stamp) {
            return Err(Rejected::Superseded);
        }
        self.check_age(&found)?;
        let question = Question {
            resource,
            target: target.clone(),
            expected: Expected {
                organization: Some(organization.id()),
                workspace: fetch.credential.workspace(),
            },
            etag: Some(entry.etag.clone()),
            takes_items: fetch.use_of.stores() && rules.cache.list_fill,
            held: self.held.clone(),
        };
        let judged = self.judging.of(&entry.body, move |body| question.answer(body)).await;
        let sound = match judged.map_err(|_panicked| Rejected::Gate)? {
            Ok(sound) => sound,
            Err(Unsound { grants, .. }) => {
                if let Some(grants) = grants {
                    self.tell_grants(self.cache.note_grants(grants, Some(organization), rules));
                }
                return Err(Rejected::Gate);
            }
        };
        let read = Read { target: target.clone(), ..fetch.read.clone() };
        let sent = self.clock.now().back(found.age);
        self.tell_grants(self.cache.note_identity(&read, sound.identity, *tick, sent, rules));
        if !is_own && !rules.may_share(organization, resource, *tick) {
            // As long as nothing has shown that it is for everybody, or now that it is not.
            return Ok(None);
        }
        let owner = is_own.then(|| fetch.credential.digest());
        Ok(self.keep_found(found, sound, owner))
    }

    /// Whether it is young enough to be of use, and not from the time in which a write settles.
    fn check_age(&self, found: &FoundEntry<'_>) -> Result<(), Rejected> {
        let FoundEntry { fetch, organization, target, entry, age, .. } = found;
        let ttl = fetch.rules.of(fetch.read.resource, target).ttl;
        let shortened = ttl - ttl / 2550 * u32::from(entry.jitter);
        let lifetime = entry.limit.map_or(shortened, |limit| shortened.min(limit));
        let needed = if fetch.waited == Waited::Behind { lifetime - lifetime / LAST_PART } else { lifetime };
        if *age >= needed {
            return Err(Rejected::Old);
        }
        let sent = self.clock.now().back(*age);
        if self.cache.fence().is_settling(organization, target, sent) {
            return Err(Rejected::Superseded);
        }
        Ok(())
    }

    /// Stores it, and what it teaches; gives what answers the fetch.
    fn keep_found(
        &self,
        found: FoundEntry<'_>,
        sound: Sound,
        owner: Option<CredentialDigest>,
    ) -> Option<Fetched> {
        let FoundEntry { fetch, organization, target, tick, entry, age, .. } = found;
        let (resource, rules) = (fetch.read.resource, &fetch.rules);
        let Sound { packed, lesson, .. } = sound;
        let response = ToStore {
            organization: organization.id(),
            content_type: entry.content_type,
            packed,
            sent: self.clock.now().back(age),
            begun: tick,
            jitter: entry.jitter,
            settling: false,
            limit: entry.limit,
        };
        let response = response.stored();
        // Once more: while it was judged the fence may have moved, or the item be gone.
        if !self.cache.fence().admits(organization, &target, tick)
            || !self.has_heard_nothing_since(entry.stamp, organization, &target)
        {
            return None;
        }
        let answers = target == fetch.read.target;
        let item =
            if answers { None } else { self.item_of(fetch, organization, &response, &lesson, entry.stamp) };
        let key = CacheKey::new(resource, organization, owner, target.clone());
        if !self.cache.is_closed() && !self.cache.has_as_young(&key, organization, response.sent()) {
            let useful_for = useful_for(rules.of(resource, &target));
            self.cache.keep(key, Arc::clone(&response), useful_for, organization, rules);
            if rules.shares() {
                let begun = Begun { tick, sent: response.sent() };
                let (target, response, stamp) = (&target, &*response, Some(entry.stamp));
                let of_items = of_items(fetch, response.limit());
                let taught = Taught { fetch, target, begun, organization, owner, of_items, stamp, response };
                self.learn(taught, lesson);
            }
        }
        let response = if answers { Some(response) } else { item };
        response.map(|response| Fetched::Shared { response, owner })
    }

    /// The item that a fetch is for, out of a list that has it and may stand for it.
    fn item_of(
        &self,
        fetch: &Fetch,
        organization: &Organization,
        list: &StoredResponse,
        lesson: &Lesson,
        stamp: Stamp,
    ) -> Option<Arc<StoredResponse>> {
        let (Lesson::Page(items, _), Target::Item(id)) = (lesson, &fetch.read.target) else { return None };
        let allowed = of_items(fetch, list.limit());
        let item = items.iter().find(|item| item.id == *id)?;
        let counts = !allowed.is_nothing()
            && organization.lists(fetch.read.resource).stand_for_items()
            && self.cache.fence().admits(organization, &fetch.read.target, list.begun)
            && self.has_heard_nothing_since(stamp, organization, &fetch.read.target);
        counts.then(|| {
            let item = ToStore { limit: allowed.limit(), ..ToStore::like(list, item.packed.clone()) };
            item.stored()
        })
    }

    /// Takes over another replica's proof, if it counts.
    pub(super) fn adopt(&self, tier: &Tier, fetch: &Fetch, tick: Tick, proof: &SharedProof) -> bool {
        match self.try_adopt(tier, fetch, tick, proof) {
            Ok(()) => true,
            Err(rejected) => {
                tier.count(rejected);
                false
            }
        }
    }

    fn try_adopt(&self, tier: &Tier, fetch: &Fetch, tick: Tick, proof: &SharedProof) -> Result<(), Rejected> {
        let (credential, now) = (&fetch.credential, self.clock.now());
        let age = tier.age(proof.sent, now).ok_or(Rejected::Old)?;
        let max_age = fetch.rules.proof.max_age;
        let needed = if fetch.asks == Asks::Renewal { max_age * 3 / 4 } else { max_age };
        if age >= needed {
            return Err(Rejected::Old);
        }
        let id = OrganizationId::sealed_by_replica(proof.organization);
        if credential.workspace().is_some_and(|workspace| workspace != id.name()) {
            return Err(Rejected::Foreign);
        }
        if !tier.admits_proof(credential, fetch.read.resource, proof) {
            return Err(Rejected::Superseded);
        }
        let organization = self.cache.fence().organizations().get(id, now);
        match self.bindings.adopt(credential, fetch.read.resource, &organization, tick, now.back(age)) {
            ProofResult::Bound => {
                self.origin.move_account(credential, &organization);
                Ok(())
            }
            ProofResult::Renewed => Ok(()),
            ProofResult::Moved => Err(Rejected::Moved),
            _ => Err(Rejected::Superseded),
        }
    }
}

/// What the upstream said of a list that another replica read, as far as it counts for its items: that is known by the limit
/// alone.
fn of_items(fetch: &Fetch, limit: Option<Duration>) -> Allowed {
    let (resource, rules) = (fetch.read.resource, &fetch.rules);
    if rules.of_items(resource).upstream_directives == UpstreamDirectives::Ignore {
        return Allowed::Stored(None);
    }
    if rules.of_lists(resource).upstream_directives == UpstreamDirectives::Ignore {
        return Allowed::Nothing;
    }
    Allowed::Stored(limit)
}
