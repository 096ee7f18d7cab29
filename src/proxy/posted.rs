//! [`Posted`]: the body of a request, of which a part may be read before anything else happens with it.
//!
//! Three things are told by the first bytes alone: whether a label read has a body at all, whether a call was called off
//! that announced no byte, and whether an unverified caller really sends what it announces before it gets a place. What
//! was read goes on in front of the rest. How the body is framed on its way is told here too, because hyper's own choice
//! depends on the method: a GET of unknown length would lose its body.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::answer::Answer;
use super::exchange::Asked;
use super::{Proxy, Worker};
use crate::body::{Body, BodyError};
use crate::caller::credential::Credential;
use crate::caller::identity::Caller;
use crate::classify::Read;
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::held::{Full, Gathering, Held, Sender};
use crate::origin::Call;
use crate::outcome::{BypassReason, CacheStatus};
use crate::received::Received;
use crate::shield::refusals::Unauthorized;
use crate::upstream::activity::Activity;
use crate::upstream::pace::{Paced, TooSlow};
use crate::upstream::transfer::Upload;

/// The most bytes of a body that says nothing.
const LONGEST_NOTHING: usize = 64;
/// How much of an unverified caller's body must be there before its call takes a place.
const STRANGERS_PART: usize = 64 * 1024;

/// A request's body.
#[derive(Debug)]
pub(super) struct Posted {
    read: Gathering,
    /// Nothing once the body has ended.
    rest: Option<Paced>,
    /// Whether its framing says that there is one, be it empty.
    framed: bool,
}

impl Posted {
    /// A body of which nothing has been read.
    pub(super) fn new(body: Paced, held: &Held) -> Self {
        let framed = !body.is_end_stream();
        Self { read: held.gather(None), rest: framed.then_some(body), framed }
    }

    /// From now on, if nothing of it was read, it counts as `sender`'s.
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room for it.
    fn count_for(&mut self, sender: Sender, held: &Held) -> Result<(), Full> {
        if sender == Sender::Unverified && self.read.is_empty() && !self.is_read() {
            self.read = held.gather_from(sender, None)?;
        }
        Ok(())
    }

    /// Reads on until `enough` bytes are there or the body has ended. Dropped half-way it has lost nothing.
    ///
    /// # Errors
    ///
    /// If the body ends early or is malformed; [`Full`] if there is no memory for it.
    async fn read_ahead(&mut self, enough: usize) -> Result<(), BodyError> {
        while self.read.len() < enough
            && let Some(rest) = &mut self.rest
        {
            match rest.frame().await.transpose()? {
                Some(frame) => {
                    // Trailers are dropped.
                    if let Ok(data) = frame.into_data() {
                        self.read.push(&data)?;
                    }
                }
                None => self.rest = None,
            }
        }
        Ok(())
    }

    /// Whether it announced that no byte comes, and may still be called off: HTTP/2 has such a body.
    fn awaits_its_end(&self) -> bool {
        self.read.is_empty() && self.rest.as_ref().is_some_and(|rest| rest.size_hint().exact() == Some(0))
    }

    /// How many bytes are still to come, if that was announced.
    pub(super) fn length(&self) -> Option<usize> {
        self.rest
            .as_ref()
            .map_or(Some(0), |rest| rest.size_hint().exact().and_then(|length| length.try_into().ok()))
    }

    /// Whether it announced more than `length` bytes.
    fn is_longer_than(&self, length: usize) -> bool {
        let announced = self.rest.as_ref().map_or(0, |rest| rest.size_hint().lower());
        announced.saturating_add(self.read.len() as u64) > length as u64
    }

    /// Whether all of it was read and means that there is none: nothing, `null` or `{}`, which clients send that have no
    /// way to send none (axios with `data: {}`, `json={}` of Python's requests, n8n).
    fn says_nothing(&self) -> bool {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let read = self.read.bytes();
        let start = read.iter().take_while(|byte| is_space(byte)).count();
        let end = read.len() - read[start..].iter().rev().take_while(|byte| is_space(byte)).count();
        self.rest.is_none()
            && read.len() <= LONGEST_NOTHING
            && matches!(&read[start..end], b"" | b"null" | b"{}")
    }

    /// Whether all of it was read.
    pub(super) const fn is_read(&self) -> bool {
        self.rest.is_none()
    }

    /// Whether there is no body, neither a byte nor a framing that would need one.
    pub(super) const fn is_absent(&self) -> bool {
        !self.framed
    }

