//! Checks of commits, reads and pages.

use futures_util::FutureExt;

use super::*;
use crate::keyspace::TableKey;

pub(super) const CHECKS: &[(&str, Check)] = &[
    ("a commit is whole or not there, and answered ones survive", |s| whole(s).boxed()),
    ("nothing is answered or visible before its sync", |s| held(s).boxed()),
    ("what was not synced is gone after a crash, and its commit is not answered", |s| lost(s).boxed()),
    ("a rejected commit sees pending values, and waits until they are durable", |s| rejected(s).boxed()),
    ("a commit without writes says that it wrote nothing", |s| empty(s).boxed()),
    ("numbers rise and are never used twice, not even after trimming and a crash", |s| numbers(s).boxed()),
    ("writers of one key form one chain", |s| chain(s).boxed()),
    ("pages keep order, bounds and limits", |s| pages(s).boxed()),
    ("a page is of one point in time", |s| one_point(s).boxed()),
    ("an invalid commit changes nothing", |s| invalid(s).boxed()),
    ("a reclaimed range empties, and its neighbours stay", |s| reclaimed(s).boxed()),
    ("a shut-down engine refuses, and has everything when it is opened again", |s| shut_down(s).boxed()),
    ("a row that is set to the value of another has it", |s| same(s).boxed()),
    ("of two who compare and set, one succeeds", |s| compare(s).boxed()),
    ("a commit sees what there is, whatever was seen before it", |s| seen(s).boxed()),
];

async fn whole(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    let record = Write::Append {
        stream: StreamId(1),
        bucket: Bucket(7),
        meta: Bytes::from_static(b"m"),
        old: Some(Bytes::from_static(b"old")),
        new: NewImage::OfWrite(1),
    };
    let record = append_one(&*engine, vec![put("a", "1"), put("b", "2"), record]).await;
    assert_eq!(record.shard, shard);
    for round in ["before", "after"] {
        let engine = subject.engine();
        assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"1"[..]), "{round}");
        assert_eq!(get(&*engine, "b").await.as_deref(), Some(&b"2"[..]), "{round}");
        let records = read_all(&*engine, shard).await;
        assert_eq!(records.len(), 1, "{round}");
        assert_eq!(records[0].number, record.number);
        assert_eq!(records[0].old.as_deref(), Some(&b"old"[..]));
        assert_eq!(records[0].new.as_deref(), Some(&b"2"[..]));
        drop(engine);
        if round == "before" {
            subject.crash();
        }
    }
    let engine = subject.engine();
    write(&*engine, vec![Write::Delete { key: key("a") }]).await.unwrap();
    assert_eq!(get(&*engine, "a").await, None);
    drop(engine);
    subject.crash();
    assert_eq!(get(&*subject.engine(), "a").await, None);
}

async fn held(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    subject.hold_syncs(true);
    let mut task = write_later(subject, vec![put("a", "1"), append(1, 0, "m")]);
    assert!(is_waiting(&mut task).await, "answered before its sync");
    assert_eq!(get(&*engine, "a").await, None, "visible before its sync");
    assert!(rows(&*engine, SettingKey::range(), 9).await.rows.is_empty());
    assert!(metas(&*engine, shard).await.is_empty());
    subject.hold_syncs(false);
    task.await.unwrap().unwrap();
    assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"1"[..]));
    assert_eq!(metas(&*engine, shard).await, ["m"]);
}

async fn lost(subject: &mut dyn Subject) {
    write(&*subject.engine(), vec![put("a", "1")]).await.unwrap();
    subject.hold_syncs(true);
    let mut task = write_later(subject, vec![put("a", "2")]);
    assert!(is_waiting(&mut task).await, "answered before its sync");
    subject.crash();
    assert!(task.await.unwrap().is_err());
    let engine = subject.engine();
    assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"1"[..]));
    assert!(write(&*engine, vec![put("a", "3")]).await.unwrap().wrote);
}

