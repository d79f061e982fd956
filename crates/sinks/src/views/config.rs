//! What a view's configuration says, and the definition that it comes to. Source: docs/spec/sinks.md 6.
//!
//! ```yaml
//! daily: {from: Orders, to: table:DailyShipped, where: {status: [SHIPPED]}, group_by: [shippedDay],
//!         aggregates: {orders: count, total: sum(amount)}}
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tailrace_core::ViewType;
use tailrace_core::key::ScalarType;
use tailrace_core::limits::{ATTRIBUTE_NAME_BYTES_MAX, KEY_NAME_CHARS_MAX};
use tailrace_pattern::{Filter, FilterError};

use super::aggregate::{Aggregate, AggregateError, Column, Measure};
use super::limits::{AGGREGATES_MAX, GROUP_KEYS_MAX, WINDOW_MAX};
use super::path::{AttributePath, PathError};

/// The configuration of a view, but for where it comes from and where it begins.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The table that the groups are written to: `table:NAME`.
    pub to: String,
    /// A pattern over the item as plain JSON, or a list of patterns of which one has to match; without it every item counts.
    #[serde(default, rename = "where")]
    pub filter: Option<Value>,
    /// What the items are grouped by; none: all of them are one group.
    #[serde(default)]
    pub group_by: Vec<GroupBy>,
    /// The aggregates by the names of their attributes: `count`, `count(path)`, `count(distinct path)`, `sum(path)`, `min(path)`,
    /// `max(path)`, `avg(path)` or `top(n, path)`.
    pub aggregates: BTreeMap<String, String>,
    /// The view type of the table's own stream, if the table is made by the view and is to have one.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::view_type")]
    pub stream: Option<ViewType>,
    /// How long changes are gathered.
    #[serde(default)]
    pub flush: FlushConfig,
}

/// One key that items are grouped by.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub enum GroupBy {
    /// A path: a string, or what the source's key attribute of that name is.
    Path(String),
    /// A path and more.
    Typed(TypedGroupBy),
}

// By hand: of an untagged enum no error says which member is wrong.
impl<'de> Deserialize<'de> for GroupBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GroupBy, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = GroupBy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("in group_by a path, or a map with `path`, and perhaps `name` and `type`")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<GroupBy, E> {
                Ok(GroupBy::Path(path.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<GroupBy, A::Error> {
                TypedGroupBy::deserialize(MapAccessDeserializer::new(map)).map(GroupBy::Typed)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// A key that items are grouped by, in full.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TypedGroupBy {
    /// Where it is in the item.
    pub path: String,
    /// What it is called in the view's table: by default the last name in the path.
    #[serde(default)]
    pub name: Option<String>,
    /// Its type: by default that of the source's key attribute of the path, or S.
    #[serde(default, rename = "type")]
    #[schemars(schema_with = "crate::schema::key_type")]
    pub scalar: Option<ScalarType>,
}

/// How long changes are gathered before they go into the view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlushConfig {
    /// Seconds; without it a change that comes after a rest goes in at once, and of many those of a tenth of a second go together.
    #[serde(default)]
    pub seconds: f64,
}

/// What is wrong with the configuration of a view.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The table.
    #[error("to: `{0}` is no table: write it like table:DailyShipped")]
    To(String),
    /// The filter.
    #[error("where: {0}")]
    Filter(FilterError),
    /// The filter is neither a pattern nor a list of patterns.
    #[error("where: a pattern is an object, and several are a list of objects")]
    FilterForm,
    /// A key that items are grouped by.
    #[error("group_by: {0}")]
    GroupBy(PathError),
    /// Too many of them.
    #[error("group_by: {0} keys, where at most {GROUP_KEYS_MAX} are")]
    GroupKeys(usize),
    /// An aggregate.
    #[error("aggregates: {name}: {error}")]
    Aggregate {
        /// Its name.
        name: String,
        /// What is wrong.
        error: AggregateError,
    },
    /// None, or too many.
    #[error("aggregates: {0}, where 1 to {AGGREGATES_MAX} are")]
    Aggregates(usize),
    /// A name that two attributes of the view's items would have.
    #[error(
        "`{0}` cannot be the name of two attributes of the view: give one of group_by a `name`, or the aggregate another one"
    )]
    NameTaken(String),
    /// The name is empty.
    #[error("an attribute of the view has no name")]
    NameEmpty,
    /// More bytes than the name of an attribute has.
    #[error("`{0}` cannot be the name of an attribute of the view: it has {len} bytes, where at most {ATTRIBUTE_NAME_BYTES_MAX} are", len = .0.len())]
    NameLong(String),
    /// More characters than the name of a key has.
    #[error("`{0}` cannot be the name of a key of the view: it has {len} characters, where at most {KEY_NAME_CHARS_MAX} are; a `name` in group_by shortens it",
        len = .0.encode_utf16().count())]
    KeyNameLong(String),
    /// The time that changes are gathered.
    #[error("flush: seconds: from 0 to {} are", WINDOW_MAX.as_secs())]
    Window,
}

