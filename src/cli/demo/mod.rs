//! `demo`: simulator, proxy and callers on loopback. First the acts: what the proxy does, one thing after the other. Then a modest
//! load, with its figures as they come, and at the end the same flood without the proxy and with it, side by side. With
//! `--replicas`, a fleet of proxies and the store in which they meet, and the load alone.

mod acts;
mod client;
mod figures;
mod flood;
mod load;
mod replicas;
mod store;
mod view;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use self::acts::{KEYS, Played, Stage, VISITOR, Word};
use self::figures::{Figures, Observed};
use self::replicas::Replicas;
use self::view::{Panel, Style, View};
use super::failure::Failure;
use super::say::say;
use crate::clock::{Clock, Moment};
use crate::metrics::Metrics;
use crate::simulator::{Aim, Fault, Simulator, SimulatorConfig};

/// How long the simulated API takes for an answer.
const API_TAKES: Duration = Duration::from_millis(120);

/// How the demonstration ends, and what it shows.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// End the load, which comes behind the acts, after this time, such as 10s; without it Ctrl-C ends it
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Leave the acts out: the load alone
    #[arg(long)]
    load_only: bool,
    /// Start so many proxies as one fleet, 2 to 16, with a valkey-server or redis-server from PATH; the load alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=16))]
    replicas: Option<u16>,
    /// Write one JSON document at the end, and nothing before
    #[arg(long, requires = "duration")]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let clock = Clock::system();
    // From here on: whoever ends it early is to find no server left behind.
    let mut ends = Ends::listen().map_err(Failure::failed)?;
    let simulation = SimulatorConfig {
        labels_per_organization: 60,
        keys_per_organization: KEYS,
        ..SimulatorConfig::default()
    };
    let simulator = Arc::new(Simulator::start(simulation, clock.clone()).await.map_err(Failure::failed)?);
    simulator.faults().arm(Aim::everything(), Fault::Latency(API_TAKES));
    let replicas = tokio::select! {
        biased;
        () = ends.asked() => return Ok(ExitCode::SUCCESS),
        started = start(&arguments, &simulator, &clock) => started?,
    };
    let mut show = Show {
        view: if arguments.json { View::nowhere() } else { View::of_output() },
        metrics: replicas.metrics(),
        begun: clock.now(),
        clock: clock.clone(),
    };
    show.view.say(format_args!(
        "API (simulated)  {}, {} ms an answer",
        simulator.url(),
        API_TAKES.as_millis()
    ));
    replicas.lines().iter().for_each(|line| show.view.say(line));

    let mut played = Played::default();
    let wants_acts = arguments.replicas.is_none() && !arguments.load_only;
    let goes_on =
        if wants_acts { show.acts(&simulator, &replicas, &mut ends, &mut played).await } else { GoesOn::Yes };
    let curl = curl_line(&simulator, &replicas);
    let (figures, observed) = match goes_on {
        GoesOn::Yes => {
            show.view.say(format_args!("\nAsk it yourself, while it runs:\n  {curl}\n"));
            show.load(&simulator, &replicas, &mut ends, arguments.duration).await
        }
        GoesOn::No => (show.figures(), Arc::default()),
    };
    if arguments.json {
        say(document(&played, &figures, &observed, &curl));
    } else {
        show.view.say(format_args!("\n{}", figures.summary(&observed).trim_end()));
        if let Some(flood) = &played.flood {
            show.view
                .say(format_args!("\nThe same flood of reads, side by side\n{}", flood.table().trim_end()));
        }
    }
    // Blocks, but nothing else runs here any more.
    replicas.stop();
    if let Some(simulator) = Arc::into_inner(simulator) {
        simulator.stop().await;
    }
    Ok(ExitCode::SUCCESS)
}

async fn start(arguments: &Arguments, simulator: &Simulator, clock: &Clock) -> Result<Replicas, Failure> {
    match arguments.replicas {
        None => Replicas::one(simulator, clock),
        Some(count) => Replicas::fleet(count, simulator, clock).await,
    }
}

