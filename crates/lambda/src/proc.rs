//! What the kernel tells of the machine's processes.

use std::io;

/// The numbers of the processes that there are.
///
/// # Errors
/// They cannot be listed; an item, if the list breaks off.
pub(crate) fn pids() -> io::Result<impl Iterator<Item = io::Result<i32>>> {
    let pid = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    Ok(std::fs::read_dir("/proc")?.filter_map(move |entry| entry.map(pid).transpose()))
}

/// What stands in a process's `stat` behind its name, from the third field, the state, on; `None`: it is gone.
pub(crate) fn stat(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    Some(stat.rsplit_once(") ")?.1.to_owned())
}
