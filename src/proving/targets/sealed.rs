//! What the store holds: envelopes of entries and proofs, and notices.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use uuid::Uuid;

use crate::fleet::control::{HistoryId, Stamp};
use crate::fleet::heard::Number;
use crate::fleet::notice::Notice;
use crate::fleet::seal::{SealPurpose, Sealer, Secret};
use crate::fleet::tier::Scope;
use crate::fleet::tier::entry::{Entry, EntryOf};
use crate::fleet::tier::times::SharedTime;

const NAME: &[u8] = b"name";
const OF: EntryOf<'_> = EntryOf {
    scope: Scope { namespace: "fleet", authority: "api.example:443" },
    organization: Uuid::from_u128(1),
    path: "/labels/1",
    owner: None,
};

struct Fleet {
    sealer: Sealer,
    sealed: Vec<u8>,
    /// What is in front of every record of what is looked for.
    front: Vec<u8>,
}

/// Deriving keys takes longer than all else.
static FLEET: LazyLock<Fleet> = LazyLock::new(|| {
    let secret = Secret::new(&[7; 32]).expect("it is long enough");
    let sealer = Sealer::new(&[secret], "fleet");
    let sealed = entry().seal(&sealer, NAME, OF);
    let record = sealer.open(SealPurpose::Entry, NAME, &sealed).expect("what was sealed here");
    let length = u64::from_be_bytes(*record.first_chunk().expect("a length"));
    let end = 8 + usize::try_from(length).expect("it is short");
    let front = record[..end].to_vec();
    Fleet { sealer, sealed, front }
});

fn entry() -> Entry {
    Entry {
        stamp: Stamp { history: HistoryId::of_bytes(&[8; 40]).expect("a history"), number: Number(9) },
        sent: SharedTime { wall: Duration::from_micros(10), store: Duration::from_micros(11) },
        jitter: 12,
        limit: Some(Duration::from_secs(13)),
        content_type: HeaderValue::from_static("application/json"),
        etag: HeaderValue::from_static("\"tag\""),
        body: Bytes::from_static(b"{}"),
    }
}

/// A byte that says what is made of the rest: an envelope, a change of a good one, a record, a notice.
pub(super) fn messages(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let fleet = &*FLEET;
    match first % 4 {
        0 => {
            assert!(Entry::open(&fleet.sealer, NAME, OF, rest).is_err(), "made by nobody");
            assert!(fleet.sealer.open(SealPurpose::Notice, NAME, rest).is_err(), "made by nobody");
        }
        1 => {
            let changed: Vec<u8> = fleet
                .sealed
                .iter()
                .zip(rest.iter().chain([0].iter().cycle()))
                .map(|(byte, change)| byte ^ change)
                .take(fleet.sealed.len() - usize::from(rest.len() % 3 == 2))
                .collect();
            let opened = Entry::open(&fleet.sealer, NAME, OF, &changed);
            assert_eq!(opened.is_ok(), changed == fleet.sealed, "a changed envelope");
        }
        2 => {
            let record = [&fleet.front, rest].concat();
            let sealed = fleet.sealer.seal(SealPurpose::Entry, NAME, &record);
            let Ok(entry) = Entry::open(&fleet.sealer, NAME, OF, &sealed) else { return };
            let again = entry.seal(&fleet.sealer, NAME, OF);
            assert_eq!(Entry::open(&fleet.sealer, NAME, OF, &again), Ok(entry), "no fixed point");
        }
        _ => {
            let Some(notice) = Notice::from_bytes(rest) else { return };
            assert_eq!(Notice::from_bytes(&notice.to_bytes()), Some(notice), "no fixed point");
        }
    }
}
