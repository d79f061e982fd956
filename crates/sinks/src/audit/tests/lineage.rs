//! Chains of shards and their children, of snapshots, of what is done to tables, and what a trail says of records that it never had.

use tailrace_core::Bucket;
use tailrace_store::BucketRange;

use super::*;

impl Bench {
    async fn commit(&self, write: Write) {
        commit(self.store.as_ref(), &[], &[], |_| Decision::Apply(vec![write.clone()], ())).await.unwrap();
    }

    /// Seals the table's open shard, which gets two children.
    async fn split(&self, shard: &ShardInfo) {
        let middle = Bucket(shard.range.first.0 + (shard.range.last.0 - shard.range.first.0) / 2);
        let children = vec![
            BucketRange { first: shard.range.first, last: middle },
            BucketRange { first: Bucket(middle.0 + 1), last: shard.range.last },
        ];
        self.commit(Write::Seal { shard: shard.shard, children }).await;
    }
}

#[tokio::test]
async fn both_children_of_a_shard_go_on_from_its_head() {
    let bench = Bench::new().await;
    for n in 0..4 {
        bench.put(&format!("k{n}"), "before").await;
    }
    let source = bench.source().await;
    let root = bench.shards(&source).await[0].clone();
    bench.split(&root).await;
    for n in 0..8 {
        bench.put(&format!("k{n}"), "after").await;
    }
    let memory = MemoryPlace::default();
    let place: Arc<dyn Place> = Arc::new(memory.clone());
    let shards = bench.shards(&source).await;
    assert_eq!(shards.len(), 3);
    for shard in &shards {
        bench.deliver(&Config::default(), &place, &[flush(&source, shard, bench.records(shard).await)]).await;
    }
    let report = sound(place.as_ref()).await;
    let [root, left, right] = &report.chains[..] else { panic!("{:?}", report.chains) };
    assert_eq!((root.first_entry, root.next_entry), (0, 4));
    assert_eq!((left.first_entry, right.first_entry), (4, 4));
    assert_eq!(left.next_entry + right.next_entry - 8, 8);

    // The parent's chain is needed to verify its children's.
    let whole = memory.files.lock().clone();
    let mut orphaned = whole.clone();
    orphaned.retain(|(chain, _), _| *chain != root.chain);
    let report = verify(&MemoryPlace::of(orphaned), &Trusted::default(), |_, _| {}).await.unwrap();
    assert_eq!(report.faults.len(), 2);
    for fault in &report.faults {
        assert_eq!((fault.entry, &fault.what), (4, &format!("{}, which it goes on from, is missing", root.chain)));
    }
    // So is its end: children show what was cut off of it.
    let mut two = bench.flushes(2).await;
    let other = MemoryPlace::default();
    let place: Arc<dyn Place> = Arc::new(other.clone());
    for flush in &mut two {
        flush.sink = "second".into();
    }
    for shard in &shards[1..] {
        two.push(Flush { sink: "second".into(), ..flush(&source, shard, bench.records(shard).await) });
    }
    bench.deliver(&Config::default(), &place, &two).await;
    sound(place.as_ref()).await;
    other.files.lock().remove(&(root.chain.clone(), 2));
    let report = verify(place.as_ref(), &Trusted::default(), |_, _| {}).await.unwrap();
    assert_eq!(report.faults.len(), 2);
    assert!(report.faults.iter().all(|f| f.what == format!("{} lacks its entries from 2 on", root.chain)));
}