    /// How it is framed on its way, as its client announced it with these fields.
    pub(super) fn framing(&self, fields: &HeaderMap) -> Framing {
        match fields.get(CONTENT_LENGTH) {
            Some(length) => Framing::Length(length.clone()),
            None if self.framed => Framing::Chunked,
            None => Framing::Nothing,
        }
    }

    /// The body as it is sent on.
    pub(super) fn upload(self, activity: Activity) -> Body {
        let before = self.read.finish();
        match self.rest {
            Some(rest) => Body::stream(Upload::new(before, rest, activity)),
            None => {
                activity.note_request_sent();
                Body::whole(before)
            }
        }
    }
}

/// How a body is framed.
#[derive(Clone, Debug)]
pub(super) enum Framing {
    /// By its length.
    Length(HeaderValue),
    /// In chunks: its length is not known.
    Chunked,
    /// There is no body.
    Nothing,
}

impl Framing {
    /// Says so in a call's fields.
    pub(super) fn announce(self, fields: &mut HeaderMap) {
        match self {
            Self::Length(length) => {
                fields.insert(CONTENT_LENGTH, length);
            }
            Self::Chunked => {
                fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            Self::Nothing => {}
        }
    }
}

impl Worker {
    /// The body of a request, held to its least rate.
    pub(super) fn posted(&self, body: Received, asked: &Asked) -> Posted {
        Posted::new(Paced::new(body, self.proxy.clock.clone(), asked.rules.min_upload_rate), &self.proxy.held)
    }

    /// A label read with a body: served as any other where that says nothing; else the read goes on with it, uncached.
    /// What comes after the time in which a head must be there is no such body.
    pub(super) async fn read_with_body(
        &self,
        head: Parts,
        body: Received,
        read: Read,
        asked: &Asked,
    ) -> Result<Answer, ProxyError> {
        let (proxy, mut body) = (&self.proxy, self.posted(body, asked));
        let mut reason = BypassReason::Body;
        if !body.is_longer_than(LONGEST_NOTHING) {
            let sender = proxy.sender(asked.caller.as_ref(), asked.arrived_at);
            body.count_for(sender, &proxy.held).map_err(Full::before_sending)?;
            let deadline = asked.arrived_at.plus(asked.rules.header_timeout);
            let reading = body.read_ahead(LONGEST_NOTHING + 1);
            if let Ok(Err(cause)) = proxy.clock.deadline(deadline, reading).await {
                return Err(unreadable(cause));
            }
            if body.says_nothing() {
                match proxy.read(&head, &read, asked).await? {
                    Some(answer) => return Ok(answer),
                    None => reason = BypassReason::EdgeBlock,
                }
            }
        }
        self.forward(head, body, CacheStatus::Uncached(reason), asked).await
    }
}

impl Proxy {
    /// What of a body is read before its call takes a place of any kind: all of one that may still be called off though
    /// it announces no byte, and the beginning of an unverified caller's, who could otherwise keep others out with
    /// bodies that never come. The refusal that is remembered, if there is one: it needs no body.
    pub(super) async fn read_before_a_place(
        &self,
        call: &Call<'_>,
        body: &mut Posted,
    ) -> Result<Option<Arc<Unauthorized>>, ProxyError> {
        let now = self.clock.now();
        let sender = self.sender(call.caller, now);
        let enough = match sender {
            Sender::Unverified => {
                if let Some(remembered) = self.origin.remembered(call, now) {
                    return Ok(Some(remembered.answer));
                }
                STRANGERS_PART
            }
            Sender::Known => usize::from(body.awaits_its_end()),
        };
        body.count_for(sender, &self.held).map_err(Full::before_sending)?;
        body.read_ahead(enough).await.map_err(unreadable)?;
        Ok(None)
    }
}

impl Proxy {
    /// Whose body a request of this caller brings.
    pub(super) fn sender(&self, caller: Caller<&Credential>, now: Moment) -> Sender {
        let is_unverified = self.origin.shield().unverified.is_unverified(caller.into(), now);
        if is_unverified { Sender::Unverified } else { Sender::Known }
    }
}

/// Why a body could not be read before anything of it was sent.
pub(super) fn unreadable(cause: BodyError) -> ProxyError {
    if let Some(full) = cause.downcast_ref::<Full>() {
        return full.before_sending();
    }
    let kind = if cause.is::<TooSlow>() { ErrorKind::UploadTooSlow } else { ErrorKind::BodyIncomplete };
    kind.error().because(cause)
}
