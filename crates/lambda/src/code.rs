//! Whether a function's code has changed: a stamp of the source files in its directory.
//!
//! Only files that are code count, so that a function which writes data beside its handler, and a data directory that
//! lies there, do not look like a change. The walk is bounded: of a large tree the upper levels count, as far as they are
//! within the bound as a whole, so that what comes and goes below does not move the bound.

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use tailrace_core::limits::FUNCTION_CODE_ENTRIES_MAX;

/// The endings of files that are code; `bootstrap` is, too.
const ENDINGS: [&str; 9] = ["py", "so", "js", "mjs", "cjs", "ts", "mts", "cts", "sh"];

/// Directories of what is made from code, beside those whose names begin with a dot.
const PASSED_OVER: [&str; 2] = ["__pycache__", "node_modules"];

/// Equal stamps: no source file came, went or was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeStamp(u64);

impl CodeStamp {
    /// Looks at the directory; what lies in or around `state_dir` is ours and passed over. A directory that is not there
    /// is like an empty one. It reads the disk: call it where blocking is no matter.
    pub(crate) fn of(code_dir: &Path, state_dir: &Path) -> CodeStamp {
        let root = code_dir.canonicalize().unwrap_or_else(|_| code_dir.to_owned());
        let mut stamp = 0_u64;
        let mut entries_left = FUNCTION_CODE_ENTRIES_MAX;
        let mut level = vec![root];
        while !level.is_empty() {
            let mut below = Vec::new();
            let mut of_level = 0_u64;
            for entry in level.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten() {
                if entries_left == 0 {
                    return CodeStamp(stamp);
                }
                entries_left -= 1;
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    if !is_passed_over(&path, state_dir) {
                        below.push(path);
                    }
                } else if is_code(&path) {
                    // A sum: the order of a directory's entries does not matter.
                    of_level = of_level.wrapping_add(of_file(&path));
                }
            }
            stamp = stamp.wrapping_add(of_level);
            level = below;
        }
        CodeStamp(stamp)
    }
}

fn is_passed_over(directory: &Path, state_dir: &Path) -> bool {
    let name = directory.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.starts_with('.') || PASSED_OVER.contains(&name) || state_dir.starts_with(directory)
}

fn is_code(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| ENDINGS.contains(&ending)) || path.file_name() == Some(OsStr::new("bootstrap"))
}

fn of_file(path: &PathBuf) -> u64 {
    // Through a link: what is run is what it points to.
    let Ok(metadata) = fs::metadata(path) else { return 0 };
    let mut hasher = DefaultHasher::new();
    (path, metadata.len(), metadata.modified().ok()).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_files_count_and_data_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let state_dir = root.join("data/functions");
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("app.py", "1");
        write("package/part.py", "1");
        let mut stamp = CodeStamp::of(&root, &state_dir);
        for (name, counts) in [
            ("app.py", true),
            ("package/part.py", true),
            ("new.py", true),
            ("bootstrap", true),
            ("seen.txt", false),
            ("package/__pycache__/part.py", false),
            (".git/hook.py", false),
            ("data/functions/tmp/x.py", false),
        ] {
            write(name, "longer");
            let now = CodeStamp::of(&root, &state_dir);
            assert_eq!(now != stamp, counts, "{name}");
            stamp = now;
        }
        fs::remove_file(root.join("new.py")).unwrap();
        assert_ne!(CodeStamp::of(&root, &state_dir), stamp, "a file that goes is a change");
        assert_eq!(CodeStamp::of(&root.join("nothing"), &state_dir), CodeStamp::default());
    }

    #[test]
    fn of_a_large_tree_the_upper_levels_count() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("vendored");
        fs::create_dir(&below).unwrap();
        fs::write(dir.path().join("app.py"), "1").unwrap();
        for n in 0..FUNCTION_CODE_ENTRIES_MAX {
            fs::write(below.join(format!("{n}.py")), "").unwrap();
        }
        let stamp = CodeStamp::of(dir.path(), Path::new("/state"));
        fs::write(below.join("new.py"), "").unwrap();
        assert_eq!(CodeStamp::of(dir.path(), Path::new("/state")), stamp);
        fs::write(dir.path().join("app.py"), "longer").unwrap();
        assert_ne!(CodeStamp::of(dir.path(), Path::new("/state")), stamp);
    }
}
