//! `tailrace audit` over the published trail: docs/spec/sinks.md 7, docs/sinks.md.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::run;

const TRAIL: &str = include_str!("../../sinks/src/audit/tests/trail.jsonl");

/// The published trail, in the folder that its first line names; the file.
fn trail(dir: &Path) -> PathBuf {
    let head: serde_json::Value = serde_json::from_str(TRAIL.lines().next().unwrap()).unwrap();
    let folder = dir.join(head["chain"].as_str().unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("0000000000000000.jsonl");
    std::fs::write(&file, TRAIL).unwrap();
    file
}

/// The public key of the trail: that of the seed of 32 ones.
fn public_key(dir: &Path) -> String {
    let seed = [1; tailrace_sinks::audit::sign::KEY_BYTES];
    let file = dir.join("trail.key.pub");
    std::fs::write(&file, tailrace_sinks::audit::sign::Signer::of_seed(&seed).public_pem()).unwrap();
    file.display().to_string()
}

#[test]
fn a_sound_trail_verifies_and_a_changed_one_names_the_entry() {
    let (place, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = trail(place.path());
    let (dir, key) = (place.path().display().to_string(), public_key(keys.path()));
    let sound = run(&["audit", "verify", &dir, "--public-key", &key]);
    assert_eq!(sound.code, 0, "{}", sound.stderr);
    assert!(sound.stdout.contains(": 3 entries in 2 segments, signed to its end\n"), "{}", sound.stdout);
    assert!(sound.stderr.ends_with(": no fault found in 3 entries of 1 chain\n"), "{}", sound.stderr);
    assert!(sound.stderr.contains(": it has no control chain: nothing names its chains"), "{}", sound.stderr);
    let unsigned = run(&["audit", "verify", &dir, "--output", "json"]);
    let chain: serde_json::Value = serde_json::from_str(&unsigned.stdout).unwrap();
    assert_eq!((unsigned.code, &chain["chain"]["next_entry"]), (0, &serde_json::json!(3)));
    assert!(unsigned.stderr.contains("signatures were not looked at"), "{}", unsigned.stderr);

    std::fs::write(&file, TRAIL.replacen("UpdateItem", "UpdateItfm", 1)).unwrap();
    let changed = run(&["audit", "verify", &dir, "--public-key", &key]);
    assert_eq!(changed.code, 1, "{}", changed.stderr);
    assert!(changed.stdout.contains(": entry 1: its hash is not that of its content"), "{}", changed.stdout);
    assert!(changed.stdout.ends_with("(0000000000000000.jsonl, line 3)\n"), "{}", changed.stdout);
    assert!(changed.stderr.ends_with(": 1 fault found [TR0022]\n"), "{}", changed.stderr);

    let other = keys.path().join("other");
    assert_eq!(run(&["audit", "keygen", &other.display().to_string()]).code, 0);
    std::fs::write(&file, TRAIL).unwrap();
    let foreign = run(&["audit", "verify", &dir, "--public-key", &format!("{}.pub", other.display())]);
    assert!(foreign.code == 1 && foreign.stdout.contains("which is not known"), "{}", foreign.stdout);
    for nothing in [keys.path().display().to_string(), "/nowhere".to_owned()] {
        let ended = run(&["audit", "verify", &nothing]);
        assert!(ended.code == 1 && ended.stderr.ends_with("[TR0002]\n"), "{nothing}: {}", ended.stderr);
    }
}

/// The report of an earlier run, kept elsewhere, shows that the end of a trail is missing.
#[test]
fn a_trail_is_held_against_the_heads_that_it_had() {
    let (place, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = trail(place.path());
    let dir = place.path().display().to_string();
    let known = kept.path().join("heads.jsonl");
    std::fs::write(&known, run(&["audit", "verify", &dir, "--output", "json"]).stdout).unwrap();
    let verify = || run(&["audit", "verify", &dir, "--known", &known.display().to_string()]);
    assert_eq!(verify().code, 0);
    let first: String = TRAIL.split_inclusive('\n').take(4).collect();
    std::fs::write(&file, first).unwrap();
    assert_eq!(run(&["audit", "verify", &dir]).code, 0, "its hashes are right");
    let cut = verify();
    assert!(cut.code == 1 && cut.stdout.contains("entry 2: it is missing: the chain had 3 entries"), "{}", cut.stdout);
    std::fs::write(&known, "{}\n").unwrap();
    assert!(verify().stderr.contains("it tells of no chain"));
}

#[test]
fn entries_are_shown_all_or_those_of_an_item() {
    let place = tempfile::tempdir().unwrap();
    trail(place.path());
    let dir = place.path().display().to_string();
    let all = run(&["audit", "show", &dir]);
    assert_eq!((all.code, all.stdout.lines().count()), (0, 3), "{}", all.stderr);
    let last = all.stdout.lines().next_back().unwrap();
    assert!(
        last.starts_with("2 2023-11-14T22:13:20.") && last.ends_with("by AKIDEXAMPLE DeleteItem REQUEST3"),
        "{last}"
    );
    let raw = run(&["audit", "show", &dir, "--table", "Orders", "--output", "json"]);
    let entries: Vec<&str> = TRAIL.lines().filter(|line| line.contains("\"lsn\"")).collect();
    assert_eq!(raw.stdout.lines().collect::<Vec<_>>(), entries);
    let key: serde_json::Value = serde_json::from_str(entries[0]).unwrap();
    let key = key["keys"]["pk"]["S"].as_str().unwrap();
    assert_eq!(run(&["audit", "show", &dir, key]).stdout.lines().count(), 3);
    for (asked, said) in [
        (&["nobody"][..], "has no entry with the key nobody"),
        (&["nobody", "--table", "Orders"], "has no entry of Orders with the key nobody"),
        (&["--table", "Users"], "has no table Users [TR0019]"),
        (&["--table", "Order"], "has no table Order; did you mean Orders? [TR0019]"),
        (&[key, "--table", "Order"], "has no table Order; did you mean Orders?"),
    ] {
        let ended = run(&[&["audit", "show", &dir], asked].concat());
        assert_eq!((ended.code, &*ended.stdout), (1, ""), "{asked:?}");
        assert!(ended.stderr.contains(said), "{asked:?}: {}", ended.stderr);
    }
}

#[test]
fn the_directory_above_a_trail_is_told_from_one_that_was_changed() {
    let parent = tempfile::tempdir().unwrap();
    trail(&parent.path().join("trail"));
    let (dir, below) = (parent.path().display().to_string(), parent.path().join("trail").display().to_string());
    for command in ["verify", "show"] {
        let ended = run(&["audit", command, &dir]);
        assert_eq!((ended.code, &*ended.stdout), (1, ""), "{command}");
        assert!(ended.stderr.contains(&format!("{dir} is no trail; {below} is one")), "{command}: {}", ended.stderr);
    }
    trail(&parent.path().join("another"));
    let ended = run(&["audit", "verify", &dir]);
    assert!(ended.stderr.contains(&format!("is no trail; {dir}/another, {below} are some")), "{}", ended.stderr);
    assert_eq!(run(&["audit", "verify", &below]).code, 0);
}

#[test]
fn a_key_is_its_owners_alone_and_is_never_written_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.key");
    let name = file.display().to_string();
    assert_eq!(run(&["audit", "keygen", &name]).code, 0);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    assert_eq!(run(&["audit", "keygen", &name]).code, 1);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let public = std::fs::read_to_string(dir.path().join("audit.key.pub")).unwrap();
    let signer = tailrace_sinks::audit::sign::Signer::read(&file).unwrap();
    assert_eq!(signer.public_pem(), public);
}

/// The verifier that docs/sinks.md publishes reads the trail as ours does.
#[test]
fn the_published_verifier_agrees() {
    let page = include_str!("../../../docs/sinks.md");
    let (_, audit) = page.split_once("\n## Audit\n").unwrap();
    let (_, program) = audit.split_once("```python\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = trail(place.path());
    let verify = || Command::new("python3").arg("-c").arg(program).arg(&file).output().unwrap();
    let sound = verify();
    let text = String::from_utf8(sound.stdout).unwrap();
    assert!(
        sound.status.success() && text.starts_with("3 entries "),
        "{text}{}",
        String::from_utf8_lossy(&sound.stderr)
    );
    std::fs::write(&file, TRAIL.replacen("UpdateItem", "UpdateItfm", 1)).unwrap();
    let changed = verify();
    assert!(String::from_utf8(changed.stderr).unwrap().contains("entry 1 was changed"));
}
