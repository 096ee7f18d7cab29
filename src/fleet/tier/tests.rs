//! The second tier over real servers: what its scripts do in one step, and what of the store does not count.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::super::control::{HistoryId, Stamp};
use super::super::heard::Number;
use super::super::names::SharedCredential;
use super::super::seal::Secret;
use super::super::store::test_store::{Engine, TestStore};
use super::super::taken::Taken;
use super::entry::{Entry, LARGEST_BODY};
use super::*;
use crate::caller::credential::{Credential, Digester};
use crate::config::{StoreAddress, StoreSettings};
use crate::organization::OrganizationId;
use crate::resource::{Descriptor, LEAD_LABEL};

const ORGANIZATION: OrganizationId = OrganizationId::example(1);
const ITEM: &str = "/labels/1";
const LIST: &str = "/labels";
const STAMP: Stamp = Stamp { history: HistoryId::example(1), number: Number(7) };
const MINUTE: Duration = Duration::from_secs(60);

/// Another resource.
static OTHER: Descriptor = Descriptor { name: "other", ..LEAD_LABEL };

/// A replica of a fleet, as the second tier knows it.
struct Replica {
    tier: Arc<Tier>,
    lease: Arc<Lease>,
    heard: Arc<Heard>,
    clock: Clock,
}

impl Replica {
    async fn start(store: &TestStore) -> Self {
        Self::with_secrets(store, &[1]).await
    }

    async fn with_secrets(store: &TestStore, secrets: &[u8]) -> Self {
        let secrets: Vec<_> = secrets.iter().map(|byte| Secret::new(&[*byte; 32]).unwrap()).collect();
        let clock = Clock::system();
        let (lease, heard) = (Arc::<Lease>::default(), Arc::<Heard>::default());
        let settings = StoreSettings::standalone(StoreAddress::new("127.0.0.1", store.port()));
        let settings = StoreSettings { timeout: Duration::from_secs(5), ..settings };
        let tier = Arc::new(Tier::new(Parts {
            lease: Arc::clone(&lease),
            heard: Arc::clone(&heard),
            times: Arc::default(),
            data: Arc::new(Data::start(settings, clock.clone(), SharedSeries::default(), &Handle::current())),
            names: Arc::new(Names::new("fleet", &secrets)),
            sealer: Arc::new(Sealer::new(&secrets, "fleet")),
            authority: "http://api.example".into(),
            proofs: ShareProofs::Yes,
            timeout: Duration::from_secs(5),
            runtime: Handle::current(),
            clock: clock.clone(),
            series: SharedSeries::default(),
        }));
        let replica = Self { tier, lease, heard, clock };
        let now = replica.clock.now();
        replica.lease.extend(now.plus(MINUTE));
        replica.heard.stamp_with(Some(STAMP));
        replica.tier.note_time(now.unix(), now, now);
        replica.connected().await;
        replica
    }

    /// Asks until the connection is there.
    async fn connected(&self) {
        let end = self.clock.now().plus(MINUTE);
        loop {
            let mut probe = self.tier.look_up(ORGANIZATION, vec![wanted("/probe", None)], None);
            match self.tier.ask(&mut probe, &mut self.tier.patience()).await {
                Found::Without => assert!(!self.clock.now().reached(end), "no connection"),
                _ => return,
            }
            tokio::task::yield_now().await;
        }
    }

    fn look_up(&self) -> LookUp {
        self.tier.look_up(ORGANIZATION, vec![wanted(ITEM, None), wanted(LIST, None)], Some(LIST))
    }

    async fn ask(&self, look_up: &mut LookUp) -> Found<Entry> {
        self.tier.ask(look_up, &mut self.tier.patience()).await
    }

    /// What an own look-up finds.
    async fn finds(&self) -> Found<Entry> {
        self.ask(&mut self.look_up()).await
    }

    async fn finds_proof(&self, credential: &Credential) -> Found<SharedProof> {
        self.finds_proof_by(credential, LIST).await
    }

    async fn finds_proof_by(&self, credential: &Credential, collection: &'static str) -> Found<SharedProof> {
        let mut look_up = self.tier.look_up_proof(credential, collection).unwrap();
        self.tier.ask_for_proof(&mut look_up, &mut self.tier.patience()).await
    }