async fn rejected(subject: &mut dyn Subject) {
    subject.hold_syncs(true);
    let mut writer = write_later(subject, vec![put("a", "1")]);
    assert!(is_waiting(&mut writer).await, "answered before its sync");
    let engine = subject.engine();
    let mut reader = tokio::spawn(async move {
        commit(&*engine, &[key("a")], &[key("b")], |reads| Decision::Reject(reads.shared[0].clone())).await
    });
    assert!(is_waiting(&mut reader).await, "a value that a crash may take back was shown");
    let engine = subject.engine();
    let mut other = tokio::spawn(async move {
        commit(&*engine, &[], &[key("c")], |reads| Decision::Reject(reads.exclusive[0].clone())).await
    });
    assert!(!is_waiting(&mut other).await, "waited for what it has not read");
    subject.hold_syncs(false);
    let answer = reader.await.unwrap().unwrap();
    assert_eq!(answer.answer.as_deref(), Some(&b"1"[..]));
    assert_eq!(answer.receipt, CommitReceipt::default());
    writer.await.unwrap().unwrap();
}

async fn empty(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let committed = commit(&*engine, &[], &[key("a")], |_| Decision::Apply(Vec::new(), 5)).await.unwrap();
    assert_eq!((committed.answer, committed.receipt), (5, CommitReceipt::default()));
}

async fn numbers(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    let writes = vec![append(1, 0, "a"), put("x", "1"), append(1, 1, "b"), append(1, 2, "c")];
    let receipt = write(&*engine, writes).await.unwrap();
    let records = read_all(&*engine, shard).await;
    let ids = records.iter().map(|record| RecordId { shard, number: record.number }).collect::<Vec<_>>();
    assert_eq!(receipt.records[..], ids, "an entry for each record, in the order of the appends");
    assert!(records.is_sorted_by(|a, b| a.number < b.number));
    let none = write(&*engine, vec![put("x", "2")]).await.unwrap();
    assert_eq!((none.wrote, none.records.len()), (true, 0));
    let last = records[2].number;
    engine.trim(shard, last.next()).await.unwrap();
    drop(engine);
    for _ in 0..2 {
        subject.crash();
        let record = append_one(&*subject.engine(), vec![append(1, 0, "d")]).await;
        assert!(record.number > last, "number {} was given out again", record.number);
    }
    let numbers: Vec<RecordNo> = read_all(&*subject.engine(), shard).await.iter().map(|r| r.number).collect();
    assert!(numbers.len() == 2 && numbers[0] < numbers[1]);
}

