//! Which test shows each row of the specification: `tests/spec_rows.txt` is held against the specification and the tests.
//!
//! A row is a row of a table, a point of a list, or what else a section says in sentences (`text`). It names its tests in a column
//! `test` of its own table, or in a line `SECTION | HOW THE ROW BEGINS | TESTS` of that file. What it does not do: it does not look
//! whether a test shows the row.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The file, from the root of the repository.
const FILE: &str = "tests/spec_rows.txt";

/// What the file calls a section's sentences.
const SENTENCES: &str = "text";

/// The lines of the file that are about no file of the specification.
const ELSEWHERE: &str = "what users met elsewhere";

/// One row of the specification.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    section: String,
    text: String,
    /// The cell of its table's column `test`, if there is one with something in it.
    tests: Option<String>,
}

/// One line of the file.
#[derive(Debug)]
struct Entry<'a> {
    line: usize,
    section: &'a str,
    begins: &'a str,
    tests: Vec<&'a str>,
}

/// What is wrong with the file, or with what it says of the specification below `root`.
///
/// # Errors
/// A file that cannot be read.
pub fn faults(root: &Path, sources: &[(String, String)]) -> Result<Vec<String>, String> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let text = read(&root.join(FILE))?;
    let mut specification = BTreeMap::new();
    for name in text.lines().filter_map(|line| line.strip_prefix("== ")).filter(|name| name.ends_with(".md")) {
        specification.insert(name.to_owned(), read(&root.join("docs/spec").join(name))?);
    }
    let tests = sources.iter().flat_map(|(name, text)| tests(name, text)).collect();
    Ok(compare(&text, &specification, &tests))
}

fn compare(text: &str, specification: &BTreeMap<String, String>, tests: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, mut entries) in entries(text, &mut faults) {
        for entry in &entries {
            let names = entry.tests.iter().filter(|name| **name != "absent");
            if names.clone().next().is_none() {
                faults.push(format!("{FILE}:{}: no test", entry.line));
            }
            let unknown = names.filter(|name| !tests.contains(**name));
            faults.extend(unknown.map(|name| format!("{FILE}:{}: there is no test {name}", entry.line)));
        }
        if name == ELSEWHERE {
            continue;
        }
        let Some(specification) = specification.get(name) else {
            faults.push(format!("{FILE}: {name} is no file of the specification"));
            continue;
        };
        for row in rows(specification) {
            if let Some(cell) = &row.tests {
                let quoted: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
                let unknown = quoted.iter().filter(|name| !tests.contains(**name));
                faults.extend(unknown.map(|test| format!("docs/spec/{name} {}: there is no test {test}", row.section)));
                if !quoted.is_empty() {
                    continue;
                }
            }
            let matches = |entry: &Entry<'_>| entry.section == row.section && row.text.starts_with(entry.begins);
            match entries.iter().position(matches) {
                Some(found) => drop(entries.remove(found)),
                None => faults.push(format!("docs/spec/{name} {}: no test is named for: {}", row.section, row.text)),
            }
        }
        faults.extend(
            entries
                .iter()
                .map(|entry| format!("{FILE}:{}: no such row: {} {}", entry.line, entry.section, entry.begins)),
        );
    }
    faults
}

