//! [`Tracing`]: spans of requests for an OpenTelemetry collector, by OTLP.
//!
//! Off unless `telemetry.otlp_endpoint` is set, and then a request pays for one question whether it is. A caller's
//! `traceparent` (W3C Trace Context) is taken, a malformed one is none; the upstream is told of the span of its call. Names
//! and attributes come from closed sets: no path, no query, no key. Export is the library's: a bounded queue, whose thread
//! hands batches to the control runtime; nothing waits for it. `collector` sends them, `counted` counts what becomes of spans.

mod collector;
mod counted;

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context as Parent, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span as SdkSpan};
use tokio::runtime::Handle;

use crate::clock::{Clock, Moment};
use crate::config::{self, ForwardProxy, Ratio};
use crate::metrics::Metrics;
use crate::setup_error::SetupError;
use collector::Collector;
use counted::Counted;

/// The flags that mean something: whether the trace is recorded, and whether its id was drawn at random (W3C Trace Context
/// Level 2, §3.2.2.5), which whoever samples behind us may count on.
const PASSED_ON: TraceFlags = TraceFlags::new(0b11);
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// A longer `tracestate` is left out, as it may be above this (W3C Trace Context §3.3.1.5): it is kept with every span of
/// its trace until that is exported.
const MAX_STATE: usize = 512;
/// How long the end of the process waits for what is queued.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes spans.
#[derive(Clone)]
pub struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    clock: Clock,
}

/// A place in a trace: what other spans are children of, or linked to.
#[derive(Clone, Debug)]
pub struct Context(SpanContext);

/// A span under way; it ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    span: SdkSpan,
    clock: Clock,
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracing")
    }
}

impl Tracing {
    /// Begins to export, if there is where to; batches are sent on `runtime`.
    ///
    /// # Errors
    ///
    /// If the exporter cannot be made.
    pub fn start(
        settings: &config::Telemetry,
        egress: Option<&ForwardProxy>,
        metrics: &Metrics,
        clock: Clock,
        runtime: Handle,
    ) -> Result<Option<Self>, SetupError> {
        let Some(endpoint) = &settings.otlp_endpoint else { return Ok(None) };
        let spans = metrics.spans().clone();
        spans.show();
        let collector = Collector::new(settings, egress, clock.clone(), runtime)?;
        let reason = collector.reason().clone();
        // A path is the operator's, or a vendor's.
        let added = if endpoint.path() == "/" { "v1/traces" } else { "" };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}{added}"))
            .with_timeout(collector::EXPORT_TIMEOUT)
            .build()
            .map_err(|cause| SetupError(format!("telemetry.otlp_endpoint: {cause}")))?;
        let resource = Resource::builder_empty()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attributes(
                settings
                    .resource_attributes
                    .iter()
                    .map(|attribute| KeyValue::new(attribute.key.clone(), attribute.value.clone())),
            )
            .build();
        let sampler = match settings.sampling_ratio {
            Ratio::ALL => Sampler::AlwaysOn,
            ratio => Sampler::TraceIdRatioBased(ratio.part()),
        };
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Counted::new(exporter, reason, spans, clock.clone()))
            .with_resource(resource)
            // Whoever calls decides; the ratio is of what nobody called for.
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .build();
        let tracer = provider.tracer("instantly-proxy");
        Ok(Some(Self { provider, tracer, clock }))
    }

    /// The span of a request, as a part of its caller's trace if it names one.
    #[must_use]
    pub fn request(&self, fields: &HeaderMap, method: &Method) -> Span {
        let builder = SpanBuilder::from_name(known_method(method)).with_kind(SpanKind::Server);
        let builder = builder.with_attributes([KeyValue::new("http.request.method", known_method(method))]);
        self.begin(builder, remote(fields).as_ref())
    }

    /// A span inside another.
    #[must_use]
    pub fn child(&self, name: &'static str, parent: &Context) -> Span {
        self.begin(SpanBuilder::from_name(name).with_kind(SpanKind::Internal), Some(&parent.0))
    }

    /// The span of an upstream call.
    #[must_use]
    pub fn call(&self, purpose: &'static str, method: &Method, parent: &Context) -> Span {
        let builder =
            SpanBuilder::from_name(known_method(method)).with_kind(SpanKind::Client).with_attributes([
                KeyValue::new("http.request.method", known_method(method)),
                KeyValue::new("instantly_proxy.purpose", purpose),
            ]);
        self.begin(builder, Some(&parent.0))
    }

    /// A span that is over: from `begun` to now.
    pub fn record(&self, name: &'static str, parent: &Context, begun: Moment) {
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal);
        self.begin_at(builder, Some(&parent.0), begun).end();
    }

    /// The span of a read that waits for another one's flight: linked to it, for it is part of that one's trace.
    pub fn record_follow(&self, parent: &Context, flight: Option<&Context>, begun: Moment) {
        let mut builder = SpanBuilder::from_name("follow").with_kind(SpanKind::Internal);
        builder.links = flight.map(|flight| vec![Link::with_context(flight.0.clone())]);
        self.begin_at(builder, Some(&parent.0), begun).end();
    }

    /// Sends what is queued, for two seconds at most; blocks meanwhile.
    pub fn end(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }

    fn begin(&self, builder: SpanBuilder, parent: Option<&SpanContext>) -> Span {
        self.begin_at(builder, parent, self.clock.now())
    }

    fn begin_at(&self, builder: SpanBuilder, parent: Option<&SpanContext>, at: Moment) -> Span {
        let builder = builder.with_start_time(UNIX_EPOCH + at.unix());
        let parent =
            parent.map_or_else(Parent::new, |parent| Parent::new().with_remote_span_context(parent.clone()));
        Span { span: self.tracer.build_with_context(builder, &parent), clock: self.clock.clone() }
    }
}

