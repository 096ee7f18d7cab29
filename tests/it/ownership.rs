//! Resource ownership (`access_grants`): where the API says who may see a label, no key gets what another key read.
//!
//! It is a property of a whole workspace, and by-id answers may not show it: lists are the witness.

use std::time::Duration;

use instantly_proxy::clock::Clock;
use instantly_proxy::simulator::{self, Limits, Simulator, SimulatorConfig};
use serde_json::{Value, json};

use crate::support::labels::{LABELS, label, label_path, page, token};
use crate::support::{
    Answer, Caller, Gate, Grants, Peculiar, Recorded, Reply, Serving, World, is_label_read, patiently,
    together,
};

/// A world that shares what is read without a witness, and in which keys 1 and 2 of organization `a` have read labels 1
/// and 2.
async fn sharing() -> (World, Caller, Caller) {
    let world = World::start();
    let (one, two) = (world.proven("a", 1).await, world.proven("a", 2).await);
    one.get(&label_path(2)).send().await.assert_miss();
    two.get(&label_path(2)).send().await.assert_hit();
    (world, one, two)
}

fn is_list_read(request: &Recorded) -> bool {
    request.is("GET", &whole_list())
}

fn whole_list() -> String {
    format!("{LABELS}?limit=100")
}

/// Label `n` of organization `a` with this text, and who may see it.
fn granted(n: u32, text: &str) -> String {
    label("a", n, text).replace(r#""use_with_ai":true"#, r#""use_with_ai":true,"access_grants":[]"#)
}

#[track_caller]
fn assert_fetched(reply: &Reply, text: &str) {
    assert!(reply.assert_label(text).cache_status().starts_with("fwd="), "{reply:?}");
}

/// What `explain` says of who may have what key 1 of organization `a` reads.
async fn shared(world: &World) -> Value {
    let question = json!({
        "method": "GET",
        "path": label_path(1),
        "headers": {"authorization": format!("Bearer {}", token("a", 1))},
    });
    let told = world.proxy.admin_post("/api/explain", &question.to_string()).send().await;
    told.assert_status(200).json()["key"]["shared"].clone()
}

async fn witnesses_asked_for(world: &World, count: f64) {
    let list_fills = [("purpose", "list_fill")];
    world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", &list_fills, count).await;
}

/// Waits until the list has been read as a witness: a list that is under way is waited for by a label that is missed.
async fn witnessed(world: &World, caller: &Caller) {
    caller.get(&label_path(2)).send().await.assert_status(200);
    witnesses_asked_for(world, 1.0).await;
}

#[tokio::test]
async fn a_label_that_the_api_hides_from_a_key_never_comes_to_it_by_another_key() {
    for grants in [Grants::InLists, Grants::Everywhere] {
        let world = World::start_by_default();
        world.vendor.own("a", grants);
        world.vendor.hide(&token("a", 2), 2);
        world.vendor.hide(&token("a", 2), 3);
        let gate = world.upstream.hold(is_list_read);
        let (one, two) = (world.proven("a", 1).await, world.proven("a", 2).await);
        if grants == Grants::InLists {
            gate.held(1).await;
        }
        // Before the list is here: nothing is known of who may see what.
        let early = two.get(&label_path(2)).spawn();
        gate.release();
        early.await.expect("no panic").assert_refused_upstream(404);
        for _ in 0..2 {
            for n in [1, 2, 3] {
                one.get(&label_path(n)).send().await.assert_label(&format!("a-{n}"));
            }
            two.get(&label_path(1)).send().await.assert_label("a-1");
            two.get(&label_path(2)).send().await.assert_refused_upstream(404);
            two.get(&label_path(3)).send().await.assert_refused_upstream(404);
            let seen = two.get(LABELS).send().await.json()["items"].as_array().map(Vec::len);
            assert_eq!(seen, Some(1), "{grants:?}");
        }
        one.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
        assert_eq!(shared(&world).await, json!("access_grants"));
    }
}

/// What an answer may look like that is the first to show grants, and who gets it.
#[tokio::test]
async fn the_first_answer_that_shows_grants_ends_all_sharing_of_its_organization_at_once() {
    let list = || page(&[label("a", 1, "a-1"), granted(3, "a-3")], None);
    let target = label_path(3);
    let search = format!("{LABELS}?search=a");
    let doubled = granted(3, "a-3").replace(r#""use_with_ai""#, r#""label":"x","use_with_ai""#);
    let rows: Vec<(&str, &str, &str, u32, Answer)> = vec![
        ("an item", "GET", &target, 1, Answer::json(200, granted(3, "a-3"))),
        ("an item of a key that is new", "GET", &target, 3, Answer::json(200, granted(3, "a-3"))),
        ("an item for HEAD of a key that is new", "HEAD", &target, 3, Answer::json(200, granted(3, "a-3"))),
        ("any item of a list", "GET", LABELS, 1, Answer::json(200, list())),
        ("a list that is never stored", "GET", &search, 1, Answer::json(200, list())),
        ("a write", "PATCH", &target, 1, Answer::json(200, granted(3, "a-3"))),
        ("a write of a key that is new", "POST", LABELS, 3, Answer::json(200, granted(4, "new"))),
        ("a label that was taken away", "DELETE", &target, 2, Answer::json(200, granted(3, "a-3"))),
        (
            "a list that may not be stored",
            "GET",
            LABELS,
            1,
            Answer::json(200, list()).field("set-cookie", "session=1"),
        ),
        ("a label with a member twice", "GET", &target, 1, Answer::json(200, doubled)),
    ];
    for (row, method, target, key, answer) in rows {
        let (world, one, two) = sharing().await;
        let fetched = if method == "HEAD" { "GET" } else { method };
        world.upstream.reply_to(fetched, target, answer);
        let told = world.caller("a", key).request(method, target);
        let told = if matches!(method, "POST" | "PATCH") { told.json(r#"{"label":"x"}"#) } else { told };
        told.send().await.assert_status(200);
        world.upstream.clear_scripts();
        assert_eq!(shared(&world).await, json!("access_grants"), "{row}");
        let before = world.upstream.count();
        for (caller, n) in [(&one, 1), (&two, 1), (&one, 2), (&two, 2)] {
            assert_fetched(&caller.get(&label_path(n)).send().await, &format!("a-{n}"));
            caller.get(&label_path(n)).send().await.assert_label(&format!("a-{n}")).assert_hit();
        }
        assert_eq!(world.upstream.count() - before, 4, "{row}");
        let gone = [("cause", "access_grants")];
        world.proxy.metric_reaches("instantly_proxy_cache_invalidations_total", &gone, 1.0).await;
        let other = world.proven("b", 1).await;
        other.get(&label_path(2)).send().await.assert_miss();
        world.proven("b", 2).await.get(&label_path(2)).send().await.assert_hit();
    }
}

#[tokio::test]
async fn grants_that_are_null_or_missing_are_none() {
    let (world, _, two) = sharing().await;
    let null = granted(2, "a-2").replace("[]", "null");
    world.upstream.reply_to("GET", LABELS, Answer::json(200, page(&[null], None)));
    two.get(LABELS).send().await.assert_miss();
    two.get(&label_path(2)).send().await.assert_hit();
    assert_eq!(shared(&world).await, json!("organization"));
}

fn hold_label(world: &World, n: u32) -> Gate {
    world.upstream.hold(move |request| request.is("GET", &label_path(n)))
}

#[tokio::test]
async fn a_flight_under_way_when_grants_are_shown_is_delivered_to_its_own_credential_alone() {
    let world = World::start();
    let (one, three) = (world.proven("a", 1).await, world.proven("a", 3).await);
    let two = world.proven("a", 2).await.over_http2();
    let gate = hold_label(&world, 2);
    let led = one.get(&label_path(2)).spawn();
    gate.held(1).await;
    world.round_trip(&two).await;
    let followed = two.get(&label_path(2)).spawn();
    tokio::task::yield_now().await;
    world.round_trip(&two).await;
    world.vendor.own("a", Grants::InLists);
    world.vendor.hide(&token("a", 2), 2);
    three.get(LABELS).send().await.assert_status(200);
    gate.release();
    led.await.expect("no panic").assert_label("a-2");
    followed.await.expect("no panic").assert_refused_upstream(404);
    // What landed after it began is its leader's own.
    one.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
    three.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
    two.get(&label_path(2)).send().await.assert_refused_upstream(404);
}

#[tokio::test]
async fn what_one_key_writes_is_stored_for_that_key_alone() {
    let world = World::start_with(|config| config.cache.write_through = true);
    world.vendor.own("a", Grants::InLists);
    let (one, two) = (world.proven("a", 1).await, world.proven("a", 2).await);
    one.get(LABELS).send().await.assert_status(200);
    one.patch(&label_path(2), r#"{"label":"new"}"#).send().await.assert_label("new");
    one.get(&label_path(2)).send().await.assert_label("new").assert_hit();
    assert_fetched(&two.get(&label_path(2)).send().await, "new");
    world.vendor.hide(&token("a", 2), 3);
    one.patch(&label_path(3), r#"{"label":"hidden"}"#).send().await.assert_label("hidden");
    two.get(&label_path(3)).send().await.assert_refused_upstream(404);
}

#[tokio::test]
async fn lists_that_one_key_reads_in_the_background_fill_for_that_key_alone() {
    let world = World::start_by_default();
    world.vendor.own("a", Grants::Everywhere);
    world.vendor.hide(&token("a", 2), 3);
    let (one, two) = (world.proven("a", 1).await, world.proven("a", 2).await);
    // A list fill.
    one.get(&label_path(2)).send().await.assert_label("a-2");
    one.get(&label_path(3)).send().await.assert_label("a-3");
    let before = world.upstream.count();
    for n in 1..=3 {
        one.get(&label_path(n)).send().await.assert_label(&format!("a-{n}")).assert_hit();
    }
    assert_eq!(world.upstream.count(), before);
    two.get(&label_path(3)).send().await.assert_refused_upstream(404);
    // A proof by list, which makes all labels of its key young again.
    world.proxy.advance_seconds(46);
    world.vendor.put_label("a", 2, "new");
    let lists = world.upstream.count_of(is_list_read);
    one.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    patiently("the proof to end", async { while one.get(&label_path(2)).send().await.label() != "new" {} })
        .await;
    assert_eq!(world.upstream.count_of(is_list_read), lists + 1);
    two.get(&label_path(3)).send().await.assert_refused_upstream(404);
    let own = two.get(LABELS).send().await.json()["items"].as_array().map(Vec::len);
    assert_eq!(own, Some(2));
}

#[tokio::test]
async fn sharing_resumes_only_after_a_full_ttl_with_a_list_and_without_grants() {
    let (world, one, two) = sharing().await;
    let fresh = |caller: &Caller| caller.get(LABELS).field("cache-control", "no-cache").send();
    world.vendor.own("a", Grants::InLists);
    fresh(&one).await.assert_status(200);
    world.vendor.disown("a");
    // A list, but not yet a full ttl.
    world.proxy.advance_seconds(59);
    fresh(&one).await.assert_status(200);
    assert_eq!(shared(&world).await, json!("access_grants"));
    world.vendor.own("a", Grants::InLists);
    fresh(&two).await.assert_status(200);
    world.vendor.disown("a");
    // A full ttl, but no list.
    world.proxy.advance_seconds(90);
    one.get(&label_path(2)).send().await.assert_label("a-2");
    two.get(&label_path(3)).send().await.assert_label("a-3");
    assert_eq!(shared(&world).await, json!("access_grants"));
    world.proxy.advance_seconds(1);
    two.get(LABELS).send().await.assert_status(200);
    assert_eq!(shared(&world).await, json!("organization"));
    // What was read before that stays its key's own.
    one.get(&label_path(3)).send().await.assert_label("a-3").assert_miss();
    one.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_label("a-1");
    two.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
}

/// A cache on the way has had it since before there were grants.
#[tokio::test]
async fn a_list_that_is_older_than_the_grants_brings_no_sharing_back() {
    let (world, one, _two) = sharing().await;
    world.proxy.advance_seconds(10);
    let fresh = |caller: &Caller| caller.get(LABELS).field("cache-control", "no-cache").send();
    world.vendor.own("a", Grants::InLists);
    fresh(&one).await.assert_status(200);
    world.vendor.disown("a");
    world.proxy.advance_seconds(90);
    for (age, shares) in [("91", "access_grants"), ("89", "organization")] {
        let list = Answer::json(200, page(&[label("a", 1, "a-1")], None)).field("age", age);
        world.upstream.reply_to("GET", LABELS, list);
        fresh(&one).await.assert_status(200);
        assert_eq!(shared(&world).await, json!(shares), "{age}");
    }
}

#[tokio::test]
async fn an_organization_that_is_new_here_has_its_list_read_once_behind_its_first_answer() {
    let world = World::start_by_default();
    let gate = world.upstream.hold(is_list_read);
    let one = world.proven("a", 1).await;
    gate.held(1).await;
    assert_eq!(shared(&world).await, json!("list_not_read"));
    // What is not known to be for everybody is not given to everybody.
    let two = world.proven("a", 2).await;
    gate.release();
    witnessed(&world, &one).await;
    assert_eq!(shared(&world).await, json!("organization"));
    two.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
    two.get(&label_path(3)).send().await.assert_label("a-3").assert_hit();
    world.proven("a", 3).await;
    assert_eq!(world.upstream.count_of(is_list_read), 1);
    assert_eq!(world.label_reads(), 4, "three proofs and the list");
}

#[tokio::test]
async fn a_list_that_may_not_be_stored_is_witness_enough() {
    let world = World::start_by_default();
    let list = Answer::json(200, page(&[label("a", 1, "a-1")], None)).field("set-cookie", "session=1");
    world.upstream.reply_to("GET", LABELS, list);
    world.caller("a", 1).get(LABELS).send().await.assert_status(200);
    world.proven("a", 2).await.get(&label_path(2)).send().await.assert_miss();
    world.proven("a", 3).await.get(&label_path(2)).send().await.assert_hit();
    assert_eq!(world.upstream.count_of(is_list_read), 0);
}

#[tokio::test]
async fn a_list_that_a_client_reads_first_is_witness_enough() {
    let world = World::start_by_default();
    world.caller("a", 1).get(LABELS).send().await.assert_proof();
    assert_eq!(shared(&world).await, json!("organization"));
    world.proven("a", 2).await.get(&label_path(2)).send().await.assert_hit();
    assert_eq!(world.upstream.count_of(is_list_read), 0);
}

#[tokio::test]
async fn a_list_that_could_not_be_read_is_asked_for_again_later_and_nothing_is_shared_until_then() {
    let world = World::start_with(|config| config.cache.list_fill = true);
    let empty = Answer::json(200, page(&[], None));
    world.upstream.reply_to("GET", &whole_list(), Answer::json(500, "{}"));
    let (one, two) = (world.proven("a", 1).await, world.proven("a", 2).await);
    witnesses_asked_for(&world, 1.0).await;
    let mut asked = world.upstream.count_of(is_list_read);
    assert_fetched(&two.get(&label_path(2)).send().await, "a-2");
    assert_fetched(&one.get(&label_path(2)).send().await, "a-2");
    assert_eq!(world.upstream.count_of(is_list_read), asked, "not at once");
    world.upstream.reply_to("GET", &whole_list(), empty);
    for pause in [5, 10] {
        world.proxy.advance_seconds(pause);
        // The one before may still be landing: then the next answer asks, which a client gets anew once a second at most.
        patiently("the next list read", async {
            while world.upstream.count_of(is_list_read) == asked {
                let again = one.get(&label_path(1)).field("cache-control", "no-cache");
                again.send().await.assert_label("a-1");
                world.round_trip(&one).await;
                if world.upstream.count_of(is_list_read) == asked {
                    world.proxy.advance_seconds(1);
                }
            }
        })
        .await;
        asked += 1;
        one.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_label("a-1");
        world.round_trip(&one).await;
        assert_eq!(world.upstream.count_of(is_list_read), asked, "and not at once again");
        assert_eq!(shared(&world).await, json!("list_not_read"));
    }
    world.upstream.clear_scripts();
    world.proxy.advance_seconds(20);
    one.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_label("a-1");
    patiently("the list", async { while shared(&world).await != json!("organization") {} }).await;
    two.get(&label_path(3)).send().await.assert_label("a-3").assert_hit();
}

#[tokio::test]
async fn no_list_is_asked_for_as_a_witness_where_nothing_would_be_shared_or_stored() {
    let world = World::start_by_default_with(|config| {
        config.cache.share = instantly_proxy::config::Share::Credential;
    });
    world.proven("a", 1).await;
    assert_eq!(shared(&world).await, json!("configured"));
    let unstored = World::start_by_default();
    let reader = unstored.caller("a", 1);
    reader.get(&label_path(1)).field("cache-control", "no-store").send().await.assert_label("a-1");
    for world in [&world, &unstored] {
        world.round_trip(&world.caller("a", 1)).await;
        world.proxy.advance(Duration::from_secs(1));
        assert_eq!(world.upstream.count_of(is_list_read), 0);
    }
}

#[tokio::test]
async fn a_label_that_no_user_made_is_served_like_any_other() {
    let world = World::start_by_default();
    let one = world.proven("a", 1).await;
    witnessed(&world, &one).await;
    let made = one.post(LABELS, r#"{"label":"made","interest_status_label":"neutral"}"#).send().await;
    let made = made.assert_label("made").json();
    assert_eq!(made["created_by"], Value::Null);
    let path = format!("{LABELS}/{}", made["id"].as_str().expect("an id"));
    let two = world.proven("a", 2).await;
    two.get(&path).send().await.assert_label("made").assert_hit();
    world.proxy.advance_seconds(301);
    two.get(&path).send().await.assert_label("made");
    two.get(LABELS).send().await.assert_status(200);
    two.get(LABELS).send().await.assert_hit();
    assert!(world.upstream.count_of(is_label_read) > 0);
}

/// All that is on by default, in the program as it is built, before the simulated API.
#[tokio::test]
async fn every_key_sees_through_the_proxy_what_the_api_shows_it_however_many_ask_at_once() {
    if !Peculiar::SimulatedGrants.is_there() {
        return;
    }
    for grants in [simulator::Grants::InLists, simulator::Grants::Everywhere] {
        let config =
            SimulatorConfig { limits: Limits::NONE, ownership: Some(grants), ..SimulatorConfig::default() };
        let simulator = Simulator::start(config, Clock::system()).await.expect("a free port");
        let serving = Serving::start(&simulator.url(), &[]).await;
        let workspace = &simulator.world().organizations()[0];
        let labels = workspace.labels();
        // Of the five keys, those that may read labels.
        let callers = [0, 1, 3, 4].map(|key| serving.caller(workspace.keys()[key].secret()));
        let mut random = fastrand::Rng::with_seed(3);
        let asked: Vec<(usize, usize)> =
            (0..2_000).map(|_| (random.usize(..callers.len()), random.usize(..=labels.len()))).collect();
        for asked in asked.chunks(50) {
            let replies = together(asked.len(), |n| {
                let (key, label) = asked[n];
                let target =
                    labels.get(label).map_or_else(whole_list, |label| format!("{LABELS}/{}", label.id));
                callers[key].get(&target).send()
            });
            for (reply, (key, label)) in replies.await.iter().zip(asked) {
                let is_hidden = *key > 0 && label % 3 == 0;
                if *label == labels.len() {
                    let shown = reply.assert_status(200).json()["items"].as_array().map(Vec::len);
                    assert_eq!(shown, Some(if *key > 0 { 8 } else { 12 }), "{grants:?} {reply:?}");
                } else if is_hidden {
                    reply.assert_refused_upstream(404);
                } else {
                    reply.assert_label(&labels[*label].label);
                }
            }
        }
        simulator.stop().await;
    }
}
