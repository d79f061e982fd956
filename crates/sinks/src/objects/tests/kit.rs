//! The kit that every sink passes: docs/spec/sinks.md 9.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tailrace_core::clock::ManualClock;
use tailrace_core::{RecordNo, SequenceNumber};
use tokio::runtime::Runtime;

use super::fake_s3::{FakeObject, FakeS3, Fault};
use super::fixture::{AUGUST, Place, records};
use crate::kit::{History, POISON, Subject, assert_passes};
use crate::objects::manifest::Manifest;
use crate::objects::store::hex;
use crate::objects::{Config, ObjectSink};
use crate::sink::Sink;
use crate::spec::SinkSpec;

/// A lake in a directory, or in a store with a thread of its own: it outlives the server's lives.
struct Lake {
    place: Place,
    settings: Value,
    /// Its objects lie by an attribute that not every record has.
    by_attribute: bool,
    _runtime: Option<Runtime>,
}

impl Lake {
    fn subject(settings: Value) -> Arc<dyn Subject> {
        let by_attribute = settings["partition_keys"]["part"] != Value::Null;
        let place = Place::Directory(tempfile::tempdir().unwrap());
        Arc::new(Lake { place, settings, by_attribute, _runtime: None })
    }

    fn in_store(settings: Value) -> Arc<dyn Subject> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let fake = runtime.block_on(FakeS3::start());
        // It fails now and then, beside the weather: before a put has its effect, and after it.
        let faults =
            [Fault::EffectThenRefuse(500), Fault::HangUp, Fault::None, Fault::EffectThenHangUp, Fault::Refuse(503)];
        fake.fail(faults.into_iter().cycle().take(40));
        Arc::new(Lake { place: Place::S3(fake), settings, by_attribute: false, _runtime: Some(runtime) })
    }

    fn files(&self) -> BTreeMap<String, Bytes> {
        let directory = match &self.place {
            Place::Directory(directory) => directory.path().join("lake"),
            Place::S3(fake) => {
                let objects = &fake.state.lock().objects;
                let own = |(key, object): (&String, &FakeObject)| {
                    (key.strip_prefix("lake/").unwrap().to_owned(), object.body.clone())
                };
                return objects.iter().map(own).collect();
            }
        };
        if !directory.exists() {
            return BTreeMap::new();
        }
        let root = directory.as_path();
        let (mut folders, mut files) = (vec![root.to_owned()], BTreeMap::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let key = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    files.insert(key, Bytes::from(std::fs::read(path).unwrap()));
                }
            }
        }
        files
    }
}

/// Sequence number, event, key, and `v` before and after.
type Line = (RecordNo, String, String, Option<i64>, Option<i64>);

fn read_line(line: &[u8]) -> Line {
    let line: Value = serde_json::from_slice(line).unwrap();
    let change = &line["dynamodb"];
    let v = |image: &str| change[image]["v"]["N"].as_str().map(|number| number.parse().unwrap());
    let number = SequenceNumber::parse(change["SequenceNumber"].as_str().unwrap()).unwrap().0;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (number, text(&line["eventName"]), text(&change["Keys"]["id"]["S"]), v("OldImage"), v("NewImage"))
}

/// The lines of an object, by its format.
fn read_lines(key: &str, body: &Bytes) -> Vec<Line> {
    if key.ends_with(".csv") {
        let mut reader = csv::Reader::from_reader(body.as_ref());
        return reader
            .records()
            .map(|line| line.unwrap())
            .map(|line| read_row(|column| line[column].to_owned()))
            .collect();
    }
    if key.ends_with(".parquet") {
        let reader = SerializedFileReader::new(body.clone()).unwrap();
        let text = |field: &Field| match field {
            Field::Str(text) => text.clone(),
            Field::Null => String::new(),
            other => other.to_string(),
        };
        let rows = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().get_column_iter().map(|(_, field)| text(field)).collect::<Vec<String>>());
        return rows.map(|row| read_row(|column| row[column].clone())).collect();
    }
    body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(read_line).collect()
}

/// A row of the fixed columns, with plain values.
fn read_row(column: impl Fn(usize) -> String) -> Line {
    let document = |at: usize| serde_json::from_str::<Value>(&column(at)).unwrap_or_default();
    let number = SequenceNumber::parse(&column(4)).unwrap().0;
    let id = document(7)["id"].as_str().unwrap().to_owned();
    (number, column(1), id, document(9)["v"].as_i64(), document(8)["v"].as_i64())
}

impl Subject for Lake {
    fn config(&self) -> Value {
        self.place.settings(self.settings.clone())
    }

    fn sink(&self, spec: &SinkSpec, _: u32) -> Arc<dyn Sink> {
        let config: Config = serde_json::from_value(Value::Object(spec.settings.clone())).unwrap();
        Arc::new(ObjectSink::new(&config, records(), Arc::new(ManualClock::at(AUGUST))).unwrap())
    }

    fn has_poison(&self) -> bool {
        self.by_attribute
    }

