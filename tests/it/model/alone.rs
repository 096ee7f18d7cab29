//! One step after the other: besides what any answer must not be, what it must be, and how many calls it may cost.

mod late;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use self::late::Late;
use super::arena::{Arena, Asked, Told, Written};
use super::ledger::{Purged, may_be_limited, ttl};
use super::oracle::{Entry, Fate};
use super::parties::{NAMES, PARTIES, Time, is_label, is_list, is_search, targets};
use super::steps::{Step, Verb, Wish};
use crate::support::labels::label_id;
use crate::support::{Grants, LABEL, Outgoing, Reply};

/// Answers of the admin port after which an answer that is still not there waits for a late one.
const SURELY: usize = 40;

/// Runs one case.
pub(super) async fn run(steps: Vec<Step>) {
    let mut alone = Alone::start();
    for step in steps {
        alone.take(step).await;
        alone.check_calls();
    }
    alone.release_all().await;
    alone.check_calls();
}

struct Alone {
    arena: Arena,
    targets: Vec<String>,
    late: VecDeque<Late>,
    /// When a credential was last proven for certain.
    proven: HashMap<usize, Time>,
    /// Credentials that were proven once.
    bound: HashSet<usize>,
    /// What is stored for certain, and since when; until when, where a write settles.
    stored: HashMap<(&'static str, String), (Time, Duration)>,
    /// Organizations whose resource ownership was ever switched.
    owned: HashSet<&'static str>,
    /// Until when the writes of an organization may settle.
    settling: HashMap<&'static str, Time>,
    /// The same of what was written alone: of one target, a label or a list.
    settling_targets: HashMap<(&'static str, String), Time>,
    /// Credentials that may be proven in the background at this moment.
    behind: HashSet<usize>,
    /// Upstream calls that what happened so far may have cost.
    allowance: usize,
}

impl Alone {
    fn start() -> Self {
        Self {
            // Nobody moves the clock while a request is under way: a call whose turn is in the future is refused at once.
            arena: Arena::start_with(|config| config.shield.max_wait = Duration::ZERO),
            targets: targets(LABEL),
            late: VecDeque::new(),
            proven: HashMap::new(),
            bound: HashSet::new(),
            stored: HashMap::new(),
            owned: HashSet::new(),
            settling: HashMap::new(),
            settling_targets: HashMap::new(),
            behind: HashSet::new(),
            allowance: 0,
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Read { party, target, wish } => self.read(party, target, wish).await,
            Step::HoldRead { party, target } => self.hold_read(party, target).await,
            Step::Write { party, verb, label, fate } => self.write(party, verb, label, fate).await,
            Step::HoldWrite { party, verb, label, fate } => self.hold_write(party, verb, label, fate).await,
            Step::Release => self.release().await,
            Step::Abandon => self.abandon().await,
            Step::Campaigns { party } => self.campaigns(party).await,
            Step::Edit { name, label } => self.arena.oracle.edit(LABEL, NAMES[name], label),
            Step::Own { name, grants } => self.own(name, grants),
            Step::Refuse { party } => {
                self.arena.oracle.revoke(party);
                self.campaigns(party).await;
                self.arena.oracle.restore(party);
            }
            Step::Revoke { party } => {
                self.arena.oracle.revoke(party);
                self.doubt_token(party);
            }
            Step::Restore { party } => self.arena.oracle.restore(party),
            Step::Deny { party, what } => {
                self.arena.deny(party, what);
                self.doubt_token(party);
            }
            Step::Allow { party } => self.arena.oracle.allow(party),
            Step::Health(health) => self.arena.oracle.set_health(health),
            Step::Purge { name, label } => self.purge(name, label).await,
            Step::Advance(by) => {
                self.note_slowness();
                self.arena.advance(by);
                self.note_slowness();
            }
            Step::WallAhead(by) => {
                self.note_slowness();
                self.arena.oracle.set_time(self.arena.oracle.now().wall_ahead(by));
                self.arena.proxy.clock().jump_wall_ahead(by);
                self.note_slowness();
            }
            Step::WallBack(by) => {
                self.arena.oracle.set_time(self.arena.oracle.now().wall_back(by));
                self.arena.proxy.clock().jump_wall_back(by);
            }
        }
    }

    /// A call that is under way while the clock moves may time out.
    fn note_slowness(&mut self) {
        if !self.late.is_empty() || !self.behind.is_empty() {
            self.arena.note_trouble();
        }
    }

    /// Nothing is certain any more of this token's credentials, and of one that is proven behind its back never again.
    fn doubt_token(&mut self, party: usize) {
        self.proven.retain(|known, _| PARTIES[*known].token() != PARTIES[party].token());
    }

    /// From here on a proof may come or end at any moment.
    fn prove_behind(&mut self, party: usize) {
        self.behind.insert(party);
        self.proven.remove(&party);
    }

    fn check_calls(&self) {
        let arrivals = self.arena.oracle.arrivals();
        assert!(arrivals <= self.allowance, "{arrivals} upstream calls where {} are enough", self.allowance);
    }

    async fn read(&mut self, party: usize, target: usize, wish: Wish) {
        let target = self.targets[target].clone();
        let (asked, outgoing) = self.arena.reading(party, &target, wish);
        // A read may join what is late, fly on its own, and be tried again.
        let calm = self.late.is_empty() && !asked.before.troubled;
        let tries = self.tries();
        self.allowance += if calm { tries } else { tries + 1 };
        let expected = calm.then(|| self.expect(&asked)).flatten();
        let reply = self.answer_to(outgoing).await;
        let told = self.arena.check_read(&asked, reply);
        if calm {
            self.check_alone(&asked, &told, expected);
        }
        self.learn(&asked, &told, calm.then_some(tries));
    }

    /// Sends a request. If it waits for a late answer, every late answer comes.
    async fn answer_to(&mut self, outgoing: Outgoing) -> Reply {
        let mut answered = Box::pin(outgoing.send());
        if !self.late.is_empty() {
            tokio::select! {
                biased;
                reply = &mut answered => return reply,
                () = self.surely() => {}
            }
            self.release_all().await;
        }
        answered.await
    }

    /// Waits for so long that who has no answer yet waits for something.
    async fn surely(&self) {
        for _ in 0..SURELY {
            self.arena.proxy.admin_get("/livez").send().await.assert_status(200);
        }
    }

    /// Whether this read must be a hit, or must not; nothing where both may be.
    fn expect(&self, asked: &Asked) -> Option<bool> {
        let Asked { party, target, wish, before } = asked;
        let proven =
            self.proven.get(party).is_some_and(|sent| before.now.since(*sent) <= Duration::from_secs(60));
        let name = PARTIES[*party].organization?;
        if self.owned.contains(name) {
            return None;
        }
        let kept = self.stored.get(&(name, target.clone()));
        let fresh = kept.is_some_and(|(sent, lifetime)| before.now.since(*sent) < *lifetime);
        let indifferent = matches!(wish, Wish::Plain | Wish::Head | Wish::Validation | Wish::OnlyIfCached);
        (indifferent && proven && fresh && !is_search(target)).then_some(true)
    }

    /// Nothing else goes on: the outcome follows from what was told before.
    #[track_caller]
    fn check_alone(&self, asked: &Asked, told: &Told, expected: Option<bool>) {
        let Asked { party, wish, before, .. } = asked;
        let (reply, oracle) = (&told.reply, &self.arena.oracle);
        assert!(expected != Some(true) || told.is_hit(), "no hit: {asked:?} {reply:?}");
        let status = reply.cache_status();
        let asked_upstream = oracle.arrivals() > before.arrivals;
        if *wish == Wish::OnlyIfCached && !told.is_hit() {
            assert!(reply.status == 504 && status.is_empty(), "{reply:?}");
            return;
        }
        if *wish == Wish::NoCache && told.is_hit() {
            // The upstream was asked in vain, or could not be asked.
            let limited = status.ends_with("detail=refill-limited");
            assert!(
                limited && (!oracle.is_sound() || self.may_hold(*party, 429) || self.may_hold(*party, 503)),
                "{reply:?}"
            );
            return;
        }
        assert!(!(*wish == Wish::NoStore && told.says_stored()), "{reply:?}");
        if is_held(reply) {
            assert!(self.may_hold(*party, reply.status), "held for no reason: {asked:?} {reply:?}");
            return;
        }
        // What goes on in the background may answer, too.
        let answered = told.is_hit() || asked_upstream || !self.behind.is_empty();
        assert!(answered, "answered by nobody: {reply:?}");
        let by_proof = status.starts_with("fwd=miss") || status == "fwd=request";
        if by_proof {
            assert!(before.may_be_proven(oracle, *party, false), "no proof: {asked:?} {reply:?}");
        }
        if status == "fwd=request; detail=proof" {
            let proven = self.proven.get(party).map(|sent| before.now.since(*sent));
            assert!(
                proven.is_none_or(|age| age > Duration::from_secs(60)),
                "proven {proven:?} ago: {reply:?}"
            );
        }
        if told.says_stored() {
            assert!(matches!(reply.status, 200 | 304), "{reply:?}");
        }
        // What was asked behind an earlier read may have been refused, and answers this one.
        let welcome = oracle.is_sound() && oracle.is_welcome(*party) && self.behind.is_empty();
        if welcome && *wish != Wish::OnlyIfCached {
            assert!(matches!(reply.status, 200 | 304 | 404), "{asked:?} {reply:?}");
            assert!(reply.field("proxy-status").is_none(), "{reply:?}");
        }
    }

    /// Upstream calls that one request may cost now: where the upstream is ill, it may be tried twice.
    fn tries(&self) -> usize {
        if self.arena.oracle.is_sound() { 1 } else { 2 }
    }

    /// Whether what the upstream said of late explains that the proxy answers in its place.
    fn may_hold(&self, party: usize, status: u16) -> bool {
        let oracle = &self.arena.oracle;
        let now = oracle.now();
        let lately = |entry: &Entry, span| now.since(entry.at) <= Duration::from_secs(span);
        let own = |entry: &Entry| entry.party == Some(party);
        match status {
            // The latch, of this credential alone.
            401 => {
                oracle.any(|_, entry| own(entry) && entry.status == 401 && entry.read && lately(entry, 10))
            }
            // A gate, of whoever shares an account with it; or the ration of refusals that strangers have in common.
            429 => {
                let refusals = oracle.places(|_, entry| entry.status == 401).len();
                may_be_limited(oracle, party) || refusals >= 25
            }
            // The breaker, of which connections that end without an answer are the cause.
            503 => oracle.any(|_, entry| entry.status == 0),
            _ => false,
        }
    }

    /// What is certain after this answer.
    fn learn(&mut self, asked: &Asked, told: &Told, calm: Option<usize>) {
        let Asked { party, target, wish, before } = asked;
        let now = before.now;
        let status = told.reply.cache_status();
        if told.is_hit() {
            let young = self.proven.get(party).is_some_and(|sent| now.since(*sent) < Duration::from_secs(45));
            if !young {
                self.prove_behind(*party);
                self.allowance += 1;
            }
            // The read itself cost nothing but, in its last tenth, a refresh.
            self.allowance -= calm.map_or(0, |tries| tries - 1);
            return;
        }
        if told.reply.status >= 400 && !status.is_empty() {
            self.doubt_token(*party);
        }
        let proving = status.starts_with("fwd=") && matches!(told.reply.status, 200 | 304);
        let named = told.body.as_ref().is_some_and(|body| body.contains("organization_id"));
        if calm.is_none() || !proving || !named || *wish == Wish::Head || self.behind.contains(party) {
            // It may have been proven anew, on a wall clock that was set back meanwhile.
            self.proven.remove(party);
            return;
        }
        // An organization that nobody is bound to may be forgotten while its first body is on the way.
        let surely_stored = told.says_stored() || !self.bound.insert(*party);
        self.proven.insert(*party, now);
        if let (Some(name), false, false, true) =
            (PARTIES[*party].organization, is_search(target), *wish == Wish::NoStore, surely_stored)
        {
            let key = (name, target.clone());
            let until = [self.settling.get(name), self.settling_targets.get(&key)];
            let settles = until.into_iter().flatten().any(|until| !now.reached(*until));
            let lifetime = if settles { 900 } else { ttl(target) * 900 };
            self.stored.insert(key, (now, Duration::from_millis(lifetime)));
        }
    }

    async fn write(&mut self, party: usize, verb: Verb, label: u32, fate: Fate) {
        let (written, outgoing) = self.arena.writing(party, verb, label, fate);
        self.allowance += 1;
        let reply = self.answer_to(outgoing).await;
        self.arena.check_write(&written, &reply);
        self.wrote(&written, reply.status);
    }

    fn wrote(&mut self, written: &Written, status: u16) {
        let now = self.arena.oracle.now();
        if (400..500).contains(&status) {
            self.doubt_token(written.party);
            if status == 404 {
                self.forget_stored();
            }
            return;
        }
        if status < 300 && written.was_bound() && self.wrote_alone(written) {
            return;
        }
        let span = Duration::from_secs(if status < 300 { 6 } else { 61 });
        for name in NAMES {
            let concerned = status >= 300 || PARTIES[written.party].organization == Some(name);
            if concerned {
                let until = self.settling.entry(name).or_default();
                *until = until.latest(now.advanced(span));
                self.stored.retain(|(owner, _), _| *owner != name);
            }
        }
    }

    /// The label that the answer names, and every list, are all that a write has changed that is known to be done: what else
    /// is stored stays, and lives on. Whether it is known which label that was.
    fn wrote_alone(&mut self, written: &Written) -> bool {
        let wrote = self.arena.oracle.last(|entry| entry.nonce.as_ref() == Some(&written.nonce));
        let label = wrote.and_then(|(_, entry)| entry.wrote);
        let (Some((id, _)), Some(name)) = (label, PARTIES[written.party].organization) else { return false };
        let changed = |target: &str| is_list(target) || is_label(target, id);
        self.stored.retain(|(owner, target), _| *owner != name || !changed(target));
        let settled = self.arena.oracle.now().advanced(Duration::from_secs(6));
        for target in self.targets.iter().filter(|target| changed(target)) {
            let until = self.settling_targets.entry((name, target.clone())).or_default();
            *until = until.latest(settled);
        }
        true
    }

    /// Who may have what is stored is no longer certain.
    fn own(&mut self, name: usize, grants: Option<Grants>) {
        self.arena.oracle.set_ownership(NAMES[name], grants);
        self.owned.insert(NAMES[name]);
    }

    fn forget_stored(&mut self) {
        self.stored.clear();
    }

    async fn campaigns(&mut self, party: usize) {
        // The call, its second try, and the list read that introduces a caller of no known organization.
        self.allowance += self.tries() + 1;
        let status = self.arena.call_campaigns(party).await.status;
        if status >= 400 {
            self.doubt_token(party);
        } else if !self.bound.contains(&party) {
            self.prove_behind(party);
        }
    }

    async fn purge(&mut self, name: Option<usize>, label: Option<u32>) {
        let what = match (name, label) {
            (_, Some(label)) => Purged::Label(label_id(label)),
            (Some(name), None) => Purged::Organization(NAMES[name]),
            (None, None) => Purged::Everything,
        };
        let calm = self.late.is_empty() && self.behind.is_empty();
        self.arena.purge(what, calm).await;
        self.forget_stored();
        if label.is_none() {
            self.proven.clear();
        }
    }
}

/// Whether the proxy answered by itself so as not to ask the upstream now.
fn is_held(reply: &Reply) -> bool {
    matches!(reply.status, 401 | 429 | 503) && reply.field("proxy-status").is_some()
}
