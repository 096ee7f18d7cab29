//! `status`: what the running proxy says of itself, on one screen.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::admin_client::AdminClient;
use super::failure::Failure;
use super::output::Output;
use super::runtime::block_on;
use super::setup::Files;
use crate::config::Loaded;

const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let admin = &loaded.config.admin;
    let client = AdminClient::new(admin, PATIENCE)?.authorized(admin)?;
    let status = block_on(client.get("/api/status"))?.document(admin)?;
    arguments.output.write(|| text(&status), &status);
    Ok(ExitCode::SUCCESS)
}

/// The figures of a status, one thought a line. What a later or an earlier version does not say is left out.
fn text(status: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, figure: Option<String>| {
        if let Some(figure) = figure {
            let _ = writeln!(text, "{name:<14} {figure}");
        }
    };
    let number = |pointer: &str| status.pointer(pointer).filter(|value| !value.is_null()).map(plain);
    let is_ready = status.pointer("/ready").and_then(Value::as_bool);
    let version = number("/version").unwrap_or_default();
    let uptime = status.pointer("/uptime_seconds").and_then(Value::as_u64).map(Duration::from_secs);
    let uptime = uptime.map(|uptime| humantime::format_duration(uptime).to_string());
    line(
        "process",
        uptime.map(|uptime| {
            let state = if is_ready == Some(false) { "stopping" } else { "ready" };
            format!("{state}, version {version}, up for {uptime}")
        }),
    );
    line("requests", status.pointer("/requests").map(pairs));
    line("calls", status.pointer("/upstream/calls").map(pairs));
    line("spared", status.pointer("/upstream/avoided").map(pairs));
    line(
        "saved",
        number("/upstream/saved")
            .map(|saved| format!("{saved} calls, less what keeping the cache going cost")),
    );
    line(
        "stored",
        number("/cache/entries")
            .zip(number("/cache/bytes"))
            .map(|(entries, bytes)| format!("{entries} responses in {bytes} bytes")),
    );
    line("keys known", number("/bindings"));
    line("connections", number("/connections"));
    line("waiting", number("/shield/queued").map(|queued| format!("{queued} calls")));
    line("rejected", status.pointer("/shield/rejections").map(pairs));
    for (pointer, said) in [
        ("/shield/breaker_open", "the API cannot be reached"),
        ("/shield/edge_blocked", "the network edge turns our own reads away"),
    ] {
        line(
            "trouble",
            status.pointer(pointer).and_then(Value::as_bool).filter(|is| *is).map(|_| said.to_owned()),
        );
    }
    line("replicas", number("/fleet/members"));
    for error in status.pointer("/errors").and_then(Value::as_array).into_iter().flatten().take(5) {
        let member = |name: &str| error.get(name).map(plain).unwrap_or_default();
        line("error", Some(format!("{} times {}: {}", member("count"), member("error"), member("message"))));
    }
    text
}

/// The members of an object that are not zero.
fn pairs(value: &Value) -> String {
    let members = value.as_object().into_iter().flatten().filter(|(_, count)| count.as_u64() != Some(0));
    let shown: Vec<_> = members.map(|(name, count)| format!("{name} {}", plain(count))).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_fits_one_screen_and_leaves_out_what_is_not_there() {
        let status = serde_json::json!({
            "version": "1.2.3", "uptime_seconds": 3700, "ready": true,
            "requests": {"hit": 7, "miss": 0}, "upstream": {"calls": {"fill": 2}, "avoided": {"hit": 7}, "saved": 5},
            "cache": {"entries": 3, "bytes": 900}, "shield": {"queued": 0, "rejections": {"budget": 0}, "breaker_open": true},
            "errors": [{"error": "connect_failed", "message": "It failed.", "count": 2, "latest": 7}],
        });
        assert_eq!(
            text(&status),
            "process        ready, version 1.2.3, up for 1h 1m 40s\n\
             requests       hit 7\n\
             calls          fill 2\n\
             spared         hit 7\n\
             saved          5 calls, less what keeping the cache going cost\n\
             stored         3 responses in 900 bytes\n\
             waiting        0 calls\n\
             rejected       none\n\
             trouble        the API cannot be reached\n\
             error          2 times connect_failed: It failed.\n"
        );
        assert_eq!(text(&Value::Null), "");
    }
}
