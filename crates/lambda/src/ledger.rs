//! The processes of this server, written on disk, so that the next start can kill what a killed server left behind; and
//! the search for what a process left behind.
//!
//! The end of a process ends its group, and the parent-death signal its leader, but neither reaches a daemon that made a
//! group of its own. Each process gets a random token in a variable that its children inherit; a record holds the token,
//! the number, the start time and the boot. Whatever carries the token goes before the record does. A daemon that emptied
//! its environment is not found: this is tidiness, not a sandbox.
//!
//! Invariant: a process is killed only if it carries a recorded token, or has a recorded number *and* start time in
//! the same boot. A number that passed to a stranger is left alone.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use tailrace_core::limits::FUNCTION_KILL_WAIT;

use crate::proc;

/// The variable that carries the token.
pub(crate) const TOKEN_VARIABLE: &str = "TAILRACE_ENVIRONMENT_ID";
/// Looks at the process table until nothing is left to be killed, at most so often: what is killed may have
/// forked while the table was read.
const SWEEPS_MAX: usize = 5;

/// The directory of records.
#[derive(Debug)]
pub(crate) struct Ledger {
    dir: PathBuf,
    boot_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    token: String,
    pid: i32,
    start_ticks: u64,
    boot_id: String,
}

impl Ledger {
    /// Opens the ledger, and kills and forgets what it lists.
    pub(crate) fn open(dir: PathBuf) -> std::io::Result<Ledger> {
        fs::create_dir_all(&dir)?;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        let ledger = Ledger { dir, boot_id };
        ledger.kill_leftovers()?;
        Ok(ledger)
    }

    /// Writes a process down. It is not synced: a power cut ends the process as well.
    pub(crate) fn add(&self, token: &str, pid: i32) -> std::io::Result<()> {
        let start_ticks = start_ticks(pid).unwrap_or_default();
        let record = Record { token: token.to_owned(), pid, start_ticks, boot_id: self.boot_id.clone() };
        fs::write(self.path(token), serde_json::to_vec(&record)?)
    }

    /// Kills what a process whose group has been killed left outside of it, and forgets the process. It reads the
    /// process table: call it where blocking is no matter.
    pub(crate) fn remove(&self, token: &str) {
        if let Err(error) = sweep(|pid| carries(pid, token)) {
            // The record stays for the next start.
            tracing::warn!(%error, "cannot look for what a function's process left behind");
            return;
        }
        // A record that stays is harmless: at the next start it matches nothing.
        let _ = fs::remove_file(self.path(token));
    }

    fn path(&self, token: &str) -> PathBuf {
        self.dir.join(format!("{token}.json"))
    }

    fn kill_leftovers(&self) -> std::io::Result<()> {
        let (mut records, mut paths) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            // A torn record belongs to a process that was being started: the parent-death signal took it.
            match fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok()) {
                Some(record) if record.boot_id == self.boot_id && !record.token.is_empty() => records.push(record),
                _ => {}
            }
            paths.push(path);
        }
        if !records.is_empty() {
            sweep(|pid| records.iter().any(|record| is_ours(pid, record)))?;
        }
        // Last: who is killed before looks for them again.
        paths.iter().try_for_each(fs::remove_file)
    }
}

/// Kills the processes that are ours until none is found.
fn sweep(is_ours: impl Fn(i32) -> bool) -> std::io::Result<()> {
    for _ in 0..SWEEPS_MAX {
        if kill_matching(&is_ours)? == 0 {
            break;
        }
    }
    Ok(())
}

/// Kills the processes that are ours, and waits for their ends, which are all begun by then; returns how many were found
/// alive.
fn kill_matching(is_ours: impl Fn(i32) -> bool) -> std::io::Result<usize> {
    let mut killed = Vec::new();
    for pid in proc::pids()? {
        let pid = pid?;
        if !is_ours(pid) {
            continue;
        }
        let Some(target) = Pid::from_raw(pid) else { continue };
        // The descriptor pins the process; looking again behind it rules out a number that was recycled in between.
        let Ok(fd) = rustix::process::pidfd_open(target, PidfdFlags::empty()) else { continue };
        if !is_ours(pid) {
            continue;
        }
        tracing::info!(pid, "killing a process that a function, or an earlier server, left running");
        if rustix::process::pidfd_send_signal(&fd, Signal::KILL).is_ok() {
            killed.push(fd);
        }
    }
    for fd in &killed {
        let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd, alive for the call.
        if unsafe { libc::poll(&mut poll, 1, FUNCTION_KILL_WAIT.as_millis() as i32) } == 0 {
            // It hangs in the kernel: the others are not waited for either.
            break;
        }
    }
    Ok(killed.len())
}

fn is_ours(pid: i32, record: &Record) -> bool {
    let Some(start_ticks) = start_ticks(pid) else { return false };
    (pid == record.pid && record.start_ticks != 0 && start_ticks == record.start_ticks) || carries(pid, &record.token)
}

/// Whether a process that runs has the token in its environment.
fn carries(pid: i32, token: &str) -> bool {
    // Not readable: another user's, hence not ours.
    let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let wanted = format!("{TOKEN_VARIABLE}={token}");
    environ.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
}

/// When the process started, in clock ticks since the boot; `None`: it is gone, or has ended and waits to be reaped.
pub(crate) fn start_ticks(pid: i32) -> Option<u64> {
    let stat = proc::stat(pid)?;
    // Field 3 is the state, 22 the start time.
    let mut fields = stat.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(22 - 4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn sleeper(token: Option<&str>) -> std::process::Child {
        let mut command = Command::new("sleep");
        command.arg("600").env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin");
        if let Some(token) = token {
            command.env(TOKEN_VARIABLE, token);
        }
        command.spawn().unwrap()
    }

    #[test]
    fn leftovers_are_killed_by_token_or_start_time_and_a_recycled_number_is_spared() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path().to_owned()).unwrap();

        let mut leader = sleeper(None);
        ledger.add("token-a", leader.id() as i32).unwrap();
        let mut grandchild = sleeper(Some("token-a"));
        let mut stranger = sleeper(Some("token-x"));
        // The stranger runs under a recorded number, but started at another time.
        ledger.add("token-b", stranger.id() as i32).unwrap();
        let path = ledger.path("token-b");
        let mut record: Record = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        record.start_ticks -= 1;
        fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();

        Ledger::open(dir.path().to_owned()).unwrap();
        assert!(leader.try_wait().unwrap().is_some(), "the recorded process is dead");
        assert!(grandchild.try_wait().unwrap().is_some(), "what carries the token is dead");
        assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "no record is left");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn records_of_an_earlier_boot_kill_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path().to_owned()).unwrap();
        let mut stranger = sleeper(None);
        ledger.add("token-a", stranger.id() as i32).unwrap();
        let path = ledger.path("token-a");
        let mut record: Record = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        record.boot_id = "another".to_owned();
        fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();

        Ledger::open(dir.path().to_owned()).unwrap();
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