/// A shard that had no records has no chain; its children go on from what was before it.
#[tokio::test]
async fn a_grandchild_goes_on_from_the_last_chain_before_it() {
    let bench = Bench::new().await;
    bench.put("k", "v").await;
    let source = bench.source().await;
    let root = bench.shards(&source).await[0].clone();
    bench.split(&root).await;
    for child in &bench.shards(&source).await[1..] {
        bench.split(child).await;
    }
    bench.put("k", "w").await;
    let place: Arc<dyn Place> = Arc::new(MemoryPlace::default());
    for shard in &bench.shards(&source).await {
        let records = bench.records(shard).await;
        if !records.is_empty() {
            bench.deliver(&Config::default(), &place, &[flush(&source, shard, records)]).await;
        }
    }
    let chains = sound(place.as_ref()).await.chains;
    let entries: Vec<(u64, u64)> = chains.iter().map(|chain| (chain.first_entry, chain.next_entry)).collect();
    assert_eq!(entries, [(0, 1), (1, 2)]);
}

#[tokio::test]
async fn records_that_were_trimmed_before_they_were_read_have_an_entry_that_says_so() {
    let bench = Bench::new().await;
    for n in 0..3 {
        bench.put("k", &format!("v{n}")).await;
    }
    let flushes = bench.flushes(3).await;
    let memory = MemoryPlace::default();
    let place: Arc<dyn Place> = Arc::new(memory.clone());
    bench.deliver(&Config::default(), &place, &flushes).await;
    // What was read may go.
    let (source, shard) = (bench.source().await, bench.shards(&bench.source().await.clone()).await[0].clone());
    bench.commit(Write::Trim { shard: shard.shard, horizon: flushes[0].last().next() }).await;
    bench.put("k", "v3").await;
    let late = flush(&source, &shard, bench.records(&shard).await);
    bench.deliver(&Config::default(), &place, std::slice::from_ref(&late)).await;
    assert_eq!(sound(place.as_ref()).await.chains[0].gap_count, 0);

    for n in 4..8 {
        bench.put("k", &format!("v{n}")).await;
    }
    let all = bench.records(&shard).await;
    bench.commit(Write::Trim { shard: shard.shard, horizon: all[2].number.next() }).await;
    let rest = flush(&source, &shard, bench.records(&shard).await);
    let before = memory.files.lock().clone();
    bench.deliver(&Config::default(), &place, std::slice::from_ref(&rest)).await;
    let report = sound(place.as_ref()).await;
    let [gap] = &report.chains[0].gaps[..] else { panic!("{:?}", report.chains) };
    let number = |number| tailrace_core::SequenceNumber(number).to_string();
    assert_eq!((gap.entry, gap.reason.as_str()), (4, "trimmed"));
    assert_eq!((&gap.after, &gap.before), (&number(late.last()), &number(rest.first())));
    // The same again, also when more is gone meanwhile.
    let after = memory.files.lock().clone();
    *memory.files.lock() = before;
    let key = chain_key(&rest);
    let row = head::read(bench.store.as_ref(), &key).await.unwrap().unwrap();
    let mut old = Head::decode(&row, &key).unwrap();
    (old.entries, old.segments, old.last, old.file) = (4, 2, late.last(), 3);
    let hash = Hash::parse(entries(place.as_ref()).await[3]["hash"].as_str().unwrap().as_bytes()).unwrap();
    (old.last_at, old.end) = (0, memory.files.lock()[&(old.chain.clone(), 3)].len() as u64);
    head::write(bench.store.as_ref(), &key, Some(&row), &old.with_hash(&hash)).await.unwrap();
    bench.commit(Write::Trim { shard: shard.shard, horizon: rest.first() }).await;
    bench.deliver(&Config::default(), &place, &[rest]).await;
    assert_eq!(*memory.files.lock(), after);
}

