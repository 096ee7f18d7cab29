//! [`Keys`]: what the store has, and what commands and scripts do to it.

use std::collections::{BTreeMap, HashMap};

use super::protocol::{Command, Out};
use crate::clock::Moment;
use crate::fleet::account::model::{Asked, Kept, Model};
use crate::fleet::control::simulation::model::Store as Control;
use crate::fleet::control::{ControlScript, Reply, Spelling};
use crate::shield::booking::ProbeFate;

/// A script, known by its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Control(ControlScript),
    LookUp,
    LookUpProof,
    PeekProof,
    KeepProof,
    TakeOut,
    TakeOutProof,
    Extend,
    Free,
    Book,
    Gate,
    Refused,
    Spent,
    Introduce,
    Roster,
}

macro_rules! lua {
    ($path:literal) => {
        include_str!(concat!("../../../fleet/", $path))
    };
}

impl Script {
    fn of(body: &str) -> Self {
        let control = ControlScript::ALL.iter().find(|script| script.body(Spelling::Flagged) == body);
        if let Some(control) = control {
            return Self::Control(*control);
        }
        let known = [
            (lua!("tier/scripts/look_up.lua"), Self::LookUp),
            (lua!("tier/scripts/look_up_proof.lua"), Self::LookUpProof),
            (lua!("tier/scripts/peek_proof.lua"), Self::PeekProof),
            (lua!("tier/scripts/keep_proof.lua"), Self::KeepProof),
            (lua!("tier/scripts/take_out.lua"), Self::TakeOut),
            (lua!("tier/scripts/take_out_proof.lua"), Self::TakeOutProof),
            (lua!("tier/scripts/extend.lua"), Self::Extend),
            (lua!("tier/scripts/free.lua"), Self::Free),
            (lua!("account/book.lua"), Self::Book),
            (lua!("account/gate.lua"), Self::Gate),
            (lua!("account/refused.lua"), Self::Refused),
            (lua!("account/spent.lua"), Self::Spent),
            ("return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])", Self::Introduce),
        ];
        if body.starts_with("local reply = {}\nlocal members = redis.call('ZRANGE', KEYS[1]") {
            return Self::Roster;
        }
        let script = known.into_iter().find(|(text, _)| *text == body);
        script.expect("a script that is modelled").1
    }
}

#[derive(Clone, Debug)]
struct Value {
    value: Vec<u8>,
    until: u64,
}

/// Fields, and until when all of them last.
type Fields = (BTreeMap<Vec<u8>, Vec<u8>>, u64);

