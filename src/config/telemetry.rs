//! `[telemetry]`, read into a [`Telemetry`].

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::key::Key;
use super::named::file;
use super::raw::{Raw, Refused};
use super::spans::{Attribute, Compression, OtlpProtocol, Ratio, Telemetry};
use super::{files, parse};

pub(super) fn resolve(raw: &mut Raw) -> Result<Telemetry, Refused> {
    let otlp_endpoint = raw.optional(Key::TelemetryOtlpEndpoint, endpoint);
    let otlp_protocol = raw.text(Key::TelemetryOtlpProtocol, protocol);
    let compression = raw.text(Key::TelemetryCompression, compression);
    let ca_file = file(raw, Key::TelemetryCaFile, files::roots);
    let headers_file = file(raw, Key::TelemetryHeadersFile, header_fields);
    let service_name = raw.text(Key::TelemetryServiceName, |text| is_short(text).then(|| text.to_owned()));
    let resource_attributes = raw.optional(Key::TelemetryResourceAttributes, attributes);
    let sampling_ratio =
        raw.part(Key::TelemetrySamplingRatio).and_then(|part| Ratio::of(part).ok_or(Refused));
    if let (Ok(Some(endpoint)), Ok(OtlpProtocol::Grpc)) = (&otlp_endpoint, &otlp_protocol)
        && endpoint.path() != "/"
    {
        raw.refuse(
            Key::TelemetryOtlpEndpoint,
            Some("has a path, of which gRPC has its own"),
            "no path with grpc",
        );
    }
    Ok(Telemetry {
        otlp_endpoint: otlp_endpoint?,
        otlp_protocol: otlp_protocol?,
        compression: compression?,
        ca_file: ca_file?,
        headers_file: headers_file?,
        service_name: service_name?,
        resource_attributes: resource_attributes?.unwrap_or_default(),
        sampling_ratio: sampling_ratio?,
    })
}

/// Reads fields of a file: one `name: value` a line; empty lines and those that begin with `#` do not count. Values are
/// sensitive, and none is ever shown.
///
/// # Errors
///
/// If the file cannot be read, or a line is no field.
pub fn header_fields(path: &Path) -> Result<HeaderMap, String> {
    let text = String::from_utf8(files::contents(path)?).map_err(|_| "is not UTF-8 text".to_owned())?;
    let mut fields = HeaderMap::new();
    for (index, line) in
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
    {
        let field = line.split_once(':').and_then(|(name, value)| {
            Some((HeaderName::try_from(name.trim()).ok()?, HeaderValue::try_from(value.trim()).ok()?))
        });
        let Some((name, mut value)) = field else {
            return Err(format!("has no \"name: value\" in line {}", index + 1));
        };
        value.set_sensitive(true);
        fields.append(name, value);
    }
    Ok(fields)
}

/// As `upstream.url`, and a path.
fn endpoint(text: &str) -> Option<Uri> {
    let (scheme, rest) = text.split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    parse::url(&format!("{scheme}://{authority}"))?;
    let visible = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte));
    visible.then(|| format!("{scheme}://{authority}/{path}").parse().ok()).flatten()
}

pub(super) fn endpoint_text(endpoint: &Uri) -> String {
    if endpoint.path() == "/" { parse::url_text(endpoint) } else { endpoint.to_string() }
}

fn protocol(text: &str) -> Option<OtlpProtocol> {
    [OtlpProtocol::Http, OtlpProtocol::Grpc].into_iter().find(|protocol| protocol_text(*protocol) == text)
}

pub(super) const fn protocol_text(protocol: OtlpProtocol) -> &'static str {
    match protocol {
        OtlpProtocol::Http => "http/protobuf",
        OtlpProtocol::Grpc => "grpc",
    }
}

fn compression(text: &str) -> Option<Compression> {
    [Compression::None, Compression::Gzip].into_iter().find(|how| compression_text(*how) == text)
}

pub(super) const fn compression_text(how: Compression) -> &'static str {
    match how {
        Compression::None => "none",
        Compression::Gzip => "gzip",
    }
}

/// `key=value` with commas between them, as `OTEL_RESOURCE_ATTRIBUTES` has it.
fn attributes(text: &str) -> Option<Vec<Attribute>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let attribute = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        (is_short(&key) && value.len() <= LONGEST).then_some(Attribute { key, value })
    };
    pairs.map(attribute).collect()
}

pub(super) fn attributes_text(attributes: &[Attribute]) -> String {
    attributes.iter().map(|Attribute { key, value }| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

const LONGEST: usize = 256;

fn is_short(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control)
}