async fn chain(subject: &mut dyn Subject) {
    const WRITERS: u64 = 8;
    const ROUNDS: u64 = 25;
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    let one = |engine: Arc<dyn Engine>| async move {
        for _ in 0..ROUNDS {
            commit(&*engine, &[], &[key("n")], |reads| {
                let old = reads.exclusive[0].clone();
                let next = old.as_ref().map_or(0, |old| u64::from_be_bytes(old[..].try_into().unwrap())) + 1;
                let (value, meta) = (Bytes::copy_from_slice(&next.to_be_bytes()), Bytes::new());
                let (stream, new) = (StreamId(1), NewImage::OfWrite(0));
                let record = Write::Append { stream, bucket: Bucket(3), meta, old, new };
                Decision::Apply(vec![Write::Put { key: key("n"), value }, record], ())
            })
            .await
            .unwrap();
        }
    };
    let tasks: Vec<_> = (0..WRITERS).map(|_| tokio::spawn(one(engine.clone()))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let last = get(&*engine, "n").await;
    assert_eq!(last.as_deref(), Some(&(WRITERS * ROUNDS).to_be_bytes()[..]));
    let records = read_all(&*engine, shard).await;
    assert_eq!(records.len() as u64, WRITERS * ROUNDS);
    let mut before: Option<LogRecord> = None;
    for record in records {
        if let Some(before) = &before {
            assert!(record.number > before.number && record.time_ms >= before.time_ms);
        }
        assert_eq!(record.old, before.and_then(|before| before.new), "the chain breaks at {}", record.number);
        before = Some(record);
    }
    assert_eq!(before.and_then(|record| record.new), last);
}

async fn pages(subject: &mut dyn Subject) {
    let engine = subject.engine();
    write(&*engine, ["a", "b", "c", "d", "e"].map(|name| put(name, "12345")).to_vec()).await.unwrap();
    let all = || SettingKey::range();
    assert_eq!(names(&rows(&*engine, all(), 9).await), ["a", "b", "c", "d", "e"]);
    assert_eq!(names(&rows(&*engine, all().reversed(), 9).await), ["e", "d", "c", "b", "a"]);
    let page = rows(&*engine, all(), 2).await;
    assert!(page.limited);
    assert_eq!(names(&page), ["a", "b"]);
    let rest = rows(&*engine, all().after(&page.rows[1].0), 9).await;
    assert!(!rest.limited);
    assert_eq!(names(&rest), ["c", "d", "e"]);
    assert_eq!(names(&rows(&*engine, all().reversed().after(&key("d")), 9).await), ["c", "b", "a"]);
    let by_cost = PageLimit { rows_max: 9, cost_max: 11, cost: |_, value| value.len() };
    let page = engine.page(all(), by_cost).await.unwrap();
    assert!(page.limited);
    assert_eq!(names(&page), ["a", "b", "c"], "the row that reaches the cost is included");
    let nothing = all().after(&key("c")).reversed().after(&key("c"));
    assert!(rows(&*engine, nothing, 9).await.rows.is_empty());
}

async fn one_point(subject: &mut dyn Subject) {
    let engine = subject.engine();
    // Engines keep the rows of tables in memory: they must not run ahead or lag.
    let table = TableKey::key("t");
    let both = |value: u64| {
        let put_table = Write::Put { key: TableKey::key("t"), value: value.to_string().into() };
        vec![put("x", value.to_string()), put_table, put("y", value.to_string())]
    };
    write(&*engine, both(0)).await.unwrap();
    let writer = {
        let engine = engine.clone();
        tokio::spawn(async move {
            for value in 1..150 {
                write(&*engine, both(value)).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let page = rows(&*engine, SettingKey::range(), 9).await;
        assert_eq!(page.rows[0].1, page.rows[1].1);
        for keys in [[key("x"), table.clone(), key("y")], [table.clone(), key("y"), table.clone()]] {
            let values = engine.get(&keys).await.unwrap();
            assert!(values[0] == values[1] && values[1] == values[2], "{values:?}");
        }
        let (shared, exclusive) = ([table.clone()], [key("x")]);
        let seen = commit(&*engine, &shared, &exclusive, |r| Decision::Reject(r.shared[0] == r.exclusive[0]));
        assert!(seen.await.unwrap().answer);
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

async fn invalid(subject: &mut dyn Subject) {
    let engine = subject.engine();
    write(&*engine, vec![put("a", "1")]).await.unwrap();
    let no_put = Write::Append {
        stream: StreamId(9),
        bucket: Bucket(0),
        meta: Bytes::new(),
        old: None,
        new: NewImage::OfWrite(0),
    };
    let same_as_none = Write::PutSame { key: key("b"), of: 0 };
    let same_as_a_later_one = Write::PutSame { key: key("b"), of: 1 };
    for bad in [append(9, 0, "m"), no_put, same_as_none, same_as_a_later_one] {
        let refused = write(&*engine, vec![bad, put("a", "2")]).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
    }
    assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"1"[..]));
    assert!(write(&*engine, vec![put("a", "3")]).await.unwrap().wrote);
}

async fn reclaimed(subject: &mut dyn Subject) {
    let engine = subject.engine();
    for piece in 0..6 {
        let some = (0..100).map(|n| put(&format!("m{:03}", piece * 100 + n), "x")).collect();
        write(&*engine, some).await.unwrap();
    }
    write(&*engine, vec![put("l", "x"), put("n", "x")]).await.unwrap();
    let range = crate::keyspace::prefix_range(key("m").as_bytes());
    engine.reclaim(range.clone()).await.unwrap();
    while !rows(&*engine, range.clone(), 1).await.rows.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    engine.reclaim(range).await.unwrap();
    drop(engine);
    subject.crash();
    assert_eq!(names(&rows(&*subject.engine(), SettingKey::range(), 9).await), ["l", "n"]);
}

async fn shut_down(subject: &mut dyn Subject) {
    let engine = subject.engine();
    write(&*engine, vec![put("a", "1")]).await.unwrap();
    engine.shutdown().await.unwrap();
    let refused = write(&*engine, vec![put("a", "2")]).await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
    drop(engine);
    subject.crash();
    let engine = subject.engine();
    assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"1"[..]));
    write(&*engine, vec![put("a", "2")]).await.unwrap();
}

async fn same(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    let same = |name: &str| Write::PutSame { key: key(name), of: 1 };
    let record = Write::Append {
        stream: StreamId(1),
        bucket: Bucket(0),
        meta: Bytes::new(),
        old: None,
        new: NewImage::OfWrite(1),
    };
    let shared = Bytes::from(vec![7; 20_000]);
    let writes = vec![put("a", "0"), put("b", shared.clone()), same("c"), record, same("d")];
    write(&*engine, writes).await.unwrap();
    for round in ["before", "after"] {
        let engine = subject.engine();
        for name in ["b", "c", "d"] {
            assert_eq!(get(&*engine, name).await.as_ref(), Some(&shared), "{name} {round}");
        }
        assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"0"[..]));
        assert_eq!(read_all(&*engine, shard).await[0].new.as_ref(), Some(&shared), "{round}");
        drop(engine);
        subject.crash();
    }
}

