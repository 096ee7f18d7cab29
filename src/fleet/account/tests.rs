//! The scripts on real servers against [`Model`]: the same calls at the same times must have the same answers.

mod carried;
mod server;

use fastrand::Rng;

use self::server::{Engine, Server};
use super::model::{Asked, Kept, Model};
use super::script::{BOOK, GATE, REFUSED, SPENT};
use crate::fleet::store::Script;
use crate::shield::booking::ProbeFate;

const ENGINES: [Engine; 2] = [Engine::Redis, Engine::Valkey];
const SECOND: u64 = 1_000_000;
const TIMEOUT: u64 = 50_000;

/// A script that is told the time by its last two arguments, so that a test can move it.
fn timed(script: &str) -> String {
    let timed = script.replace("redis.call('TIME')", "{ ARGV[#ARGV - 1], ARGV[#ARGV] }");
    assert_ne!(timed, script);
    timed
}

/// A store beside its model.
struct Both {
    server: Server,
    model: Model,
    now: u64,
}

impl Both {
    fn new(engine: Engine) -> Self {
        Self { server: Server::start(engine), model: Model::default(), now: 1_764_306_000_123_456 }
    }

    fn run(&mut self, script: &'static Script, accounts: &[u64], args: &[String]) -> Vec<u64> {
        let keys: Vec<String> = match script.name() {
            "gate" => accounts.iter().map(|account| format!("{account}:gate")).collect(),
            "spent" => accounts.iter().map(|account| account.to_string()).collect(),
            _ => {
                accounts.iter().flat_map(|account| [account.to_string(), format!("{account}:gate")]).collect()
            }
        };
        let time = [(self.now / SECOND).to_string(), (self.now % SECOND).to_string()];
        let args: Vec<String> = args.iter().cloned().chain(time).collect();
        self.server.eval(&timed(script.body()), &keys, &args)
    }

    fn book(&mut self, asked: &Asked<'_>) -> [u64; 5] {
        let urgency = if asked.background { "background" } else { "waits" };
        let spacing = if asked.paced { "paced" } else { "free" };
        let head = [asked.timeout, asked.patience, asked.not_before].map(|number| number.to_string());
        let limits = asked.accounts.iter().flat_map(|_| [asked.per_second, asked.per_minute]);
        let args: Vec<String> = head
            .into_iter()
            .chain([urgency.to_owned(), spacing.to_owned(), asked.probe.to_string()])
            .chain(limits.map(|limit| limit.to_string()))
            .collect();
        let real = self.run(&BOOK, asked.accounts, &args);
        let told = self.model.book(asked, self.now);
        assert_eq!(real, told, "{asked:?}");
        told
    }

    fn hold(&mut self, account: u64, lasts: u64) {
        self.run(&GATE, &[account], &["hold".to_owned(), lasts.to_string()]);
        self.model.hold(account, lasts, self.now);
    }

    fn probed(&mut self, account: u64, probe: u64, fate: ProbeFate) {
        let word = match fate {
            ProbeFate::Passed => "passed",
            ProbeFate::Lost => "lost",
        };
        self.run(&GATE, &[account], &[word.to_owned(), probe.to_string()]);
        self.model.probed(account, probe, fate);
    }

    fn refused(&mut self, asked: &Asked<'_>, sent: u64) {
        let args = [asked.timeout, sent, asked.per_second, asked.per_minute].map(|number| number.to_string());
        self.run(&REFUSED, &asked.accounts[..1], &args);
        self.model.refused(asked, sent, self.now);
    }

    fn spent(&mut self, account: u64, calls: u64, kept: Kept) {
        let args = [TIMEOUT, calls, kept.moments, kept.per_second].map(|number| number.to_string());
        self.run(&SPENT, &[account], &args);
        self.model.spent_within(account, calls, kept, self.now);
    }
}

fn asked(accounts: &[u64]) -> Asked<'_> {
    Asked {
        accounts,
        timeout: TIMEOUT,
        patience: 0,
        not_before: 0,
        background: false,
        paced: false,
        probe: 1,
        per_second: 90,
        per_minute: 5400,
    }
}

