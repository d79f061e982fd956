//! The house's own lints: what ARCHITECTURE.md and the comments claim about the tree is held against the tree.
//!
//! - A citation of the specification names a file and sections that are there.
//! - The crates depend on each other exactly as ARCHITECTURE.md's table of arrows says, and arrows only point down in it.
//! - So do the modules of the engine, in their table; modules that know each other share a row.
//! - The tours of ARCHITECTURE.md name functions that are there; the file of the step that is said to call one has a call of
//!   that name; and none goes back up, unless through a door: a trait whose implementor lies above its caller.
//! - A document below `docs` that is named anywhere is there.
//! - Each row of the specification of functions names its tests, and they are there (see `rows`).
//! - Nobody inside calls an operation with JSON: [`BY_JSON`] is for the door behind the wire, and for tests.
//! - No error at a public door is a `String` (see `doors`).
//! - No source file is longer than [`FILE_LINES_MAX`].
//!
//! What it does not do: it reads text, not Rust; a function that is named may do something else than the tour says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Longest source file, lines. Above that a file holds two ideas.
const FILE_LINES_MAX: usize = 800;

/// The tours that ARCHITECTURE.md tells.
const TOURS: [&str; 3] = ["A write's way", "A record's way", "A template's way"];

/// The headings of the tables of arrows.
const CRATES: &str = "## Arrows";
const MODULES_OF_ENGINE: &str = "### Modules of the engine";

/// Runs an operation whose request is JSON.
const BY_JSON: &str = "ops::execute";

/// Where it may be called: behind the wire.
const BY_JSON_IN: [&str; 1] = ["crates/server/src/api.rs"];

/// Modules that only tests have and whose names do not say so.
const OF_TESTS: [&str; 1] = ["crates/sinks/src/kit.rs"];

/// Folders with sources of ours.
const SOURCES: [&str; 6] = ["crates", "bench", "xtask", "tests", "tools", "examples"];

/// Folders that are made, not written.
const MADE: [&str; 4] = ["target", "node_modules", "__pycache__", "fixtures"];

/// Checks everything.
///
/// # Errors
/// All faults, a line each.
pub fn check(root: &Path) -> Result<(), String> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let map = read(&root.join("ARCHITECTURE.md"))?;
    let specification = Specification::read(&root.join("docs/spec"))?;
    let (mut faults, mut texts) = (Vec::new(), Vec::new());
    for path in sources(root)? {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = read(&path)?;
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX && !name.ends_with(".json") {
            faults.push(format!("{name}: {lines} lines; {FILE_LINES_MAX} are the most"));
        }
        if let Some(shipped) = shipped(&name, &text) {
            faults.extend(json_inside(&name, shipped));
            faults.extend(crate::doors::faults(&name, shipped));
        }
        texts.push((name, text));
    }
    faults.extend(crate::rows::faults(root, &texts)?);
    for document in documents(root)? {
        let name = document.strip_prefix(root).unwrap_or(&document).display().to_string();
        texts.push((name, read(&document)?));
    }
    let is_there = |document: &str| root.join(document).is_file();
    for (name, text) in &texts {
        let found = specification.faults(text).into_iter().chain(missing_documents(text, &is_there));
        faults.extend(found.map(|fault| format!("{name}: {fault}")));
    }
    match Arrows::read(&map, MODULES_OF_ENGINE) {
        Ok(arrows) => faults.extend(arrows.faults("module", &modules(&root.join("crates/engine/src"))?)),
        Err(fault) => faults.push(fault),
    }
    match Arrows::read(&map, CRATES) {
        Ok(arrows) => {
            faults.extend(arrows.faults("crate", &manifests(root)?));
            faults.extend(tour_faults(&map, &arrows, &|file| std::fs::read_to_string(root.join(file)).ok()));
        }
        Err(fault) => faults.push(fault),
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("the house is not as it is drawn:\n{}", faults.join("\n"))) }
}

/// What of a source is shipped; `None`: nothing.
fn shipped<'a>(name: &str, text: &'a str) -> Option<&'a str> {
    let is_test = ["/tests/", "/examples/", "_tests/"].iter().any(|part| name.contains(part));
    let is_rust = name.starts_with("crates/") && name.ends_with(".rs") && !name.ends_with("tests.rs");
    if is_test || !is_rust || OF_TESTS.contains(&name) {
        return None;
    }
    text.split("#[cfg(test)]\nmod tests {").next()
}

