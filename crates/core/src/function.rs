//! What a function is: its configuration, and the rules that a configuration must keep.
//! Source: docs/spec/lambda-runtime.md 5, 6, 7.5.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{FunctionArn, limits};

/// The configuration of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionConfig {
    /// The function's name.
    pub name: String,
    /// Its unqualified ARN.
    pub arn: FunctionArn,
    /// The handler, in the words of its runtime: `module.function`.
    pub handler: String,
    /// The runtime's identifier: `python3.13`, `provided.al2023`.
    pub runtime: String,
    /// The directory of the code; used in place.
    pub code_dir: PathBuf,
    /// The directories of its layers: where two have the same, the later one's counts.
    pub layers: Vec<PathBuf>,
    /// The longest that an invocation may take, seconds.
    pub timeout_s: u32,
    /// The memory that the function is told it has, MB. It is not enforced.
    pub memory_mb: u32,
    /// The function's own variables.
    pub environment: BTreeMap<String, String>,
    /// Most invocations at once; 0 switches the function off. `None`: bounded by the server's limit alone.
    pub reserved_concurrency: Option<u32>,
    /// How its lines are written.
    pub logging: Logging,
    /// The version: `$LATEST`.
    pub version: String,
}

/// How the lines of a function are written: its LoggingConfig. Source: docs/spec/lambda-runtime.md 10.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Logging {
    /// As JSON; else as text, and the levels are not looked at.
    pub json: bool,
    /// The least level of the function's own lines that are written. INFO, where it is not given.
    pub application_level: Option<LogLevel>,
    /// The least level of the platform's lines around each invocation: DEBUG, INFO or WARN. INFO, where it is not given.
    pub system_level: Option<LogLevel>,
}

/// A level of lines, from the least on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LogLevel {
    /// TRACE.
    Trace,
    /// DEBUG.
    Debug,
    /// INFO.
    Info,
    /// WARN.
    Warn,
    /// ERROR.
    Error,
    /// FATAL.
    Fatal,
}

impl LogLevel {
    /// The levels, by name.
    pub const ALL: [(&'static str, LogLevel); 6] = [
        ("TRACE", LogLevel::Trace),
        ("DEBUG", LogLevel::Debug),
        ("INFO", LogLevel::Info),
        ("WARN", LogLevel::Warn),
        ("ERROR", LogLevel::Error),
        ("FATAL", LogLevel::Fatal),
    ];
    /// Those of the platform.
    pub const OF_THE_PLATFORM: [(&'static str, LogLevel); 3] =
        [("DEBUG", LogLevel::Debug), ("INFO", LogLevel::Info), ("WARN", LogLevel::Warn)];

    /// Its name.
    pub fn name(self) -> &'static str {
        let (name, _) = LogLevel::ALL[self as usize];
        name
    }
}

impl FunctionConfig {
    /// A configuration with the defaults of Lambda: 3 seconds, 128 MB, version `$LATEST`.
    pub fn new(
        name: impl Into<String>,
        arn: FunctionArn,
        runtime: impl Into<String>,
        handler: impl Into<String>,
        code_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            name: name.into(),
            arn,
            handler: handler.into(),
            runtime: runtime.into(),
            code_dir: code_dir.into(),
            layers: Vec::new(),
            timeout_s: limits::FUNCTION_TIMEOUT_DEFAULT_S,
            memory_mb: limits::FUNCTION_MEMORY_DEFAULT_MB,
            environment: BTreeMap::new(),
            reserved_concurrency: None,
            logging: Logging::default(),
            version: "$LATEST".to_owned(),
        }
    }

    /// Checks the rules that do not need the machine: runtime, timeout, memory, variables.
    pub fn validate(&self) -> Result<(), ConfigError> {
        Family::of(&self.runtime).ok_or_else(|| ConfigError::UnsupportedRuntime(self.runtime.clone()))?;
        if !(1..=limits::FUNCTION_TIMEOUT_MAX_S).contains(&self.timeout_s) {
            return Err(ConfigError::Timeout(self.timeout_s));
        }
        if !(limits::FUNCTION_MEMORY_MIN_MB..=limits::FUNCTION_MEMORY_MAX_MB).contains(&self.memory_mb) {
            return Err(ConfigError::Memory(self.memory_mb));
        }
        let mut bytes = 0;
        for (key, value) in &self.environment {
            let well_formed = key.starts_with(|c: char| c.is_ascii_alphabetic())
                && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && key.len() >= 2;
            if is_reserved(key) {
                return Err(ConfigError::ReservedVariable(key.clone()));
            }
            if !well_formed || value.contains('\0') {
                return Err(ConfigError::MalformedVariable(key.clone()));
            }
            bytes += key.len() + value.len();
        }
        if bytes > limits::FUNCTION_VARIABLES_BYTES_MAX {
            return Err(ConfigError::VariablesTooLarge(bytes));
        }
        Ok(())
    }
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A runtime that Tailrace cannot start.
    #[error("the runtime {0:?} is not supported: {hint}", hint = supported(.0))]
    UnsupportedRuntime(String),
    /// A timeout outside 1 to 900 seconds.
    #[error("a timeout of {0} seconds is outside 1 to {max}", max = limits::FUNCTION_TIMEOUT_MAX_S)]
    Timeout(u32),
    /// A memory size outside 128 to 10,240 MB.
    #[error("a memory size of {0} MB is outside {min} to {max}", min = limits::FUNCTION_MEMORY_MIN_MB, max = limits::FUNCTION_MEMORY_MAX_MB)]
    Memory(u32),
    /// A variable that only the runtime host may set.
    #[error(
        "Lambda was unable to configure your environment variables because the environment variables you have \
         provided contains reserved keys that are currently not supported for modification. Reserved keys used in \
         this request: {0}"
    )]
    ReservedVariable(String),
    /// A name that is no name of a variable, or a value with a zero byte.
    #[error(
        "the environment variable {0:?} is malformed: a name is a letter and then one or more of a-z, A-Z, 0-9 and _, \
         and a value has no zero byte"
    )]
    MalformedVariable(String),
    /// Too many bytes of variables.
    #[error("the environment variables take {0} bytes, more than {max}", max = limits::FUNCTION_VARIABLES_BYTES_MAX)]
    VariablesTooLarge(usize),
}

