//! Whether a function's code has changed: a stamp of the source files in its directory and in those of its layers.
//!
//! Files that are not code, but such as people write by hand, are noted apart, for [`crate::look`]: a function may write data
//! beside its handler, and a data directory may lie there. The walks are bounded, that of the directory and that of the layers
//! each for itself: of a large tree the upper levels count, as far as they are within the bound as a whole, so that what comes
//! and goes below does not move the bound.

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tailrace_core::EpochMs;
use tailrace_core::function::FunctionConfig;
use tailrace_core::limits::FUNCTION_CODE_ENTRIES_MAX;

/// The endings of files that are code.
const ENDINGS: [&str; 13] = ["py", "so", "js", "mjs", "cjs", "ts", "mts", "cts", "node", "wasm", "class", "jar", "sh"];

/// Files of other names that are: what runs, and what says which of the modules beside it are ES modules.
const NAMES: [&str; 2] = ["bootstrap", "package.json"];

/// The endings of files that a function reads, and that people change by hand.
const DATA_ENDINGS: [&str; 22] = [
    "cfg",
    "conf",
    "crt",
    "csv",
    "graphql",
    "html",
    "ini",
    "j2",
    "jinja",
    "json",
    "pem",
    "properties",
    "proto",
    "sql",
    "tmpl",
    "toml",
    "tpl",
    "tsv",
    "txt",
    "xml",
    "yaml",
    "yml",
];

/// Files of such endings that have a watcher of their own.
const WATCHED: [&str; 6] =
    ["template.yaml", "template.yml", "template.json", "tailrace.yaml", "tailrace.yml", "tailrace.json"];

/// Directories of what is made from code, beside those whose names begin with a dot.
const PASSED_OVER: [&str; 3] = ["__pycache__", "target", "venv"];

/// What a package manager installs. In a layer it is the code itself.
const NODE_MODULES: &str = "node_modules";

/// What package managers write into it when they have installed something: functions keep caches beside them, which are no change.
const INSTALLED: [&str; 4] = [".package-lock.json", ".yarn-integrity", ".yarn-state.yml", ".modules.yaml"];

/// Equal stamps: no source file came, went or was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeStamp {
    pub(crate) facts: CodeFacts,
    /// There is more in the directory than was looked at.
    pub(crate) is_cut: bool,
    /// There is more in the layers.
    pub(crate) are_layers_cut: bool,
}

/// A file that is not code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataFile {
    /// When it was written.
    pub(crate) written_ms: EpochMs,
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl DataFile {
    /// Its name, for people.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// What is known of a function's code: of its source files together, as far as they were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeFacts {
    /// Of their paths, sizes and times.
    pub digest: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When one of them was last written; the epoch if there is none.
    pub written_ms: EpochMs,
}

impl CodeFacts {
    /// Of both. The order does not matter.
    fn and(self, other: CodeFacts) -> CodeFacts {
        CodeFacts {
            digest: self.digest.wrapping_add(other.digest),
            bytes: self.bytes + other.bytes,
            written_ms: self.written_ms.max(other.written_ms),
        }
    }
}

impl CodeStamp {
    /// Looks at the code of a function, and at the data files beside it.
    pub(crate) fn of_function(config: &FunctionConfig, state_dir: &Path) -> (CodeStamp, Vec<DataFile>) {
        let mut data = Vec::new();
        let layers = config.layers.iter().map(PathBuf::as_path);
        let (own, is_cut) = walk([config.code_dir.as_path()], state_dir, Installed::PassedOver, &mut data);
        let (layers, are_layers_cut) = walk(layers, state_dir, Installed::Code, &mut data);
        (CodeStamp { facts: own.and(layers), is_cut, are_layers_cut }, data)
    }
}

/// What the packages are that a package manager has put into a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Installed {
    /// Too many, and of others: that an installation ended is what counts.
    PassedOver,
    /// What the directory is for.
    Code,
}

