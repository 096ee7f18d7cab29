//! [`Telemetry`]: who is told of spans, of how many, and how.

use std::path::PathBuf;

use http::Uri;

/// `[telemetry]`: who is told of spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Where an OpenTelemetry collector takes OTLP; absent: no traces. Over HTTP, a path is used as it is, and where there is
    /// none it is `/v1/traces`.
    pub otlp_endpoint: Option<Uri>,
    /// How it is spoken to.
    pub otlp_protocol: OtlpProtocol,
    /// Whether batches are packed.
    pub compression: Compression,
    /// PEM file of roots to trust for TLS to the collector, in place of the platform's.
    pub ca_file: Option<PathBuf>,
    /// Fields that each batch carries, such as a vendor's key; one `name: value` a line.
    pub headers_file: Option<PathBuf>,
    /// `service.name` of the resource.
    pub service_name: String,
    /// Further attributes of the resource.
    pub resource_attributes: Vec<Attribute>,
    /// Of the traces that nobody decided on, how many are exported.
    pub sampling_ratio: Ratio,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_protocol: OtlpProtocol::Http,
            compression: Compression::None,
            ca_file: None,
            headers_file: None,
            service_name: "instantly-proxy".to_owned(),
            resource_attributes: Vec::new(),
            sampling_ratio: Ratio::ALL,
        }
    }
}

/// `telemetry.otlp_protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// OTLP over HTTP, protobuf.
    Http,
    /// OTLP over gRPC.
    Grpc,
}

/// `telemetry.compression`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
}

/// An attribute of the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Such as `deployment.environment.name`.
    pub key: String,
    /// As text.
    pub value: String,
}

/// A part of all, in millionths: configurations are compared, which floats do not like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u32);

impl Ratio {
    /// All.
    pub const ALL: Self = Self(1_000_000);

    /// Of a number from 0 to 1.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and a million"
    )]
    pub fn of(part: f64) -> Option<Self> {
        (0.0..=1.0).contains(&part).then(|| Self((part * 1e6).round() as u32))
    }

    /// From 0 to 1.
    #[must_use]
    pub fn part(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}
