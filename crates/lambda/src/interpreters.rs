//! The interpreters of this machine. What was found is not looked for again; what was not is, after a while.
//!
//! A name in PATH may be a wrapper of a version manager, which works only with the variables of its user, or not at all. So
//! each candidate is asked, with this process's own environment, which program it is; functions are started with that.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tailrace_core::clock::Clock;
use tailrace_core::function::{FunctionConfig, java_major, node_major};
use tailrace_core::limits::INTERPRETER_LOOK_AGAIN;

use crate::busy::Patience;
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
pub(crate) struct Interpreters {
    clock: Arc<dyn Clock>,
    pythons: Looks<PathBuf>,
    nodes: Looks<Node>,
    javas: Looks<Java>,
}

/// What was found under each name.
type Looks<T> = Mutex<HashMap<PathBuf, Arc<Name<T>>>>;

/// What is known of one name.
struct Name<T> {
    look: Mutex<Option<Look<T>>>,
    /// Held during a look: whoever wants of the name what is not known waits for it, and nobody else does.
    looking: tokio::sync::Mutex<()>,
}

/// A look for the programs of a name. What a program said of itself is known for good, as long as it is there; that one did not run,
/// or is not there, may be the moment's: that is known for [`INTERPRETER_LOOK_AGAIN`].
#[derive(Clone)]
struct Look<T> {
    /// Of each candidate that runs, in their order.
    found: Vec<(PathBuf, T)>,
    at_ns: u64,
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

impl<T> Default for Name<T> {
    fn default() -> Name<T> {
        Name { look: Mutex::new(None), looking: tokio::sync::Mutex::new(()) }
    }
}

impl<T: Program> Name<T> {
    /// The last look, without what is not there any more.
    fn look(&self) -> Option<Look<T>> {
        let mut look = self.look.lock().clone()?;
        look.found.retain(|(_, found)| is_executable(found.program()));
        Some(look)
    }
}

impl Interpreters {
    /// Nothing is known yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Interpreters {
        Interpreters { clock, pythons: Looks::default(), nodes: Looks::default(), javas: Looks::default() }
    }

