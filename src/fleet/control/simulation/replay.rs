//! The same random calls on real servers and on the model: every reply, and all that the bell brings, is the same.

use super::super::{ControlScript, PARTS, Reply, Spelling};
use super::model::Store;
use super::resp::{Connection, ENGINES, RealServer, Sent};
use super::seed;

const CALLS: u32 = 4000;
const CHANNEL: &[u8] = b"fleet:{fleet}:bell";
const PAGE: u64 = 3;
const LOG: u64 = 8;
const MEMBERS: u64 = 5;

/// What the scripts may do: of the user that `docs/FLEET.md` gives to the fleet, what they need.
const ACL: &str = "on nopass -@all ~fleet:* &fleet:* +eval +publish +time +hget +hset +del +zadd +zrem +zcard +zcount \
                   +zscore +zrange +zrangebyscore +zremrangebyrank";

struct Replay {
    asks: Connection,
    /// Who may do everything.
    admin: Connection,
    hears: Connection,
    spelling: Spelling,
    model: Store,
    random: fastrand::Rng,
    keys: [Vec<u8>; 5],
    run_id: Vec<u8>,
    history: Vec<u8>,
    calls: u64,
    numbers: Vec<u64>,
    count: u64,
    open: Vec<Vec<u8>>,
}

impl Replay {
    fn new(server: &RealServer, spelling: Spelling, seed: u64) -> Self {
        let mut hears = server.connect();
        hears.send(&[b"SUBSCRIBE", CHANNEL]);
        assert!(matches!(hears.read(), Sent::Push(_)));
        let (mut asks, mut admin) = (server.connect(), server.connect());
        let mut user: Vec<&[u8]> = vec![b"ACL", b"SETUSER", b"fleet"];
        user.extend(ACL.split_whitespace().map(str::as_bytes));
        admin.ask(&user).unwrap();
        asks.ask(&[b"AUTH", b"fleet", b"any"]).unwrap();
        Self {
            asks,
            admin,
            hears,
            spelling,
            model: Store::new(None),
            random: fastrand::Rng::with_seed(seed),
            keys: PARTS.map(|part| format!("fleet:{{fleet}}:{part}").into_bytes()),
            run_id: b"first".to_vec(),
            history: Vec::new(),
            calls: 0,
            numbers: vec![0],
            count: 0,
            open: Vec::new(),
        }
    }

    /// What came by the bell up to now.
    fn heard(&mut self) -> Vec<Vec<u8>> {
        self.hears.send(&[b"PING"]);
        let mut heard = Vec::new();
        while let Sent::Push(mut push) = self.hears.read() {
            let Some(Reply::Bytes(message)) = push.pop() else { panic!("{push:?}") };
            heard.push(message);
        }
        heard
    }

    fn any_number(&mut self) -> u64 {
        let near = self.numbers.len().saturating_sub(12);
        let at = self.random.usize(near..self.numbers.len());
        // Ahead of the log now and then, and between its numbers.
        self.numbers[at] + if self.random.u8(..40) == 0 { self.random.u64(1..3_000_000) } else { 0 }
    }

    fn any_open(&mut self) -> Vec<u8> {
        match self.random.usize(..=self.open.len()) {
            at if at < self.open.len() => self.open[at].clone(),
            _ => {
                let open = [format!("{:024}", self.random.u64(..)).as_bytes(), b"will"].concat();
                self.open.push(open.clone());
                if self.open.len() > 6 {
                    self.open.remove(0);
                }
                open
            }
        }
    }

