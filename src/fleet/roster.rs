//! Who is in the fleet, for those who ask: names, versions and ages of replicas, and what each has applied last.
//!
//! Nothing rests on it. Each replica introduces itself beside the control state and says so again before it is forgotten.

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::control::MemberId;
use super::heard::Number;
use super::names::ControlNames;
use super::store::{Link, Reply, Script, StoreError};
use crate::clock::Clock;
use crate::metrics::Operation;

/// How long an introduction is kept.
const KEPT: Duration = Duration::from_secs(60);
/// How often it is said again.
const SAID_EVERY: Duration = Duration::from_secs(20);
/// Longest name of a replica.
const LONGEST_NAME: usize = 64;

/// Keys: the introduction. Arguments: what it says, and for how many milliseconds. O(1).
static INTRODUCE: Script =
    Script::new("introduce", "return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])");

/// Keys: the members, the beginning of introductions' names. Reply: member, number applied last and introduction, in turn.
/// O(members): only for who looks.
static ROSTER: Script = Script::new(
    "roster",
    "local reply = {}
local members = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for index = 1, #members, 2 do
  if members[index] ~= '' then
    reply[#reply + 1] = members[index]
    reply[#reply + 1] = members[index + 1]
    reply[#reply + 1] = redis.call('GET', KEYS[2] .. members[index])
  end
end
return reply",
);

/// What a replica says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its host's name, as far as that is plain.
    pub name: String,
    /// Its release.
    pub version: String,
    /// When it started, in seconds since 1970 by its own clock.
    pub since: u64,
    /// Whether it tells of the writes of what it does not cache, too. A release that does not know this member does not.
    #[serde(default)]
    pub tells_all_writes: bool,
}

/// A member of the fleet, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// What it said of itself; nothing where it has not yet.
    pub about: Option<About>,
    /// The last notice that it has applied.
    pub applied: Number,
    /// What it is called in the store.
    pub member: [u8; 16],
}

/// What this replica says of itself, and where.
#[derive(Clone, Debug)]
pub(super) struct Introduction {
    key: Vec<u8>,
    about: Vec<u8>,
}

impl Introduction {
    pub(super) fn new(names: ControlNames<'_>, member: MemberId, about: &About) -> Self {
        let key = [names.part("replica:").as_slice(), &member.0].concat();
        Self { key, about: serde_json::to_vec(about).expect("plain values") }
    }

    /// Says it, again and again, for as long as there is this link.
    pub(super) async fn keep_up(self, link: Weak<Link>, clock: Clock) {
        let lives = KEPT.as_millis().to_string();
        loop {
            let Some(link) = link.upgrade() else { return };
            let said = link
                .call(Operation::Member, &INTRODUCE, &[&self.key], &[&self.about, lives.as_bytes()])
                .await;
            if let Err(error) = said {
                tracing::debug!(cause = %error, "this replica's introduction was not taken");
            }
            drop(link);
            clock.sleep(SAID_EVERY).await;
        }
    }
}

/// Asks who is there.
pub(super) async fn ask(link: Arc<Link>, names: [Vec<u8>; 2]) -> Result<Vec<Replica>, StoreError> {
    let [members, replica] = &names;
    let listed = link.call(Operation::Member, &ROSTER, &[members, replica], &[]).await?.list()?;
    listed.chunks_exact(3).map(read).collect()
}

/// The names that [`ask`] needs.
pub(super) fn names(names: ControlNames<'_>) -> [Vec<u8>; 2] {
    [names.part("members"), names.part("replica:")]
}

fn read(of_one: &[Reply]) -> Result<Replica, StoreError> {
    let [member, applied, about] = of_one else { return Err(StoreError::unreadable("a roster")) };
    let member = member.clone().bytes()?;
    Ok(Replica {
        about: about.clone().bytes_if_any()?.and_then(|about| serde_json::from_slice(&about).ok()),
        applied: Number(applied.count()?),
        member: member.try_into().map_err(|_| StoreError::unreadable("a member"))?,
    })
}

/// A host's name as it may be shown: what is not plain is left out, and what is too long is cut.
pub(super) fn plain_name(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
        .take(LONGEST_NAME)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_nothing_that_a_terminal_or_a_page_would_act_upon() {
        assert_eq!(plain_name("proxy-7f\u{1b}[31m<b>.local"), "proxy-7f31mb.local");
        assert_eq!(plain_name(&"x".repeat(100)).len(), LONGEST_NAME);
    }
}
