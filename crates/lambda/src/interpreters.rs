//! The interpreters of this machine, each looked for once.
//!
//! A name in PATH may be a wrapper of a version manager, which works only with the variables of its user, or not at all. So
//! each candidate is asked, with this process's own environment, which program it is; functions are started with that.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tailrace_core::function::{FunctionConfig, java_major, node_major};

use crate::launch::{CHILD_PATH, is_executable};

/// The longest that an interpreter may take to say what it is.
const PROBE_MAX: Duration = Duration::from_secs(10);
/// The lowest major version of Node.js that our client runs on.
const NODE_MAJOR_MIN: u32 = 18;
/// The lowest version of Java that our client runs on.
const JAVA_MAJOR_MIN: u32 = 11;

/// Python's words for "which program are you".
const ASK_PYTHON: [&str; 2] = ["-c", "import sys; sys.stdout.write(sys.executable)"];
/// Node's, with its version behind the program.
const ASK_NODE: [&str; 2] = ["-e", r"process.stdout.write(process.execPath + '\n' + process.versions.node)"];
/// Java's: its properties are on stderr.
const ASK_JAVA: [&str; 2] = ["-XshowSettings:properties", "-version"];

/// What is known of this machine.
#[derive(Debug, Default)]
pub(crate) struct Interpreters {
    pythons: tokio::sync::Mutex<HashMap<PathBuf, Option<PathBuf>>>,
    nodes: tokio::sync::Mutex<HashMap<PathBuf, Vec<Node>>>,
    javas: tokio::sync::Mutex<HashMap<PathBuf, Vec<Java>>>,
}

/// Nothing here runs as the interpreter of a function: what the user is told.
#[derive(Debug)]
pub(crate) struct NoInterpreter(pub(crate) String);

/// An interpreter, and what is to be said of it: that it is not the one of the runtime.
type Found<T> = Result<(T, Option<String>), NoInterpreter>;

/// A Node.js that runs.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) program: PathBuf,
    pub(crate) version: NodeVersion,
}

/// A Java that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Java {
    pub(crate) program: PathBuf,
    /// 8, 11, 17, ...
    pub(crate) major: u32,
}

/// Major, minor and patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeVersion(u32, u32, u32);

impl NodeVersion {
    fn parse(text: &str) -> Option<NodeVersion> {
        // A version before a release has words behind the numbers.
        let numbers = text.trim().split(['-', '+']).next()?;
        let mut numbers = numbers.split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(NodeVersion(next()?, next()?, next()?))
    }

    /// It strips types with an option; later ones do so by themselves, earlier ones not at all.
    pub(crate) fn strips_types_when_told(self) -> bool {
        let told = [NodeVersion(22, 6, 0)..NodeVersion(22, 18, 0), NodeVersion(23, 0, 0)..NodeVersion(23, 6, 0)];
        told.iter().any(|range| range.contains(&self))
    }

    /// It knows `--disable-warning`.
    pub(crate) fn silences_single_warnings(self) -> bool {
        self >= NodeVersion(21, 3, 0) || (NodeVersion(20, 11, 0)..NodeVersion(21, 0, 0)).contains(&self)
    }
}

