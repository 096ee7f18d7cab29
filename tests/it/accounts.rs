//! Whose calls count together, and how a caller's organization becomes known that reads no labels.

use crate::limits::{assert_goes, assert_over_budget, both_bound, bound, per_second};
use crate::support::labels::{CAMPAIGNS, LABELS, error, label_path, organization, token};
use crate::support::{Answer, Recorded, World, patiently};

#[tokio::test]
async fn the_keys_of_an_organization_share_one_budget_and_organizations_do_not() {
    let world = World::start_shielded_with(per_second(2));
    let (first, second) = both_bound(&world, ("a", 1), ("a", 2)).await;
    let other = bound(&world, "b", 1).await;
    assert_goes(&first).await;
    assert_goes(&second).await;
    assert_over_budget(&first).await;
    assert_over_budget(&second).await;
    assert_goes(&other).await;
    assert_goes(&other).await;
}

#[tokio::test]
async fn a_single_workspace_has_a_single_budget() {
    let world = World::start_shielded_with(|config| {
        per_second(2)(config);
        config.shield.single_workspace = true;
    });
    let (a, b) = both_bound(&world, ("a", 1), ("b", 1)).await;
    assert_goes(&a).await;
    assert_goes(&b).await;
    assert_over_budget(&a).await;
    assert_over_budget(&world.caller("b", 3)).await;
    assert_over_budget(&world.proxy.anonymous()).await;
}

#[tokio::test]
async fn acting_for_a_workspace_takes_from_both_budgets() {
    let world = World::start_shielded_with(per_second(2));
    let (own, member) = both_bound(&world, ("admin", 1), ("a", 1)).await;
    let acting = world.acting_for("a");
    acting.get(&label_path(1)).send().await.assert_label("a-1");
    world.proxy.advance_seconds(62);
    assert_goes(&acting).await;
    assert_goes(&acting).await;
    assert_over_budget(&own).await;
    assert_over_budget(&member).await;
    world.proxy.advance_window();
    assert_goes(&own).await;
    assert_goes(&own).await;
    assert_over_budget(&acting).await;
    assert_goes(&member).await;
}

#[tokio::test]
async fn what_a_caller_spent_before_it_was_known_counts_for_its_organization() {
    let world = World::start_shielded_with(per_second(4));
    let known = bound(&world, "a", 1).await;
    let newcomer = world.caller("a", 2);
    let held = world.upstream.hold(|request| request.target == CAMPAIGNS);
    let calls = [newcomer.get(CAMPAIGNS).spawn(), newcomer.get(CAMPAIGNS).spawn()];
    held.held(2).await;
    newcomer.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    held.release();
    for call in calls {
        call.await.expect("no panic").assert_status(200);
    }
    assert_goes(&known).await;
    assert_over_budget(&known).await;
    assert_over_budget(&newcomer).await;
    assert_eq!(world.upstream.count_of(is_introduction), 0, "it introduced itself");
}

fn is_introduction(request: &Recorded) -> bool {
    request.is("GET", &format!("{LABELS}?limit=100"))
}

#[tokio::test]
async fn a_caller_of_other_paths_is_introduced_by_one_list_read() {
    let world = World::start_shielded_with(per_second(4));
    let known = bound(&world, "a", 1).await;
    let newcomer = world.caller("a", 2);
    newcomer.get(CAMPAIGNS).send().await.assert_status(200);
    world.upstream.arrived(3).await;
    let proofs = [("purpose", "proof"), ("status", "2xx")];
    world.proxy.metric_reaches("instantly_proxy_upstream_requests_total", &proofs, 1.0).await;
    world.proxy.metric_reaches("instantly_proxy_bindings", &[], 2.0).await;
    // Its own call and the introduction have moved to the organization's account.
    assert_goes(&known).await;
    assert_goes(&newcomer).await;
    assert_over_budget(&known).await;
    assert_eq!(world.upstream.count_of(is_introduction), 1);
}

#[tokio::test]
async fn a_caller_whose_scopes_forbid_it_is_introduced_once_in_ten_minutes() {
    let world = World::start_shielded();
    let forbidden = Answer::json(403, error(403, "no scope"));
    world.upstream.script(move |request| is_introduction(request).then(|| forbidden.clone()));
    let caller = world.caller("a", 1);
    for (minutes, introductions) in [(0, 1), (4, 1), (5, 1), (2, 2), (1, 2)] {
        world.proxy.advance_seconds(minutes * 60);
        for _ in 0..3 {
            caller.get(CAMPAIGNS).send().await.assert_status(200);
        }
        patiently("the introduction", async {
            while world.upstream.count_of(is_introduction) < introductions {
                tokio::task::yield_now().await;
            }
        })
        .await;
        world.round_trip(&caller).await;
        assert_eq!(world.upstream.count_of(is_introduction), introductions);
    }
}

#[tokio::test]
async fn a_refused_caller_is_not_introduced() {
    let world = World::start_shielded();
    let caller = world.caller("nobody", 1);
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(401);
    world.round_trip(&world.proven("a", 1).await).await;
    assert_eq!(world.upstream.count_of(is_introduction), 0);
}

#[tokio::test]
async fn nobody_spends_the_budget_of_a_workspace_by_naming_it() {
    let world = World::start_shielded_with(per_second(2));
    let member = bound(&world, "a", 1).await;
    let liar = world.caller("nobody", 1).workspace(organization("a"));
    for path in ["/api/v2/accounts", CAMPAIGNS] {
        liar.get(path).send().await.assert_refused_upstream(401);
    }
    assert_goes(&member).await;
    assert_goes(&member).await;
}

/// What the API says to a key is no word of a workspace that the key names.
#[tokio::test]
async fn nobody_spends_or_holds_the_budget_of_a_workspace_that_it_may_not_act_for() {
    for (status, says) in [(403, "Forbidden"), (404, "Not Found"), (500, "Internal Server Error")] {
        let world = World::start_shielded_with(per_second(2));
        let (member, liar) = both_bound(&world, ("a", 1), ("b", 1)).await;
        let liar = liar.workspace(organization("a"));
        let refuse = move |status: u16, says: &'static str| {
            move |request: &Recorded| {
                let names_it = request.field("x-as-workspace").is_some();
                names_it.then(|| Answer::json(status, error(status, says)))
            }
        };
        world.upstream.script(refuse(status, says));
        liar.get(CAMPAIGNS).send().await.assert_refused_upstream(status);
        world.proxy.advance_window();
        for path in ["/api/v2/accounts", CAMPAIGNS] {
            liar.get(path).send().await.assert_refused_upstream(status);
        }
        assert_goes(&member).await;
        assert_goes(&member).await;
        world.proxy.advance_seconds(62);
        world.upstream.clear_scripts();
        world.upstream.script(refuse(429, "Too Many Requests"));
        liar.get(CAMPAIGNS).send().await.assert_refused_upstream(429);
        assert_goes(&member).await;
    }
}

/// A page of the edge is not the API's word: it has never seen the caller.
#[tokio::test]
async fn a_page_of_the_edge_makes_nobody_known() {
    let world = World::start_shielded();
    let caller = world.caller("nobody", 1);
    world.upstream.reply_to("GET", CAMPAIGNS, Answer::edge_block());
    caller.get(CAMPAIGNS).send().await.assert_refused_upstream(403);
    let question = serde_json::json!({
        "method": "GET", "path": CAMPAIGNS, "headers": {"authorization": format!("Bearer {}", token("nobody", 1))},
    });
    let told = world.proxy.admin_post("/api/explain", &question.to_string()).send().await.json();
    assert_eq!(told["credential"]["stranger"], true, "{told:#}");
}
