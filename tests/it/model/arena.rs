//! [`Arena`]: a real proxy before the oracle, with what callers do there and the checks that hold for any answer. Of several
//! resources each has an arena of its own in front of one proxy: what is told of one is no right to another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use instantly_proxy::config::Config;
use instantly_proxy::error::ErrorKind;
use serde_json::json;
use uuid::Uuid;

use super::ledger::{Before, Ledger, Purged, Trouble};
use super::oracle::{Denial, Entry, Fate, Oracle};
use super::parties::{PARTIES, Time, is_search};
use super::steps::{Verb, Wish};
use crate::support::labels::{CAMPAIGNS, label_id, organization};
use crate::support::{Caller, Kind, LABEL, Outgoing, Reply, TestProxy, TestUpstream, keep_as_labels};

/// Everything that a case needs. The proxy is first, so that it stops first.
pub(super) struct Arena {
    pub(super) proxy: Arc<TestProxy>,
    pub(super) upstream: Arc<TestUpstream>,
    pub(super) oracle: Oracle,
    /// What is read and written here.
    pub(super) kind: Kind,
    callers: Vec<Caller>,
    /// Of each resource of the run.
    books: Arc<[(Kind, Mutex<Book>)]>,
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
    /// Of lead labels alone.
    pub(super) fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_mixed(&[LABEL], change).remove(0)
    }

    /// One of each of these, in front of one proxy.
    pub(super) fn start_mixed(kinds: &[Kind], change: impl FnOnce(&mut Config)) -> Vec<Self> {
        let oracle = Oracle::new(kinds);
        oracle.set_time(Time::start());
        let answering = oracle.clone();
        let upstream = Arc::new(TestUpstream::start(move |request| answering.answer(request)));
        let proxy = TestProxy::start_with(&upstream, |config| {
            change(config);
            keep_as_labels(config);
        });
        let proxy = Arc::new(proxy);
        let caller = |party: &super::parties::Party| {
            let caller = proxy.caller(&party.token());
            party.workspace().map_or_else(|| caller.clone(), |workspace| caller.workspace(workspace))
        };
        let callers: Vec<_> = PARTIES.iter().map(caller).collect();
        let ids: Vec<Uuid> = (1..=4).map(label_id).collect();
        let trouble = Trouble::default();
        let book = |kind: &Kind| {
            let ledger = Ledger::new(*kind, &ids, &trouble);
            (*kind, Mutex::new(Book { ledger, bodies: HashMap::new(), nonces: 0 }))
        };
        let books: Arc<[_]> = kinds.iter().map(book).collect();
        let arena = |kind: &Kind| Self {
            proxy: Arc::clone(&proxy),
            upstream: Arc::clone(&upstream),
            oracle: oracle.clone(),
            kind: *kind,
            callers: callers.clone(),
            books: Arc::clone(&books),
        };
        kinds.iter().map(arena).collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        let own = self.books.iter().find(|(kind, _)| *kind == self.kind);
        let (_, book) = own.expect("each resource of a run has one");
        book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of each resource, one after the other.
    fn each_ledger(&self, mut change: impl FnMut(&mut Ledger)) {
        for (_, book) in &*self.books {
            change(&mut book.lock().unwrap_or_else(PoisonError::into_inner).ledger);
        }
    }

    /// What a refusal says of any resource.
    fn note_refusal(&self, party: usize, target: &str, status: u16) {
        self.each_ledger(|ledger| ledger.note_refusal(&self.oracle, party, target, status));
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
        if reply.status >= 400 && reply.error_kind() != Some(ErrorKind::OnlyIfCached) {
            self.note_refusal(*party, target, reply.status);
        }
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
            self.note_refusal(party, CAMPAIGNS, reply.status);
        }
        reply
    }

    /// A write that is about to be sent, with the name by which the oracle knows it.
    pub(super) fn writing(&self, party: usize, verb: Verb, label: u32, fate: Fate) -> (Written, Outgoing) {
        let mut book = self.book();
        book.nonces += 1;
        let nonce = format!("{}-{}", self.kind.resource.name, book.nonces);
        self.oracle.set_fate(&nonce, fate);
        let (method, target) = match verb {
            Verb::Create => ("POST", self.kind.list().to_owned()),
            Verb::Change => ("PATCH", self.kind.path(label)),
            Verb::Delete => ("DELETE", self.kind.path(label)),
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
        if reply.status >= 400 {
            self.note_refusal(written.party, &written.target, reply.status);
        }
        let mut book = self.book();
        book.ledger.note_write(&self.oracle, &written.nonce, &written.before, reply.status);
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

    /// A purge of whatever resource through the admin port. `calm` says that no call was under way.
    pub(super) async fn purge(&self, what: Purged, calm: bool) {
        let what_json = match what {
            Purged::Everything => json!({}),
            Purged::Organization(name) => json!({"organization": organization(name)}),
            Purged::Label(id) => json!({"label": id}),
        };
        let arrivals = self.oracle.arrivals();
        self.proxy.admin_post("/api/purge", &what_json.to_string()).send().await.assert_status(200);
        self.each_ledger(|ledger| ledger.note_purge(what, arrivals, calm));
    }

    pub(super) fn deny(&self, party: usize, what: Denial) {
        self.oracle.deny(party, what.of(self.kind));
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
