//! The indexes that the sink makes, and the alias of the items' index.
//!
//! Without an alias the items' index is `<index>`. With one, it is `<index>-v<build>`, and `<index>` an alias of it: a rebuild
//! makes the index of the next build beside it, and [`Place::swap`] moves the alias when it is whole. Both are one change of the
//! cluster: who searches for `<index>` finds the one build or the other.
//!
//! Invariant: only indexes that bear the mark of this sink's alias, in `_meta` of their mappings, are ever removed.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{Answer, Client};
use super::config::{Config, Mode};
use super::types::Types;
use crate::sink::SinkError;

/// The name of the items' index, and of its alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The index that is written to.
    pub index: String,
    /// The alias, if there is to be one.
    pub alias: Option<String>,
    /// The number of the build.
    pub build: u32,
}

/// The member of `_meta` that holds an index's mark.
const MARK: &str = "tailrace";

/// The name of a build of an alias.
fn name(alias: &str, build: u32) -> String {
    format!("{alias}-v{build}")
}

impl Place {
    /// Where the items of this build are.
    pub fn new(config: &Config, index: String, build: u32) -> Place {
        match config.alias {
            true => Place { index: name(&index, build), alias: Some(index), build },
            false => Place { index, alias: None, build },
        }
    }

    /// Makes the index, if it is not there; and gives it the alias, if no other has it.
    ///
    /// # Errors
    /// The cluster's; or the index, or another build of the alias, has what another database wrote, the numbers of whose records say
    /// nothing about ours, or the items of another table, whose keys may be the same.
    pub async fn prepare(&self, client: &Client, recipe: &Recipe, owner: &Owner) -> Result<(), SinkError> {
        let is_ours = self.refuse_others(client, owner).await?;
        let mut shown_by = None;
        if let Some(alias) = &self.alias
            && holders(client, alias).await?.is_empty()
        {
            if exists(client, alias).await? {
                return Err(SinkError(format!(
                    "there is an index {alias}, where the sink needs an alias of this name: say alias: false to write into it, or \
                     remove it"
                )));
            }
            shown_by = Some(alias);
        }
        recipe.make(client, &self.index, shown_by.map(String::as_str), Some(owner)).await?;
        if !is_ours {
            // Another sink may have made it meanwhile.
            self.refuse_others(client, owner).await?;
        }
        let Some(alias) = shown_by else { return Ok(()) };
        // An index that was there before has no alias by that.
        if holders(client, alias).await?.contains_key(&self.index) {
            return Ok(());
        }
        change_aliases(client, &[json!({"add": {"index": self.index, "alias": alias}})]).await
    }

    /// Whether the index is there and marked as ours. A mark that does not say of which table is of an earlier version of this program:
    /// it says so from now on.
    async fn refuse_others(&self, client: &Client, owner: &Owner) -> Result<bool, SinkError> {
        // The name may be an alias itself, of an index that somebody has made of ours.
        let written_to = metas(client, &self.index).await?;
        let mut all = written_to.clone();
        if let Some(alias) = &self.alias {
            all.extend(metas(client, &format!("{alias}-v*")).await?);
        }
        let mut is_ours = false;
        for (index, meta) in &all {
            let mark = Mark::of(meta);
            let is_it = written_to.contains_key(index);
            if !is_it && self.alias.as_deref().and_then(|alias| mark.build_of(alias, index)).is_none() {
                continue;
            }
            let Some(origin) = mark.origin else { continue };
            if origin != owner.origin {
                return Err(SinkError(format!(
                    "the index {index} holds what another data directory wrote ({origin}): what is written now would be taken for \
                     older. Remove the index, or name another one in `to`"
                )));
            }
            let other_table = mark.table.filter(|table| *table != owner.table);
            // A sink may have another table than it had: the build of that one is its own.
            let others = other_table.filter(|_| is_it || mark.sink.is_some_and(|sink| sink != owner.sink));
            if let Some(table) = others {
                return Err(SinkError(format!(
                    "the index {index} has the items of {table}: those of {} would be mistaken for them. Remove the index, or name \
                     another one in `to`",
                    owner.table
                )));
            }
            is_ours |= is_it;
            if is_it && mark.table.is_none() {
                let mut meta = meta.clone();
                merge(&mut meta[MARK], owner.mark());
                let path = format!("{index}/_mapping");
                let answer = client.ask(Method::PUT, &path, Some(&json!({ "_meta": meta }))).await?;
                acknowledged(&answer, &format!("the mark of {index}"))?;
                // It is looked at again: another sink may have written it as well.
                is_ours = false;
            }
        }
        Ok(is_ours)
    }

