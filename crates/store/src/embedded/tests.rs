//! The embedded engine on real files: what the contract suite cannot see from outside.

use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::clock::ManualClock;

use super::*;
use crate::keyspace::SettingKey;

fn options() -> Options {
    Options { fatal: Arc::new(|_| {}), ..Options::new(Arc::new(ManualClock::at(1_000)), [7; 16]) }
}

async fn put(engine: &dyn Engine, name: &str, value: &'static [u8]) -> Lsn {
    let key = SettingKey::key(name);
    let write = Write::Put { key: key.clone(), value: Bytes::from_static(value) };
    let body = Box::new(move |_: &Reads<'_>| Some(vec![write.clone()]));
    let receipt = engine.commit(CommitRequest { shared: &[], exclusive: &[key], body }).await.unwrap();
    receipt.lsn.unwrap()
}

async fn get(engine: &dyn Engine, name: &str) -> Option<Bytes> {
    engine.get(&[SettingKey::key(name)]).await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_kill_and_after_a_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let engine = EmbeddedEngine::open(dir.path(), options()).unwrap();
    let first = put(&*engine, "a", b"1").await;
    drop(engine);
    let engine = EmbeddedEngine::open(dir.path(), options()).unwrap();
    assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"1"[..]));
    assert!(put(&*engine, "a", b"2").await > first);
    engine.shutdown().await.unwrap();
    let engine = EmbeddedEngine::open(dir.path(), options()).unwrap();
    assert_eq!(get(&*engine, "a").await.as_deref(), Some(&b"2"[..]));
    assert_eq!(check(dir.path()).unwrap_err().to_string().contains("in use by another process"), true);
    engine.shutdown().await.unwrap();
    assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
}
