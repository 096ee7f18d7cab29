//! An edge that turns away what a caller worded: its own affair, whatever it is and however often it comes.

use instantly_proxy::config::Config;

use crate::support::labels::{LABELS, label_path, token};
use crate::support::{Answer, Recorded, World};

/// A page of a list that is asked for by something that the edge dislikes.
const ODD: &str = "starting_after=odd";

fn no_lists(config: &mut Config) {
    config.cache.list_fill = false;
}

/// Turns away what carries such a word or such a key, from whoever it comes.
fn dislike(world: &World) {
    let key = token("nobody", 1);
    world.upstream.script(move |request| {
        let is_odd = request.target.contains("odd")
            || request.field("authorization").is_some_and(|value| value.ends_with(&key));
        is_odd.then(Answer::edge_block)
    });
}

/// A read of the proxy's own has no id of a request.
fn is_own(request: &Recorded) -> bool {
    request.field("x-request-id").is_none()
}

#[tokio::test]
async fn what_a_caller_words_stops_nobodys_fetches_however_often_the_edge_turns_it_away() {
    let world = World::start_with(no_lists);
    let reader = world.proven("a", 1).await;
    dislike(&world);
    let (insider, outsider) = (world.proven("b", 1).await, world.caller("nobody", 1));
    for n in 0..8 {
        insider.get(&format!("{LABELS}?{ODD}{n}")).send().await.assert_refused_upstream(403);
        outsider.get(&label_path(n)).send().await.assert_refused_upstream(403);
        outsider.get(&format!("{LABELS}?limit=100")).send().await.assert_refused_upstream(403);
    }
    assert_eq!(world.proxy.metric("instantly_proxy_edge_blocked", &[]).await, 0.0);
    reader.get(&label_path(2)).send().await.assert_label("a-2").assert_miss();
}

/// R1.
#[tokio::test]
async fn a_revoked_key_outlives_nothing_by_words_that_the_edge_turns_away() {
    let world = World::start_with(no_lists);
    let caller = world.proven("a", 1).await;
    dislike(&world);
    world.vendor.revoke(&token("a", 1));
    world.proxy.advance_seconds(61);
    for n in 0..3 {
        caller.get(&format!("{LABELS}?{ODD}{n}")).send().await.assert_refused_upstream(403);
    }
    caller.get(&label_path(1)).send().await.assert_refused_upstream(401);
}

/// Nobody is ever bound then, but whose own requests the API answers is no stranger.
#[tokio::test]
async fn an_edge_that_turns_all_fetches_away_from_the_beginning_is_found_out() {
    let world = World::start_with(no_lists);
    let caller = world.caller("a", 1);
    world.upstream.script(|request| is_own(request).then(Answer::edge_block));
    for n in [1, 2, 3, 1, 2] {
        let answer = caller.get(&label_path(n)).send().await;
        answer.assert_label(&format!("a-{n}"));
    }
    assert_eq!(world.proxy.metric("instantly_proxy_edge_blocked", &[]).await, 1.0);
    let fetches = world.upstream.count_of(is_own);
    caller.get(&label_path(3)).send().await.assert_label("a-3");
    assert_eq!(world.upstream.count_of(is_own), fetches, "no fetch is sent for a minute");
}
