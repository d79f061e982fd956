//! Checks of streams: the log's pages, horizons, positions and wake-ups.

use futures_util::FutureExt;
use tailrace_core::EpochMs;

use super::*;

pub(super) const CHECKS: &[(&str, Check)] = &[
    ("records go to the open shard of their bucket", |s| buckets(s).boxed()),
    ("log pages keep their limits and resume", |s| limits(s).boxed()),
    ("a horizon hides what is below it, for ever", |s| horizon(s).boxed()),
    ("a time has a position", |s| times(s).boxed()),
    ("waiting ends with a record, a seal or a drop", |s| waiting(s).boxed()),
];

fn quarters() -> Vec<BucketRange> {
    (0..4).map(|n| BucketRange { first: Bucket(n * 0x4000), last: Bucket(n * 0x4000 + 0x3fff) }).collect()
}

async fn buckets(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let open = Write::OpenStream { stream: StreamId(1), ranges: quarters() };
    write(&*engine, vec![open, append(1, 0x3fff, "first")]).await.unwrap();
    let shards = engine.shards(StreamId(1)).await.unwrap();
    assert_eq!(shards.iter().map(|info| info.range).collect::<Vec<_>>(), quarters());
    assert!(shards.iter().all(|info| info.parent.is_none() && info.sealed.is_none()));
    for (bucket, meta) in [(0x4000, "a"), (0xffff, "b"), (0, "c")] {
        write(&*engine, vec![append(1, bucket, meta)]).await.unwrap();
    }
    drop(engine);
    subject.crash();
    let engine = subject.engine();
    assert_eq!(engine.shards(StreamId(1)).await.unwrap(), shards);
    assert_eq!(metas(&*engine, shards[0].shard).await, ["first", "c"]);
    assert_eq!(metas(&*engine, shards[1].shard).await, ["a"]);
    assert!(metas(&*engine, shards[2].shard).await.is_empty());
    assert_eq!(metas(&*engine, shards[3].shard).await, ["b"]);
    assert!(engine.shards(StreamId(2)).await.unwrap().is_empty());
    let later = open_stream(&*engine, 2).await;
    assert!(later > shards[3].shard, "shard numbers rise");
}

async fn limits(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    for n in 0..10 {
        write(&*engine, vec![append(1, 0, format!("{n:010}"))]).await.unwrap();
        write(&*engine, vec![put("noise", "x")]).await.unwrap();
    }
    let start = engine.position(shard, LogPosition::Horizon).await.unwrap();
    let page = engine.read_log(shard, start, 3, usize::MAX).await.unwrap();
    assert_eq!(page.records.len(), 3);
    assert!(page.more && !page.ended);
    assert_eq!(page.next, page.records[2].number);
    let page = engine.read_log(shard, page.next, 100, 30).await.unwrap();
    assert_eq!(page.records.len(), 3, "a page may have all the bytes");
    assert!(page.more);
    let page = engine.read_log(shard, page.next, 100, 19).await.unwrap();
    assert_eq!(page.records.len(), 1, "the record that would exceed the bytes is not included");
    assert_eq!((page.more, page.next), (true, page.records[0].number));
    let one = engine.read_log(shard, page.next, 100, 1).await.unwrap();
    assert_eq!(one.records.len(), 1, "at least one record");
    let rest = engine.read_log(shard, one.next, 100, usize::MAX).await.unwrap();
    assert_eq!(rest.records.len(), 2);
    assert!(!rest.more);
    let end = engine.read_log(shard, rest.next, 100, usize::MAX).await.unwrap();
    assert!(end.records.is_empty() && !end.more && end.next >= rest.next);
    let later = append_one(&*engine, vec![append(1, 0, "later")]).await;
    let found = engine.read_log(shard, end.next, 100, usize::MAX).await.unwrap();
    assert_eq!(found.records.iter().map(|record| record.number).collect::<Vec<_>>(), [later.number]);
}

