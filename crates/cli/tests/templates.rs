//! Templates in many shapes: each directory of `tests/templates` is started as its user would start it, and its functions run.
//!
//! In a directory: a template, its code, `writes.ndjson`, and `expect.txt`, whose lines the output has. If they are there:
//! `args.txt` holds further arguments, one a line, and `told.txt` texts that stderr has. What a line of output has in front
//! of what the handler printed does not matter, nor does the order.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::{Path, PathBuf};

use support::{Ended, run};

/// Directories that run at the same time.
const AT_ONCE: usize = 4;

#[test]
fn every_template_starts_and_its_functions_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/templates");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.is_dir());
    // To work on one: `CASE=name cargo test --test templates`.
    if let Ok(name) = std::env::var("CASE") {
        cases.retain(|case| case.file_name().is_some_and(|file| *file == *name));
    }
    cases.sort();
    assert!(!cases.is_empty(), "no case");
    let faults: Vec<String> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..AT_ONCE)
            .map(|lane| {
                let cases = &cases;
                scope.spawn(move || {
                    let own = cases.iter().skip(lane).step_by(AT_ONCE);
                    own.filter_map(|case| check(case)).collect::<Vec<String>>()
                })
            })
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What is wrong with what a directory does; `None`: nothing.
fn check(case: &Path) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    copy(case, dir.path());
    let (project, data) = (dir.path().to_string_lossy(), dir.path().join(".tailrace"));
    let lines = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(case.join(name)).unwrap_or_default();
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.replace("$DIR", &project)).collect()
    };
    let (given, data) = (lines("args.txt"), data.to_string_lossy());
    let mut arguments = vec!["up", &project, "--port", "0", "--exit-when-drained", "--data-dir", &data];
    arguments.extend(given.iter().map(String::as_str));
    let Ended { code, stdout, stderr } = run(&arguments);
    let expected = lines("expect.txt");
    let printed = expected.iter().filter(|line| !stdout.lines().any(|had| had.ends_with(line.as_str())));
    let told = lines("told.txt");
    let told = told.iter().filter(|text| !stderr.contains(text.as_str()));
    let missing: Vec<&String> = printed.chain(told).collect();
    if code == 0 && missing.is_empty() && !expected.is_empty() {
        return None;
    }
    let name = case.file_name().unwrap().to_string_lossy();
    Some(format!("== {name}: code {code}, missing {missing:?}\n{stdout}-- stderr\n{stderr}"))
}

/// A copy, so that what handlers and interpreters write does not stay.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
