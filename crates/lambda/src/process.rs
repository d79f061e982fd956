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

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::busy::Patience;
use crate::ledger::Ledger;
use crate::orphans::{self, Known};
use crate::start::{Confinement, Start};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, waitpid};
use tailrace_core::limits::FUNCTION_KILL_WAIT;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

/// A process that is to be started.
struct Request {
    start: Box<Start>,
    /// What the process is known by in the ledger.
    token: String,
    /// Where the answer goes; the start comes back with it, to be tried again.
    reply: oneshot::Sender<(Box<Start>, Result<Handed, SpawnError>)>,
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
}

impl Spawner {
    pub(crate) fn start(ledger: Arc<Ledger>) -> std::io::Result<Spawner> {
        let (requests, inbox) = mpsc::channel::<Request>();
        let known = Known::default();
        orphans::start(&known)?;
        std::thread::Builder::new().name("function-spawner".to_owned()).spawn(move || {
            for Request { start, token, reply } in inbox {
                let spawned = start.run().map(Leader).map_err(SpawnError::Start).and_then(|leader| {
                    let number = leader.number();
                    known.lock().insert(number);
                    let handed = Handed { leader: Some(leader), token, known: known.clone(), ledger: ledger.clone() };
                    ledger.add(&handed.token, number).map_err(SpawnError::Record)?;
                    Ok(handed)
                });
                // Whoever does not wait any more, or drops the answer, lets it go.
                drop(reply.send((start, spawned)));
            }
        })?;
        Ok(Spawner { requests })
    }

    /// Starts `command` as the leader of a new group that dies with this process. A program that is open for writing is waited
    /// for, at most `FUNCTION_BUSY_WAIT`.
    pub(crate) async fn spawn(
        &self,
        command: &Command,
        token: &str,
        confinement: Confinement,
    ) -> Result<Process, SpawnError> {
        let (stdout, printed) = std::io::pipe().map_err(SpawnError::Start)?;
        let (stderr, complained) = std::io::pipe().map_err(SpawnError::Start)?;
        let start = Start::new(command, confinement, (printed.into(), complained.into())).map_err(SpawnError::Start)?;
        let mut start = Box::new(start);
        let gone = || SpawnError::Start(std::io::Error::other("the thread that starts processes is gone"));
        let mut patience = Patience::new();
        loop {
            let (reply, answer) = oneshot::channel();
            self.requests.send(Request { start, token: token.to_owned(), reply }).map_err(|_| gone())?;
            let spawned;
            (start, spawned) = answer.await.map_err(|_| gone())?;
            if let Err(SpawnError::Start(error)) = &spawned
                && patience.waits(error).await
            {
                continue;
            }
            let output = (stdout.into(), stderr.into());
            return Process::adopt(spawned?, output).map_err(SpawnError::Start);
        }
    }
}

/// A process of ours that has not been reaped: its number is its own.
struct Leader(Pid);

