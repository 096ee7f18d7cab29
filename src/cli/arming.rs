//! What goes wrong in the simulated API, in words: on the command line, and line by line while it runs.
//!
//! `latency=200ms`, `fail=503`, `limited` or `limited=5` (its `Retry-After`), `lose=500` (done, and answered so), `cut=100` (bytes),
//! `lag=2s` (reads behind writes), `member="a":1` (every label has it), `answer=200:{}` (a body in place of everything), `hang`,
//! `disconnect`, `edge-block`. Behind each may stand `@OPERATION` for requests of one kind alone, such as `@read_label`, and then
//! `/N` for every Nth of them alone. `limit=50` and `limit-per-minute=600` set the rate windows anew, `revoke=3` and `restore=3` are
//! for the key of that number, `drop` ends every connection. `clear` ends all faults.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::mpsc;

use super::say::say;
use crate::simulator::{Aim, Canned, Fault, Key, Limits, Operation, Simulator};

/// What is to go otherwise from now on.
#[derive(Clone, Debug)]
pub(super) enum Armed {
    /// A fault and whom it hits.
    Fault(Aim, Fault),
    /// Calls in any second.
    Limit(usize),
    /// Calls in any minute.
    LimitPerMinute(usize),
    /// The key of this number is refused.
    Revoke(usize),
    /// It is not, any more.
    Restore(usize),
    /// Every open connection ends.
    Drop,
    /// Every fault ends.
    Clear,
}

impl Armed {
    /// Of its words.
    ///
    /// # Errors
    ///
    /// With what is allowed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let armed = control(text).or_else(|| {
            let (words, every) = every(text);
            let (words, operation) = operation(words);
            let aim =
                operation.map_or_else(Aim::everything, |operation| Aim::everything().operation(operation));
            Some(Self::Fault(aim.every(every), fault(words)?))
        });
        armed.ok_or_else(|| format!("{text:?} is no fault: {ALLOWED}"))
    }

    /// From now on it is so; `limits` are those that hold.
    ///
    /// # Errors
    ///
    /// If there is no such key.
    pub(super) fn arm(self, simulator: &Simulator, limits: &mut Limits) -> Result<(), String> {
        match self {
            Self::Fault(aim, fault) => drop(simulator.faults().arm(aim, fault)),
            Self::Limit(per_second) => {
                limits.per_second = per_second;
                simulator.set_limits(*limits);
            }
            Self::LimitPerMinute(per_minute) => {
                limits.per_minute = per_minute;
                simulator.set_limits(*limits);
            }
            Self::Revoke(number) => simulator.revoke(key(simulator, number)?),
            Self::Restore(number) => simulator.restore(key(simulator, number)?),
            Self::Drop => simulator.disconnect(),
            Self::Clear => simulator.faults().clear(),
        }
        Ok(())
    }
}

fn key(simulator: &Simulator, number: usize) -> Result<&Key, String> {
    let world = simulator.world();
    let mut keys = world.organizations().iter().chain([world.admin()]).flat_map(|one| one.keys());
    keys.find(|key| key.index() == number).ok_or_else(|| format!("there is no key {number}"))
}

/// What is no fault of a request.
fn control(text: &str) -> Option<Armed> {
    let number = |name: &str| text.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    match text {
        "drop" => Some(Armed::Drop),
        "clear" => Some(Armed::Clear),
        _ => number("limit")
            .map(Armed::Limit)
            .or_else(|| number("limit-per-minute").map(Armed::LimitPerMinute))
            .or_else(|| number("revoke").map(Armed::Revoke))
            .or_else(|| number("restore").map(Armed::Restore)),
    }
}

/// Words without the `/N` at their end, and N.
fn every(text: &str) -> (&str, u64) {
    let split = text.rsplit_once('/').and_then(|(words, every)| Some((words, every.parse::<u64>().ok()?)));
    split.filter(|(_, every)| *every > 0).unwrap_or((text, 1))
}

/// Words without the `@OPERATION` at their end, and which it is.
fn operation(words: &str) -> (&str, Option<Operation>) {
    let named = |name: &str| Operation::ALL.iter().copied().find(|operation| operation.as_str() == name);
    let split = words.rsplit_once('@').and_then(|(words, name)| Some((words, Some(named(name)?))));
    split.unwrap_or((words, None))
}

