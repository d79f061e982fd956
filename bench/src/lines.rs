//! The lines of the table: their names, units and budgets, in the order in which they are shown, and the figures measured for
//! them.
//!
//! A part of the suite measures some lines together. Where it fails, they are told to have failed, and the others are measured: an
//! older server that lacks an operation can be compared in what it has.

use std::collections::BTreeMap;
use std::io::Result;

use crate::report::{Budget, Line, median};

pub const BARE_64: &str = "bare, 64 connections";
pub const BARE_16: &str = "bare, 16 connections";
pub const PUT_64: &str = "PutItem, 10,000 keys, 64 connections";
pub const PUT_16: &str = "PutItem, 16 connections";
pub const UPDATE_64: &str = "UpdateItem (if_not_exists + 1), 64 connections";
pub const GET_16: &str = "GetItem, 16 connections";
pub const GET_64: &str = "GetItem, 64 connections";
pub const TRANSACTIONS_OF_2: &str = "TransactWriteItems of 2 items, 64 connections";
pub const TRANSACTIONS_OF_10: &str = "TransactWriteItems of 10 items, 64 connections";
pub const CPU_BARE: &str = "server CPU a request, bare, 64 connections";
pub const CPU_GET: &str = "server CPU a request, GetItem, 64 connections";
pub const CPU_PUT: &str = "server CPU a request, streamed PutItem, 64 connections";
pub const CPU_PUT_TO_BARE: &str = "server CPU a request, streamed PutItem, to bare";
pub const CPU_GET_TO_BARE: &str = "server CPU a request, GetItem, to bare";
pub const STREAM_COST: &str = "cost of the stream on a write";
pub const KEYS_ONLY: IndexedLines = IndexedLines {
    share: "PutItem, one KEYS_ONLY index, share of plain",
    rate: "PutItem, one KEYS_ONLY index, 64 connections",
    cpu: "server CPU a request, PutItem, one KEYS_ONLY index",
    cpu_plain: "server CPU a request, PutItem, no index beside one",
};
pub const FIVE_ALL: IndexedLines = IndexedLines {
    share: "PutItem, five indexes with ALL, share of plain",
    rate: "PutItem, five indexes with ALL, 64 connections",
    cpu: "server CPU a request, PutItem, five indexes with ALL",
    cpu_plain: "server CPU a request, PutItem, no index beside five",
};
pub const QUERY: &str = "Query of 100 items, 16 connections";
pub const SCAN: &str = "Scan, one reader";
pub const BACKFILL: &str = "backfill of an index, beside a writer";
pub const BACKFILL_WRITER: &str = "PutItem beside a backfill, share of before";
pub const GET_RECORDS: &str = "GetRecords, one reader";
pub const PYTHON: FunctionLines = FunctionLines {
    entered_p50: "sent -> Python handler entered, p50",
    entered_p99: "sent -> Python handler entered, p99",
    no_op: "one no-op Python handler, batch 1000",
};
pub const NODE: FunctionLines = FunctionLines {
    entered_p50: "sent -> Node.js handler entered, p50",
    entered_p99: "sent -> Node.js handler entered, p99",
    no_op: "one no-op Node.js handler, batch 1000",
};
pub const IDLE_MAPPINGS_MEMORY: &str = "memory of 1,000 idle mappings";
pub const IDLE_MAPPINGS_CPU: &str = "processor time of 1,000 idle mappings";
pub const FILTERED: &str = "one mapping, a filter that nothing matches";
pub const ZOO_IDLE_P99: &str = "PutItem p99, one paced writer";
pub const ZOO_P99: &str = "PutItem p99, one paced writer beside the handler zoo";
pub const ZOO_TO_IDLE: &str = "PutItem p99, beside the handler zoo to without";
pub const FIRST_ANSWER: &str = "empty start to first answer";
pub const MEMORY_IDLE: &str = "idle memory";
pub const MEMORY_LOADED: &str = "memory after the small load";
pub const READY_SMALL: &str = "ready after a crash, small load";
pub const PUT_P99: &str = "PutItem p99, 10,000 keys, 64 connections";
pub const LARGE_SHARE: &str = "PutItem, large set, share of the small set";
pub const LARGE_RATE: &str = "PutItem, large set";
pub const LARGE_P99: &str = "PutItem, large set, p99";
pub const LARGE_P999: &str = "PutItem, large set, p99.9";
pub const LARGE_STALL: &str = "PutItem, large set, longest stall";
pub const READY_LARGE: &str = "ready after a crash, large set";
pub const LARGE_INDEXED_SHARE: &str = "PutItem, large set with an index, share of the small";
pub const LARGE_INDEXED_RATE: &str = "PutItem, large set with an index";
pub const LARGE_INDEXED_P99: &str = "PutItem, large set with an index, p99";

