//! [`Slots`]: which node of a Cluster has which key.

use super::error::{StoreError, StoreErrorKind};
use super::reply::Reply;
use crate::config::StoreAddress;

const SLOTS: u16 = 16_384;

/// Who owns which slot, as `CLUSTER SLOTS` told it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots(Vec<Range>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    owner: StoreAddress,
}

impl Slots {
    /// Reads what the node at this address told; one that does not say its own host means that one.
    pub(super) fn read(reply: Reply, asked: &StoreAddress) -> Result<Self, StoreError> {
        let range = |reply: Reply| -> Result<Range, StoreError> {
            let mut parts = reply.list()?.into_iter();
            let mut next = || parts.next().ok_or_else(|| StoreError::unreadable("a range of slots"));
            let (first, last) = (number(&next()?)?, number(&next()?)?);
            let mut owner = next()?.list()?.into_iter();
            let mut next = || owner.next().ok_or_else(|| StoreError::unreadable("a node"));
            let host = next()?.bytes_if_any()?.unwrap_or_default();
            let host = String::from_utf8(host).map_err(|_| StoreError::unreadable("a host"))?;
            let port = number(&next()?)?;
            // `?` is a node that does not know its name yet.
            let host = if host.is_empty() || host == "?" { asked.host.clone() } else { host };
            Ok(Range { first, last, owner: StoreAddress::new(host, port) })
        };
        reply.list()?.into_iter().map(range).collect::<Result<_, _>>().map(Self)
    }

    /// Who owns the slot of a key.
    pub(super) fn owner(&self, key: &[u8]) -> Result<&StoreAddress, StoreError> {
        let slot = slot(key);
        let range = self.0.iter().find(|range| (range.first..=range.last).contains(&slot));
        let owner = range.map(|range| &range.owner);
        owner.ok_or_else(|| StoreError::new(StoreErrorKind::Moved, format!("slot {slot} is nobody's")))
    }

    /// Every node that owns a slot.
    pub(super) fn owners(&self) -> impl Iterator<Item = &StoreAddress> {
        self.0.iter().map(|range| &range.owner)
    }
}

fn number(reply: &Reply) -> Result<u16, StoreError> {
    u16::try_from(reply.count()?).map_err(|_| StoreError::unreadable("a number below 65536"))
}

/// The slot of a key: of its hash tag, what stands between the first `{` and the next `}`, if that is anything.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let length = rest.iter().position(|byte| *byte == b'}').filter(|length| *length > 0)?;
        Some(&rest[..length])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // CLUSTER KEYSLOT says these.
        for (key, of) in [("somekey", 11058), ("foo{hash_tag}", 2515), ("bar{hash_tag}", 2515)] {
            assert_eq!(slot(key.as_bytes()), of, "{key}");
        }
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
        assert_eq!(slot(b"foo{bar"), crc16(b"foo{bar") % SLOTS);
    }

    #[test]
    fn what_a_node_tells_is_read_or_refused() {
        let bytes = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
        let node =
            |host: Reply, port| Reply::List(vec![host, Reply::Int(port), bytes("id"), Reply::List(vec![])]);
        let range = |first, last, node| Reply::List(vec![Reply::Int(first), Reply::Int(last), node]);
        let asked = StoreAddress::new("a.example", 1);
        let told = Reply::List(vec![
            range(0, 8191, node(bytes("10.0.0.1"), 7000)),
            range(8192, 16383, node(Reply::Nil, 7001)),
        ]);
        let slots = Slots::read(told, &asked).unwrap();
        assert_eq!(slots.owner(b"foo{hash_tag}").unwrap(), &StoreAddress::new("10.0.0.1", 7000));
        assert_eq!(slots.owner(b"somekey").unwrap(), &StoreAddress::new("a.example", 7001));
        assert_eq!(slots.owners().count(), 2);
        let gap = Slots::read(Reply::List(vec![range(0, 1, node(bytes("h"), 1))]), &asked).unwrap();
        assert_eq!(gap.owner(b"somekey").unwrap_err().kind(), StoreErrorKind::Moved);
        for odd in
            [Reply::Nil, Reply::List(vec![Reply::Nil]), Reply::List(vec![range(0, 70_000, Reply::Nil)])]
        {
            assert!(Slots::read(odd, &asked).is_err());
        }
    }
}
