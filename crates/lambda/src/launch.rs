//! How a process of a function is started: its program, its arguments and its whole environment.
//! Source: docs/spec/lambda-runtime.md 6, 7.
//!
//! Invariant: the environment is built from nothing; the only thing taken from this process is where its PATH finds
//! an interpreter (see `interpreters`).

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tailrace_core::EpochMs;
use tailrace_core::function::{Family, FunctionConfig, LogLevel};

use crate::entrypoint::BadEntrypoint;
use crate::functions::{PythonClient, Settings};
use crate::interpreters::{Interpreters, Java, NoInterpreter, Node, NodeVersion};
use crate::java;
use crate::layers;
use crate::ledger::TOKEN_VARIABLE;

/// Our Python client; the file in the state directory is written at each start.
const PYTHON_CLIENT: &str = include_str!("python/tailrace_runtime.py");
/// Our Node.js client; as the Python one.
const NODE_CLIENT: &str = include_str!("node/tailrace_runtime.cjs");
/// Where programs are looked for by functions.
pub(crate) const CHILD_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The program of a provided runtime.
const BOOTSTRAP: &str = "bootstrap";

/// A file without profiles.
const NOTHING: &str = "/dev/null";

/// The directories of this crate.
#[derive(Debug)]
pub(crate) struct Directories {
    /// The directory around the others.
    pub(crate) state: PathBuf,
    /// Our runtime files.
    pub(crate) runtime: PathBuf,
    /// Compiled Python files of functions, so that the code's own directory stays as it is.
    pub(crate) pycache: PathBuf,
    /// A temporary directory for each process.
    pub(crate) temporary: PathBuf,
    /// The ledger of processes.
    pub(crate) processes: PathBuf,
    /// What was unpacked.
    pub(crate) packages: PathBuf,
}

impl Directories {
    /// Creates them, private to the user, and writes our runtime files.
    pub(crate) fn prepare(state_dir: &Path) -> std::io::Result<Directories> {
        std::fs::create_dir_all(state_dir)?;
        std::fs::set_permissions(state_dir, std::fs::Permissions::from_mode(0o700))?;
        let state_dir = state_dir.canonicalize()?;
        let directories = Directories {
            runtime: state_dir.join("runtime"),
            pycache: state_dir.join("pycache"),
            temporary: state_dir.join("tmp"),
            processes: state_dir.join("processes"),
            packages: state_dir.join("packages"),
            state: state_dir,
        };
        std::fs::create_dir_all(&directories.runtime)?;
        std::fs::create_dir_all(&directories.pycache)?;
        std::fs::write(directories.python_client(), PYTHON_CLIENT)?;
        std::fs::write(directories.node_client(), NODE_CLIENT)?;
        std::fs::write(directories.java_client(), java::CLIENT)?;
        Ok(directories)
    }

    /// Forgets the temporary directories of earlier processes. Call it once those are dead.
    pub(crate) fn clear_temporary(&self) -> std::io::Result<()> {
        if let Err(error) = remove_tree(&self.temporary) {
            // It is in nobody's way: each process has a directory of its own there.
            tracing::warn!(path = %self.temporary.display(), %error, "what functions left there cannot be removed");
        }
        std::fs::create_dir_all(&self.temporary)
    }

    fn python_client(&self) -> PathBuf {
        self.runtime.join("tailrace_runtime.py")
    }

    fn node_client(&self) -> PathBuf {
        self.runtime.join("tailrace_runtime.cjs")
    }

    fn java_client(&self) -> PathBuf {
        self.runtime.join("tailrace-runtime.jar")
    }
}

/// Removes a directory with all that is in it, also in directories that a function has closed to writing. There need be none.
///
/// # Errors
/// Something cannot be removed.
pub(crate) fn remove_tree(path: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == PermissionDenied => {
            open_tree(path)?;
            std::fs::remove_dir_all(path)
        }
        Err(error) if error.kind() != NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Lets the owner of directories do everything with them.
fn open_tree(directory: &Path) -> std::io::Result<()> {
    let mode = std::fs::symlink_metadata(directory)?.permissions().mode();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode | 0o700))?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // A link is none, wherever it leads.
        if entry.file_type()?.is_dir() {
            open_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// What one process is told about itself.
pub(crate) struct Identity<'a> {
    /// Its token in the ledger.
    pub(crate) token: &'a str,
    /// The port of its listener.
    pub(crate) port: u16,
    /// Its log stream's name.
    pub(crate) log_stream: String,
}

/// Why there is nothing to start.
#[derive(Debug)]
pub(crate) enum LaunchError {
    /// No `bootstrap` that can be executed: the function's own fault.
    InvalidEntrypoint(BadEntrypoint),
    /// The machine lacks something: an interpreter, the code directory.
    CannotStart(String),
}

impl From<NoInterpreter> for LaunchError {
    fn from(NoInterpreter(text): NoInterpreter) -> Self {
        LaunchError::CannotStart(text)
    }
}