/// The lines of a function in one language.
pub struct FunctionLines {
    pub entered_p50: &'static str,
    pub entered_p99: &'static str,
    pub no_op: &'static str,
}

/// The lines of a sink.
pub struct SinkLines {
    pub rate: &'static str,
    pub cost: CostLines,
}

/// What a sink costs writers.
pub struct CostLines {
    /// How much slower they are.
    pub cost: &'static str,
    /// The server's processor time for a write, as a multiple.
    pub cpu: &'static str,
    /// What its target takes of the processors beside, if it runs here.
    pub target: Option<&'static str>,
}

impl CostLines {
    pub fn names(&self) -> Vec<&'static str> {
        [self.cost, self.cpu].into_iter().chain(self.target).collect()
    }
}

pub const JSON_LINES: SinkLines = SinkLines {
    rate: "sink: JSON lines into a directory",
    cost: CostLines {
        cost: "sink: JSON lines, cost to 64 writers",
        cpu: "sink: JSON lines, cost in server CPU a write, to without",
        target: None,
    },
};
pub const CSV: SinkLines = SinkLines {
    rate: "sink: CSV into a directory",
    cost: CostLines {
        cost: "sink: CSV, cost to 64 writers",
        cpu: "sink: CSV, cost in server CPU a write, to without",
        target: None,
    },
};
pub const PARQUET: SinkLines = SinkLines {
    rate: "sink: Parquet into a directory",
    cost: CostLines {
        cost: "sink: Parquet, cost to 64 writers",
        cpu: "sink: Parquet, cost in server CPU a write, to without",
        target: None,
    },
};
pub const VIEW: SinkLines = SinkLines {
    rate: "sink: a view of 1,000 groups",
    cost: CostLines {
        cost: "sink: a view, cost to 64 writers",
        cpu: "sink: a view, cost in server CPU a write, to without",
        target: None,
    },
};
pub const AUDIT: SinkLines = SinkLines {
    rate: "sink: an audit trail",
    cost: CostLines {
        cost: "sink: an audit trail, cost to 64 writers",
        cpu: "sink: an audit trail, cost in server CPU a write, to without",
        target: None,
    },
};
pub const POSTGRES_SHARE: &str = "sink: PostgreSQL, cost of its server, share of CPU";
pub const POSTGRES: SinkLines = SinkLines {
    rate: "sink: PostgreSQL",
    cost: CostLines {
        cost: "sink: PostgreSQL, cost to 64 writers",
        cpu: "sink: PostgreSQL, cost in server CPU a write, to without",
        target: Some(POSTGRES_SHARE),
    },
};
/// What the search engine takes without us.
pub const SEARCH_PLAIN: &str = "OpenSearch, bulks of the best plain client";
pub const SEARCH_RATE: &str = "sink: OpenSearch";
pub const SEARCH_COST: CostLines = CostLines {
    cost: "sink: OpenSearch, cost to 64 writers",
    cpu: "sink: OpenSearch, cost in server CPU a write, to without",
    target: Some("sink: OpenSearch, cost of its target, share of CPU"),
};
pub const WEBHOOK: CostLines = CostLines {
    cost: "sink: a webhook a record, cost to 64 writers",
    cpu: "sink: a webhook a record, cost in server CPU a write, to without",
    target: Some("sink: a webhook a record, cost of its target, share of CPU"),
};
pub const WEBHOOK_DIGEST: CostLines = CostLines {
    cost: "sink: a webhook's digest, cost to 64 writers",
    cpu: "sink: a webhook's digest, cost in server CPU a write, to without",
    target: Some("sink: a webhook's digest, cost of its target, share of CPU"),
};
pub const MAIL: CostLines = CostLines {
    cost: "sink: a mail's digest, cost to 64 writers",
    cpu: "sink: a mail's digest, cost in server CPU a write, to without",
    target: Some("sink: a mail's digest, cost of its target, share of CPU"),
};
pub const TOPIC: CostLines = CostLines {
    cost: "sink: SNS, cost to 64 writers",
    cpu: "sink: SNS, cost in server CPU a write, to without",
    target: Some("sink: SNS, cost of its target, share of CPU"),
};
pub const QUEUE: CostLines = CostLines {
    cost: "sink: SQS, cost to 64 writers",
    cpu: "sink: SQS, cost in server CPU a write, to without",
    target: Some("sink: SQS, cost of its target, share of CPU"),
};
pub const KINESIS: CostLines = CostLines {
    cost: "sink: Kinesis, cost to 64 writers",
    cpu: "sink: Kinesis, cost in server CPU a write, to without",
    target: Some("sink: Kinesis, cost of its target, share of CPU"),
};