    /// Makes the alias one of this index alone, and removes the indexes of earlier builds, those that were given up too. Again, it
    /// does nothing.
    pub async fn swap(&self, client: &Client, owner: &Owner) -> Result<(), SinkError> {
        // Without an alias the build was made in place.
        let Some(alias) = &self.alias else { return Ok(()) };
        let what = format!("refresh of {}", self.index);
        let refreshed = client.ask(Method::POST, &format!("{}/_refresh", self.index), None).await?;
        if refreshed.status != StatusCode::OK {
            return Err(refreshed.error(&what));
        }
        let mut actions = vec![json!({"add": {"index": self.index, "alias": alias}})];
        let builds = builds(client, alias, owner).await?;
        let former: BTreeSet<&String> =
            builds.iter().filter(|(_, build)| **build < self.build).map(|(index, _)| index).collect();
        for holder in holders(client, alias).await?.keys().filter(|holder| **holder != self.index) {
            // Somebody else's index under our alias, if it is none of ours: it is not ours to remove.
            if !former.contains(holder) {
                actions.push(json!({"remove": {"index": holder, "alias": alias}}));
            }
        }
        actions.extend(former.iter().map(|index| json!({"remove_index": {"index": index}})));
        change_aliases(client, &actions).await
    }
}

/// Whose items an index has.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// The mark of the data directory.
    pub origin: String,
    /// The sink's name.
    pub sink: String,
    /// The table.
    pub table: String,
}

impl Owner {
    fn mark(&self) -> Value {
        json!({"sink": self.sink, "table": self.table})
    }
}

/// What an index says of itself.
#[derive(Clone, Copy, Debug)]
struct Mark<'a> {
    origin: Option<&'a str>,
    sink: Option<&'a str>,
    table: Option<&'a str>,
    alias: Option<&'a str>,
    build: Option<u32>,
}

impl<'a> Mark<'a> {
    fn of(meta: &'a Value) -> Mark<'a> {
        let mark = &meta[MARK];
        let text = |name: &str| mark[name].as_str();
        let build = mark["build"].as_u64().and_then(|build| u32::try_from(build).ok());
        Mark { origin: text("origin"), sink: text("sink"), table: text("table"), alias: text("alias"), build }
    }

    /// Its number, if the index is a build of the alias.
    fn build_of(self, alias: &str, index: &str) -> Option<u32> {
        self.build.filter(|build| self.alias == Some(alias) && index == name(alias, *build))
    }

    /// It is not another database's, nor another sink's of another table.
    fn is_of(self, owner: &Owner) -> bool {
        let is_ours = self.table.is_none_or(|table| table == owner.table) || self.sink == Some(owner.sink.as_str());
        self.origin.is_none_or(|origin| origin == owner.origin) && is_ours
    }
}

/// What indexes say of themselves: `_meta` of those that there are. `pattern`: a name, or one with a `*`.
async fn metas(client: &Client, pattern: &str) -> Result<BTreeMap<String, Value>, SinkError> {
    let what = format!("the mark of {pattern}");
    let answer = client.ask(Method::GET, &format!("{pattern}/_mapping?filter_path=*.mappings._meta"), None).await?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(BTreeMap::new()),
        _ => return Err(answer.error(&what)),
    }
    let found: BTreeMap<String, Value> = answer.read(&what)?;
    Ok(found.into_iter().map(|(index, mut told)| (index, told["mappings"]["_meta"].take())).collect())
}

/// The indexes that are marked as builds of the alias and ours, with their numbers.
async fn builds(client: &Client, alias: &str, owner: &Owner) -> Result<BTreeMap<String, u32>, SinkError> {
    let metas = metas(client, &format!("{alias}-v*")).await?;
    let build = |(index, meta): (String, Value)| {
        let mark = Mark::of(&meta);
        let build = mark.build_of(alias, &index).filter(|_| mark.is_of(owner))?;
        Some((index, build))
    };
    Ok(metas.into_iter().filter_map(build).collect())
}

/// The indexes that have this alias, by name.
async fn holders(client: &Client, alias: &str) -> Result<BTreeMap<String, Value>, SinkError> {
    let what = format!("the alias {alias}");
    let answer = client.ask(Method::GET, &format!("_alias/{alias}"), None).await?;
    match answer.status {
        StatusCode::OK => answer.read(&what),
        StatusCode::NOT_FOUND => Ok(BTreeMap::new()),
        _ => Err(answer.error(&what)),
    }
}

/// Whether there is an index, or an alias, of this name.
async fn exists(client: &Client, name: &str) -> Result<bool, SinkError> {
    let answer = client.ask(Method::HEAD, name, None).await?;
    match answer.status {
        StatusCode::OK => Ok(true),
        StatusCode::NOT_FOUND => Ok(false),
        _ => Err(answer.error(&format!("HEAD {name}"))),
    }
}

async fn change_aliases(client: &Client, actions: &[Value]) -> Result<(), SinkError> {
    let answer = client.ask(Method::POST, "_aliases", Some(&json!({ "actions": actions }))).await?;
    acknowledged(&answer, "change of aliases")
}

#[derive(Deserialize)]
struct Acknowledged {
    acknowledged: bool,
}

fn acknowledged(answer: &Answer, what: &str) -> Result<(), SinkError> {
    if answer.status != StatusCode::OK {
        return Err(answer.error(what));
    }
    match answer.read::<Acknowledged>(what)?.acknowledged {
        true => Ok(()),
        false => Err(SinkError(format!("{what}: not every node of the cluster has it yet"))),
    }
}

