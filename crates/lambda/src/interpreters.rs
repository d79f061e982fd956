//! The interpreters of this machine, each looked for once.
//!
//! A name in PATH may be a wrapper of a version manager, which works only with the variables of its user, or not at all. So
//! each candidate is asked, with this process's own environment, which program it is; functions are started with that.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tailrace_core::function::{FunctionConfig, node_major};

use crate::launch::{CHILD_PATH, LaunchError, is_executable};

/// The longest that an interpreter may take to say what it is.
const PROBE_MAX: Duration = Duration::from_secs(10);
/// The lowest major version of Node.js that our client runs on.
const NODE_MAJOR_MIN: u32 = 18;

/// Python's words for "which program are you".
const ASK_PYTHON: [&str; 2] = ["-c", "import sys; sys.stdout.write(sys.executable)"];
/// Node's, with its version behind the program.
const ASK_NODE: [&str; 2] = ["-e", r"process.stdout.write(process.execPath + '\n' + process.versions.node)"];

/// What is known of this machine.
#[derive(Debug, Default)]
pub(crate) struct Interpreters {
    pythons: tokio::sync::Mutex<HashMap<PathBuf, Option<PathBuf>>>,
    nodes: tokio::sync::Mutex<HashMap<PathBuf, Vec<Node>>>,
}

/// A Node.js that runs.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) program: PathBuf,
    pub(crate) version: NodeVersion,
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
    pub(crate) async fn python(
        &self,
        config: &FunctionConfig,
        set: Option<&Path>,
    ) -> Result<(PathBuf, Option<String>), LaunchError> {
        if let Some(python) = set {
            let found = self.find_python(python).await;
            let text = || format!("{} does not run as a Python interpreter", python.display());
            return found.map(|found| (found, None)).ok_or_else(|| LaunchError::CannotStart(text()));
        }
        if let Some(found) = self.find_python(Path::new(&config.runtime)).await {
            return Ok((found, None));
        }
        match self.find_python(Path::new("python3")).await {
            Some(found) => {
                let text = format!("no {} in PATH; {} runs with {}", config.runtime, config.name, found.display());
                Ok((found, Some(text)))
            }
            None => Err(LaunchError::CannotStart(format!(
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
            found = ask(&candidate, ASK_PYTHON).await.and_then(|answer| program(&answer));
            if found.is_some() {
                break;
            }
        }
        pythons.insert(name.to_owned(), found.clone());
        found
    }

    /// The Node.js that the settings name; or of those in PATH the one of the runtime's major version, else the first, with a
    /// remark.
    pub(crate) async fn node(
        &self,
        config: &FunctionConfig,
        set: Option<&Path>,
    ) -> Result<(Node, Option<String>), LaunchError> {
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
            None => Err(LaunchError::CannotStart(match set {
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
            let Some((path, version)) = answer.split_once('\n') else { continue };
            let (Some(program), Some(version)) = (program(path), NodeVersion::parse(version)) else { continue };
            if version.0 >= NODE_MAJOR_MIN && !found.iter().any(|other| other.program == program) {
                found.push(Node { program, version });
            }
        }
        nodes.insert(name.to_owned(), found.clone());
        found
    }
}

/// A path as it is, or a name wherever PATH has it.
fn candidates(name: &Path) -> Vec<PathBuf> {
    if name.components().count() > 1 {
        return vec![name.to_owned()];
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| CHILD_PATH.into());
    std::env::split_paths(&path).map(|dir| dir.join(name)).filter(|path| is_executable(path)).collect()
}

/// What a candidate says of itself; `None`: it does not run.
async fn ask(candidate: &Path, question: [&str; 2]) -> Option<String> {
    let mut command = tokio::process::Command::new(candidate);
    command.args(question).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PROBE_MAX, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
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
}
