//! Control groups of version 2 that hold what a function's process starts: nothing leaves one by forking twice or by emptying
//! its environment, all of it can be killed at once, and memory and the number of processes have a limit where the controllers
//! for that are there.
//!
//! One group is made for this server, beside its own or in it, wherever that is allowed and the controllers are; in it one for
//! each process of a function. Groups of servers that are gone are emptied and removed. Where none can be made (a container
//! whose groups are read-only, version 1), everything works without: groups of processes, descriptors and the ledger remain.
//!
//! What it does not do: it changes no group that it has not made, so it does not turn controllers on for others.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tailrace_core::limits;

use crate::ledger::start_ticks;

/// What our groups' names begin with; behind it the server's process and when that started, in ticks since the boot.
const NAME: &str = "tailrace";

/// The group of this server, if there is one.
#[derive(Debug)]
pub(crate) struct Cgroups {
    base: Option<PathBuf>,
    limits_memory: bool,
}

/// The group of one process and of whatever it starts.
#[derive(Debug)]
pub(crate) struct Cgroup {
    dir: PathBuf,
}

impl Cgroups {
    /// Makes the server's group where it can be made.
    pub(crate) fn open() -> Cgroups {
        let cgroups =
            own_place().map_or(Cgroups { base: None, limits_memory: false }, |(root, own)| Cgroups::below(&root, &own));
        match (&cgroups.base, cgroups.limits_memory) {
            (Some(base), true) => tracing::debug!(base = %base.display(), "functions run in control groups"),
            (Some(base), false) => {
                tracing::info!(base = %base.display(), "functions run in control groups that cannot limit memory");
            }
            (None, _) => tracing::info!("functions run without control groups: none can be made here"),
        }
        cgroups
    }

    /// In a hierarchy's `root`, for a process in the group `own`: rather beside it, where the controllers of the group above
    /// are, than in it, where a group that has processes of its own may turn none on.
    fn below(root: &Path, own: &Path) -> Cgroups {
        let inside = root.join(own.strip_prefix("/").unwrap_or(own));
        let beside = if inside == root { None } else { inside.parent().map(Path::to_owned) };
        let mut places: Vec<PathBuf> = beside.into_iter().chain([inside]).collect();
        // Stable: of two without controllers the one beside goes first all the same.
        places.sort_by_key(|place| !has_word(&place.join("cgroup.subtree_control"), "memory"));
        for place in places {
            remove_stale(&place);
            let base = place.join(own_name());
            if fs::create_dir(&base).is_err() {
                continue;
            }
            // Each by itself: one that is not there does not keep the other away.
            let limits_memory = enable(&base, "memory");
            enable(&base, "pids");
            // A place that looks right and is not holds no process: found out before a function needs it.
            if base.join("cgroup.procs").exists() {
                return Cgroups { base: Some(base), limits_memory };
            }
            let _ = fs::remove_dir(&base);
        }
        Cgroups { base: None, limits_memory: false }
    }

    /// Whether a process that is started in one of these groups has its memory limited.
    pub(crate) fn limits_memory(&self) -> bool {
        self.limits_memory
    }

    /// A group for one process; `None`: there is none, and the process runs without.
    pub(crate) fn create(&self, token: &str, memory_mb: u32) -> Option<Cgroup> {
        let dir = self.base.as_ref()?.join(token);
        if let Err(error) = fs::create_dir(&dir) {
            tracing::debug!(dir = %dir.display(), %error, "no control group for a process");
            return None;
        }
        let group = Cgroup { dir };
        group.limit("pids.max", &limits::FUNCTION_PROCESSES_MAX.to_string());
        group.limit("memory.max", &(u64::from(memory_mb) * 1024 * 1024).to_string());
        group.limit("memory.swap.max", "0");
        // Not one of several processes: AWS, too, ends the whole environment.
        group.limit("memory.oom.group", "1");
        Some(group)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        if let Some(base) = &self.base {
            remove(base);
        }
    }
}

impl Cgroup {
    /// Where a process writes `0` to join.
    pub(crate) fn entrance(&self) -> Option<OwnedFd> {
        File::options().write(true).open(self.dir.join("cgroup.procs")).ok().map(OwnedFd::from)
    }

    /// Kills whatever is in it, at once.
    pub(crate) fn kill(&self) {
        kill(&self.dir);
    }