    fn learned(&self, path: &str, body: &'static [u8]) -> Learned {
        Learned {
            organization: ORGANIZATION,
            path: path.to_owned(),
            owner: None,
            stamp: STAMP,
            sent: self.clock.now(),
            lifetime: MINUTE,
            jitter: 3,
            limit: None,
            content_type: HeaderValue::from_static("application/json"),
            etag: HeaderValue::from_static("\"tag\""),
            body: Bytes::from_static(body),
        }
    }

    fn proved(&self, credential: &Credential) -> Proved {
        Proved {
            credential: credential.clone(),
            collection: LIST,
            organization: ORGANIZATION,
            stamp: STAMP,
            sent: self.clock.now(),
            max_age: MINUTE,
        }
    }
}

fn wanted(path: &str, owner: Option<SharedCredential>) -> Wanted {
    Wanted { path: path.to_owned(), owner }
}

fn credential(token: &str) -> Credential {
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    let fields = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
    Digester::default().credential(&fields).unwrap()
}

fn bodies(found: &Found<Entry>) -> Vec<(usize, &[u8])> {
    match found {
        Found::Some(entries) => entries.iter().map(|(place, entry)| (*place, &entry.body[..])).collect(),
        other => panic!("nothing was found: {other:?}"),
    }
}

/// Asks until the fetch is its own.
async fn until_mine(replica: &Replica) {
    let mut look_up = replica.look_up();
    loop {
        match replica.ask(&mut look_up).await {
            Found::Mine(_) => return,
            found => assert!(matches!(found, Found::Others(_)), "{found:?}"),
        }
        tokio::task::yield_now().await;
    }
}

async fn for_each_engine(test: impl AsyncFn(TestStore)) {
    for engine in Engine::ALL {
        test(TestStore::start(engine)).await;
    }
}

#[tokio::test]
async fn one_call_brings_the_item_and_the_whole_list() {
    for_each_engine(async |store| {
        let (one, other) = (Replica::start(&store).await, Replica::start(&store).await);
        one.tier.keep(one.learned(ITEM, b"item")).await;
        assert_eq!(bodies(&other.finds().await), [(0, &b"item"[..])]);
        one.tier.keep(one.learned(LIST, b"list")).await;
        let found = other.finds().await;
        assert_eq!(bodies(&found), [(0, &b"item"[..]), (1, &b"list"[..])]);
        let Found::Some(entries) = found else { unreachable!("it was some") };
        let entry = &entries[0].1;
        assert_eq!((entry.stamp, entry.jitter), (STAMP, 3));
        assert!(other.tier.age(entry.sent, other.clock.now()).unwrap() < MINUTE);
    })
    .await;
}

#[tokio::test]
async fn one_replica_fetches_and_the_others_are_told_how_far_it_is() {
    for_each_engine(async |store| {
        let (one, other) = (Replica::start(&store).await, Replica::start(&store).await);
        let Found::Mine(lock) = one.finds().await else { panic!("nobody has it") };
        let mut waiting = other.look_up();
        assert!(matches!(other.ask(&mut waiting).await, Found::Others(Progress::Begun)));
        lock.note_sent();
        while !matches!(other.ask(&mut waiting).await, Found::Others(Progress::Sent)) {
            tokio::task::yield_now().await;
        }
        // Longer than a lock holds that is not extended.
        let end = other.clock.now().plus(Duration::from_millis(1500));
        while !other.clock.now().reached(end) {
            assert!(matches!(other.ask(&mut waiting).await, Found::Others(_)), "it is extended");
            tokio::task::yield_now().await;
        }
        one.tier.keep(one.learned(ITEM, b"item")).await;
        drop(lock);
        assert_eq!(bodies(&other.ask(&mut waiting).await), [(0, &b"item"[..])]);
    })
    .await;
}