/// Looks at the directories, and notes the data files; what lies in or around `state_dir` is ours and passed over. A directory
/// that is not there is like an empty one. True: there is more. It reads the disk: call it where blocking is no matter.
fn walk<'a>(
    dirs: impl IntoIterator<Item = &'a Path>,
    state_dir: &Path,
    installed: Installed,
    data: &mut Vec<DataFile>,
) -> (CodeFacts, bool) {
    let mut facts = CodeFacts::default();
    let mut entries_left = FUNCTION_CODE_ENTRIES_MAX;
    let roots = dirs.into_iter().map(|dir| dir.canonicalize().unwrap_or_else(|_| dir.to_owned()));
    let mut level: Vec<PathBuf> = roots.collect();
    while !level.is_empty() {
        let mut below = Vec::new();
        let mut of_level = CodeFacts::default();
        for entry in level.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten() {
            if entries_left == 0 {
                return (facts, true);
            }
            entries_left -= 1;
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let holds_packages = path.file_name() == Some(OsStr::new(NODE_MODULES));
                if holds_packages {
                    // The retry that waits for a package is due when it is installed.
                    for installed in INSTALLED.map(|name| of_file(&path.join(name))) {
                        of_level.digest = of_level.digest.wrapping_add(installed.digest);
                    }
                }
                let is_looked_into = !holds_packages || installed == Installed::Code;
                if is_looked_into && !is_passed_over(&path, state_dir) {
                    below.push(path);
                }
            } else if is_code(&path) {
                of_level = of_level.and(of_file(&path));
            } else if is_data(&path) && !path.iter().any(|part| part == NODE_MODULES) {
                let CodeFacts { written_ms, .. } = of_file(&path);
                data.push(DataFile { written_ms, path });
            }
        }
        facts = facts.and(of_level);
        level = below;
    }
    (facts, false)
}

fn is_passed_over(directory: &Path, state_dir: &Path) -> bool {
    let name = directory.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.starts_with('.') || PASSED_OVER.contains(&name) || state_dir.starts_with(directory)
}

fn is_code(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| ENDINGS.contains(&ending))
        || path.file_name().and_then(OsStr::to_str).is_some_and(|name| NAMES.contains(&name))
}

fn is_data(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let ending = path.extension().and_then(OsStr::to_str);
    !name.starts_with('.') && !WATCHED.contains(&name) && ending.is_some_and(|ending| DATA_ENDINGS.contains(&ending))
}

