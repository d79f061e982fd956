//! One operating system process with its group: started, signalled, waited for.
//!
//! Invariants
//! - Every process leads its own group. The group is signalled only while its leader has not been reaped, so that the
//!   number cannot have passed to a stranger.
//! - Processes are started by a thread that lives as long as the pool: the kernel delivers the parent-death signal
//!   when the *thread* that forked ends, and a thread of a runtime or of a blocking pool may end at any time.
//! - The end of the leader is the end of the group: what it started is killed with it, as AWS throws the whole
//!   sandbox away.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

/// The thread that starts processes. Dropping it kills those of its processes that still run.
pub(crate) struct Spawner {
    requests: mpsc::Sender<(Command, oneshot::Sender<std::io::Result<Child>>)>,
}

impl Spawner {
    pub(crate) fn start() -> std::io::Result<Spawner> {
        let (requests, inbox) = mpsc::channel::<(Command, oneshot::Sender<std::io::Result<Child>>)>();
        std::thread::Builder::new().name("function-spawner".to_owned()).spawn(move || {
            for (mut command, reply) in inbox {
                if let Err(Ok(mut orphan)) = reply.send(command.spawn()) {
                    // Nobody waits for it any more.
                    let _ = orphan.kill();
                    let _ = orphan.wait();
                }
            }
        })?;
        Ok(Spawner { requests })
    }

    /// Starts `command` as the leader of a new group that dies with this process.
    pub(crate) async fn spawn(&self, mut command: Command) -> std::io::Result<Process> {
        let parent = rustix::process::getpid();
        command.process_group(0);
        // SAFETY: the closure runs between fork and exec and calls only prctl and getppid, which are
        // async-signal-safe; it allocates nothing.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                // The parent may have died before the signal was asked for.
                if libc::getppid() != parent.as_raw_nonzero().get() {
                    return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
                }
                Ok(())
            });
        }
        let (reply, answer) = oneshot::channel();
        let gone = || std::io::Error::other("the thread that starts processes is gone");
        self.requests.send((command, reply)).map_err(|_| gone())?;
        let child = answer.await.map_err(|_| gone())??;
        Process::adopt(child)
    }
}

/// A running process, the leader of its group.
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    /// Readable once the leader has ended; does not reap it.
    ended: AsyncFd<OwnedFd>,
    reaped: Option<ExitStatus>,
}

impl Process {
    fn adopt(mut child: Child) -> std::io::Result<Process> {
        let pid = Pid::from_child(&child);
        let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(std::io::Error::from);
        // SAFETY: the descriptor is open, and an OwnedFd gives the same one for as long as it lives.
        let ended = ended.and_then(|fd| unsafe {
            AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE).map_err(Into::into)
        });
        match ended {
            Ok(ended) => Ok(Process { child, pid, ended, reaped: None }),
            Err(error) => {
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The ends of its output pipes; once.
    pub(crate) fn take_output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// Waits until the leader has ended. Cancellation-safe.
    pub(crate) async fn ended(&self) {
        if self.reaped.is_none() && self.ended.readable().await.is_err() {
            // The runtime is shutting down: nobody will see the end.
            std::future::pending::<()>().await;
        }
    }

    /// Signals the whole group.
    fn signal(&self, signal: Signal) {
        if self.reaped.is_none() {
            // ESRCH cannot happen before the leader is reaped; EPERM is a child that changed its user: nothing to do.
            let _ = rustix::process::kill_process_group(self.pid, signal);
        }
    }

    /// Ends the group: SIGTERM, `grace` for the leader, SIGKILL for everyone; returns when the leader is reaped.
    pub(crate) async fn terminate(&mut self, grace: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        let _ = tokio::time::timeout(grace, self.ended()).await;
        self.finish().await
    }

    /// Kills what is left of the group, waits for the leader, and reaps it.
    pub(crate) async fn finish(&mut self) -> ExitStatus {
        if let Some(status) = self.reaped {
            return status;
        }
        self.signal(Signal::KILL);
        self.ended().await;
        let status = self.child.wait().unwrap_or_default();
        self.reaped = Some(status);
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped.is_none() {
            tracing::debug!(
                pid = self.pid(),
                fd = self.ended.get_ref().as_raw_fd(),
                "killing a process that was let go"
            );
            self.signal(Signal::KILL);
            let _ = self.child.try_wait();
        }
    }
}
