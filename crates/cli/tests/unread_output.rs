//! Pipes that are open, full, and read by nobody: a server serves, its functions run, and it ends when it is told to.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod support;

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use support::{call, command, port_in};

const PUT: &str = r#"{"TableName":"Things","Item":{"Id":{"S":"ID"}}}"#;

/// How long a write may take on a busy machine; what is held up is so for ever.
const ANSWER: Duration = Duration::from_secs(20);
/// How long an end may take: nothing is left to be delivered.
const END: Duration = Duration::from_secs(60);
/// How long anything else is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `f` answers, if it does so in time.
fn within<T: Send + 'static>(limit: Duration, f: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, answer) = mpsc::channel();
    std::thread::spawn(move || sender.send(f()));
    answer.recv_timeout(limit).ok()
}

/// `up`, which nobody listens to any more once it has said where it listens.
struct Unread {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<BufReader<ChildStderr>>,
    /// Ends with it.
    alive: Option<PipeReader>,
    port: u16,
    /// The function calls here when it is done with its output.
    done: TcpListener,
    _dir: tempfile::TempDir,
}

impl Unread {
    /// With a function that writes 2,000 long lines by the statement `print` for each record.
    fn start(print: &str) -> Unread {
        let (dir, done) = (tempfile::tempdir().unwrap(), TcpListener::bind(("127.0.0.1", 0)).unwrap());
        write_function(dir.path(), print, done.local_addr().unwrap().port());
        let (path, data) = (dir.path().to_string_lossy().into_owned(), dir.path().join("data"));
        let (alive, held) = std::io::pipe().unwrap();
        let mut child = command(&["up", &path, "--port", "0", "--data-dir", &data.to_string_lossy()])
            .stdin(held)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), BufReader::new(child.stderr.take().unwrap()));
        let mut line = String::new();
        while !line.contains("listening on http://127.0.0.1:") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it has ended");
        }
        Unread {
            child,
            stdout: Some(stdout),
            stderr: Some(stderr),
            alive: Some(alive),
            port: port_in(&line),
            done,
            _dir: dir,
        }
    }

    /// Writes an item in time, and waits until the function is done with it.
    #[track_caller]
    fn put(&self, id: &str) {
        let (port, body) = (self.port, PUT.replace("ID", id));
        let answer = within(ANSWER, move || call(port, "DynamoDB_20120810.PutItem", &body));
        assert_eq!(answer.as_deref(), Some("{}"), "PutItem {id}");
        let done = self.done.try_clone().unwrap();
        assert!(within(PATIENCE, move || drop(done.accept())).is_some(), "the function does not go on with {id}");
    }

    fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.child.id().to_string()];
        assert!(std::process::Command::new("kill").args(arguments).status().unwrap().success());
    }

    /// Waits for its end without reading anything.
    #[track_caller]
    fn end(mut self) -> ExitStatus {
        // Its end is the end of a pipe that it alone holds.
        let mut alive = self.alive.take().unwrap();
        assert!(within(END, move || alive.read(&mut [0])).is_some(), "it does not end");
        self.child.wait().unwrap()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_function(dir: &Path, print: &str, port: u16) {
    let template = "Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Things
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: Id, AttributeType: S}]
      KeySchema: [{AttributeName: Id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
  Function:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: loud
      Runtime: python3.13
      CodeUri: .
      Handler: app.handler
      Timeout: 60
      Events:
        Things:
          Type: DynamoDB
          Properties: {Stream: !GetAtt Things.StreamArn, StartingPosition: TRIM_HORIZON, BatchSize: 1}
";
    let app = format!(
        "import socket, sys\n\
         def handler(event, context):\n    \
             for line in range(2000):\n        {print}\n    \
             socket.create_connection(('127.0.0.1', {port})).close()\n"
    );
    std::fs::write(dir.join("template.yaml"), template).unwrap();
    std::fs::write(dir.join("app.py"), app).unwrap();
}

const TO_STDOUT: &str = "print('x' * 4000)";
const TO_STDERR: &str = "print('x' * 4000, file=sys.stderr)";

/// The next line with this part; the rest is read to its end by a thread, so that nobody waits for it.
fn line_with(mut reader: impl BufRead + Send + 'static, part: &'static str) -> Option<String> {
    let (sender, found) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap_or(0) > 0 {
            if line.contains(part) {
                let _ = sender.send(std::mem::take(&mut line));
            }
            line.clear();
        }
    });
    found.recv_timeout(PATIENCE).ok()
}

