use super::*;
use crate::caller::credential::Digester;
use crate::callers::figures::Figure;
use crate::config::{CallerSource, Config, Mode};
use crate::outcome::Outcome;

const SECOND: Duration = Duration::from_secs(1);

fn config(limits: &[&str]) -> Config {
    let callers = crate::config::Callers {
        sources: CallerSource::ALL.to_vec(),
        trusted: vec!["127.0.0.0/8".parse().unwrap()],
        limits: limits.iter().map(|name| ((*name).to_owned(), Default::default())).collect(),
        ..Default::default()
    };
    Config { callers: Some(callers), ..Config::default() }
}

struct World {
    callers: Callers,
    rules: Arc<CallerRules>,
    digester: Digester,
}

impl World {
    fn new(limits: &[&str]) -> Self {
        let (callers, rules) = (Callers::default(), CallerRules::new(&config(limits)).unwrap());
        callers.set_rules(&rules, None, SECOND);
        Self { callers, rules, digester: Digester::default() }
    }

    fn evidence<'a>(&self, name: &'a str, key: &'a str) -> Evidence<'a> {
        let fields = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, key.parse().unwrap())]);
        let digest = self.digester.caller(&fields).as_ref().authorization().unwrap();
        Evidence {
            peer: "127.0.0.1".parse().unwrap(),
            certificate: None,
            field: Field::Once(name.as_bytes()),
            key: Some((digest, key.as_bytes())),
        }
    }

    /// As the fast path does.
    fn identify_again<'r>(
        &self,
        recent: &'r mut Recent,
        name: &str,
        key: &str,
        now: Duration,
    ) -> &'r Identity {
        let evidence = self.evidence(name, key);
        let claim = Claim { field: evidence.field, key: evidence.key.unwrap().0 };
        recent.or(&self.rules, claim, now.as_secs(), || {
            self.callers.identify(&self.rules, &Memo::default(), &evidence, now)
        })
    }

    fn identify(&self, memo: &Memo, name: &str, key: &str, now: Duration) -> Arc<Identity> {
        let identity = self.callers.identify(&self.rules, memo, &self.evidence(name, key), now);
        self.callers.note_claim(&identity);
        identity
    }
}

#[test]
fn the_same_request_on_the_same_connection_is_the_same_identity_until_anything_changes() {
    let (mut world, memo) = (World::new(&[]), Memo::default());
    let first = world.identify(&memo, "billing", "Bearer a", SECOND);
    assert!(Arc::ptr_eq(&first, &world.identify(&memo, "billing", "Bearer a", SECOND)));
    let other_key = world.identify(&memo, "billing", "Bearer b", SECOND);
    assert!(
        Arc::ptr_eq(&first.caller, &other_key.caller)
            && !Arc::ptr_eq(&first.credential, &other_key.credential)
    );
    let other_name = world.identify(&memo, "sync", "Bearer b", SECOND);
    assert_eq!((other_name.caller.name(), other_key.caller.name()), ("sync", "billing"));
    world.rules = CallerRules::new(&config(&["sync"])).unwrap();
    assert!(!Arc::ptr_eq(&other_name, &world.identify(&memo, "sync", "Bearer b", SECOND)));
}

#[test]
fn plain_reads_of_one_connection_are_told_like_all_others_whatever_changes_between_them() {
    let (mut world, mut recent) = (World::new(&[]), Recent::default());
    let long = "n".repeat(65);
    for limits in [&[] as &[&str], &["billing"]] {
        world.rules = CallerRules::new(&config(limits)).unwrap();
        for (name, key) in [
            ("billing", "Bearer a"),
            ("billing", "Bearer a"),
            ("sync", "Bearer a"),
            ("sync", "Bearer b"),
            (&long, "Bearer b"),
            (&long, "Bearer b"),
            ("", "Bearer b"),
            ("billing", "Bearer a"),
        ] {
            let told = world.identify(&Memo::default(), name, key, SECOND);
            let again = world.identify_again(&mut recent, name, key, SECOND);
            assert!(Arc::ptr_eq(&told.caller, &again.caller), "{name} {key}");
            assert!(Arc::ptr_eq(&told.credential, &again.credential), "{name} {key}");
            assert!(Arc::ptr_eq(&told.limit, &again.limit), "{name} {key}");
            assert_eq!(told.ignored, again.ignored);
        }
    }
}

