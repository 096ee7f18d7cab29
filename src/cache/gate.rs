//! The response gate: which upstream answers of status 200 may be stored, and which may not even be delivered.
//!
//! A value in, a verdict out: the head first (what may be stored at all), then one strict pass over the whole body for
//! the identity check. Doubt never stores.

use http::Version;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, SET_COOKIE, TRANSFER_ENCODING};
use http::response::Parts;

use super::scan::Scan;
use crate::classify::Target;
use crate::organization::{OrganizationId, OrganizationName};
use crate::reason::GateReason;
use crate::resource::{Descriptor, Kind};
use crate::semantics::{cookie, media_type, vary};

/// What a body that passed says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The one organization that it names.
    pub organization: OrganizationId,
    /// Whether it says who may see it: nothing of its organization is shared between credentials then.
    pub grants: bool,
}

/// Whose answer is awaited, as far as it is known before the answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// The organization that the credential is bound to.
    pub organization: Option<OrganizationId>,
    /// The organization that `x-as-workspace` asks for.
    pub workspace: Option<OrganizationName>,
}

/// Judges the head of a 200.
///
/// # Errors
///
/// Why it may not be stored.
pub fn examine_head(head: &Parts) -> Result<(), GateReason> {
    let fields = &head.headers;
    let cookies_hinder = !cookie::sets_edge_cookies_only(fields.get_all(SET_COOKIE).iter());
    let delimited = head.version >= Version::HTTP_2
        || fields.contains_key(CONTENT_LENGTH)
        || fields.contains_key(TRANSFER_ENCODING);
    if !media_type::is_json(fields) {
        Err(GateReason::ContentType)
    } else if fields.contains_key(CONTENT_ENCODING) {
        Err(GateReason::Encoded)
    } else if cookies_hinder {
        Err(GateReason::SetCookie)
    } else if !vary::vary_is_inert(fields) {
        Err(GateReason::Vary)
    } else if !delimited {
        Err(GateReason::CloseDelimited)
    } else {
        Ok(())
    }
}

/// What head and body say together. What may not be delivered is not excused by what may not be stored: a session's cookie is just
/// what comes with an answer that is somebody else's.
///
/// # Errors
///
/// Why it may not be stored.
pub fn verdict<T>(head: Result<(), GateReason>, body: Result<T, GateReason>) -> Result<T, GateReason> {
    match (head, body) {
        (Err(_), Err(reason)) if reason.is_mix_up() => Err(reason),
        (Err(reason), _) => Err(reason),
        (Ok(()), body) => body,
    }
}

/// Judges the whole body of a 200: is it the answer to this read, and whose is it?
///
/// # Errors
///
/// Why it may not be stored; [`GateReason::is_mix_up`] tells where it may not be delivered either.
pub fn examine_body(
    resource: &'static Descriptor,
    target: &Target,
    expected: Expected,
    body: &[u8],
) -> Result<Identity, GateReason> {
    let scan = Scan::of(resource, body)?;
    match target {
        Target::Item(id) => check_id(&scan, *id)?,
        Target::List(_) if resource.is_singleton() => check_singleton(resource, &scan)?,
        Target::List(_) => match scan.items {
            None => return Err(GateReason::Shape),
            Some(0) => return Err(GateReason::EmptyList),
            Some(_) => {}
        },
    }
    let organization = scan.organization()?;
    // Before the workspace: who acts for one and is known to be of it gets another's label as little as anybody else.
    if expected.organization.is_some_and(|bound| bound != organization) {
        return Err(GateReason::OtherOrganization);
    }
    if expected.workspace.is_some_and(|workspace| workspace != organization.name()) {
        return Err(GateReason::OtherWorkspace);
    }
    Ok(Identity { organization, grants: scan.grants })
}

/// It must have an id, which names its organization, and whatever else tells it from an item.
fn check_singleton(resource: &'static Descriptor, scan: &Scan) -> Result<(), GateReason> {
    let Kind::Singleton { members } = resource.kind else { return Ok(()) };
    let is_one = scan.id.is_some() && scan.members == members.len() && !scan.has_items;
    if is_one { Ok(()) } else { Err(GateReason::Shape) }
}

/// The id must be the one asked for, byte by byte. Another spelling of it is doubt; another id is another's answer.
fn check_id(scan: &Scan, asked: uuid::Uuid) -> Result<(), GateReason> {
    let Some(id) = scan.id.as_deref() else {
        return Err(GateReason::Shape);
    };
    if asked.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()) == id {
        return Ok(());
    }
    match uuid::Uuid::try_parse(id) {
        Ok(other) if other != asked => Err(GateReason::OtherId),
        _ => Err(GateReason::Shape),
    }
}

/// Why the answer to a write belongs to somebody else, if it does: it carries another id than that of the label which was
/// written, or names another organization than the writer's. What it does not say plainly is no such reason.
#[must_use]
pub fn mix_up(
    resource: &'static Descriptor,
    written: Option<uuid::Uuid>,
    writer: Option<OrganizationId>,
    body: &[u8],
) -> Option<GateReason> {
    let scan = Scan::of(resource, body).ok()?;
    if let Some(Err(reason)) = written.map(|id| check_id(&scan, id))
        && reason.is_mix_up()
    {
        return Some(reason);
    }
    let differs = writer.zip(scan.organization().ok()).is_some_and(|(writer, named)| writer != named);
    differs.then_some(GateReason::OtherOrganization)
}

/// Whether the answer to a write is this item of the writer's organization, which is known, and names no other item.
#[must_use]
pub fn names_alone(resource: &'static Descriptor, id: uuid::Uuid, expected: Expected, body: &[u8]) -> bool {
    let has_no_other = |scan: Scan| !scan.may_name_another && !scan.has_items;
    expected.organization.is_some()
        && examine_body(resource, &Target::Item(id), expected, body).is_ok()
        && Scan::of(resource, body).is_ok_and(has_no_other)
}

/// The id that the answer to a write carries, if it is written as ids are.
#[must_use]
pub fn id_of(resource: &'static Descriptor, body: &[u8]) -> Option<uuid::Uuid> {
    let scan = Scan::of(resource, body).ok()?;
    uuid::Uuid::try_parse(scan.id.as_deref()?).ok()
}

/// The organization that the answer to a write names, whatever its shape: a label, or nothing of use.
#[must_use]
pub fn organization_of(resource: &'static Descriptor, body: &[u8]) -> Option<OrganizationId> {
    Scan::of(resource, body).ok()?.organization().ok()
}

/// Whether an answer says who may see what is in it, whatever else is wrong with it.
#[must_use]
pub fn shows_grants(resource: &'static Descriptor, body: &[u8]) -> bool {
    Scan::as_far_as_sound(resource, body).0.grants
}

#[cfg(test)]
#[path = "gate/tests.rs"]
mod tests;
