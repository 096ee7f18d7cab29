//! [`Stage`]: two clients and an upstream around the proxy, what a step of an input does with them, and the honest caller beside.

use std::sync::OnceLock;
use std::time::Duration;

use super::bounds::{Bill, Gauge, Prices, assert_held, counted};
use super::honest::{ORGANIZATION, OTHERS_SAY, PATH, SAYS, TOKEN, Whose, body_of, label};
use super::http2::Http2;
use crate::config::MaxHeldBytes;
use crate::proving::wire::{End, Message};
use crate::proving::world::{World, config};
use crate::proxy::Purge;

/// Whoever is honest has its answer after so long, whatever others do.
const LONGEST: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(100);
/// So many of each kind in a world tell what one costs, and the cheapest of so many worlds counts: fewer than a second's budget.
const MEASURED: u32 = 50;
const WORLDS: usize = 9;

/// Does something in a world of its own.
pub(super) fn in_world<T>(
    speaks_http2: bool,
    gauge: Option<Gauge>,
    what: impl AsyncFnOnce(&mut Stage) -> T,
) -> T {
    let mut config = config();
    // Not what the machine has, which would be read from files for each input.
    config.listen.max_held_bytes = MaxHeldBytes::Bytes(256 << 20);
    World::run(1, &config, async |world| {
        if speaks_http2 {
            world.upstream.speak_http2();
        }
        what(&mut Stage::new(world, gauge)).await
    })
}

/// What a hit and a call cost, measured before the first input.
pub(super) fn prices(gauge: Gauge) -> &'static Prices {
    static PRICES: OnceLock<Prices> = OnceLock::new();
    PRICES.get_or_init(|| {
        let once = |path| in_world(false, Some(gauge), async |stage| stage.price_of(path).await);
        let price = |path| (0..WORLDS).map(|_| once(path)).min().unwrap_or_default();
        Prices { hit: price(PATH), call: price("/api/v2/campaigns") }
    })
}

