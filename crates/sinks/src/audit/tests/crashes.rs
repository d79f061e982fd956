//! A crash or an error at every step of a flush, and the trail of a clean run in the end.

use std::collections::BTreeMap;
use std::path::Path;

use super::memory::{Failing, Fails, Watched};
use super::*;
use crate::audit::directory::Directory;

async fn some_changes(bench: &Bench) {
    for n in 0..7 {
        bench.put(&format!("k{}", n % 3), &format!("v{n}")).await;
    }
    bench.delete("k1").await;
}

/// Every file below a directory.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        // What is written meanwhile comes and goes.
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let Ok(bytes) = std::fs::read(&path) else { continue };
                    found.insert(path.strip_prefix(root).unwrap().display().to_string(), bytes);
                }
            }
        }
    }
    found
}

/// Where a flush is interrupted.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write(Fails),
    /// The segment is there; the head's row is lost.
    Head,
    /// The head is there; the checkpoint is lost.
    Checkpoint,
}

/// docs/spec/sinks.md 9: a crashed run leaves the very bytes of a clean one, whether files hold a segment or several.
#[tokio::test]
async fn a_crash_at_every_step_of_every_flush_leaves_the_trail_of_a_clean_run() {
    for file_bytes_max in [0, 1500, u64::MAX] {
        let clean_dir = tempfile::tempdir().unwrap();
        let clean = {
            let bench = Bench::new().await;
            some_changes(&bench).await;
            let place: Arc<dyn Place> = Arc::new(directory(clean_dir.path(), file_bytes_max));
            bench.deliver(&Config::default(), &place, &bench.flushes(3).await).await;
            sound(place.as_ref()).await;
            tree(clean_dir.path())
        };
        assert!(clean.len() <= 3 && !clean.is_empty());
        let steps = [Fails::Before, Fails::Half, Fails::After].map(Step::Write);
        for step in steps.into_iter().chain([Step::Head, Step::Checkpoint]) {
            for at in 0..3 {
                let bench = Bench::new().await;
                some_changes(&bench).await;
                let dir = tempfile::tempdir().unwrap();
                interrupted(&bench, dir.path(), file_bytes_max, step, at).await;
                let place: Arc<dyn Place> = Arc::new(directory(dir.path(), file_bytes_max));
                sound(place.as_ref()).await;
                // But for the place's name, which no line has.
                assert!(tree(dir.path()) == clean, "{step:?} of flush {at}, files of {file_bytes_max}");
            }
        }
    }
}

fn directory(root: &Path, file_bytes_max: u64) -> Directory {
    Directory::new(root.to_owned()).with_file_bytes_max(file_bytes_max)
}

/// Delivers all, with one flush interrupted at a step and sent again by a process that knows nothing of it.
async fn interrupted(bench: &Bench, root: &Path, file_bytes_max: u64, step: Step, at: usize) {
    let flushes = bench.flushes(3).await;
    let place: Arc<dyn Place> = Arc::new(directory(root, file_bytes_max));
    bench.deliver(&Config::default(), &place, &flushes[..at]).await;
    let failing = Failing { place: directory(root, file_bytes_max), next: Mutex::new(None) };
    match step {
        Step::Write(fails) => {
            *failing.next.lock() = Some(fails);
            let trail = bench.trail(Config::default(), Arc::new(failing));
            let error = trail.flush(flushes[at].clone()).await.unwrap_err();
            assert_eq!(error.to_string(), "it fails on purpose");
        }
        Step::Head => {
            // The segment is whole when the commit of the head begins to wait for its sync.
            let store = Arc::clone(&bench.store);
            let holding =
                Watched { place: directory(root, file_bytes_max), written: Box::new(move || store.hold_syncs(true)) };
            let trail = bench.trail(Config::default(), Arc::new(holding));
            let running = tokio::spawn(trail.flush(flushes[at].clone()));
            while bench.store.held() == 0 {
                tokio::task::yield_now().await;
            }
            bench.store.crash();
            let error = running.await.unwrap();
            assert!(error.is_err(), "the head was not made durable");
            bench.store.hold_syncs(false);
        }
        Step::Checkpoint => {
            bench.deliver(&Config::default(), &place, &flushes[at..=at]).await;
        }
    }
    bench.deliver(&Config::default(), &place, &flushes[at..]).await;
}

