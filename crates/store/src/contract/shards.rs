//! Checks of the writes that change shards: the commit resolves them, and bodies see what they change.

use futures_util::FutureExt;

use super::*;

pub(super) const CHECKS: &[(&str, Check)] = &[
    ("a sealed shard ends, its children go on, and a dropped stream is gone", |s| sealing(s).boxed()),
    ("a child's numbers are above its parent's", |s| following(s).boxed()),
    ("numbers rise from a stream to the next one, also when nothing is left of it", |s| next_stream(s).boxed()),
    ("what makes no sense of shards is refused", |s| nonsense(s).boxed()),
    ("sealing and forgetting mean what there is at the commit", |s| at_commit(s).boxed()),
    ("a shard is split once", |s| split(s).boxed()),
    ("a sealed shard is forgotten alone", |s| forget(s).boxed()),
    ("a body sees the shards of the streams that it declares", |s| seen(s).boxed()),
];

fn halves() -> Vec<BucketRange> {
    let half = |first, last| BucketRange { first: Bucket(first), last: Bucket(last) };
    vec![half(0, 99), half(100, u16::MAX)]
}

fn open(stream: u64, ranges: &[BucketRange]) -> Write {
    Write::OpenStream { stream: StreamId(stream), ranges: ranges.to_vec() }
}

fn seal_stream(stream: u64) -> Write {
    Write::SealStream { stream: StreamId(stream) }
}

fn drop_stream(stream: u64) -> Write {
    Write::DropStream { stream: StreamId(stream) }
}

async fn listed(engine: &dyn Engine, stream: u64) -> Vec<ShardInfo> {
    engine.shards(StreamId(stream)).await.unwrap()
}

async fn sealing(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    write(&*engine, vec![append(1, 0, "old")]).await.unwrap();
    let seal = Write::Seal { shard, children: halves() };
    write(&*engine, vec![append(1, 5, "last"), seal, append(1, 5, "new")]).await.unwrap();
    let shards = listed(&*engine, 1).await;
    assert_eq!(shards.len(), 3);
    let (parent, child) = (&shards[0], &shards[1]);
    let sealed = parent.sealed.unwrap();
    assert_eq!(child.parent, Some(shard));
    assert!(child.created_ms > parent.created_ms);
    let old = read_all(&*engine, shard).await;
    assert_eq!(metas(&*engine, shard).await, ["old", "last"]);
    assert!(old.iter().all(|record| record.number <= sealed));
    let young = read_all(&*engine, child.shard).await;
    assert_eq!(metas(&*engine, child.shard).await, ["new"]);
    assert!(young.iter().all(|record| record.number >= child.first));
    assert!(engine.read_log(shard, RecordNo::ZERO, 10, 1 << 20).await.unwrap().ended);
    let first = engine.read_log(shard, RecordNo::ZERO, 1, 1 << 20).await.unwrap();
    assert!(!first.ended && first.more);
    assert!(!engine.read_log(child.shard, RecordNo::ZERO, 10, 1 << 20).await.unwrap().ended);
    let seal = |info: &ShardInfo| Write::Seal { shard: info.shard, children: Vec::new() };
    write(&*engine, vec![seal(&shards[1]), seal(&shards[2])]).await.unwrap();
    write(&*engine, vec![drop_stream(1)]).await.unwrap();
    assert!(listed(&*engine, 1).await.is_empty());
    let gone = engine.read_log(shard, RecordNo::ZERO, 10, 1 << 20).await;
    assert!(matches!(gone, Err(StoreError::NoSuchShard(n)) if n == shard), "{gone:?}");
    drop(engine);
    subject.crash();
    assert!(listed(&*subject.engine(), 1).await.is_empty());
    assert!(open_stream(&*subject.engine(), 2).await > shards[2].shard, "a shard's number is never used again");
}

async fn following(subject: &mut dyn Subject) {
    let engine = subject.engine();
    open_stream(&*engine, 9).await;
    // Shards that are opened behind the last record of their commit, and sealed before they have one themselves.
    write(&*engine, vec![append(9, 0, "a"), append(9, 0, "b"), open(1, &halves())]).await.unwrap();
    drop(engine);
    for round in 0..4 {
        let engine = subject.engine();
        // One half is far ahead of the other; both have records in the commit that seals them, on both sides of the seal.
        for n in 0..round * 5 {
            write(&*engine, vec![append(1, 0, n.to_string())]).await.unwrap();
        }
        let parents: Vec<_> = listed(&*engine, 1).await.into_iter().filter(|info| info.sealed.is_none()).collect();
        for ShardInfo { shard, range, .. } in parents {
            let seal = Write::Seal { shard, children: vec![range] };
            let record = || append(1, range.first.0, "m");
            let writes = if round == 0 { vec![seal] } else { vec![record(), seal, record()] };
            write(&*engine, writes).await.unwrap();
        }
        let shards = listed(&*engine, 1).await;
        for child in shards.iter().filter(|info| info.sealed.is_none()) {
            let parent = shards.iter().find(|info| Some(info.shard) == child.parent).unwrap();
            let sealed = parent.sealed.unwrap();
            assert!(child.first > sealed, "{child:?} begins at or below the last of {parent:?}");
            let (old, young) = (read_all(&*engine, parent.shard).await, read_all(&*engine, child.shard).await);
            assert!(old.iter().all(|record| record.number <= sealed), "{parent:?}");
            assert!(young.iter().all(|record| record.number >= child.first), "{child:?}");
        }
        drop(engine);
        subject.crash();
    }
}