impl std::fmt::Display for NodeVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "v{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Interpreters {
    /// The Python interpreter that the settings name, or `python3.N` of the runtime, or `python3` with a remark.
    pub(crate) async fn python(&self, config: &FunctionConfig, set: Option<&Path>) -> Found<PathBuf> {
        if let Some(python) = set {
            let found = self.find_python(python).await;
            let text = || format!("{} does not run as a Python interpreter", python.display());
            return found.map(|found| (found, None)).ok_or_else(|| NoInterpreter(text()));
        }
        if let Some(found) = self.find_python(Path::new(&config.runtime)).await {
            return Ok((found, None));
        }
        match self.find_python(Path::new("python3")).await {
            Some(found) => {
                let text = format!("no {} in PATH; {} runs with {}", config.runtime, config.name, found.display());
                Ok((found, Some(text)))
            }
            None => Err(NoInterpreter(format!(
                "no Python interpreter for function {}: neither {} nor python3 in PATH runs",
                config.name, config.runtime
            ))),
        }
    }

    async fn find_python(&self, name: &Path) -> Option<PathBuf> {
        let mut pythons = self.pythons.lock().await;
        if let Some(known) = pythons.get(name) {
            return known.clone();
        }
        let mut found = None;
        for candidate in candidates(name) {
            found = ask(&candidate, ASK_PYTHON).await.and_then(|answer| program(&answer.stdout));
            if found.is_some() {
                break;
            }
        }
        pythons.insert(name.to_owned(), found.clone());
        found
    }

    /// The Node.js that the settings name; or of those in PATH the one of the runtime's major version, else the first, with a
    /// remark.
    pub(crate) async fn node(&self, config: &FunctionConfig, set: Option<&Path>) -> Found<Node> {
        let found = self.find_nodes(set.unwrap_or(Path::new("node"))).await;
        let wanted = node_major(&config.runtime);
        if let Some(node) = found.iter().find(|node| Some(node.version.0) == wanted) {
            return Ok((node.clone(), None));
        }
        match found.first() {
            Some(node) => {
                let text = format!(
                    "no Node.js of {} in PATH; {} runs with {} ({})",
                    config.runtime,
                    config.name,
                    node.program.display(),
                    node.version
                );
                Ok((node.clone(), set.is_none().then_some(text)))
            }
            None => Err(NoInterpreter(match set {
                Some(set) => format!("{} does not run as Node.js {NODE_MAJOR_MIN} or later", set.display()),
                None => {
                    format!(
                        "no Node.js for function {}: no node of version {NODE_MAJOR_MIN} or later in PATH runs",
                        config.name
                    )
                }
            })),
        }
    }

    async fn find_nodes(&self, name: &Path) -> Vec<Node> {
        let mut nodes = self.nodes.lock().await;
        if let Some(known) = nodes.get(name) {
            return known.clone();
        }
        let mut found: Vec<Node> = Vec::new();
        for candidate in candidates(name) {
            let Some(answer) = ask(&candidate, ASK_NODE).await else { continue };
            let Some((path, version)) = answer.stdout.split_once('\n') else { continue };
            let (Some(program), Some(version)) = (program(path), NodeVersion::parse(version)) else { continue };
            if version.0 >= NODE_MAJOR_MIN && !found.iter().any(|other| other.program == program) {
                found.push(Node { program, version });
            }
        }
        nodes.insert(name.to_owned(), found.clone());
        found
    }

    /// The Java that the settings name; or of those in JAVA_HOME and PATH the one of the runtime's version, else the one that
    /// is the least later, else the latest, with a remark.
    pub(crate) async fn java(&self, config: &FunctionConfig, set: Option<&Path>) -> Found<Java> {
        let found = self.find_javas(set.unwrap_or(Path::new("java"))).await;
        let Some(java) = best(&found, java_major(&config.runtime).unwrap_or_default()) else {
            return Err(NoInterpreter(match set {
                Some(set) => format!("{} does not run as Java {JAVA_MAJOR_MIN} or later", set.display()),
                None => format!(
                    "no Java for function {}: no java of version {JAVA_MAJOR_MIN} or later in JAVA_HOME or PATH runs; \
                     install one (without the compiler will do)",
                    config.name
                ),
            }));
        };
        let is_as_asked = set.is_some() || java_major(&config.runtime) == Some(java.major);
        let Java { program, major } = java;
        let remark = || {
            let (runtime, name, program) = (&config.runtime, &config.name, program.display());
            format!("the runtime of {name} is {runtime}; it runs with Java {major} ({program})")
        };
        Ok((java.clone(), (!is_as_asked).then(remark)))
    }

    async fn find_javas(&self, name: &Path) -> Vec<Java> {
        let mut javas = self.javas.lock().await;
        if let Some(known) = javas.get(name) {
            return known.clone();
        }
        let mut found: Vec<Java> = Vec::new();
        for candidate in each_file_once(in_java_home(name).into_iter().chain(candidates(name))) {
            let answer = ask(&candidate, ASK_JAVA).await;
            let Some(java) = answer.and_then(|answer| Java::of_properties(&answer.stderr)) else { continue };
            if java.major >= JAVA_MAJOR_MIN && !found.contains(&java) {
                found.push(java);
            }
        }
        javas.insert(name.to_owned(), found.clone());
        found
    }
}

impl Java {
    /// Of the lines `name = value` in which it tells its properties.
    fn of_properties(text: &str) -> Option<Java> {
        let property = |name: &str| {
            let mut pairs = text.lines().filter_map(|line| line.trim().split_once(" = "));
            pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
        };
        let program = program(Path::new(property("java.home")?).join("bin/java").to_str()?)?;
        let version = property("java.specification.version")?;
        // The first ones counted from 1.0 to 1.8.
        let major = version.strip_prefix("1.").unwrap_or(version).parse().ok()?;
        Some(Java { program, major })
    }
}

