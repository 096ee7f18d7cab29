//! `doctor`: everything that a running proxy needs, tried one after the other, each with what it came to.
//!
//! It changes nothing, and sends one request to the API, or three with a key.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::admin_client::AdminClient;
use super::failure::Failure;
use super::key;
use super::output::Output;
use super::runtime::block_on;
use super::setup::Files;
use crate::clock::Clock;
use crate::config::{Config, Loaded, files};
use crate::descriptors;
use crate::upstream::probe::{Answered, Probe};

const PATIENCE: Duration = Duration::from_secs(10);
const DAY: u64 = 24 * 3600;
/// `Date` says whole seconds, and the answer was under way.
const SKEW: Duration = Duration::from_secs(5);
const LABELS: &str = "/api/v2/lead-labels?limit=1";
/// Something that passes through, of which a key may have no scope.
const OTHER: &str = "/api/v2/campaigns?limit=1";

/// What is looked at.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    output: Output,
    /// Read an API key from standard input, and try it
    #[arg(long)]
    key_stdin: bool,
}

/// What one look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Odd,
    Bad,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    said: String,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, what: &'static str, verdict: Verdict, said: impl Into<String>) {
        self.findings.push(Finding { what, verdict, said: said.into() });
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { what, verdict, said } in &self.findings {
            let mark = match verdict {
                Verdict::Good => "ok ",
                Verdict::Odd => "?  ",
                Verdict::Bad => "BAD",
            };
            text.push_str(&format!("{mark} {what:<14} {said}\n"));
        }
        text
    }
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let key = if arguments.key_stdin { Some(key::of_standard_input()?) } else { None };
    let mut report = Report::default();
    report.add("configuration", Verdict::Good, "no fault");
    let now = Clock::system().now().unix();
    for notice in loaded.notices(descriptors::highest()).chain(loaded.ending(now)) {
        report.add("configuration", Verdict::Odd, notice);
    }
    limits(&mut report, &loaded.config);
    for way in loaded.egress() {
        report.add("egress", Verdict::Good, way);
    }
    block_on(async {
        upstream(&mut report, &loaded.config, key.as_deref()).await;
        running(&mut report, &loaded.config).await;
        Ok(())
    })?;
    arguments.output.write(|| report.text(), &report);
    let is_bad = report.findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    Ok(ExitCode::from(if is_bad { Failure::FAILED } else { 0 }))
}

fn limits(report: &mut Report, config: &Config) {
    let (open_files, wanted) = (descriptors::highest(), config.listen.max_connections);
    let share = descriptors::share(open_files, wanted, config.upstream.max_connections);
    let limit = open_files.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit} at most"));
    let verdict = if share < wanted { Verdict::Odd } else { Verdict::Good };
    report.add("open files", verdict, format!("{limit}: {share} connections of callers"));
}

/// The way to the API, as far as it goes.
async fn upstream(report: &mut Report, config: &Config, key: Option<&str>) {
    let url = config.upstream.url.to_string();
    if config.upstream.proxy.as_ref().is_none_or(|proxy| !proxy.is_for(&config.upstream.url)) {
        name(report, config).await;
    }
    let probe = match Probe::new(&config.upstream, Clock::system()) {
        Ok(probe) => probe,
        Err(error) => return report.add("connection", Verdict::Bad, error.to_string()),
    };
    let found = match probe.connect().await {
        Ok(found) => found,
        Err(error) => {
            let causes = error.causes().unwrap_or_default();
            return report.add("connection", Verdict::Bad, format!("{}: {causes}", error.kind()));
        }
    };
    report.add("connection", Verdict::Good, format!("to {url} in {} ms", found.took.as_millis()));
    if let Some(tls) = &found.tls {
        let days = tls.end.map(|end| end.saturating_sub(Clock::system().now().unix()).as_secs() / DAY);
        let verdict = if days.is_some_and(|days| days < files::ENDS_SOON.as_secs() / DAY) {
            Verdict::Odd
        } else {
            Verdict::Good
        };
        let days =
            days.map_or_else(|| "an end that cannot be read".to_owned(), |days| format!("{days} days left"));
        let said = format!("{}, trusted, {} certificates shown, {days}", tls.version, tls.chain);
        report.add("TLS", verdict, said);
    }
    match probe.get(found, LABELS, key).await {
        Ok(answered) => {
            let said = format!(
                "{:?} answered {} in {} ms",
                answered.version,
                answered.status,
                answered.took.as_millis()
            );
            report.add("HTTP", Verdict::Good, said);
            clock(report, &answered);
            if key.is_some() {
                of_key(report, "labels", answered.status);
                if let Ok(found) = probe.connect().await
                    && let Ok(answered) = probe.get(found, OTHER, key).await
                {
                    of_key(report, "campaigns", answered.status);
                }
            }
        }
        Err(error) => report.add("HTTP", Verdict::Bad, error),
    }
}

