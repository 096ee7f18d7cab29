//! `purge`: take stored responses away through the admin listener of the running proxy.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::admin_client::{AdminClient, Answer};
use super::failure::Failure;
use super::output::Output;
use super::runtime::block_on;
use super::setup::Files;
use crate::config::{Admin, Loaded};

const PATIENCE: Duration = Duration::from_secs(10);

/// What is to go; nothing named is everything.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    output: Output,
    /// Stored responses of this organization alone, and its proofs
    #[arg(long, value_name = "UUID")]
    organization: Option<Uuid>,
    /// This label alone, and every list, which may hold it
    #[arg(long, value_name = "UUID")]
    label: Option<Uuid>,
    /// Of this resource alone, such as custom_tag; proofs stay
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
}

impl Arguments {
    fn body(&self) -> Value {
        let named = [("organization", self.organization), ("label", self.label)];
        let ids = named.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id?.to_string().into())));
        let resource = self.resource.iter().map(|name| ("resource".to_owned(), name.as_str().into()));
        Value::Object(ids.chain(resource).collect::<Map<_, _>>())
    }
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let admin = &loaded.config.admin;
    let client = AdminClient::new(admin, PATIENCE)?.authorized(admin)?;
    let answer = block_on(client.post("/api/purge", &arguments.body()))?;
    let said = outcome(&answer, admin)?;
    arguments.output.write(|| said, &answer.document(admin)?);
    Ok(ExitCode::SUCCESS)
}

/// What went, as the admin listener counts it.
#[derive(Deserialize)]
struct Purged {
    entries: u64,
    bytes: u64,
    proofs: u64,
    replicas: Option<Replicas>,
}

/// What the other replicas say, where there is a fleet.
#[derive(Deserialize)]
struct Replicas {
    announced: bool,
    confirmed: Vec<String>,
    silent: Vec<String>,
}

impl Replicas {
    fn told(&self) -> String {
        let Self { announced, confirmed, silent } = self;
        let of = |names: &[String]| format!("{} replica{}", names.len(), plural(names.len() as u64));
        match (announced, silent.as_slice()) {
            (false, _) => "; the store cannot be reached: other replicas are told when it can".to_owned(),
            (true, []) => format!("; confirmed by {} ({})", of(confirmed), confirmed.join(", ")),
            (true, silent) => format!(
                "; confirmed by {}, not by {}, which may serve nothing without asking",
                of(confirmed),
                silent.join(", ")
            ),
        }
    }
}

fn outcome(answer: &Answer, admin: &Admin) -> Result<String, Failure> {
    answer.accepted(admin)?;
    let Purged { entries, bytes, proofs, replicas } = serde_json::from_slice(&answer.body)
        .map_err(|_| Failure::failed("the admin listener's answer does not say what went"))?;
    Ok(format!(
        "purged {entries} stored response{} ({bytes} byte{}), ended {proofs} proof{}{}",
        plural(entries),
        plural(bytes),
        plural(proofs),
        replicas.map(|replicas| replicas.told()).unwrap_or_default()
    ))
}

const fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    #[test]
    fn only_what_was_named_is_asked_for() {
        let id = "00000000-0000-0000-0000-000000000007";
        for (organization, label, resource, body) in [
            (None, None, None, serde_json::json!({})),
            (Some(ID), None, None, serde_json::json!({"organization": id})),
            (None, Some(ID), None, serde_json::json!({"label": id})),
            (None, None, Some("custom_tag"), serde_json::json!({"resource": "custom_tag"})),
        ] {
            let resource = resource.map(str::to_owned);
            let (files, output) = (Files::default(), Output::default());
            assert_eq!(Arguments { files, output, organization, label, resource }.body(), body);
        }
    }

    #[test]
    fn the_answer_is_told_in_words() {
        for (status, body, said) in [
            (
                200,
                r#"{"entries":12,"bytes":4321,"proofs":3}"#,
                "purged 12 stored responses (4321 bytes), ended 3 proofs",
            ),
            (
                200,
                r#"{"entries":1,"bytes":1,"proofs":1}"#,
                "purged 1 stored response (1 byte), ended 1 proof",
            ),
            (
                200,
                r#"{"entries":0,"bytes":0,"proofs":0,"replicas":{"announced":true,"confirmed":["a","b"],"silent":[]}}"#,
                "purged 0 stored responses (0 bytes), ended 0 proofs; confirmed by 2 replicas (a, b)",
            ),
            (
                200,
                r#"{"entries":0,"bytes":0,"proofs":0,"replicas":{"announced":true,"confirmed":["a"],"silent":["c"]}}"#,
                "purged 0 stored responses (0 bytes), ended 0 proofs; confirmed by 1 replica, not by c, which may serve \
                 nothing without asking",
            ),
            (
                200,
                r#"{"entries":0,"bytes":0,"proofs":0,"replicas":{"announced":false,"confirmed":[],"silent":[]}}"#,
                "purged 0 stored responses (0 bytes), ended 0 proofs; the store cannot be reached: other replicas are told \
                 when it can",
            ),
            (200, "{}", "the admin listener's answer does not say what went"),
            (
                403,
                r#"{"message":"Set admin.token_file."}"#,
                "the admin listener answered 403 Forbidden: Set admin.token_file.",
            ),
            (404, "no JSON", "the admin listener answered 404 Not Found: without a reason"),
        ] {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                body: Bytes::from_static(body.as_bytes()),
            };
            assert_eq!(
                outcome(&answer, &crate::config::Config::default().admin)
                    .unwrap_or_else(|failure| failure.lines.join("\n")),
                said
            );
        }
    }
}