/// What twenty sinks on one table read of its stream.
pub const TWENTY_READ: &str = "20 sinks on one table: bytes they read of the log, to those of one";
pub const TWENTY_IDLE: &str = "20 idle sinks: CPU a second, beyond that of none";

/// The lines of a table with indexes beside one without.
pub struct IndexedLines {
    pub share: &'static str,
    pub rate: &'static str,
    pub cpu: &'static str,
    pub cpu_plain: &'static str,
}

impl IndexedLines {
    pub fn names(&self) -> [&'static str; 4] {
        [self.share, self.rate, self.cpu, self.cpu_plain]
    }
}

/// The whole small load: what is measured behind it needs all of it.
const SMALL_LOAD: &[&str] = &[PUT_64, PUT_P99, PUT_16, STREAM_COST, UPDATE_64, GET_16, GET_64, GET_RECORDS];

/// How the budget of a line is told.
#[derive(Clone, Copy)]
enum Rule {
    None,
    AtLeast(f64),
    Below(f64),
    /// A multiple of the figure that it is held against.
    AtLeastOfBare(f64),
}

/// A line that can be measured.
struct Row {
    name: &'static str,
    unit: &'static str,
    rule: Rule,
    /// The line that it is held against, the bare server's for the most part.
    bare: Option<&'static str>,
    /// Lines that must be measured for it.
    needs: &'static [&'static str],
}

const fn row(name: &'static str, unit: &'static str, rule: Rule) -> Row {
    Row { name, unit, rule, bare: None, needs: &[] }
}

/// What the target of a sink takes; it has a line where there is one.
const fn share_of_target(lines: &CostLines) -> Row {
    match lines.target {
        Some(name) => row(name, "%", Rule::None),
        None => panic!("the sink has no target beside"),
    }
}

impl Row {
    const fn beside(self, bare: &'static str) -> Row {
        Row { bare: Some(bare), ..self }
    }

    const fn needing(self, needs: &'static [&'static str]) -> Row {
        Row { needs, ..self }
    }

    fn is_named(&self, only: Option<&str>) -> bool {
        only.is_none_or(|only| self.name.contains(only))
    }
}

use Rule::{AtLeast, AtLeastOfBare, Below};