/// The lines of the file, by what they are below.
fn entries<'a>(text: &'a str, faults: &mut Vec<String>) -> Vec<(&'a str, Vec<Entry<'a>>)> {
    let mut found: Vec<(&str, Vec<Entry<'_>>)> = Vec::new();
    for (line, text) in text.lines().enumerate().map(|(at, text)| (at + 1, text)) {
        if let Some(name) = text.strip_prefix("== ") {
            found.push((name, Vec::new()));
            continue;
        }
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let Some((name, entries)) = found.last_mut() else {
            faults.push(format!("{FILE}:{line}: below no file"));
            continue;
        };
        let parts: Vec<&str> = text.split(" | ").collect();
        match (*name == ELSEWHERE, &parts[..]) {
            (true, [begins, tests]) => {
                entries.push(Entry { line, section: "", begins, tests: tests.split_whitespace().collect() });
            }
            (false, [section, begins, tests]) => {
                entries.push(Entry { line, section, begins, tests: tests.split_whitespace().collect() });
            }
            _ => faults.push(format!("{FILE}:{line}: no line of this file: {text}")),
        }
    }
    found
}

/// The rows of a file of the specification, those of sentences last of their section.
fn rows(text: &str) -> Vec<Row> {
    let (mut rows, mut section, mut sentences, mut fenced) = (Vec::new(), String::new(), false, false);
    // Inside of a paragraph that names tests.
    let mut naming = false;
    let mut columns: Option<Vec<String>> = None;
    for line in text.lines().chain(["## end"]) {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let Some(row) = line.strip_prefix('|') else {
            columns = None;
            let number = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim_start());
            if let Some(heading) = number {
                if sentences {
                    rows.push(Row { section: section.clone(), text: SENTENCES.to_owned(), tests: None });
                }
                section = heading.split([' ']).next().unwrap_or_default().trim_end_matches('.').to_owned();
                sentences = false;
            } else if let Some(point) = line.strip_prefix("- ") {
                rows.push(Row { section: section.clone(), text: point.to_owned(), tests: None });
            } else if section.starts_with(|c: char| c.is_ascii_digit()) {
                naming =
                    !line.is_empty() && (naming || ["Tests:", "Test:"].iter().any(|start| line.starts_with(start)));
                sentences |= !line.is_empty() && !naming;
            }
            continue;
        };
        let cells: Vec<String> = row.trim_end_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        match &columns {
            None => columns = Some(cells),
            Some(_)
                if cells.iter().all(|cell| cell.trim_start_matches('|').trim_matches(['-', ' ', '|']).is_empty()) => {}
            Some(head) => {
                let last =
                    cells.last().filter(|cell| head.last().is_some_and(|name| name == "test") && !cell.is_empty());
                rows.push(Row { section: section.clone(), text: cells[0].clone(), tests: last.cloned() });
            }
        }
    }
    rows
}

/// The names of the tests in a source.
fn tests(name: &str, text: &str) -> Vec<String> {
    let of = |line: &str, keyword: &str| {
        let rest = line.trim_start().strip_prefix(keyword)?;
        Some(rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()?.to_owned())
    };
    if name.ends_with(".py") {
        return text.lines().filter(|line| line.starts_with("def test_")).filter_map(|line| of(line, "def ")).collect();
    }
    if !name.ends_with(".rs") {
        return Vec::new();
    }
    let (mut found, mut is_test) = (Vec::new(), false);
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(name) = of(line.strip_prefix("async ").unwrap_or(line), "fn ") {
            if is_test {
                found.push(name);
            }
            is_test = false;
        }
    }
    found
}

#[cfg(test)]
mod unit {
    use super::*;

    const SPEC: &str = "# S\n## 1. Wire\n\nTests: `a.rs`\n`b`\n\n| op | what | test |\n| --- | --- | --- |\n| Put | x | `puts` |\n| Get | y | |\n\n\
                        ## 2. Order\n\n- First things.\n```\n| no | row |\n```\n### 2.1 More\n\nA sentence.\n";

    fn faults(file: &str) -> Vec<String> {
        let specification = BTreeMap::from([("s.md".to_owned(), SPEC.to_owned())]);
        let tests = ["puts", "gets", "orders"].map(str::to_owned).into();
        compare(file, &specification, &tests)
    }

    #[test]
    fn every_row_names_a_test_that_is_there() {
        let whole = "== s.md\n1 | Get | gets\n2 | First | orders\n2.1 | text | absent orders\n\n== what users met elsewhere\nx | puts\n";
        assert_eq!(faults(whole), Vec::<String>::new());
        for (from, to, fault) in [
            ("1 | Get | gets\n", "", "DIR/s.md 1: no test is named for: Get"),
            ("2.1 | text", "2.1 | Other", "DIR/s.md 2.1: no test is named for: text"),
            ("| gets", "| takes", "tests/spec_rows.txt:2: there is no test takes"),
            ("absent orders", "absent", "tests/spec_rows.txt:4: no test"),
            ("x | puts", "x | put", "tests/spec_rows.txt:7: there is no test put"),
            (
                "2 | First | orders\n",
                "2 | First | orders\n2 | First | orders\n",
                "tests/spec_rows.txt:4: no such row: 2 First",
            ),
        ] {
            // The folder by another name, so that this file itself cites nothing.
            let (found, fault) = (faults(&whole.replace(from, to)), fault.replace("DIR", "docs/spec"));
            assert!(found.contains(&fault), "{to}: {found:?}");
        }
    }

    #[test]
    fn tests_are_told_from_other_functions() {
        let source = "#[test]\nfn one() {}\nfn two() {}\n    #[tokio::test(flavor = \"x\")]\n    #[ignore]\n    async fn three() {}\n";
        assert_eq!(tests("a.rs", source), ["one", "three"]);
        assert_eq!(tests("a.py", "def test_a(x):\n    pass\ndef b():\n"), ["test_a"]);
    }
}
