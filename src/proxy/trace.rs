//! Where requests meet their spans. Each of these does nothing where there is no trace.

use super::Proxy;
use super::fill::{Fill, Landing};
use super::read::Reading;
use crate::cache::flight::{Flight, Ticket};
use crate::clock::Moment;
use crate::telemetry::{Context, Span};

impl Proxy {
    /// The span of a flight, inside the request that leads it; the fill and whoever follows are told of it.
    pub(super) fn trace_flight(&self, fill: &mut Fill, ticket: &Ticket<Landing>) -> Option<Span> {
        let span = self.tracing.as_ref()?.child("flight", fill.trace.as_ref()?);
        ticket.note_trace(span.context());
        fill.trace = Some(span.context());
        Some(span)
    }

    /// The span of a read that waited for another one's flight, linked to it.
    pub(super) fn trace_follow(&self, reading: &Reading<'_>, flight: &Flight<Landing>, begun: Moment) {
        if let (Some(tracing), Some(parent)) = (&self.tracing, reading.head.extensions.get::<Context>()) {
            tracing.record_follow(parent, flight.trace.get(), begun);
        }
    }

    /// The span of a step that is over.
    pub(super) fn trace_step(&self, name: &'static str, parent: Option<&Context>, begun: Moment) {
        if let (Some(tracing), Some(parent)) = (&self.tracing, parent) {
            tracing.record(name, parent, begun);
        }
    }
}
