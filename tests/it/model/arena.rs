//! [`Arena`]: a real proxy before the oracle, with what callers do there and the checks that hold for any answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use instantly_proxy::config::Config;
use instantly_proxy::error::ErrorKind;
use serde_json::json;
use uuid::Uuid;

use super::ledger::{Before, Ledger, Purged};
use super::oracle::{Denial, Entry, Fate, Oracle};
use super::parties::{PARTIES, Time, is_search};
use super::steps::{Verb, Wish};
use crate::support::labels::{CAMPAIGNS, LABELS, label_id, label_path, organization};
use crate::support::{Caller, Outgoing, Reply, TestProxy, TestUpstream};

/// Everything that a case needs. The proxy is first, so that it stops first.
pub(super) struct Arena {
    pub(super) proxy: TestProxy,
    pub(super) upstream: TestUpstream,
    pub(super) oracle: Oracle,
    callers: Vec<Caller>,
    book: Mutex<Book>,
}

struct Book {
    ledger: Ledger,
    /// Bodies by the validator that came with them.
    bodies: HashMap<String, String>,
    nonces: usize,
}

/// A read under way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) party: usize,
    pub(super) target: String,
    pub(super) wish: Wish,
    pub(super) before: Before,
}

/// What an answer to a read came to.
pub(super) struct Told {
    pub(super) reply: Reply,
    /// The body, also where it was told by its validator alone.
    pub(super) body: Option<String>,
}

impl Told {
    pub(super) fn is_hit(&self) -> bool {
        self.reply.cache_status().starts_with("hit")
    }

    fn is_passed_through(&self) -> bool {
        self.reply.cache_status().ends_with("detail=edge-block")
    }

    pub(super) fn says_stored(&self) -> bool {
        self.reply.cache_status().contains("stored")
    }
}

