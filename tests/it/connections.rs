//! Connections to the upstream: whose they are, when a call has one, and what a call that got no answer comes to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use instantly_proxy::config::Burst;
use instantly_proxy::error::ErrorKind;

use crate::support::labels::{CAMPAIGNS, LABELS, label, label_path, page, token};
use crate::support::{Answer, World, patiently, together};

/// Bytes of a whole HTTP/1.1 answer with this body, and what comes behind it.
fn answer_and(body: &str, behind: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}{behind}", body.len()).into_bytes()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("it was text")
}

const REJECTIONS: &str = "instantly_proxy_response_gate_rejections_total";
const OF_EXCESS: [(&str, &str); 1] = [("reason", "excess")];

fn excess(world: &World) -> impl Future<Output = f64> + use<> {
    world.proxy.metric(REJECTIONS, &OF_EXCESS)
}

/// T18.
#[tokio::test]
async fn a_connection_belongs_to_one_credential_to_its_end() {
    let world = World::start();
    for n in 1..=4 {
        world.vendor.admit(&token("a", n), "a");
        world.proven("a", n).await;
    }
    let callers: Vec<_> = (1..=4).map(|n| world.caller("a", n)).collect();
    for _ in 0..3 {
        for caller in &callers {
            caller.get(CAMPAIGNS).send().await.assert_status(200);
            caller.get(&label_path(2)).field("cache-control", "no-cache").send().await.assert_status(200);
        }
        for call in together(8, |n| callers[n % 4].get("/api/v2/leads").send()).await {
            call.assert_status(200);
        }
    }
    let requests = world.upstream.requests();
    for one in &requests {
        let others = requests.iter().filter(|other| other.connection == one.connection);
        let fields = ["authorization", "x-as-workspace"];
        for other in others {
            assert_eq!(fields.map(|name| one.field(name)), fields.map(|name| other.field(name)));
        }
    }
    let mut used: Vec<_> = requests.iter().map(|request| request.connection).collect();
    used.sort_unstable();
    used.dedup();
    assert!(used.len() < requests.len() / 2, "they are kept: {} for {} calls", used.len(), requests.len());
}

#[tokio::test]
async fn the_same_key_acting_for_a_workspace_has_connections_of_its_own() {
    let world = World::start();
    let (own, acting) = (world.caller("admin", 1), world.acting_for("a"));
    for _ in 0..3 {
        own.get(CAMPAIGNS).send().await.assert_status(200);
        acting.get(CAMPAIGNS).send().await.assert_status(200);
    }
    let requests = world.upstream.requests();
    let of = |acts: bool| {
        let chosen = requests.iter().filter(move |request| request.field("x-as-workspace").is_some() == acts);
        chosen.map(|request| request.connection)
    };
    assert!(of(true).all(|connection| of(false).all(|other| other != connection)));
}

