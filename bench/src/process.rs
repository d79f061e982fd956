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

    /// What answers to sinks at once.
    ///
    /// # Errors
    /// It does not start.
    pub fn target() -> Result<(Server, u16)> {
        let mail_port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["target", "--mail-port", &mail_port.to_string()]);
        Server::start(command, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").map(|server| (server, mail_port))
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

/// Processor time that a process and all that it has started have used so far, user and system, those included that have ended and
/// were waited for. Source: `proc_pid_stat(5)`.
///
/// # Errors
/// The process is gone.
pub fn cpu_of_all(id: u32) -> Result<Duration> {
    // Of each process: its number, its parent's, and its clock ticks.
    let mut processes: Vec<(u32, u32, u64)> = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(number) = entry?.file_name().to_string_lossy().parse() else { continue };
        // One that has ended meanwhile was waited for by its parent.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{number}/stat")) else { continue };
        // Behind the name, which may have any character: the state, the parent, nine others, and the four times.
        let behind = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<u64> = behind.split_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect();
        let [parent, ..] = fields[..] else { continue };
        let ticks = fields.get(10..14).unwrap_or_default().iter().sum();
        processes.push((number, u32::try_from(parent).unwrap_or(0), ticks));
    }
    let mut all = vec![id];
    let mut at = 0;
    while let Some(&id) = all.get(at) {
        all.extend(processes.iter().filter(|(_, parent, _)| *parent == id).map(|(number, _, _)| *number));
        at += 1;
    }
    let ticks: u64 = processes.iter().filter(|(number, _, _)| all.contains(number)).map(|(_, _, ticks)| ticks).sum();
    if !processes.iter().any(|(number, _, _)| *number == id) {
        return Err(Error::other("the process is gone"));
    }
    // SAFETY: takes no pointers.
    let each_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1);
    Ok(Duration::from_secs_f64(ticks as f64 / each_second as f64))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_started_counts_also_when_it_has_ended() {
        // It ends by itself when its input does. Two shells deep, so that what ended was not a child of the one that is asked about.
        let script = "sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done' ; echo done; read line";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(cpu_of_all(child.id()).unwrap() > Duration::ZERO);
        drop(child.stdin.take());
        let id = child.id();
        child.wait().unwrap();
        assert!(cpu_of_all(id).is_err(), "it is gone");
    }
}
