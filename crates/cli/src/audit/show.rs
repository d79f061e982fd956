//! `tailrace audit show PLACE`: entries as they stand, in the order of their chains. It verifies nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use tailrace_core::EpochMs;
use tailrace_server::{Code, did_you_mean};
use tailrace_sinks::audit::place::{At, Place};
use tailrace_sinks::audit::private::{Hider, MasterKey};
use tailrace_sinks::audit::read::{FileLine, Lines};

use super::{PlaceArgs, unreadable};
use crate::args::Output;
use crate::say::{Reader, print, printable};
use crate::{Failure, Outcome, diff};

/// `audit show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Where it lies.
    #[command(flatten)]
    place: PlaceArgs,
    /// Only entries of items with this value of the partition key
    #[arg(allow_hyphen_values = true)]
    partition_key: Option<String>,
    /// And this one of the sort key
    #[arg(allow_hyphen_values = true)]
    sort_key: Option<String>,
    /// Only entries of this table, and what was done to it
    #[arg(long)]
    table: Option<String>,
    /// In a trail with hidden values: a file with the key that they are hidden with, to find a key's entries. It finds none of a trail
    /// with a key for each person
    #[arg(long, value_name = "FILE", requires = "partition_key")]
    hmac_key: Option<PathBuf>,
    /// Form of the output: json has the lines of the trail
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub async fn run(args: ShowArgs) -> Outcome {
    let trail = args.place.open()?;
    let failed = |error: std::io::Error| unreadable(&args.place.place, &error);
    let mut filter = Filter::new(&args)?;
    for chain in trail.chains().await.map_err(failed)? {
        let (files, _) = trail.files(&chain).await.map_err(failed)?;
        for file in files {
            if show(trail.as_ref(), &chain, file, &mut filter, args.output).await.map_err(failed)?? == Reader::Gone {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    match filter.found_nothing() {
        Some(what) => Err(Failure::new(Code::Refused, format_args!("{} has {what}", args.place.place))),
        None => Ok(ExitCode::SUCCESS),
    }
}

async fn show(
    trail: &dyn Place,
    chain: &str,
    file: u64,
    filter: &mut Filter,
    output: Output,
) -> std::io::Result<Result<Reader, Failure>> {
    let mut lines = Lines::new(trail.open(&At::start_of(chain, file)).await?);
    while let Some(line) = lines.next().await? {
        let (FileLine::Whole(line) | FileLine::Broken(line)) = line;
        let Ok(entry) = serde_json::from_slice::<Value>(line) else { continue };
        if !filter.shows(&entry) {
            continue;
        }
        let shown = match output {
            Output::Json => print(String::from_utf8_lossy(line)),
            Output::Text => print(printable(&text(&entry))),
        };
        if !matches!(shown, Ok(Reader::There)) {
            return Ok(shown);
        }
    }
    Ok(Ok(Reader::There))
}

/// Which entries are shown.
struct Filter {
    table: Option<String>,
    /// The values of the key attributes, in their order.
    key: Vec<String>,
    hider: Option<Hider>,
    /// The names of the key attributes, as the last head of a segment told them.
    names: Vec<String>,
    /// The tables that the trail tells of.
    tables: BTreeSet<String>,
    /// An entry was shown.
    found: bool,
}

impl Filter {
    fn new(args: &ShowArgs) -> Result<Filter, Failure> {
        let hider = match &args.hmac_key {
            None => None,
            Some(file) => {
                let key = std::fs::read_to_string(file);
                let key = key.map_err(|e| Failure::new(Code::Setting, format_args!("{}: {e}", file.display())))?;
                Some(MasterKey::new(key.trim_end_matches(['\r', '\n']).as_bytes()).hider())
            }
        };
        let key = args.partition_key.iter().chain(&args.sort_key).cloned().collect();
        Ok(Filter { table: args.table.clone(), key, hider, names: Vec::new(), tables: BTreeSet::new(), found: false })
    }

    fn shows(&mut self, entry: &Value) -> bool {
        match entry["event_name"].as_str() {
            Some("SEGMENT") => {
                let names = entry["key"].as_array().into_iter().flatten();
                self.names = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
                return false;
            }
            None | Some("SIGNATURE") => return false,
            _ => {}
        }
        let resource = || entry["resource"].as_str().and_then(|resource| resource.strip_prefix("table/"));
        let of = entry["table"].as_str().or_else(resource);
        if let Some(of) = of.filter(|of| !self.tables.contains(*of)) {
            self.tables.insert(of.to_owned());
        }
        let is_meant = self.table.as_deref().is_none_or(|table| of == Some(table))
            && (self.key.is_empty() || self.has_key(&entry["keys"]));
        self.found |= is_meant;
        is_meant
    }

    /// What the trail has not, if no entry was shown of what was asked for.
    fn found_nothing(&self) -> Option<String> {
        if self.found {
            return None;
        }
        let tables = || self.tables.iter().map(String::as_str);
        match &self.table {
            Some(table) if !self.tables.contains(table) => {
                Some(format!("no table {table}{}", did_you_mean(table, tables())))
            }
            table if !self.key.is_empty() => {
                let of = table.as_ref().map(|table| format!(" of {table}")).unwrap_or_default();
                Some(format!("no entry{of} with the key {}", self.key.join(" ")))
            }
            _ => Some("no entry".to_owned()).filter(|_| self.tables.is_empty()),
        }
    }

    fn has_key(&self, keys: &Value) -> bool {
        self.key.len() <= self.names.len()
            && self.key.iter().zip(&self.names).all(|(value, name)| self.is_value(name, value, &keys[name]))
    }

    /// Whether a shown value, `{"S":"a"}` or `{"HMAC":"..."}`, is the one that was asked for, of whatever type.
    fn is_value(&self, name: &str, asked: &str, shown: &Value) -> bool {
        let Some((kind, text)) = shown.as_object().and_then(|shown| shown.iter().next()) else { return false };
        match (kind.as_str(), &self.hider) {
            ("HMAC", Some(hider)) => typed(asked).iter().any(|value| *text == hider.code_text(name, value)),
            ("HMAC", None) => false,
            _ => text == asked,
        }
    }
}

/// The values that a text can be of the types that keys have.
fn typed(text: &str) -> Vec<tailrace_core::AttributeValue> {
    use tailrace_core::attribute_json::read_value;
    let value = |kind: &str| {
        let json = tailrace_core::Json::parse(json!({ kind: text }).to_string().as_bytes()).ok()?;
        read_value(json).ok()
    };
    ["S", "N", "B"].into_iter().filter_map(value).collect()
}

/// An entry as a line for people: number, time, what changed, and who asked.
fn text(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or("-");
    let what = match text("event_name") {
        "GAP" => format!("GAP records between {} and {} were lost: {}", text("after"), text("before"), text("reason")),
        "DAMAGED" => format!("DAMAGED {}", text("error")),
        "CONTROL" => format!("{} {}", text("action"), text("resource")),
        event => {
            let image = |name: &str| match &entry[format!("{name}_hash")] {
                Value::String(hash) => json!({ "sha256": { "hash": hash } }),
                _ => entry[format!("{name}_image")].clone(),
            };
            let change = json!({ "Keys": entry["keys"], "OldImage": image("old"), "NewImage": image("new") });
            diff::line(&json!({ "eventName": event, "dynamodb": change }))
        }
    };
    let time = entry["time"].as_u64().map_or("-".to_owned(), |ms| tailrace_engine::streams::label::text(EpochMs(ms)));
    let by = ["principal", "operation", "request_id"].map(text).join(" ");
    let table = entry["table"].as_str().map(|table| format!("{table} ")).unwrap_or_default();
    format!("{} {time} {table}{what} | by {by}", entry["seq"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entry: Value, expect: &str) {
        assert_eq!(text(&entry), expect);
    }

    #[test]
    fn entries_are_lines() {
        let keys = json!({ "pk": { "S": "a" } });
        check(
            json!({ "event_name": "INSERT", "keys": keys, "new_image": { "pk": { "S": "a" }, "n": { "N": "1" } }, "seq": 7,
                    "table": "Orders", "time": 1_700_000_000_007_u64, "principal": "AKID", "operation": "PutItem",
                    "request_id": "R1" }),
            r#"7 2023-11-14T22:13:20.007 Orders INSERT pk="a" | n: 1 | by AKID PutItem R1"#,
        );
        check(
            json!({ "event_name": "CONTROL", "action": "DeleteTable", "resource": "table/Orders", "seq": 0, "time": 0 }),
            "0 1970-01-01T00:00:00.000 DeleteTable table/Orders | by - - -",
        );
    }

    fn filter(table: Option<&str>, key: &[&str], hider: Option<Hider>) -> Filter {
        let key = key.iter().map(|text| (*text).to_owned()).collect();
        Filter { table: table.map(str::to_owned), key, hider, names: Vec::new(), tables: BTreeSet::new(), found: false }
    }

    #[test]
    fn entries_are_found_by_table_and_key() {
        let head = json!({ "event_name": "SEGMENT", "key": ["pk", "sk"], "table": "Orders" });
        let entry =
            json!({ "event_name": "MODIFY", "keys": { "pk": { "S": "a" }, "sk": { "N": "1" } }, "table": "Orders" });
        let deleted = json!({ "event_name": "CONTROL", "action": "DeleteTable", "resource": "table/Orders" });
        for (table, key, [of_entry, of_deleted]) in [
            (None, &[][..], [true, true]),
            (Some("Orders"), &[], [true, true]),
            (Some("Users"), &[], [false, false]),
            (None, &["a"], [true, false]),
            (None, &["a", "1"], [true, false]),
            (None, &["1"], [false, false]),
            (None, &["a", "2"], [false, false]),
        ] {
            let mut filter = filter(table, key, None);
            assert!(!filter.shows(&head));
            assert_eq!([filter.shows(&entry), filter.shows(&deleted)], [of_entry, of_deleted], "{table:?} {key:?}");
        }
        let hider = MasterKey::new(b"0123456789abcdef").hider();
        let code = |name: &str, value| json!({ "HMAC": hider.code_text(name, value) });
        let [s, n] = [typed("a").remove(0), typed("1").remove(1)];
        let hidden = json!({ "event_name": "MODIFY", "keys": { "pk": code("pk", &s), "sk": code("sk", &n) } });
        for (key, found) in [(&["a"][..], true), (&["a", "1"], true), (&["b"], false)] {
            let mut filter = filter(None, key, Some(hider.clone()));
            filter.shows(&head);
            assert_eq!(filter.shows(&hidden), found, "{key:?}");
        }
    }
}
