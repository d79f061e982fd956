//! One operating system process with its group: started, signalled, waited for.
//!
//! Invariants
//! - Every process is started as the leader of a group of its own, so that what the terminal sends to this process (Ctrl-C) does
//!   not reach it. It is signalled itself (by its descriptor) as well as by that group: it may have left the group. Both only
//!   while it has not been reaped, so that the number cannot have passed to a stranger.
//! - Processes are started by a thread that lives as long as the pool: the kernel delivers the parent-death signal
//!   when the *thread* that forked ends, and a thread of a runtime or of a blocking pool may end at any time. The same thread
//!   writes each down in the ledger before anybody hears of it; one that cannot be written down is killed.
//! - The end of the leader is the end of the group: what it started is killed with it, as AWS throws the whole
//!   sandbox away.
//! - Every wait for an end has a bound. What a SIGKILL does not end in time (it hangs in the kernel, or is another user's
//!   by now) is left to a thread that reaps it whenever it ends.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::busy::Patience;
use crate::ledger::Ledger;
use crate::orphans::{self, Known};
use rustix::process::{Pid, PidfdFlags, Signal};
use tailrace_core::limits::{FUNCTION_KILL_WAIT, FUNCTION_NICENESS};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

/// A command that is to be started.
struct Request {
    command: Command,
    /// What the process is known by in the ledger.
    token: String,
    /// Where the answer goes; the command comes back with it, to be tried again.
    reply: oneshot::Sender<(Command, Result<Child, SpawnError>)>,
}

/// Why there is no process.
#[derive(Debug)]
pub(crate) enum SpawnError {
    /// It does not start.
    Start(std::io::Error),
    /// It cannot be written down: without that nobody could clean up behind it.
    Record(std::io::Error),
}

/// The thread that starts processes. Dropping it kills those of its processes that still run.
pub(crate) struct Spawner {
    requests: mpsc::Sender<Request>,
    known: Known,
}

/// What a process is held by from its first instruction on; beside it, each has a lower priority than this process.
pub(crate) struct Confinement {
    /// Where a process writes `0` to join its control group.
    pub(crate) entrance: Option<OwnedFd>,
    /// The most that its data may take, bytes: RLIMIT_DATA.
    pub(crate) data_bytes: Option<u64>,
}

impl Confinement {
    /// Goes in. Called between fork and exec: it calls only write, setpriority and setrlimit, and allocates nothing.
    fn enter(&self) {
        let _ = rustix::process::nice(FUNCTION_NICENESS);
        // A process that cannot go in runs without.
        if let Some(entrance) = &self.entrance {
            let _ = rustix::io::write(entrance, b"0");
        }
        if let Some(bytes) = self.data_bytes {
            let limit = rustix::process::Rlimit { current: Some(bytes), maximum: Some(bytes) };
            let _ = rustix::process::setrlimit(rustix::process::Resource::Data, limit);
        }
    }
}

impl Spawner {
    pub(crate) fn start(ledger: Arc<Ledger>) -> std::io::Result<Spawner> {
        let (requests, inbox) = mpsc::channel::<Request>();
        let known = Known::default();
        orphans::start(&known)?;
        let own = known.clone();
        std::thread::Builder::new().name("function-spawner".to_owned()).spawn(move || {
            for Request { mut command, token, reply } in inbox {
                let spawned = command.spawn().map_err(SpawnError::Start).and_then(|child| {
                    let pid = Pid::from_child(&child).as_raw_nonzero().get();
                    own.lock().insert(pid);
                    match ledger.add(&token, pid) {
                        Ok(()) => Ok(child),
                        Err(error) => {
                            end(child, &own);
                            Err(SpawnError::Record(error))
                        }
                    }
                });
                if let Err((_, Ok(unwanted))) = reply.send((command, spawned)) {
                    // Nobody waits for it any more.
                    end(unwanted, &own);
                    ledger.remove(&token);
                }
            }
        })?;
        Ok(Spawner { requests, known })
    }