#[tokio::test]
async fn a_fetch_that_fails_frees_its_lock_and_one_that_died_loses_it() {
    for_each_engine(async |store| {
        let (one, other) = (Replica::start(&store).await, Replica::start(&store).await);
        let Found::Mine(lock) = one.finds().await else { panic!("nobody has it") };
        drop(lock);
        // The lock is freed behind, and was never the other's.
        until_mine(&other).await;
        let lock = one.tier.0.names.lock(&one.tier.0.names.entry(ORGANIZATION, ITEM, None));
        let lock = String::from_utf8(lock).unwrap();
        while store.ask(&["SET", &lock, "a process that diedb", "PX", "60000", "NX"]) != "OK" {
            tokio::task::yield_now().await;
        }
        assert!(matches!(one.finds().await, Found::Others(Progress::Begun)));
        // Nobody extends it: its time is over now.
        assert_eq!(store.ask(&["PEXPIRE", &lock, "1"]), "1");
        while store.ask(&["EXISTS", &lock]) == "1" {
            tokio::task::yield_now().await;
        }
        until_mine(&other).await;
    })
    .await;
}

#[tokio::test]
async fn whoever_looks_for_an_item_waits_for_the_list_that_would_bring_it() {
    for_each_engine(async |store| {
        let (one, other) = (Replica::start(&store).await, Replica::start(&store).await);
        let mut list = one.tier.look_up(ORGANIZATION, vec![wanted(LIST, None)], None);
        let Found::Mine(_lock) = one.ask(&mut list).await else { panic!("nobody has it") };
        let mut item = other.look_up();
        assert!(matches!(other.ask(&mut item).await, Found::List(Progress::Begun)));
        item.forget_list();
        assert!(matches!(other.ask(&mut item).await, Found::Mine(_)), "not for ever");
    })
    .await;
}

#[tokio::test]
async fn what_was_found_and_does_not_count_is_in_nobodys_way() {
    for_each_engine(async |store| {
        let replica = Replica::start(&store).await;
        let name = String::from_utf8(replica.tier.0.names.entry(ORGANIZATION, ITEM, None)).unwrap();
        for value in ["", "x", "no entry at all, and longer than what it is told by"] {
            store.ask(&["SET", &name, value]);
            let Found::Mine(lock) = replica.finds().await else { panic!("{value:?} counts") };
            drop(lock);
            while store.ask(&["EXISTS", &format!("{name}:lock")]) == "1" {
                tokio::task::yield_now().await;
            }
        }
        store.ask(&["DEL", &name]);
        store.ask(&["LPUSH", &name, "not even a value"]);
        assert!(matches!(replica.finds().await, Found::Without), "the rest goes without the store");
        store.ask(&["DEL", &name]);
        replica.tier.keep(replica.learned(ITEM, b"item")).await;
        let mut look_up = replica.look_up();
        assert_eq!(bodies(&replica.ask(&mut look_up).await).len(), 1);
        // Whoever found it unfit asks again, and fetches it.
        assert!(matches!(replica.ask(&mut look_up).await, Found::Mine(_)));
        replica.tier.keep(replica.learned(ITEM, b"anew")).await;
        assert_eq!(bodies(&replica.ask(&mut look_up).await), [(0, &b"anew"[..])]);
    })
    .await;
}

#[tokio::test]
async fn entries_of_others_that_were_swapped_do_not_count() {
    for_each_engine(async |store| {
        let replica = Replica::start(&store).await;
        replica.tier.keep(replica.learned("/labels/2", b"another")).await;
        let name = |path| String::from_utf8(replica.tier.0.names.entry(ORGANIZATION, path, None)).unwrap();
        store.ask(&["RENAME", &name("/labels/2"), &name(ITEM)]);
        assert!(matches!(replica.finds().await, Found::Mine(_)));
        let foreign = Replica::with_secrets(&store, &[2]).await;
        foreign.tier.keep(foreign.learned(LIST, b"foreign")).await;
        let mut list = replica.tier.look_up(ORGANIZATION, vec![wanted(LIST, None)], None);
        assert!(matches!(replica.ask(&mut list).await, Found::Mine(_)), "of another secret");
    })
    .await;
}

