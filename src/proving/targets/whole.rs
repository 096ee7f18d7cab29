//! The whole proxy between raw bytes: what clients send and what the upstream answers is taken from the input.
//!
//! Beside them stands one honest caller of another organization. Its token, the id of its organization and what its label says
//! stand in no input, so whoever else hears of it heard it from the proxy. HTTP/1.1 and HTTP/2 on the clients' side; on the
//! upstream's HTTP/1.1, or, in an input that begins with `h2:`, HTTP/2 for label calls, as if TLS had agreed on it.

mod honest;
mod http2;

use std::time::Duration;

use self::honest::{ORGANIZATION, OTHERS_SAY, PATH, SAYS, TOKEN, Whose, body_of, label};
use self::http2::Http2;
use crate::config::MaxHeldBytes;
use crate::proving::wire::{End, Message};
use crate::proving::world::{World, config};
use crate::proxy::Purge;

/// More steps of an input find nothing new.
const MOST_STEPS: usize = 64;
/// Whoever is honest has its answer after so long, whatever others do.
const LONGEST: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(100);

/// What an input begins with whose upstream speaks HTTP/2.
const HTTP2: &[u8] = b"h2:";

/// Steps, each a byte that says what is done, a length, and so many bytes.
pub(super) fn steps(bytes: &[u8]) {
    run(bytes);
}

/// The same; says whether one of the other clients has heard what its own label says.
fn run(bytes: &[u8]) -> bool {
    let names_it = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    if [&TOKEN[7..], ORGANIZATION, SAYS].into_iter().any(names_it) {
        return false;
    }
    let (speaks_http2, bytes) = match bytes.strip_prefix(HTTP2) {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    let mut config = config();
    // Not what the machine has, which would be read from files for each input.
    config.listen.max_held_bytes = MaxHeldBytes::Bytes(256 << 20);
    World::run(1, &config, async |world| {
        if speaks_http2 {
            world.upstream.speak_http2();
        }
        let mut stage =
            Stage { world, clients: [None, None], lines: Vec::new(), heard: Vec::new(), others_heard: false };
        stage.read_honestly().await;
        let mut rest = bytes;
        for _ in 0..MOST_STEPS {
            let Some((&[what, length], behind)) = rest.split_first_chunk() else { break };
            let (given, behind) = behind.split_at(usize::from(length).min(behind.len()));
            rest = behind;
            stage.step(what, given).await;
        }
        stage.end_well().await;
        stage.others_heard
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

struct Stage {
    world: World,
    clients: [Option<End>; 2],
    lines: Vec<Line>,
    /// What the last client that went away had heard.
    heard: Vec<u8>,
    others_heard: bool,
}

impl Stage {
    async fn step(&mut self, what: u8, given: &[u8]) {
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
            6 => self.world.pass(STEP * u32::from(first)).await,
            7 if first % 2 == 0 => self.world.upstream.refuse(),
            7 => self.world.upstream.listen_again(),
            8 => self.read_honestly().await,
            9 => {
                drop(self.world.proxy.purge(Purge { organization: None, label: None, resource: None }).await)
            }
            // The proxy goes on a little, and is not done.
            _ => return tokio::task::yield_now().await,
        }
        self.settle().await;
    }

    fn send(&mut self, number: usize, bytes: &[u8]) {
        let is_open = self.clients[number].as_ref().is_some_and(End::is_open);
        if !is_open {
            self.hang_up(number);
        }
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
    async fn read_honestly(&mut self) {
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
    async fn end_well(&mut self) {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::run;

    /// A seed that reaches nothing proves nothing.
    #[test]
    fn the_seeds_of_the_whole_proxy_reach_answers_over_both_protocols() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/whole");
        let http2_upstream = ["h2up_read", "h2up_list", "h2up_write", "h2up_h2_read"];
        for name in ["read", "list", "h2_read", "write_in_parts", "leaves"].into_iter().chain(http2_upstream)
        {
            assert!(run(&fs::read(corpus.join(name)).expect("a seed")), "{name}: nobody was answered");
        }
    }
}