    fn any_call(&mut self) -> (ControlScript, Vec<Vec<u8>>) {
        let digits = |number: u64| format!("{number:016}").into_bytes();
        let member = format!("member-{:09}", self.random.u64(..MEMBERS)).into_bytes();
        let script = match self.random.u8(..20) {
            0..10 => ControlScript::Beat,
            10..14 => ControlScript::Append,
            14..16 => ControlScript::Open,
            16 => ControlScript::Done,
            17 => ControlScript::TakeOver,
            18 => ControlScript::Remove,
            _ => ControlScript::Leave,
        };
        let claimed = if self.random.u8(..10) == 0 { b"another".to_vec() } else { self.history.clone() };
        self.calls += 1;
        let unique = format!("{:024}", self.calls).into_bytes();
        let mut args = vec![self.run_id.clone(), claimed, b"PUBLISH".to_vec(), CHANNEL.to_vec(), unique];
        let (page, log) = (PAGE.to_string().into_bytes(), LOG.to_string().into_bytes());
        let since = self.count.saturating_sub(self.random.u64(..12));
        match script {
            ControlScript::Beat => {
                args.extend([digits(self.any_number()), member, page]);
                for _ in 0..self.random.usize(..3) {
                    args.push(self.any_open());
                }
            }
            ControlScript::Append => {
                let open = if self.random.bool() { self.any_open() } else { Vec::new() };
                args.extend([digits(self.any_number()), page, log, open]);
                args.extend((0..self.random.usize(1..4)).map(|_| {
                    // Any byte can be in what is sealed.
                    (0..self.random.usize(..40)).map(|_| self.random.u8(..)).collect()
                }));
            }
            ControlScript::Open | ControlScript::Done => args.push(self.any_open()),
            ControlScript::TakeOver => args.extend([digits(since), log]),
            ControlScript::Remove => args.extend([digits(self.any_number()), digits(since)]),
            ControlScript::Leave => args.push(member),
        }
        (script, args)
    }

    fn fault(&mut self) {
        match self.random.u8(..7) {
            0 => {
                self.admin.ask(&[b"FLUSHALL"]).unwrap();
                self.model.keys = Default::default();
            }
            1 => self.run_id = format!("run {}", self.random.u8(..)).into_bytes(),
            part => {
                let key = &self.keys[usize::from(part) - 2];
                self.admin.ask(&[b"DEL", key]).unwrap();
                let keys = &mut self.model.keys;
                match part {
                    2 => keys.state = None,
                    3 => keys.log.clear(),
                    4 => keys.members = Default::default(),
                    5 => keys.beats = Default::default(),
                    _ => keys.open = Default::default(),
                }
            }
        }
    }

    fn step(&mut self) {
        if self.random.u8(..80) == 0 {
            self.fault();
        }
        let (script, args) = self.any_call();
        let body = script.body(self.spelling).as_bytes();
        let mut command: Vec<&[u8]> = vec![b"EVAL", body, b"5"];
        command.extend(self.keys.iter().map(Vec::as_slice));
        command.extend(args.iter().map(Vec::as_slice));
        let reply = self.asks.ask(&command).unwrap_or_else(|e| panic!("{script}: {e}"));
        let heard = self.heard();
        let (expected, bells) = self.model.call(script, &args, self.time_of(&reply, &heard));
        assert_eq!((&reply, &heard), (&expected, &bells), "{script} {args:?}");
        self.note(script, &reply, &heard);
    }

    /// The store's time at which the script ran, as far as anything depends on it.
    fn time_of(&self, reply: &Reply, heard: &[Vec<u8>]) -> u64 {
        match (reply, heard.first()) {
            (Reply::List(list), _) if list.len() == 11 => int(&list[9]),
            (_, Some(message)) => std::str::from_utf8(&message[56..72]).unwrap().parse().unwrap(),
            (_, None) => 0,
        }
    }

    fn note(&mut self, script: ControlScript, reply: &Reply, heard: &[Vec<u8>]) {
        if let (ControlScript::Beat, Reply::List(list)) = (script, reply) {
            let Reply::Bytes(history) = &list[0] else { panic!("{list:?}") };
            (self.history, self.count) = (history.clone(), int(&list[4]));
        }
        for message in heard {
            self.numbers.push(std::str::from_utf8(&message[56..72]).unwrap().parse().unwrap());
        }
    }
}

fn int(reply: &Reply) -> u64 {
    match reply {
        Reply::Int(int) => u64::try_from(*int).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_model_of_the_store_answers_as_real_servers_do() {
    let seed = seed();
    for engine in ENGINES {
        for spelling in [Spelling::Plain, Spelling::Flagged] {
            println!("{engine} {spelling:?} seed {seed}");
            let server = RealServer::start(engine);
            let mut replay = Replay::new(&server, spelling, seed);
            (0..CALLS).for_each(|_| replay.step());
        }
    }
}
