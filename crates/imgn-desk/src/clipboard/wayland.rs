//! The clipboard of a Wayland session, by the data-control protocols: no window and no focus are needed. GNOME has them
//! since version 47; older ones say so, and its X11 clipboard is read.

use std::{collections::HashSet, io::Read as _, os::fd::AsFd as _, time::Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use wl_clipboard_rs::paste::{ClipboardType, Error, MimeType, Seat, get_contents, get_mime_types};

use super::{ClipboardError, MOST_BYTES, Source};

pub(super) struct Wayland {
    deadline: Instant,
}

impl Wayland {
    pub(super) fn new(deadline: Instant) -> Self {
        Self { deadline }
    }
}

impl Source for Wayland {
    fn types(&mut self) -> Result<Vec<String>, ClipboardError> {
        match get_mime_types(ClipboardType::Regular, Seat::Unspecified) {
            Ok(types) => Ok(HashSet::into_iter(types).collect()),
            Err(Error::ClipboardEmpty | Error::NoMimeType) => Ok(Vec::new()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    fn read(&mut self, offer: &str) -> Result<Vec<u8>, ClipboardError> {
        // The protocol has the words as they were offered; they differ in case at most.
        let offered = self.types()?;
        let offer = offered.iter().find(|it| it.eq_ignore_ascii_case(offer));
        let Some(offer) = offer else {
            return Ok(Vec::new());
        };
        let contents = get_contents(
            ClipboardType::Regular,
            Seat::Unspecified,
            MimeType::Specific(offer),
        );
        let mut pipe = match contents {
            Ok((pipe, _)) => pipe,
            Err(Error::ClipboardEmpty | Error::NoMimeType) => return Ok(Vec::new()),
            Err(error) => return Err(unavailable(&error)),
        };
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            wait(&pipe.as_fd(), self.deadline)?;
            let read = pipe.read(&mut buffer);
            match read.map_err(|error| ClipboardError::Unavailable(error.to_string()))? {
                0 => return Ok(bytes),
                read if bytes.len() + read > MOST_BYTES => return Err(ClipboardError::TooLarge),
                read => bytes.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

fn unavailable(error: &Error) -> ClipboardError {
    ClipboardError::Unavailable(error.to_string())
}

/// Until there is something to read, or the time is over.
pub(super) fn wait(
    fd: &std::os::fd::BorrowedFd<'_>,
    deadline: Instant,
) -> Result<(), ClipboardError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(fd, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) => return Err(ClipboardError::TimedOut),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(ClipboardError::Unavailable(error.to_string())),
        }
    }
}