#[tokio::test]
async fn a_replica_without_a_lease_asks_nothing_and_tells_nothing() {
    for_each_engine(async |store| {
        let replica = Replica::start(&store).await;
        replica.lease.end();
        replica.tier.keep(replica.learned(ITEM, b"item")).await;
        replica.tier.keep_proof(replica.proved(&credential("a"))).await;
        assert!(matches!(replica.finds().await, Found::Without));
        replica.lease.extend(replica.clock.now().plus(MINUTE));
        assert!(matches!(replica.finds().await, Found::Mine(_)), "nothing was stored");
        let mut spent = replica.tier.patience();
        spent.spend(MINUTE);
        let found = replica.tier.ask(&mut replica.look_up(), &mut spent).await;
        assert!(matches!(found, Found::Without), "a request that has waited enough goes without");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_stored_that_is_large_or_hardly_lives() {
    for_each_engine(async |store| {
        let replica = Replica::start(&store).await;
        let short = Learned { lifetime: Duration::from_millis(1999), ..replica.learned(ITEM, b"short") };
        replica.tier.keep(short).await;
        let body = Bytes::from(vec![b'x'; LARGEST_BODY + 1]);
        replica.tier.keep(Learned { body, ..replica.learned(ITEM, b"") }).await;
        assert!(matches!(replica.finds().await, Found::Mine(_)));
        let body = Bytes::from(vec![b'x'; LARGEST_BODY]);
        let large = Learned { body, lifetime: MINUTE, ..replica.learned(ITEM, b"") };
        replica.tier.keep(large).await;
        assert_eq!(bodies(&replica.finds().await)[0].1.len(), LARGEST_BODY);
        let name = String::from_utf8(replica.tier.0.names.entry(ORGANIZATION, ITEM, None)).unwrap();
        let left: i64 = store.ask(&["PTTL", &name]).parse().unwrap();
        assert!((1..=60_000).contains(&left), "it ends: {left}");
    })
    .await;
}

#[tokio::test]
async fn a_proof_is_one_credentials_and_goes_with_a_refusal_of_its_key() {
    for_each_engine(async |store| {
        let (one, other) = (Replica::start(&store).await, Replica::start(&store).await);
        let (a, b) = (credential("a"), credential("b"));
        let Found::Mine(lock) = one.finds_proof(&a).await else { panic!("nobody asks") };
        assert!(matches!(other.finds_proof(&a).await, Found::Others(Progress::Begun)));
        assert!(matches!(other.finds_proof(&b).await, Found::Mine(_)), "another credential's is its own");
        one.tier.keep_proof(one.proved(&a)).await;
        drop(lock);
        let Found::Some(proofs) = other.finds_proof(&a).await else { panic!("it was stored") };
        let proof = proofs[0].1;
        assert_eq!((proof.organization, proof.stamp), (ORGANIZATION.name().0, STAMP));
        assert!(other.tier.admits_proof(&a, &LEAD_LABEL, &proof));
        let named = other.tier.all_named(&a);
        other.heard.note_refusal_by(&OTHER, named[0].authorization, Number(9));
        assert!(other.tier.admits_proof(&a, &LEAD_LABEL, &proof), "another resource's refusal");
        assert!(!other.tier.admits_proof(&a, &OTHER, &proof));
        other.heard.note_refusal(named[0].authorization, Number(8));
        assert!(!other.tier.admits_proof(&a, &LEAD_LABEL, &proof), "from before the refusal");
        other.heard.note_everything(Number(3));
        assert!(other.tier.admits_proof(&a, &LEAD_LABEL, &proof));
        other.heard.stamp_with(Some(Stamp { history: HistoryId::example(3), number: Number(3) }));
        assert!(
            !other.tier.admits_proof(&a, &LEAD_LABEL, &proof),
            "of another history, whose numbers say nothing here"
        );
        // As long as something said here has not come back, too.
        other.heard.stamp_with(None);
        assert_eq!(other.tier.take_out_proofs(&named).await, Taken::Something);
        assert_eq!(other.tier.take_out_proofs(&named).await, Taken::Nothing, "once");
        assert!(!matches!(one.finds_proof(&a).await, Found::Some(_)));
    })
    .await;
}

#[tokio::test]
async fn a_proof_from_before_a_refusal_that_was_met_here_does_not_count() {
    for_each_engine(async |store| {
        let (one, other) = (Replica::start(&store).await, Replica::start(&store).await);
        let a = credential("a");
        let named = other.tier.all_named(&a);
        one.tier.keep_proof(one.proved(&a)).await;
        let Found::Some(proofs) = other.finds_proof(&a).await else { panic!("it was stored") };
        let (admits, now) = (|| other.tier.admits_proof(&a, &LEAD_LABEL, &proofs[0].1), other.clock.now());
        other.heard.note_refused_here(named[0].authorization, Some(&OTHER), now);
        assert!(admits(), "another resource's refusal");
        other.heard.note_refused_here(named[0].authorization, None, now.back(MINUTE));
        assert!(admits(), "it was proved since");
        other.heard.note_refused_here(named[0].authorization, None, now);
        assert!(!admits(), "nobody has said it with a number");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_by_one_resource_leaves_the_proofs_by_the_others() {
    for_each_engine(async |store| {
        let old = Replica::with_secrets(&store, &[1]).await;
        let both = Replica::with_secrets(&store, &[2, 1]).await;
        let a = credential("a");
        for replica in [&old, &both] {
            for collection in [LIST, "/api/v2/others"] {
                replica.tier.keep_proof(Proved { collection, ..replica.proved(&a) }).await;
            }
        }
        let (named, of) = (both.tier.all_named(&a), "/api/v2/others");
        both.heard.stamp_with(None);
        assert_eq!(both.tier.take_out_proof(&named, of).await, Taken::Something);
        assert_eq!(both.tier.take_out_proof(&named, of).await, Taken::Nothing, "once");
        both.heard.stamp_with(Some(STAMP));
        for replica in [&old, &both] {
            assert!(matches!(replica.finds_proof(&a).await, Found::Some(_)));
            assert!(!matches!(replica.finds_proof_by(&a, of).await, Found::Some(_)));
        }
        both.tier.keep_proof(Proved { collection: of, ..both.proved(&a) }).await;
        assert!(matches!(both.finds_proof_by(&a, of).await, Found::Some(_)), "it was proved again");
    })
    .await;
}

#[tokio::test]
async fn a_late_answer_to_a_look_up_of_a_proof_leaves_no_lock_behind() {
    for_each_engine(async |store| {
        let replica = Replica::start(&store).await;
        let probe = replica.tier.0.names.lock(&replica.tier.0.names.entry(ORGANIZATION, "/probe", None));
        let probe = String::from_utf8(probe).unwrap();
        while store.ask(&["EXISTS", &probe]) == "1" {
            tokio::task::yield_now().await;
        }
        let freed = || {
            let told = store.ask(&["INFO", "commandstats"]);
            let of_del = told.lines().find_map(|line| line.strip_prefix("cmdstat_del:calls="));
            of_del.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0_u64)
        };
        // The server knows the script from then on.
        let Found::Mine(_lock) = replica.finds_proof(&credential("b")).await else { panic!("nobody asks") };
        let before = freed();
        store.freeze();
        let mut patience = replica.tier.patience();
        patience.spend(patience.left() - Duration::from_millis(20));
        let mut look_up = replica.tier.look_up_proof(&credential("a"), LIST).unwrap();
        assert!(matches!(replica.tier.ask_for_proof(&mut look_up, &mut patience).await, Found::Without));
        store.thaw();
        let end = replica.clock.now().plus(Duration::from_secs(10));
        while freed() == before {
            assert!(!replica.clock.now().reached(end), "nobody frees it");
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn proofs_are_found_while_the_secret_is_changed() {
    for_each_engine(async |store| {
        let old = Replica::with_secrets(&store, &[1]).await;
        let both = Replica::with_secrets(&store, &[2, 1]).await;
        let new = Replica::with_secrets(&store, &[2]).await;
        let (a, b) = (credential("a"), credential("b"));
        old.tier.keep_proof(old.proved(&a)).await;
        assert!(matches!(both.finds_proof(&a).await, Found::Some(_)));
        assert!(!matches!(new.finds_proof(&a).await, Found::Some(_)));
        both.tier.keep_proof(both.proved(&b)).await;
        assert!(matches!(new.finds_proof(&b).await, Found::Some(_)));
    })
    .await;
}

#[tokio::test]
async fn a_full_store_still_tells_what_it_has() {
    for_each_engine(async |store| {
        let replica = Replica::start(&store).await;
        replica.tier.keep(replica.learned(ITEM, b"item")).await;
        store.ask(&["CONFIG", "SET", "maxmemory", "1"]);
        assert_eq!(bodies(&replica.finds().await), [(0, &b"item"[..])]);
        let mut other = replica.tier.look_up(ORGANIZATION, vec![wanted("/labels/9", None)], None);
        assert!(matches!(replica.ask(&mut other).await, Found::Without), "and takes no lock");
    })
    .await;
}
