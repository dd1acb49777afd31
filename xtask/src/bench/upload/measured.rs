//! What a run of a program costs: time, processor time and memory, as the kernel counts them.
//!
//! Invariant: the figures are those of the program and of the children that it has waited for, of nothing else.

use std::{
    io,
    mem::MaybeUninit,
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

pub(in crate::bench) struct Run {
    pub(in crate::bench) started: Instant,
    pub(in crate::bench) wall: Duration,
    /// In user and system mode together.
    pub(in crate::bench) processor: Duration,
    /// The most resident memory of one process, in bytes. The kernel counts from before the program took this one's
    /// place, so it is never less than what this one has, some MiB.
    pub(in crate::bench) peak_memory: u64,
    pub(in crate::bench) status: ExitStatus,
}

/// Runs it to its end.
pub(in crate::bench) fn run(command: &mut Command) -> Result<Run> {
    let started = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("could not start {command:?}"))?;
    let (status, usage) = wait(libc::pid_t::try_from(child.id())?)?;
    let wall = started.elapsed();
    Ok(Run {
        started,
        wall,
        processor: duration(usage.ru_utime)? + duration(usage.ru_stime)?,
        peak_memory: u64::try_from(usage.ru_maxrss)? * 1024,
        status,
    })
}

fn wait(id: libc::pid_t) -> Result<(ExitStatus, libc::rusage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        #[expect(unsafe_code, reason = "std waits, and throws the usage away")]
        // SAFETY: both pointers are to live, writable values of the types that the call asks for, and it keeps
        // neither. The child is this process's own and nobody else waits for it, so its id is not another's yet.
        let waited = unsafe { libc::wait4(id, &raw mut status, 0, usage.as_mut_ptr()) };
        if waited == id {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error).context("the program's end was not told");
        }
    }
    #[expect(unsafe_code, reason = "the counterpart of `zeroed`")]
    // SAFETY: a `rusage` is numbers only, for which zero is a value; the call has overwritten them besides.
    let usage = unsafe { usage.assume_init() };
    Ok((ExitStatus::from_raw(status), usage))
}

fn duration(time: libc::timeval) -> Result<Duration> {
    let seconds = u64::try_from(time.tv_sec)?;
    Ok(Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_charged_with_what_it_used() {
        let mut busy = Command::new("/usr/bin/python3");
        busy.args(["-c", "b = bytearray(b'x') * 100_000_000; sum(b); exit(3)"]);
        let run = run(&mut busy).unwrap();
        assert_eq!(run.status.code(), Some(3));
        assert!(run.peak_memory >= 100_000_000);
        assert!(run.processor > Duration::ZERO);
    }
}
