//! What becomes of the cache when a label write's answer, or its loss, is known: everything older is shut out, and the
//! label that the answer carries is stored.

use std::sync::Arc;

use http::Method;
use http::header::CONTENT_ENCODING;
use http::response::Parts;
use uuid::Uuid;

use super::Proxy;
use super::changed::Changed;
use super::written::{Begun, Write};
use crate::cache::gate::Expected;
use crate::caller::credential::Credential;
use crate::classify::Target;
use crate::error::{ErrorKind, ProxyError};
use crate::fence::{Fate, Reach};
use crate::fetch::{Told, WriteQuestion, Written};
use crate::fleet::notice::Notice;
use crate::fleet::open_write::{Announced, OpenWrite};
use crate::metrics::InvalidationCause;
use crate::organization::{Extent, Organization, OrganizationId};
use crate::origin::whole;
use crate::reason::GateReason;
use crate::resource::Place;
use crate::semantics::directives::RequestDirectives;
use crate::semantics::{media_type, validator};
use crate::tick::Tick;

/// What a write has shut out.
#[derive(Debug)]
pub(super) struct Invalidated {
    own: Option<OwnInvalidation>,
    /// Of the writer, the one that its key has moved to meanwhile, and the one that the answer names: each once.
    organizations: Vec<OrganizationId>,
    /// How much of them.
    extent: Extent,
    /// Where it may be of any other, this much is invalidated everywhere.
    everywhere: Option<Reach>,
    fate: Fate,
}

/// What has become of a write.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) invalidated: Invalidated,
    /// The label that the answer carries, to be stored; or why the answer is delivered to nobody.
    pub(super) label: Result<Option<Carried>, ProxyError>,
}

/// The label that a write's answer carries.
#[derive(Debug)]
pub(super) struct Carried {
    told: Told,
    own: OwnInvalidation,
}

impl Invalidated {
    /// Tells the fleet, if there is one; the answer is held until that has been settled.
    pub(super) async fn announce(&self, open: Option<OpenWrite>) -> Announced {
        match open {
            Some(open) => open.announce(self.notices()).await,
            None => Announced::Nobody,
        }
    }

    /// What all others have to know of it.
    fn notices(&self) -> Vec<Notice> {
        let fate = self.fate.into();
        let item = match self.extent {
            Extent::Organization => None,
            Extent::Item(id) => Some(id),
        };
        let of = |id: &OrganizationId| Notice::Organization { id: id.name().0, item, fate };
        let everywhere = self.everywhere.map(|reach| Notice::everywhere(reach, fate));
        self.organizations.iter().map(of).chain(everywhere).collect()
    }
}

/// The invalidation that a write made in its writer's organization, and the one before it that concerned any of that.
#[derive(Clone, Copy, Debug)]
struct OwnInvalidation {
    extent: Extent,
    tick: Tick,
    before: Tick,
    /// An earlier write had not settled when this one was sent.
    settling: bool,
}

impl Write {
    /// What is invalidated if nobody learns what became of it.
    pub(super) fn last_will(&self) -> Notice {
        match &self.organization {
            // One notice for its organization and for what it may be of.
            Some(_) if !self.is_surely_its_organizations() => {
                Notice::Everything { fate: Fate::Unknown.into() }
            }
            organization => Notice::of_write(organization.as_ref(), self.reach(), Fate::Unknown.into()),
        }
    }

    /// What a write has changed whose fate is known: the label that its answer names, and nothing else, where its path names
    /// the same one or makes one. Whatever else was said, or done, may have changed anything.
    fn extent(&self, told: &Told) -> Extent {
        let by_label = self.changes_one_item();
        let names_its_own = |id| match self.subject.place {
            Place::Item(..) => self.written() == Some(id),
            Place::Collection(_) => self.method == Method::POST,
            Place::Variant { .. } | Place::Disguised(_) | Place::Beside(_) | Place::Elsewhere => false,
        };
        told.alone.filter(|id| by_label && names_its_own(*id)).map_or(Extent::Organization, Extent::Item)
    }
}

impl Proxy {
    /// What the answer to a write says; nothing if its fate is not known by it.
    pub(super) async fn told(&self, head: &Parts, read: Option<&whole::Read>, write: &Write) -> Option<Told> {
        let Some(whole::Read::Whole(body)) = read else { return None };
        let may_tell = head.status.is_success()
            && media_type::is_json(&head.headers)
            && !head.headers.contains_key(CONTENT_ENCODING);
        if !may_tell {
            return None;
        }
        let question = WriteQuestion {
            resource: write.subject.resource,
            place: write.subject.place,
            item: write.subject.item,
            written: write.written(),
            expected: Expected {
                organization: self.writer(write).map(|organization| organization.id()),
                workspace: write.credential().and_then(Credential::workspace),
            },
            etag: validator::upstream_strong_etag(&head.headers),
            held: self.held.clone(),
        };
        self.fetcher.told(body, question).await
    }

    /// Invalidates what was, or may have been, written; says what the answer says it is now, or that the answer belongs to
    /// another call.
    pub(super) fn settle(&self, head: &Parts, told: Option<Told>, begun: Begun, write: &Write) -> Settled {
        let Some(told) = told else {
            let invalidated = self.invalidate(write, None, Changed::unknown());
            return Settled { invalidated, label: Ok(None) };
        };
        if let Some(grants) = told.grants {
            let writer = self.writer(write);
            self.fetcher.tell_grants(self.cache.note_grants(grants, writer.as_ref(), &write.rules));
        }
        let writer = self.writer(write);
        // It may have become known while a large answer was gone through.
        let names_another =
            writer.as_ref().zip(told.named).is_some_and(|(writer, named)| writer.id() != named);
        let late = names_another.then_some(GateReason::OtherOrganization);
        if let Some(reason) = told.mix_up.or(late) {
            // What is another call's says nothing of whose this one was.
            let named = told.named.filter(|_| writer.is_some());
            let invalidated = self.invalidate(write, named, Changed::unknown());
            self.metrics.gate_rejection(reason);
            self.fetcher.discard(write.credential(), head, reason);
            return Settled { invalidated, label: Err(ErrorKind::MixedUpAnswer.error()) };
        }
        let settling = self.met_another_write(told.id, begun, write);
        let changed = Changed { extent: write.extent(&told), fate: Fate::Known };
        let invalidated = self.invalidate(write, told.named, changed);
        let label = invalidated.own.map(|own| Carried { told, own: OwnInvalidation { settling, ..own } });
        Settled { invalidated, label: Ok(label) }
    }

