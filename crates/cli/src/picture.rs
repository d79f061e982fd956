//! The picture of a start: what there is and what leads where, what to try next, and where.
//!
//! What it does not do: it shows no state (`tailrace mappings` does) and no values of variables.

use serde_json::Value;
use tailrace_api::tables::{DescribeTableRequest, ListTablesRequest, TableDescription};
use tailrace_core::key::ScalarType;
use tailrace_engine::{Caller, Db, ops};
use tailrace_lambda::Unlimited;
use tailrace_server::{Config, Server, StackContents};
use tailrace_sinks::runtime::SinkStatus;

use crate::plain::example;
use crate::say::say;
use crate::{Failure, style};

/// Tables and functions that are drawn; of others only the number is said.
const DRAWN_MAX: usize = 20;

/// A table, as far as it is drawn.
struct Table {
    name: String,
    streams: bool,
    /// Attributes of its key with their types.
    keys: Vec<(String, ScalarType)>,
}

/// What leads from a table to a function.
#[derive(Clone)]
struct Arrow {
    table: String,
    function: String,
    enabled: bool,
    batch_records_max: usize,
    filters: usize,
}

/// What leads from a table to a sink.
struct Feed {
    table: String,
    sink: String,
    to: String,
}

/// Shows it on stderr.
///
/// # Errors
/// The store's.
pub async fn show(server: &Server, config: &Config) -> Result<(), Failure> {
    if style::is_quiet() {
        return Ok(());
    }
    let tables = tables(server.db()).await?;
    let arrows: Vec<Arrow> = server.mappings().list().iter().map(arrow).collect();
    let functions = server.mappings().functions();
    let functions: Vec<(String, String)> = functions.into_iter().map(|one| (one.name, one.runtime)).collect();
    let sinks = server.sinks().status().await?;
    let feeds: Vec<Feed> = sinks.iter().flat_map(feeds).collect();
    draw_stacks(&server.stacks().await).into_iter().for_each(say);
    draw(&tables, &arrows, &feeds, &functions).into_iter().for_each(say);
    unlimited(&server.without_memory_limit()).into_iter().for_each(say);
    next(&tables, &arrows, &feeds, server.address().port(), config).into_iter().for_each(say);
    Ok(())
}

