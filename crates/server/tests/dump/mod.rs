//! Everything that a store holds as text: a line for each row, and for each record of each shard.

use std::fmt::Write as _;
use std::ops::Bound;

use tailrace_core::RecordNo;
use tailrace_store::keyspace::{KeyKind, ShardKey};
use tailrace_store::{Engine, KeyRange, PageLimit};

/// The lines: `row KEY VALUE` and `record SHARD NUMBER TIME META OLD NEW`, bytes with escapes for what is not printable, `-` for none.
pub async fn of(store: &dyn Engine) -> String {
    let limit = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
    let all = KeyRange { start: Bound::Unbounded, end: Bound::Unbounded, reverse: false };
    let mut text = String::new();
    for (key, value) in store.page(all, limit).await.unwrap().rows {
        let _ = writeln!(text, "row {} {}", key.0.escape_ascii(), value.escape_ascii());
    }
    for (key, value) in store.page(KeyKind::Shard.range(), limit).await.unwrap().rows {
        let shard = ShardKey::read(&value).unwrap_or_else(|| panic!("the shard of {:?} reads back", key.0)).shard;
        for record in store.read_log(shard, RecordNo::ZERO, 10_000, usize::MAX).await.unwrap().records {
            let image =
                |image: Option<bytes::Bytes>| image.map_or("-".to_owned(), |image| image.escape_ascii().to_string());
            let (number, time, meta) = (record.number.0, record.time_ms.0, record.meta.escape_ascii());
            let _ =
                writeln!(text, "record {} {number} {time} {meta} {} {}", shard.0, image(record.old), image(record.new));
        }
    }
    text
}
