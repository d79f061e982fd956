//! Delivery streams by name: kind ‖ the name; and, of records that are being delivered, what a transforming function has made of them, and
//! which of their requests are over: kind ‖ uuid of the consumer, 16 bytes ‖ shard number u64 ‖ number of the first record of the flush
//! u64 ‖ part u32.

use tailrace_core::{MappingId, RecordNo, ShardNo};

use super::{KeyKind, prefix_range, read_u32, read_u64, text};
use crate::engine::{Key, KeyRange};

/// The key of a delivery stream's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryStreamKey {
    /// Its name.
    pub name: String,
}

impl DeliveryStreamKey {
    /// The key.
    pub fn key(name: &str) -> Key {
        let mut bytes = KeyKind::DeliveryStream.start(name.len());
        bytes.extend_from_slice(name.as_bytes());
        Key::from_vec(bytes)
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<DeliveryStreamKey> {
        Some(DeliveryStreamKey { name: text(KeyKind::DeliveryStream.strip(&key.0)?)? })
    }

    /// All delivery streams, by name.
    pub fn range() -> KeyRange {
        KeyKind::DeliveryStream.range()
    }
}

/// The key of a part of what was made of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransformedKey {
    /// The consumer.
    pub consumer: MappingId,
    /// The shard.
    pub shard: ShardNo,
    /// The first record of the flush.
    pub first: RecordNo,
    /// Which part, from 0.
    pub part: u32,
}

impl TransformedKey {
    /// The key.
    pub fn encode(self) -> Key {
        encode(KeyKind::Transformed, self.consumer, (self.shard, self.first, self.part))
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<TransformedKey> {
        let (consumer, (shard, first, part)) = decode(KeyKind::Transformed, key)?;
        Some(TransformedKey { consumer, shard, first, part })
    }

    /// All parts of a consumer's flushes, by shard and first record.
    pub fn range(consumer: MappingId) -> KeyRange {
        prefix_range(&of_consumer(KeyKind::Transformed, consumer))
    }
}

/// The key of a request that is over, of a flush that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The consumer.
    pub consumer: MappingId,
    /// The shard.
    pub shard: ShardNo,
    /// The first record of the flush.
    pub first: RecordNo,
    /// Which of the flush's requests, from 0.
    pub request: u32,
}

impl RequestKey {
    /// The key.
    pub fn encode(self) -> Key {
        encode(KeyKind::Request, self.consumer, (self.shard, self.first, self.request))
    }

    /// Reads a key back.
    pub fn decode(key: &Key) -> Option<RequestKey> {
        let (consumer, (shard, first, request)) = decode(KeyKind::Request, key)?;
        Some(RequestKey { consumer, shard, first, request })
    }

    /// All requests of a consumer's flushes, by shard and first record.
    pub fn range(consumer: MappingId) -> KeyRange {
        prefix_range(&of_consumer(KeyKind::Request, consumer))
    }
}

fn of_consumer(kind: KeyKind, consumer: MappingId) -> Vec<u8> {
    let mut bytes = kind.start(36);
    bytes.extend_from_slice(&consumer.0.to_be_bytes());
    bytes
}

fn encode(kind: KeyKind, consumer: MappingId, (shard, first, part): (ShardNo, RecordNo, u32)) -> Key {
    let mut bytes = of_consumer(kind, consumer);
    bytes.extend_from_slice(&shard.0.to_be_bytes());
    bytes.extend_from_slice(&first.0.to_be_bytes());
    bytes.extend_from_slice(&part.to_be_bytes());
    Key::from_vec(bytes)
}

fn decode(kind: KeyKind, key: &Key) -> Option<(MappingId, (ShardNo, RecordNo, u32))> {
    let (consumer, rest) = kind.strip(&key.0)?.split_first_chunk::<16>()?;
    let (shard, rest) = read_u64(rest)?;
    let (first, rest) = read_u64(rest)?;
    let (part, rest) = read_u32(rest)?;
    let consumer = MappingId(u128::from_be_bytes(*consumer));
    rest.is_empty().then_some((consumer, (ShardNo(shard), RecordNo(first), part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_flush_read_back_in_their_order() {
        let key = |shard, first, part| TransformedKey {
            consumer: MappingId(7),
            shard: ShardNo(shard),
            first: RecordNo(first),
            part,
        };
        let keys = [key(1, 5, 0), key(1, 5, 1), key(1, 300, 0), key(2, 1, 0)];
        for of in keys {
            assert_eq!(TransformedKey::decode(&of.encode()), Some(of));
            assert!(TransformedKey::range(MappingId(7)).contains(of.encode().as_bytes()));
            assert!(!TransformedKey::range(MappingId(8)).contains(of.encode().as_bytes()));
        }
        assert!(keys.map(TransformedKey::encode).is_sorted());
        assert_eq!(TransformedKey::decode(&DeliveryStreamKey::key("a")), None);
        let request = RequestKey { consumer: MappingId(7), shard: ShardNo(1), first: RecordNo(5), request: 2 };
        assert_eq!(RequestKey::decode(&request.encode()), Some(request));
        assert_eq!(TransformedKey::decode(&request.encode()), None);
        assert!(RequestKey::range(MappingId(7)).contains(request.encode().as_bytes()));
        assert!(!TransformedKey::range(MappingId(7)).contains(request.encode().as_bytes()));
        let name = DeliveryStreamKey { name: "clicks".to_owned() };
        assert_eq!(DeliveryStreamKey::decode(&DeliveryStreamKey::key("clicks")), Some(name));
    }
}