/// What to use in a runtime's place.
fn supported(runtime: &str) -> &'static str {
    match runtime {
        "go1.x" => {
            "AWS has retired it; build the program as `bootstrap` (`GOOS=linux go build -tags lambda.norpc -o bootstrap`) \
             and use provided.al2023"
        }
        _ => "use python3.N, nodejsN.x, javaN or provided.* (a `bootstrap` executable)",
    }
}

/// How a runtime is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A Python interpreter.
    Python,
    /// Node.js.
    Node,
    /// A Java virtual machine.
    Java,
    /// The function's own `bootstrap` executable.
    Provided,
}

impl Family {
    /// Whether a process of a runtime goes on under a limit of its data. Node.js limits its heap itself, and programs of their own may
    /// reserve far more than they use.
    pub fn bears_data_limit(runtime: &str) -> bool {
        Family::of(runtime) == Some(Family::Python)
    }

    /// The family of a runtime identifier; `None`: not supported.
    pub fn of(runtime: &str) -> Option<Family> {
        let minor = runtime.strip_prefix("python3.");
        if minor.is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())) {
            Some(Family::Python)
        } else if node_major(runtime).is_some() {
            Some(Family::Node)
        } else if java_major(runtime).is_some() {
            Some(Family::Java)
        } else if runtime.starts_with("provided") || runtime == "custom" {
            Some(Family::Provided)
        } else {
            None
        }
    }
}

/// The major version of Node.js in a runtime identifier, `nodejs22.x`; the oldest, `nodejs`, has none, which is 0.
/// `None`: not Node.js.
pub fn node_major(runtime: &str) -> Option<u32> {
    let version = runtime.strip_prefix("nodejs")?;
    if version.is_empty() {
        return Some(0);
    }
    let (major, minor) = version.split_once('.')?;
    let is_minor = minor == "x" || (!minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()));
    if is_minor && major.bytes().all(|byte| byte.is_ascii_digit()) { major.parse().ok() } else { None }
}