pub(super) struct Keys {
    run: u64,
    scripts: HashMap<Vec<u8>, Script>,
    control: Control,
    accounts: Model,
    numbers: HashMap<Vec<u8>, u64>,
    values: BTreeMap<Vec<u8>, Value>,
    /// Fields of names, and until when a name lasts.
    hashes: BTreeMap<Vec<u8>, Fields>,
    /// What was stored once: somebody may have kept it.
    old: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Keys {
    pub(super) fn new(run: u64) -> Self {
        Self {
            run,
            scripts: HashMap::new(),
            control: Control::new(None),
            accounts: Model::default(),
            numbers: HashMap::new(),
            values: BTreeMap::new(),
            hashes: BTreeMap::new(),
            old: Vec::new(),
        }
    }

    /// What another process has.
    pub(super) fn restarted(&self) -> Self {
        Self::new(self.run + 1)
    }

    pub(super) fn flush(&mut self) {
        let scripts = std::mem::take(&mut self.scripts);
        *self = Self { scripts, ..Self::new(self.run) };
    }

    pub(super) fn evict(&mut self) {
        self.values.clear();
        self.hashes.clear();
        self.accounts = Model::default();
    }

    /// Two values change places, and one is as it was once.
    pub(super) fn tamper(&mut self, chance: &mut fastrand::Rng) {
        let names: Vec<_> = self.values.keys().cloned().collect();
        if let (Some(one), Some(other)) = (chance.choice(names.clone()), chance.choice(names)) {
            let value = self.values[&one].value.clone();
            let other = self.values.get_mut(&other).map(|kept| std::mem::replace(&mut kept.value, value));
            if let (Some(kept), Some(other)) = (self.values.get_mut(&one), other) {
                kept.value = other;
            }
        }
        if let Some((name, value)) = chance.choice(self.old.clone()) {
            self.values.insert(name, Value { value, until: u64::MAX });
        }
    }

    pub(super) fn run(&mut self, command: &Command, now: Moment, out: &mut Out) {
        match command.word(0) {
            b"HELLO" => out.bytes.extend(b"%1\r\n$5\r\nproto\r\n:3\r\n"),
            b"SELECT" => out.status("OK"),
            b"ROLE" => out.reply(&Reply::List(vec![Reply::Bytes(b"master".to_vec())])),
            b"INFO" => {
                let info = format!("# Server\r\nredis_version:7.2.4\r\nrun_id:run{}\r\n", self.run);
                out.reply(&Reply::Bytes(info.into_bytes()));
            }
            b"SUBSCRIBE" => out.subscribe(command.word(1)),
            b"SET" => {
                let (name, value) = (command.word(1), command.word(2));
                self.set(name, value, micros(now) + 1000 * digits(command.word(4)));
                self.old.push((name.to_vec(), value.to_vec()));
                if self.old.len() > 64 {
                    self.old.remove(0);
                }
                out.status("OK");
            }
            b"EVALSHA" => match self.scripts.get(command.word(1)).copied() {
                Some(script) => self.call(script, command, now, out),
                None => out.error("NOSCRIPT No matching script."),
            },
            b"EVAL" => {
                let body = command.word(1);
                let script = Script::of(std::str::from_utf8(body).expect("a script"));
                self.scripts.insert(sha1(body), script);
                self.call(script, command, now, out);
            }
            other => panic!("{} is not modelled", String::from_utf8_lossy(other)),
        }
    }

    fn call(&mut self, script: Script, command: &Command, now: Moment, out: &mut Out) {
        let count = usize::try_from(digits(command.word(2))).expect("a count");
        let (keys, args) = command.0[3..].split_at(count);
        let time = micros(now);
        let reply = match script {
            Script::Control(script) => {
                let (reply, bells) = self.control.call(script, args, time);
                out.bells.extend(bells.into_iter().map(|bell| (args[3].clone(), bell)));
                reply
            }
            Script::Introduce => Reply::Bytes(b"OK".to_vec()),
            // Nobody here asks who they are.
            Script::Roster => Reply::List(Vec::new()),
            Script::LookUp => self.look_up(keys, args, time),
            Script::LookUpProof => self.look_up_proof(keys, args, time),
            Script::PeekProof => self.field(&keys[0], &args[0], time).map_or(Reply::Nil, Reply::Bytes),
            Script::KeepProof => {
                let fields = self.hashes.entry(keys[0].clone()).or_default();
                fields.0.insert(args[0].clone(), args[1].clone());
                fields.1 = time + 1000 * digits(&args[2]);
                Reply::Int(1)
            }
            Script::TakeOut => {
                let gone =
                    |key: &Vec<u8>| self.values.remove(key).is_some() | self.hashes.remove(key).is_some();
                let count = keys.iter().map(gone).filter(|gone| *gone).count();
                Reply::Int(i64::try_from(count).expect("few"))
            }
            Script::TakeOutProof => {
                let had = self.field(&keys[0], &args[0], time).is_some();
                if had && let Some((fields, _)) = self.hashes.get_mut(&keys[0]) {
                    fields.insert(args[0].clone(), Vec::new());
                }
                Reply::Int(had.into())
            }
            Script::Extend => {
                let held = self.get(&keys[0], time).is_some_and(|held| held.starts_with(&args[0]));
                if held {
                    self.set(
                        &keys[0],
                        &[args[0].as_slice(), &args[1]].concat(),
                        time + 1000 * digits(&args[2]),
                    );
                }
                Reply::Int(held.into())
            }
            Script::Free => {
                let held = self.get(&keys[0], time).is_some_and(|held| held.starts_with(&args[0]));
                if held {
                    self.values.remove(&keys[0]);
                }
                Reply::Int(held.into())
            }
            Script::Book | Script::Gate | Script::Refused | Script::Spent => {
                self.account(script, keys, args, time)
            }
        };
        out.reply(&reply);
    }

    fn get(&self, name: &[u8], time: u64) -> Option<&Vec<u8>> {
        self.values.get(name).filter(|kept| kept.until > time).map(|kept| &kept.value)
    }

    fn set(&mut self, name: &[u8], value: &[u8], until: u64) {
        self.values.insert(name.to_vec(), Value { value: value.to_vec(), until });
    }

    fn field(&self, name: &[u8], field: &[u8], time: u64) -> Option<Vec<u8>> {
        let (fields, until) = self.hashes.get(name)?;
        fields.get(field).filter(|value| *until > time && !value.is_empty()).cloned()
    }

    fn look_up(&mut self, keys: &[Vec<u8>], args: &[Vec<u8>], time: u64) -> Reply {
        let values: Vec<_> = keys[2..]
            .iter()
            .zip(&args[2..])
            .map(|(key, unfit)| {
                let value = self.get(key, time)?;
                let is_unfit = value.is_empty() || !unfit.is_empty() && value.starts_with(unfit);
                (!is_unfit).then(|| value.clone())
            })
            .collect();
        if values.iter().any(Option::is_some) {
            let values = values.into_iter().map(|value| value.map_or(Reply::Nil, Reply::Bytes));
            return Reply::List(std::iter::once(Reply::Int(0)).chain(values).collect());
        }
        if keys[1] != keys[0]
            && let Some(reads) = self.get(&keys[1], time)
        {
            return Reply::List(vec![Reply::Int(3), Reply::Bytes(reads.clone())]);
        }
        self.lock(&keys[0], args, time)
    }

    fn look_up_proof(&mut self, keys: &[Vec<u8>], args: &[Vec<u8>], time: u64) -> Reply {
        let proof = self.field(&keys[0], &args[2], time);
        if let Some(proof) = proof.filter(|proof| args[3].is_empty() || !proof.starts_with(&args[3])) {
            return Reply::List(vec![Reply::Int(0), Reply::Bytes(proof)]);
        }
        self.lock(&keys[1], args, time)
    }

    fn lock(&mut self, name: &[u8], args: &[Vec<u8>], time: u64) -> Reply {
        if let Some(held) = self.get(name, time) {
            return Reply::List(vec![Reply::Int(2), Reply::Bytes(held.clone())]);
        }
        self.set(name, &[args[0].as_slice(), b"b"].concat(), time + 1000 * digits(&args[1]));
        Reply::List(vec![Reply::Int(1)])
    }

    /// Which account it is, by the name of its moments or of its gate.
    fn number(&mut self, name: &[u8]) -> u64 {
        let name = name.strip_suffix(b":gate").unwrap_or(name).to_vec();
        let next = self.numbers.len() as u64;
        *self.numbers.entry(name).or_insert(next)
    }

    fn account(&mut self, script: Script, keys: &[Vec<u8>], args: &[Vec<u8>], time: u64) -> Reply {
        let first = self.number(&keys[0]);
        let second = keys.get(2).map(|name| self.number(name));
        let accounts: Vec<_> = std::iter::once(first).chain(second).collect();
        let at = |at: usize| digits(&args[at]);
        let asked = |timeout, per_second, per_minute| Asked {
            accounts: &accounts,
            timeout,
            patience: 0,
            not_before: 0,
            background: false,
            paced: false,
            probe: 0,
            per_second,
            per_minute,
        };
        match script {
            Script::Book => {
                let asked = Asked {
                    patience: at(1),
                    not_before: at(2),
                    background: args[3] == b"background",
                    paced: args[4] == b"paced",
                    probe: at(5),
                    ..asked(at(0), at(6), at(7))
                };
                let numbers = self.accounts.book(&asked, time);
                let int = |number| Reply::Int(i64::try_from(number).expect("below 2^53"));
                return Reply::List(numbers.into_iter().map(int).collect());
            }
            Script::Gate if args[0] == b"hold" => self.accounts.hold(first, at(1), time),
            Script::Gate => {
                let fate = if args[0] == b"passed" { ProbeFate::Passed } else { ProbeFate::Lost };
                self.accounts.probed(first, at(1), fate);
            }
            Script::Refused => self.accounts.refused(&asked(at(0), at(2), at(3)), at(1), time),
            _ => {
                let kept = Kept { moments: at(2), per_second: at(3) };
                self.accounts.spent_within(first, at(1), kept, time);
            }
        }
        Reply::Nil
    }
}

/// The store's time.
fn micros(now: Moment) -> u64 {
    u64::try_from(now.unix().as_micros()).expect("this side of the year 500,000")
}

fn digits(text: &[u8]) -> u64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a number")
}

fn sha1(body: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, body);
    hash.as_ref().iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}