    /// Of an item that is gone there is no such attribute.
    fn refuses(&self, _: Option<i64>, new: Option<i64>) -> bool {
        new.is_none_or(|v| v == POISON)
    }

    fn attributes(&self, v: i64) -> Value {
        if self.by_attribute && v != POISON { json!({"part": {"S": format!("p{}", v % 3)}}) } else { json!({}) }
    }

    fn check(&self, history: &History) -> Result<(), String> {
        let (manifests, objects): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.files().into_iter().partition(|(key, _)| key.starts_with("_manifest/"));
        if let Some(unfinished) = objects.keys().find(|key| key.ends_with(".tmp")) {
            return Err(format!("{unfinished} is left"));
        }
        let mut noted = BTreeMap::new();
        for manifest in manifests.values() {
            let manifest: Manifest = serde_json::from_slice(manifest).unwrap();
            noted.extend(manifest.objects);
        }
        if self.settings["manifest"] == true {
            let there: BTreeMap<&String, (String, usize)> =
                objects.iter().map(|(key, body)| (key, (hex(&Sha256::digest(body)), body.len()))).collect();
            let said: BTreeMap<&String, (String, usize)> =
                noted.iter().map(|(key, object)| (key, (object.sha256.clone(), object.bytes))).collect();
            if there != said {
                return Err(format!("the manifests say {said:#?}, and there is {there:#?}"));
            }
        }
        let (mut changes, mut snapshot) = (Vec::new(), BTreeMap::new());
        for (key, body) in &objects {
            let lines = read_lines(key, body);
            if key.contains("-snapshot-") {
                for (_, event, id, _, new) in lines {
                    if event != "INSERT" || snapshot.insert(id, new).is_some() {
                        return Err(format!("{key} has an item twice, or as another event"));
                    }
                }
            } else if lines.is_sorted_by_key(|(number, ..)| *number) {
                changes.extend(lines);
            } else {
                return Err(format!("{key} is not in order"));
            }
        }
        // Numbers of two shards may be the same.
        changes.sort();
        if history.snapshot {
            return end_state(&snapshot, &changes, history);
        }
        let mut expect: Vec<Line> = history
            .changes
            .iter()
            .map(|(_, number, event, key, old, new)| (*number, event.clone(), key.clone(), *old, *new))
            .collect();
        expect.sort();
        if changes == expect { Ok(()) } else { Err(format!("{changes:#?} instead of {expect:#?}")) }
    }
}

/// A lake that begins with a snapshot: each item's last line says what the item is now, and no change is there twice.
fn end_state(snapshot: &BTreeMap<String, Option<i64>>, changes: &[Line], history: &History) -> Result<(), String> {
    let numbers: BTreeSet<(RecordNo, &String)> = changes.iter().map(|(number, _, key, ..)| (*number, key)).collect();
    if numbers.len() < changes.len() {
        return Err("a change is there twice".to_owned());
    }
    let mut items = snapshot.clone();
    for (_, _, key, _, new) in changes {
        match new {
            Some(new) => drop(items.insert(key.clone(), Some(*new))),
            None => drop(items.remove(key)),
        }
    }
    let expect: BTreeMap<String, Option<i64>> =
        history.items.iter().map(|(key, value)| (key.clone(), Some(*value))).collect();
    if items == expect { Ok(()) } else { Err(format!("{items:#?} instead of {expect:#?}")) }
}

#[test]
fn a_lake_holds_each_change_once() {
    assert_passes(|| Lake::subject(json!({"format": "json"})), 40);
}

#[test]
fn a_lake_of_partitions_holds_each_change_once() {
    let settings = json!({
        "partition_by": "k=!{partitionKeyFromQuery:k}/!{timestamp:mm-ss}", "manifest": true,
        "partition_keys": {"k": ".dynamodb.Keys.id.S | hash-mod(3)"},
    });
    assert_passes(|| Lake::subject(settings.clone()), 40);
}

#[test]
fn a_lake_sets_aside_what_has_no_partition() {
    let settings = json!({
        "partition_by": "part=!{partitionKeyFromQuery:part}/", "manifest": true,
        "partition_keys": {"part": ".dynamodb.NewImage.part.S"},
    });
    assert_passes(|| Lake::subject(settings.clone()), 20);
}

#[test]
fn a_lake_that_begins_with_a_snapshot_has_no_gap() {
    assert_passes(|| Lake::subject(json!({"start": "snapshot", "manifest": true})), 40);
}

#[test]
fn a_lake_of_rows_holds_each_change_once() {
    assert_passes(|| Lake::subject(json!({"format": "csv", "values": "plain"})), 20);
    assert_passes(|| Lake::subject(json!({"format": "parquet", "values": "plain", "manifest": true})), 10);
}

#[test]
fn a_lake_in_a_store_that_fails_holds_each_change_once() {
    assert_passes(|| Lake::in_store(json!({"format": "json", "manifest": true})), 20);
}
