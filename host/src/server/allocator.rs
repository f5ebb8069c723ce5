//! How the process's allocator keeps memory that is free: glibc's would keep the most that was ever used by a large request.
#![allow(unsafe_code, reason = "calls into the C library")]

/// Memory of so many bytes at once is had from the system, and given back to it when it is free.
#[cfg(target_env = "gnu")]
const DIRECT_BYTES_MIN: libc::c_int = 1 << 20;

/// Has large memory given back. For a process that has no other thread yet. By itself glibc does so only until the first
/// piece comes free, and from then on keeps up to 64 MiB for each of its arenas, of which busy threads have one each.
pub(crate) fn give_back_large_memory() {
    #[cfg(target_env = "gnu")]
    for option in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: it changes a number of the allocator's, under the allocator's own lock. What it says of numbers that it does
        // not take is no loss: then all is as before.
        unsafe { libc::mallopt(option, DIRECT_BYTES_MIN) };
    }
}
