//! The recipes, each a list of commands.

use std::ffi::OsString;
use std::io::BufRead;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::environment::Environment;
use crate::java::Java;

/// Longest run of one step. A hung test is killed with everything that it started, and the run fails.
const STEP_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// Longest run of what somebody measures or plays for as long as he says.
const PLAY_TIME_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// The Rust tests, all of them whatever fails.
const TEST: [&str; 3] = ["test", "--workspace", "--no-fail-fast"];
/// With those that need a real server.
const WITH_SERVERS: [&str; 2] = ["--features", "tailrace-sinks/real-servers"];

/// Most workers of the wire tests: each may have an OpenSearch and a PostgreSQL beside its servers.
const WIRE_WORKERS_MAX: &str = "4";

/// The tests of the client of Node.js functions, which are run with other versions of Node.js as well.
const OF_NODE: [&str; 6] = ["--test", "node_results", "--test", "node_failures", "--test", "node_typescript"];

/// The root of the repository.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("invariant: xtask lies below the root").to_path_buf()
}

/// The cargo that runs us.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root());
    forget_package(&mut command);
    command
}

/// Takes away what cargo told us of this package: build scripts look at it, and what they are of would be compiled again whenever
/// somebody calls cargo and this program in turns.
fn forget_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// Runs one step: see [`run_for`].
///
/// # Errors
/// A command that cannot start, fails, or takes too long.
pub fn run(command: &mut Command) -> Result<(), String> {
    run_for(command, STEP_TIME_MAX)
}

/// Runs one command, printed first; kills its process group when it takes longer than `limit`.
fn run_for(command: &mut Command, limit: Duration) -> Result<(), String> {
    let line = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    eprintln!("+ {line}");
    let mut child =
        command.stdin(Stdio::null()).process_group(0).spawn().map_err(|e| format!("`{line}` does not start: {e}"))?;
    let group = i32::try_from(child.id()).map_err(|_| "a process id does not fit".to_owned())?;
    let (done, finished) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let late = finished.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
        if late {
            // SAFETY: kill(2) has no memory effects; the group is the one we have just created and not yet waited for.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        late
    });
    let status = child.wait().map_err(|e| format!("`{line}`: {e}"))?;
    drop(done);
    let late = watchdog.join().unwrap_or(false);
    match (late, status.success()) {
        (true, _) => Err(format!("`{line}` took longer than {} s and was killed", limit.as_secs())),
        (false, true) => Ok(()),
        (false, false) => Err(format!("`{line}` failed: {status}")),
    }
}

/// The debug binary that the wire tests drive, built if need be.
fn debug_binary() -> Result<PathBuf, String> {
    run(cargo().args(["build", "--package", "tailrace"]))?;
    Ok(target_directory().join("debug").join("tailrace"))
}

/// The release binary, built if need be.
fn release_binary() -> Result<PathBuf, String> {
    run(cargo().args(["build", "--release", "--package", "tailrace", "--package", "tailrace-bench"]))?;
    Ok(target_directory().join("release").join("tailrace"))
}

fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// All tests but those that need a program of `without`, each suite to its end, so that one run tells all that fails. Functions of
/// Node.js and Java run in the environment's ones, unless the Rust tests run alone: then in the machine's. Those of Node.js are run with
/// its oldest and its newest version, too.
///
/// # Errors
/// What cannot be prepared at once; else the suites that failed, behind the last one.
pub fn test(rust_only: bool, without: &[&str]) -> Result<(), String> {
    let root = root();
    let environment = if rust_only { None } else { Some(Environment::prepare(&root)?) };
    let java = match &environment {
        Some(environment) if !without.contains(&"java") => Some(Java::prepare(environment, &root.join("tests/java"))?),
        _ => None,
    };
    let left_out = ("TAILRACE_TEST_WITHOUT", without.join(","));
    // Apart from the run, which then has all of a step's time.
    let servers = if environment.is_some() { &WITH_SERVERS[..] } else { &[] };
    run(cargo().args(TEST).args(servers).arg("--no-run"))?;
    let mut rust = match &environment {
        // The database is there for as long as the command runs.
        Some(environment) => {
            let mut served = environment.python();
            served.arg("tests/services/postgres.py").arg(cargo().get_program());
            served.args(TEST).args(WITH_SERVERS);
            forget_package(&mut served);
            served.env("PATH", environment.path_with(java.as_ref().map(Java::folder)));
            served
        }
        None => {
            let mut alone = cargo();
            alone.args(TEST);
            alone
        }
    };
    rust.env(left_out.0, &left_out.1).current_dir(&root);
    if let Some(java) = &java {
        rust.env("TAILRACE_TEST_JARS", java.jars());
    }
    let rust = run(&mut rust);
    let Some(environment) = environment else {
        eprintln!("left out: the Rust tests with real servers, and the wire tests");
        return rust;
    };
    // As they were built: built for themselves they would have other features.
    let of_node = |node: PathBuf| run(cargo().args(TEST).args(WITH_SERVERS).args(OF_NODE).env("NODE", node));
    let of_nodes: Vec<_> = environment.nodes_of_functions()?.into_iter().map(of_node).collect();
    if let Some(java) = &java {
        java.check_client(&environment, &root, &target_directory().join("java-client"))?;
    }
    // The Rust tests have made it. Built for itself it would have other features, and much would be compiled again.
    let binary = target_directory().join("debug").join("tailrace");
    let wire = run(environment
        .python()
        .args(["-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider"])
        // A file is one worker's: its tests share servers.
        .args(["--numprocesses=auto", "--maxprocesses", WIRE_WORKERS_MAX, "--dist=loadfile"])
        // Each test leaves a data directory behind, ten gigabytes in all: those of tests that passed go.
        .args(["-o", "tmp_path_retention_policy=failed", "tests/wire"])
        .env("TAILRACE_BINARY", &binary)
        .env(left_out.0, &left_out.1)
        .current_dir(&root));
    let scripts = root.join("tests/js");
    environment.install_node_packages(&scripts)?;
    let javascript = run(environment
        .node()
        .args(["--test", "--test-reporter=tap"])
        .args(files_ending(".test.js", &scripts)?)
        .env("TAILRACE_BINARY", &binary)
        .current_dir(&root));
    let java = match &java {
        Some(java) => java.test(&root.join("tests/java"), &target_directory().join("java-tests"), &binary),
        None => Ok(()),
    };
    let failed: Vec<String> =
        [rust, wire, javascript, java].into_iter().chain(of_nodes).filter_map(Result::err).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Writes the client of Java functions that its sources make.
pub fn java_client() -> Result<(), String> {
    let root = root();
    let environment = Environment::prepare(&root)?;
    let java = Java::prepare(&environment, &root.join("tests/java"))?;
    java.write_client(&environment, &root, &target_directory().join("java-client"))
}

/// The files of a folder whose names end so, sorted, at least one. Node.js is told them one by one: what it makes of a
/// folder differs between its versions.
///
/// # Errors
/// A folder that cannot be read or has none.
fn files_ending(end: &str, folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(end));
    files.sort();
    if files.is_empty() { Err(format!("{} has no *{end}", folder.display())) } else { Ok(files) }
}

/// Formatting.
pub fn format(check: bool) -> Result<(), String> {
    let mut command = cargo();
    command.args(["fmt", "--all"]);
    if check {
        command.args(["--", "--check"]);
    }
    run(&mut command)
}

/// The version of cargo-deny that is installed where there is none.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// Lints.
pub fn lint() -> Result<(), String> {
    crate::house::check(&root())?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let installed = cargo().args(["deny", "--version"]).output().is_ok_and(|output| output.status.success());
    if !installed {
        run(cargo().args(["install", "--quiet", "--locked", "cargo-deny", "--version", CARGO_DENY_VERSION]))?;
    }
    // Not the advisories: they need a database from outside of the registries.
    run(cargo().args(["deny", "--log-level", "error", "check", "licenses", "bans", "sources"]))
}