/// A command that is ready to be spawned.
pub(crate) struct Launch {
    pub(crate) command: Command,
    /// The function's own program, if it is that which is started.
    pub(crate) bootstrap: Option<PathBuf>,
}

/// What is to be said of the function's interpreter: that there is none, or not the one of its runtime.
pub(crate) async fn interpreter(
    config: &FunctionConfig,
    settings: &Settings,
    interpreters: &Interpreters,
) -> Option<String> {
    let remark = match Family::of(&config.runtime)? {
        Family::Python => interpreters.python(config, settings.python.as_deref()).await.map(|(_, remark)| remark),
        Family::Node => interpreters.node(config, settings.node.as_deref()).await.map(|(_, remark)| remark),
        Family::Java => interpreters.java(config, settings.java.as_deref()).await.map(|(_, remark)| remark),
        Family::Provided => return None,
    };
    remark.unwrap_or_else(|NoInterpreter(text)| Some(text))
}

/// The directories of one process.
pub(crate) struct Place {
    /// The function's code.
    code_dir: PathBuf,
    /// What it may write to, and nobody else does.
    temporary: PathBuf,
}

impl Place {
    /// Finds the one and makes the other. It waits for the disk.
    pub(crate) fn prepare(
        config: &FunctionConfig,
        directories: &Directories,
        token: &str,
    ) -> Result<Place, LaunchError> {
        let code_dir = config.code_dir.canonicalize().ok().filter(|dir| dir.is_dir()).ok_or_else(|| {
            let dir = config.code_dir.display();
            LaunchError::CannotStart(format!("the code directory {dir} of function {} is not there", config.name))
        })?;
        let temporary = directories.temporary.join(token);
        std::fs::create_dir_all(&temporary)
            .map_err(|error| LaunchError::CannotStart(format!("cannot create {}: {error}", temporary.display())))?;
        Ok(Place { code_dir, temporary })
    }
}

/// What a function is run by.
pub(crate) enum Program {
    Python(PathBuf),
    Node(Node),
    Java(Java),
    /// A program of its own.
    Own,
}

/// Finds what the function is run by, with a remark for the user.
pub(crate) async fn find_program(
    config: &FunctionConfig,
    settings: &Settings,
    interpreters: &Interpreters,
) -> Result<(Program, Option<String>), LaunchError> {
    let Some(family) = Family::of(&config.runtime) else {
        return Err(LaunchError::CannotStart(format!("the runtime {} is not supported", config.runtime)));
    };
    Ok(match family {
        Family::Python => {
            let (python, remark) = interpreters.python(config, settings.python.as_deref()).await?;
            (Program::Python(python), remark)
        }
        Family::Node => {
            let (node, remark) = interpreters.node(config, settings.node.as_deref()).await?;
            (Program::Node(node), remark)
        }
        Family::Java => {
            let (java, remark) = interpreters.java(config, settings.java.as_deref()).await?;
            (Program::Java(java), remark)
        }
        Family::Provided => (Program::Own, None),
    })
}