/// What calls an operation with JSON though it is inside.
fn json_inside(name: &str, shipped: &str) -> Option<String> {
    if BY_JSON_IN.contains(&name) {
        return None;
    }
    let code = |line: &&str| !line.trim_start().starts_with("//");
    let line = shipped.lines().filter(code).find(|line| line.contains(BY_JSON))?;
    Some(format!("{name}: {BY_JSON} is for the wire; inside, call the operation with its request: {}", line.trim()))
}

/// The files below [`SOURCES`] that people write.
fn sources(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = SOURCES.iter().map(|name| root.join(name)).filter(|path| path.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                if !MADE.contains(&name.as_str()) && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if [".rs", ".py", ".js", ".mjs", ".java", ".toml"].iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The documents that people write: those at the root, and all below `docs`.
fn documents(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
            if path.is_dir() && path.starts_with(root.join("docs")) {
                folders.push(path);
            } else if path.is_file() && path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The documents below `docs` that a text names, and that are not there. Those of the specification are [`Specification`]'s.
fn missing_documents(text: &str, is_there: &dyn Fn(&str) -> bool) -> Vec<String> {
    let named = paths(text).map(|(_, path)| path);
    let named = named.filter(|path| path.starts_with("docs/") && !path.starts_with("docs/spec/"));
    named.filter(|path| !is_there(path)).map(|path| format!("{path}: there is no such file")).collect()
}

/// The paths in a text that end in `.md`, each with where it ends.
fn paths(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices(".md").map(|(at, _)| {
        let start = text[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "-_./".contains(c)).len();
        (at + 3, &text[start..at + 3])
    })
}

/// The sections of each file of the specification.
struct Specification(BTreeMap<String, BTreeSet<String>>);

impl Specification {
    fn read(folder: &Path) -> Result<Specification, String> {
        let mut files = BTreeMap::new();
        let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") {
                let text = std::fs::read_to_string(entry.path()).map_err(|e| format!("{name}: {e}"))?;
                files.insert(name, sections(&text));
            }
        }
        Ok(Specification(files))
    }

    /// What is wrong with the citations in a text.
    fn faults(&self, text: &str) -> Vec<String> {
        let text = joined(text);
        let mut faults = Vec::new();
        for (end, path) in paths(&text) {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let cites = match folder {
                "docs/spec" => true,
                // The short form, behind a citation of another file.
                "" => self.0.contains_key(name),
                other => {
                    if other == "spec" {
                        faults.push(format!("{path}: the specification is in docs/spec"));
                    }
                    false
                }
            };
            if !cites {
                continue;
            }
            match self.0.get(name) {
                None => faults.push(format!("{path}: there is no such file")),
                Some(sections) => faults.extend(
                    cited(&text[end..])
                        .into_iter()
                        .filter(|section| !sections.contains(section))
                        .map(|section| format!("{path} {section}: there is no such section")),
                ),
            }
        }
        faults
    }
}

/// The numbers of a file's headings.
fn sections(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let number = |line: &str| {
        let word = line.trim_start_matches('#').split_whitespace().next()?.trim_end_matches('.').to_owned();
        (word.starts_with(|c: char| c.is_ascii_digit())).then_some(word)
    };
    headings.filter_map(number).collect()
}

/// A text without its line breaks and the signs of comments, so that a citation over two lines is one.
fn joined(text: &str) -> String {
    let bare = |line: &str| line.trim_start().trim_start_matches(['/', '!', '#']).trim().to_owned();
    text.lines().map(bare).collect::<Vec<_>>().join(" ")
}

/// The sections that a citation names right behind the file: `2.1`, `2.1, 2.2 and 7`, `3-8`.
fn cited(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text.strip_prefix(' ');
    while let Some(list) = rest {
        let end = list.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(list.len());
        let number = list[..end].trim_end_matches('.');
        if number.is_empty() {
            break;
        }
        found.push(number.to_owned());
        let behind = &list[number.len()..];
        rest = [", ", " and ", "-"].iter().find_map(|between| behind.strip_prefix(between));
        if let (Some(last), Some(first)) = (behind.strip_prefix('-'), number.parse::<u32>().ok()) {
            let last: String = last.chars().take_while(char::is_ascii_digit).collect();
            if let Ok(last) = last.parse::<u32>() {
                found.extend((first + 1..last).map(|between| between.to_string()));
            }
        }
    }
    found
}

/// A table of arrows of ARCHITECTURE.md: which crate, or module, may use which, from the top of the house to its ground.
struct Arrows(Vec<Row>);

struct Row {
    /// Mostly one; several know each other.
    names: BTreeSet<String>,
    uses: BTreeSet<String>,
}

impl Arrows {
    /// Reads the rows `| name | a, b |` below the heading.
    fn read(map: &str, heading: &str) -> Result<Arrows, String> {
        let missing = || format!("ARCHITECTURE.md: there is no table below `{heading}`");
        let (_, behind) = map.split_once(&format!("\n{heading}\n")).ok_or_else(missing)?;
        let rows = behind.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let mut arrows = Vec::new();
        for row in rows.skip(2) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [of, uses, ..] = cells[..] else { return Err(format!("ARCHITECTURE.md: {row:?} is no row")) };
            let names = |text: &str| {
                let names = text.split([',', ' ']).map(|name| name.trim_matches('`')).filter(|name| !name.is_empty());
                names.filter(|name| *name != "-").map(str::to_owned).collect::<BTreeSet<_>>()
            };
            arrows.push(Row { names: names(of), uses: names(uses) });
        }
        if arrows.is_empty() { Err(missing()) } else { Ok(Arrows(arrows)) }
    }

    /// How far from the top one is drawn.
    fn floor(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|row| row.names.contains(name))
    }

    /// What differs between the table and what is `there`: of each `kind` what it uses.
    fn faults(&self, kind: &str, there: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, uses) in there {
            let Some(floor) = self.floor(name) else {
                faults.push(format!("ARCHITECTURE.md: the {kind} {name} is not among the arrows"));
                continue;
            };
            let row = &self.0[floor];
            for used in uses.difference(&row.names) {
                if !row.uses.contains(used) {
                    faults.push(format!("the {kind} {name} uses {used}, which is not drawn in ARCHITECTURE.md"));
                }
                if self.floor(used).is_some_and(|below| below <= floor) {
                    faults.push(format!("ARCHITECTURE.md: {name} -> {used} does not point down"));
                }
            }
        }
        for row in &self.0 {
            let names = row.names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            for name in row.names.iter().filter(|name| !there.contains_key(*name)) {
                faults.push(format!("ARCHITECTURE.md: there is no {kind} {name}"));
            }
            let is_used =
                |drawn: &String| row.names.iter().filter_map(|name| there.get(name)).any(|of| of.contains(drawn));
            for drawn in row.uses.iter().filter(|drawn| !is_used(drawn)) {
                faults.push(format!("ARCHITECTURE.md: {names} -> {drawn} is drawn and not there"));
            }
        }
        faults
    }
}