/// What is said of functions that may take more than their MemorySize: a line for all that are limited alike.
fn unlimited(Unlimited { beside_the_heap, wholly }: &Unlimited) -> Vec<String> {
    const NAMED_MAX: usize = 3;
    let named = |functions: &[String]| {
        let named = functions.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        match functions.len().saturating_sub(NAMED_MAX) {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    };
    let line = |functions: &[String], what: &str| {
        let why = "no control group can be made here that would limit all of it";
        (!functions.is_empty()).then(|| format!("MemorySize {what} {}: {why}", named(functions)))
    };
    [line(beside_the_heap, "limits only the heap of"), line(wholly, "does not limit")].into_iter().flatten().collect()
}

fn arrow(mapping: &tailrace_mapping::Mapping) -> Arrow {
    Arrow {
        table: mapping.source.table().to_owned(),
        function: mapping.function.name.clone(),
        enabled: mapping.enabled,
        batch_records_max: mapping.rules.batch_records_max,
        filters: mapping.filters.len(),
    }
}

fn feeds(sink: &SinkStatus) -> impl Iterator<Item = Feed> {
    let feed = |table: &str| Feed { table: table.to_owned(), sink: sink.name.clone(), to: sink.to.clone() };
    sink.sources.iter().map(move |source| feed(&source.table))
}

async fn tables(db: &Db) -> Result<Vec<Table>, Failure> {
    let caller = Caller::default();
    let listed = ops::list_tables(db, ListTablesRequest::default(), &caller).await?;
    let mut tables = Vec::new();
    for name in listed.table_names {
        // It may be gone since.
        let Ok(described) = ops::describe_table(db, DescribeTableRequest::of(name), &caller).await else { continue };
        tables.push(drawn(described.table));
    }
    Ok(tables)
}

fn drawn(table: TableDescription) -> Table {
    let definitions = table.attribute_definitions.unwrap_or_default();
    let typed = |name: String| {
        let defined = definitions.iter().find(|defined| defined.attribute_name == name)?;
        Some((name, defined.attribute_type))
    };
    let schema = table.key_schema.unwrap_or_default();
    Table {
        keys: schema.into_iter().filter_map(|element| typed(element.attribute_name)).collect(),
        streams: table.stream_specification.is_some_and(|stream| stream.stream_enabled),
        name: table.table_name,
    }
}

/// A line for each stack of several: what is whose.
fn draw_stacks(stacks: &[StackContents]) -> Vec<String> {
    let of_stack = |StackContents { name, made }: &StackContents| {
        let mut names = made.iter().take(DRAWN_MAX).cloned().collect::<Vec<_>>().join(", ");
        if made.is_empty() {
            names = "nothing that is made here".to_owned();
        } else if made.len() > DRAWN_MAX {
            names += &format!(" and {} more", made.len() - DRAWN_MAX);
        }
        format!("  stack {name}: {names}")
    };
    let mut lines: Vec<String> = stacks.iter().take(DRAWN_MAX).map(of_stack).collect();
    if stacks.len() > DRAWN_MAX {
        lines.push(format!("  and {} more stacks", stacks.len() - DRAWN_MAX));
    }
    lines
}

/// The lines of the picture: each table with what its stream leads to, and the functions that nothing leads to.
fn draw(tables: &[Table], arrows: &[Arrow], feeds: &[Feed], functions: &[(String, String)]) -> Vec<String> {
    let runtime = |name: &str| functions.iter().find(|(known, _)| known == name).map(|(_, runtime)| runtime.as_str());
    let mut lines = Vec::new();
    for table in tables {
        let from_here: Vec<&Arrow> = arrows.iter().filter(|arrow| arrow.table == table.name).collect();
        for arrow in &from_here {
            let mut notes = vec![runtime(&arrow.function).unwrap_or("not here").to_owned()];
            notes.push(format!("batch {}", arrow.batch_records_max));
            if arrow.filters > 0 {
                notes.push("filtered".to_owned());
            }
            if !arrow.enabled {
                notes.push("disabled".to_owned());
            }
            let (table, function) = (style::strong(&table.name), style::strong(&arrow.function));
            lines.push(format!("  {table} --stream--> {function} ({})", notes.join(", ")));
        }
        let fed: Vec<&Feed> = feeds.iter().filter(|feed| feed.table == table.name).collect();
        for feed in &fed {
            let (table, sink) = (style::strong(&table.name), style::strong(&feed.sink));
            lines.push(format!("  {table} --stream--> {sink} ({})", feed.to));
        }
        if from_here.is_empty() && fed.is_empty() {
            let stream = if table.streams { " --stream" } else { "" };
            lines.push(format!("  {}{stream}", style::strong(&table.name)));
        }
    }
    let is_fed = |name: &str| arrows.iter().any(|arrow| arrow.function == name);
    for (name, runtime) in functions.iter().filter(|(name, _)| !is_fed(name)) {
        lines.push(format!("  {} ({runtime}), which no stream leads to", style::strong(name)));
    }
    if lines.len() > DRAWN_MAX {
        let more = lines.len() - DRAWN_MAX;
        lines.truncate(DRAWN_MAX);
        lines.push(format!("  and {more} more (tailrace tables, tailrace mappings)"));
    }
    lines
}

/// What to try: a write to the first table that something follows from, and how to watch it.
fn next(tables: &[Table], arrows: &[Arrow], sinks: &[Feed], port: u16, config: &Config) -> Vec<String> {
    let is_view = |table: &Table| sinks.iter().any(|sink| sink.to == format!("table:{}", table.name));
    let feeds_sink = |table: &Table| sinks.iter().any(|sink| sink.table == table.name);
    let feeds = |table: &Table, filters: bool| {
        arrows.iter().any(|arrow| arrow.table == table.name && arrow.enabled && (filters || arrow.filters == 0))
    };
    let all_pass = tables.iter().find(|table| feeds(table, false));
    let table = all_pass
        .or_else(|| tables.iter().find(|table| feeds(table, true)))
        .or_else(|| tables.iter().find(|table| feeds_sink(table) && !is_view(table)))
        .or_else(|| tables.iter().find(|table| table.streams && !is_view(table)));
    let Some(table) = table.or_else(|| tables.iter().find(|table| !is_view(table))).or_else(|| tables.first()) else {
        return Vec::new();
    };
    let endpoint = config.endpoint(port);
    let item: serde_json::Map<String, Value> =
        table.keys.iter().map(|(name, scalar)| (name.clone(), example(scalar.name()))).collect();
    // An apostrophe ends a shell's word; names of attributes may have one.
    let item = Value::Object(item).to_string().replace('\'', "'\\''");
    let mut lines = vec![format!(
        "try: AWS_ACCESS_KEY_ID=tailrace AWS_SECRET_ACCESS_KEY=tailrace aws dynamodb put-item --endpoint-url {endpoint} --region {} \
         --table-name {} --item '{item}'",
        config.engine.region, table.name
    )];
    if feeds(table, true) && !feeds(table, false) {
        lines.push(
            "     (with attributes that a filter lets pass: the functions of this table get nothing else)".to_owned(),
        );
    }
    if table.streams {
        lines.push(format!("     tailrace tail {} --endpoint {endpoint}", table.name));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, streams: bool) -> Table {
        Table { name: name.into(), streams, keys: vec![("pk".into(), ScalarType::S), ("n".into(), ScalarType::N)] }
    }

    fn arrow(table: &str, function: &str, enabled: bool, filters: usize) -> Arrow {
        Arrow { table: table.into(), function: function.into(), enabled, batch_records_max: 100, filters }
    }

    #[test]
    fn the_picture_shows_what_leads_where_and_what_leads_nowhere() {
        let tables = [table("Audit", false), table("Orders", true), table("Quiet", true)];
        let arrows = [arrow("Orders", "ship", true, 0), arrow("Orders", "tell", false, 1)];
        let functions = [("ship", "python3.12"), ("tell", "nodejs22.x"), ("report", "python3.13")]
            .map(|(a, b)| (a.into(), b.into()));
        let feeds = [Feed { table: "Orders".into(), sink: "lake".into(), to: "s3://lake/".into() }];
        let expect = "  Audit\n  Orders --stream--> ship (python3.12, batch 100)\n  \
                      Orders --stream--> tell (nodejs22.x, batch 100, filtered, disabled)\n  \
                      Orders --stream--> lake (s3://lake/)\n  Quiet --stream\n  \
                      report (python3.13), which no stream leads to";
        assert_eq!(draw(&tables, &arrows, &feeds, &functions).join("\n"), expect);
    }

    #[test]
    fn each_stack_of_several_tells_what_is_its_own() {
        let stack = |name: &str, made: usize| StackContents {
            name: name.into(),
            made: (0..made).map(|n| format!("t{n}")).collect(),
        };
        let drawn = draw_stacks(&[stack("Data", 2), stack("Prod/Web", 0), stack("Large", DRAWN_MAX + 1)]);
        assert_eq!(drawn[..2], ["  stack Data: t0, t1", "  stack Prod/Web: nothing that is made here"]);
        assert!(drawn[2].ends_with("t18, t19 and 1 more"), "{drawn:?}");
        assert!(draw_stacks(&[]).is_empty());
        let many: Vec<StackContents> = (0..DRAWN_MAX + 2).map(|n| stack(&n.to_string(), 1)).collect();
        assert_eq!(draw_stacks(&many).last().unwrap(), "  and 2 more stacks");
    }

    #[test]
    fn functions_without_a_limit_of_memory_are_named() {
        let names = |count: usize| (0..count).map(|n| format!("f{n}")).collect::<Vec<_>>();
        let of = |heap, wholly| unlimited(&Unlimited { beside_the_heap: names(heap), wholly: names(wholly) });
        let why = "no control group can be made here that would limit all of it";
        assert!(of(0, 0).is_empty());
        assert_eq!(of(1, 0), [format!("MemorySize limits only the heap of f0: {why}")]);
        assert_eq!(
            of(3, 5),
            [
                format!("MemorySize limits only the heap of f0, f1, f2: {why}"),
                format!("MemorySize does not limit f0, f1, f2 and 2 more: {why}"),
            ]
        );
    }

    #[test]
    fn what_to_try_is_a_write_that_a_function_gets() {
        let tables = [table("Audit", false), table("Orders", true)];
        let lines = next(&tables, &[arrow("Orders", "ship", true, 0)], &[], 8123, &Config::new("/data"));
        assert_eq!(
            lines,
            [
                "try: AWS_ACCESS_KEY_ID=tailrace AWS_SECRET_ACCESS_KEY=tailrace aws dynamodb put-item --endpoint-url \
                 http://127.0.0.1:8123 --region us-east-1 --table-name Orders --item '{\"n\":{\"N\":\"1\"},\"pk\":{\"S\":\"a\"}}'",
                "     tailrace tail Orders --endpoint http://127.0.0.1:8123",
            ]
        );
        // One that passes every record is tried before one that a filter looks at, of which that is said.
        let tables = [table("Orders", true), table("Users", true)];
        let filtered = arrow("Orders", "ship", true, 1);
        let lines =
            next(&tables, &[filtered.clone(), arrow("Users", "greet", true, 0)], &[], 8123, &Config::new("/data"));
        assert!(lines[0].contains("--table-name Users ") && lines.len() == 2, "{lines:?}");
        let lines = next(&tables, &[filtered], &[], 8123, &Config::new("/data"));
        assert!(lines[0].contains("--table-name Orders ") && lines[1].contains("that a filter lets pass"), "{lines:?}");
        // Without a function one that a sink has, and none that is a sink's own.
        let tables = [table("ByDay", true), table("Other", true), table("Sales", true)];
        let sinks = [Feed { table: "Sales".into(), sink: "byday".into(), to: "table:ByDay".into() }];
        assert!(next(&tables, &[], &sinks, 8123, &Config::new("/data"))[0].contains("--table-name Sales "));
        assert!(next(&tables[..2], &[], &sinks, 8123, &Config::new("/data"))[0].contains("--table-name Other "));
        assert!(next(&[], &[], &[], 1, &Config::new("/data")).is_empty());
    }
}
