//! Memory that was needed for a moment goes back to the system.
//!
//! glibc keeps what was freed in the arena of the thread that asked for it, up to tens of megabytes in each, and the
//! next picture is decoded by another thread in another arena. So the server would hold several times what its budgets
//! say, and keep it at rest.

/// Gives back what is free, in all arenas. Takes some milliseconds: for after a picture, not for after a request.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no safe face for this")]
pub(crate) fn give_back() {
    // SAFETY: it takes the allocator's own locks, and touches only memory that nobody holds.
    unsafe { libc::malloc_trim(0) };
}

/// Other systems' allocators do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}
