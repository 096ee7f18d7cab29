//! In which of its two text formats everything is shown.
//!
//! The library writes OpenMetrics; the classic format is made of that. They differ in what describes a family, not in its
//! samples, as far as this process has any: a counter's family bears the name of its samples, `info` is a gauge, units and the
//! end are not said.

use std::fmt::Write;

/// In which format everything is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
    OpenMetrics,
    /// The classic text format of Prometheus, 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
    Classic,
}

impl Exposition {
    /// `Content-Type` of it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The same page in the classic format. `open` is OpenMetrics text as [`super::Metrics::render`] gives it.
pub(super) fn classic_of(open: &str) -> String {
    let mut page = String::with_capacity(open.len());
    // HELP stands before TYPE, and the type says what the family's name is.
    let mut help = None;
    for line in open.lines() {
        match line.strip_prefix("# ") {
            None => {
                page.push_str(line);
                page.push('\n');
            }
            Some(comment) => match comment.split_once(' ') {
                Some(("HELP", rest)) => help = rest.split_once(' ').map(|(_, text)| text),
                Some(("TYPE", rest)) => {
                    let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
                    let (suffix, kind) = match kind {
                        "counter" => ("_total", "counter"),
                        "info" => ("_info", "gauge"),
                        "unknown" => ("", "untyped"),
                        kind => ("", kind),
                    };
                    if let Some(help) = help.take() {
                        let _ = writeln!(page, "# HELP {name}{suffix} {help}");
                    }
                    let _ = writeln!(page, "# TYPE {name}{suffix} {kind}");
                }
                _ => {}
            },
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_named_as_the_classic_format_has_it() {
        let open = "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{by=\"x y\"} 3\n\
                    # HELP a_wait_seconds Wait.\n# TYPE a_wait_seconds histogram\n# UNIT a_wait_seconds seconds\n\
                    a_wait_seconds_sum 0.5\n# HELP a_build Build.\n# TYPE a_build info\na_build_info{v=\"1\"} 1\n\
                    # HELP a_size Size.\n# TYPE a_size gauge\na_size 7\n# EOF\n";
        let classic = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\na_requests_total{by=\"x y\"} 3\n\
                       # HELP a_wait_seconds Wait.\n# TYPE a_wait_seconds histogram\na_wait_seconds_sum 0.5\n\
                       # HELP a_build_info Build.\n# TYPE a_build_info gauge\na_build_info{v=\"1\"} 1\n\
                       # HELP a_size Size.\n# TYPE a_size gauge\na_size 7\n";
        assert_eq!(classic_of(open), classic);
    }
}
