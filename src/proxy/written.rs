//! [`Write`]: a label write as it was asked for, and what its words alone say of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use uuid::Uuid;

use crate::body::Body;
use crate::caller::credential::{Credential, RouteDigest};
use crate::caller::identity::Caller;
use crate::callers::Payer;
use crate::classify::{may_say_another, says_nobody};
use crate::clock::Moment;
use crate::config::WriteInvalidates;
use crate::fence::Reach;
use crate::organization::Organization;
use crate::origin::{Call, Lane, Retries};
use crate::purpose::Purpose;
use crate::resource::{Descriptor, Place, WriteChanges};
use crate::rules::Rules;
use crate::shield::budget::Class;
use crate::telemetry::Context;
use crate::tick::Tick;
use crate::upstream::outgoing::Outgoing;

/// What a write is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) resource: &'static Descriptor,
    pub(super) item: Option<Uuid>,
    /// Where its path lies.
    pub(super) place: Place,
}

/// A label write, whole, in memory of its own: it goes on when its client leaves.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) caller: Caller,
    pub(super) organization: Option<Arc<Organization>>,
    /// Whether a read has shown lately that it is of that organization. A token may be moved to another one, and nobody tells.
    pub(super) is_lately_proven: bool,
    pub(super) subject: Subject,
    pub(super) rules: Arc<Rules>,
    pub(super) method: Method,
    pub(super) path: PathAndQuery,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
    pub(super) route: RouteDigest,
    pub(super) peer: IpAddr,
    pub(super) max_wait: Duration,
    pub(super) payer: Payer,
    pub(super) trace: Option<Context>,
}

/// When a write was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    /// Its place in the order of fetches and invalidates.
    pub(super) tick: Tick,
    pub(super) at: Moment,
}

impl Write {
    pub(super) fn credential(&self) -> Option<&Credential> {
        self.caller.as_ref().credential()
    }

    /// The label that it changes or takes away as a whole: its answer must be that label, if it is one at all. What stands
    /// below a label, or is posted to one, may be answered with another.
    pub(super) fn written(&self) -> Option<Uuid> {
        match self.subject.place {
            Place::Item(_, id) if matches!(self.method, Method::PUT | Method::PATCH | Method::DELETE) => {
                Some(id)
            }
            _ => None,
        }
    }

    /// Whether something beside its credential may have chosen whose data it changes: what makes a read uncached.
    pub(super) fn may_be_anothers(&self) -> bool {
        may_say_another(&self.fields, self.path.query().unwrap_or_default())
    }

    /// Whether it is of no other organization than the one that its credential is known to be of: nothing beside that may have chosen
    /// another, and the token has not moved lately.
    pub(super) fn is_surely_its_organizations(&self) -> bool {
        self.is_lately_proven && !self.may_be_anothers()
    }

    /// Whether nothing in it tells the upstream who asks.
    pub(super) fn says_nobody(&self) -> bool {
        says_nobody(&self.fields, self.path.query().unwrap_or_default())
    }

    /// What it may have changed of every organization, while nobody knows of which: as much as its path leaves open. What would
    /// be more than an item of an organization that is known is everything here.
    pub(super) fn reach(&self) -> Reach {
        match self.subject.place {
            _ if !self.changes_one_item() => Reach::Everything,
            Place::Item(..) => self.written().map_or(Reach::Everything, Reach::Item),
            Place::Collection(_) if self.method == Method::POST => Reach::Lists,
            _ => Reach::Everything,
        }
    }

    /// Whether such a write changes no more than one item, and lists, if its path says which.
    pub(super) fn changes_one_item(&self) -> bool {
        self.rules.cache.write_invalidates == WriteInvalidates::Label
            && self.subject.resource.write_changes == WriteChanges::Item
            && self.path.query().is_none()
    }

    pub(super) fn call(&self, asked_at: Moment) -> Call<'_> {
        Call {
            caller: self.caller.as_ref(),
            organization: self.organization.as_ref().map(|organization| organization.id()),
            peer: self.peer,
            route: self.route,
            // None of a write elsewhere: what is refused there says nothing of the right to read.
            resource: self.subject.place.resource(),
            class: Class::Interactive,
            asked_at,
            max_wait: self.max_wait,
            store_waited: Duration::ZERO,
            purpose: Purpose::Write,
            lane: Lane::Labels,
            retries: Retries::Never,
            payer: &self.payer,
            trace: self.trace.as_ref(),
        }
    }

    pub(super) fn request(&self) -> Outgoing {
        Outgoing {
            method: self.method.clone(),
            path: self.path.clone(),
            fields: self.fields.clone(),
            body: Body::whole(self.body.clone()),
            trace: self.trace.clone(),
        }
    }
}
