//! [`PlainRead`]: the heads that the fast path understands, a strict part of what the long way does.
//!
//! One whole head and nothing behind it; `GET`, HTTP/1.1, the plain path of a collection or an item without a query; known
//! fields, each at most once, none of which frames a body; one `Bearer` token. Whatever else comes is none: the HTTP library
//! reads it then, from its first byte on. So the two readers of heads cannot disagree about one: this one has no answer where
//! it is not sure, it never sees a body, its parser is the library's own, and what guard and classifier ask is asked by their
//! own tables ([`super::names`]).

use std::mem::MaybeUninit;

use http::{HeaderName, Version};
use httparse::{Header, Request, Status};

use super::names::{Names, Part};
use crate::classify;
use crate::guard;
use crate::resource::{Descriptor, Resources, Route, Target};

/// With more fields a request is not plain.
const MAX_FIELDS: usize = 32;

/// A read of a resource that says nothing but that.
#[derive(Debug, PartialEq)]
pub(in crate::proxy) struct PlainRead<'a> {
    pub(super) resource: &'static Descriptor,
    pub(super) target: Target,
    pub(in crate::proxy) path: &'a str,
    /// `Bearer` and one token68.
    pub(in crate::proxy) authorization: &'a [u8],
    /// A hyphenated UUID.
    pub(super) workspace: Option<&'a [u8]>,
    /// The line of `If-None-Match`, whatever it says.
    pub(super) condition: Option<&'a [u8]>,
    /// The line of `x-request-id`, whatever it says.
    pub(super) request_id: Option<&'a [u8]>,
    /// The line of the field that names callers, if the operator has one, whatever it says.
    pub(in crate::proxy) caller: Option<&'a [u8]>,
}

impl<'a> PlainRead<'a> {
    /// As metrics and log tell it.
    pub(super) const fn route(&self) -> Route {
        match self.target {
            Target::Item(_) => Route::Item(self.resource),
            Target::List(_) => Route::List(self.resource),
        }
    }

    /// Reads all bytes that have come; nothing unless they are one plain read.
    pub(super) fn parse(
        resources: Resources,
        caller_field: Option<&HeaderName>,
        bytes: &'a [u8],
    ) -> Option<Self> {
        let target = bytes.strip_prefix(b"GET ")?;
        // Cheap to tell, and tells nearly all of what passes through.
        let may_be_read =
            resources.cached().any(|resource| target.starts_with(resource.collection.as_bytes()));
        if !may_be_read || !bytes.ends_with(b"\r\n\r\n") {
            return None;
        }
        let mut lines = [MaybeUninit::<Header<'_>>::uninit(); MAX_FIELDS];
        let mut request = Request::new(&mut []);
        let is_alone =
            request.parse_with_uninit_headers(bytes, &mut lines) == Ok(Status::Complete(bytes.len()));
        if !is_alone || request.version != Some(1) {
            return None;
        }
        let path = request.path?;
        let (resource, target) = resources.locate_plain(path)?;
        Fields::read(request.headers, caller_field)?.of(resource, target, path)
    }
}

/// What the fields of a head have told.
#[derive(Default)]
struct Fields<'a> {
    guarded: guard::fields::Seen<'a>,
    classified: classify::fields::Seen,
    names: u32,
    authorization: Option<&'a [u8]>,
    workspace: Option<&'a [u8]>,
    condition: Option<&'a [u8]>,
    request_id: Option<&'a [u8]>,
    caller: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn read(lines: &[Header<'a>], caller_field: Option<&HeaderName>) -> Option<Self> {
        let (mut fields, names) = (Self::default(), Names::table());
        for line in lines {
            let Some(known) = names.of(line.name) else {
                // None of the names above: the configuration takes none that means something here.
                let is_callers =
                    caller_field.is_some_and(|field| line.name.eq_ignore_ascii_case(field.as_str()));
                if !is_callers || fields.caller.replace(line.value).is_some() {
                    return None;
                }
                continue;
            };
            if fields.names & known.bit != 0 {
                return None;
            }
            fields.names |= known.bit;
            if let Some(rule) = known.rule {
                // No row lets `Via` pass: there is no name of our own to look for.
                rule.check(line.value, Version::HTTP_11, "", &mut fields.guarded).ok()?;
            }
            if let Some(concern) = known.concern
                && concern.fault(line.value, &mut fields.classified).is_some()
            {
                return None;
            }
            match known.part {
                Part::Authorization => fields.authorization = Some(line.value),
                Part::Workspace => fields.workspace = Some(line.value),
                Part::Condition => fields.condition = Some(line.value),
                Part::RequestId => fields.request_id = Some(line.value),
                Part::Connection if !line.value.eq_ignore_ascii_case(b"keep-alive") => return None,
                Part::Connection | Part::Nothing => {}
                // In no row of this way.
                Part::Prefer | Part::Directives => return None,
            }
        }
        (guard::has_sound_host(&fields.guarded) && fields.classified.lacks_credential().is_none())
            .then_some(fields)
    }

    fn of(self, resource: &'static Descriptor, target: Target, path: &'a str) -> Option<PlainRead<'a>> {
        let Self { workspace, condition, request_id, caller, .. } = self;
        let authorization = self.authorization?;
        Some(PlainRead { resource, target, path, authorization, workspace, condition, request_id, caller })
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod alike;

#[cfg(test)]
#[path = "head/tests.rs"]
mod tests;