/// A read with a live key, to paste.
fn curl_line(simulator: &Simulator, replicas: &Replicas) -> String {
    let organization = &simulator.world().organizations()[0];
    let (address, label) = (replicas.addresses()[0], organization.labels()[0].id);
    let key = organization.keys()[VISITOR].secret();
    format!("curl -i http://{address}/api/v2/lead-labels/{label} \\\n    -H 'Authorization: Bearer {key}'")
}

/// What a program reads of it.
fn document(played: &Played, figures: &Figures, observed: &Observed, curl: &str) -> String {
    let document = json!({
        "times": "as a client sees them, from its request to the last byte of the answer",
        "acts": played.acts,
        "flood": played.flood,
        "load": figures.document(observed),
        "curl": curl,
    });
    serde_json::to_string_pretty(&document).expect("texts and numbers have a JSON form")
}

/// What ends a demonstration before its time.
struct Ends {
    interrupted: Signal,
    terminated: Signal,
}

impl Ends {
    /// Hears from here on whatever comes, also while nobody asks.
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupted.recv() => {}
            _ = self.terminated.recv() => {}
        }
    }
}

/// Whether anybody wants to see more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GoesOn {
    Yes,
    No,
}

/// What is shown, and of what.
struct Show {
    view: View,
    metrics: Vec<Arc<Metrics>>,
    begun: Moment,
    clock: Clock,
}

impl Show {
    fn figures(&self) -> Figures {
        Figures::of(&self.metrics, self.clock.now().since(self.begun))
    }

    /// Plays the acts, with the figures below them.
    async fn acts(
        &mut self,
        simulator: &Arc<Simulator>,
        replicas: &Replicas,
        ends: &mut Ends,
        played: &mut Played,
    ) -> GoesOn {
        let (words, mut said) = mpsc::unbounded_channel();
        let stage = Stage {
            simulator: Arc::clone(simulator),
            proxy: replicas.addresses()[0],
            clock: self.clock.clone(),
            words,
        };
        let playing = stage.play();
        tokio::pin!(playing);
        let mut panel = Panel::default();
        let mut next = self.clock.now();
        let goes_on = loop {
            tokio::select! {
                biased;
                Some(word) = said.recv() => match word {
                    Word::Title(text) => self.view.say_as(Style::Title, &format!("\n{text}")),
                    Word::Outcome(text) => self.view.say_as(Style::Good, &format!("         {text}")),
                },
                () = ends.asked() => break GoesOn::No,
                () = self.clock.sleep_until(next) => {
                    next = self.clock.now().plus(Duration::from_secs(1));
                    panel.look(self.figures());
                }
                done = &mut playing => {
                    *played = done;
                    break GoesOn::Yes;
                }
            }
            let lines = panel.lines(&self.view);
            self.view.draw(&lines);
        };
        while let Ok(word) = said.try_recv() {
            if let Word::Outcome(text) = word {
                self.view.say_as(Style::Good, &format!("         {text}"));
            }
        }
        goes_on
    }

    /// Runs the load until its time is up or somebody ends it; its own figures.
    async fn load(
        &mut self,
        simulator: &Arc<Simulator>,
        replicas: &Replicas,
        ends: &mut Ends,
        duration: Option<Duration>,
    ) -> (Figures, Arc<Observed>) {
        let before = self.figures();
        let observed = Arc::<Observed>::default();
        let load = load::start(simulator, &replicas.addresses(), &self.clock, &observed);
        let begun = self.clock.now();
        let end = duration.map(|duration| begun.plus(duration));
        let mut panel = Panel::default();
        loop {
            let next = self.clock.now().plus(Duration::from_secs(1));
            let stop = end.is_some_and(|end| next.since(begun) >= end.since(begun));
            tokio::select! {
                () = self.clock.sleep_until(end.filter(|_| stop).unwrap_or(next)) => {}
                () = ends.asked() => break,
            }
            if stop {
                break;
            }
            let line = panel.look(self.figures().since(&before));
            if self.view.has_panel() {
                let lines = panel.lines(&self.view);
                self.view.draw(&lines);
            } else {
                self.view.say(line);
            }
        }
        load.stop().await;
        (self.figures().since(&before), observed)
    }
}
