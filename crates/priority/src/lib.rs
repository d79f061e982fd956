//! Who gets a processor first when all are taken: the database before the functions, and whatever else the machine runs before those,
//! too.
//!
//! The functions are nicer, so that they get the smaller share. That alone does not let a request run at once: the kernel lets whoever
//! runs go on for the slice that was asked for (EEVDF, since Linux 6.6), often until its next tick, 4 ms, and a write passes
//! several threads. A thread that wakes takes the processor at once from one that asked for a longer slice, as long as it has not had
//! more than its share. So the thread that commits asks for the shortest, the server's others for a short one, functions for a long
//! one: none needs a privilege, and nobody starves. Sinks are between the server and the functions. Kernels before 6.12 know no slices of a thread's own and lose nothing.
//! Source: `sched_setattr(2)`; kernel.org, scheduler/sched-eevdf.
//!
//! Each call counts for the thread that makes it, and for the threads and processes that it starts from then on.

use std::time::Duration;

use tailrace_core::limits::{
    BACKGROUND_NICENESS, BACKGROUND_SLICE, COMMIT_SLICE, FUNCTION_NICENESS, FUNCTION_SLICE, SERVER_SLICE,
};

/// This thread serves.
pub fn of_server() {
    ask_for_slice(SERVER_SLICE);
}

/// This thread is one that every write waits for.
pub fn of_commits() {
    ask_for_slice(COMMIT_SLICE);
}

/// This thread is of the server, and behind its others: what it does may take longer.
pub fn of_background() {
    ask_for_slice(BACKGROUND_SLICE);
    let _ = rustix::process::nice(BACKGROUND_NICENESS);
}

/// This thread, or process, is behind all of the server. It makes system calls and nothing else: it may be called in the child of a
/// fork.
pub fn of_functions() {
    ask_for_slice(FUNCTION_SLICE);
    let _ = rustix::process::nice(FUNCTION_NICENESS);
}

/// Asks for a slice; a kernel that knows of none does not mind.
fn ask_for_slice(slice: Duration) {
    let Some(mut attributes) = attributes() else { return };
    // Of real-time policies it means something else; and what is not the slice stays as it is.
    if attributes.sched_policy == libc::SCHED_OTHER as u32 {
        attributes.sched_runtime = slice.as_nanos() as u64;
        // SAFETY: the attributes begin with their size, and that many bytes are read.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    }
}

/// Those of this thread.
fn attributes() -> Option<libc::sched_attr> {
    // SAFETY: zeros are valid attributes, and at most as many bytes are written as these have.
    unsafe {
        let mut attributes: libc::sched_attr = std::mem::zeroed();
        let size = size_of::<libc::sched_attr>() as u32;
        let read = libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0);
        attributes.size = size;
        (read == 0).then_some(attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_go_before_the_server_and_that_before_others_and_functions_come_last() {
        let of = |choose: fn()| {
            let asked = move || {
                choose();
                // What it starts has the same.
                std::thread::spawn(|| attributes().unwrap().sched_runtime).join().unwrap()
            };
            std::thread::spawn(asked).join().unwrap()
        };
        let others = of(|| ());
        // Kernels before 6.12 say nothing of a slice.
        if others != 0 {
            let all = [of(of_commits), of(of_server), others, of(of_functions)];
            assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
            assert!((of(of_server)..of(of_functions)).contains(&of(of_background)));
        }
    }
}
