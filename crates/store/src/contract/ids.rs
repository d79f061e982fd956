//! Checks of commit ids: what became of a commit, and that it is not made twice.

use futures_util::FutureExt;
use tailrace_core::EpochMs;
use tailrace_core::limits::COMMIT_ID_LIFE;

use super::*;

pub(super) const CHECKS: &[(&str, Check)] = &[
    ("a commit with an id is made once, and its outcome is known", |s| once(s).boxed()),
    ("of two commits of one id at the same time, one is made", |s| together(s).boxed()),
    ("the outcome is told only when it is durable", |s| durable(s).boxed()),
    ("what was lost in a crash was not committed, and may be made again", |s| lost(s).boxed()),
    ("a commit whose future is dropped is whole or not there, and its outcome says which", |s| dropped(s).boxed()),
    ("an id that is too old is known no more, and refused", |s| forgotten(s).boxed()),
];

fn id(unique: u128) -> Option<CommitId> {
    Some(CommitId { made_ms: EpochMs(1_000), unique })
}

async fn outcome(subject: &dyn Subject, unique: u128) -> Outcome {
    subject.engine().outcome(id(unique).unwrap()).await.unwrap()
}

async fn once(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    assert_eq!(outcome(subject, 1).await, Outcome::NotCommitted);
    let receipt = write_named(&*engine, id(1), vec![put("a", "1"), append(1, 0, "m")]).await.unwrap();
    assert_eq!((receipt.wrote, receipt.records.len()), (true, 1));
    write(&*engine, vec![put("a", "2")]).await.unwrap();
    drop(engine);
    for round in 0..2 {
        let engine = subject.engine();
        assert_eq!(outcome(subject, 1).await, Outcome::Committed, "{round}");
        let again = write_named(&*engine, id(1), vec![put("a", "1"), append(1, 0, "m")]).await;
        assert!(matches!(again, Err(StoreError::AlreadyCommitted)), "{again:?}");
        assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"2"[..]), "{round}");
        assert_eq!(metas(&*engine, shard).await, ["m"], "{round}");
        drop(engine);
        subject.crash();
    }
    let engine = subject.engine();
    assert_eq!(names(&rows(&*engine, SettingKey::range(), 9).await), ["a"]);
    let declared = Declared { id: id(2), ..Declared::default() };
    let rejected = commit_declared(&*engine, declared, |_| Decision::Reject(())).await.unwrap();
    assert!(!rejected.receipt.wrote);
    assert_eq!(outcome(subject, 2).await, Outcome::NotCommitted, "a commit that wrote nothing has left nothing");
    assert!(write_named(&*engine, id(2), vec![put("b", "1")]).await.unwrap().wrote);
}

async fn together(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    let tasks: Vec<_> = (0..16)
        .map(|n: u128| {
            let engine = engine.clone();
            tokio::spawn(async move { write_named(&*engine, id(n / 2), vec![append(1, 0, "m")]).await })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(receipt) => made += receipt.records.len(),
            Err(error) => assert!(matches!(error, StoreError::AlreadyCommitted), "{error:?}"),
        }
    }
    assert_eq!((made, metas(&*engine, shard).await.len()), (8, 8));
}

async fn durable(subject: &mut dyn Subject) {
    let engine = subject.engine();
    subject.hold_syncs(true);
    let task = {
        let engine = engine.clone();
        tokio::spawn(async move { write_named(&*engine, id(1), vec![put("a", "1")]).await })
    };
    let mut again = {
        let engine = engine.clone();
        tokio::spawn(async move {
            // The first of the two may not have begun: then this one is the commit, and waits for its sync as well.
            write_named(&*engine, id(1), vec![put("a", "1")]).await.is_ok()
        })
    };
    assert!(is_waiting(&mut again).await, "told of a commit that a crash may take back");
    let mut asked = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.outcome(id(1).unwrap()).await.unwrap() })
    };
    assert!(is_waiting(&mut asked).await, "told of an outcome that a crash may change");
    subject.hold_syncs(false);
    assert_eq!(asked.await.unwrap(), Outcome::Committed);
    assert_ne!(task.await.unwrap().is_ok(), again.await.unwrap());
}

async fn lost(subject: &mut dyn Subject) {
    let engine = subject.engine();
    subject.hold_syncs(true);
    let mut task = tokio::spawn(async move { write_named(&*engine, id(1), vec![put("a", "1")]).await });
    assert!(is_waiting(&mut task).await, "answered before its sync");
    subject.crash();
    assert!(task.await.unwrap().is_err());
    assert_eq!(outcome(subject, 1).await, Outcome::NotCommitted);
    assert!(write_named(&*subject.engine(), id(1), vec![put("a", "2")]).await.unwrap().wrote);
    assert_eq!(outcome(subject, 1).await, Outcome::Committed);
}

async fn dropped(subject: &mut dyn Subject) {
    subject.hold_syncs(true);
    let engine = subject.engine();
    let mut tasks: Vec<_> = (0..4)
        .map(|n: u128| {
            let engine = engine.clone();
            let (a, b) = (put(&format!("a{n}"), "1"), put(&format!("b{n}"), "1"));
            tokio::spawn(async move { write_named(&*engine, id(n), vec![a, b]).await })
        })
        .collect();
    assert!(is_waiting(&mut tasks[0]).await, "answered before its sync");
    for task in tasks {
        task.abort();
        assert!(task.await.is_err());
    }
    subject.hold_syncs(false);
    for n in 0..4 {
        let made = outcome(subject, n).await == Outcome::Committed;
        for half in ["a", "b"] {
            assert_eq!(get(&*engine, &format!("{half}{n}")).await.is_some(), made, "{half}{n}");
        }
    }
}

async fn forgotten(subject: &mut dyn Subject) {
    let engine = subject.engine();
    write_named(&*engine, id(1), vec![put("a", "1")]).await.unwrap();
    subject.advance_ms(COMMIT_ID_LIFE.as_millis() as u64 + 1);
    assert_eq!(outcome(subject, 1).await, Outcome::Unknown);
    let late = write_named(&*engine, id(1), vec![put("a", "2")]).await;
    assert!(matches!(late, Err(StoreError::Invalid(_))), "{late:?}");
    // A commit with a younger id makes the engine forget the old ones.
    let young = CommitId { made_ms: EpochMs(1_001).plus(COMMIT_ID_LIFE), unique: 1 };
    write_named(&*engine, Some(young), vec![put("b", "1")]).await.unwrap();
    let known = || async { rows(&*engine, crate::keyspace::KeyKind::Commit.range(), 9).await.rows.len() };
    while known().await > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(subject.engine().outcome(young).await.unwrap(), Outcome::Committed);
}
