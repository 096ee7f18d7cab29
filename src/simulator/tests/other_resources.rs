//! Accounts, the workspace group and leads: whose they are, how they are paged, who may see them.

use serde_json::Value;

use super::*;

async fn list(simulator: &Simulator, path: &str, key: &Key) -> Value {
    Call::get(path, key).send(simulator).await.assert_status(200).json()
}

#[tokio::test]
async fn accounts_are_of_one_organization_and_found_by_their_escaped_address() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let first = list(&simulator, "accounts?limit=1", key).await;
    let cursor = first["next_starting_after"].as_str().unwrap();
    let second = list(&simulator, &format!("accounts?limit=1&starting_after={cursor}"), key).await;
    let rest = list(&simulator, &format!("accounts?starting_after={cursor}"), key).await;
    assert_eq!(second["items"], rest["items"]);
    assert!(rest.get("next_starting_after").is_none());
    for account in [&first["items"][0], &second["items"][0]] {
        assert_eq!(account["organization"], simulator.first().id().to_string());
        let email = account["email"].as_str().unwrap();
        assert!(email.contains(simulator.first().canary()), "{email}");
        for path in [email.to_owned(), email.replace('@', "%40")] {
            let read = Call::get(&format!("accounts/{path}"), key).send(&simulator).await;
            assert_eq!(read.assert_status(200).json(), *account);
        }
        let other = &simulator.world().organizations()[1].keys()[0];
        Call::get(&format!("accounts/{email}"), other).send(&simulator).await.assert_status(404);
    }
    Call::get("accounts", &simulator.first().keys()[1]).send(&simulator).await.assert_status(403);
}

#[tokio::test]
async fn the_admin_workspace_lists_its_members_and_each_of_them_finds_itself_and_its_admin() {
    let (simulator, _) = started().await;
    let (admin, members) = (simulator.world().admin(), simulator.world().organizations());
    let all = list(&simulator, "workspace-group-members?limit=100", &admin.keys()[0]).await;
    let all = all["items"].as_array().unwrap();
    assert_eq!(all.len(), 2, "the last organization is in no group");
    let page = list(&simulator, "workspace-group-members?limit=1", &admin.keys()[0]).await;
    let cursor = page["next_starting_after"].as_str().unwrap();
    let path = format!("workspace-group-members?starting_after={cursor}");
    assert_eq!(list(&simulator, &path, &admin.keys()[0]).await["items"].as_array().unwrap()[0], all[1]);
    for (member, organization) in all.iter().zip(members) {
        assert_eq!(member["sub_workspace_id"], organization.id().to_string());
        let path = format!("workspace-group-members/{}", member["id"].as_str().unwrap());
        for key in [&admin.keys()[0], &organization.keys()[0]] {
            assert_eq!(list(&simulator, &path, key).await, *member);
        }
        Call::get(&path, &members[2].keys()[0]).send(&simulator).await.assert_status(404);
        assert_eq!(list(&simulator, "workspace-group-members/admin", &organization.keys()[0]).await, *member);
        let own = list(&simulator, "workspace-group-members", &organization.keys()[0]).await;
        assert!(own["items"].as_array().unwrap().is_empty());
    }
    Call::get("workspace-group-members/admin", &members[2].keys()[0])
        .send(&simulator)
        .await
        .assert_status(404);
    Call::get("workspace-group-members/none", &members[0].keys()[0])
        .send(&simulator)
        .await
        .assert_status(400);
    members[0].leave_group();
    Call::get("workspace-group-members/admin", &members[0].keys()[0])
        .send(&simulator)
        .await
        .assert_status(404);
}