#[tokio::test]
async fn what_is_replayed_is_not_entered_twice() {
    let bench = Bench::new().await;
    some_changes(&bench).await;
    let place: Arc<dyn Place> = Arc::new(MemoryPlace::default());
    bench.deliver(&Config::default(), &place, &bench.flushes(3).await).await;
    let before = entries(place.as_ref()).await;
    bench.put("late", "v").await;
    // In other pieces than the first time, and with one that is new.
    bench.deliver(&Config::default(), &place, &bench.flushes(4).await).await;
    let after = entries(place.as_ref()).await;
    assert_eq!((before.len(), after.len()), (8, 9));
    assert_eq!(after[..8], before);
}

/// Two servers at once: one of the heads is refused, and the trail is that of one.
#[tokio::test]
async fn two_owners_at_once_leave_one_chain() {
    let bench = Bench::new().await;
    some_changes(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    let flushes = bench.flushes(3).await;
    let place: Arc<dyn Place> = Arc::new(directory(dir.path(), u64::MAX));
    for flush in &flushes {
        let send = |epoch| {
            let trail = bench.trail(Config::default(), Arc::clone(&place));
            trail.flush(Flush { epoch, ..flush.clone() })
        };
        let (a, b) = tokio::join!(send(1), send(1));
        assert!(a.is_ok() || b.is_ok());
    }
    assert_eq!(entries(place.as_ref()).await.len(), 8);
}

/// What an attacker does to the end of the trail while the server is down is not built upon.
#[tokio::test]
async fn a_trail_that_was_changed_or_cut_off_meanwhile_is_not_gone_on_from() {
    let bench = Bench::new().await;
    some_changes(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    let place: Arc<dyn Place> = Arc::new(directory(dir.path(), u64::MAX));
    let flushes = bench.flushes(3).await;
    bench.deliver(&Config::default(), &place, &flushes[..2]).await;
    let (name, bytes) = tree(dir.path()).pop_first().unwrap();
    let path = dir.path().join(name);
    let trail = || bench.trail(Config::default(), Arc::clone(&place));

    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let error = trail().flush(flushes[2].clone()).await.unwrap_err();
    assert!(error.to_string().contains("was cut off"), "{error}");
    let mut changed = bytes.clone();
    let last = changed.len() - 20;
    changed[last] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    let error = trail().flush(flushes[2].clone()).await.unwrap_err();
    assert!(error.to_string().contains("was changed"), "{error}");
    std::fs::remove_file(&path).unwrap();
    assert!(trail().flush(flushes[2].clone()).await.is_err());

    std::fs::write(&path, &bytes).unwrap();
    bench.deliver(&Config::default(), &place, &flushes[2..]).await;
    assert_eq!(entries(place.as_ref()).await.len(), 8);
}

/// A place that another trail has is not written over.
#[tokio::test]
async fn the_files_of_another_trail_stay() {
    let bench = Bench::new().await;
    some_changes(&bench).await;
    let dir = tempfile::tempdir().unwrap();
    let place: Arc<dyn Place> = Arc::new(directory(dir.path(), u64::MAX));
    let flushes = bench.flushes(3).await;
    bench.deliver(&Config::default(), &place, &flushes[..1]).await;
    let other = Flush { sink: "other".into(), ..flushes[0].clone() };
    let error = bench.trail(Config::default(), place).flush(other).await.unwrap_err();
    assert!(error.to_string().contains("did not write: those of another audit trail"), "{error}");
}

/// A data directory that was restored from a backup knows less than the trail has: what was confirmed since stays, also where records
/// have the numbers of those that were there, and nothing is written over it.
#[tokio::test]
async fn what_was_confirmed_behind_a_restored_head_stays() {
    for file_bytes_max in [0, u64::MAX] {
        let dir = tempfile::tempdir().unwrap();
        let place: Arc<dyn Place> = Arc::new(directory(dir.path(), file_bytes_max));
        let mut trees = Vec::new();
        for after in ["the first time", "after the restore"] {
            // The same history up to the backup, and then another one under the same numbers.
            let bench = Bench::new().await;
            some_changes(&bench).await;
            bench.put("k0", after).await;
            bench.put("k1", after).await;
            let flushes = bench.flushes(2).await;
            bench.deliver(&Config::default(), &place, &flushes[..4]).await;
            let later = bench.trail(Config::default(), Arc::clone(&place)).flush(flushes[4].clone()).await;
            trees.push(tree(dir.path()));
            match later {
                Ok(_) => assert_eq!(trees.len(), 1),
                Err(error) => {
                    assert!(trees.len() == 2 && error.to_string().contains("restored from a backup"), "{error}")
                }
            }
        }
        assert!(
            trees[0] == trees[1]
                && trees[0].values().any(|bytes| String::from_utf8_lossy(bytes).contains("the first time"))
        );
    }
}

/// A key that was changed between two tries at a segment makes another signature, and the same segment.
#[test]
fn a_try_with_another_signature_is_no_other_segment() {
    let line = |seq: u64| {
        let mut line = crate::audit::chain::Line::default();
        crate::audit::entry::write_gap(&mut line, RecordNo(1), RecordNo(2), "trimmed", "Orders", seq);
        let mut bytes = Vec::new();
        line.push_to(&crate::audit::chain::Hash::NONE, &mut bytes);
        bytes
    };
    let signature = |by: &str| format!("{{\"event_name\":\"SIGNATURE\",\"head\":\"{by}\"}}\n").into_bytes();
    let [one, two] = [1, 2].map(line);
    let own = [&one[..], &signature("a")].concat();
    for (there, is_other) in [
        (vec![], false),
        (one[..20].to_vec(), false),
        (vec![0; 40], false),
        ([&one[..], &signature("b")].concat(), false),
        ([&one[..], &signature("b"), &two[..]].concat(), true),
        ([&one[..], &two[..]].concat(), true),
        (two.clone(), true),
        (two[..two.len() - 1].to_vec(), false),
    ] {
        assert_eq!(place::is_another(&there, &own, false, false, &[]), is_other, "{}", String::from_utf8_lossy(&there));
    }
    // What comes by a rename is no try that was cut off.
    assert!(place::is_another(b"{}\n", &own, true, false, &[]) && !place::is_another(b"", &own, true, false, &[]));
    // Nothing of an earlier try is longer than what was looked at.
    assert!(place::is_another(&two[..two.len() - 1], &own, false, true, &[]));
}

/// A segment that comes again with other bytes, because the key was changed meanwhile or its batch was shortened, takes the place of the
/// earlier try, whichever that was; what others wrote stays.
#[tokio::test]
async fn a_try_with_other_bytes_takes_the_place_of_the_one_before() {
    let hidden = |key: &str| Config {
        images: ShownValues::Hmac,
        hmac_key: Some(crate::secret::Secret::new(key)),
        ..Config::default()
    };
    let keys = ["0123456789abcdef", "fedcba9876543210", "a third one of them"];
    for file_bytes_max in [0, u64::MAX] {
        for (shortened, begun) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
            let bench = Bench::new().await;
            some_changes(&bench).await;
            let flushes = bench.flushes(3).await;
            let dir = tempfile::tempdir().unwrap();
            let place: Arc<dyn Place> = Arc::new(directory(dir.path(), file_bytes_max));
            bench.deliver(&hidden(keys[0]), &place, &flushes[..begun]).await;
            for key in &keys[..2] {
                let failing =
                    Failing { place: directory(dir.path(), file_bytes_max), next: Mutex::new(Some(Fails::After)) };
                let trail = bench.trail(hidden(key), Arc::new(failing));
                trail.flush(flushes[begun].clone()).await.unwrap_err();
            }
            let mut last = flushes[begun].clone();
            if shortened {
                last.records.remove(0);
            }
            bench.deliver(&hidden(keys[2]), &place, &[last]).await;
            bench.deliver(&hidden(keys[2]), &place, &flushes[begun + 1..]).await;
            sound(place.as_ref()).await;
            let expected = 8 - usize::from(shortened);
            assert_eq!(entries(place.as_ref()).await.len(), expected, "{file_bytes_max} {shortened} {begun}");

            // The same data directory as of before, and records that are others.
            let other = Bench::new().await;
            for n in 0..8 {
                other.put(&format!("other{n}"), "v").await;
            }
            let before = tree(dir.path());
            for _ in 0..2 {
                let trail = other.trail(hidden(keys[0]), Arc::clone(&place));
                let error = trail.flush(other.flushes(3).await[0].clone()).await.unwrap_err().to_string();
                assert!(error.contains("has entries already"), "{error}");
            }
            assert!(tree(dir.path()) == before);
        }
    }
}
