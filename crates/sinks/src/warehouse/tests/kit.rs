//! The kit that every sink passes, on the database that is played, as PostgreSQL and as Redshift, with a statement in fifty that fails.

use std::collections::BTreeMap;

use serde_json::json;

use super::database::Database;
use super::redshift::Bucket;
use super::*;
use crate::kit::{History, Subject, assert_passes};
use crate::sink::Sink;
use crate::spec::SinkSpec;

struct Shop {
    database: Database,
    /// Where Redshift's loads are.
    bucket: Option<Arc<Bucket>>,
    mode: &'static str,
    start: &'static str,
    rebuilt: bool,
}

impl Shop {
    #[allow(clippy::new_ret_no_self, reason = "who tests has the subject alone")]
    fn new(mode: &'static str, start: &'static str) -> Arc<dyn Subject> {
        Arc::new(Shop { database: Database::moody(), bucket: None, mode, start, rebuilt: false })
    }

    fn rebuilt_log() -> Arc<dyn Subject> {
        Arc::new(Shop { database: Database::new(), bucket: None, mode: "append", start: "trim_horizon", rebuilt: true })
    }

    fn redshift(mode: &'static str, start: &'static str) -> Arc<dyn Subject> {
        let bucket = Arc::new(Bucket::moody());
        Arc::new(Shop {
            database: Database::moody().that_loads_from(&bucket),
            bucket: Some(bucket),
            mode,
            start,
            rebuilt: false,
        })
    }
}

impl Shop {
    fn stage(&self) -> Option<Arc<dyn Stage>> {
        self.bucket.clone().map(|bucket| bucket as Arc<dyn Stage>)
    }
}

impl Subject for Shop {
    fn config(&self) -> Value {
        let mut config = json!({
            "to": "postgres://u@h/d", "table": "orders", "start": self.start, "mode": self.mode,
            "keys": {"id": "pk"}, "columns": {"total": "v.N numeric(6,2)"},
        });
        if self.bucket.is_some() {
            config["to"] = "redshift://u:p@h/d".into();
            config["staging"] = json!({"to": "s3://b/p/", "iam_role": "arn:aws:iam::000000000000:role/copy"});
        }
        config
    }

    fn sink(&self, spec: &SinkSpec, _: u32) -> Arc<dyn Sink> {
        let config: Config = serde_json::from_value(Value::Object(spec.settings.clone())).unwrap();
        let checked = config.check().unwrap();
        Arc::new(Warehouse::with(&spec.name, config, checked, Arc::new(self.database.clone()), self.stage()).unwrap())
    }

    fn is_rebuilt(&self) -> bool {
        self.rebuilt
    }

    /// It does not fit the column.
    fn has_poison(&self) -> bool {
        !self.rebuilt
    }

    fn check(&self, history: &History) -> Result<(), String> {
        let committed = self.database.committed();
        if self.mode == "merge" {
            let rows = committed.rows.into_iter().map(|(key, row)| (key, row.cells[2].parse().unwrap()));
            let rows: BTreeMap<String, i64> = rows.collect();
            return if rows == history.items {
                Ok(())
            } else {
                Err(format!("{rows:?} instead of {:?}", history.items))
            };
        }
        // Of each item, in order; and each once.
        let mut changes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (_, number, event, key, _, new) in &history.changes {
            let new = new.map_or("\\N".to_owned(), |new| new.to_string());
            changes.entry(key).or_default().push(format!("{:020} {event} {new}", number.0));
        }
        changes.values_mut().for_each(|changes| changes.sort());
        let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for line in committed.log.iter().filter(|line| line[4] != "SNAPSHOT") {
            let number: u64 = line[8].parse().unwrap();
            found.entry(&line[0]).or_default().push(format!("{number:020} {} {}", line[4], line[1]));
        }
        if found == changes { Ok(()) } else { Err(format!("{found:#?} instead of {changes:#?}")) }
    }
}

#[test]
fn items_come_to_what_the_table_is() {
    assert_passes(|| Shop::new("merge", "trim_horizon"), 40);
    assert_passes(|| Shop::new("merge", "snapshot"), 40);
}

#[test]
fn a_change_log_has_every_change_once() {
    assert_passes(|| Shop::new("append", "trim_horizon"), 40);
    assert_passes(Shop::rebuilt_log, 80);
}

#[test]
fn items_in_redshift_come_to_what_the_table_is() {
    assert_passes(|| Shop::redshift("merge", "trim_horizon"), 12);
    assert_passes(|| Shop::redshift("merge", "snapshot"), 12);
}

#[test]
fn a_change_log_in_redshift_has_every_change_once() {
    assert_passes(|| Shop::redshift("append", "trim_horizon"), 12);
}
