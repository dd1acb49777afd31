//! Tells when a program that owned uploads has ended, so that nobody has to look again and again.
//!
//! On Linux the system tells: who ends, however that happens, closes its lock file, and inotify says so of a folder's files.
//! Elsewhere, and where the system has no such watch left, the folder is looked at from time to time.
//!
//! Invariant: what ends after [`Ends::watch`] is told, at the latest with the next look.

use std::{io, path::Path, time::Duration};

/// Without a watch it is looked so often.
const LOOK: Duration = Duration::from_secs(60);

/// A watch over the folder of owners.
pub struct Ends {
    #[cfg(target_os = "linux")]
    watch: Option<linux::Watch>,
}

impl Ends {
    /// Watches from now on.
    pub(crate) fn watch(folder: &Path) -> Self {
        #[cfg(target_os = "linux")]
        {
            let told = |error: &io::Error| {
                tracing::warn!("{} cannot be watched: {error}", folder.display());
            };
            let watch = linux::Watch::new(folder).inspect_err(told).ok();
            Self { watch }
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = folder;
            Self {}
        }
    }

    /// Waits until there may be uploads that nobody owns any more.
    pub async fn next(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(watch) = &mut self.watch {
            match watch.next().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(
                        "the folder of running programs is not watched any more: {error}"
                    );
                    self.watch = None;
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io,
        path::{Path, PathBuf},
        time::Duration,
    };

    use futures_util::StreamExt as _;
    use inotify::{EventMask, EventStream, Inotify, WatchMask};

    use crate::owner;

    /// The system tells that a file is closed a moment before it lets go of the lock on it: so often, and so long after
    /// each other, it is asked whether it has.
    const MOMENTS: u32 = 40;
    const MOMENT: Duration = Duration::from_millis(5);

    /// Some events of files with names like those of owners.
    type Buffer = [u8; 1024];

    pub(super) struct Watch {
        events: EventStream<Buffer>,
        folder: PathBuf,
    }

    impl Watch {
        pub(super) fn new(folder: &Path) -> io::Result<Self> {
            let watch = Inotify::init()?;
            let ends = WatchMask::CLOSE_WRITE | WatchMask::DELETE;
            watch.watches().add(folder, ends)?;
            Ok(Self {
                events: watch.into_event_stream([0; 1024])?,
                folder: folder.to_owned(),
            })
        }

        pub(super) async fn next(&mut self) -> io::Result<()> {
            loop {
                let Some(event) = self.events.next().await else {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                };
                let event = event?;
                if event.mask.contains(EventMask::IGNORED) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                // More happened than the system could keep.
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    return Ok(());
                }
                let name = event.name.as_deref().and_then(|name| name.to_str());
                let Some(owner) = name.and_then(owner::of_lock) else {
                    continue;
                };
                // Who ends in order removes its file while it still holds the lock.
                if event.mask.contains(EventMask::DELETE) || self.is_let_go(owner).await {
                    return Ok(());
                }
            }
        }

        async fn is_let_go(&self, owner: &str) -> bool {
            for _ in 0..MOMENTS {
                // Whoever wants its uploads meets the error.
                if !owner::is_alive(&self.folder, owner).unwrap_or(false) {
                    return true;
                }
                tokio::time::sleep(MOMENT).await;
            }
            false
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::owner::{Owner, is_alive, lock_path};

    async fn told(ends: &mut Ends) {
        let soon = tokio::time::timeout(LOOK / 4, ends.next());
        assert!(soon.await.is_ok(), "without another look");
    }

    #[tokio::test]
    async fn an_end_is_told_however_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner::register(folder.path()).unwrap();
        let mut ends = Ends::watch(folder.path());
        drop(owner);
        told(&mut ends).await;

        // A killed program's file stays, and its lock goes.
        let killed = File::create_new(lock_path(folder.path(), "killed")).unwrap();
        killed.try_lock().unwrap();
        assert!(is_alive(folder.path(), "killed").unwrap());
        drop(killed);
        told(&mut ends).await;
        assert!(!is_alive(folder.path(), "killed").unwrap());
    }
}
