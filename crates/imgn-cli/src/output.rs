//! What goes to the terminal or the pipe. A reader that has gone away is an error here, never a panic.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
};

use imgn_core::{ClientCode, Code, protocol::ErrorCode};
use serde::Serialize;

/// Where answers and remarks go.
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
}

impl Output {
    /// An answer: a line on standard output.
    pub(crate) fn line(&self, text: impl fmt::Display) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// An answer for programs.
    pub(crate) fn object(&self, object: &impl Serialize) -> io::Result<()> {
        self.line(serde_json::to_string(object)?)
    }

    /// Something that went wrong: what happened, and what to do.
    pub(crate) fn error(&self, text: impl fmt::Display) {
        // There is nowhere left to tell that standard error is closed.
        let _ = writeln!(io::stderr(), "imgn: {text}");
    }

    /// Something worth knowing.
    pub(crate) fn note(&self, text: impl fmt::Display) {
        if !self.quiet {
            self.error(text);
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }
}

/// What went wrong, and what a person at a terminal does about it where that is not what one does in a window.
pub(crate) fn told(code: Code, message: impl fmt::Display) -> String {
    let way_out = match code {
        Code::Server(ErrorCode::Unauthorized) => "; `imgn login` keeps one, or set IMGN_TOKEN",
        Code::Client(
            ClientCode::KeyringLocked
            | ClientCode::KeyringMissing
            | ClientCode::KeyringTimeout
            | ClientCode::KeyringFailed,
        ) => ", or set IMGN_TOKEN to use a token without the keyring",
        _ => "",
    };
    format!("{message}{way_out}")
}

/// A size as people read it, with three digits.
pub(crate) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let digits = if unit == "B" || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.98 KiB"),
            (12_345, "12.1 KiB"),
            (123_456_789, "118 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