    /// What runs of the candidates, in their order. They are looked for again after a while unless `is_enough` says that of what was
    /// found.
    async fn look<T: Program>(
        &self,
        looks: &Looks<T>,
        name: &Path,
        candidates: impl FnOnce() -> Vec<PathBuf>,
        is_enough: impl Fn(&[(PathBuf, T)]) -> bool,
    ) -> Vec<(PathBuf, T)> {
        let name = Arc::clone(looks.lock().entry(name.to_owned()).or_default());
        let is_known = |look: &Look<T>| {
            let age_ns = self.clock.monotonic_ns().saturating_sub(look.at_ns);
            is_enough(&look.found) || age_ns < INTERPRETER_LOOK_AGAIN.as_nanos() as u64
        };
        if let Some(look) = name.look().filter(is_known) {
            return look.found;
        }
        let _looking = name.looking.lock().await;
        // Somebody may have looked meanwhile.
        let look = name.look();
        if let Some(look) = look.clone().filter(is_known) {
            return look.found;
        }
        let known = look.map_or_else(Vec::new, |look| look.found);
        let mut found = Vec::new();
        for candidate in candidates() {
            let said = known.iter().find(|(path, _)| *path == candidate).map(|(_, said)| said.clone());
            let said = match said {
                Some(said) => Some(said),
                None => ask(&candidate, T::QUESTION).await.and_then(|answer| T::of_answer(&answer)),
            };
            found.extend(said.map(|said| (candidate, said)));
            if T::ONE_IS_ENOUGH && !found.is_empty() {
                break;
            }
        }
        *name.look.lock() = Some(Look { found: found.clone(), at_ns: self.clock.monotonic_ns() });
        found
    }

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
        let found = self.look(&self.pythons, name, || candidates(name), |found| !found.is_empty()).await;
        found.into_iter().next().map(|(_, program)| program)
    }

    /// The Node.js that the settings name; or of those in PATH the one of the runtime's major version, else the first, with a
    /// remark.
    pub(crate) async fn node(&self, config: &FunctionConfig, set: Option<&Path>) -> Found<Node> {
        let wanted = node_major(&config.runtime);
        let name = set.unwrap_or(Path::new("node"));
        let is_wanted = |node: &Node| Some(node.version.0) == wanted;
        let is_enough = |found: &[(PathBuf, Node)]| found.iter().any(|(_, node)| set.is_some() || is_wanted(node));
        let found = self.look(&self.nodes, name, || candidates(name), is_enough).await;
        let found: Vec<Node> = found.into_iter().map(|(_, node)| node).collect();
        if let Some(node) = found.iter().find(|node| is_wanted(node)) {
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

    /// The Java that the settings name; or of those in JAVA_HOME and PATH the one of the runtime's version, else the one that
    /// is the least later, else the latest, with a remark.
    pub(crate) async fn java(&self, config: &FunctionConfig, set: Option<&Path>) -> Found<Java> {
        let wanted = java_major(&config.runtime);
        let name = set.unwrap_or(Path::new("java"));
        let candidates = || each_file_once(in_java_home(name).into_iter().chain(candidates(name)));
        let is_enough =
            |found: &[(PathBuf, Java)]| found.iter().any(|(_, java)| set.is_some() || Some(java.major) == wanted);
        let found = self.look(&self.javas, name, candidates, is_enough).await;
        let found: Vec<Java> = found.into_iter().map(|(_, java)| java).collect();
        let Some(java) = best(&found, wanted.unwrap_or_default()) else {
            return Err(NoInterpreter(match set {
                Some(set) => format!("{} does not run as Java {JAVA_MAJOR_MIN} or later", set.display()),
                None => format!(
                    "no Java for function {}: no java of version {JAVA_MAJOR_MIN} or later in JAVA_HOME or PATH runs; \
                     install one (without the compiler will do)",
                    config.name
                ),
            }));
        };
        let is_as_asked = set.is_some() || wanted == Some(java.major);
        let Java { program, major } = java;
        let remark = || {
            let (runtime, name, program) = (&config.runtime, &config.name, program.display());
            format!("the runtime of {name} is {runtime}; it runs with Java {major} ({program})")
        };
        Ok((java.clone(), (!is_as_asked).then(remark)))
    }
}

/// What a program says of itself when it is asked.
trait Program: Clone {
    /// The arguments with which it is asked.
    const QUESTION: [&str; 2];

    /// The first that runs is taken; otherwise all of them are to choose from.
    const ONE_IS_ENOUGH: bool = false;

    /// `None`: it is none that our client runs on.
    fn of_answer(answer: &Answer) -> Option<Self>;

    /// Where it is.
    fn program(&self) -> &Path;
}

impl Program for PathBuf {
    const QUESTION: [&str; 2] = ASK_PYTHON;
    const ONE_IS_ENOUGH: bool = true;

    fn of_answer(answer: &Answer) -> Option<PathBuf> {
        program(&answer.stdout)
    }

    fn program(&self) -> &Path {
        self
    }
}

impl Program for Node {
    const QUESTION: [&str; 2] = ASK_NODE;

    fn of_answer(answer: &Answer) -> Option<Node> {
        let (path, version) = answer.stdout.split_once('\n')?;
        let (program, version) = (program(path)?, NodeVersion::parse(version)?);
        (version.0 >= NODE_MAJOR_MIN).then_some(Node { program, version })
    }

    fn program(&self) -> &Path {
        &self.program
    }
}

impl Program for Java {
    const QUESTION: [&str; 2] = ASK_JAVA;

    fn of_answer(answer: &Answer) -> Option<Java> {
        Java::of_properties(&answer.stderr).filter(|java| java.major >= JAVA_MAJOR_MIN)
    }

    fn program(&self) -> &Path {
        &self.program
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
    let asked = async {
        let mut patience = Patience::new();
        loop {
            let mut command = tokio::process::Command::new(candidate);
            command.args(question).stdin(Stdio::null()).kill_on_drop(true);
            let asked = command.output().await;
            // As at a start of a function.
            if let Err(error) = &asked
                && patience.waits(error).await
            {
                continue;
            }
            return asked;
        }
    };
    let output = tokio::time::timeout(PROBE_MAX, asked).await.ok()?.ok()?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    output.status.success().then(|| Answer { stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

fn program(path: &str) -> Option<PathBuf> {
    let program = PathBuf::from(path);
    is_executable(&program).then_some(program)
}

#[cfg(test)]
mod tests {
    use tailrace_core::clock::ManualClock;
    use tailrace_core::{EpochMs, FunctionArn};

    use super::*;

    /// docs/spec/lambda-runtime.md 7.5: an interpreter that is not there, or does not run, may be there a little later; one that runs
    /// is not asked again.
    #[tokio::test]
    async fn what_does_not_run_is_looked_for_again_and_what_runs_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (python, asked) = (dir.path().join("python"), dir.path().join("asked"));
        let write = |text: &str| {
            std::fs::write(&python, text).unwrap();
            std::fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        };
        let clock = Arc::new(ManualClock::at(EpochMs(1)));
        let interpreters = Interpreters::new(clock.clone());
        let function = FunctionConfig::new("f", FunctionArn::new("arn"), "python3.13", "app.handler", dir.path());
        let look = async || interpreters.python(&function, Some(&python)).await.ok().map(|(found, _)| found);
        let later = || clock.advance(INTERPRETER_LOOK_AGAIN.as_millis() as u64);
        assert_eq!(look().await, None, "it is not there");
        write("#!/bin/sh\nexit 1\n");
        later();
        assert_eq!(look().await, None, "it does not run");
        write(&format!("#!/bin/sh\necho x >> '{}'\nprintf %s '{}'\n", asked.display(), python.display()));
        assert_eq!(look().await, None, "the look was a moment ago");
        later();
        for _ in 0..3 {
            assert_eq!(look().await, Some(python.clone()));
            later();
        }
        assert_eq!(std::fs::read_to_string(&asked).unwrap(), "x\n", "asked once");
        std::fs::remove_file(&python).unwrap();
        assert_eq!(look().await, None, "it went away");
    }

    /// A program that does not say what it is for a while holds up nobody who wants another one, or what is known.
    #[tokio::test]
    async fn a_slow_look_is_waited_for_by_those_alone_who_want_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, wait: &str| {
            let path = dir.path().join(name);
            let text = format!(
                "#!/bin/sh\necho x >> '{0}.asked'\n{wait}\nprintf '%s\\n{1}.1.0' '{0}'\n",
                path.display(),
                name.trim_start_matches("node")
            );
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            path
        };
        let gate = dir.path().join("gate");
        assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
        let (quick, slow) = (write("node20", ""), write("node22", &format!("read line < '{}'", gate.display())));
        let clock = Arc::new(ManualClock::at(EpochMs(1)));
        let interpreters = Interpreters::new(clock.clone());
        let paths = std::cell::RefCell::new(vec![quick.clone()]);
        let look = async |name: &str, wanted: u32| {
            let is_enough = |found: &[(PathBuf, Node)]| found.iter().any(|(_, node)| node.version.0 == wanted);
            let candidates = || paths.borrow().clone();
            let found = interpreters.look(&interpreters.nodes, Path::new(name), candidates, is_enough).await;
            found.into_iter().map(|(_, node)| node.version.0).collect::<Vec<_>>()
        };
        assert_eq!(look("node", 20).await, [20]);
        paths.borrow_mut().push(slow.clone());
        clock.advance(INTERPRETER_LOOK_AGAIN.as_millis() as u64);
        let asked = |path: &Path| std::fs::read_to_string(format!("{}.asked", path.display())).unwrap_or_default();
        let meanwhile = async {
            while asked(&slow).is_empty() {
                tokio::task::yield_now().await;
            }
            assert_eq!(look("node", 20).await, [20], "what is known");
            *paths.borrow_mut() = vec![quick.clone()];
            assert_eq!(look("another", 20).await, [20]);
            tokio::fs::write(&gate, "go\n").await.unwrap();
        };
        let (one, other, ()) = tokio::join!(look("node", 22), look("node", 22), meanwhile);
        assert_eq!((one, other), (vec![20, 22], vec![20, 22]));
        assert_eq!(asked(&slow), "x\n", "asked once");
    }

    /// Another Node.js than the function's is used, and the function's own is seen when it comes.
    #[tokio::test]
    async fn a_node_of_the_runtime_that_comes_later_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let write = |version: u32| {
            let path = dir.path().join(version.to_string());
            std::fs::write(&path, format!("#!/bin/sh\nprintf '%s\\n{version}.1.0' '{}'\n", path.display())).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            path
        };
        let clock = Arc::new(ManualClock::at(EpochMs(1)));
        let interpreters = Interpreters::new(clock.clone());
        let mut paths = vec![write(18), write(19)];
        let look = async |wanted: u32, paths: &[PathBuf]| {
            let is_enough = |found: &[(PathBuf, Node)]| found.iter().any(|(_, node)| node.version.0 == wanted);
            let found = interpreters.look(&interpreters.nodes, Path::new("node"), || paths.to_vec(), is_enough).await;
            found.into_iter().map(|(_, node)| node.version.0).collect::<Vec<_>>()
        };
        assert_eq!(look(18, &paths).await, [18, 19]);
        assert_eq!(look(19, &paths).await, [18, 19], "of all versions that are there");
        paths.push(write(22));
        assert_eq!(look(22, &paths).await, [18, 19]);
        clock.advance(INTERPRETER_LOOK_AGAIN.as_millis() as u64);
        assert_eq!(look(22, &paths).await, [18, 19, 22]);
    }

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