impl Arena {
    pub(super) fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let oracle = Oracle::new();
        oracle.set_time(Time::start());
        let answering = oracle.clone();
        let upstream = TestUpstream::start(move |request| answering.answer(request));
        let proxy = TestProxy::start_with(&upstream, change);
        let caller = |party: &super::parties::Party| {
            let caller = proxy.caller(&party.token());
            party.workspace().map_or_else(|| caller.clone(), |workspace| caller.workspace(workspace))
        };
        let callers = PARTIES.iter().map(caller).collect();
        let ids: Vec<Uuid> = (1..=4).map(label_id).collect();
        let book = Book { ledger: Ledger::new(&ids), bodies: HashMap::new(), nonces: 0 };
        Self { proxy, upstream, oracle, callers, book: Mutex::new(book) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn before(&self) -> Before {
        self.book().ledger.before(&self.oracle)
    }

    pub(super) fn note_trouble(&self) {
        let now = self.oracle.now();
        self.book().ledger.note_trouble(now);
    }

    /// Moves both clocks on. The model's goes first: it may date a call later than the proxy does, never earlier.
    pub(super) fn advance(&self, by: Duration) {
        self.oracle.set_time(self.oracle.now().advanced(by));
        self.proxy.advance(by);
    }

    /// A read that is about to be sent.
    pub(super) fn reading(&self, party: usize, target: &str, wish: Wish) -> (Asked, Outgoing) {
        let method = if wish == Wish::Head { "HEAD" } else { "GET" };
        let mut outgoing = self.callers[party].request(method, target);
        if let Some(directive) = wish.directive() {
            outgoing = outgoing.field("cache-control", directive);
        }
        if wish == Wish::Validation {
            for etag in self.book().bodies.keys() {
                outgoing = outgoing.field("if-none-match", etag);
            }
        }
        (Asked { party, target: target.to_owned(), wish, before: self.before() }, outgoing)
    }

    /// What holds for any answer to any read, whatever else goes on.
    #[track_caller]
    pub(super) fn check_read(&self, asked: &Asked, reply: Reply) -> Told {
        let Asked { party, target, wish, before } = asked;
        before.check_canaries(*party, &reply);
        let mut book = self.book();
        let etag = reply.field("etag").map(str::to_owned);
        let body = match reply.status {
            200 if *wish != Wish::Head => Some(reply.text()),
            200 | 304 => etag.as_ref().and_then(|etag| book.bodies.get(etag)).cloned(),
            _ => None,
        };
        if let (200, Some(etag), Some(body)) = (reply.status, &etag, &body) {
            book.bodies.insert(etag.clone(), body.clone());
        }
        if reply.status >= 400 && reply.error_kind() != Some(ErrorKind::OnlyIfCached) {
            book.ledger.note_refusal(&self.oracle, *party, target, reply.status);
        }
        let told = Told { reply, body };
        if let Some(body) = &told.body {
            before.check_age(&book.ledger, *party, target, body);
            // What is only passed through is looked at by nobody.
            if told.reply.status == 200 && !told.is_hit() && !told.is_passed_through() {
                before.check_flight(&self.oracle, *party, target, (&told.reply, body));
                book.ledger.note_grants(&self.oracle, before, *party, body);
            }
        }
        if told.is_hit() {
            assert!(!is_search(target), "a search was answered from the store");
            before.check_hit(
                &self.oracle,
                &book.ledger,
                (*party, target),
                (&told.reply, told.body.as_deref()),
            );
            assert!(told.reply.field("age").is_some(), "a hit without its age: {:?}", told.reply);
            book.ledger.note_hit(*party);
        }
        told
    }

    /// A read that was overtaken by a write or a purge is not stored any more.
    #[track_caller]
    pub(super) fn check_overtaken(&self, asked: &Asked, told: &Told) {
        let (Some(name), true) = (PARTIES[asked.party].organization, told.says_stored()) else { return };
        let fill = |place: usize, entry: &Entry| {
            place >= asked.before.arrivals && entry.party == Some(asked.party) && entry.target == asked.target
        };
        let ledger = &self.book().ledger;
        let storable = self
            .oracle
            .any(|place, entry| fill(place, entry) && !ledger.shuts_out(name, &asked.target, place));
        assert!(storable, "stored although a write overtook it: {:?}", told.reply);
    }

    /// A call to campaigns, from its beginning to its check.
    pub(super) async fn call_campaigns(&self, party: usize) -> Reply {
        let before = self.before();
        let reply = self.callers[party].get(CAMPAIGNS).send().await;
        before.check_canaries(party, &reply);
        if reply.status >= 400 {
            self.book().ledger.note_refusal(&self.oracle, party, CAMPAIGNS, reply.status);
        }
        reply
    }

    /// A write that is about to be sent, with the name by which the oracle knows it.
    pub(super) fn writing(&self, party: usize, verb: Verb, label: u32, fate: Fate) -> (Written, Outgoing) {
        let mut book = self.book();
        book.nonces += 1;
        let nonce = format!("n{}", book.nonces);
        self.oracle.set_fate(&nonce, fate);
        let (method, target) = match verb {
            Verb::Create => ("POST", LABELS.to_owned()),
            Verb::Change => ("PATCH", label_path(label)),
            Verb::Delete => ("DELETE", label_path(label)),
        };
        if let (Verb::Delete, Some(name)) = (verb, PARTIES[party].organization) {
            book.ledger.note_presence(name, label_id(label), false);
        }
        let before = book.ledger.before(&self.oracle);
        let outgoing = self.callers[party].request(method, &target).field("x-nonce", &nonce).json("{}");
        (Written { party, verb, target, nonce, before }, outgoing)
    }

    /// What holds for any answer to a write; from here on every read is younger.
    #[track_caller]
    pub(super) fn check_write(&self, written: &Written, reply: &Reply) {
        written.before.check_canaries(written.party, reply);
        let mut book = self.book();
        book.ledger.note_write(&self.oracle, &written.nonce, &written.before, reply.status);
        if reply.status >= 400 {
            book.ledger.note_refusal(&self.oracle, written.party, &written.target, reply.status);
        }
        if reply.status == 200 {
            book.ledger.note_grants(&self.oracle, &written.before, written.party, &reply.text());
        }
        if let (200, Some(name), true) =
            (reply.status, PARTIES[written.party].organization, written.verb == Verb::Create)
        {
            let id = reply.json()["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
            book.ledger.note_presence(name, id, true);
        }
    }

    /// A purge through the admin port. `calm` says that no call was under way.
    pub(super) async fn purge(&self, what: Purged, calm: bool) {
        let what_json = match what {
            Purged::Everything => json!({}),
            Purged::Organization(name) => json!({"organization": organization(name)}),
            Purged::Label(id) => json!({"label": id}),
        };
        let arrivals = self.oracle.arrivals();
        self.proxy.admin_post("/api/purge", &what_json.to_string()).send().await.assert_status(200);
        self.book().ledger.note_purge(what, arrivals, calm);
    }

    pub(super) fn deny(&self, party: usize, what: Denial) {
        self.oracle.deny(party, what);
    }
}

/// A write under way.
pub(super) struct Written {
    pub(super) party: usize,
    verb: Verb,
    target: String,
    pub(super) nonce: String,
    before: Before,
}

impl Written {
    /// Whether the proxy knew for certain whose write it was.
    pub(super) fn was_bound(&self) -> bool {
        self.before.is_bound(self.party)
    }
}