/// A whole answer of HTTP/1.1.
fn answer(request: &[u8], whose: Whose) -> Vec<u8> {
    let reads_item = request.windows(PATH.len()).any(|window| window == PATH.as_bytes());
    let body = body_of(whose, reads_item);
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A connection that the proxy made.
struct Line {
    end: End,
    /// Whose calls it carries, once it has carried one; of HTTP/2 nobody's alone.
    whose: Option<Whose>,
    http2: Option<Http2>,
}

impl Line {
    /// Whether others than the honest caller may be heard on it.
    const fn is_others(&self) -> bool {
        matches!(self.whose, Some(Whose::Others)) || self.http2.is_some()
    }

    /// Takes what has come, and answers the honest caller. One connection carries calls of one credential.
    fn turn(&mut self) {
        self.end.turn();
        if self.http2.is_none() && self.whose.is_none() {
            self.http2 = Http2::begin(&mut self.end);
        }
        if let Some(http2) = &mut self.http2 {
            http2.turn(&mut self.end);
            return self.end.turn();
        }
        if self.end.received.is_empty() {
            return;
        }
        let is_ours = String::from_utf8_lossy(&self.end.received).contains(TOKEN);
        let whose = *self.whose.get_or_insert(if is_ours { Whose::Honest } else { Whose::Others });
        if whose == Whose::Others {
            assert!(!is_ours, "calls of two on one connection");
            return;
        }
        while let Some(call) = Message::take(&mut self.end.received) {
            assert_eq!(call.field("authorization"), Some(TOKEN), "calls of two on one connection");
            let told = answer(call.line.as_bytes(), Whose::Honest);
            self.end.send(&told);
        }
        self.end.turn();
    }
}

pub(super) struct Stage {
    world: World,
    clients: [Option<End>; 2],
    lines: Vec<Line>,
    /// What the last client that went away had heard.
    heard: Vec<u8>,
    pub(super) others_heard: bool,
    gauge: Option<Gauge>,
    /// What was held before the first step.
    held_before: usize,
    pub(super) bill: Bill,
}

impl Stage {
    const fn new(world: World, gauge: Option<Gauge>) -> Self {
        Self {
            world,
            clients: [None, None],
            lines: Vec::new(),
            heard: Vec::new(),
            others_heard: false,
            gauge,
            held_before: 0,
            bill: Bill::NOTHING,
        }
    }

    pub(super) fn begin_bill(&mut self) {
        self.bill = Bill::NOTHING;
        self.held_before = self.held_by_proxy();
    }

    /// What is allocated, but for what this stage holds itself.
    fn held_by_proxy(&self) -> usize {
        let own = self.lines.iter().map(|line| &line.end).chain(self.clients.iter().flatten());
        let own = own.map(End::held).sum::<usize>() + self.heard.capacity();
        self.gauge.map_or(0, |gauge| (gauge.held)().saturating_sub(own))
    }

    pub(super) fn assert_held(&self) {
        assert_held(self.held_by_proxy().saturating_sub(self.held_before));
    }

    pub(super) async fn step(&mut self, what: u8, given: &[u8]) {
        let first = given.first().copied().unwrap_or_default();
        match what % 11 {
            number @ (0 | 1) => self.send(usize::from(number), given),
            2 => self.hang_up(usize::from(first % 2)),
            3 => self.with_others_line(|line| match &line.http2 {
                Some(http2) => http2.send(&mut line.end, given),
                None => line.end.send(given),
            }),
            4 => self.with_others_line(|line| {
                if let Some(http2) = &mut line.http2 {
                    return http2.answer_others(&mut line.end);
                }
                let told = answer(&line.end.received, Whose::Others);
                line.end.received.clear();
                line.end.send(&told);
            }),
            5 => self.with_others_line(|line| line.end.close()),
            // What time brings is nobody's bytes, and neither is what is done for the honest caller or for an operator.
            6 => return self.pass(STEP * u32::from(first)).await,
            7 if first % 2 == 0 => self.world.upstream.refuse(),
            7 => self.world.upstream.listen_again(),
            8 => return self.read_honestly().await,
            9 => return self.purge().await,
            // The proxy goes on a little, and is not done.
            _ => return self.counted(async |_| tokio::task::yield_now().await).await,
        }
        self.settle_counted().await;
    }

    /// An operator takes everything out of the cache.
    pub(super) async fn purge(&mut self) {
        drop(self.world.proxy.purge(Purge { organization: None, label: None, resource: None }).await);
        self.settle().await;
    }

    /// What this does is paid for by the input.
    async fn counted(&mut self, what: impl AsyncFnOnce(&World)) {
        let Some(gauge) = self.gauge else { return what(&self.world).await };
        let (before, begun) = (counted(&self.world.metrics), (gauge.spent)());
        what(&self.world).await;
        self.bill.spent += (gauge.spent)().saturating_sub(begun);
        self.bill.count(before, &self.world.metrics);
    }

    async fn settle_counted(&mut self) {
        self.counted(async |world| world.quiet.reached().await).await;
        self.settle().await;
    }

    /// What an honest request for a path costs, of so many on one connection.
    async fn price_of(&mut self, path: &str) -> Duration {
        self.read_honestly().await;
        self.bill = Bill::NOTHING;
        let mut client = End::new(self.world.connect());
        for _ in 0..MEASURED {
            client
                .send(format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: {TOKEN}\r\n\r\n").as_bytes());
            client.turn();
            // The bytes that came are the proxy's to pay for, and then those of the upstream's answer.
            for _ in 0..3 {
                self.settle_counted().await;
            }
            client.turn();
            assert!(Message::take(&mut client.received).is_some(), "an honest request is answered at once");
            // So that no call waits for its turn.
            self.pass(STEP).await;
        }
        self.bill.spent / MEASURED
    }

    async fn pass(&mut self, time: Duration) {
        self.world.pass(time).await;
        self.settle().await;
    }

    fn send(&mut self, number: usize, bytes: &[u8]) {
        let is_open = self.clients[number].as_ref().is_some_and(End::is_open);
        if !is_open {
            self.hang_up(number);
        }
        self.bill.connections += u32::from(self.clients[number].is_none());
        let client = self.clients[number].get_or_insert_with(|| End::new(self.world.connect()));
        client.send(bytes);
        client.turn();
    }

    fn hang_up(&mut self, number: usize) {
        if let Some(mut client) = self.clients[number].take() {
            client.turn();
            self.heard = client.received;
        }
        self.assert_secret();
    }

    /// The last line that is not the honest caller's.
    fn with_others_line(&mut self, what: impl FnOnce(&mut Line)) {
        if let Some(line) = self.lines.iter_mut().rev().find(|line| line.is_others() && line.end.is_open()) {
            what(line);
            line.turn();
        }
    }

    /// Until the proxy waits for somebody.
    async fn settle(&mut self) {
        self.world.quiet.reached().await;
        while let Some(pipe) = self.world.upstream.take() {
            self.lines.push(Line { end: End::new(pipe), whose: None, http2: None });
        }
        self.lines.iter_mut().for_each(Line::turn);
        self.lines.retain(|line| line.end.is_open());
        self.clients.iter_mut().flatten().for_each(End::turn);
        self.assert_secret();
    }

    /// No other client has heard of the honest caller's.
    fn assert_secret(&mut self) {
        let heard = self.clients.iter().flatten().map(|client| &client.received).chain([&self.heard]);
        for bytes in heard {
            let text = String::from_utf8_lossy(bytes);
            self.others_heard |= text.contains(OTHERS_SAY);
            for secret in [SAYS, ORGANIZATION, TOKEN] {
                assert!(!text.contains(secret), "bytes of another organization");
            }
        }
    }

    /// The honest caller reads its label: it gets that, or is told why not.
    pub(super) async fn read_honestly(&mut self) {
        let mut client = End::new(self.world.connect());
        client.send(format!("GET {PATH} HTTP/1.1\r\nhost: a\r\nauthorization: {TOKEN}\r\n\r\n").as_bytes());
        let begun = self.world.clock.now();
        for turn in 0.. {
            client.turn();
            self.settle().await;
            client.turn();
            if let Some(answer) = Message::take(&mut client.received) {
                let text = String::from_utf8_lossy(&answer.body);
                match answer.status() {
                    200 => assert_eq!(text, label(ORGANIZATION, SAYS), "another answer than its own"),
                    429 | 502..=504 => assert!(!text.contains(OTHERS_SAY), "bytes of another organization"),
                    status => panic!("{status} to whom nobody refused"),
                }
                return;
            }
            assert!(self.world.clock.now().since(begun) < LONGEST, "it waits for ever");
            if turn > 2 {
                self.world.pass(Duration::from_secs(1)).await;
            }
        }
    }

    /// Everybody else goes away, and the upstream is well: the honest caller has its answer.
    pub(super) async fn end_well(&mut self) {
        self.world.upstream.listen_again();
        for number in 0..self.clients.len() {
            self.hang_up(number);
        }
        self.lines
            .iter_mut()
            .filter(|line| line.whose != Some(Whose::Honest))
            .for_each(|line| line.end.close());
        self.read_honestly().await;
    }
}
