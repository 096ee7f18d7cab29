//! What goes wrong in the simulated API, in words: on the command line, and line by line while it runs.
//!
//! `latency=200ms`, `fail=503`, `limited` or `limited=5` (its `Retry-After`), `lose=500` (done, and answered so), `cut=100` (bytes),
//! `lag=2s` (reads behind writes), `hang`, `disconnect`, `edge-block`; each with `/N` behind it for every Nth request alone. `clear`
//! ends all of them.

use std::io::{self, BufRead};
use std::thread;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tokio::sync::mpsc;

use super::say::say;
use crate::simulator::{Aim, Fault, Simulator};

/// A fault and whom it hits.
#[derive(Clone, Debug)]
pub(super) struct Armed {
    aim: Aim,
    fault: Fault,
}

impl Armed {
    /// Of its words.
    ///
    /// # Errors
    ///
    /// With what is allowed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (words, every) = match text.rsplit_once('/') {
            Some((words, every)) => (words, every.parse::<u64>().ok().filter(|every| *every > 0)),
            None => (text, Some(1)),
        };
        let (name, value) = words.split_once('=').map_or((words, None), |(name, value)| (name, Some(value)));
        let status =
            || StatusCode::from_bytes(value?.as_bytes()).ok().filter(|status| status.as_u16() >= 400);
        let duration =
            || value.and_then(|value| humantime::parse_duration(value).ok()).filter(|time| *time < LONGEST);
        let fault = match (name, value) {
            ("latency", _) => duration().map(Fault::Latency),
            ("fail", _) => status().map(Fault::Status),
            ("limited", None) => Some(Fault::TooManyRequests(None)),
            ("limited", Some(value)) => {
                HeaderValue::from_str(value).ok().map(|value| Fault::TooManyRequests(Some(value)))
            }
            ("lose", _) => status().map(Fault::LoseAnswer),
            ("cut", Some(value)) => value.parse().ok().map(Fault::Cut),
            ("lag", _) => duration().map(Fault::ReplicationLag),
            ("hang", None) => Some(Fault::Hang),
            ("disconnect", None) => Some(Fault::Disconnect),
            ("edge-block", None) => Some(Fault::EdgeBlock),
            _ => None,
        };
        match (fault, every) {
            (Some(fault), Some(every)) => Ok(Self { aim: Aim::everything().every(every), fault }),
            _ => Err(format!("{text:?} is no fault: {ALLOWED}")),
        }
    }

    /// From now on it happens.
    pub(super) fn arm(self, simulator: &Simulator) {
        simulator.faults().arm(self.aim, self.fault);
    }
}

/// What a line may be.
const ALLOWED: &str = "latency=200ms, fail=503, limited, limited=5, lose=500, cut=100, lag=2s, hang, disconnect or edge-block, \
                       each with /N behind it for every Nth request alone; clear ends all";
/// More is a mistake in the unit.
const LONGEST: Duration = Duration::from_secs(3600);

/// Arms what stands on lines of standard input, until that ends; then waits for ever.
pub(super) async fn follow_input(simulator: &Simulator) {
    let (sender, mut lines) = mpsc::channel(1);
    // On a thread that nobody waits for: a read of a terminal cannot be called off.
    let reading = move || {
        let lines = io::stdin().lock().lines().map_while(Result::ok);
        for line in lines {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    };
    // Without it nothing more can be armed, which is no reason to end.
    let _ = thread::Builder::new().name("input".to_owned()).spawn(reading);
    while let Some(line) = lines.recv().await {
        match line.trim() {
            "" => {}
            "clear" => {
                simulator.faults().clear();
                say("nothing goes wrong any more");
            }
            words => match Armed::parse(words) {
                Ok(armed) => {
                    armed.arm(simulator);
                    say(format_args!("from now on: {words}"));
                }
                Err(error) => say(error),
            },
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_armed_by_their_words() {
        for (words, fault) in [
            ("latency=200ms", "Latency(200ms)"),
            ("fail=503", "Status(503)"),
            ("fail=503/10", "Status(503)"),
            ("limited", "TooManyRequests(None)"),
            ("limited=5", "TooManyRequests(Some(\"5\"))"),
            ("lose=500", "LoseAnswer(500)"),
            ("cut=100", "Cut(100)"),
            ("lag=2s", "ReplicationLag(2s)"),
            ("hang", "Hang"),
            ("disconnect", "Disconnect"),
            ("edge-block/2", "EdgeBlock"),
        ] {
            let armed = Armed::parse(words).unwrap();
            assert_eq!(format!("{:?}", armed.fault), fault, "{words}");
        }
        for bad in [
            "",
            "latency",
            "latency=fast",
            "latency=2h",
            "fail=200",
            "fail",
            "hang=1",
            "fail=503/0",
            "fail=503/x",
        ] {
            assert!(Armed::parse(bad).unwrap_err().contains("latency=200ms"), "{bad}");
        }
    }
}