#[test]
fn writes_are_answered_functions_go_on_and_sigterm_ends_the_server() {
    for print in [TO_STDOUT, TO_STDERR] {
        let server = Unread::start(print);
        for id in ["1", "2", "3"] {
            server.put(id);
        }
        server.signal("TERM");
        assert_eq!(server.end().code(), Some(0), "{print}");
    }
}

#[test]
fn what_was_dropped_is_told_when_the_reader_is_back() {
    for print in [TO_STDOUT, TO_STDERR] {
        let mut server = Unread::start(print);
        server.put("1");
        server.put("2");
        let mut stdout = server.stdout.take().unwrap();
        let stderr = server.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let told = line_with(stderr, "were dropped").expect("the loss is told");
        let count: u64 = told.split(' ').find_map(|word| word.parse().ok()).expect("a number");
        assert!((1..4000).contains(&count), "{told}");
        server.signal("TERM");
        assert_eq!(server.end().code(), Some(0), "{print}");
    }
}

/// Fills a pipe, and keeps it full for as long as nobody reads.
fn fill(mut pipe: PipeWriter) {
    let (sender, written) = mpsc::channel();
    std::thread::spawn(move || while pipe.write_all(&[b'x'; 4096]).is_ok() && sender.send(()).is_ok() {});
    while written.recv_timeout(Duration::from_millis(200)).is_ok() {}
}

/// The store meets damage among the items, which ends the process: at once, though nobody can be told why.
#[test]
fn last_words_that_nobody_reads_do_not_hold_up_the_end() {
    const KEY: &str = "stack 20";
    const NEEDLE: &str = "a needle in a tree";
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_string_lossy().into_owned();
    let serve = || command(&["serve", "--port", "0", "--data-dir", &data_dir]);
    let ask = |port, operation: &str, body: serde_json::Value| -> serde_json::Value {
        serde_json::from_str(&call(port, operation, &body.to_string())).unwrap()
    };

    // A server that ends in order leaves its items in the tree.
    let mut server = serve().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let port = port_in(&line);
    ask(port, "DynamoDB_20120810.CreateTable", serde_json::from_str(support::COUNTERS).unwrap());
    // Among others, so that a start, which reads rows of its own, does not come upon it.
    for id in (0..40).map(|n| format!("stack {n}")) {
        let hay = if id == KEY { NEEDLE.to_owned() } else { "hay ".repeat(2000) };
        let item = serde_json::json!({ "TableName": "Counters", "Item": { "Id": { "S": id }, "in": { "S": hay } } });
        assert_eq!(ask(port, "DynamoDB_20120810.PutItem", item), serde_json::json!({}));
    }
    let terminate = std::process::Command::new("kill").args(["-TERM", &server.id().to_string()]).status();
    assert!(terminate.unwrap().success());
    assert_eq!(server.wait().unwrap().code(), Some(0));
    damage(&dir.path().join("tree/tables"), NEEDLE.as_bytes());

    let (reader, writer) = std::io::pipe().unwrap();
    let (mut alive, held) = std::io::pipe().unwrap();
    let mut server = serve().stdin(held).stdout(Stdio::null()).stderr(writer.try_clone().unwrap()).spawn().unwrap();
    let mut reader = BufReader::new(reader);
    line.clear();
    reader.read_line(&mut line).unwrap();
    let port = port_in(&line);
    fill(writer);
    // The one that reads the damage gets no answer.
    let body = serde_json::json!({ "TableName": "Counters", "Key": { "Id": { "S": KEY } } }).to_string();
    let answer = within(END, move || call(port, "DynamoDB_20120810.GetItem", &body));
    let ended = within(END, move || alive.read(&mut [0]));
    let _ = server.kill();
    let status = server.wait().unwrap();
    assert!(ended.is_some(), "it does not end; GetItem: {answer:?}");
    assert_eq!(status.signal(), Some(6), "{status}: an abort");
}

/// Changes a byte in the files of a directory wherever they hold `needle`.
fn damage(dir: &Path, needle: &[u8]) {
    let mut found = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let file = std::fs::File::options().read(true).write(true).open(entry.unwrap().path()).unwrap();
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes).unwrap();
        for at in (0..bytes.len().saturating_sub(needle.len())).filter(|at| bytes[*at..].starts_with(needle)) {
            file.write_all_at(b"N", at as u64).unwrap();
            found += 1;
        }
    }
    assert!(found > 0, "the files have the item");
}