async fn horizon(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    write(&*engine, vec![append(1, 0, "a"), append(1, 0, "b")]).await.unwrap();
    let third = append_one(&*engine, vec![append(1, 0, "c")]).await.number;
    engine.trim(shard, third).await.unwrap();
    engine.trim(shard, RecordNo(1)).await.unwrap();
    write(&*engine, vec![Write::Trim { shard, horizon: RecordNo(2) }]).await.unwrap();
    for round in 0..2 {
        let engine = subject.engine();
        let page = engine.read_log(shard, RecordNo::ZERO, 10, 1 << 20).await.unwrap();
        assert_eq!(page.horizon, third, "{round}");
        assert_eq!(metas(&*engine, shard).await, ["c"], "{round}");
        assert_eq!(page.records.len(), 1, "{round}");
        assert_eq!(engine.position(shard, LogPosition::Horizon).await.unwrap().next(), third);
        assert_eq!(engine.shards(StreamId(1)).await.unwrap()[0].horizon, third);
        drop(engine);
        subject.crash();
    }
    let unknown = subject.engine().trim(ShardNo(77), RecordNo(5)).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchShard(ShardNo(77)))), "{unknown:?}");
}

async fn times(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    let mut stamps = Vec::new();
    for n in 0..3 {
        subject.advance_ms(1_000);
        write(&*engine, vec![append(1, 0, n.to_string())]).await.unwrap();
        write(&*engine, vec![put("noise", n.to_string())]).await.unwrap();
        stamps.push(read_all(&*engine, shard).await[n].time_ms);
    }
    let numbers: Vec<RecordNo> = read_all(&*engine, shard).await.iter().map(|record| record.number).collect();
    let horizon = engine.position(shard, LogPosition::Horizon).await.unwrap();
    assert!(stamps[0] < stamps[1] && stamps[1] < stamps[2]);
    for (time, expect) in
        [(EpochMs(0), 3), (stamps[0], 3), (stamps[0].next(), 2), (stamps[2], 1), (stamps[2].next(), 0)]
    {
        let at = engine.position(shard, LogPosition::Time(time)).await.unwrap();
        let page = engine.read_log(shard, at, 10, 1 << 20).await.unwrap();
        assert_eq!(page.records.len(), expect, "from {time}");
        let passed = if expect == 3 { horizon } else { numbers[2 - expect] };
        assert_eq!(at, passed, "a time's position passes records only: {time}");
    }
    let end = engine.position(shard, LogPosition::End).await.unwrap();
    assert!(engine.read_log(shard, end, 10, 1 << 20).await.unwrap().records.is_empty());
    let later = append_one(&*engine, vec![append(1, 0, "later")]).await;
    let page = engine.read_log(shard, end, 10, 1 << 20).await.unwrap();
    assert_eq!(page.records.iter().map(|record| record.number).collect::<Vec<_>>(), [later.number]);
    engine.trim(shard, numbers[1].next()).await.unwrap();
    for time in [EpochMs(0), stamps[1].next()] {
        assert_eq!(
            engine.position(shard, LogPosition::Time(time)).await.unwrap(),
            numbers[1],
            "not behind the horizon"
        );
    }
}

async fn waiting(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    let wait = |after: RecordNo| {
        let engine = subject.engine();
        tokio::spawn(async move { engine.wait_log(shard, after).await })
    };
    let number = append_one(&*engine, vec![append(1, 0, "a")]).await.number;
    let mut there = wait(number.before());
    assert!(!is_waiting(&mut there).await, "there is a record already");
    let mut woken = wait(number);
    assert!(is_waiting(&mut woken).await, "nothing is there yet");
    write(&*engine, vec![append(1, 0, "b")]).await.unwrap();
    woken.await.unwrap();
    let end = engine.position(shard, LogPosition::End).await.unwrap();
    let mut sealed = wait(end);
    assert!(is_waiting(&mut sealed).await);
    write(&*engine, vec![Write::Seal { shard, children: Vec::new() }]).await.unwrap();
    sealed.await.unwrap();
    engine.wait_log(ShardNo(99), RecordNo::ZERO).await;
}
