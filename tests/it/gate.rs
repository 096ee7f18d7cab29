//! Which upstream answers are stored, which are only passed on, and which reach nobody.

use instantly_proxy::error::ErrorKind;

use crate::support::labels::{CAMPAIGNS, LABELS, error, label, label_id, label_path, organization, page};
use crate::support::{Answer, Caller, World};

/// What a proven caller gets, the first time.
#[derive(Clone, Copy)]
enum Passes {
    /// The upstream's status and bytes.
    As(u16),
    /// A failure of ours in their place.
    Not(ErrorKind),
}

/// Reads `target` while the upstream answers so; then again when it is sound: it must be asked again.
async fn assert_not_stored(row: &str, target: &str, answer: Answer, passes: Passes) {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let (rendered, _) = answer.render("GET");
    world.upstream.reply_to("GET", target, answer);
    let reply = caller.get(target).send().await;
    match passes {
        Passes::As(status) => {
            assert_eq!(reply.status, status, "{row}: {reply:?}");
            assert_eq!(reply.cache_status(), "fwd=miss", "{row}");
            assert!(is_tail_of(&reply.body, &rendered), "{row}: {reply:?}");
        }
        Passes::Not(kind) => {
            assert_eq!(reply.error_kind(), Some(kind), "{row}: {reply:?}");
            reply.assert_error(kind);
        }
    }
    assert_asked_again(row, &world, &caller, target).await;
}

async fn assert_asked_again(row: &str, world: &World, caller: &Caller, target: &str) {
    world.upstream.clear_scripts();
    let again = caller.get(target).send().await;
    assert_eq!(again.status, 200, "{row}: {again:?}");
    assert!(again.cache_status().starts_with("fwd="), "{row}: {again:?}");
}

/// Whether the body's last bytes are those that were sent, or all of it for a body without framing in between.
fn is_tail_of(body: &[u8], rendered: &[u8]) -> bool {
    rendered.ends_with(body) || rendered.windows(5).any(|end| end == b"\r\n0\r\n")
}

fn good() -> String {
    label("a", 2, "a-2")
}

fn changed(from: &str, to: &str) -> Answer {
    let body = good();
    assert!(body.contains(from), "{from} is no part of a label");
    Answer::json(200, body.replace(from, to))
}

fn raw(head: &str, body: &str) -> Answer {
    let head = head.replace('\n', "\r\n");
    Answer::raw(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n\r\n{body}"))
        .then_close()
}

#[tokio::test]
async fn answers_without_a_sure_end_are_not_stored() {
    let cut = Passes::Not(ErrorKind::BadUpstreamAnswer);
    for (row, answer, passes) in [
        ("G1 Content-Length short", Answer::json(200, good()).cut_after(60), cut),
        ("G1 no last chunk", Answer::json(200, good()).chunked().cut_after(10_000), cut),
        ("G1 cut in a chunk", Answer::json(200, good()).chunked().cut_after(60), cut),
        ("G1 close-delimited", Answer::json(200, good()).close_delimited(), Passes::As(200)),
    ] {
        assert_not_stored(row, &label_path(2), answer, passes).await;
    }
}

#[tokio::test]
async fn answers_whose_framing_contradicts_itself_reach_nobody() {
    let body = good();
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    for (row, answer) in [
        ("G2 CL and TE", raw(&format!("Content-Length: {length}\nTransfer-Encoding: chunked"), &chunked)),
        ("G2 another coding", raw("Transfer-Encoding: identity", &body)),
        ("G2 two codings", raw("Transfer-Encoding: gzip, chunked", &chunked)),
        ("G2 chunked twice", raw("Transfer-Encoding: chunked\nTransfer-Encoding: chunked", &chunked)),
        ("G2 two lengths", raw(&format!("Content-Length: {length}\nContent-Length: 10"), &body)),
        ("G2 equal lengths", raw(&format!("Content-Length: {length}\nContent-Length: {length}"), &body)),
        ("G2 a list of lengths", raw(&format!("Content-Length: {length}, {length}"), &body)),
        ("G2 garbled length", raw(&format!("Content-Length: {length}x"), &body)),
        ("G7 NUL in a value", raw(&format!("X-A: a\0b\nContent-Length: {length}"), &body)),
    ] {
        let world = World::start();
        let caller = world.proven("a", 1).await;
        world.upstream.reply_to("GET", &label_path(2), answer);
        let reply = caller.get(&label_path(2)).send().await;
        assert_eq!(reply.status, 502, "{row}: {reply:?}");
        reply.assert_own_failure(&[502]);
        assert_asked_again(row, &world, &caller, &label_path(2)).await;
    }
}

#[tokio::test]
async fn a_connection_whose_framing_contradicts_itself_is_not_used_again() {
    let body = good();
    let (length, chunked) = (body.len(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    let bytes = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{chunked}"
    );
    for target in [label_path(2), CAMPAIGNS.to_owned()] {
        let world = World::start();
        let caller = world.proven("a", 1).await;
        world.upstream.reply_to("GET", &target, Answer::raw(bytes.clone()));
        caller.get(&target).send().await.assert_error(ErrorKind::BadUpstreamAnswer);
        let spoilt = world.upstream.last().connection;
        world.upstream.clear_scripts();
        for n in 0..5 {
            caller.get(&format!("{target}?limit={n}")).send().await.assert_status(200);
            caller.get(&target).field("cache-control", "no-cache").send().await.assert_status(200);
            assert_ne!(world.upstream.last().connection, spoilt);
        }
    }
}

#[tokio::test]
async fn bytes_after_an_answer_are_never_taken_for_the_next_one() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let (body, forged) = (good(), label("a", 3, "forged"));
    let (length, forged_length) = (body.len(), forged.len());
    let bytes = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}\
         HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {forged_length}\r\n\r\n{forged}"
    );
    world.upstream.reply_to("GET", &label_path(2), Answer::raw(bytes));
    let first = caller.get(&label_path(2)).send().await;
    assert!(first.status == 502 || first.label() == "a-2", "{first:?}");
    caller.get(&label_path(3)).send().await.assert_label("a-3");
}

