//! Variables that other programs go by, too: they stand for keys of ours where nothing else sets those.
//!
//! `HTTPS_PROXY` and `NO_PROXY` are read as curl reads them, the lower-case ones first; of OpenTelemetry's those that say where
//! spans go and whose they are. `OTEL_EXPORTER_OTLP_HEADERS` is read by the library itself.

use super::fault::Origin;
use super::forward_proxy::NoProxy;
use super::key::{Key, PREFIX};
use super::parse::has_scheme;
use super::raw::Setting;

/// The lower-case one first, as curl has it.
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// What the variables say.
pub(super) fn settings(environment: &[(String, String)]) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut add = |key: Key, found: Option<(&str, String)>| {
        if let Some((name, value)) = found {
            settings.push(Setting { key, value: value.into(), origin: Origin::Variable(name.to_owned()) });
        }
    };
    let first = |names: &[&'static str]| first_of(environment, names);
    add(Key::UpstreamProxy, first(&["https_proxy", "HTTPS_PROXY"]));
    add(Key::UpstreamNoProxy, first(&NO_PROXY).map(|(name, list)| (name, known(&list))));
    let is_off = first(&["OTEL_SDK_DISABLED"]).is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"))
        || first(&["OTEL_TRACES_EXPORTER"]).is_some_and(|(_, value)| value == "none");
    if is_off {
        return settings;
    }
    let protocol = first(&["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
    let is_grpc = protocol.as_ref().is_some_and(|(_, value)| value == "grpc");
    let of_all = first(&["OTEL_EXPORTER_OTLP_ENDPOINT"]).map(|(name, value)| match value.split_once("://") {
        // The one for all signals is what the path of each is added to.
        Some((_, rest)) if !is_grpc && rest.trim_end_matches('/').contains('/') => {
            (name, format!("{}/v1/traces", value.trim_end_matches('/')))
        }
        _ => (name, value),
    });
    add(Key::TelemetryOtlpEndpoint, first(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]).or(of_all));
    add(Key::TelemetryOtlpProtocol, protocol);
    let compression = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
    add(Key::TelemetryCompression, first(&compression));
    let certificate = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
    add(Key::TelemetryCaFile, first(&certificate));
    add(Key::TelemetryServiceName, first(&["OTEL_SERVICE_NAME"]));
    add(Key::TelemetryResourceAttributes, first(&["OTEL_RESOURCE_ATTRIBUTES"]));
    add(
        Key::TelemetrySamplingRatio,
        first(&["OTEL_TRACES_SAMPLER"]).and_then(|(name, sampler)| {
            match sampler.trim_start_matches("parentbased_") {
                "always_on" => Some((name, "1".to_owned())),
                "always_off" => Some((name, "0".to_owned())),
                "traceidratio" => first(&["OTEL_TRACES_SAMPLER_ARG"]),
                _ => None,
            }
        }),
    );
    settings
}

/// The first of these variables that is set. An empty one is not (OpenTelemetry's specification says so, and curl does).
fn first_of(environment: &[(String, String)], names: &[&'static str]) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| {
        let value = environment.iter().find(|(known, value)| known == name && !value.is_empty());
        value.map(|(_, value)| (*name, value.clone()))
    })
}

/// The members of `NO_PROXY` that [`settings`] leaves out.
pub(super) fn passed_over(environment: &[(String, String)]) -> Vec<String> {
    let list = first_of(environment, &NO_PROXY).map(|(_, list)| list).unwrap_or_default();
    members(&list).filter(|member| NoProxy::parse(member).is_none()).map(str::to_owned).collect()
}

/// Whether a value came from a variable of another program's.
pub(super) fn is_of_others(origin: &Origin) -> bool {
    matches!(origin, Origin::Variable(name) if !name.starts_with(PREFIX))
}

fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ']).filter(|member| !member.is_empty())
}

/// The members of a list that are read here. Others of a machine's `NO_PROXY` are for other programs (`192.168.*`, `<local>`, an
/// address with a zone): none of them can be the upstream's host, and they must not keep a process from starting.
fn known(list: &str) -> String {
    let known = members(list).filter(|member| NoProxy::parse(member).is_some());
    known.collect::<Vec<_>>().join(",")
}