impl Span {
    /// Where it stands.
    #[must_use]
    pub fn context(&self) -> Context {
        Context(self.span.span_context().clone())
    }

    /// Says something of it: a name and a text of closed sets.
    pub fn note(&mut self, name: &'static str, text: &'static str) {
        self.span.set_attribute(KeyValue::new(name, text));
    }

    /// Says with what status it was answered; a 5xx is an error.
    pub fn answered(&mut self, status: u16) {
        self.span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            self.span.set_status(Status::error(""));
        }
    }

    /// Says why there was no answer.
    pub fn failed(&mut self, kind: &'static str) {
        self.note("error.type", kind);
        self.span.set_status(Status::error(""));
    }

    /// Ends it now, as dropping it does.
    pub fn end(self) {}
}

impl Drop for Span {
    fn drop(&mut self) {
        // The library would ask the system for the time.
        self.span.end_with_timestamp(UNIX_EPOCH + self.clock.now().unix());
    }
}

impl Context {
    /// The trace's id, as it stands in logs.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }

    /// Says in a request's fields that this is its parent (W3C Trace Context §3.2), in place of any other.
    pub fn present(&self, fields: &mut HeaderMap) {
        let (trace, span) = (self.0.trace_id(), self.0.span_id());
        let text = format!("00-{trace}-{span}-{:02x}", self.0.trace_flags() & PASSED_ON);
        fields
            .insert(TRACEPARENT, HeaderValue::try_from(text).expect("hexadecimal digits are a field value"));
    }
}

/// What a caller's fields say of its trace. One that is malformed, repeated or of all zeros is none, and its `tracestate`
/// then says nothing either (W3C Trace Context §2.2, §4.3).
fn remote(fields: &HeaderMap) -> Option<SpanContext> {
    let mut given = fields.get_all(TRACEPARENT).iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let text = only.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower = |part: &str, length| {
        part.len() == length
            && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let sound = lower(version, 2) && lower(trace, 32) && lower(span, 16) && lower(flags, 2);
    // A later version may say more behind these; this one may not.
    if !sound || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & PASSED_ON;
    let state = fields.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
    let state = Some(state.join(",")).filter(|state| state.len() <= MAX_STATE).unwrap_or_default();
    let state = state.parse::<TraceState>().unwrap_or_default();
    Some(SpanContext::new(trace, span, flags, true, state)).filter(SpanContext::is_valid)
}

/// A method of a closed set: a caller can send any word.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(values: &[&str]) -> Option<SpanContext> {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        remote(&fields)
    }

    /// W3C Trace Context §3.2.
    #[test]
    fn a_traceparent_is_taken_only_if_it_is_sound() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        const SPAN: &str = "00f067aa0ba902b7";
        let given = parsed(&[&format!("00-{TRACE}-{SPAN}-01")]).unwrap();
        assert_eq!((given.trace_id().to_string(), given.span_id().to_string()), (TRACE.into(), SPAN.into()));
        assert!(given.is_sampled() && given.is_remote());
        assert!(!parsed(&[&format!("00-{TRACE}-{SPAN}-00")]).unwrap().is_sampled());
        for (flags, sent) in [("02", "02"), ("03", "03"), ("ff", "03"), ("fc", "00")] {
            let mut fields = HeaderMap::new();
            let given = parsed(&[&format!("00-{TRACE}-{SPAN}-{flags}")]).unwrap();
            Context(given).present(&mut fields);
            assert_eq!(fields[TRACEPARENT], format!("00-{TRACE}-{SPAN}-{sent}"));
        }
        assert!(parsed(&[&format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like")]).is_some());
        for bad in [
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            String::new(),
            "garbage".to_owned(),
        ] {
            assert!(parsed(&[&bad]).is_none(), "{bad}");
        }
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert!(parsed(&[&good, &good]).is_none(), "which of them?");
    }
}
