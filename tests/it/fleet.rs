//! Many replicas are one cache: what was written through one is never read old through another that has a lease.

use crate::support::fleet::TestFleet;
use crate::support::labels::{LABELS, label_path};
use crate::support::store::Engine;

fn change(text: &str) -> String {
    format!(r#"{{"label":"{text}"}}"#)
}

#[tokio::test]
async fn a_write_through_one_replica_is_seen_by_the_very_next_read_through_the_others() {
    for engine in Engine::ALL {
        let fleet = TestFleet::start(engine, 3).await;
        let callers = fleet.warm("a", 1).await;
        for number in 0..100 {
            let (text, writer) = (format!("change {number}"), number % callers.len());
            callers[writer].patch(&label_path(1), &change(&text)).send().await.assert_label(&text);
            for reader in &callers {
                reader.get(&label_path(1)).send().await.assert_label(&text);
            }
        }
        let _ = LABELS;
    }
}