/// What such a call sends, or gets back, may be a secret all the same: a token for a client's own.
#[tokio::test]
async fn a_caller_without_a_credential_leaves_no_connection_behind() {
    let world = World::start();
    world.upstream.reply_to("POST", "/oauth/token", Answer::json(200, "{}"));
    for _ in 0..3 {
        world.proxy.anonymous().post("/oauth/token", "{}").send().await.assert_status(200);
    }
    let requests = world.upstream.requests();
    assert_eq!(requests.iter().map(|request| request.connection).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn at_the_bound_the_connection_that_was_idle_longest_closes_for_who_needs_one() {
    let world = World::start_with(|config| {
        config.upstream.max_connections = 4;
        config.shield.single_workspace = true;
    });
    world.vendor.admit(&token("a", 4), "a");
    let callers: Vec<_> = (1..=4).map(|n| world.caller("a", n)).collect();
    // The list read that introduces each caller has its own connection: what is open in the end is the last four of eight. One
    // after the other, for a read behind a caller's back does not wait where connections are short.
    let reads = &[("purpose", "proof"), ("status", "2xx")];
    for (caller, introduced) in callers.iter().zip([1.0, 2.0, 3.0, 4.0]) {
        caller.get(CAMPAIGNS).send().await.assert_status(200);
        world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", reads, introduced).await;
    }
    let opened = world.upstream.connections();
    callers[3].get(CAMPAIGNS).send().await.assert_status(200);
    assert_eq!(world.upstream.connections(), opened, "the latest is still there");
    callers[0].get(CAMPAIGNS).send().await.assert_status(200);
    assert_eq!(world.upstream.connections(), opened + 1, "the oldest had to go");
}

#[tokio::test]
async fn a_connection_that_is_always_in_use_is_given_up_after_five_minutes() {
    let world = World::start();
    let caller = world.caller("a", 1);
    for _ in 0..10 {
        caller.get(CAMPAIGNS).send().await.assert_status(200);
        world.proxy.advance_seconds(40);
    }
    let calls = world.upstream.requests();
    let mut used: Vec<_> =
        calls.iter().filter(|call| call.is("GET", CAMPAIGNS)).map(|call| call.connection).collect();
    assert!(used.is_sorted(), "{used:?}");
    let oldest = used.iter().filter(|connection| **connection == used[0]).count();
    assert!((6..=8).contains(&oldest), "{used:?}");
    used.dedup();
    assert_eq!(used.len(), 2);
}

/// G2: which of them is the answer is anybody's guess.
#[tokio::test]
async fn a_label_answer_with_bytes_behind_it_is_an_error_and_never_stored() {
    let second = text(answer_and(&label("b", 1, "b-1"), ""));
    for behind in ["x", "\r\n", second.as_str()] {
        for close in [false, true] {
            let world = World::start();
            let caller = world.proven("a", 1).await;
            let answer = Answer::raw(answer_and(&label("a", 2, "a-2"), behind));
            let answer = if close { answer.then_close() } else { answer };
            world.upstream.reply_to("GET", &label_path(2), answer);
            caller.get(&label_path(2)).send().await.assert_error(ErrorKind::BadUpstreamAnswer);
            assert!(excess(&world).await >= 1.0, "{behind:?}");
            world.upstream.clear_scripts();
            caller.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
        }
    }
}

#[tokio::test]
async fn a_write_whose_answer_has_bytes_behind_it_counts_as_one_of_unknown_fate() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let answer = Answer::raw(answer_and(&label("a", 1, "changed"), "HTTP/1.1 200 OK\r\n"));
    world.upstream.reply_to("PATCH", &label_path(1), answer);
    let reply = caller.patch(&label_path(1), r#"{"label":"changed"}"#).send().await;
    reply.assert_error(ErrorKind::BadUpstreamAnswer);
    caller.get(&label_path(1)).send().await.assert_miss();
    let unknown =
        world.proxy.metric("instantly_proxy_cache_invalidations_total", &[("cause", "unknown_write")]);
    assert_eq!(unknown.await, 1.0);
}

#[tokio::test]
async fn what_passes_through_with_bytes_behind_it_is_delivered_and_its_connection_closed() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.upstream.reply_to("GET", CAMPAIGNS, Answer::raw(answer_and("{}", "HTTP/1.1 200 OK\r\n\r\n")));
    caller.get(CAMPAIGNS).send().await.assert_status(200).assert_text("{}");
    // It is counted behind the whole answer.
    world.proxy.metric_reaches(REJECTIONS, &OF_EXCESS, 1.0).await;
    assert_eq!(excess(&world).await, 1.0);
    caller.get("/api/v2/leads").send().await.assert_status(200);
    let (first, second) = (world.upstream.count() - 2, world.upstream.count() - 1);
    let requests = world.upstream.requests();
    assert_ne!(requests[first].connection, requests[second].connection);
}

/// A key that is not known yet must not be bound by somebody else's list, be it whole and sound.
#[tokio::test]
async fn an_upstream_that_answers_twice_binds_no_key_to_a_foreign_organization() {
    let world = World::start();
    let foreign = page(&[label("b", 1, "b-1")], None);
    let twice = answer_and("{}", &text(answer_and(&foreign, "")));
    world.upstream.script(move |request| request.is("GET", CAMPAIGNS).then(|| Answer::raw(twice.clone())));
    world.proven("b", 1).await;
    for n in 1..=10 {
        world.caller("b", 1).get(CAMPAIGNS).send().await.assert_status(200);
        world.vendor.admit(&token("a", n), "a");
        let newcomer = world.caller("a", n);
        newcomer.get(LABELS).send().await.assert_status(200).assert_proof();
        newcomer.get(&label_path(1)).send().await.assert_label("a-1");
    }
}

/// Answers the first request of a connection that had served before by closing it, once.
fn close_a_reused_connection(world: &World, method: &'static str, target: String) -> Arc<AtomicBool> {
    let closed = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&closed);
    world.upstream.script(move |request| {
        let is_it = request.is(method, &target) && !done.swap(true, Ordering::SeqCst);
        is_it.then(Answer::close)
    });
    closed
}