/// The one of the version, else the one that is the least later, else the latest.
fn best(found: &[Java], wanted: u32) -> Option<&Java> {
    // Of equals the one that is found first.
    let later = found.iter().filter(|java| java.major >= wanted).min_by_key(|java| java.major);
    later.or_else(|| found.iter().rev().max_by_key(|java| java.major))
}

/// Where JAVA_HOME has it.
fn in_java_home(name: &Path) -> Option<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").filter(|_| name.components().count() == 1)?;
    let path = Path::new(&home).join("bin").join(name);
    is_executable(&path).then_some(path)
}

/// A path as it is, or a name wherever PATH has it, each file once.
fn candidates(name: &Path) -> Vec<PathBuf> {
    if name.components().count() > 1 {
        return vec![name.to_owned()];
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| CHILD_PATH.into());
    each_file_once(std::env::split_paths(&path).map(|dir| dir.join(name)).filter(|path| is_executable(path)))
}

/// A directory may be in PATH twice, or be a link to another one (`/bin` is one to `/usr/bin`).
fn each_file_once(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    paths.filter(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone()))).collect()
}

/// What a candidate writes when it is asked for itself.
struct Answer {
    stdout: String,
    stderr: String,
}

/// What a candidate says of itself; `None`: it does not run.
async fn ask(candidate: &Path, question: [&str; 2]) -> Option<Answer> {
    let mut command = tokio::process::Command::new(candidate);
    command.args(question).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PROBE_MAX, command.output()).await.ok()?.ok()?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    output.status.success().then(|| Answer { stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

fn program(path: &str) -> Option<PathBuf> {
    let program = PathBuf::from(path);
    is_executable(&program).then_some(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_node_says_what_it_can() {
        for (text, told, silences) in [
            ("18.20.4", false, false),
            ("20.10.0", false, false),
            ("20.11.0", false, true),
            ("21.2.0", false, false),
            ("22.5.1", false, true),
            ("22.6.0", true, true),
            ("22.18.0", false, true),
            ("23.5.0", true, true),
            ("23.6.0", false, true),
            ("24.1.0-nightly2025", false, true),
        ] {
            let version = NodeVersion::parse(text).unwrap();
            assert_eq!(version.strips_types_when_told(), told, "{text}");
            assert_eq!(version.silences_single_warnings(), silences, "{text}");
        }
        for text in ["", "22", "22.x.1", "v22.1.0"] {
            assert_eq!(NodeVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_that_path_has_twice_is_asked_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in ["usr/bin", "own"] {
            std::fs::create_dir_all(at(path)).unwrap();
            std::fs::write(at(path).join("python3"), "").unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", at("bin")).unwrap();
        let paths = ["usr/bin", "bin", "own", "usr/bin", "gone"].map(|dir| at(dir).join("python3"));
        let expected = ["usr/bin", "own", "gone"].map(|dir| at(dir).join("python3"));
        assert_eq!(each_file_once(paths.into_iter()), expected);
    }

    /// docs/spec/lambda-runtime.md 7.5: the version of the runtime, else the least later one, else the latest.
    #[test]
    fn of_several_javas_the_one_of_the_runtime_is_taken() {
        let of = |major: u32| Java { program: format!("/java{major}").into(), major };
        for (found, wanted, expected) in [
            (&[11, 17, 21][..], 17, Some(17)),
            (&[25, 11, 21], 17, Some(21)),
            (&[11, 17], 21, Some(17)),
            (&[17], 8, Some(17)),
            (&[], 21, None),
        ] {
            let found: Vec<Java> = found.iter().map(|&major| of(major)).collect();
            assert_eq!(best(&found, wanted).map(|java| java.major), expected, "{wanted} of {found:?}");
        }
    }

    #[test]
    fn a_java_tells_its_home_and_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("bin/java");
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        std::fs::write(&program, "").unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, executable).unwrap();
        let home = dir.path().display();
        let told = |version: &str| {
            Java::of_properties(&format!(
                "Property settings:\n    java.home = {home}\n    java.specification.version = {version}\n    java.version = 9\n\nopenjdk version \"9\"\n"
            ))
        };
        assert_eq!(told("17"), Some(Java { program: program.clone(), major: 17 }));
        assert_eq!(told("1.8"), Some(Java { program: program.clone(), major: 8 }));
        assert_eq!(told("x"), None);
        std::fs::remove_file(&program).unwrap();
        assert_eq!(told("17"), None, "what is not there does not run");
    }
}