/// What each module of a crate uses of the others, not counting what only its tests use. `folder`: the crate's sources.
fn modules(folder: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let mut texts = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).map_err(|e| format!("{}: {e}", at.display()))?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
                texts.push((name, read(&path)?));
            }
        }
    }
    Ok(uses_of_modules(&texts))
}

/// The same, of the files of a crate: their paths below its sources, and their texts.
fn uses_of_modules(texts: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    const OF_TESTS: &str = "#[cfg(test)]\nmod ";
    let root = texts.iter().find(|(name, _)| name == "lib.rs").map_or("", |(_, text)| text);
    let shown = shown_names(root);
    let of_tests: BTreeSet<String> = texts
        .iter()
        .flat_map(|(name, text)| {
            let folder = ["lib.rs", "mod.rs"].iter().find_map(|end| name.strip_suffix(end));
            let folder = folder.map_or_else(|| format!("{}/", name.trim_end_matches(".rs")), str::to_owned);
            let named = text.split(OF_TESTS).skip(1).filter_map(|rest| rest.split_once(';').map(|(name, _)| name));
            named.filter(|name| !name.contains(' ')).map(|name| format!("{folder}{name}")).collect::<Vec<_>>()
        })
        .collect();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, text) in texts.iter().filter(|(name, _)| name != "lib.rs") {
        let is_of_tests = |module: &String| {
            name.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        let module = name.split(['/', '.']).next().unwrap_or_default().to_owned();
        let uses = found.entry(module.clone()).or_default();
        if of_tests.iter().any(is_of_tests) {
            continue;
        }
        let shipped = text.split(&format!("{OF_TESTS}tests {{")).next().unwrap_or_default();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code = shipped.lines().filter(is_code).collect::<Vec<_>>().join("\n");
        for behind in code.split("crate::").skip(1) {
            let named = behind.strip_prefix('{').and_then(|list| list.split_once('}')).map_or(behind, |(list, _)| list);
            let is_list = named.len() < behind.len();
            for used in named.split(',').take(if is_list { usize::MAX } else { 1 }).map(first_word) {
                let used = shown.get(used).map_or(used, String::as_str);
                if !used.is_empty() && used != module {
                    uses.insert(used.to_owned());
                }
            }
        }
    }
    found
}

