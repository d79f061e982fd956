//! The bytes of commits and moved records.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tailrace_core::{Bucket, IndexId, Lsn, TableId};

use super::*;
use crate::log::frame::{FrameKey, SegmentNo};
use crate::log::{codec, moved};
use tailrace_store::keyspace::{CountChange, ItemSet};
use tailrace_store::{BucketRange, StreamId};

#[test]
fn what_clients_store_never_looks_like_a_frame() {
    let disk = SimFiles::new();
    let log = open(&disk);
    write(&log, EpochMs(1), &[commit(1, 1, 100)]).unwrap();
    drop(log);
    // Whatever begins like a frame of one directory does not in another: a client cannot know the mark.
    let other = SimFiles::new();
    drop(Log::open(Arc::new(other.clone()), Path::new(DIR), settings(), [8; 16], Lsn::ZERO).unwrap());
    let log = Log::open(Arc::new(other.clone()), Path::new(DIR), settings(), [8; 16], Lsn::ZERO).unwrap();
    write(&log, EpochMs(1), &[commit(1, 1, 100)]).unwrap();
    drop(log);
    let begins = |disk: &SimFiles| {
        let path = disk.paths().into_iter().filter(|path| path.to_string_lossy().ends_with(".seg"));
        let contents = path.map(|path| disk.content(&path).unwrap());
        let frames = contents.filter(|content| content.get(512..516).is_some_and(|mark| mark != [0; 4]));
        frames.map(|content| content[512..516].to_vec()).next().unwrap()
    };
    assert_ne!(begins(&disk), begins(&other));
    // Values full of another directory's frame beginnings, each claiming a long frame, are passed over unread.
    let mut hostile = Vec::new();
    while hostile.len() < 2000 {
        hostile.extend_from_slice(&begins(&other));
        hostile.extend_from_slice(&2048_u32.to_le_bytes());
    }
    let log = open(&disk);
    let key = Bytes::from_static(b"key");
    for _ in 0..20 {
        write(&log, EpochMs(2), &[vec![LoggedWrite::Put { key: key.clone(), value: Bytes::from(hostile.clone()) }]])
            .unwrap();
        log.keep().unwrap();
    }
    drop(log);
    let before = disk.bytes_read();
    assert_eq!(replayed(&open(&disk)).unwrap().len(), 21);
    let read = disk.bytes_read() - before;
    assert!(read < 6 * disk.used_bytes(), "{read} bytes read of {}", disk.used_bytes());
}

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn any_write() -> impl Strategy<Value = LoggedWrite> {
    let image = prop_oneof![
        Just(LoggedImage::None),
        any::<u32>().prop_map(LoggedImage::OfWrite),
        bytes().prop_map(LoggedImage::Inline)
    ];
    let shard = || any::<u64>().prop_map(ShardNo);
    prop_oneof![
        (bytes(), bytes()).prop_map(|(key, value)| LoggedWrite::Put { key, value }),
        (bytes(), any::<u32>(), bytes(), bytes()).prop_map(|(key, write, prefix, suffix)| LoggedWrite::PutOfWrite {
            key,
            write,
            prefix,
            suffix
        }),
        bytes().prop_map(|key| LoggedWrite::Delete { key }),
        (shard(), bytes(), proptest::option::of(bytes()), image)
            .prop_map(|(shard, meta, old, new)| LoggedWrite::Append { shard, meta, old, new }),
        (shard(), any::<u64>(), any::<(u16, u16)>(), proptest::option::of(0..u64::MAX), any::<u64>()).prop_map(
            |(shard, stream, (first, last), parent, created_ms)| LoggedWrite::OpenShard {
                shard,
                stream: StreamId(stream),
                range: BucketRange { first: Bucket(first), last: Bucket(last) },
                parent: parent.map(ShardNo),
                created_ms: EpochMs(created_ms),
            }
        ),
        (any::<(u64, u32)>(), any::<(i64, i64)>()).prop_map(|((table, index), (rows, bytes))| LoggedWrite::Count {
            set: ItemSet { table: TableId(table), index: IndexId(index) },
            by: CountChange { rows, bytes },
        }),
        (shard(), any::<u64>()).prop_map(|(shard, n)| LoggedWrite::SealShard { shard, last: Lsn(n) }),
        shard().prop_map(|shard| LoggedWrite::DropShard { shard }),
        (shard(), any::<u64>()).prop_map(|(shard, n)| LoggedWrite::Trim { shard, horizon: Lsn(n) }),
    ]
}

/// Writes of which every reference names an earlier put, as a commit's do.
fn any_writes() -> impl Strategy<Value = Vec<LoggedWrite>> {
    proptest::collection::vec(any_write(), 0..12).prop_map(|mut writes| {
        for i in 0..writes.len() {
            let puts: Vec<u32> =
                (0..i).filter(|j| matches!(writes[*j], LoggedWrite::Put { .. })).map(|j| j as u32).collect();
            if let LoggedWrite::PutOfWrite { write, key, .. } = &mut writes[i] {
                match puts.get(*write as usize % puts.len().max(1)) {
                    Some(put) => *write = *put,
                    None => writes[i] = LoggedWrite::Delete { key: key.clone() },
                }
            }
        }
        writes
    })
}

#[test]
fn a_put_that_refers_to_another_is_small_in_the_log_and_whole_after_a_replay_and_in_its_record() {
    let disk = SimFiles::new();
    let log = open(&disk);
    let (item, text) = (Bytes::from(vec![7; 3000]), |text: &'static str| Bytes::from_static(text.as_bytes()));
    let of = |key, write, prefix, suffix| LoggedWrite::PutOfWrite {
        key: text(key),
        write,
        prefix: text(prefix),
        suffix: text(suffix),
    };
    let writes = vec![
        LoggedWrite::Put { key: text("item"), value: item.clone() },
        of("whole", 0, "", ""),
        of("framed", 0, "<", ">>"),
        LoggedWrite::Append { shard: ShardNo(1), meta: text("meta"), old: None, new: LoggedImage::OfWrite(2) },
    ];
    assert!(codec::frame_bytes_bound(&writes) < 3500);
    write(&log, EpochMs(1), std::slice::from_ref(&writes)).unwrap();
    let framed = Bytes::from([b"<", &item[..], b">>"].concat());
    assert_eq!(records(&log, 1).unwrap()[0].new.as_ref(), Some(&framed));
    let put = |key, value: &Bytes| LoggedWrite::Put { key: text(key), value: value.clone() };
    assert_eq!(replayed(&log).unwrap()[0].1[..3], [put("item", &item), put("whole", &item), put("framed", &framed)]);
    // One that refers to nothing, to itself or to another reference is no commit of this format.
    for write in [1, 2, 9] {
        let mut body = Vec::new();
        codec::encode(&[writes[0].clone(), of("a", 0, "", ""), of("b", write, "", "")], &mut body);
        assert_eq!(codec::decode(&Bytes::from(body)), None, "{write}");
    }
}

proptest! {
    #[test]
    fn a_commit_reads_back_as_it_was_written(writes in any_writes()) {
        let mut body = Vec::new();
        codec::encode(&writes, &mut body);
        prop_assert!(body.len() + 72 <= codec::frame_bytes_bound(&writes) + 10);
        prop_assert_eq!(codec::decode(&Bytes::from(body)), Some(writes));
    }

    #[test]
    fn decoding_any_bytes_does_not_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = codec::decode(&Bytes::from(body.clone()));
        let _ = moved::notes(&Bytes::from(body), FrameKey::new(&[7; 16], SegmentNo(1)));
    }
}