const ROWS: &[Row] = &[
    row(BARE_64, "/s", Rule::None),
    row(BARE_16, "/s", Rule::None),
    row(PUT_64, "/s", AtLeast(25_000.0)).beside(BARE_64),
    row(PUT_16, "/s", AtLeast(14_000.0)).beside(BARE_16),
    row(UPDATE_64, "/s", AtLeast(20_000.0)).beside(BARE_64),
    row(GET_16, "/s", AtLeast(40_000.0)).beside(BARE_16),
    row(GET_64, "/s", AtLeastOfBare(0.55)).beside(BARE_64),
    row(KEYS_ONLY.share, "%", AtLeast(75.0)),
    row(KEYS_ONLY.rate, "/s", Rule::None).beside(BARE_64),
    row(FIVE_ALL.share, "%", AtLeast(35.0)),
    row(FIVE_ALL.rate, "/s", Rule::None).beside(BARE_64),
    row(TRANSACTIONS_OF_2, "/s", AtLeast(15_000.0)).beside(BARE_64),
    row(TRANSACTIONS_OF_10, "/s", AtLeast(5_000.0)).beside(BARE_64),
    row(QUERY, "pages/s", AtLeast(12_000.0)).beside(BARE_16),
    row(SCAN, "items/s", AtLeast(600_000.0)),
    row(BACKFILL, "items/s", AtLeast(200_000.0)),
    row(BACKFILL_WRITER, "%", AtLeast(60.0)),
    row(CPU_BARE, "us", Rule::None),
    row(CPU_GET, "us", Rule::None),
    row(CPU_PUT, "us", Rule::None),
    row(CPU_GET_TO_BARE, "x", Below(1.5)),
    row(CPU_PUT_TO_BARE, "x", Below(2.4)),
    row(KEYS_ONLY.cpu_plain, "us", Rule::None),
    row(KEYS_ONLY.cpu, "us", Rule::None),
    row(FIVE_ALL.cpu_plain, "us", Rule::None),
    row(FIVE_ALL.cpu, "us", Rule::None),
    row(STREAM_COST, "%", Below(15.0)),
    row(GET_RECORDS, "records/s", AtLeast(100_000.0)),
    row(PYTHON.entered_p50, "ms", Below(1.0)),
    row(PYTHON.entered_p99, "ms", Below(5.0)),
    row(PYTHON.no_op, "records/s", AtLeast(100_000.0)),
    // Within a factor of two.
    row(NODE.entered_p50, "ms", Below(2.0)),
    row(NODE.entered_p99, "ms", Below(10.0)),
    row(NODE.no_op, "records/s", AtLeastOfBare(0.5)).beside(PYTHON.no_op),
    row(IDLE_MAPPINGS_MEMORY, "MB", Below(60.0)),
    row(IDLE_MAPPINGS_CPU, "%", Below(1.0)),
    row(FILTERED, "records/s", AtLeast(300_000.0)),
    row(ZOO_IDLE_P99, "ms", Rule::None),
    row(ZOO_P99, "ms", Rule::None),
    row(ZOO_TO_IDLE, "x", Below(2.0)),
    row(JSON_LINES.rate, "records/s", AtLeast(100_000.0)),
    row(JSON_LINES.cost.cost, "%", Below(15.0)),
    row(JSON_LINES.cost.cpu, "x", Rule::None),
    row(CSV.rate, "records/s", Rule::None),
    row(CSV.cost.cost, "%", Below(15.0)),
    row(CSV.cost.cpu, "x", Rule::None),
    row(PARQUET.rate, "records/s", AtLeast(100_000.0)),
    row(PARQUET.cost.cost, "%", Below(15.0)),
    row(PARQUET.cost.cpu, "x", Rule::None),
    row(VIEW.rate, "records/s", AtLeast(50_000.0)),
    row(VIEW.cost.cost, "%", Below(15.0)),
    row(VIEW.cost.cpu, "x", Rule::None),
    row(AUDIT.rate, "records/s", AtLeast(150_000.0)),
    row(AUDIT.cost.cost, "%", Below(15.0)),
    row(AUDIT.cost.cpu, "x", Rule::None),
    row(POSTGRES.rate, "rows/s", AtLeast(20_000.0)),
    row(POSTGRES.cost.cost, "%", Below(15.0)),
    row(POSTGRES.cost.cpu, "x", Rule::None),
    share_of_target(&POSTGRES.cost),
    row(SEARCH_PLAIN, "documents/s", Rule::None),
    row(SEARCH_RATE, "documents/s", AtLeastOfBare(0.8)).beside(SEARCH_PLAIN),
    row(SEARCH_COST.cost, "%", Below(15.0)),
    row(SEARCH_COST.cpu, "x", Rule::None),
    share_of_target(&SEARCH_COST),
    row(WEBHOOK.cost, "%", Below(15.0)),
    row(WEBHOOK.cpu, "x", Rule::None),
    share_of_target(&WEBHOOK),
    row(WEBHOOK_DIGEST.cost, "%", Below(15.0)),
    row(WEBHOOK_DIGEST.cpu, "x", Rule::None),
    share_of_target(&WEBHOOK_DIGEST),
    row(MAIL.cost, "%", Below(15.0)),
    row(MAIL.cpu, "x", Rule::None),
    share_of_target(&MAIL),
    row(TOPIC.cost, "%", Below(15.0)),
    row(TOPIC.cpu, "x", Rule::None),
    share_of_target(&TOPIC),
    row(QUEUE.cost, "%", Below(15.0)),
    row(QUEUE.cpu, "x", Rule::None),
    share_of_target(&QUEUE),
    row(KINESIS.cost, "%", Below(15.0)),
    row(KINESIS.cpu, "x", Rule::None),
    share_of_target(&KINESIS),
    row(TWENTY_READ, "x", Below(1.5)),
    row(TWENTY_IDLE, "ms", Below(1.0)),
    row(FIRST_ANSWER, "ms", Below(100.0)),
    row(MEMORY_IDLE, "MB", Below(40.0)),
    row(MEMORY_LOADED, "MB", Below(160.0)).needing(SMALL_LOAD),
    row(READY_SMALL, "ms", Below(2000.0)).needing(SMALL_LOAD),
    row(PUT_P99, "ms", Rule::None),
    row(LARGE_SHARE, "%", AtLeast(70.0)).needing(&[PUT_64]),
    row(LARGE_RATE, "/s", Rule::None).beside(BARE_64),
    row(LARGE_P99, "ms", Below(5.0)),
    row(LARGE_P999, "ms", Below(25.0)),
    row(LARGE_STALL, "ms", Below(100.0)),
    row(READY_LARGE, "ms", Below(2000.0)),
    row(LARGE_INDEXED_SHARE, "%", AtLeast(70.0)),
    row(LARGE_INDEXED_RATE, "/s", Rule::None).beside(BARE_64),
    row(LARGE_INDEXED_P99, "ms", Below(6.0)),
];