#[tokio::test]
async fn a_200_that_is_no_sound_label_is_passed_on_as_it_came() {
    let upper = label_id(2).to_string().to_uppercase();
    let deep = format!(r#""use_with_ai":{}1{}"#, "[".repeat(65), "]".repeat(65));
    for (row, answer) in [
        ("G3 error object", Answer::json(200, r#"{"error":"ACC_AUTH_ERROR"}"#)),
        ("G3 HTML", Answer::body(200, "text/html", "<html></html>")),
        ("G3 HTML called JSON", Answer::json(200, "<html></html>")),
        ("G3 no id", changed(r#""id":"#, r#""identity":"#)),
        ("G3 id in upper case", changed(&label_id(2).to_string(), &upper)),
        ("G3 no organization", changed("organization_id", "owner")),
        ("G3 null organization", changed(&format!("\"{}\"", organization("a")), "null")),
        ("G3 id twice", changed(r#""label":"#, &format!(r#""id":"{}","label":"#, label_id(2)))),
        ("G3 nested key twice", changed(r#""use_with_ai":true"#, r#""use_with_ai":{"x":1,"x":2}"#)),
        ("G3 byte order mark", Answer::json(200, format!("\u{feff}{}", good()))),
        (
            "G3 invalid UTF-8",
            Answer::json(200, good().replace("a-2", "\u{e9}").chars().map(latin1).collect::<Vec<u8>>()),
        ),
        ("G3 depth", changed(r#""use_with_ai":true"#, &deep)),
        (
            "G3 two organizations",
            changed(
                r#""use_with_ai":true"#,
                &format!(r#""x":{{"organization_id":"{}"}}"#, organization("b")),
            ),
        ),
        ("G3 bytes behind it", Answer::json(200, good() + "{}")),
        ("G3 empty", Answer::json(200, "")),
        ("G3 array", Answer::json(200, format!("[{}]", good()))),
        ("G5 encoded", Answer::json(200, good()).field("content-encoding", "gzip")),
        ("G6 over 256 KiB", changed("a-2", &"x".repeat(257 * 1024))),
    ] {
        assert_not_stored(row, &label_path(2), answer, Passes::As(200)).await;
    }
}

/// The low byte: makes one invalid sequence of each letter above ASCII.
fn latin1(letter: char) -> u8 {
    u8::try_from(u32::from(letter)).unwrap_or(b'?')
}

#[tokio::test]
async fn fields_that_make_an_answer_personal_forbid_storing() {
    for (row, name, value) in [
        ("G4 cookie", "set-cookie", "session=1"),
        ("G4 one cookie of two", "set-cookie", "__cfx=1, other=2"),
        ("G4 Vary", "vary", "Authorization"),
        ("G4 Vary among others", "vary", "Accept-Encoding, Cookie"),
        ("G4 Vary: *", "vary", "*"),
        ("G5 unknown coding", "content-encoding", "x-odd"),
    ] {
        if row == "G4 one cookie of two" {
            let answer =
                Answer::json(200, good()).field("set-cookie", "__cf_bm=1").field("set-cookie", "other=2");
            assert_not_stored(row, &label_path(2), answer, Passes::As(200)).await;
        } else {
            let answer = Answer::json(200, good()).field(name, value);
            assert_not_stored(row, &label_path(2), answer, Passes::As(200)).await;
        }
    }
}

#[tokio::test]
async fn edge_cookies_and_harmless_vary_do_not_hinder() {
    for (name, value) in [
        ("set-cookie", "__cf_bm=1; path=/; HttpOnly"),
        ("set-cookie", "AWSALB=1"),
        ("vary", "Accept-Encoding"),
        ("vary", "Origin, accept-encoding"),
        ("cache-control", "no-store, private, max-age=0"),
        ("pragma", "no-cache"),
        ("expires", "0"),
    ] {
        let world = World::start();
        let caller = world.proven("a", 1).await;
        world.upstream.reply_to("GET", &label_path(2), Answer::json(200, good()).field(name, value));
        caller.get(&label_path(2)).send().await.assert_miss().assert_label("a-2");
        caller.get(&label_path(2)).send().await.assert_hit().assert_label("a-2");
    }
}

#[tokio::test]
async fn an_answer_to_another_read_reaches_nobody() {
    for (row, body) in [
        ("G3 another id", label("a", 3, "a-3")),
        ("G3 another organization than the proven one", label("b", 2, "b-2")),
    ] {
        let mixed_up = Passes::Not(ErrorKind::MixedUpAnswer);
        assert_not_stored(row, &label_path(2), Answer::json(200, body), mixed_up).await;
    }
}

#[tokio::test]
async fn a_mixed_up_answer_costs_the_binding() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.upstream.reply_to("GET", &label_path(2), Answer::json(200, label("b", 2, "b-2")));
    caller.get(&label_path(2)).send().await.assert_error(ErrorKind::MixedUpAnswer);
    let spoilt = world.upstream.last().connection;
    world.upstream.clear_scripts();
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    assert_ne!(world.upstream.last().connection, spoilt, "nor is its connection trusted any more");
}

/// Found by the simulation: the workspace was looked at first, and what is no answer to it is passed on to whoever is not known.
#[tokio::test]
async fn another_organizations_answer_reaches_nobody_who_acts_for_a_workspace_either() {
    let world = World::start();
    let caller = world.acting_for("b");
    caller.get(&label_path(1)).send().await.assert_label("b-1");
    world.upstream.reply_to("GET", &label_path(2), Answer::json(200, label("a", 2, "a-2")));
    caller.get(&label_path(2)).send().await.assert_error(ErrorKind::MixedUpAnswer);
}

/// Found by the simulation: what was asked before anything was known of its caller is judged by what is known when it comes.
#[tokio::test]
async fn another_organizations_answer_reaches_nobody_who_was_bound_while_it_was_on_its_way() {
    let foreign = label("b", 1, "b-1");
    let with_cookie = Answer::json(200, foreign.clone()).field("set-cookie", "session=1");
    for (acts, answer) in [(true, Answer::json(200, foreign)), (false, with_cookie)] {
        let world = World::start();
        let caller = if acts { world.acting_for("a") } else { world.caller("a", 1) };
        world.upstream.reply_to("GET", &label_path(1), answer);
        let late = world.upstream.hold(|request| request.target == label_path(1));
        let asked = caller.get(&label_path(1)).spawn();
        late.held(1).await;
        let sent = caller.get(&label_path(2)).send();
        let bound = world.proxy.advancing("a read that waits for a proof", sent).await;
        bound.assert_label("a-2").assert_proof();
        late.release();
        asked.await.expect("no panic").assert_error(ErrorKind::MixedUpAnswer);
    }
}

/// A session's cookie is just what comes with an answer that is somebody else's.
#[tokio::test]
async fn a_head_that_forbids_storing_hides_no_other_organization_and_no_other_id() {
    for body in [label("a", 3, "a-3"), label("b", 2, "b-2")] {
        let json = || Answer::json(200, body.clone());
        for (row, answer) in [
            ("a cookie", json().field("set-cookie", "session=1")),
            ("Vary", json().field("vary", "Authorization")),
            ("an unknown coding", json().field("content-encoding", "x-odd")),
            ("no JSON by its type", Answer::body(200, "text/plain", body.clone())),
        ] {
            let mixed_up = Passes::Not(ErrorKind::MixedUpAnswer);
            assert_not_stored(&format!("{row}, {body}"), &label_path(2), answer, mixed_up).await;
        }
    }
}

#[tokio::test]
async fn other_statuses_are_passed_on_and_never_stored() {
    for (row, answer) in [
        ("404", Answer::json(404, error(404, "Resource not found"))),
        ("429", Answer::json(429, error(429, "Rate limit exceeded"))),
        ("500", Answer::json(500, error(500, "Oops."))),
        ("203", Answer::json(203, good())),
        ("G4 206", Answer::json(206, good())),
        ("G4 302", Answer::status(302).field("location", "/elsewhere")),
        ("G4 unasked 304", Answer::status(304)),
    ] {
        let world = World::start();
        let caller = world.proven("a", 1).await;
        let (rendered, _) = answer.render("GET");
        world.upstream.reply_to("GET", &label_path(2), answer);
        let reply = caller.get(&label_path(2)).send().await;
        let status = String::from_utf8_lossy(&rendered[9..12]).into_owned();
        assert!(reply.status.to_string() == status || reply.status == 502, "{row}: {reply:?}");
        assert!(!reply.cache_status().contains("stored"), "{row}: {reply:?}");
        world.proxy.advance_seconds(5);
        assert_asked_again(row, &world, &caller, &label_path(2)).await;
    }
}

#[tokio::test]
async fn pages_are_judged_as_wholes() {
    let items = [label("a", 1, "a-1"), label("b", 2, "b-2")];
    let good = page(&[label("a", 1, "a-1")], Some("x"));
    for (row, body) in [
        ("empty", page(&[], None)),
        ("empty with a cursor", page(&[], Some("x"))),
        ("two organizations", page(&items, None)),
        ("no items", r#"{"next_starting_after":"x"}"#.to_owned()),
        ("items is no list", r#"{"items":{}}"#.to_owned()),
        ("an item without organization", good.replace("organization_id", "owner")),
        ("items twice", good.replace(r#"{"items":"#, r#"{"items":[],"items":"#)),
        ("over 4 MiB", good.replace("a-1", &"x".repeat(4 * 1024 * 1024))),
    ] {
        let answer = Answer::json(200, body.clone());
        assert_not_stored(row, LABELS, answer.clone(), Passes::As(200)).await;
        assert_not_stored(row, LABELS, answer.chunked(), Passes::As(200)).await;
    }
}

/// Label 2 of organization `a` with this text, not for everybody.
fn limited(text: &str) -> Answer {
    let grants = r#""use_with_ai":true,"access_grants":["x"]"#;
    Answer::json(200, label("a", 2, text).replace(r#""use_with_ai":true"#, grants))
}

#[tokio::test]
async fn a_label_that_limits_who_may_see_it_is_not_shared_between_credentials() {
    let world = World::start();
    let (owner, other) = (world.proven("a", 1).await, world.proven("a", 2).await);
    world.upstream.reply_to("GET", &label_path(2), limited("a-2"));
    owner.get(&label_path(2)).send().await.assert_label("a-2");
    owner.get(&label_path(2)).send().await.assert_label("a-2").assert_hit();
    let fetched = other.get(&label_path(2)).send().await;
    assert!(fetched.assert_label("a-2").cache_status().starts_with("fwd="), "{fetched:?}");
}

#[tokio::test]
async fn what_a_label_was_before_it_was_limited_is_served_to_nobody() {
    let world = World::start();
    let (owner, other) = (world.proven("a", 1).await, world.proven("a", 2).await);
    owner.get(&label_path(2)).send().await.assert_miss();
    other.get(&label_path(2)).send().await.assert_hit();
    world.upstream.reply_to("GET", &label_path(2), limited("secret"));
    owner.get(&label_path(2)).field("cache-control", "no-cache").send().await.assert_label("secret");
    owner.get(&label_path(2)).send().await.assert_label("secret").assert_hit();
    world.upstream.reply_to("GET", &label_path(2), Answer::json(404, error(404, "Resource not found")));
    other.get(&label_path(2)).send().await.assert_refused_upstream(404);
}

#[tokio::test]
async fn a_limited_label_that_is_gone_is_evicted_too() {
    let world = World::start();
    let owner = world.proven("a", 1).await;
    world.upstream.reply_to("GET", &label_path(2), limited("a-2"));
    owner.get(&label_path(2)).send().await.assert_miss();
    let gone = Answer::json(404, error(404, "Resource not found"));
    world.upstream.reply_to("GET", &label_path(2), gone.clone());
    owner.get(&label_path(2)).field("cache-control", "no-cache").send().await.assert_refused_upstream(404);
    owner.get(&label_path(2)).send().await.assert_refused_upstream(404);
    world.upstream.reply_to("GET", &label_path(2), limited("a-2"));
    owner.get(&label_path(2)).send().await.assert_miss();
    world.upstream.reply_to("PATCH", &label_path(2), gone);
    owner.patch(&label_path(2), r#"{"label":"x"}"#).send().await.assert_refused_upstream(404);
    let read = owner.get(&label_path(2)).send().await;
    assert!(read.cache_status().starts_with("fwd="), "{read:?}");
}

#[tokio::test]
async fn refusals_of_the_gate_are_counted_by_reason() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.upstream.reply_to("GET", &label_path(2), Answer::json(200, good()).close_delimited());
    caller.get(&label_path(2)).send().await.assert_label("a-2").assert_unstored();
    let reason = [("reason", "close_delimited")];
    world.proxy.metric_reaches("instantly_proxy_response_gate_rejections_total", &reason, 1.0).await;
}
