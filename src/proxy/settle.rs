//! What becomes of the cache when a label write's answer, or its loss, is known: everything older is shut out, and the
//! label that the answer carries is stored.

use std::sync::Arc;

use http::Method;
use http::header::CONTENT_ENCODING;
use http::response::Parts;
use uuid::Uuid;

use super::Proxy;
use super::judging::{Told, WriteQuestion};
use super::whole;
use super::write::{Sent, Subject, Writer};
use crate::cache::gate::{self, Expected};
use crate::cache::key::CacheKey;
use crate::cache::stored::{Packed, StoredResponse};
use crate::caller::credential::Credential;
use crate::classify::Target;
use crate::error::{ErrorKind, ProxyError};
use crate::fence::Fate;
use crate::metrics::InvalidationCause;
use crate::organization::OrganizationId;
use crate::semantics::{media_type, validator};
use crate::tick::Tick;

/// The raise that a write made of its writer's organization, and the one before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnRaise {
    tick: Tick,
    before: Tick,
    /// An earlier write had not settled when this one was sent.
    settling: bool,
}

impl Proxy {
    /// What the answer to a write says; nothing if its fate is not known by it.
    pub(super) async fn told(
        &self,
        head: &Parts,
        read: Option<&whole::Read>,
        sent: &Sent<'_>,
        writer: &Writer,
        subject: Subject,
    ) -> Option<Told> {
        let Some(whole::Read::Whole(body)) = read else { return None };
        let may_tell = head.status.is_success()
            && media_type::is_json(&head.headers)
            && !head.headers.contains_key(CONTENT_ENCODING);
        if !may_tell {
            return None;
        }
        let question = WriteQuestion {
            resource: subject.resource,
            item: subject.item,
            written: sent.written,
            expected: Expected {
                organization: writer.organization.as_ref().map(|organization| organization.id()),
                workspace: writer.credential.as_ref().and_then(Credential::workspace),
            },
            etag: validator::upstream_strong_etag(&head.headers),
            held: self.held.clone(),
        };
        self.judging.of(body, move |body| question.answer(body)).await.ok()?
    }

    /// Raises what was, or may have been, written; and stores what the answer says it is now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::MixedUpAnswer`] if the answer belongs to another call: it is delivered to nobody.
    pub(super) fn settle(
        &self,
        head: &Parts,
        told: Option<Told>,
        sent: &Sent<'_>,
        writer: &Writer,
        subject: Subject,
    ) -> Result<(), ProxyError> {
        let Some(told) = told else {
            self.raise(writer, subject, None, Fate::Unknown);
            return Ok(());
        };
        if let Some(grants) = told.grants {
            self.note_grants(grants, writer.organization.as_ref(), &writer.rules);
        }
        if let Some(reason) = told.mix_up {
            self.raise(writer, subject, told.named, Fate::Unknown);
            self.metrics.gate_rejection(reason);
            self.discard(writer.credential.as_ref(), head, reason);
            return Err(ErrorKind::MixedUpAnswer.error());
        }
        let settling = self.met_another_write(told.id, sent, writer);
        let own = self.raise(writer, subject, told.named, Fate::Known);
        if let Some(own) = own {
            self.write_through(head, told, sent, writer, (subject, OwnRaise { settling, ..own }));
        }
        Ok(())
    }

    /// Whether the answer may have met the vendor's own replication lag after an earlier write: it shows its own change
    /// for certain, and may lack that one's. Asked before its own raise.
    fn met_another_write(&self, id: Option<Uuid>, sent: &Sent<'_>, writer: &Writer) -> bool {
        writer.organization.as_ref().zip(id).is_some_and(|(organization, id)| {
            self.fence.is_settling(organization, &Target::Item(id), sent.at)
        })
    }

    /// Shuts out everything that is older than this write: of the writer's organization and of the one that the answer
    /// names, or everywhere if neither is known. Returns the raise of the writer's own organization.
    pub(super) fn raise(
        &self,
        writer: &Writer,
        subject: Subject,
        named: Option<OrganizationId>,
        fate: Fate,
    ) -> Option<OwnRaise> {
        let now = self.clock.now();
        let named = named
            .filter(|id| writer.organization.as_ref().is_none_or(|own| own.id() != *id))
            .map(|id| self.fence.organizations().get(id, now));
        let own = writer.organization.as_ref().map(|organization| {
            let (tick, before) = self.fence.raise(organization, fate, now);
            OwnRaise { tick, before, settling: false }
        });
        if let Some(organization) = &named {
            self.fence.raise(organization, fate, now);
        }
        if own.is_none() && named.is_none() {
            self.fence.raise_everywhere(subject.item, Some((fate, now)));
        }
        self.metrics.invalidation(match fate {
            Fate::Known => InvalidationCause::Write,
            Fate::Unknown => InvalidationCause::UnknownWrite,
        });
        own.filter(|_| named.is_none())
    }

    /// Stores the label that a proven writer's answer carries, if nothing but its own raise happened since it was sent.
    fn write_through(
        &self,
        head: &Parts,
        told: Told,
        sent: &Sent<'_>,
        writer: &Writer,
        (subject, own): (Subject, OwnRaise),
    ) {
        let (Some(organization), Some(credential)) = (&writer.organization, &writer.credential) else {
            return;
        };
        let now = self.clock.now();
        let carries_label = matches!(*sent.method, Method::POST | Method::PUT | Method::PATCH);
        let wanted = writer.rules.cache.write_through
            && carries_label
            && own.before <= sent.begun
            && !self.is_draining()
            && self.bindings.is_proven_for(credential, organization.id(), &writer.rules.proof, now);
        let (Some(id), Some((identity, packed)), true) = (told.id, told.label, wanted) else { return };
        if gate::examine_head(head).is_err() {
            return;
        }
        let target = Target::Item(id);
        let (forbidden, limit) = Self::directives_of(head, writer.rules.of(&target));
        if forbidden || !self.fence.nothing_raised_everywhere_since(id, sent.begun) {
            return;
        }
        let alone = identity.grants || !writer.rules.may_share(organization, own.tick);
        let Packed { etag, body, keeping } = packed;
        let response = StoredResponse {
            organization: organization.id(),
            content_type: media_type::to_keep(&head.headers),
            etag,
            body,
            sent: sent.at,
            begun: own.tick,
            jitter: fastrand::u8(..),
            settling: own.settling,
            limit,
            keeping,
        };
        let owner = alone.then(|| credential.digest());
        let key =
            CacheKey { resource: subject.resource.name, organization: organization.id(), owner, target };
        let rules = writer.rules.of(&key.target);
        let useful_for = rules.ttl + rules.stale_if_error;
        self.keep(key, Arc::new(response), useful_for, (organization, &writer.rules));
    }
}
