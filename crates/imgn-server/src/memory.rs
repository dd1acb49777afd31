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

/// Has the C library map what is larger than a megabyte by itself, so that its memory goes back when it is freed. Else
/// the bound moves up to the largest that was freed, at most 32 MiB, and each thread that has decoded keeps up to twice
/// as much at the end of its arena, where trimming does not reach: 47 MiB a thread were measured.
///
/// For the first statement of a program that runs a [`Server`](crate::Server), before it has a second thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no safe face for this")]
pub fn give_back_what_is_large() {
    const MEGABYTE: std::ffi::c_int = 1 << 20;
    // SAFETY: it sets a number of the allocator's, and the only thread that could read it is this one: `main` calls it
    // before anything else. Should it be refused, nothing has changed.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MEGABYTE) };
}

/// Other systems' allocators do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back_what_is_large() {}
