//! Runs the binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
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
    let output = command(arguments).output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tailrace"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TAILRACE_") || name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
}

/// A running server on a port of its own. Killed on drop.
pub struct Tailrace {
    child: Child,
    port: u16,
    output: Option<(JoinHandle<String>, JoinHandle<String>)>,
}

const LISTENING: &str = "listening on http://127.0.0.1:";

impl Tailrace {
    /// Starts it, and waits until it says where it listens.
    pub fn start(arguments: &[&str], data_dir: &Path) -> Tailrace {
        Self::start_command(command(arguments), data_dir)
    }

    /// As [`Tailrace::start`], under a limit as the shell's `ulimit` takes it.
    pub fn start_limited(ulimit: &str, arguments: &[&str], data_dir: &Path) -> Tailrace {
        let mut shell = Command::new("sh");
        let script = format!("ulimit {ulimit} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_tailrace")]).args(arguments).stdin(Stdio::null());
        Self::start_command(shell, data_dir)
    }

    fn start_command(mut command: Command, data_dir: &Path) -> Tailrace {
        command.args(["--port", "0", "--data-dir"]).arg(data_dir);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, receiver) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let stderr = std::thread::spawn(move || {
            let mut all = String::new();
            for line in stderr.lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix(LISTENING) {
                    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                    let _ = sender.send(digits.parse::<u16>().unwrap());
                }
                all += &line;
                all.push('\n');
            }
            all
        });
        let mut stdout = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut all = String::new();
            let _ = stdout.read_to_string(&mut all);
            all
        });
        let port = receiver.recv_timeout(Duration::from_secs(30)).expect("the server says where it listens");
        Tailrace { child, port, output: Some((stdout, stderr)) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Calls an operation, and answers the body.
    pub fn call(&self, target: &str, body: &str) -> String {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.0\r\n\
             x-amz-target: {target}\r\nx-amz-date: 20260101T000000Z\r\nauthorization: AWS4-HMAC-SHA256 Credential=a, \
             SignedHeaders=host, Signature=0\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Ctrl-C.
    pub fn interrupt(self) -> Ended {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.wait()
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> Ended {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let (stdout, stderr) = self.output.take().unwrap();
        Ended { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }

    /// As a crash would end it.
    pub fn kill(self) {}
}

impl Drop for Tailrace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