/// Leaves out what the variables say of something that there is not: a proxy that nobody has set, spans that go nowhere. A
/// process that does neither must not fail to start for what another program is to be told. Roots for a collector that is not
/// asked by TLS are of that kind, too: their file need not be there.
pub(super) fn drop_idle(settings: &mut Vec<Setting>) {
    let is_set = |key: Key| settings.iter().any(|setting| setting.key == key);
    let (has_proxy, has_endpoint) = (is_set(Key::UpstreamProxy), is_set(Key::TelemetryOtlpEndpoint));
    let endpoint = settings.iter().rfind(|setting| setting.key == Key::TelemetryOtlpEndpoint);
    let is_secure =
        endpoint.is_some_and(|setting| setting.value.as_str().is_some_and(|url| has_scheme(url, "https")));
    settings.retain(|setting| {
        let has_subject = match setting.key {
            Key::TelemetryCaFile => is_secure,
            Key::UpstreamNoProxy => has_proxy,
            key => has_endpoint || key.section() != "telemetry",
        };
        has_subject || !is_of_others(&setting.origin)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_nothing_that_is_there_is_no_fault() {
        let kept = |environment: &[(&str, &str)]| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let mut settings = settings(&environment.iter().map(owned).collect::<Vec<_>>());
            drop_idle(&mut settings);
            settings.iter().map(|setting| setting.key.to_string()).collect::<Vec<_>>()
        };
        let spans =
            [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), ("OTEL_RESOURCE_ATTRIBUTES", "service.version")];
        assert_eq!(kept(&spans), [""; 0]);
        assert_eq!(kept(&[("NO_PROXY", "a")]), [""; 0]);
        assert_eq!(
            kept(&[("NO_PROXY", "a"), ("HTTPS_PROXY", "b:1")]),
            ["upstream.proxy", "upstream.no_proxy"]
        );
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
        assert_eq!(kept(&[endpoint, spans[0]]), ["telemetry.otlp_endpoint", "telemetry.otlp_protocol"]);
        let roots = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/not/there");
        assert_eq!(kept(&[endpoint, roots]), ["telemetry.otlp_endpoint"]);
        let secure = ("OTEL_EXPORTER_OTLP_ENDPOINT", "HTTPS://c");
        assert_eq!(kept(&[secure, roots]), ["telemetry.otlp_endpoint", "telemetry.ca_file"]);
    }

    #[test]
    fn members_of_no_proxy_that_others_know_are_passed_over() {
        for (list, taken) in [
            ("localhost,127.0.0.1,192.168.*", "localhost,127.0.0.1"),
            ("<local>, fe80::1%eth0, a.example", "a.example"),
            ("<local>", ""),
        ] {
            assert_eq!(known(list), taken, "{list}");
        }
    }

    fn said(environment: &[(&str, &str)]) -> Vec<String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<_> = environment.iter().map(owned).collect();
        let shown =
            |setting: &Setting| format!("{} = {}", setting.key, setting.value.as_str().unwrap_or_default());
        settings(&environment).iter().map(shown).collect()
    }

    #[test]
    fn variables_of_others_stand_for_keys() {
        assert_eq!(
            said(&[("HTTPS_PROXY", "a:1"), ("https_proxy", "b:1"), ("NO_PROXY", "c"), ("http_proxy", "d:1")]),
            ["upstream.proxy = b:1", "upstream.no_proxy = c"]
        );
        assert_eq!(said(&[("https_proxy", ""), ("OTEL_SERVICE_NAME", "")]), [""; 0]);
        for (endpoint, taken) in [
            ("http://c:4318", "http://c:4318"),
            ("http://c:4318/", "http://c:4318/"),
            ("https://c/otlp/", "https://c/otlp/v1/traces"),
        ] {
            let expected = format!("telemetry.otlp_endpoint = {taken}");
            assert_eq!(said(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]), [expected]);
        }
        assert_eq!(
            said(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t/x"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
                ("OTEL_SERVICE_NAME", "labels"),
                ("OTEL_RESOURCE_ATTRIBUTES", "a=b"),
                ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ]),
            [
                "telemetry.otlp_endpoint = https://t/x",
                "telemetry.otlp_protocol = grpc",
                "telemetry.compression = gzip",
                "telemetry.service_name = labels",
                "telemetry.resource_attributes = a=b",
                "telemetry.sampling_ratio = 0.25",
            ]
        );
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(said(&[off, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")]), [""; 0]);
        }
    }
}