#[test]
fn a_row_that_loses_its_place_between_two_plain_reads_is_given_up_in_the_next_second() {
    let (world, mut recent) = (World::new(&[]), Recent::default());
    let first = Arc::clone(&world.identify_again(&mut recent, "billing", "Bearer a", SECOND).caller);
    for number in 0..ROWS {
        let _ = world.identify(&Memo::default(), &format!("caller-{number}"), "Bearer a", 2 * SECOND);
    }
    assert!(first.is_retired());
    let next = &world.identify_again(&mut recent, "billing", "Bearer a", 2 * SECOND).caller;
    assert!(!next.is_retired() && next.name() == "billing");
    for row in [&first, next] {
        row.counters.request(Outcome::Hit);
    }
    let sums = world.callers.bill(3 * SECOND);
    assert_eq!(sums.callers.iter().map(|row| row.total.requests()).sum::<u64>(), 2);
}

#[test]
fn a_key_names_its_caller_where_nothing_else_does_and_nobody_else_can_take_that_name() {
    let (world, memo) = (World::new(&[]), Memo::default());
    let by_key = world.identify(&memo, "", "Bearer a", SECOND);
    assert_eq!(by_key.caller.name(), format!("~{}", world.callers.name_of_key(b"a")));
    let imitated = world.identify(&memo, by_key.caller.name(), "Bearer b", SECOND);
    assert_ne!(imitated.caller.id(), by_key.caller.id());
    assert_eq!(world.callers.sums().ignored[Ignored::Malformed.index()].1, 2);
}

#[test]
fn a_hundred_thousand_callers_and_keys_keep_sums_equal_and_series_and_tables_small() {
    let world = World::new(&["billing"]);
    let memo = Memo::default();
    let mut now = SECOND;
    for number in 0..100_000_u64 {
        let (name, key) = (format!("caller-{number}"), format!("Bearer {number}"));
        let payer = Payer { identity: Some(world.identify(&memo, &name, &key, now)), tally: None };
        payer.called(Duration::ZERO);
        if number % 1000 == 0 {
            world
                .identify(&Memo::default(), "billing", "Bearer b", now)
                .caller
                .counters
                .request(Outcome::Hit);
            now += SECOND;
            world.callers.tidy(now);
        }
    }
    drop(memo);
    let Bill { callers, credentials } = world.callers.bill(now);
    assert_eq!((callers.len(), credentials.len()), (ROWS + 1, ROWS + 1));
    let calls = |rows: &[Shown]| rows.iter().map(|row| row.total.of(Figure::UpstreamCalls)).sum::<u64>();
    assert_eq!((calls(&callers), calls(&credentials)), (100_000, 100_000));
    let minute = |rows: &[Shown]| rows.iter().map(|row| row.minute.of(Figure::UpstreamCalls)).sum::<u64>();
    assert_eq!(minute(&callers), minute(&credentials));
    let sums = world.callers.sums();
    assert_eq!(sums.named.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["billing"]);
    assert_eq!(sums.named[0].1.requests(), 100);
    assert_eq!(sums.others.of(Figure::UpstreamCalls), 100_000);
}

#[test]
fn the_wait_of_a_caller_whose_limits_are_observed_alone_is_everybodys() {
    for (mode, expected) in
        [(Mode::Enforce, Duration::from_millis(100)), (Mode::Observe, Duration::from_secs(8))]
    {
        let mut config = config(&["billing"]);
        let limits = &mut config.callers.as_mut().unwrap().limits;
        let limit = limits.get_mut("billing").unwrap();
        (limit.mode, limit.max_wait) = (mode, Some(Duration::from_millis(100)));
        let rules = crate::rules::Rules::new(&config);
        let (callers, told) = (Callers::default(), CallerRules::new(&config).unwrap());
        let world = World { callers, rules: told, digester: Digester::default() };
        let identity = world.identify(&Memo::default(), "billing", "Bearer a", SECOND);
        assert_eq!(rules.max_wait_of(Some(&identity), None), expected, "{mode:?}");
    }
}
