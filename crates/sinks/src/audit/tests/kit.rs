//! The kit that every sink passes: docs/spec/sinks.md 9.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::audit::directory::Directory;
use crate::kit::{History, Subject, assert_passes};
use crate::spec::SinkSpec;

/// A trail in memory, a segment in each file, or in a directory, several in a file.
struct Trail {
    start: &'static str,
    memory: MemoryPlace,
    directory: Option<tempfile::TempDir>,
}

impl Trail {
    fn place(&self) -> Arc<dyn Place> {
        match &self.directory {
            Some(dir) => Arc::new(Directory::new(dir.path().to_owned()).with_file_bytes_max(4000)),
            None => Arc::new(self.memory.clone()),
        }
    }

    /// What is there, in memory.
    fn files(&self) -> MemoryPlace {
        let Some(dir) = &self.directory else { return self.memory.clone() };
        let mut files = BTreeMap::new();
        read_folder(dir.path(), "", &mut files);
        MemoryPlace::of(files)
    }
}

fn read_folder(path: &Path, name: &str, files: &mut BTreeMap<(String, u64), Vec<u8>>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let own = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let below = if name.is_empty() { own } else { format!("{name}/{own}") };
            read_folder(&entry.path(), &below, files);
        } else if let Some(file) = place::file_of(&own) {
            files.insert((name.to_owned(), file), std::fs::read(entry.path()).unwrap());
        }
    }
}

impl Subject for Trail {
    fn config(&self) -> Value {
        json!({"to": "audit", "start": self.start})
    }

    fn sink(&self, _: &SinkSpec, _: u32) -> Arc<dyn Sink> {
        unreachable!("it needs the database")
    }

    fn sink_of(&self, db: &Arc<Db>, _: &SinkSpec, _: u32) -> Arc<dyn Sink> {
        Arc::new(Audit::new(Config::default(), self.place(), Arc::clone(db)).unwrap())
    }

    fn check(&self, history: &History) -> Result<(), String> {
        let (files, trusted, mut lines) = (self.files(), Trusted::default(), Vec::new());
        let verified = verify(&files, &trusted, |_, line| lines.push(serde_json::from_slice::<Value>(line).unwrap()));
        let report = verified.now_or_never().unwrap().unwrap();
        if !report.faults.is_empty() {
            return Err(format!("{:#?}", report.faults));
        }
        if report.chains.iter().any(|chain| chain.gap_count > 0) {
            return Err(format!("a gap where none is: {:#?}", report.chains));
        }
        let v = |image: &Value| image["v"]["N"].as_str().map(|number| number.parse::<i64>().unwrap());
        let mut entries = Vec::new();
        let mut snapshot = BTreeMap::new();
        let mut is_snapshot = false;
        for line in &lines {
            if line["event_name"] == "SEGMENT" {
                is_snapshot = line.get("page").is_some();
            }
            let Some(key) = line["keys"]["id"]["S"].as_str() else { continue };
            let lsn = tailrace_core::SequenceNumber::parse(line["lsn"].as_str().unwrap()).unwrap().0;
            let event = line["event_name"].as_str().unwrap();
            match is_snapshot {
                true => drop(snapshot.insert(key.to_owned(), v(&line["new_image"]).unwrap())),
                false => {
                    entries.push((lsn, event.to_owned(), key.to_owned(), v(&line["old_image"]), v(&line["new_image"])))
                }
            }
        }
        entries.sort();
        let mut changes: Vec<_> = history
            .changes
            .iter()
            .map(|(_, number, event, key, old, new)| (*number, event.clone(), key.clone(), *old, *new))
            .collect();
        changes.sort();
        if !history.snapshot {
            return if entries == changes { Ok(()) } else { Err(format!("{entries:#?} instead of {changes:#?}")) };
        }
        for (_, _, key, _, new) in entries {
            match new {
                Some(new) => drop(snapshot.insert(key, new)),
                None => drop(snapshot.remove(&key)),
            }
        }
        if snapshot == history.items { Ok(()) } else { Err(format!("{snapshot:?} instead of {:?}", history.items)) }
    }
}

fn trail(start: &'static str, in_directory: bool) -> Arc<dyn Subject> {
    let directory = in_directory.then(|| tempfile::tempdir().unwrap());
    Arc::new(Trail { start, memory: MemoryPlace::default(), directory })
}

#[test]
fn a_trail_of_objects_has_every_change_once() {
    assert_passes(|| trail("trim_horizon", false), 40);
}

#[test]
fn a_trail_of_files_has_every_change_once() {
    assert_passes(|| trail("trim_horizon", true), 20);
}

#[test]
fn a_trail_that_begins_with_a_snapshot_goes_on_from_it() {
    assert_passes(|| trail("snapshot", false), 40);
}
