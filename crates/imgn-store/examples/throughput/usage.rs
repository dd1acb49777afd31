//! What a process has used so far, as `/proc` says.

use std::fs;

use anyhow::{Context as _, Result};

/// `sysconf(_SC_CLK_TCK)`, which is 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Work done by a process.
pub(crate) struct Usage {
    /// In user and in kernel mode, all threads.
    pub(crate) cpu_seconds: f64,
}

impl Usage {
    pub(crate) fn of(id: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The program's name is in parentheses and may hold anything; the 12th and 13th fields behind it are the times.
        let (_, fields) = stat.rsplit_once(')').context("a process's fields")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks =
            |at: usize| -> Result<f64> { Ok(fields.get(at).context("a time")?.parse::<f64>()?) };
        Ok(Self {
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        })
    }
}
