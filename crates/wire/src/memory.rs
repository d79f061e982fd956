//! Memory that was freed, and that the allocator keeps.
//!
//! A tree of JSON is made of millions of small pieces. The allocator of glibc keeps freed pieces in the pool of the thread
//! that took them, and a process has several pools for each core: after a few of the largest requests, each read by
//! another thread, it would hold gigabytes that nobody uses. Other allocators give back by themselves.

/// Gives freed memory back to the system. Takes milliseconds for what a large request leaves behind.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes and returns no pointer, and locks the pools itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