    /// Starts `command` as the leader of a new group that dies with this process. A program that is open for writing is waited
    /// for, at most `FUNCTION_BUSY_WAIT`.
    pub(crate) async fn spawn(
        &self,
        mut command: Command,
        token: &str,
        confinement: Confinement,
    ) -> Result<Process, SpawnError> {
        let parent = rustix::process::getpid();
        command.process_group(0);
        let image = Image::of(&command).map_err(SpawnError::Start)?;
        // SAFETY: the closure runs between fork and exec and calls only prctl, getppid, write, setpriority,
        // setrlimit and execve,
        // which are async-signal-safe; it allocates nothing.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                // The parent may have died before the signal was asked for.
                if libc::getppid() != parent.as_raw_nonzero().get() {
                    return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
                }
                confinement.enter();
                Err(image.execute())
            });
        }
        let gone = || SpawnError::Start(std::io::Error::other("the thread that starts processes is gone"));
        let mut patience = Patience::new();
        loop {
            let (reply, answer) = oneshot::channel();
            self.requests.send(Request { command, token: token.to_owned(), reply }).map_err(|_| gone())?;
            let spawned;
            (command, spawned) = answer.await.map_err(|_| gone())?;
            if let Err(SpawnError::Start(error)) = &spawned
                && patience.waits(error).await
            {
                continue;
            }
            return Process::adopt(spawned?, self.known.clone()).map_err(SpawnError::Start);
        }
    }
}

/// Ends a process that nobody is to have, with its group.
fn end(mut child: Child, known: &Known) {
    let _ = rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL);
    let _ = child.kill();
    reap(child, known.clone());
}

/// Leaves a process that was killed to a thread that reaps it.
fn reap(mut child: Child, known: Known) {
    let pid = Pid::from_child(&child).as_raw_nonzero().get();
    let reap = move || {
        let _ = child.wait();
        known.lock().remove(&pid);
    };
    // Without a thread it stays a zombie until this process ends.
    let _ = std::thread::Builder::new().name("function-reaper".to_owned()).spawn(reap);
}

/// A program with its arguments and variables, ready for the moment behind the fork.
///
/// The standard library ends in execvp, which hands whatever the system does not know to a shell: a program for another
/// machine would be read as a script.
struct Image {
    // Declared with what they point into: the strings do not move when the vectors that hold them do.
    arguments: Vec<*const libc::c_char>,
    variables: Vec<*const libc::c_char>,
    _strings: Vec<CString>,
}

// SAFETY: the pointers are into the strings beside them, which nobody changes.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    /// The command's program, a path, with its arguments and its environment, which is built from nothing.
    fn of(command: &Command) -> std::io::Result<Image> {
        let words =
            std::iter::once(command.get_program()).chain(command.get_args()).map(|word| word.as_bytes().to_vec());
        let pairs = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let pairs = pairs.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
        let (words, pairs): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (words.collect(), pairs.collect());
        let count = words.len();
        let strings = words.into_iter().chain(pairs).map(CString::new).collect::<Result<Vec<CString>, _>>()?;
        let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
            strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (arguments, variables) = (pointers(&strings[..count]), pointers(&strings[count..]));
        Ok(Image { arguments, variables, _strings: strings })
    }

    /// Becomes the program; comes back only if that fails.
    fn execute(&self) -> std::io::Error {
        // SAFETY: the arrays end with null and point to strings that live as long as `self`; the first is the program.
        unsafe { libc::execve(self.arguments[0], self.arguments.as_ptr(), self.variables.as_ptr()) };
        std::io::Error::last_os_error()
    }
}

/// A running process, the leader of its group.
pub(crate) struct Process {
    /// Until it is reaped, or let go.
    child: Option<Child>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    pid: Pid,
    /// Readable once the leader has ended; does not reap it.
    ended: AsyncFd<OwnedFd>,
    status: Option<ExitStatus>,
    known: Known,
}

