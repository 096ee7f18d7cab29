//! Label answers that are too large to keep: passed on as they come, and a bounded number of them at once.

use std::time::Duration;

use instantly_proxy::error::ErrorKind;

use crate::support::labels::{label_path, token};
use crate::support::{Answer, RawConnection, World, patiently};

/// More than is kept of an item, and an end that never comes.
fn endless() -> Answer {
    let large = format!(r#"{{"pad":"{}"}}"#, "x".repeat(400 * 1024));
    Answer::json(200, large).stall_after(300 * 1024)
}

/// A client that has the head of its answer.
async fn begun(world: &World, name: &str, n: u32) -> RawConnection {
    let mut raw = RawConnection::open(world.proxy.address()).await;
    let (path, token) = (label_path(n), token(name, 1));
    raw.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
    assert_eq!(raw.read_head_only().await.status(), 200);
    raw
}

#[tokio::test]
async fn so_many_large_answers_are_passed_on_at_once_and_others_are_not_held_up() {
    let world = World::start_with(|config| config.cache.list_fill = false);
    let (caller, other) = (world.proven("a", 1).await, world.proven("b", 1).await);
    world.upstream.script(|request| request.target.contains("/lead-labels/").then(endless));
    let mut clients = Vec::new();
    for n in 10..18 {
        clients.push(begun(&world, "a", n).await);
    }
    caller.get(&label_path(20)).send().await.assert_error(ErrorKind::NoMemoryForAnswer);
    let written = caller.patch(&label_path(20), r#"{"label":"x"}"#).send().await;
    written.assert_error(ErrorKind::NoMemoryForAnswer);
    clients.push(begun(&world, "b", 10).await);
    drop(clients);
    world.upstream.clear_scripts();
    caller.get(&label_path(2)).send().await.assert_label("a-2");
    other.get(&label_path(2)).send().await.assert_label("b-2");
    world.upstream.script(|request| request.is("GET", &label_path(21)).then(endless));
    patiently("a place that a client has left", async {
        let mut raw = RawConnection::open(world.proxy.address()).await;
        let (path, token) = (label_path(21), token("a", 1));
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
        loop {
            raw.send(&request).await;
            if raw.read_head_only().await.status() == 200 {
                break;
            }
            // Each is a call of the budget.
            world.proxy.advance(Duration::from_millis(20));
            raw = RawConnection::open(world.proxy.address()).await;
        }
    })
    .await;
}