/// The major version of Java in a runtime identifier, `java21` or `java8.al2`. `None`: not Java.
pub fn java_major(runtime: &str) -> Option<u32> {
    let version = runtime.strip_prefix("java")?;
    let major = match version.split_once('.') {
        Some((major, system)) if system.starts_with("al") => major,
        Some(_) => return None,
        None => version,
    };
    if major.bytes().all(|byte| byte.is_ascii_digit()) { major.parse().ok() } else { None }
}

/// Names that the host sets, that would switch a client into another mode, or that AWS heeds and Tailrace would pass over
/// in silence (AWS_LAMBDA_EXEC_WRAPPER: a script in the runtime's place). Source: docs/spec/lambda-runtime.md 6.
const RESERVED_VARIABLES: &[&str] = &[
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_EXEC_WRAPPER",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_HANDLER",
    "_LAMBDA_TELEMETRY_LOG_FD",
    "_X_AMZN_TRACE_ID",
];

/// Names that begin so are ours: they tell the client in the process what it is to do.
const OWN_PREFIX: &str = "TAILRACE_";

fn is_reserved(name: &str) -> bool {
    name.starts_with(OWN_PREFIX) || RESERVED_VARIABLES.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut FunctionConfig)) -> Result<(), ConfigError> {
        let mut config = FunctionConfig::new("f", FunctionArn::new("arn:f"), "python3.13", "app.handler", "/code");
        change(&mut config);
        config.validate()
    }

    #[test]
    fn the_reserved_names_are_sorted() {
        assert!(RESERVED_VARIABLES.is_sorted());
    }

    #[test]
    fn a_configuration_keeps_its_rules() {
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(check(|c| c.runtime = "provided.al2023".into()), Ok(()));
        for runtime in [
            "java",
            "java21x",
            "java8.x",
            "go1.x",
            "ruby3.3",
            "nodejs22",
            "nodejs.x",
            "nodejs+1.x",
            "python2.7",
            "python3.",
            "python3.zz",
            "python3.1x",
            "",
        ] {
            assert_eq!(check(|c| c.runtime = runtime.into()), Err(ConfigError::UnsupportedRuntime(runtime.into())));
        }
        for runtime in [
            "nodejs22.x",
            "nodejs18.x",
            "nodejs8.10",
            "nodejs",
            "python3.9",
            "java8.al2",
            "java21",
            "provided.al2",
            "provided",
        ] {
            assert_eq!(check(|c| c.runtime = runtime.into()), Ok(()), "{runtime}");
        }
        assert_eq!(
            [java_major("java8.al2"), java_major("java25"), java_major("javascript")],
            [Some(8), Some(25), None]
        );
        let go = ConfigError::UnsupportedRuntime("go1.x".into()).to_string();
        assert!(go.contains("go build") && go.contains("provided.al2023"), "{go}");
        assert_eq!(check(|c| c.timeout_s = 0), Err(ConfigError::Timeout(0)));
        assert_eq!(check(|c| c.timeout_s = 901), Err(ConfigError::Timeout(901)));
        assert_eq!(check(|c| c.memory_mb = 127), Err(ConfigError::Memory(127)));
        let set = |key: &str, value: &str| {
            check(|c| {
                c.environment.insert(key.into(), value.into());
            })
        };
        assert_eq!(set("TABLE", "GameScores"), Ok(()));
        assert_eq!(set("_HANDLER", "x"), Err(ConfigError::ReservedVariable("_HANDLER".into())));
        assert_eq!(set("AWS_REGION", "x"), Err(ConfigError::ReservedVariable("AWS_REGION".into())));
        for name in ["TAILRACE_PYTHON_CLIENT", "TAILRACE_MINE", "AWS_LAMBDA_EXEC_WRAPPER"] {
            assert_eq!(set(name, "x"), Err(ConfigError::ReservedVariable(name.into())));
        }
        assert_eq!(set("1A", "x"), Err(ConfigError::MalformedVariable("1A".into())));
        assert_eq!(set("A-B", "x"), Err(ConfigError::MalformedVariable("A-B".into())));
        assert_eq!(set("AB", &"x".repeat(4095)), Err(ConfigError::VariablesTooLarge(4097)));
        assert_eq!(set("AB", &"x".repeat(4094)), Ok(()));
    }
}