    /// Waits, blocking, until what was killed in it is dead, or for [`limits::FUNCTION_KILL_WAIT`].
    pub(crate) fn wait_until_empty(&self) {
        /// The group becomes empty once; more changes than these are not its end.
        const CHANGES_MAX: usize = 8;
        let Ok(mut file) = File::open(self.dir.join("cgroup.events")) else { return };
        for _ in 0..CHANGES_MAX {
            // Read by the descriptor that is polled: a change is one since the last read of it.
            let mut text = String::new();
            if file.rewind().and_then(|()| file.read_to_string(&mut text)).is_err() || !text.contains("populated 1") {
                return;
            }
            let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
            // SAFETY: one valid pollfd, alive for the call.
            if unsafe { libc::poll(&mut poll, 1, limits::FUNCTION_KILL_WAIT.as_millis() as i32) } == 0 {
                // It hangs in the kernel.
                return;
            }
        }
    }

    /// The most memory that was in use at once, bytes.
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        fs::read_to_string(self.dir.join("memory.peak")).ok()?.trim().parse().ok()
    }

    /// Whether something in it was killed because the memory did not suffice.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        // Without the controller there is no such file.
        let events = fs::read_to_string(self.dir.join("memory.events")).unwrap_or_default();
        let killed = events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse::<u64>().ok());
        killed.is_some_and(|count| count > 0)
    }

    /// Sets one of its limits; one whose controller is not there limits nothing.
    fn limit(&self, name: &str, value: &str) {
        let _ = write(&self.dir.join(name), value);
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.kill();
        // What dies in it may take a moment; then the server's group takes it along.
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Where the hierarchy is mounted, and the group of this process in it.
fn own_place() -> Option<(PathBuf, PathBuf)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    Some((mount_point(&mounts)?, PathBuf::from(own)))
}

/// The first mount of the hierarchy: its fields are `id parent major:minor root point options ... - type source options`.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    let line =
        mounts.lines().find(|line| line.split_once(" - ").is_some_and(|(_, rest)| rest.starts_with("cgroup2 ")))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

fn own_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let ticks = start_ticks(pid).unwrap_or_default();
    format!("{NAME}-{pid}-{ticks}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Empties and removes groups whose server is gone.
fn remove_stale(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let mut parts = name.to_str().unwrap_or_default().split('-');
        let (Some(NAME), Some(pid), Some(ticks)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (Ok(pid), Ok(ticks)) = (pid.parse::<i32>(), ticks.parse::<u64>()) else { continue };
        if start_ticks(pid) != Some(ticks) {
            remove(&entry.path());
        }
    }
}

/// Kills what is in a server's group, and removes it with those in it; what is not empty yet stays.
fn remove(base: &Path) {
    kill(base);
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    let _ = fs::remove_dir(base);
}

/// Kills what is in a group and in those below it. Kernels before 5.14 lack it; then the others who kill have to do.
fn kill(group: &Path) {
    let _ = write(&group.join("cgroup.kill"), "1");
}

/// Writes to a file that is there: the kernel makes them, nobody else.
fn write(file: &Path, value: &str) -> std::io::Result<()> {
    File::options().write(true).open(file)?.write_all(value.as_bytes())
}

/// Turns a controller on for the groups below, if the group has it.
fn enable(base: &Path, controller: &str) -> bool {
    let control = base.join("cgroup.subtree_control");
    has_word(&base.join("cgroup.controllers"), controller) && write(&control, &format!("+{controller}")).is_ok()
}

fn has_word(file: &Path, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|other| other == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_version_2_is_found_among_others() {
        let mounts = "33 24 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                      34 33 0:29 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                      35 33 0:30 / /sys/fs/cgroup/unified rw,relatime shared:10 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mount_point("34 33 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"), None);
    }

    /// A tree of plain files stands for a hierarchy: what is chosen and what is written is the same.
    fn hierarchy(groups: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (group, enabled) in groups {
            let path = dir.path().join(group);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("cgroup.subtree_control"), enabled).unwrap();
        }
        dir
    }

    #[test]
    fn a_group_is_made_beside_the_own_one_where_the_controllers_are() {
        let dir = hierarchy(&[("app.slice", "memory pids\n"), ("app.slice/terminal.scope", "\n")]);
        // In a directory that is none of the kernel's no files appear, so that the place is given up again.
        let cgroups = Cgroups::below(dir.path(), Path::new("/app.slice/terminal.scope"));
        assert!(cgroups.base.is_none() && !cgroups.limits_memory());
        assert_eq!(fs::read_dir(dir.path().join("app.slice")).unwrap().count(), 2, "and nothing is left behind");
    }

    #[test]
    fn what_a_server_that_is_gone_left_is_removed_and_a_living_ones_is_not() {
        let dir = hierarchy(&[]);
        let mine = format!("tailrace-{}-{}-7", std::process::id(), start_ticks(std::process::id() as i32).unwrap());
        for name in [&*mine, "tailrace-1-999999999999-0", "tailrace-x-1-0", "other"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        remove_stale(dir.path());
        let mut left: Vec<String> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["other", &mine, "tailrace-x-1-0"].map(str::to_owned).as_slice());
    }
}
