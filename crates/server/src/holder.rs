//! Who has the data directory, as that server itself wrote there: a hint for whoever finds the directory in use.
//!
//! The lock of the directory alone decides whether it is in use. The file is never removed: what it says is told of a process that is
//! still there and has the lock open, as far as that can be seen, and as what was said, no more.

use std::net::SocketAddr;
use std::path::Path;

use tailrace_store::StoreError;

use crate::files;

/// The file's name in the data directory.
const FILE: &str = "SERVER";
/// More than it has. Our reason: whatever stands there, it is a line of an error.
const BYTES_MAX: u64 = 128;
/// The file that is locked.
const LOCK: &str = "LOCK";

/// Writes who has the directory, whose lock is held. What cannot be written is no hint.
pub fn note(dir: &Path, address: SocketAddr) {
    drop(std::fs::write(dir.join(FILE), format!("{} {address}\n", std::process::id())));
}

/// The error with who has the directory, if it is that somebody has, and tells.
pub fn told(error: StoreError, dir: &Path) -> StoreError {
    let StoreError::InUse(text) = error else { return error };
    // Another's note may be anything.
    let note = files::read_regular(&dir.join(FILE), BYTES_MAX).ok();
    match note.and_then(|note| read(&note)).filter(|(pid, _)| may_have(*pid, &dir.join(LOCK))) {
        Some((pid, address)) => StoreError::InUse(format!(
            "{text}: by what its last server wrote, by pid {pid}, which listens on {address}"
        )),
        None => StoreError::InUse(text),
    }
}

fn read(note: &[u8]) -> Option<(u32, SocketAddr)> {
    let text = std::str::from_utf8(note).ok()?;
    let (pid, address) = text.strip_suffix('\n')?.split_once(' ')?;
    Some((pid.parse().ok()?, address.parse().ok()?))
}

/// Whether there is a process of this number, as far as this one sees, and it may have the lock open. Numbers are given again, and
/// another container has others: there a server is 1, as its own first process is to everybody else.
fn may_have(pid: u32, lock: &Path) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    match std::fs::read_dir(process.join("fd")) {
        Ok(mut open) => {
            open.any(|file| file.is_ok_and(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == lock)))
        }
        // Somebody else's process.
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied && process.is_dir(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_note_of_a_process_that_is_there_is_told_and_only_where_the_directory_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let lock = std::fs::File::create(dir.path().join(LOCK)).unwrap();
        let in_use = || StoreError::InUse("in use".to_owned());
        let says = |error| told(error, dir.path()).to_string();
        let plain = in_use().to_string();
        assert_eq!(says(in_use()), plain);
        note(dir.path(), "127.0.0.1:8000".parse().unwrap());
        let pid = std::process::id();
        let expect = format!("{plain}: by what its last server wrote, by pid {pid}, which listens on 127.0.0.1:8000");
        assert_eq!(says(in_use()), expect);
        let other = StoreError::Corrupt("x".to_owned());
        assert_eq!(says(StoreError::Corrupt("x".to_owned())), other.to_string());
        for stale in ["4294967295 127.0.0.1:8000\n", "1", "1 \n", "\u{1b}[2J 127.0.0.1:8000\n", ""] {
            std::fs::write(dir.path().join(FILE), stale).unwrap();
            assert_eq!(says(in_use()), plain, "{stale:?}");
        }
        note(dir.path(), "127.0.0.1:8000".parse().unwrap());
        assert_eq!(says(in_use()), expect);
        // The number is another process's by now, or one of another container.
        drop(lock);
        assert_eq!(says(in_use()), plain);
    }
}
