//! The acts of a demonstration, one after the other, each with a line that says what is about to be seen and one of what was.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use super::client::{Client, Heard};
use super::figures::Times;
use super::flood::{Flood, Side};
use crate::clock::Clock;
use crate::simulator::{Aim, Fault, Key, Organization, Simulator};

/// The key of each organization that a visitor is given; it may do everything, and no load uses it.
pub(super) const VISITOR: usize = 5;
/// The one that is revoked; it may read labels.
const REVOKED: usize = 6;
/// So many keys an organization has.
pub(super) const KEYS: usize = 7;
/// How often a label is read that is stored.
const WARM_READS: usize = 1000;
/// How long the API is dead, and between two reads meanwhile.
const DEAD: Duration = Duration::from_secs(2);
const DEAD_PAUSE: Duration = Duration::from_millis(20);
/// The API counts calls by the second: what the flood without the proxy has spent is to be over.
const REST: Duration = Duration::from_millis(1100);
/// Between two questions whether it is back, and how many there are.
const ASK_AGAIN: Duration = Duration::from_millis(100);
const QUESTIONS: usize = 100;
const PASSED_THROUGH: &str = "/api/v2/campaigns";

/// What is said while they are played.
#[derive(Debug)]
pub(super) enum Word {
    /// What is about to be seen.
    Title(String),
    /// What was, a line for each part of it.
    Outcome(String),
}

/// An act that has been played.
#[derive(Debug, Serialize)]
pub(super) struct Act {
    name: &'static str,
    explanation: &'static str,
    outcome: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) acts: Vec<Act>,
    pub(super) flood: Option<Flood>,
}

/// Where they are played.
pub(super) struct Stage {
    pub(super) simulator: Arc<Simulator>,
    /// The data port.
    pub(super) proxy: SocketAddr,
    pub(super) clock: Clock,
    pub(super) words: UnboundedSender<Word>,
}

impl Stage {
    /// Plays all of them.
    pub(super) async fn play(self) -> Played {
        let mut played = Played::default();
        let act = self.act("cold", "nobody is known, nothing is stored: the API is asked once");
        played.add(act, self.cold().await);
        let act =
            self.act("warm", "the same label a thousand times: from memory; the list is read once behind it");
        played.add(act, self.warm().await);
        let act = self.act("write", "seen at once: no read behind it gets the old value");
        played.add(act, self.write().await);
        let act = self.act("flood", "40 callers at once, and the API allows 100 calls a second: both ways");
        let sides = self.flood().await;
        played.add(act, sides.outcome());
        played.flood = Some(sides);
        let act = self.act("outage", "the API is dead for two seconds, and then it is back");
        played.add(act, self.outage().await);
        let act = self.act("revoked", "a key that the API refuses once gets nothing any more");
        played.add(act, self.revoked().await);
        played
    }