/// Builds the command for one process of the function. It looks at files: it waits for the disk.
pub(crate) fn prepare(
    config: &FunctionConfig,
    settings: &Settings,
    directories: &Directories,
    (place, program): (&Place, &Program),
    identity: &Identity<'_>,
) -> Result<Launch, LaunchError> {
    let Place { code_dir, temporary } = place;
    let mut command = match program {
        Program::Python(interpreter) => {
            let mut command = Command::new(interpreter);
            command.arg("-u").arg(directories.python_client()).arg(&config.handler);
            command.env_clear().env("PATH", path_beside(interpreter));
            // Not PYTHONPYCACHEPREFIX: with that, what the interpreter has compiled of its own would not be used.
            command.env("TAILRACE_PYTHON_CACHE", &directories.pycache);
            command.env("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", config.runtime));
            command.env(
                "TAILRACE_PYTHON_CLIENT",
                match settings.python_client {
                    PythonClient::Auto => "auto",
                    PythonClient::Own => "own",
                    PythonClient::Awslambdaric => "awslambdaric",
                },
            );
            command
        }
        Program::Node(node) => {
            let mut command = Command::new(&node.program);
            command.args(node_options(&node.version, config));
            command.arg(directories.node_client()).arg(&config.handler);
            command.env_clear().env("PATH", path_beside(&node.program));
            command.env("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", config.runtime));
            if !settings.node_path.is_empty() {
                let joined = std::env::join_paths(&settings.node_path);
                let text =
                    |_| LaunchError::CannotStart("a directory of Node.js packages has a colon in its name".into());
                command.env("NODE_PATH", joined.map_err(text)?);
            }
            command
        }
        Program::Java(found) => {
            let mut command = Command::new(&found.program);
            command.args(java::options(config, found.major, temporary));
            let class_path = java::class_path(config, code_dir, directories.java_client())
                .map_err(|path| LaunchError::CannotStart(format!("{} has a colon in its name", path.display())))?;
            command.arg("-classpath").arg(class_path).arg(java::MAIN).arg(&config.handler);
            command.env_clear().env("PATH", path_beside(&found.program));
            command.env("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", config.runtime));
            command
        }
        Program::Own => {
            let bootstrap = code_dir.join(BOOTSTRAP);
            if !is_executable(&bootstrap) {
                return Err(LaunchError::InvalidEntrypoint(BadEntrypoint::not_found(&bootstrap)));
            }
            let mut command = Command::new(&bootstrap);
            command.env_clear().env("PATH", CHILD_PATH);
            command
        }
    };

    command
        .current_dir(code_dir)
        .env("LANG", "C.UTF-8")
        .env("TZ", ":UTC")
        .env("LD_LIBRARY_PATH", library_path(code_dir))
        .env("TMPDIR", temporary)
        .env("PWD", code_dir)
        .env("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR")
        // Without HOME the SDKs look into the user's directory all the same: its profiles and keys are none of a function's.
        .env("AWS_SHARED_CREDENTIALS_FILE", NOTHING)
        .env("AWS_CONFIG_FILE", NOTHING)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(&settings.environment)
        .envs(&config.environment)
        // Behind the function's own variables: nothing may override these.
        .env("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{}", identity.port))
        .env("_HANDLER", &config.handler)
        .env("LAMBDA_TASK_ROOT", code_dir)
        .env("LAMBDA_RUNTIME_DIR", &directories.runtime)
        .env("AWS_LAMBDA_FUNCTION_NAME", &config.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", &config.version)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", config.memory_mb.to_string())
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", config.name))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", &identity.log_stream)
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env(TOKEN_VARIABLE, identity.token);
    if config.logging.json {
        let level = config.logging.application_level.unwrap_or(LogLevel::Info);
        command.env("AWS_LAMBDA_LOG_FORMAT", "JSON").env("AWS_LAMBDA_LOG_LEVEL", level.name());
    }
    if matches!(program, Program::Python(_)) {
        // The code directory comes on the path only when the client has imported what it needs: until then a types.py
        // of the function would be taken for the interpreter's own. A PYTHONPATH of the function waits with it.
        command.env_remove("PYTHONPATH");
        if let Some(own) = config.environment.get("PYTHONPATH") {
            command.env("TAILRACE_PYTHON_PATH", own);
        }
    }
    layers::add(config, &mut command);
    let bootstrap = matches!(program, Program::Own).then(|| code_dir.join(BOOTSTRAP));
    Ok(Launch { command, bootstrap })
}

/// The directory of an interpreter before the usual ones: its companions are found first.
fn path_beside(interpreter: &Path) -> OsString {
    let mut path = interpreter.parent().unwrap_or(Path::new("/usr/bin")).as_os_str().to_owned();
    path.push(":");
    path.push(CHILD_PATH);
    path
}

/// The options of node itself: types are stripped where it can, and the heap stays within the function's memory, unless the
/// function says how large it is to be.
fn node_options(version: &NodeVersion, config: &FunctionConfig) -> Vec<String> {
    let mut options = Vec::new();
    if version.strips_types_when_told() {
        options.push("--experimental-strip-types".to_owned());
    }
    if version.silences_single_warnings() {
        options
            .extend(["ExperimentalWarning", "MODULE_TYPELESS_PACKAGE_JSON"].map(|w| format!("--disable-warning={w}")));
    }
    let own = config.environment.get("NODE_OPTIONS");
    if !own.is_some_and(|own| own.replace('_', "-").contains("--max-old-space-size")) {
        // As on AWS: the rest is for what is not on the heap.
        options.push(format!("--max-old-space-size={}", config.memory_mb / 10 * 9));
    }
    options
}

/// Where a function's shared libraries are looked for: in its own directory and in `lib` there, as on AWS.
fn library_path(code_dir: &Path) -> OsString {
    let mut path = code_dir.as_os_str().to_owned();
    path.push(":");
    path.push(code_dir.join("lib"));
    path
}

pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The name of a log stream: `YYYY/MM/DD/[<version>]<32 hex>`.
pub(crate) fn log_stream_name(now_ms: EpochMs, version: &str, token: &str) -> String {
    let (year, month, day) = civil_date(now_ms.seconds() / 86_400);
    let hex: String = token.chars().filter(char::is_ascii_hexdigit).collect();
    format!("{year:04}/{month:02}/{day:02}/[{version}]{hex}")
}

/// The Gregorian date of a day counted from 1970-01-01. Years are counted from March, so that the leap day is last.
pub(crate) fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_stream_is_named_by_day_version_and_token() {
        let token = "01234567-89ab-4def-8123-456789abcdef";
        for (now_ms, date) in [(0, "1970/01/01"), (951_782_400_000, "2000/02/29"), (1_767_225_599_999, "2025/12/31")] {
            let expected = format!("{date}/[$LATEST]0123456789ab4def8123456789abcdef");
            assert_eq!(log_stream_name(EpochMs(now_ms), "$LATEST", token), expected);
        }
    }
}
