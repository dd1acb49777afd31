//! A process that is there while it is needed.
//!
//! Invariant: it ends with its handle, also when a measurement fails.

use std::{
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// A child that ends with its handle: asked first, so that it can end its own children, then killed.
pub(super) struct Ended(pub(super) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let id = self.0.id().to_string();
        // It may have ended by itself, which is as good.
        let _ = Command::new("kill")
            .args(["-TERM", &id])
            .stderr(Stdio::null())
            .status();
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(5) {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