#[tokio::test]
async fn what_is_done_to_tables_is_a_chain_of_its_own() {
    let bench = Bench::new().await;
    bench.call("UpdateTable", json!({"TableName": "Orders", "DeletionProtectionEnabled": true})).await;
    bench.db.set_audit("Orders", false, &Caller::default()).await.unwrap();
    let stream = bench.db.control_stream().await.unwrap().unwrap();
    let source = source(control::TABLE, stream.arn(bench.db.settings()), stream.view, control::RESOURCE);
    let shard = &bench.shards(&source).await[0];
    let place: Arc<dyn Place> = Arc::new(MemoryPlace::default());
    bench.deliver(&Config::default(), &place, &[flush(&source, shard, bench.records(shard).await)]).await;
    let chains = sound(place.as_ref()).await.chains;
    assert!(chains[0].chain.starts_with("control/shardId-"), "{chains:?}");
    let entries = entries(place.as_ref()).await;
    let actions: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["StartAudit", "UpdateTable", "StopAudit"]);
    let update = &entries[1];
    assert_eq!(update["event_name"], "CONTROL");
    assert_eq!(
        [&update["resource"], &update["operation"], &update["principal"]],
        ["table/Orders", "UpdateTable", "AKIDEXAMPLE"]
    );
    let document = |name: &str| serde_json::from_str::<Value>(update[name].as_str().unwrap()).unwrap();
    let protection = |document: Value| document["deletion_protection"].clone();
    assert_eq!((protection(document("before")), protection(document("after"))), (json!(false), json!(true)));
}

#[tokio::test]
async fn the_items_of_a_snapshot_are_a_chain_of_their_own() {
    let bench = Bench::new().await;
    for n in 0..4 {
        bench.put(&format!("k{n}"), "v").await;
    }
    let pages: Vec<Flush> = (0..)
        .zip(bench.flushes(2).await)
        .map(|(page, flush)| Flush { origin: Origin::Snapshot { page, made_by: 1 }, ..flush })
        .collect();
    let place: Arc<dyn Place> = Arc::new(MemoryPlace::default());
    bench.deliver(&Config::default(), &place, &pages).await;
    bench.deliver(&Config::default(), &place, &pages).await;
    bench.put("k0", "w").await;
    bench.deliver(&Config::default(), &place, &bench.flushes(9).await).await;
    let chains = sound(place.as_ref()).await.chains;
    let of: Vec<(&str, u64)> =
        chains.iter().map(|chain| (chain.chain.rsplit('/').next().unwrap(), chain.next_entry)).collect();
    assert_eq!(of[1], ("snapshot-v1", 4));
    assert_eq!((of.len(), of[0].1), (2, 5));
}

#[tokio::test]
async fn a_trail_goes_on_in_another_place_and_says_where_it_was() {
    let bench = Bench::new().await;
    for n in 0..4 {
        bench.put(&format!("k{n}"), "v").await;
    }
    let flushes = bench.flushes(2).await;
    let here: Arc<dyn Place> = Arc::new(MemoryPlace::default());
    bench.deliver(&Config::default(), &here, &flushes[..1]).await;
    let dir = tempfile::tempdir().unwrap();
    let there: Arc<dyn Place> = Arc::new(directory::Directory::new(dir.path().join("a/b")));
    bench.deliver(&Config::default(), &there, &flushes[1..]).await;
    sound(here.as_ref()).await;
    let chains = sound(there.as_ref()).await.chains;
    assert_eq!((chains[0].first_entry, chains[0].next_entry), (2, 4));
    assert_eq!(chains[0].continues.as_deref(), Some("memory"));
}

/// Completeness, by what the store knows: docs/spec/sinks.md 7.
#[tokio::test]
async fn the_heads_that_the_store_knows_are_those_of_the_trail() {
    let bench = Bench::new().await;
    for n in 0..4 {
        bench.put(&format!("k{n}"), "v").await;
    }
    let place: Arc<dyn Place> = Arc::new(MemoryPlace::default());
    let flushes = bench.flushes(2).await;
    bench.deliver(&Config::default(), &place, &flushes).await;
    let chains = sound(place.as_ref()).await.chains;
    let known = heads(&bench.db, "trail").await.unwrap();
    let [head] = &known[..] else { panic!("{known:?}") };
    assert_eq!((&head.chain, &head.head, head.entries), (&chains[0].chain, &chains[0].head, 4));
    assert_eq!(head.last, flushes[1].last());
    assert_eq!(heads(&bench.db, "trai").await.unwrap(), []);
}
