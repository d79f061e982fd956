//! The text of a shard's id: `shardId-<creation, 20 digits>-<number, 8 hex digits>`. Source: docs/spec/streams.md 5.1.
//!
//! The order of the texts is the order of the ids, and that of creation.

use std::fmt;

use tailrace_core::EpochMs;
use tailrace_store::ShardInfo;

/// A shard's id. Its number is shortened; within a stream, creation and the rest of the number tell shards apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    created_ms: EpochMs,
    number: u32,
}

impl ShardId {
    /// The id of a shard.
    pub fn of(shard: &ShardInfo) -> ShardId {
        ShardId { created_ms: shard.created_ms, number: shard.shard.0 as u32 }
    }

    /// Reads an id as it is written. `None`: no shard has such an id.
    pub fn parse(text: &str) -> Option<ShardId> {
        let (created, number) = text.strip_prefix("shardId-")?.split_once('-')?;
        let id = ShardId { created_ms: EpochMs(created.parse().ok()?), number: u32::from_str_radix(number, 16).ok()? };
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shardId-{:020}-{:08x}", self.created_ms, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_no_other_text_does() {
        let mut ids: Vec<ShardId> = [0, 9, 10, 1_700_000_000_000, u64::MAX]
            .into_iter()
            .flat_map(|created_ms| {
                [0, 15, 16, u32::MAX].map(|number| ShardId { created_ms: EpochMs(created_ms), number })
            })
            .collect();
        for id in &ids {
            assert_eq!(ShardId::parse(&id.to_string()), Some(*id));
        }
        ids.sort();
        assert!(ids.iter().map(ShardId::to_string).is_sorted());
        for other in
            ["", "shardId-1-1", "shardId-00000001700000000000-0000000A", "shardId-+0000001700000000000-00000001"]
        {
            assert_eq!(ShardId::parse(other), None, "{other}");
        }
    }
}