/// The budget table, of the binary as it is published. Real servers are started by [`service`], when their lines are measured.
pub fn bench(arguments: &[String]) -> Result<(), String> {
    run(cargo().args(["build", "--profile", "dist", "--package", "tailrace"]))?;
    run(cargo().args(["build", "--release", "--package", "tailrace-bench"]))?;
    let binary = target_directory().join("dist").join("tailrace");
    let bench = target_directory().join("release").join("tailrace-bench");
    let services = std::env::current_exe().map_err(|e| format!("this program is nowhere: {e}"))?;
    let mut command = Command::new(bench);
    command.arg("--binary").arg(binary).arg("--services").arg(services).args(arguments).current_dir(root());
    run_for(&mut command, PLAY_TIME_MAX)
}

/// Becomes a real server: its address is printed when it answers, and it ends when the input does.
///
/// # Errors
/// The environment cannot be prepared, or there is no such server.
pub fn service(name: &str) -> Result<(), String> {
    let program = match name {
        "postgres" => "tests/services/postgres.py",
        "opensearch" => "tests/wire/opensearch.py",
        other => return Err(format!("there is no server `{other}` to be had: postgres, opensearch")),
    };
    let root = root();
    let environment = Environment::prepare(&root)?;
    Err(format!("{program}: {}", environment.python().arg(program).current_dir(&root).exec()))
}

/// Kills under load, one suite after the other.
pub fn crash(kills: u32, seed: u64) -> Result<(), String> {
    let binary = release_binary()?;
    let environment = Environment::prepare(&root())?;
    for suite in ["kill", "kill_expiry", "kill_indexes", "kill_tables", "kill_transactions"] {
        let mut command = environment.python();
        command
            .args(["-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "-s"])
            .arg(format!("tests/wire/test_{suite}.py"))
            .env("TAILRACE_BINARY", &binary)
            .env("TAILRACE_KILLS", kills.to_string())
            .env("TAILRACE_SEED", seed.to_string())
            .current_dir(root());
        run_for(&mut command, PLAY_TIME_MAX)?;
    }
    Ok(())
}

/// Delivery for long. Without HTTP: `crates/server/examples/soak`.
pub fn soak(records: u64, seed: u64) -> Result<(), String> {
    let (records, seed) = (records.to_string(), seed.to_string());
    let mut command = cargo();
    command
        .args(["run", "--release", "--package", "tailrace-server", "--example", "soak", "--"])
        .args(["--records", &records, "--seed", &seed])
        .arg("--dir")
        .arg(target_directory());
    run_for(&mut command, PLAY_TIME_MAX)
}

/// The differential test. Without `--target` it builds and starts a server of its own; with `--release`, of a release build.
pub fn conform(arguments: &[String]) -> Result<(), String> {
    let environment = Environment::prepare(&root())?;
    let mut command = environment.python();
    let (release, passed): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| *argument == "--release");
    command.args(["-m", "conform"]).args(passed).current_dir(root().join("tests"));
    if arguments.iter().any(|argument| argument.starts_with("--target") || argument == "--help") {
        return run_for(&mut command, PLAY_TIME_MAX);
    }
    let binary = if release.is_empty() { debug_binary()? } else { release_binary()? };
    let server = OwnServer::start(&binary)?;
    run_for(command.arg("--target").arg(format!("http://127.0.0.1:{}", server.port)), PLAY_TIME_MAX)
}

/// A server for one recipe, on a free port and a data directory of its own; it ends with the recipe.
struct OwnServer {
    port: u16,
    process: std::process::Child,
    data_dir: PathBuf,
}

impl OwnServer {
    fn start(binary: &Path) -> Result<OwnServer, String> {
        let failed = |error: std::io::Error| format!("cannot start {}: {error}", binary.display());
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = free.map_err(failed)?.port();
        let data_dir = target_directory().join(format!("conform-{}", std::process::id()));
        let mut command = Command::new(binary);
        command.args(["serve", "--port", &port.to_string(), "--data-dir"]).arg(&data_dir);
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
        let talk = process.stderr.take().expect("invariant: it is a pipe");
        let server = OwnServer { port, process, data_dir };
        let mut lines = std::io::BufReader::new(talk).lines().map_while(Result::ok);
        if lines.any(|line| line.starts_with("listening on ")) {
            std::thread::spawn(move || lines.for_each(|line| eprintln!("server: {line}")));
            return Ok(server);
        }
        Err(format!("{} does not listen on port {port}", binary.display()))
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
        let _left = std::fs::remove_dir_all(&self.data_dir);
    }
}
