//! What templates see of a message's records. Each value is made when a template asks for it: the text of a digest names the keys of a
//! hundred of its thousands of records.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Object, ObjectRepr, Serde, Value};
use tailrace_core::codec::StoredItem;
use tailrace_core::json_text::ValueForm;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};

use super::message::{damaged, event_id, event_name, kind_of, time};
use crate::objects::partition::record::is_ttl;
use crate::sink::Flush;

/// What every template may name.
pub(super) const COMMON: [&str; 4] = ["sink", "table", "count", "records"];
/// What it may name where a message is of one record: what each of `records` has, in the order in which a template lists it.
pub(super) const OF_A_RECORD: [&str; 11] = [
    "event_id",
    "event_name",
    "event_time",
    "is_ttl",
    "item",
    "keys",
    "new_image",
    "old_image",
    "sequence_number",
    "shard_id",
    "type",
];

/// The records of a message.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub flush: Arc<Flush>,
    pub records: Range<usize>,
    pub writer: RecordWriter,
    /// What is wrong with the first record that is found damaged: a template only sees that something is wrong.
    pub damaged: Arc<OnceLock<String>>,
}

impl Chosen {
    /// A stored item as templates see it.
    fn shown(&self, item: Option<&[u8]>) -> Value {
        let Some(item) = item else { return Value::from(()) };
        let mut json = Vec::new();
        match StoredItem::new(item).and_then(|item| item.write_json_as(ValueForm::Plain, &mut json)) {
            Ok(()) => Value::from(Serde(serde_json::from_slice::<serde_json::Value>(&json).expect("JSON was written"))),
            Err(error) => {
                self.damaged.get_or_init(|| damaged(error).0);
                Value::from(())
            }
        }
    }

    /// What templates may name. `is_digest`: nothing of its first record by itself.
    pub fn context(self, is_digest: bool) -> Value {
        let one = (!is_digest && self.records.len() == 1).then(|| Seen::new(self.clone(), self.records.start));
        Value::from_object(Context { one: one.map(Arc::new), chosen: Arc::new(Records(self)) })
    }
}

#[derive(Debug)]
struct Context {
    one: Option<Arc<Seen>>,
    chosen: Arc<Records>,
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        let Chosen { flush, records, .. } = &self.chosen.0;
        match name.as_str()? {
            "sink" => Some(Value::from(&*flush.sink)),
            "table" => Some(Value::from(flush.source.table.as_str())),
            "count" => Some(Value::from(records.len())),
            "records" => Some(Value::from_dyn_object(self.chosen.clone())),
            _ => self.one.as_ref()?.get_value(name),
        }
    }
}

#[derive(Debug)]
struct Records(Chosen);

impl Object for Records {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, index: &Value) -> Option<Value> {
        let Chosen { records, .. } = &self.0;
        let index = records.start.checked_add(index.as_usize()?).filter(|index| records.contains(index))?;
        Some(Value::from_object(Seen::new(self.0.clone(), index)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.records.len())
    }
}

/// A record: an image that is not there is null.
#[derive(Debug)]
struct Seen {
    of: Chosen,
    index: usize,
    keys: OnceLock<Value>,
    new_image: OnceLock<Value>,
    old_image: OnceLock<Value>,
}

impl Seen {
    fn new(of: Chosen, index: usize) -> Seen {
        Seen { of, index, keys: OnceLock::new(), new_image: OnceLock::new(), old_image: OnceLock::new() }
    }

    fn record(&self) -> &StreamRecord {
        &self.of.flush.records[self.index]
    }

    fn keys(&self) -> Value {
        self.keys.get_or_init(|| self.of.shown(Some(&self.record().meta.keys))).clone()
    }

    fn new_image(&self) -> Value {
        self.new_image.get_or_init(|| self.of.shown(self.record().new.as_deref())).clone()
    }

    fn old_image(&self) -> Value {
        self.old_image.get_or_init(|| self.of.shown(self.record().old.as_deref())).clone()
    }
}

impl Object for Seen {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        let (flush, record) = (&self.of.flush, self.record());
        Some(match name.as_str()? {
            "type" => Value::from(kind_of(flush, event_name(flush, record))),
            "event_name" => Value::from(event_name(flush, record)),
            "event_id" => Value::from(event_id(&self.of.writer, flush, record)),
            "event_time" => Value::from(time(record.time_ms)),
            "shard_id" => Value::from(flush.shard.id.to_string()),
            "sequence_number" => Value::from(record.sequence_number().to_string()),
            "is_ttl" => Value::from(is_ttl(record)),
            "keys" => self.keys(),
            "new_image" => self.new_image(),
            "old_image" => self.old_image(),
            // The item after, or else before the change, or else its keys.
            "item" if record.new.is_some() => self.new_image(),
            "item" if record.old.is_some() => self.old_image(),
            "item" => self.keys(),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&OF_A_RECORD)
    }
}
