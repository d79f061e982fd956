//! How a process of a function is started: its program, its arguments and its whole environment.
//! Source: docs/spec/lambda-runtime.md 6, 7.
//!
//! Invariant: the environment is built from nothing; the only thing taken from this process is where its PATH finds
//! a Python interpreter.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tailrace_core::EpochMs;
use tailrace_core::function::{Family, FunctionConfig};

use crate::functions::{PythonClient, Settings};
use crate::layers;
use crate::ledger::TOKEN_VARIABLE;

/// Our Python client; the file in the state directory is written at each start.
const PYTHON_CLIENT: &str = include_str!("python/tailrace_runtime.py");
/// Where programs are looked for by functions.
const CHILD_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The longest that an interpreter may take to say what it is.
const PROBE_MAX: Duration = Duration::from_secs(10);

/// The directories of this crate.
#[derive(Debug)]
pub(crate) struct Directories {
    /// The directory around the others.
    pub(crate) state: PathBuf,
    /// Our runtime files.
    pub(crate) runtime: PathBuf,
    /// Compiled Python files, so that the code's own directory stays as it is.
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
        Ok(directories)
    }

    /// Forgets the temporary directories of earlier processes. Call it once those are dead.
    pub(crate) fn clear_temporary(&self) -> std::io::Result<()> {
        match std::fs::remove_dir_all(&self.temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::create_dir_all(&self.temporary)
    }

    fn python_client(&self) -> PathBuf {
        self.runtime.join("tailrace_runtime.py")
    }
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
    InvalidEntrypoint(String),
    /// The machine lacks something: an interpreter, the code directory.
    CannotStart(String),
}

/// A command that is ready to be spawned, and a remark for the user.
pub(crate) struct Launch {
    pub(crate) command: Command,
    pub(crate) warning: Option<String>,
}

/// Builds the command for one process of the function.
pub(crate) async fn prepare(
    config: &FunctionConfig,
    settings: &Settings,
    directories: &Directories,
    interpreters: &Interpreters,
    identity: &Identity<'_>,
) -> Result<Launch, LaunchError> {
    let code_dir = config.code_dir.canonicalize().ok().filter(|dir| dir.is_dir()).ok_or_else(|| {
        let text = format!("the code directory {} of function {} is not there", config.code_dir.display(), config.name);
        LaunchError::CannotStart(text)
    })?;
    let temporary = directories.temporary.join(identity.token);
    std::fs::create_dir_all(&temporary)
        .map_err(|error| LaunchError::CannotStart(format!("cannot create {}: {error}", temporary.display())))?;

    let mut warning = None;
    let Some(family) = Family::of(&config.runtime) else {
        return Err(LaunchError::CannotStart(format!("the runtime {} is not supported", config.runtime)));
    };
    let mut command = match family {
        Family::Python => {
            let (interpreter, remark) = interpreters.choose(config, settings.python.as_deref()).await?;
            warning = remark;
            let mut path = interpreter.parent().unwrap_or(Path::new("/usr/bin")).as_os_str().to_owned();
            path.push(":");
            path.push(CHILD_PATH);
            let mut command = Command::new(&interpreter);
            command.arg("-u").arg(directories.python_client()).arg(&config.handler);
            command.env_clear().env("PATH", path);
            command.env("PYTHONPYCACHEPREFIX", &directories.pycache);
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
        Family::Provided => {
            let bootstrap = code_dir.join("bootstrap");
            if !is_executable(&bootstrap) {
                return Err(LaunchError::InvalidEntrypoint(bootstrap.display().to_string()));
            }
            let mut command = Command::new(&bootstrap);
            command.env_clear().env("PATH", CHILD_PATH);
            command.env("LD_LIBRARY_PATH", library_path(&code_dir));
            command
        }
    };

    command.current_dir(&code_dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
        .env("LANG", "C.UTF-8")
        .env("TZ", ":UTC")
        .env("TMPDIR", &temporary)
        .env("PWD", &code_dir)
        .env("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR")
        .envs(&settings.environment)
        .envs(&config.environment)
        // Behind the function's own variables: nothing may override these.
        .env("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{}", identity.port))
        .env("_HANDLER", &config.handler)
        .env("LAMBDA_TASK_ROOT", &code_dir)
        .env("LAMBDA_RUNTIME_DIR", &directories.runtime)
        .env("AWS_LAMBDA_FUNCTION_NAME", &config.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", &config.version)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", config.memory_mb.to_string())
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", config.name))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", &identity.log_stream)
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env(TOKEN_VARIABLE, identity.token);
    if family == Family::Python {
        // The code directory comes on the path only when the client has imported what it needs: until then a types.py
        // of the function would be taken for the interpreter's own. A PYTHONPATH of the function waits with it.
        command.env_remove("PYTHONPATH");
        if let Some(own) = config.environment.get("PYTHONPATH") {
            command.env("TAILRACE_PYTHON_PATH", own);
        }
    }
    layers::add(config, &mut command);
    Ok(Launch { command, warning })
}

