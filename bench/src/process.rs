//! The servers that are measured, as processes: the real binary, and a bare HTTP server in this one.

use std::io::{BufRead, BufReader, Error, Read, Result};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::generator::exchange;

/// A server process; killed on drop.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From its start to its first answer.
    pub first_answer: Duration,
    /// Its lines on stdout.
    pub lines: mpsc::Receiver<String>,
}

impl Server {
    /// `tailrace` with these arguments and a data directory, on a free port.
    ///
    /// # Errors
    /// It does not start.
    pub fn tailrace(binary: &Path, arguments: &[&str], data_dir: &Path) -> Result<Server> {
        let mut command = Command::new(binary);
        command.args(arguments).arg("--data-dir").arg(data_dir);
        Server::start(command, b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
    }

    /// The bare HTTP server.
    ///
    /// # Errors
    /// It does not start.
    pub fn bare() -> Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare");
        Server::start(command, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    }

    #[expect(clippy::disallowed_methods, reason = "it measures real time, and waits for a process that tells nothing")]
    fn start(mut command: Command, probe: &[u8]) -> Result<Server> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        command.args(["--port", &port.to_string()]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().map_err(|e| Error::other(format!("cannot start {command:?}: {e}")))?;
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("invariant: it is piped");
        std::thread::spawn(move || {
            let _ = BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
        });
        let mut stderr = child.stderr.take().expect("invariant: it is piped");
        let talk = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        loop {
            let answered = TcpStream::connect(address).and_then(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_secs(60)))?;
                exchange(&mut stream, probe)
            });
            if answered.is_ok() {
                return Ok(Server { child, address, first_answer: start.elapsed(), lines });
            }
            if child.try_wait()?.is_some() {
                return Err(Error::other(format!("{command:?}: {}", talk.join().unwrap_or_default())));
            }
            if start.elapsed() > Duration::from_secs(120) {
                return Err(Error::other("no answer within 120 seconds"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A connection for single calls.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(stream)
    }

    /// Resident memory, MB.
    pub fn memory_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
        line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }

    /// Processor time that the server has used so far, user and system, by its processor clock
    /// (`clock_getcpuclockid(3)`).
    ///
    /// # Errors
    /// The process is gone.
    pub fn cpu(&self) -> Result<Duration> {
        let mut clock: libc::clockid_t = 0;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: both calls write what they are given a pointer to, which lives until they return.
        let told = unsafe {
            libc::clock_getcpuclockid(self.child.id() as libc::pid_t, &raw mut clock) == 0
                && libc::clock_gettime(clock, &raw mut time) == 0
        };
        if !told {
            return Err(Error::other("the processor clock of the server cannot be read"));
        }
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// Bytes that it has read so far, of files and of sockets. Source: `proc_pid_io(5)`, `rchar`.
    ///
    /// # Errors
    /// The process is gone.
    pub fn bytes_read(&self) -> Result<u64> {
        let counts = std::fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let read = counts.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok());
        read.ok_or_else(|| Error::other("the kernel does not tell what the server reads"))
    }

    /// Stops it where it is, until it is resumed.
    ///
    /// # Errors
    /// The process is gone.
    pub fn pause(&self) -> Result<()> {
        self.signal(libc::SIGSTOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// The process is gone.
    pub fn resume(&self) -> Result<()> {
        self.signal(libc::SIGCONT)
    }

    fn signal(&self, signal: i32) -> Result<()> {
        // SAFETY: takes no pointers; the process is a child that is not waited for yet, so its number is its own.
        let result = unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
    }

    /// Ends it as a crash would.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A directory of this run; removed on drop.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// An empty directory below `parent`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(parent: &Path, name: &str) -> Result<Scratch> {
        let path = parent.join(format!("tailrace-bench-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