fn of_file(path: &PathBuf) -> CodeFacts {
    // Through a link: what is run is what it points to.
    let Ok(metadata) = fs::metadata(path) else { return CodeFacts::default() };
    let written = metadata.modified().ok();
    let mut hasher = DefaultHasher::new();
    (path, metadata.len(), written).hash(&mut hasher);
    let written = written.and_then(|written| written.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let written_ms = EpochMs::ZERO.plus(written);
    CodeFacts { digest: hasher.finish(), bytes: metadata.len(), written_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a directory alone.
    fn stamp_of(dir: &Path, state_dir: &Path) -> CodeStamp {
        seen_of(dir, state_dir).0
    }

    fn seen_of(dir: &Path, state_dir: &Path) -> (CodeStamp, Vec<DataFile>) {
        let function = tailrace_core::FunctionArn::new("arn:f");
        CodeStamp::of_function(&FunctionConfig::new("f", function, "python3.13", "a.b", dir), state_dir)
    }

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
        let mut stamp = stamp_of(&root, &state_dir);
        for (name, counts) in [
            ("app.py", true),
            ("package/part.py", true),
            ("new.py", true),
            ("bootstrap", true),
            ("shop/Orders.class", true),
            ("lib/shop.jar", true),
            ("package.json", true),
            ("lib/native.node", true),
            ("lib/part.wasm", true),
            ("seen.txt", false),
            ("seen.json", false),
            ("node_modules/.cache/loader.json", false),
            ("node_modules/.package-lock.json", true),
            ("node_modules/left-pad/index.js", false),
            ("package/__pycache__/part.py", false),
            (".git/hook.py", false),
            ("data/functions/tmp/x.py", false),
        ] {
            write(name, "longer");
            let now = stamp_of(&root, &state_dir);
            assert_eq!(now != stamp, counts, "{name}");
            stamp = now;
        }
        fs::remove_file(root.join("new.py")).unwrap();
        assert_ne!(stamp_of(&root, &state_dir), stamp, "a file that goes is a change");
        assert_eq!(stamp_of(&root.join("nothing"), &state_dir), CodeStamp::default());
        let sources = [
            "app.py",
            "package/part.py",
            "bootstrap",
            "shop/Orders.class",
            "lib/shop.jar",
            "package.json",
            "lib/native.node",
            "lib/part.wasm",
        ]
        .map(|name| fs::metadata(root.join(name)).unwrap());
        assert_eq!(stamp_of(&root, &state_dir).facts.bytes, sources.iter().map(fs::Metadata::len).sum::<u64>());
    }

    #[test]
    fn data_files_are_noted_apart() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("texts")).unwrap();
        for name in ["settings.json", "texts/mail.txt", "template.yaml", ".env.json", "app.py", "out.log", "all.jsonl"]
        {
            fs::write(dir.path().join(name), "1").unwrap();
        }
        let (_, data) = seen_of(dir.path(), Path::new("/state"));
        let mut names: Vec<String> = data.iter().map(DataFile::name).collect();
        names.sort_unstable();
        assert_eq!(names, ["mail.txt", "settings.json"]);
        let written = fs::metadata(dir.path().join("settings.json")).unwrap().modified().unwrap();
        let written_ms = EpochMs::ZERO.plus(written.duration_since(UNIX_EPOCH).unwrap());
        assert!(data.iter().any(|file| file.name() == "settings.json" && file.written_ms == written_ms));
    }

    #[test]
    fn a_change_of_a_layer_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let layer = dir.path().join("layer");
        fs::create_dir_all(layer.join("python")).unwrap();
        let mut config =
            FunctionConfig::new("f", tailrace_core::FunctionArn::new("arn:f"), "python3.13", "a.b", "/code");
        config.layers.push(layer.clone());
        let stamp = CodeStamp::of_function(&config, Path::new("/state")).0;
        fs::write(layer.join("python/shared.py"), "1").unwrap();
        assert_ne!(CodeStamp::of_function(&config, Path::new("/state")).0, stamp);
    }

    /// AWS's layout: the packages are what the layer is.
    #[test]
    fn a_change_of_a_package_in_a_layer_is_a_change_whatever_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let (code, layer) = (dir.path().join("code"), dir.path().join("layer"));
        let packages = layer.join("nodejs/node_modules");
        fs::create_dir_all(packages.join("shared/lib")).unwrap();
        fs::create_dir_all(code.join("a/b/c/d/e")).unwrap();
        let mut config = FunctionConfig::new("f", tailrace_core::FunctionArn::new("arn:f"), "nodejs20.x", "a.b", &code);
        config.layers.push(layer);
        let stamp = || CodeStamp::of_function(&config, Path::new("/state")).0;
        let mut before = stamp();
        for path in ["shared/index.js", "shared/package.json", "shared/lib/part.js", "@scope/own.js"] {
            let path = packages.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "1").unwrap();
            let now = stamp();
            assert_ne!(now, before, "{}", path.display());
            before = now;
        }
        for n in 0..FUNCTION_CODE_ENTRIES_MAX {
            fs::write(packages.join(format!("shared/lib/{n}.js")), "").unwrap();
        }
        let large = stamp();
        assert!(large.are_layers_cut && !large.is_cut, "each is told for itself");
        fs::write(code.join("a/b/c/d/e/deep.js"), "1").unwrap();
        assert_ne!(stamp(), large, "a large layer hides nothing of the function");
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
        let stamp = stamp_of(dir.path(), Path::new("/state"));
        assert!(stamp.is_cut, "what is not looked at is known");
        fs::write(below.join("new.py"), "").unwrap();
        assert_eq!(stamp_of(dir.path(), Path::new("/state")), stamp);
        fs::write(dir.path().join("app.py"), "longer").unwrap();
        assert_ne!(stamp_of(dir.path(), Path::new("/state")), stamp);
    }
}