impl Process {
    fn adopt(mut child: Child, known: Known) -> std::io::Result<Process> {
        let pid = Pid::from_child(&child);
        let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(std::io::Error::from);
        // SAFETY: the descriptor is open, and an OwnedFd gives the same one for as long as it lives.
        let ended = ended.and_then(|fd| unsafe {
            AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE).map_err(Into::into)
        });
        match ended {
            Ok(ended) => {
                let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
                Ok(Process { child: Some(child), stdout, stderr, pid, ended, status: None, known })
            }
            Err(error) => {
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
                let _ = child.wait();
                known.lock().remove(&pid.as_raw_nonzero().get());
                Err(error)
            }
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The ends of its output pipes; once.
    pub(crate) fn take_output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.stdout.take(), self.stderr.take())
    }

    /// Waits until the leader has ended. Cancellation-safe.
    pub(crate) async fn ended(&self) {
        if self.child.is_some() && self.ended.readable().await.is_err() {
            // The runtime is shutting down: nobody will see the end.
            std::future::pending::<()>().await;
        }
    }

    /// Signals the leader and its group.
    fn signal(&self, signal: Signal) {
        if self.child.is_none() {
            return;
        }
        // A group that is empty, because its leader has left it, is ESRCH; EPERM is a child that changed its user: nothing
        // to do.
        let _ = rustix::process::kill_process_group(self.pid, signal);
        // Not twice: a handler of SIGTERM would run twice.
        let is_in_its_group = rustix::process::getpgid(Some(self.pid)) == Ok(self.pid);
        if !is_in_its_group || signal == Signal::KILL {
            let _ = rustix::process::pidfd_send_signal(self.ended.get_ref(), signal);
        }
    }

    /// Ends the leader and its group: SIGTERM, `grace` for the leader, SIGKILL for everyone; returns when the leader is
    /// reaped, or does not end.
    pub(crate) async fn terminate(&mut self, grace: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        let _ = tokio::time::timeout(grace, self.ended()).await;
        self.finish().await
    }

    /// Kills what is left of the leader and its group, waits for the leader, and reaps it. A leader that does not end in
    /// time counts as killed.
    pub(crate) async fn finish(&mut self) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        self.signal(Signal::KILL);
        let wait = FUNCTION_KILL_WAIT;
        let status = match tokio::time::timeout(wait, self.ended()).await {
            // It has ended: this returns at once.
            Ok(()) => self.child.take().map(|mut child| {
                let status = child.wait().unwrap_or_default();
                self.known.lock().remove(&self.pid());
                status
            }),
            Err(_) => {
                tracing::warn!(pid = self.pid(), "a function's process does not end though it was killed");
                self.let_go();
                None
            }
        };
        let status = status.unwrap_or_else(|| ExitStatus::from_raw(Signal::KILL.as_raw()));
        self.status = Some(status);
        status
    }

    /// Leaves the process to [`reap`]. No more signals from here on.
    fn let_go(&mut self) {
        if let Some(child) = self.child.take() {
            reap(child, self.known.clone());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.is_some() {
            tracing::debug!(
                pid = self.pid(),
                fd = self.ended.get_ref().as_raw_fd(),
                "killing a process that was let go"
            );
            self.signal(Signal::KILL);
            self.let_go();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("/bin/sleep");
        command.arg("600").env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn free() -> Confinement {
        Confinement { entrance: None, data_bytes: None }
    }

    /// Returns when the pipe has no writer any more: its process is dead.
    fn read_to_end(pipe: &mut impl std::io::Read) {
        pipe.read_to_end(&mut Vec::new()).unwrap();
    }

    #[tokio::test]
    async fn a_process_is_in_the_ledger_when_somebody_hears_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let spawner = Spawner::start(Arc::new(Ledger::open(dir.path().to_owned()).unwrap())).unwrap();
        let mut process = spawner.spawn(sleeper(), "token-a", free()).await.unwrap();
        let record = std::fs::read_to_string(dir.path().join("token-a.json")).unwrap();
        assert!(record.contains(&format!("\"pid\":{}", process.pid())), "{record}");
        process.finish().await;
    }

    #[tokio::test]
    async fn a_process_that_cannot_be_written_down_is_killed_and_nobody_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let processes = dir.path().join("processes");
        let spawner = Spawner::start(Arc::new(Ledger::open(processes.clone()).unwrap())).unwrap();
        std::fs::remove_dir(&processes).unwrap();
        let (mut pipe, writer) = std::io::pipe().unwrap();
        let mut command = sleeper();
        command.stdout(writer);
        let refused = spawner.spawn(command, "token-a", free()).await;
        assert!(matches!(refused, Err(SpawnError::Record(_))), "{:?}", refused.err());
        tokio::task::spawn_blocking(move || read_to_end(&mut pipe)).await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_nobody_waits_for_is_killed_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let spawner = Spawner::start(Arc::new(Ledger::open(dir.path().to_owned()).unwrap())).unwrap();
        let (mut pipe, writer) = std::io::pipe().unwrap();
        let (reply, answer) = oneshot::channel();
        drop(answer);
        let mut command = sleeper();
        command.stdout(writer);
        spawner.requests.send(Request { command, token: "token-a".to_owned(), reply }).unwrap();
        tokio::task::spawn_blocking(move || read_to_end(&mut pipe)).await.unwrap();
        // Behind the first in the thread's queue.
        let mut other = spawner.spawn(sleeper(), "token-b", free()).await.unwrap();
        other.finish().await;
        assert!(!dir.path().join("token-a.json").exists());
    }
}
