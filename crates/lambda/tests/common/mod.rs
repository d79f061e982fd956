//! What the tests of functions share: a pool over a temporary directory, handlers written to files, real clocks.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it; tests unwrap")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tailrace_core::FunctionArn;

use bytes::Bytes;
use serde_json::Value;
use tailrace_core::EpochMs;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_lambda::{
    FunctionConfig, FunctionErrorKind, Functions, InvokeContext, InvokeOutcome, LogLine, LogStream, PythonClient,
    Settings,
};
use tokio::sync::mpsc;

pub const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

pub struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "real processes need the real clock")]
    fn now(&self) -> EpochMs {
        EpochMs(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64)
    }

    fn monotonic_ns(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }
}

pub struct RealRng;

impl Rng for RealRng {
    fn fill(&self, bytes: &mut [u8]) {
        use std::io::Read;
        std::fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
    }
}

/// A pool, its directory and its output.
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub functions: Functions,
    pub logs: mpsc::Receiver<LogLine>,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(|_| ())
    }

    /// A pool with changed settings. `PYTHON` names another interpreter, `PYTHON_CLIENT=awslambdaric` the other client,
    /// `NODE` another Node.js.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(dir.path().join("state"));
        settings.python = std::env::var_os("PYTHON").map(Into::into);
        settings.node = std::env::var_os("NODE").map(Into::into);
        settings.python_client = match std::env::var("PYTHON_CLIENT").as_deref() {
            Ok("awslambdaric") => PythonClient::Awslambdaric,
            _ => PythonClient::Own,
        };
        change(&mut settings);
        let (sender, logs) = mpsc::channel(tailrace_core::limits::FUNCTION_LOG_LINES_QUEUED_MAX);
        let functions = Functions::open(settings, Arc::new(RealClock), Arc::new(RealRng), sender).unwrap();
        Bench { dir, functions, logs }
    }

    pub fn code_dir(&self) -> std::path::PathBuf {
        let dir = self.dir.path().join("code");
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.code_dir().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes a program into the function's directory.
    pub fn write_program(&self, file: &str, text: &str) {
        self.write(file, text);
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.code_dir().join(file), executable).unwrap();
    }

    /// Invokes `f` with all that a caller can say of itself; the result.
    pub async fn result_with_contexts(&self) -> Value {
        let context = InvokeContext {
            request_id: Some("11111111-2222-4333-8444-555555555555".into()),
            client_context: Some(r#"{"custom":{"k":"ü"}}"#.into()),
            cognito_identity: Some(r#"{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}"#.into()),
            ..InvokeContext::default()
        };
        match self.functions.invoke("f", Bytes::from_static(r#"{"t":"ü"}"#.as_bytes()), context).await {
            InvokeOutcome::Success { payload, .. } => serde_json::from_slice(&payload).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The configuration of the function `f` whose `app.py` is `code`.
    pub fn python(&self, code: &str) -> FunctionConfig {
        self.write("app.py", code);
        patient(FunctionConfig::new("f", FunctionArn::new(ARN), "python3.13", "app.handler", self.code_dir()))
    }

    /// Registers `f` with `code` as its `app.py`.
    pub fn put(&self, code: &str) {
        self.functions.put(self.python(code)).unwrap();
    }

    /// The configuration of the function `f` of Node.js, whose handler is `handler` in the file.
    pub fn node(&self, file: &str, code: &str) -> FunctionConfig {
        self.write(file, code);
        let module = file.rsplit_once('.').unwrap().0;
        let handler = format!("{module}.handler");
        patient(FunctionConfig::new("f", FunctionArn::new(ARN), "nodejs20.x", handler, self.code_dir()))
    }

    /// Registers `f` with `code` in the file.
    pub fn put_node(&self, file: &str, code: &str) {
        self.functions.put(self.node(file, code)).unwrap();
    }

    pub fn put_with(&self, code: &str, change: impl FnOnce(&mut FunctionConfig)) {
        let mut config = self.python(code);
        change(&mut config);
        self.functions.put(config).unwrap();
    }

    pub async fn invoke(&self, event: &str) -> InvokeOutcome {
        self.functions.invoke("f", Bytes::copy_from_slice(event.as_bytes()), InvokeContext::default()).await
    }

    /// Invokes, and expects a result.
    #[track_caller]
    pub fn result(&self, event: &str) -> impl Future<Output = String> {
        let event = event.to_owned();
        let functions = self.functions.clone();
        async move {
            match functions.invoke("f", Bytes::from(event), InvokeContext::default()).await {
                InvokeOutcome::Success { payload, .. } => String::from_utf8(payload.to_vec()).unwrap(),
                other => panic!("no result: {other:?}"),
            }
        }
    }

    /// Invokes, and expects an error: its document, its kind, the invocation's request id.
    pub async fn error(&self, event: &str) -> (Value, FunctionErrorKind, String) {
        match self.invoke(event).await {
            InvokeOutcome::FunctionError { payload, kind, request_id, .. } => {
                (serde_json::from_slice(&payload).unwrap(), kind, request_id)
            }
            other => panic!("no function error: {other:?}"),
        }
    }

    /// The next line of output; what the host writes around invocations aside.
    pub async fn line(&mut self) -> LogLine {
        loop {
            let line = self.any_line().await;
            if line.stream != LogStream::Platform {
                return line;
            }
        }
    }

    /// The next line of the log.
    pub async fn any_line(&mut self) -> LogLine {
        tokio::time::timeout(Duration::from_secs(60), self.logs.recv()).await.expect("a line in time").unwrap()
    }

    /// Lines of output that are there and were not read.
    pub fn lines_left(&mut self) -> Vec<LogLine> {
        let mut left = Vec::new();
        while let Ok(line) = self.logs.try_recv() {
            if line.stream != LogStream::Platform {
                left.push(line);
            }
        }
        left
    }

    pub async fn stop(self) {
        self.functions.stop(Duration::from_secs(5)).await;
    }
}

/// With a timeout that no test beside others comes near.
pub fn patient(config: FunctionConfig) -> FunctionConfig {
    FunctionConfig { timeout_s: 60, ..config }
}

/// Whether the tests that need a program are left out: `cargo xtask test --without go`.
pub fn is_left_out(program: &str) -> bool {
    let without = std::env::var("TAILRACE_TEST_WITHOUT").unwrap_or_default();
    without.split(',').any(|name| name == program)
}

/// Waits until the process is gone, or has ended and waits to be reaped.
pub async fn is_dead_soon(pid: i32) -> bool {
    for _ in 0..2000 {
        if !is_alive(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

pub fn is_alive(pid: i32) -> bool {
    match std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")) {
        Ok(stat) => !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')),
        Err(_) => false,
    }
}
