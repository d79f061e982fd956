//! The kit that every sink passes, on a search engine on loopback with a thread of its own: it outlives the server's lives.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::fake::Fake;
use super::sink;
use crate::kit::{History, Subject, assert_passes};
use crate::sink::Sink;
use crate::spec::SinkSpec;

struct Shop {
    fake: Fake,
    mode: &'static str,
    start: &'static str,
    /// Runs the engine.
    _runtime: Runtime,
}

impl Shop {
    fn subject(mode: &'static str, start: &'static str) -> Arc<dyn Subject> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let fake = runtime.block_on(Fake::start());
        Arc::new(Shop { fake, mode, start, _runtime: runtime })
    }
}

impl Subject for Shop {
    fn config(&self) -> Value {
        json!({"to": format!("opensearch+{}/orders", self.fake.address), "mode": self.mode, "start": self.start})
    }

    fn sink(&self, spec: &SinkSpec, version: u32) -> Arc<dyn Sink> {
        Arc::new(sink(serde_json::from_value(Value::Object(spec.settings.clone())).unwrap(), version))
    }

    fn has_poison(&self) -> bool {
        true
    }

    fn check(&self, history: &History) -> Result<(), String> {
        let state = self.fake.state();
        let (found, expected): (BTreeMap<String, Value>, BTreeMap<String, Value>) = if self.mode == "items" {
            let document = |(key, v): (&String, &i64)| (key.clone(), json!({"id": key, "v": v}));
            (state.documents("orders-v1"), history.items.iter().map(document).collect())
        } else {
            let name = |number: u64, key: &str| format!("{number:020} {key}");
            let found = state.documents("orders").into_values().map(|entry| {
                let name = name(entry["lsn"].as_u64().unwrap(), entry["keys"]["id"].as_str().unwrap());
                (name, json!([entry["event_name"], entry["old_image"]["v"], entry["new_image"]["v"]]))
            });
            let change = |(_, number, event, key, old, new): &(_, tailrace_core::RecordNo, String, String, _, _)| {
                (name(number.0, key), json!([event, old, new]))
            };
            (found.collect(), history.changes.iter().map(change).collect())
        };
        if found == expected { Ok(()) } else { Err(format!("{found:#?} instead of {expected:#?}")) }
    }
}

#[test]
fn the_index_comes_to_what_the_table_is() {
    assert_passes(|| Shop::subject("items", "trim_horizon"), 20);
    assert_passes(|| Shop::subject("items", "snapshot"), 20);
}

#[test]
fn a_log_comes_to_have_every_change_once() {
    assert_passes(|| Shop::subject("log", "trim_horizon"), 20);
}