/// Figures by name, one of each round, and what failed.
pub struct Figures {
    only: Option<String>,
    measured: BTreeMap<&'static str, Vec<f64>>,
    failed: BTreeMap<&'static str, String>,
}

impl Figures {
    /// None yet. `only`: just of the lines whose name contains it, and of those that they need.
    pub fn new(only: Option<String>) -> Figures {
        Figures { only, measured: BTreeMap::new(), failed: BTreeMap::new() }
    }

    /// Whether a line is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        let uses = |row: &Row| row.name == name || row.bare == Some(name) || row.needs.contains(&name);
        ROWS.iter().any(|row| uses(row) && row.is_named(self.only.as_deref()))
    }

    /// Adds a figure.
    pub fn add(&mut self, name: &'static str, figure: f64) {
        debug_assert!(ROWS.iter().any(|row| row.name == name), "no line is named {name}");
        eprintln!("  {name}: {figure:.2}");
        self.measured.entry(name).or_default().push(figure);
    }

    /// The figures of a line.
    pub fn of(&self, name: &str) -> Vec<f64> {
        self.measured.get(name).cloned().unwrap_or_default()
    }

    /// Measures these lines, if one of them is wanted. A failure is told of those that have got no figure from it.
    pub fn part(&mut self, names: &[&'static str], measure: impl FnOnce(&mut Figures) -> Result<()>) {
        let count = |figures: &Figures, name: &str| figures.measured.get(name).map_or(0, Vec::len);
        let before: Vec<(&'static str, usize)> =
            names.iter().filter(|name| self.wants(name)).map(|name| (*name, count(self, name))).collect();
        if before.is_empty() {
            return;
        }
        let Err(error) = measure(self) else { return };
        eprintln!("  FAILED: {error}");
        for (name, before) in before {
            if count(self, name) == before {
                self.failed.insert(name, error.to_string());
            }
        }
    }

    /// Measures one line, as [`Figures::part`].
    pub fn line(&mut self, name: &'static str, measure: impl FnOnce() -> Result<f64>) {
        self.part(&[name], |figures| {
            figures.add(name, measure()?);
            Ok(())
        });
    }

    /// The lines that were to be measured, and could not be.
    pub fn failures(&self) -> usize {
        let is_shown = |name: &&&str| ROWS.iter().any(|row| row.name == **name && row.is_named(self.only.as_deref()));
        self.failed.keys().filter(is_shown).count()
    }

    /// The lines that were to be measured, with their budgets.
    pub fn lines(&self) -> Vec<Line> {
        let of_row = |row: &Row| {
            let (rounds, failed) = (self.of(row.name), self.failed.get(row.name).cloned());
            if rounds.is_empty() && failed.is_none() {
                return None;
            }
            let bare = row.bare.map_or(f64::NAN, |bare| median(&self.of(bare)));
            let budget = match row.rule {
                Rule::None => Budget::None,
                AtLeast(least) => Budget::AtLeast(least),
                Below(most) => Budget::Below(most),
                AtLeastOfBare(share) => Budget::AtLeast(share * bare),
            };
            Some(Line::new(row.name, row.unit, budget, rounds).beside(bare).failed(failed))
        };
        ROWS.iter().filter(|row| row.is_named(self.only.as_deref())).filter_map(of_row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_part_is_told_of_its_lines_and_the_others_go_on() {
        let mut figures = Figures::new(None);
        figures.part(&[QUERY, SCAN], |figures| {
            figures.add(QUERY, 13_000.0);
            Err(std::io::Error::other("no such operation"))
        });
        figures.line(BACKFILL, || Ok(1.0));
        let lines = figures.lines();
        let told: Vec<_> = lines.iter().map(|line| (line.what.as_str(), line.verdict())).collect();
        assert_eq!(told, [(QUERY, "met"), (SCAN, "FAILED"), (BACKFILL, "MISSED")]);
        assert_eq!(figures.failures(), 1);
    }

    #[test]
    fn only_the_named_lines_are_shown_and_what_they_need_is_measured() {
        let mut figures = Figures::new(Some("Query".to_owned()));
        assert!(figures.wants(QUERY) && figures.wants(BARE_16) && !figures.wants(SCAN));
        figures.line(SCAN, || panic!("it is not wanted"));
        figures.line(BARE_16, || Ok(26_000.0));
        figures.line(QUERY, || Ok(13_000.0));
        let lines = figures.lines();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].ratio_to_bare, Some(0.5));
    }

    #[test]
    fn no_two_lines_have_one_name_and_every_needed_line_is_there() {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        for (at, row) in ROWS.iter().enumerate() {
            assert!(!names[..at].contains(&row.name), "{} is there twice", row.name);
            assert!(row.bare.iter().chain(row.needs).all(|name| names.contains(name)), "{}", row.name);
        }
    }
}