    /// Says what is about to be seen.
    fn act(&self, name: &'static str, explanation: &'static str) -> Begun<'_> {
        let _ = self.words.send(Word::Title(format!("{name:<9}{explanation}")));
        Begun { stage: self, name, explanation }
    }

    fn organization(&self) -> &Organization {
        &self.simulator.world().organizations()[0]
    }

    fn key(&self, key: usize) -> &Key {
        &self.organization().keys()[key]
    }

    fn visitor(&self) -> Client {
        Client::new(self.key(VISITOR), &self.clock)
    }

    /// The path of one of the organization's labels.
    fn label(&self, number: usize) -> String {
        format!("/api/v2/lead-labels/{}", self.organization().labels()[number].id)
    }

    fn api_calls(&self) -> u64 {
        self.simulator.counters().requests()
    }

    async fn cold(&self) -> String {
        let before = self.api_calls();
        let heard = self.visitor().get(self.proxy, &self.label(0)).await;
        format!("{}, {} of the API", told(heard.as_ref()), calls(self.api_calls() - before))
    }

    async fn warm(&self) -> String {
        let (client, path, before) = (self.visitor(), self.label(0), self.api_calls());
        let (mut times, mut hits) = (Times::default(), 0);
        for _ in 0..WARM_READS {
            let Some(heard) = client.get(self.proxy, &path).await else { continue };
            hits += usize::from(heard.is_hit());
            times.note(heard.took);
        }
        let of_api = calls(self.api_calls() - before);
        format!("{hits} hits of {WARM_READS} reads, {of_api} of the API; p50 / p99 {}", times.text())
    }

    async fn write(&self) -> String {
        let (client, path) = (self.visitor(), self.label(0));
        let text = "written by the demonstration";
        let body = format!(r#"{{"description":"{text}"}}"#);
        let written = client.call(self.proxy, Method::PATCH, &path, body).await;
        let read = client.get(self.proxy, &path).await;
        let shows = read.as_ref().is_some_and(|heard| String::from_utf8_lossy(&heard.body).contains(text));
        let value = if shows { "the new value" } else { "NOT the new value" };
        format!("the write: {}; the read behind it: {value}, {}", told(written.as_ref()), told(read.as_ref()))
    }

    async fn flood(&self) -> Flood {
        let calls = || self.api_calls();
        let run = |address| Side::run(address, self.organization(), self.key(VISITOR), &self.clock, calls);
        let without = run(self.simulator.address()).await;
        self.clock.sleep(REST).await;
        Flood { without, with: run(self.proxy).await }
    }

    async fn outage(&self) -> String {
        let (client, path) = (self.visitor(), self.label(1));
        let fault = self.simulator.faults().arm(Aim::everything(), Fault::Disconnect);
        let begun = self.clock.now();
        let (mut reads, mut answered) = (0, 0);
        while self.clock.now().since(begun) < DEAD {
            let heard = client.get(self.proxy, &path).await;
            reads += 1;
            answered += usize::from(heard.is_some_and(|heard| heard.status == StatusCode::OK));
            self.clock.sleep(DEAD_PAUSE).await;
        }
        let direct = client.get(self.simulator.address(), &path).await;
        let through = client.get(self.proxy, PASSED_THROUGH).await;
        let through = through.map_or_else(|| "nothing".to_owned(), |heard| heard.status.as_u16().to_string());
        self.simulator.faults().disarm(fault);
        let back = self.back(&client).await;
        format!(
            "{answered} of {reads} reads of what is stored answered; the API itself: {}; what is not stored: {through}; {back}",
            if direct.is_some() { "an answer" } else { "no answer" }
        )
    }

    /// When what passes through is answered again.
    async fn back(&self, client: &Client) -> String {
        let begun = self.clock.now();
        for _ in 0..QUESTIONS {
            let heard = client.get(self.proxy, PASSED_THROUGH).await;
            if heard.is_some_and(|heard| heard.status == StatusCode::OK) {
                let took = self.clock.now().since(begun).as_secs_f64();
                return format!("{took:.1} s after its return calls pass again");
            }
            self.clock.sleep(ASK_AGAIN).await;
        }
        "no call passes yet".to_owned()
    }

    async fn revoked(&self) -> String {
        let (client, path) = (Client::new(self.key(REVOKED), &self.clock), self.label(2));
        let before = client.get(self.proxy, &path).await;
        self.simulator.revoke(self.key(REVOKED));
        // It passes through, and the API says no.
        let refused = client.get(self.proxy, PASSED_THROUGH).await;
        let after = client.get(self.proxy, &path).await;
        let other = self.visitor().get(self.proxy, &path).await;
        let status = |heard: &Option<Heard>| heard.as_ref().map_or(0, |heard| heard.status.as_u16());
        format!(
            "read before: {}; a call that the API refuses: {}; read after: {}; read with another key: {}",
            status(&before),
            status(&refused),
            status(&after),
            status(&other)
        )
    }
}

/// An act that is being played.
struct Begun<'a> {
    stage: &'a Stage,
    name: &'static str,
    explanation: &'static str,
}

impl Played {
    /// Keeps what came of an act, and says it.
    fn add(&mut self, begun: Begun<'_>, outcome: String) {
        let Begun { stage, name, explanation } = begun;
        let _ = stage.words.send(Word::Outcome(outcome.replace("; ", "\n         ")));
        self.acts.push(Act { name, explanation, outcome });
    }
}

impl Flood {
    fn outcome(&self) -> String {
        let side = |side: &Side| {
            let Side { reads, answered, refused, .. } = side;
            format!(
                "{answered} of {reads} answered, {refused} refused with 429, {} of the API",
                calls(side.api_calls)
            )
        };
        format!("without: {}; with:    {}", side(&self.without), side(&self.with))
    }
}

fn told(heard: Option<&Heard>) -> String {
    heard.map_or_else(
        || "no answer".to_owned(),
        |heard| {
            let hit = if heard.is_hit() { " from memory" } else { "" };
            format!("{}{hit} in {:.1} ms", heard.status.as_u16(), heard.took.as_secs_f64() * 1000.0)
        },
    )
}

fn calls(count: u64) -> impl Display {
    match count {
        1 => "1 call".to_owned(),
        count => format!("{count} calls"),
    }
}