async fn compare(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let (one, two) = (Bytes::from_static(b"1"), Bytes::from_static(b"2"));
    let set = |expected: Option<&Bytes>, new: Option<&Bytes>| {
        let (engine, expected, new) = (engine.clone(), expected.cloned(), new.cloned());
        tokio::spawn(async move { compare_and_set(&*engine, &key("a"), expected.as_ref(), new).await.unwrap() })
    };
    let (first, second) = (set(None, Some(&one)), set(None, Some(&two)));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let (there, done) = match first {
        Swap::Done => (one, second == Swap::Differs(Some(Bytes::from_static(b"1")))),
        Swap::Differs(found) => (two, second == Swap::Done && found.as_deref() == Some(b"2")),
    };
    assert!(done);
    assert_eq!(get(&*engine, "a").await, Some(there.clone()));
    assert_eq!(set(Some(&there), None).await.unwrap(), Swap::Done);
    assert_eq!(set(Some(&there), None).await.unwrap(), Swap::Differs(None));
    assert_eq!(get(&*engine, "a").await, None);
}

async fn seen(subject: &mut dyn Subject) {
    let engine = subject.engine();
    write(&*engine, vec![put("a", "1"), put("b", "1"), put("c", "1"), put("d", "1")]).await.unwrap();
    let page = rows(&*engine, SettingKey::range(), 9).await;
    let (keys, values): (Vec<Key>, Vec<Bytes>) = page.rows.into_iter().unzip();
    write(&*engine, vec![put("b", "2"), Write::Delete { key: key("c") }]).await.unwrap();
    subject.hold_syncs(true);
    let mut pending = write_later(subject, vec![put("d", "3")]);
    assert!(is_waiting(&mut pending).await, "answered before its sync");
    let reader = subject.engine();
    let mut task = tokio::spawn(async move {
        let seen = Some(Seen { at: page.at, values: &values });
        let declared = Declared { exclusive: &keys, seen, ..Declared::default() };
        commit_declared(&*reader, declared, |reads| Decision::Reject(reads.exclusive.to_vec())).await
    });
    assert!(is_waiting(&mut task).await, "answered before what it has read is durable");
    subject.hold_syncs(false);
    pending.await.unwrap().unwrap();
    let found = task.await.unwrap().unwrap().answer;
    let found: Vec<Option<&[u8]>> = found.iter().map(Option::as_deref).collect();
    assert_eq!(found, [Some(&b"1"[..]), Some(b"2"), None, Some(b"3")]);
}