    /// Whether the answer may have met the vendor's own replication lag after an earlier write: it shows its own change
    /// for certain, and may lack that one's. Asked before its own invalidation.
    fn met_another_write(&self, id: Option<Uuid>, begun: Begun, write: &Write) -> bool {
        write.organization.as_ref().zip(id).is_some_and(|(organization, id)| {
            self.cache.fence().is_settling(organization, &Target::Item(id), begun.at)
        })
    }

    /// The organization of whoever wrote: as it was known when the write was read, or else by what came meanwhile.
    fn writer(&self, write: &Write) -> Option<Arc<Organization>> {
        let bound = || self.bindings.organization(write.credential()?);
        write.organization.clone().or_else(bound)
    }

    /// Shuts out what is older than this write of all that it may have changed: of the writer's organization and of the one
    /// that the answer names; and everywhere if neither is known, or nobody knows any more whose it is.
    pub(super) fn invalidate(
        &self,
        write: &Write,
        named: Option<OrganizationId>,
        changed: Changed,
    ) -> Invalidated {
        let (Changed { extent, fate }, now) = (changed, self.clock.now());
        let fence = self.cache.fence();
        let bound = write.credential().and_then(|known| self.bindings.organization(known));
        let id = |organization: &Arc<Organization>| organization.id();
        // Its key has moved meanwhile, or what that was bound to is in doubt: the API may have taken the write for either.
        let has_moved =
            write.organization.is_some() && write.organization.as_ref().map(id) != bound.as_ref().map(id);
        let extent = if has_moved { Extent::Organization } else { extent };
        let is_anybodys = match (named, fate) {
            // It says whose it was; what an answer names that is another call's does not.
            (Some(_), Fate::Known) => false,
            _ => bound.is_none() || !write.is_surely_its_organizations(),
        };
        let mut own = None;
        let mut organizations = Vec::with_capacity(1);
        let named = named.map(|id| fence.organizations().get(id, now));
        for organization in [&write.organization, &bound, &named].into_iter().flatten() {
            if organizations.contains(&organization.id()) {
                continue;
            }
            organizations.push(organization.id());
            let (tick, before) = fence.invalidate(organization, extent, fate, now);
            own.get_or_insert(OwnInvalidation { extent, tick, before, settling: false });
        }
        let everywhere = is_anybodys.then(|| write.reach());
        if let Some(reach) = everywhere {
            fence.invalidate_everywhere(reach, Some(now.plus(fate.settles_after())));
        }
        self.metrics.invalidation(match (fate, extent) {
            (Fate::Known, Extent::Item(_)) => InvalidationCause::LabelWrite,
            (Fate::Known, Extent::Organization) => InvalidationCause::Write,
            (Fate::Unknown, _) => InvalidationCause::UnknownWrite,
        });
        let is_the_writers =
            organizations.len() == 1 && write.organization.is_some() && !write.may_be_anothers();
        Invalidated { own: own.filter(|_| is_the_writers), organizations, extent, everywhere, fate }
    }

    /// Stores the label that a proven writer's answer carries, if nothing but its own invalidation happened since it was sent.
    pub(super) fn write_through(&self, head: &Parts, carried: Carried, begun: Begun, write: &Write) {
        let Carried { told, own } = carried;
        let (Some(organization), Some(credential)) = (&write.organization, write.credential()) else {
            return;
        };
        let now = self.clock.now();
        // What stands below an item may answer with a part of it.
        let carries_label = match write.subject.place {
            Place::Item(..) => matches!(write.method, Method::PUT | Method::PATCH),
            Place::Collection(_) => write.method == Method::POST,
            Place::Variant { .. } | Place::Disguised(_) | Place::Beside(_) | Place::Elsewhere => false,
        };
        let wanted = write.rules.cache.write_through
            && carries_label
            // What a query shapes (`?dry_run=true`) is no answer to a plain read.
            && write.path.query().is_none()
            // RFC 9111 §5.2.1.5: nor is what answers such a request stored.
            && !RequestDirectives::parse(&write.fields).no_store
            // What is stored of a singleton is no item.
            && !write.subject.resource.is_singleton()
            && own.before <= begun.tick
            && !self.cache.is_purged_since(write.subject.resource, begun.tick)
            && !self.cache.is_closed()
            && self.bindings.is_proven_for(
                credential,
                write.subject.resource,
                organization.id(),
                &write.rules.proof,
                now,
            );
        let (Some(id), Some((identity, packed)), true) = (told.id, told.label, wanted) else { return };
        if !self.cache.fence().nothing_invalidated_everywhere_since(id, begun.tick) {
            return;
        }
        let Some(epoch) = organization.invalidated_by(own.tick, own.extent) else { return };
        self.fetcher.accept_written(Written {
            organization,
            credential,
            rules: &write.rules,
            head,
            resource: write.subject.resource,
            target: Target::Item(id),
            packed,
            grants: identity.grants,
            sent: begun.at,
            begun: epoch,
            settling: own.settling,
        });
    }
}