fn fault(words: &str) -> Option<Fault> {
    let (name, value) = words.split_once('=').map_or((words, None), |(name, value)| (name, Some(value)));
    let error = || StatusCode::from_bytes(value?.as_bytes()).ok().filter(|status| status.as_u16() >= 400);
    let duration =
        || value.and_then(|value| humantime::parse_duration(value).ok()).filter(|time| *time < LONGEST);
    match (name, value) {
        ("latency", _) => duration().map(Fault::Latency),
        ("fail", _) => error().map(Fault::Status),
        ("limited", None) => Some(Fault::TooManyRequests(None)),
        ("limited", Some(value)) => {
            // Neither a number nor a date has one of these: an operation that there is not, or an N that is none.
            let value = HeaderValue::from_str(value).ok().filter(|_| !value.contains(['@', '/']));
            value.map(|value| Fault::TooManyRequests(Some(value)))
        }
        ("lose", _) => error().map(Fault::LoseAnswer),
        ("cut", Some(value)) => value.parse().ok().map(Fault::Cut),
        ("lag", _) => duration().map(Fault::ReplicationLag),
        ("member", Some(member)) => {
            // What it is put into is to stay JSON.
            let object = format!("{{{member}}}");
            let is_one =
                serde_json::from_str::<serde_json::Map<_, _>>(&object).is_ok_and(|map| map.len() == 1);
            is_one.then(|| Fault::ExtraMember(member.into()))
        }
        ("answer", Some(answer)) => {
            let (status, body) = answer.split_once(':')?;
            let status =
                StatusCode::from_bytes(status.as_bytes()).ok().filter(|status| status.as_u16() >= 200)?;
            let fields = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
            Some(Fault::Canned(Arc::new(Canned { status, fields, body: body.to_owned().into() })))
        }
        ("hang", None) => Some(Fault::Hang),
        ("disconnect", None) => Some(Fault::Disconnect),
        ("edge-block", None) => Some(Fault::EdgeBlock),
        _ => None,
    }
}

/// What a line may be.
const ALLOWED: &str = "latency=200ms, fail=503, limited, limited=5, lose=500, cut=100, lag=2s, member=\"a\":1, answer=200:{}, hang, \
                       disconnect or edge-block, each with @OPERATION behind it, such as @read_label, for those requests alone, and \
                       with /N for every Nth of them alone; or limit=50, limit-per-minute=600, revoke=KEY, restore=KEY, drop; \
                       clear ends all faults";
/// More is a mistake in the unit.
const LONGEST: Duration = Duration::from_secs(3600);

/// Arms what stands on lines of standard input, until that ends; then waits for ever.
pub(super) async fn follow_input(simulator: &Simulator, mut limits: Limits) {
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
        let words = line.trim();
        if words.is_empty() {
            continue;
        }
        match Armed::parse(words).and_then(|armed| armed.arm(simulator, &mut limits)) {
            Ok(()) if words == "clear" => say("nothing goes wrong any more"),
            Ok(()) => say(format_args!("from now on: {words}")),
            Err(error) => say(error),
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
            ("fail=503@list_labels/3", "Status(503)"),
            (r#"member="access_grants":[]"#, r#"ExtraMember("\"access_grants\":[]")"#),
        ] {
            let Armed::Fault(_, armed) = Armed::parse(words).unwrap() else { panic!("{words} is a fault") };
            assert_eq!(format!("{armed:?}"), fault, "{words}");
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
            "fail=503@no_such_operation",
            "limited=5/0",
            "limited=5@no_such_operation",
            "member=1",
            r#"member="a":1,"b":2"#,
            "answer=100:",
            "answer=200",
            "limit=many",
            "revoke",
        ] {
            assert!(Armed::parse(bad).unwrap_err().contains("latency=200ms"), "{bad}");
        }
    }

    #[tokio::test]
    async fn whom_a_fault_hits_limits_and_keys_are_said_in_words_too() {
        let simulator =
            Simulator::start(crate::simulator::SimulatorConfig::default(), crate::clock::Clock::system())
                .await;
        let simulator = simulator.unwrap();
        let mut limits = Limits::default();
        let mut say = |words: &str| Armed::parse(words).and_then(|armed| armed.arm(&simulator, &mut limits));
        for words in
            ["limit=7", "limit-per-minute=70", "revoke=3", "answer=200:{}@list_labels/2", "drop", "clear"]
        {
            say(words).unwrap();
        }
        let key = &simulator.world().organizations()[0].keys()[3];
        assert!(key.is_revoked());
        say("restore=3").unwrap();
        assert!(!key.is_revoked());
        assert_eq!(say("revoke=1000").unwrap_err(), "there is no key 1000");
        assert_eq!((limits.per_second, limits.per_minute), (7, 70));
        let Armed::Fault(aim, _) = Armed::parse("fail=503@read_label/10").unwrap() else {
            panic!("it is a fault")
        };
        assert_eq!(
            format!("{aim:?}"),
            format!("{:?}", Aim::everything().operation(Operation::ReadLabel).every(10))
        );
    }
}