/// Where a bootstrap's shared libraries are looked for: in its own directory and in `lib` there, as on AWS.
fn library_path(code_dir: &Path) -> OsString {
    let mut path = code_dir.as_os_str().to_owned();
    path.push(":");
    path.push(code_dir.join("lib"));
    path
}

/// The Python interpreters of this machine, each looked for once.
///
/// A name in PATH may be a wrapper of a version manager, which works only with the variables of its user, or not at
/// all. So each candidate is asked, with this process's own environment, which program it is.
#[derive(Debug, Default)]
pub(crate) struct Interpreters {
    found: tokio::sync::Mutex<HashMap<PathBuf, Option<PathBuf>>>,
}

impl Interpreters {
    /// The interpreter that the settings name, or `python3.N` of the runtime, or `python3` with a remark.
    async fn choose(
        &self,
        config: &FunctionConfig,
        set: Option<&Path>,
    ) -> Result<(PathBuf, Option<String>), LaunchError> {
        if let Some(python) = set {
            let found = self.find(python).await;
            let text = || format!("{} does not run as a Python interpreter", python.display());
            return found.map(|found| (found, None)).ok_or_else(|| LaunchError::CannotStart(text()));
        }
        if let Some(found) = self.find(Path::new(&config.runtime)).await {
            return Ok((found, None));
        }
        match self.find(Path::new("python3")).await {
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

    async fn find(&self, name: &Path) -> Option<PathBuf> {
        let mut found = self.found.lock().await;
        if let Some(known) = found.get(name) {
            return known.clone();
        }
        let candidates: Vec<PathBuf> = if name.components().count() > 1 {
            vec![name.to_owned()]
        } else {
            let path = std::env::var_os("PATH").unwrap_or_else(|| CHILD_PATH.into());
            std::env::split_paths(&path).map(|dir| dir.join(name)).filter(|path| is_executable(path)).collect()
        };
        let mut answer = None;
        for candidate in candidates {
            answer = ask(&candidate).await;
            if answer.is_some() {
                break;
            }
        }
        found.insert(name.to_owned(), answer.clone());
        answer
    }
}

/// The program behind a candidate; `None`: it does not run.
async fn ask(candidate: &Path) -> Option<PathBuf> {
    let mut command = tokio::process::Command::new(candidate);
    command.args(["-c", "import sys; sys.stdout.write(sys.executable)"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PROBE_MAX, command.output()).await.ok()?.ok()?;
    let program = PathBuf::from(String::from_utf8(output.stdout).ok()?);
    (output.status.success() && is_executable(&program)).then_some(program)
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The name of a log stream: `YYYY/MM/DD/[<version>]<32 hex>`.
pub(crate) fn log_stream_name(now_ms: EpochMs, version: &str, token: &str) -> String {
    let (year, month, day) = civil_date(now_ms.seconds() / 86_400);
    let hex: String = token.chars().filter(char::is_ascii_hexdigit).collect();
    format!("{year:04}/{month:02}/{day:02}/[{version}]{hex}")
}

/// The Gregorian date of a day counted from 1970-01-01. Years are counted from March, so that the leap day is last.
fn civil_date(days: u64) -> (u64, u64, u64) {
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
