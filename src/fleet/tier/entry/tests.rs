use proptest::prelude::*;

use super::*;
use crate::fleet::seal::Secret;

const ORGANIZATION: Uuid = Uuid::from_u128(1);
const SCOPE: Scope<'_> = Scope { namespace: "fleet", authority: "api.example:443" };
const OF: EntryOf<'_> = EntryOf { scope: SCOPE, organization: ORGANIZATION, path: "/labels/1", owner: None };

fn sealer() -> Sealer {
    Sealer::new(&[Secret::new(&[7; 32]).unwrap()], "fleet")
}

fn entry(body: &[u8]) -> Entry {
    Entry {
        stamp: Stamp { history: HistoryId::example(8), number: Number(9) },
        sent: SharedTime { wall: Duration::from_micros(10), store: Duration::from_micros(11) },
        jitter: 12,
        limit: Some(Duration::from_secs(13)),
        content_type: HeaderValue::from_static("application/json"),
        etag: HeaderValue::from_static("\"tag\""),
        body: Bytes::copy_from_slice(body),
    }
}

#[test]
fn an_entry_comes_back_for_what_it_is_of_alone() {
    let sealer = sealer();
    let sealed = entry(b"{}").seal(&sealer, b"name", OF);
    assert_eq!(Entry::open(&sealer, b"name", OF, &sealed), Ok(entry(b"{}")));
    assert_eq!(Entry::open(&sealer, b"other", OF, &sealed), Err(Rejected::Unreadable), "swapped");
    let owner = [1; 32];
    for other in [
        EntryOf { scope: Scope { namespace: "other", ..SCOPE }, ..OF },
        EntryOf { scope: Scope { authority: "api.example:444", ..SCOPE }, ..OF },
        EntryOf { organization: Uuid::from_u128(2), ..OF },
        EntryOf { path: "/labels/2", ..OF },
        EntryOf { owner: Some(&owner), ..OF },
    ] {
        assert_eq!(Entry::open(&sealer, b"name", other, &sealed), Err(Rejected::Foreign), "{other:?}");
    }
    let foreign = Sealer::new(&[Secret::new(&[8; 32]).unwrap()], "fleet");
    assert_eq!(Entry::open(&foreign, b"name", OF, &sealed), Err(Rejected::Unreadable));
}

#[test]
fn what_is_sealed_and_not_an_entry_is_malformed() {
    let sealer = sealer();
    let seal = |plain: &[u8]| sealer.seal(SealPurpose::Entry, b"name", plain);
    let sealed = entry(b"{}").seal(&sealer, b"name", OF);
    let record = sealer.open(SealPurpose::Entry, b"name", &sealed).unwrap();
    for end in 0..record.len() {
        let opened = Entry::open(&sealer, b"name", OF, &seal(&record[..end]));
        assert!(matches!(opened, Err(Rejected::Malformed)), "{end}");
    }
    let longer = [&record[..], &[0]].concat();
    assert_eq!(Entry::open(&sealer, b"name", OF, &seal(&longer)), Err(Rejected::Malformed));
    let huge = u64::MAX.to_be_bytes();
    assert_eq!(Entry::open(&sealer, b"name", OF, &seal(&huge)), Err(Rejected::Malformed));
}

proptest! {
    // Each goes through all bytes of an entry, twice.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn every_flipped_byte_and_every_cut_is_unreadable(body: Vec<u8>, bit in 0_u8..8) {
        let sealer = sealer();
        let sealed = entry(&body).seal(&sealer, b"name", OF);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            prop_assert_eq!(Entry::open(&sealer, b"name", OF, &changed), Err(Rejected::Unreadable));
            prop_assert_eq!(Entry::open(&sealer, b"name", OF, &sealed[..at]), Err(Rejected::Unreadable));
        }
    }
}

proptest! {
    #[test]
    fn an_entry_of_any_body_comes_back(body: Vec<u8>, stamp: u64, jitter: u8, limit: Option<u32>) {
        let sealer = sealer();
        let limit = limit.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let entry = Entry { stamp: Stamp { history: HistoryId::example(stamp as u8), number: Number(stamp) }, jitter, limit, ..entry(&body) };
        let sealed = entry.seal(&sealer, b"name", OF);
        prop_assert_eq!(Entry::open(&sealer, b"name", OF, &sealed), Ok(entry));
    }

    #[test]
    fn a_name_that_was_swapped_opens_nothing(name: Vec<u8>) {
        let sealer = sealer();
        let sealed = entry(b"{}").seal(&sealer, b"name", OF);
        prop_assume!(name != b"name");
        prop_assert_eq!(Entry::open(&sealer, &name, OF, &sealed), Err(Rejected::Unreadable));
    }
}