#[tokio::test]
async fn a_read_whose_kept_connection_was_closed_under_it_is_sent_again_at_no_cost_to_the_retries() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    for (target, own_connection) in [(label_path(2), true), (CAMPAIGNS.to_owned(), false)] {
        if !own_connection {
            caller.get("/api/v2/leads").send().await.assert_status(200);
        }
        let closed = close_a_reused_connection(&world, "GET", target.clone());
        caller.get(&target).send().await.assert_status(200);
        assert!(closed.load(Ordering::SeqCst));
    }
    assert_eq!(world.proxy.metric("instantly_proxy_retries_total", &[]).await, 0.0);
}

#[tokio::test]
async fn a_write_of_which_a_byte_was_written_is_never_sent_again() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    for (method, target) in [("PATCH", label_path(1)), ("POST", CAMPAIGNS.to_owned())] {
        caller.get("/api/v2/leads").send().await.assert_status(200);
        caller.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_status(200);
        close_a_reused_connection(&world, method, target.clone());
        let reply = caller.request(method, &target).json(r#"{"label":"x"}"#).send().await;
        reply.assert_error(ErrorKind::BadUpstreamAnswer);
        assert_eq!(world.upstream.count_of(|request| request.is(method, &target)), 1);
    }
}

/// Q9: what looks like a read may be a write behind the API's front.
#[tokio::test]
async fn what_a_query_makes_a_write_of_is_never_sent_again_either() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    for (method, path) in
        [("GET", label_path(1)), ("GET", CAMPAIGNS.to_owned()), ("HEAD", CAMPAIGNS.to_owned())]
    {
        let target = format!("{path}?_method=DELETE");
        caller.get("/api/v2/leads").send().await.assert_status(200);
        caller.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_status(200);
        close_a_reused_connection(&world, method, target.clone());
        let reply = caller.request(method, &target).send().await;
        reply.assert_status(502);
        assert_eq!(world.upstream.count_of(|request| request.is(method, &target)), 1, "{method} {target}");
    }
}

#[tokio::test]
async fn a_head_has_one_bound_and_is_told_from_a_broken_answer() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    for (length, fits) in [(40 * 1024, true), (70 * 1024, false)] {
        let answer = Answer::json(200, "{}").field("x-long", &"x".repeat(length));
        world.upstream.reply_to("GET", CAMPAIGNS, answer);
        let reply = caller.get(CAMPAIGNS).send().await;
        if fits {
            reply.assert_status(200);
        } else {
            reply.assert_error(ErrorKind::BadAnswerHead);
        }
    }
}

/// RFC 9112 §5.1.
#[tokio::test]
async fn white_space_before_a_colon_of_the_upstream_is_removed() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let answer = "HTTP/1.1 200 OK\r\nX-Spaced : yes\r\nContent-Length: 2\r\n\r\n{}";
    world.upstream.reply_to("GET", CAMPAIGNS, Answer::raw(answer));
    let reply = caller.get(CAMPAIGNS).send().await;
    assert_eq!(reply.assert_status(200).field("x-spaced"), Some("yes"));
}

/// What opens its connection first is not written when that comes about, but when its turn does.
#[tokio::test]
async fn a_cold_burst_is_written_by_halves_of_the_limit() {
    let world = World::start_shielded_with(|config| {
        config.shield.burst = Burst::Half;
        config.shield.single_workspace = true;
        config.shield.max_wait = Duration::from_secs(60);
    });
    for n in 1..=3 {
        world.proven("a", n).await;
    }
    // Nothing is spent, and no connection is open any more.
    world.proxy.advance_seconds(62);
    let before = world.upstream.count();
    let calls: Vec<_> = (0..131).map(|n| world.caller("a", n % 3 + 1).get(CAMPAIGNS).spawn()).collect();
    // How many have arrived, every ten milliseconds of the proxy's time.
    let mut arrived = Vec::new();
    while calls.iter().any(|call| !call.is_finished()) {
        // Each has arrived, or waits for its turn.
        patiently("calls to arrive or wait", async {
            let queued = || world.proxy.metric("instantly_proxy_shield_queued", &[]);
            while world.upstream.count() - before + queued().await as usize != calls.len() {}
        })
        .await;
        arrived.push(world.upstream.count() - before);
        world.proxy.advance(Duration::from_millis(10));
    }
    for call in calls {
        call.await.expect("no panic").assert_status(200);
    }
    assert!(arrived[0] <= 45, "{} at once", arrived[0]);
    let of_second = |from: usize| arrived[(from + 100).min(arrived.len() - 1)] - arrived[from];
    let densest = (0..arrived.len()).map(of_second).max().expect("some arrived");
    assert!(densest <= 90, "{densest} in a second");
    assert!(arrived.len() < 300, "they took {} ms", arrived.len() * 10);
}