/// A view's definition.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Which items count.
    pub filter: Filter,
    /// What they are grouped by.
    pub group_by: Vec<GroupColumn>,
    /// The name of the sort key that several keys are composed to, if they are.
    pub composed: Option<String>,
    /// What is kept of each group.
    pub measures: Vec<Measure>,
    /// What is shown of it.
    pub columns: Vec<Column>,
    /// Stands for all of this: two definitions that differ in what they make differ in it.
    pub digest: String,
}

/// A key that items are grouped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupColumn {
    /// What it is called in the view's table.
    pub name: String,
    /// Where it is in the item.
    pub path: AttributePath,
    /// Its type, if it is said.
    pub scalar: Option<ScalarType>,
}

impl Config {
    /// The definition.
    ///
    /// # Errors
    /// What is wrong.
    pub fn validate(&self) -> Result<Definition, ConfigError> {
        if !(0.0..=WINDOW_MAX.as_secs_f64()).contains(&self.flush.seconds) {
            return Err(ConfigError::Window);
        }
        if self.table().is_empty() {
            return Err(ConfigError::To(self.to.clone()));
        }
        let group_by = self.group_columns()?;
        let composed = composed_name(&group_by);
        if !(1..=AGGREGATES_MAX).contains(&self.aggregates.len()) {
            return Err(ConfigError::Aggregates(self.aggregates.len()));
        }
        let (mut measures, mut columns) = (Vec::new(), Vec::new());
        for (name, text) in &self.aggregates {
            let aggregate = Aggregate::parse(text);
            let aggregate = aggregate.map_err(|error| ConfigError::Aggregate { name: name.clone(), error })?;
            columns.push(aggregate.column(name, &mut measures));
        }
        let mut names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        names.extend(group_by.iter().map(|column| column.name.as_str()));
        names.extend(composed.as_deref());
        names.extend(group_by.is_empty().then_some(ONE_GROUP_NAME));
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::NameTaken(pair[0].to_owned()));
        }
        if names.iter().any(|name| name.is_empty()) {
            return Err(ConfigError::NameEmpty);
        }
        if let Some(name) = names.iter().find(|name| name.len() > ATTRIBUTE_NAME_BYTES_MAX) {
            return Err(ConfigError::NameLong((*name).to_owned()));
        }
        // Of several keys that are composed only the composed name is a key of the table, and none of them is longer.
        let is_long_key = |name: &&str| name.encode_utf16().count() > KEY_NAME_CHARS_MAX;
        let mut keys = group_by.iter().map(|column| column.name.as_str()).chain(composed.as_deref());
        if let Some(name) = keys.find(is_long_key) {
            return Err(ConfigError::KeyNameLong(name.to_owned()));
        }
        Ok(Definition { filter: self.filter()?, group_by, composed, measures, columns, digest: self.digest() })
    }

    /// The name of the table; empty if there is none.
    pub fn table(&self) -> &str {
        self.to.strip_prefix("table:").unwrap_or_default()
    }

    /// How long changes are gathered.
    pub fn window(&self) -> Duration {
        Duration::from_secs_f64(self.flush.seconds)
    }

    fn group_columns(&self) -> Result<Vec<GroupColumn>, ConfigError> {
        if self.group_by.len() > GROUP_KEYS_MAX {
            return Err(ConfigError::GroupKeys(self.group_by.len()));
        }
        let column = |group: &GroupBy| {
            let (path, name, scalar) = match group {
                GroupBy::Path(path) => (path, None, None),
                GroupBy::Typed(typed) => (&typed.path, typed.name.clone(), typed.scalar),
            };
            let path = AttributePath::parse(path).map_err(ConfigError::GroupBy)?;
            let name = name.unwrap_or_else(|| path.last_name().to_owned());
            Ok(GroupColumn { name, path, scalar })
        };
        self.group_by.iter().map(column).collect()
    }

    fn filter(&self) -> Result<Filter, ConfigError> {
        let patterns = match &self.filter {
            None => Vec::new(),
            Some(pattern @ Value::Object(_)) => vec![pattern.to_string()],
            Some(Value::Array(patterns)) if !patterns.is_empty() && patterns.iter().all(Value::is_object) => {
                patterns.iter().map(Value::to_string).collect()
            }
            Some(_) => return Err(ConfigError::FilterForm),
        };
        Filter::parse(patterns.iter().map(String::as_str)).map_err(ConfigError::Filter)
    }

    fn digest(&self) -> String {
        let group = |group: &GroupBy| match group {
            GroupBy::Path(path) => json!([path, null, null]),
            GroupBy::Typed(TypedGroupBy { path, name, scalar }) => json!([path, name, scalar]),
        };
        let group_by: Vec<Value> = self.group_by.iter().map(group).collect();
        let text = json!([self.table(), self.filter, group_by, self.aggregates]).to_string();
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The name of the key of a view that has one group.
pub const ONE_GROUP_NAME: &str = "group";
/// The key of that group.
pub const ONE_GROUP: &str = "all";

/// The name of the sort key that the keys from the second on are composed to, if there are more than a table's key has room for.
fn composed_name(group_by: &[GroupColumn]) -> Option<String> {
    let (_, rest) = group_by.split_first().filter(|(_, rest)| rest.len() > 1)?;
    Some(rest.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join("#"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: Value) -> Result<Definition, String> {
        let config: Config = serde_json::from_value(json).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn the_configuration_of_the_issue_is_read() {
        let definition =
            config(json!({"to": "table:DailyShipped", "where": {"status": ["SHIPPED"]}, "group_by": ["shippedDay"],
            "aggregates": {"orders": "count", "total": "sum(amount)", "mean": "AVG( amount )", "best": "top(3, amount)",
                "least": "min(amount)", "most": "max(amount)", "buyers": "count(distinct customer.id)"}}));
        let definition = definition.unwrap();
        assert_eq!(definition.group_by[0].name, "shippedDay");
        // One sum for total and mean; one ordered structure for best, least and most.
        assert_eq!(definition.measures.len(), 3);
        assert_eq!(definition.columns.len(), 7);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |members: Value| {
            let mut json = json!({"to": "table:T", "group_by": ["g"], "aggregates": {"n": "count"}});
            for (name, value) in members.as_object().unwrap() {
                json[name] = value.clone();
            }
            config(json).err().unwrap_or_default()
        };
        for (members, part) in [
            (json!({"wehre": {}}), "unknown field `wehre`"),
            (json!({"to": "table:"}), "to: `table:` is no table"),
            (json!({"to": "T"}), "to: `T` is no table"),
            (json!({"where": []}), "where: a pattern is an object"),
            (json!({"where": "x"}), "where: a pattern is an object"),
            (json!({"where": {"a": "x"}}), "where: "),
            (json!({"group_by": ["a", "b.a"]}), "`a` cannot be the name of two attributes"),
            (json!({"group_by": ["n"]}), "`n` cannot be the name of two attributes"),
            (json!({"group_by": ["a b"]}), "group_by: `a b` is no attribute path"),
            (json!({"group_by": vec!["a"; 9]}), "group_by: 9 keys, where at most 8 are"),
            (json!({"group_by": [{"path": "a", "name": ""}]}), "an attribute of the view has no name"),
            (json!({"aggregates": {"k".repeat(65536): "count"}}), "it has 65536 bytes, where at most 65535 are"),
            (
                json!({"group_by": [{"path": "a", "name": "k".repeat(256)}]}),
                "of a key of the view: it has 256 characters, where at most 255 are",
            ),
            (
                json!({"group_by": ["a", {"path": "b", "name": "k".repeat(128)}, {"path": "c", "name": "l".repeat(127)}]}),
                "of a key of the view: it has 256 characters, where at most 255 are",
            ),
            (json!({"group_by": [{"path": "a", "name": "k".repeat(255)}]}), ""),
            (json!({"aggregates": {}}), "aggregates: 0, where 1 to 32 are"),
            (json!({"aggregates": {"n": "median(x)"}}), "aggregates: n: `median(x)` is no aggregate"),
            (json!({"aggregates": {"n": "top(0, x)"}}), "aggregates: n: "),
            (json!({"flush": {"seconds": -1}}), "flush: seconds"),
            (json!({"stream": "ALL"}), "unknown variant"),
        ] {
            let error = with(members.clone());
            assert!(error.contains(part) && error.is_empty() == part.is_empty(), "{members}: {error}");
        }
    }

    #[test]
    fn definitions_that_differ_have_digests_that_differ() {
        let digest = |json: Value| config(json).unwrap().digest;
        let one = digest(json!({"to": "table:T", "group_by": ["g"], "aggregates": {"n": "count"}}));
        assert_eq!(
            one,
            digest(json!({"aggregates": {"n": "count"}, "group_by": ["g"], "to": "table:T", "flush": {"seconds": 1}}))
        );
        for other in [
            json!({"to": "table:U", "group_by": ["g"], "aggregates": {"n": "count"}}),
            json!({"to": "table:T", "group_by": ["g", "h"], "aggregates": {"n": "count"}}),
            json!({"to": "table:T", "group_by": [{"path": "g", "type": "N"}], "aggregates": {"n": "count"}}),
            json!({"to": "table:T", "group_by": ["g"], "aggregates": {"n": "count(x)"}}),
            json!({"to": "table:T", "group_by": ["g"], "aggregates": {"n": "count"}, "where": {"a": [1]}}),
        ] {
            assert_ne!(one, digest(other));
        }
    }
}