/// What a table's streams are, one after the other.
async fn next_stream(subject: &mut dyn Subject) {
    let mut highest = RecordNo::ZERO;
    for stream in 1..4 {
        let engine = subject.engine();
        write(&*engine, vec![open(stream, &halves())]).await.unwrap();
        for info in listed(&*engine, stream).await {
            assert!(info.first > highest, "{info:?} begins at or below {highest}");
            // What a snapshot beside the shard is numbered with.
            let limit = PageLimit { rows_max: 1, cost_max: usize::MAX, cost: |_, _| 1 };
            let (_, numbers) = engine.page_beside_log(SettingKey::range(), limit, &[info.shard]).await.unwrap();
            assert!(numbers[0] >= highest, "a snapshot beside {info:?} has {}, below {highest}", numbers[0]);
        }
        for n in 0..3 {
            let record = append_one(&*engine, vec![append(stream, 0, n.to_string())]).await;
            assert!(record.number > highest);
        }
        write(&*engine, vec![append(stream, 0, "last"), seal_stream(stream)]).await.unwrap();
        let shards = listed(&*engine, stream).await;
        highest = shards.iter().filter_map(|info| info.sealed).chain([highest]).max().unwrap();
        if stream == 2 {
            write(&*engine, vec![drop_stream(1), drop_stream(2)]).await.unwrap();
        }
        drop(engine);
        subject.crash();
    }
}

async fn nonsense(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    let before = listed(&*engine, 1).await;
    let range = |first, last| BucketRange { first: Bucket(first), last: Bucket(last) };
    let seal = |children: &[BucketRange]| Write::Seal { shard, children: children.to_vec() };
    for bad in [
        open(1, &[ALL]),
        open(2, &[]),
        open(2, &[range(0, 9), range(11, u16::MAX)]),
        open(2, &[range(0, 9), range(9, u16::MAX)]),
        open(2, &[range(0, 9)]),
        seal(&[range(0, 9)]),
        Write::ForgetShard { shard },
    ] {
        // Also what stands before it in the commit is taken back.
        let writes = vec![open(3, &halves()), Write::Trim { shard, horizon: RecordNo(99) }, bad.clone(), put("a", "1")];
        let refused = write(&*engine, writes).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{bad:?}: {refused:?}");
    }
    assert_eq!(get(&*engine, "a").await, None);
    assert_eq!(listed(&*engine, 1).await, before);
    assert!(listed(&*engine, 3).await.is_empty());
    assert_eq!(open_stream(&*engine, 4).await.0, shard.0 + 1, "a refused commit takes no shard's number");
    write(&*engine, vec![seal(&[])]).await.unwrap();
    let refused = write(&*engine, vec![append(1, 0, "m")]).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
}

async fn at_commit(subject: &mut dyn Subject) {
    let engine = subject.engine();
    for nothing in [
        seal_stream(7),
        drop_stream(7),
        Write::Seal { shard: ShardNo(99), children: halves() },
        Write::ForgetShard { shard: ShardNo(99) },
        Write::Trim { shard: ShardNo(99), horizon: RecordNo(9) },
    ] {
        let receipt = write(&*engine, vec![nothing.clone()]).await.unwrap();
        assert_eq!(receipt, CommitReceipt::default(), "{nothing:?}");
        let receipt = write(&*engine, vec![nothing.clone(), put("a", "1")]).await.unwrap();
        assert!(receipt.wrote, "{nothing:?}");
    }
    write(&*engine, vec![open(1, &halves())]).await.unwrap();
    let first = listed(&*engine, 1).await[0].shard;
    write(&*engine, vec![Write::Seal { shard: first, children: Vec::new() }]).await.unwrap();
    let sealed = listed(&*engine, 1).await[0].sealed;
    write(&*engine, vec![append(1, 100, "m"), seal_stream(1)]).await.unwrap();
    let shards = listed(&*engine, 1).await;
    assert!(shards.iter().all(|info| info.sealed.is_some()) && shards.len() == 2);
    assert_eq!(shards[0].sealed, sealed, "what was sealed before stays as it was");
    assert_eq!(metas(&*engine, shards[1].shard).await, ["m"]);
    assert_eq!(write(&*engine, vec![seal_stream(1)]).await.unwrap(), CommitReceipt::default());
    // A stream that is open may be forgotten as it is, and one that is opened in the same commit be sealed.
    write(&*engine, vec![open(2, &halves()), seal_stream(2), open(3, &[ALL])]).await.unwrap();
    assert!(listed(&*engine, 2).await.iter().all(|info| info.sealed.is_some()));
    write(&*engine, vec![drop_stream(1), drop_stream(3)]).await.unwrap();
    assert!(listed(&*engine, 1).await.is_empty() && listed(&*engine, 3).await.is_empty());
    let left = listed(&*engine, 2).await;
    drop(engine);
    subject.crash();
    let engine = subject.engine();
    assert_eq!(listed(&*engine, 2).await, left);
    assert!(listed(&*engine, 1).await.is_empty() && listed(&*engine, 3).await.is_empty());
}