/// The names that the root of a crate gives to what its modules have, each with the module.
fn shown_names(root: &str) -> BTreeMap<String, String> {
    let root = root.lines().filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join("\n");
    let statements = root.split(';').filter_map(|text| text.split_once(" use ").map(|(_, path)| path));
    statements
        .flat_map(|path| {
            let module = first_word(path).to_owned();
            let last = path.rsplit_once("::").map_or(path, |(_, last)| last);
            let names = last.trim_matches(['{', '}']).split(',');
            let name = |text: &str| first_word(text.rsplit_once(" as ").map_or(text, |(_, name)| name)).to_owned();
            names.map(|text| (name(text), module.clone())).collect::<Vec<_>>()
        })
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// What each crate below `crates` uses of the others, not counting what only its tests use.
fn manifests(root: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let mut found = BTreeMap::new();
    let folder = root.join("crates");
    for entry in std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?.flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path().join("Cargo.toml")) else { continue };
        found.insert(entry.file_name().to_string_lossy().into_owned(), used(&text));
    }
    Ok(found)
}

fn used(manifest: &str) -> BTreeSet<String> {
    let dependencies = manifest.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap_or_default();
    let names = dependencies.lines().filter_map(|line| line.strip_prefix("tailrace-"));
    names.filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned).collect()
}

/// What is wrong with the tours: lists below `## Tours` whose steps name `path` and `function`.
///
/// A step is below the one before it, or in the same crate, or says `door` and its file implements the trait named there. It is
/// called in the file of the step before it, or of the one that it says it is `called by`, or says that a `queue` lies between.
fn tour_faults(map: &str, arrows: &Arrows, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let Some((_, tours)) = map.split_once("\n## Tours\n") else {
        return vec!["ARCHITECTURE.md: there is no section `## Tours`".to_owned()];
    };
    let tours = tours.split("\n## ").next().unwrap_or_default();
    let mut faults = Vec::new();
    for name in TOURS {
        let steps = tours.split_once(&format!("### {name}\n")).and_then(|(_, steps)| steps.split("\n### ").next());
        let is_step = |line: &str| line.starts_with(|c: char| c.is_ascii_digit());
        if !steps.is_some_and(|steps| steps.lines().any(is_step)) {
            faults.push(format!("ARCHITECTURE.md: the tour {name:?} has no steps"));
        }
    }
    let (mut tour, mut floor) = (String::new(), 0);
    let mut before: Vec<(String, String)> = Vec::new();
    for line in tours.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            (tour, floor) = (name.to_owned(), 0);
            before.clear();
        }
        if !line.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let quoted: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let Some((file, function)) = quoted.first().zip(quoted.get(1)) else {
            faults.push(format!("{tour}: a step names a `file` and a `function`: {line}"));
            continue;
        };
        let Some(text) = read(file) else {
            faults.push(format!("{tour}: there is no {file}"));
            continue;
        };
        let name = function.rsplit("::").next().unwrap_or(function);
        let defined = [format!("fn {name}("), format!("fn {name}<")].iter().any(|head| text.contains(head));
        if !defined {
            faults.push(format!("{tour}: {file} has no function {name}"));
        }
        let named = line.split_once("called by step ").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit));
        let caller = match named {
            Some(number) => number.collect::<String>().parse::<usize>().unwrap_or_default().checked_sub(1),
            None => before.len().checked_sub(1),
        };
        if let Some((caller, text)) = caller.and_then(|caller| before.get(caller))
            && !line.contains("queue")
            && !is_called(text, name)
        {
            faults.push(format!("{tour}: {caller} does not call {name}"));
        }
        before.push(((*file).to_owned(), text.clone()));
        let here = file.split('/').nth(1).and_then(|name| arrows.floor(name));
        let Some(here) = here else {
            faults.push(format!("{tour}: {file} is in no crate that is drawn"));
            continue;
        };
        let door = line.split_once("door `").and_then(|(_, rest)| rest.split('`').next());
        match door {
            Some(door) if !text.contains(&format!("{door} for ")) => {
                faults.push(format!("{tour}: {file} does not implement {door}"));
            }
            None if here < floor => faults.push(format!("{tour}: {file} {name} goes back up")),
            _ => {}
        }
        floor = here;
    }
    faults
}