impl Leader {
    fn number(&self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// Waits for its end, blocking, and reaps it.
    fn wait(self) -> ExitStatus {
        loop {
            match waitpid(Some(self.0), WaitOptions::empty()) {
                Ok(Some((_, status))) => return ExitStatus::from_raw(status.as_raw()),
                Err(rustix::io::Errno::INTR) => {}
                // Somebody else has reaped it, or nothing is known of it.
                Ok(None) | Err(_) => return ExitStatus::default(),
            }
        }
    }
}

/// A process that was started, until somebody has it: dropped, it is ended with its group, and forgotten.
struct Handed {
    leader: Option<Leader>,
    /// What it is known by in the ledger.
    token: String,
    known: Known,
    ledger: Arc<Ledger>,
}

impl Drop for Handed {
    fn drop(&mut self) {
        let Some(leader) = self.leader.take() else { return };
        let _ = rustix::process::kill_process_group(leader.0, Signal::KILL);
        let _ = rustix::process::kill_process(leader.0, Signal::KILL);
        let (ledger, token) = (self.ledger.clone(), std::mem::take(&mut self.token));
        reap(leader, self.known.clone(), move || ledger.remove(&token));
    }
}

/// Leaves a process that was killed to a thread that reaps it, and then does the rest.
fn reap(leader: Leader, known: Known, then: impl FnOnce() + Send + 'static) {
    let number = leader.number();
    let reap = move || {
        leader.wait();
        known.lock().remove(&number);
        then();
    };
    // Without a thread it stays a zombie until this process ends.
    let _ = std::thread::Builder::new().name("function-reaper".to_owned()).spawn(reap);
}

/// A running process, the leader of its group.
pub(crate) struct Process {
    /// Until it is reaped, or let go.
    leader: Option<Leader>,
    /// The ends of its output pipes, stdout first.
    output: Option<(OwnedFd, OwnedFd)>,
    pid: Pid,
    /// Readable once the leader has ended; does not reap it.
    ended: AsyncFd<OwnedFd>,
    status: Option<ExitStatus>,
    known: Known,
}

impl Process {
    fn adopt(mut handed: Handed, output: (OwnedFd, OwnedFd)) -> std::io::Result<Process> {
        let leader = handed.leader.as_ref().ok_or(std::io::ErrorKind::NotFound)?;
        let pid = leader.0;
        let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        // SAFETY: the descriptor is open, and an OwnedFd gives the same one for as long as it lives.
        let ended = unsafe { AsyncFd::register_with_interest(ended, tokio::io::Interest::READABLE) }?;
        let (leader, known) = (handed.leader.take(), handed.known.clone());
        Ok(Process { leader, output: Some(output), pid, ended, status: None, known })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The ends of its output pipes, stdout first; once.
    pub(crate) fn take_output(&mut self) -> Option<(OwnedFd, OwnedFd)> {
        self.output.take()
    }

    /// Waits until the leader has ended. Cancellation-safe.
    pub(crate) async fn ended(&self) {
        if self.leader.is_some() && self.ended.readable().await.is_err() {
            // The runtime is shutting down: nobody will see the end.
            std::future::pending::<()>().await;
        }
    }

    /// Signals the leader and its group.
    fn signal(&self, signal: Signal) {
        if self.leader.is_none() {
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
            Ok(()) => self.leader.take().map(|leader| {
                let status = leader.wait();
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
        if let Some(leader) = self.leader.take() {
            reap(leader, self.known.clone(), || ());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.leader.is_some() {
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
    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("/bin/sleep");
        command.arg("600").env_clear();
        command
    }

    fn free() -> Confinement {
        Confinement { entrance: None, data_bytes: None }
    }

    /// A sleeper, and the end of a pipe that it holds open for as long as it lives.
    fn watched() -> (Box<Start>, std::io::PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        let output = (writer.try_clone().unwrap().into(), writer.into());
        (Box::new(Start::new(&sleeper(), free(), output).unwrap()), reader)
    }

    /// Returns when the pipe has no writer any more: its process is dead.
    fn read_to_end(pipe: &mut impl std::io::Read) {
        pipe.read_to_end(&mut Vec::new()).unwrap();
    }

    #[tokio::test]
    async fn a_process_is_in_the_ledger_when_somebody_hears_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let spawner = Spawner::start(Arc::new(Ledger::open(dir.path().to_owned()).unwrap())).unwrap();
        let mut process = spawner.spawn(&sleeper(), "token-a", free()).await.unwrap();
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
        let (start, mut pipe) = watched();
        let (reply, answer) = oneshot::channel();
        spawner.requests.send(Request { start, token: "token-a".to_owned(), reply }).unwrap();
        let (_, refused) = answer.await.unwrap();
        assert!(matches!(refused, Err(SpawnError::Record(_))), "{:?}", refused.err());
        tokio::task::spawn_blocking(move || read_to_end(&mut pipe)).await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_nobody_waits_for_is_killed_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let spawner = Spawner::start(Arc::new(Ledger::open(dir.path().to_owned()).unwrap())).unwrap();
        let (start, mut pipe) = watched();
        let (reply, answer) = oneshot::channel();
        drop(answer);
        spawner.requests.send(Request { start, token: "token-a".to_owned(), reply }).unwrap();
        tokio::task::spawn_blocking(move || read_to_end(&mut pipe)).await.unwrap();
        forgotten(dir.path()).await;
    }

    /// A start that takes too long is given up at the moment when it is done.
    #[tokio::test]
    async fn a_process_whose_answer_nobody_takes_is_killed_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let spawner = Spawner::start(Arc::new(Ledger::open(dir.path().to_owned()).unwrap())).unwrap();
        let (start, mut pipe) = watched();
        let (reply, answer) = oneshot::channel();
        spawner.requests.send(Request { start, token: "token-a".to_owned(), reply }).unwrap();
        // Behind the first in the thread's queue: its answer is there now.
        let mut other = spawner.spawn(&sleeper(), "token-b", free()).await.unwrap();
        other.finish().await;
        assert!(dir.path().join("token-a.json").exists());
        drop(answer);
        tokio::task::spawn_blocking(move || read_to_end(&mut pipe)).await.unwrap();
        forgotten(dir.path()).await;
    }

    /// Returns when the first process is not in the ledger any more: a thread of its own sees to that.
    async fn forgotten(ledger: &std::path::Path) {
        while ledger.join("token-a.json").exists() {
            tokio::task::yield_now().await;
        }
    }
}
