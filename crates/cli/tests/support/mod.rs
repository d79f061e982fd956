//! Runs the binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod stub;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `tailrace` to its end.
pub fn run(arguments: &[&str]) -> Ended {
    run_with_stdout(arguments, Stdio::piped())
}

/// As above, with another stdout.
pub fn run_with_stdout(arguments: &[&str], stdout: Stdio) -> Ended {
    let output = command(arguments).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The command, without variables that would change what it does.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tailrace"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TAILRACE_") || name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
}

/// A pipe that nobody reads.
pub fn closed() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// A disk without room.
pub fn full() -> Stdio {
    std::fs::File::options().write(true).open("/dev/full").unwrap().into()
}

/// The first example.
pub fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/leaderboard")
}

/// A table `Counters` with the hash key `Id` and a stream, as `CreateTable` wants it.
pub const COUNTERS: &str = r#"{"TableName":"Counters","BillingMode":"PAY_PER_REQUEST",
    "KeySchema":[{"AttributeName":"Id","KeyType":"HASH"}],
    "AttributeDefinitions":[{"AttributeName":"Id","AttributeType":"S"}],
    "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}"#;

/// A template with the same table.
pub const COUNTERS_TEMPLATE: &str = "Resources:
  Counters:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Counters
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: Id, AttributeType: S}]
      KeySchema: [{AttributeName: Id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
";

/// How long a line is waited for.
const LINE: Duration = Duration::from_secs(60);

/// What a process writes, line by line.
struct Output {
    lines: mpsc::Receiver<String>,
    all: JoinHandle<String>,
}

impl Output {
    fn of(stream: impl Read + Send + 'static) -> Output {
        let (sender, lines) = mpsc::channel();
        let all = std::thread::spawn(move || {
            let mut all = String::new();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                all += &line;
                all.push('\n');
                let _ = sender.send(line);
            }
            all
        });
        Output { lines, all }
    }

    #[track_caller]
    fn line(&self, part: &str) -> String {
        let mut seen = String::new();
        while let Ok(line) = self.lines.recv_timeout(LINE) {
            if line.contains(part) {
                return line;
            }
            seen = format!("{seen}{line}\n");
        }
        panic!("no line with {part:?} in\n{seen}");
    }
}

/// A process that runs. Killed on drop.
pub struct Process {
    child: Child,
    stdout: Option<Output>,
    stderr: Option<Output>,
}

impl Process {
    /// Starts `tailrace`; both outputs are read unless they are replaced.
    pub fn start(arguments: &[&str]) -> Process {
        Process::start_with(arguments, Stdio::piped(), Stdio::piped())
    }

    /// As above.
    pub fn start_with(arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Process {
        Process::of(command(arguments), stdout, stderr)
    }

    fn of(mut command: Command, stdout: Stdio, stderr: Stdio) -> Process {
        let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().map(Output::of), child.stderr.take().map(Output::of));
        Process { child, stdout, stderr }
    }

    /// The next line on stdout with this part.
    #[track_caller]
    pub fn stdout_line(&self, part: &str) -> String {
        self.stdout.as_ref().unwrap().line(part)
    }

    /// The next line on stderr with this part.
    #[track_caller]
    pub fn stderr_line(&self, part: &str) -> String {
        self.stderr.as_ref().unwrap().line(part)
    }

    /// `INT` is Ctrl-C.
    pub fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.child.id().to_string()];
        assert!(Command::new("kill").args(arguments).status().unwrap().success());
    }

    /// Two signals, as close to each other as one shell sends them.
    pub fn signal_twice(&self, first: &str, second: &str) {
        let script = format!("kill -{first} {0}; kill -{second} {0}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Signals again and again until it ends: the first ones may be too close to an earlier one to count.
    pub fn signal_until_it_ends(mut self, name: &str) -> Ended {
        while self.child.try_wait().unwrap().is_none() {
            self.signal(name);
            let _ = self.stderr.as_ref().unwrap().lines.recv_timeout(Duration::from_millis(100));
        }
        self.wait()
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> Ended {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let text = |output: Option<Output>| output.map(|output| output.all.join().unwrap()).unwrap_or_default();
        Ended { code, stdout: text(self.stdout.take()), stderr: text(self.stderr.take()) }
    }

    /// Ctrl-C, and its end.
    pub fn interrupt(self) -> Ended {
        self.signal("INT");
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number behind this text in a line.
#[track_caller]
pub fn port_in(line: &str) -> u16 {
    let digits = line.split_once("http://127.0.0.1:").unwrap().1;
    digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// A running server. Killed on drop.
pub struct Tailrace {
    pub process: Process,
    port: u16,
}

impl Tailrace {
    /// Starts it on a port of its own, and waits until it says where it listens.
    pub fn start(arguments: &[&str], data_dir: &Path) -> Tailrace {
        Tailrace::start_at(0, arguments, data_dir)
    }

    /// As [`Tailrace::start`], under a limit as the shell's `ulimit` takes it.
    pub fn start_limited(ulimit: &str, arguments: &[&str], data_dir: &Path) -> Tailrace {
        let mut shell = Command::new("sh");
        let script = format!("ulimit {ulimit} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_tailrace")]).args(arguments).stdin(Stdio::null());
        shell.args(["--port", "0", "--data-dir"]).arg(data_dir);
        let process = Process::of(shell, Stdio::piped(), Stdio::piped());
        let port = port_in(&process.stderr_line("listening on http://127.0.0.1:"));
        Tailrace { process, port }
    }

    /// Starts it on this port.
    pub fn start_at(port: u16, arguments: &[&str], data_dir: &Path) -> Tailrace {
        let (port, data_dir) = (port.to_string(), data_dir.to_string_lossy());
        let process = Process::start(&[arguments, &["--port", &port, "--data-dir", &data_dir]].concat());
        let port = port_in(&process.stderr_line("listening on http://127.0.0.1:"));
        Tailrace { process, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Calls an operation, and answers the body.
    pub fn call(&self, target: &str, body: &str) -> String {
        call(self.port, target, body)
    }

    /// Posts JSON to a path, and answers status and body.
    pub fn post(&self, path: &str, body: &str) -> (u16, String) {
        let head = "host: localhost\r\nconnection: close\r\ncontent-type: application/json";
        let answer = exchange(self.port, &format!("POST {path} HTTP/1.1\r\n{head}"), body);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Adds 1 to the counter `a`.
    pub fn count(&self) {
        let answer = self.call(
            "DynamoDB_20120810.UpdateItem",
            r#"{"TableName":"Counters","Key":{"Id":{"S":"a"}},"UpdateExpression":"ADD N :one",
                "ExpressionAttributeValues":{":one":{"N":"1"}}}"#,
        );
        assert_eq!(answer, "{}");
    }

    /// Ctrl-C.
    pub fn interrupt(self) -> Ended {
        self.process.interrupt()
    }

    /// As a crash would end it.
    pub fn kill(self) {}
}

/// Calls an operation of the server at this port, and answers the body.
pub fn call(port: u16, target: &str, body: &str) -> String {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amz-target: {target}\r\nx-amz-date: 20260101T000000Z\r\nauthorization: AWS4-HMAC-SHA256 Credential=a, \
         SignedHeaders=host, Signature=0"
    );
    exchange(port, &head, body).split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn exchange(port: u16, head: &str, body: &str) -> String {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