/// Whether a source has a call of a function of this name.
fn is_called(source: &str, name: &str) -> bool {
    let call = format!("{name}(");
    source.match_indices(&call).any(|(at, _)| {
        let before = &source[..at];
        !before.ends_with("fn ") && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_as_it_is_drawn() {
        assert_eq!(check(&crate::steps::root()), Ok(()));
    }

    fn specification() -> Specification {
        let text = "# S\n## 1. Wire\n### 1.1 Order\n## 2. More\n## 3. Last\n";
        Specification(BTreeMap::from([("streams.md".to_owned(), sections(text))]))
    }

    #[test]
    fn a_citation_names_a_file_and_sections_that_are_there() {
        let cases = [
            ("SPEC/streams.md 1.1, 2 and 3.", ""),
            ("SPEC/streams.md 1-3: what", ""),
            ("//! SPEC/streams.md\n//! 1.1", ""),
            ("SPEC/streams.md 1, rows 7-9", ""),
            ("SPEC/streams.md, the table", ""),
            ("SPEC/streams.md 1, 4", "SPEC/streams.md 4: there is no such section"),
            ("SPEC/streams.md 2-5", "SPEC/streams.md 5: there is no such section"),
            ("SPEC/streams.md 2.1", "SPEC/streams.md 2.1: there is no such section"),
            ("SPEC/sinks.md 1", "SPEC/sinks.md: there is no such file"),
            ("and streams.md 9", "streams.md 9: there is no such section"),
            ("OLD/streams.md 1", "OLD/streams.md: the specification is in docs/spec"),
            ("README.md 9", ""),
        ];
        // The folder by another name, so that this file itself cites nothing.
        let named = |text: &str| text.replace("SPEC", "docs/spec").replace("OLD", "spec");
        for (text, fault) in cases {
            let (text, fault) = (&*named(text), named(fault));
            assert!(specification().faults(text).contains(&fault) || fault.is_empty(), "{text}");
            assert_eq!(specification().faults(text).is_empty(), fault.is_empty(), "{text}");
        }
    }

    #[test]
    fn only_the_door_behind_the_wire_calls_with_json() {
        let call = "    ops::execute(db, body).await";
        let faulty = |name: &str, text: &str| shipped(name, text).is_some_and(|code| json_inside(name, code).is_some());
        assert!(faulty("crates/sinks/src/views/table.rs", call));
        assert!(faulty("crates/cli/src/a.rs", "use tailrace_engine::ops::execute;"));
        for name in ["crates/server/src/api.rs", "crates/server/src/apply/tests.rs", "crates/server/tests/formats.rs"] {
            assert!(!faulty(name, call), "{name}");
        }
        assert!(!faulty("crates/engine/src/lib.rs", "//! [`ops::execute`] is for the wire"));
        assert!(!faulty("crates/cli/src/a.rs", &format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{call}\n}}")));
    }

    #[test]
    fn a_document_that_is_named_is_there() {
        let is_there = |document: &str| document.strip_prefix("docs") == Some("/a/one.md");
        // The folder by another name, so that this file itself names nothing.
        let missing = |text: &str| missing_documents(&text.replace("DOCS", "docs"), &is_there);
        assert_eq!(missing("see DOCS/a/one.md, other/DOCS/a/two.md, DOCS/spec/x.md and two.md"), Vec::<String>::new());
        assert_eq!(missing("[two](DOCS/a/two.md)").len(), 1);
    }

    const MAP: &str = "# A\n## Arrows\n\n| crate | uses |\n| --- | --- |\n| `top` | `low`, `ground` |\n| `low` | `ground` |\n\
                       | `ground` | - |\n\n## Tours\n\n";
    /// Steps that are right, for the tours that a test does not look at.
    const OTHERS: &str =
        "### A record's way\n\n1. `crates/low/b.rs` `step`\n\n### A template's way\n\n1. `crates/low/b.rs` `step`\n\n";

    #[test]
    fn the_arrows_are_those_of_the_manifests_and_point_down() {
        let arrows = Arrows::read(MAP, CRATES).unwrap();
        let manifests = |low: &str| {
            BTreeMap::from([
                ("top".to_owned(), used("\n[dependencies]\ntailrace-low.workspace = true\ntailrace-ground = {}\n")),
                ("low".to_owned(), used(low)),
                ("ground".to_owned(), BTreeSet::new()),
            ])
        };
        let ground =
            "\n[dependencies]\ntailrace-ground.workspace = true\n[dev-dependencies]\ntailrace-top.workspace = true\n";
        assert_eq!(arrows.faults("crate", &manifests(ground)), Vec::<String>::new());
        assert_eq!(arrows.faults("crate", &manifests("")), ["ARCHITECTURE.md: low -> ground is drawn and not there"]);
        let up = arrows.faults("crate", &manifests("\n[dependencies]\ntailrace-ground = {}\ntailrace-top = {}\n"));
        assert_eq!(up.len(), 2, "{up:?}");
    }

    #[test]
    fn the_modules_of_a_crate_use_what_is_drawn() {
        let files = |texts: &[(&str, &str)]| -> Vec<(String, String)> {
            texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let root =
            "//! They use this.\nmod low;\npub use low::part::{One, Two as Other};\npub(crate) use low::part as bit;\n";
        let top = "//! [`crate::beside`]\nuse crate::bit::x;\nuse crate::{Other, ground};\n#[cfg(test)]\nmod weather;\n\
                   #[cfg(test)]\nmod tests {\n    use crate::beside;\n}\n";
        let found = uses_of_modules(&files(&[
            ("lib.rs", root),
            ("top/mod.rs", top),
            ("top/weather.rs", "use crate::beside::rain;\n"),
            ("low/part.rs", "fn a() { crate::top::b(crate::low::c()); }\n"),
            ("ground.rs", ""),
        ]));
        let names = |of: &str| found[of].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!((names("top"), names("low"), names("ground")), (vec!["ground", "low"], vec!["top"], vec![]));
        let map =
            |rows: &str| format!("\n{MODULES_OF_ENGINE}\n\n| module | uses |\n| --- | --- |\n{rows}| `ground` | - |\n");
        let faults = |rows: &str| Arrows::read(&map(rows), MODULES_OF_ENGINE).unwrap().faults("module", &found);
        assert_eq!(faults("| `top`, `low` | `ground` |\n"), Vec::<String>::new());
        let up = "ARCHITECTURE.md: low -> top does not point down";
        assert_eq!(faults("| `top` | `low`, `ground` |\n| `low` | `top` |\n"), [up]);
    }

    #[test]
    fn a_tour_names_functions_that_are_there_and_goes_down_or_through_a_door() {
        let arrows = Arrows::read(MAP, CRATES).unwrap();
        let read = |file: &str| match file {
            "crates/top/a.rs" => Some("impl Door for A { fn enter(&self) { b::step(); } }".to_owned()),
            "crates/low/b.rs" => Some("pub async fn step<T>() { door.enter(); }".to_owned()),
            "crates/low/c.rs" => Some("fn idle() { a_step(); } fn step() {}".to_owned()),
            _ => None,
        };
        let tour = |steps: &str| format!("{MAP}{OTHERS}### A write's way\n\n{steps}\n## Next\n");
        let faults = |steps: &str| tour_faults(&tour(steps), &arrows, &read);
        let (top, low) = ("1. `crates/top/a.rs` `A::enter`\n", "2. `crates/low/b.rs` `step`\n");
        assert_eq!(faults(&format!("{top}{low}")), Vec::<String>::new());
        assert_eq!(faults(&format!("{low}{top}")), ["A write's way: crates/top/a.rs enter goes back up"]);
        let door = "3. `crates/top/a.rs` `enter`, through the door `Door`\n";
        assert_eq!(faults(&format!("{low}{door}")), Vec::<String>::new());
        assert_eq!(faults("1. `crates/top/a.rs` `leave`\n"), ["A write's way: crates/top/a.rs has no function leave"]);
        let (idle, step) = ("2. `crates/low/c.rs` `idle`, behind a queue\n", "3. `crates/low/b.rs` `step`");
        assert_eq!(faults(&format!("{top}{idle}{step}\n")), ["A write's way: crates/low/c.rs does not call step"]);
        assert_eq!(faults(&format!("{top}{idle}{step}, called by step 1\n")), Vec::<String>::new());
        assert_eq!(faults(""), ["ARCHITECTURE.md: the tour \"A write's way\" has no steps"]);
        assert_eq!(faults("1. `crates/top/c.rs` `a`\n"), ["A write's way: there is no crates/top/c.rs"]);
    }
}