async fn name(report: &mut Report, config: &Config) {
    let host = config.upstream.url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    match tokio::net::lookup_host((host, 0)).await {
        Ok(addresses) => {
            let shown: Vec<_> = addresses.map(|address| address.ip().to_string()).collect();
            report.add("name", Verdict::Good, format!("{host} is {}", shown.join(", ")));
        }
        Err(error) => report.add("name", Verdict::Bad, format!("{host}: {error}")),
    }
}

fn clock(report: &mut Report, answered: &Answered) {
    let Some(theirs) = answered.date else { return };
    let ours = Clock::system().now().unix();
    let (apart, which) = if ours > theirs { (ours - theirs, "ahead of") } else { (theirs - ours, "behind") };
    let verdict = if apart > SKEW { Verdict::Odd } else { Verdict::Good };
    report.add("clock", verdict, format!("{} s {which} the API's", apart.as_secs()));
}

fn of_key(report: &mut Report, what: &str, status: StatusCode) {
    let (verdict, said) = match status.as_u16() {
        200..=299 => (Verdict::Good, "may read"),
        401 => (Verdict::Bad, "is refused (401): revoked, or without the scope for"),
        402 => (Verdict::Bad, "belongs to a plan (402) that does not pay for"),
        403 => (Verdict::Bad, "has no scope (403) for"),
        429 => (Verdict::Odd, "is over the API's limit (429), asking for"),
        _ => (Verdict::Odd, "was not answered for"),
    };
    report.add("key", verdict, format!("{said} {what}"));
}

/// The process that the configuration is of, if it runs.
async fn running(report: &mut Report, config: &Config) {
    let Ok(client) = AdminClient::new(&config.admin, PATIENCE) else { return };
    match client.get("/readyz").await.map(|answer| answer.status) {
        Ok(StatusCode::OK) => report.add("process", Verdict::Good, "runs, and is ready"),
        Ok(status) => report.add("process", Verdict::Odd, format!("answers {status}: it is stopping")),
        Err(_) => return report.add("process", Verdict::Odd, "none answers on admin.address"),
    }
    let status = match client.authorized(&config.admin) {
        Ok(client) => client.get("/api/status").await.and_then(|answer| answer.document(&config.admin)),
        Err(failure) => Err(failure),
    };
    match status {
        Ok(status) => replicas(report, config, &status),
        Err(failure) => report.add("process", Verdict::Odd, failure.lines.join("; ")),
    }
}

fn replicas(report: &mut Report, config: &Config, status: &Value) {
    let seen = status.pointer("/fleet/members").and_then(Value::as_u64);
    match seen {
        Some(seen) => report.add("replicas", Verdict::Good, format!("{seen} share one store")),
        None if config.shield.replicas.get() > 1 => {
            let said = format!(
                "shield.replicas divides the limits by {}, and nobody knows whether so many run",
                config.shield.replicas
            );
            report.add("replicas", Verdict::Odd, said);
        }
        None => report.add("replicas", Verdict::Good, "this process is by itself"),
    }
}