/// How an index is made.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    body: Map<String, Value>,
    /// A template, with its name.
    template: Option<(String, Value)>,
}

impl Recipe {
    /// That of a configuration; `index` is the name that the user gave.
    pub fn new(config: &Config, index: &str, (build, origin): (u32, &str), types: &Types) -> Recipe {
        let mut settings = config.settings.clone();
        let said = |settings: &Map<String, Value>| {
            let under = settings.get("index").and_then(Value::as_object);
            ["index.gc_deletes", "gc_deletes"].iter().any(|name| settings.contains_key(*name))
                || under.is_some_and(|index| index.contains_key("gc_deletes"))
        };
        if config.mode == Mode::Items && !said(&settings) {
            settings.insert("index.gc_deletes".to_owned(), config.gc_deletes.clone().into());
        }
        let mut mappings = config.mappings.clone();
        mappings.entry("date_detection").or_insert(Value::Bool(false));
        // The first that fits counts: the user's come before ours.
        let templates = mappings.entry("dynamic_templates").or_insert_with(|| json!([]));
        if let Value::Array(templates) = templates {
            templates.extend(number_templates());
        }
        let properties = match config.mode {
            Mode::Items => types.properties(),
            Mode::Log => log_properties(types),
        };
        if !properties.is_empty() {
            let said = mappings.entry("properties").or_insert_with(|| json!({}));
            merge(said, Value::Object(properties));
        }
        if config.mode == Mode::Items {
            // In the mapping, where engines keep it.
            let mut mark = json!({ "origin": origin });
            if config.alias {
                merge(&mut mark, json!({"alias": index, "build": build}));
            }
            let meta = mappings.entry("_meta").or_insert_with(|| json!({}));
            merge(meta, json!({ MARK: mark }));
        }
        let mut body = Map::new();
        body.insert("settings".to_owned(), settings.into());
        body.insert("mappings".to_owned(), mappings.into());
        let template = config.template.clone().map(|mut template| {
            template.entry("index_patterns").or_insert_with(|| json!([index, format!("{index}-*")]));
            (format!("tailrace-{index}"), Value::Object(template))
        });
        Recipe { body, template }
    }

    /// Makes an index, with an alias if one is given, unless it is there.
    /// `owner`: whose items it is for.
    pub async fn make(
        &self,
        client: &Client,
        index: &str,
        alias: Option<&str>,
        owner: Option<&Owner>,
    ) -> Result<(), SinkError> {
        if exists(client, index).await? {
            return Ok(());
        }
        if let Some((name, template)) = &self.template {
            let put = client.ask(Method::PUT, &format!("_index_template/{name}"), Some(template)).await?;
            acknowledged(&put, &format!("the index template {name}"))?;
        }
        let mut body = self.body.clone();
        let meta = body.get_mut("mappings").and_then(|mappings| mappings.get_mut("_meta"));
        if let (Some(mark), Some(owner)) = (meta.and_then(|meta| meta.get_mut(MARK)), owner) {
            merge(mark, owner.mark());
        }
        if let Some(alias) = alias {
            body.insert("aliases".to_owned(), json!({ alias: {} }));
        }
        let answer = client.ask(Method::PUT, index, Some(&Value::Object(body))).await?;
        let is_there = answer.status == StatusCode::BAD_REQUEST
            && answer.error_kind().as_deref() == Some("resource_already_exists_exception");
        // Another was faster, or the answer to our own request was lost.
        if is_there { Ok(()) } else { acknowledged(&answer, &format!("making of the index {index}")) }
    }
}

/// A table knows one kind of number, and dates are texts: that is what fields are made for which nothing is said about. An
/// engine's own guess is by the first value it sees, and takes no others: after 5 it finds 5.5 as 5, a list of 5 and 5.5 it
/// rejects, and after `2026-01` the text `none`.
fn number_templates() -> [Value; 2] {
    ["long", "double"]
        .map(|seen| json!({ format!("{seen}_numbers"): {"match_mapping_type": seen, "mapping": {"type": "double"}} }))
}

/// What is known of the entries of a change log.
fn log_properties(types: &Types) -> Map<String, Value> {
    let mut properties = Map::new();
    for name in ["table", "event_name", "event_id", "shard_id", "sequence_number"] {
        properties.insert(name.to_owned(), json!({"type": "keyword"}));
    }
    for (name, kind) in [("lsn", "long"), ("event_time", "date"), ("is_ttl", "boolean")] {
        properties.insert(name.to_owned(), json!({ "type": kind }));
    }
    let of_items = types.properties();
    if !of_items.is_empty() {
        for name in ["keys", "new_image", "old_image"] {
            properties.insert(name.to_owned(), json!({ "properties": of_items }));
        }
    }
    properties
}

/// Adds what `said` does not say yet.
fn merge(said: &mut Value, more: Value) {
    let (Value::Object(said), Value::Object(more)) = (said, more) else { return };
    for (name, value) in more {
        match said.get_mut(&name) {
            // A field that the user has given a type is the user's.
            Some(field) if field.get("type").is_none() => merge(field, value),
            Some(_) => {}
            None => {
                said.insert(name, value);
            }
        }
    }
}