async fn split(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    let splits: Vec<_> =
        (0..4).map(|_| write_later(subject, vec![Write::Seal { shard, children: halves() }])).collect();
    let mut wrote = 0;
    for split in splits {
        wrote += usize::from(split.await.unwrap().unwrap().wrote);
    }
    assert_eq!(wrote, 1);
    let shards = listed(&*engine, 1).await;
    assert_eq!(shards.iter().map(|info| info.range).collect::<Vec<_>>(), [vec![ALL], halves()].concat());
    write(&*engine, vec![append(1, 99, "m")]).await.unwrap();
    assert_eq!(metas(&*engine, shards[1].shard).await, ["m"]);
}

async fn forget(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    write(&*engine, vec![append(1, 0, "old"), Write::Seal { shard, children: halves() }, append(1, 0, "new")])
        .await
        .unwrap();
    write(&*engine, vec![Write::ForgetShard { shard }]).await.unwrap();
    drop(engine);
    for round in 0..2 {
        let engine = subject.engine();
        let shards = listed(&*engine, 1).await;
        assert_eq!(shards.iter().map(|info| info.range).collect::<Vec<_>>(), halves(), "{round}");
        assert_eq!(metas(&*engine, shards[0].shard).await, ["new"], "{round}");
        let gone = engine.read_log(shard, RecordNo::ZERO, 9, 1 << 20).await;
        assert!(matches!(gone, Err(StoreError::NoSuchShard(_))), "{gone:?}");
        drop(engine);
        subject.crash();
    }
}

async fn seen(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let streams = [StreamId(1), StreamId(2)];
    let look = async || {
        let declared = Declared { streams: &streams, ..Declared::default() };
        let seen = commit_declared(&*engine, declared, |reads| Decision::Reject(reads.streams.to_vec()));
        seen.await.unwrap().answer
    };
    assert_eq!(look().await, [Vec::new(), Vec::new()]);
    write(&*engine, vec![open(1, &[ALL]), open(2, &halves())]).await.unwrap();
    let infos = listed(&*engine, 1).await;
    let number = append_one(&*engine, vec![append(1, 0, "m")]).await.number;
    write(&*engine, vec![Write::Seal { shard: infos[0].shard, children: halves() }]).await.unwrap();
    engine.trim(infos[0].shard, number).await.unwrap();
    let states = look().await;
    assert_eq!(states[1].len(), 2);
    let open: Vec<bool> = states[0].iter().map(|state| state.open).collect();
    assert_eq!(open, [false, true, true]);
    assert_eq!((states[0][0].shard, states[0][0].range, states[0][0].horizon), (infos[0].shard, ALL, number));
    assert_eq!(states[0][1].parent, Some(infos[0].shard));
    // Each of these sees what the one before it left: a lost update would leave fewer shards sealed.
    let seal_one = || {
        let engine = engine.clone();
        tokio::spawn(async move {
            let declared = Declared { streams: &[StreamId(1), StreamId(2)], ..Declared::default() };
            let sealed = commit_declared(&*engine, declared, |reads| {
                let open = reads.streams.iter().flatten().find(|state| state.open).map(|state| state.shard);
                match open {
                    Some(shard) => Decision::Apply(vec![Write::Seal { shard, children: Vec::new() }], Some(shard)),
                    None => Decision::Reject(None),
                }
            });
            sealed.await.unwrap().answer
        })
    };
    let tasks: Vec<_> = (0..6).map(|_| seal_one()).collect();
    let mut sealed = Vec::new();
    for task in tasks {
        sealed.extend(task.await.unwrap());
    }
    sealed.sort_unstable();
    sealed.dedup();
    assert_eq!(sealed.len(), 4, "each sealed another one, and the last two found none");
}
