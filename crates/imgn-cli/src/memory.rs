//! How the C library keeps what was freed.
//!
//! glibc gives threads that ask for memory at the same time an arena each, eight a core at most, and what is freed in one
//! is not had by the others. With ten thousand uploads that was a quarter of the program's memory.

/// Has the threads share two arenas: as many as there are threads that compute.
///
/// For a program that has no second thread yet.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no safe face for this")]
pub(crate) fn share_arenas() {
    // SAFETY: it sets a number of the allocator's, and the only thread that could read it is this one: `main` calls it
    // before it starts the runtime. Should it be refused, nothing has changed.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
}

/// Other systems' allocators do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn share_arenas() {}