/// Random calls at random times, some of them after the clock was set back. Prints its seed.
#[test]
fn the_scripts_mean_what_the_model_means() {
    let given = std::env::vars().find(|(name, _)| name == "SEED").and_then(|(_, seed)| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    for engine in ENGINES {
        let mut random = Rng::with_seed(seed);
        let mut both = Both::new(engine);
        let mut kinds = [0; 3];
        let mut latest = both.now;
        for round in 0..40 {
            let (per_second, per_minute) = (random.u64(1..8), random.u64(1..40));
            for step in 0..100 {
                both.now += random.u64(0..SECOND / per_second);
                if random.u8(..) == 0 {
                    both.now -= random.u64(0..20 * SECOND);
                } else if random.u8(..) < 2 {
                    both.now += random.u64(0..90 * SECOND);
                }
                let (first, second) = (random.u64(0..3), random.u64(3..5));
                let accounts = [first, second];
                let probe = round * 100 + step + 1;
                let asked = Asked {
                    accounts: if random.bool() { &accounts } else { &accounts[..1] },
                    patience: random.u64(0..6 * SECOND),
                    not_before: if random.u8(..) < 30 { random.u64(0..SECOND) } else { 0 },
                    background: random.u8(..) < 30,
                    paced: random.bool(),
                    probe,
                    per_second,
                    per_minute,
                    ..asked(&[])
                };
                match random.u8(..) {
                    0..2 => both.hold(first, random.u64(0..200 * SECOND)),
                    2..10 => both.hold(first, random.u64(0..2 * SECOND)),
                    10..40 => {
                        let fate = if random.bool() { ProbeFate::Passed } else { ProbeFate::Lost };
                        both.probed(first, probe - random.u64(0..probe.min(5)), fate);
                    }
                    40..50 => both.refused(&asked, latest),
                    50..55 => {
                        let kept = Kept { moments: per_second.max(per_minute), per_second };
                        both.spent(first, random.u64(0..2500), kept);
                    }
                    _ => {
                        let [kind, wait, now, ..] = both.book(&asked);
                        kinds[usize::try_from(kind).unwrap()] += 1;
                        latest = now + wait;
                    }
                }
            }
        }
        for account in 0..5 {
            assert_eq!(both.server.list(&account.to_string()), both.model.moments(account), "{engine:?}");
        }
        assert!(kinds.iter().all(|count| *count > 20), "every answer was given: {kinds:?}");
    }
}

/// Whatever the second account is full of, the first is not booked further ahead than its own calls would be.
#[test]
fn an_account_that_is_far_behind_takes_no_moment_of_the_other_with_it() {
    for engine in ENGINES {
        let mut both = Both::new(engine);
        both.book(&Asked { accounts: &[2], patience: 4 * SECOND, not_before: 0, ..asked(&[]) });
        both.spent(2, 90, Kept { moments: 5400, per_second: 90 });
        let acting = Asked { accounts: &[1, 2], patience: 4 * SECOND, ..asked(&[]) };
        let [kind, wait, ..] = both.book(&acting);
        assert_eq!((kind, wait), (1, SECOND + TIMEOUT), "{engine:?}: nothing is booked");
        assert_eq!(both.book(&asked(&[1]))[..2], [0, 0], "{engine:?}: the first account is as it was");
        both.now += SECOND;
        assert_eq!(both.book(&acting)[..2], [0, TIMEOUT], "{engine:?}: the moments are close to each other");
        // As a Cluster asks, where the other account has a moment that is far ahead.
        let beside = Asked { accounts: &[3], not_before: 3 * SECOND, patience: 4 * SECOND, ..asked(&[]) };
        assert_eq!(both.book(&beside)[..2], [1, 3 * SECOND], "{engine:?}");
        assert_eq!(both.book(&asked(&[3]))[..2], [0, 0], "{engine:?}");
    }
}

/// Nobody books so far ahead: an account whose last moment lies there has nothing to wait for.
#[test]
fn a_clock_that_was_set_back_by_more_than_anybody_books_ahead_shuts_no_account() {
    for engine in ENGINES {
        let mut both = Both::new(engine);
        both.book(&asked(&[1]));
        both.now -= 4 * SECOND + TIMEOUT + 1;
        let patient = Asked { patience: 2 * SECOND, ..asked(&[1]) };
        assert_eq!(both.book(&patient)[..2], [0, SECOND + TIMEOUT], "{engine:?}: as after a full second");
    }
}

/// The commands of the ACL that `docs/FLEET.md` gives.
const ALLOWED: &str = "+ping +info +role +eval +evalsha +subscribe +ssubscribe +publish +spublish +get +set +del +pexpire +time \
                       +zadd +zrem +zcard +zcount +zscore +zrange +zrangebyscore +zremrangebyrank +lindex +lpush +ltrim +hset \
                       +hget";

#[test]
fn the_scripts_need_no_more_than_the_stores_user_may() {
    for engine in ENGINES {
        let mut server = Server::start(engine);
        let user = ["ACL", "SETUSER", "fleet", "on", ">secret", "-@all", "~f:*", "&f:*"];
        server.ask(&user.into_iter().chain(ALLOWED.split_whitespace()).collect::<Vec<_>>());
        server.ask(&["AUTH", "fleet", "secret"]);
        let keys = ["f:a".to_owned(), "f:a:gate".to_owned()];
        let mut run = |script: &Script, keys: &[String], args: &[&str]| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            server.eval(script.body(), keys, &args)
        };
        run(&GATE, &keys[1..], &["hold", "0"]);
        let booked = run(&BOOK, &keys, &["50000", "0", "0", "waits", "free", "7", "90", "5400"]);
        assert!(matches!(booked[..], [0, 0, _, 1, 1000]), "{engine:?}: a probe: {booked:?}");
        run(&GATE, &keys[1..], &["passed", "7"]);
        run(&REFUSED, &keys, &["50000", &booked[2].to_string(), "90", "5400"]);
        run(&SPENT, &keys[..1], &["50000", "3", "5400", "90"]);
        let booked = run(&BOOK, &keys, &["50000", "0", "0", "waits", "free", "8", "90", "5400"]);
        assert!(matches!(booked[..], [0, 0, _, 0, 500]), "{engine:?}: lowered to one half: {booked:?}");
    }
}
