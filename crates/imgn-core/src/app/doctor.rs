//! What the app without a window can look at by itself: server, clock, keyring, disk.
//!
//! Invariant: each look is bounded in time, and none of them changes anything.

use std::{io::Write as _, path::Path, time::Duration};

use imgn_protocol::ErrorCode;
use imgn_upload::{Remote as _, UploadCode};

use super::{App, blocking, check};
use crate::{Check, ClientCode, Code, CommandError, Finding, Home, secrets};

/// How long the server may take, all in all: longer than a connection over a bad line.
const PATIENCE: Duration = Duration::from_secs(15);

/// A clock that is off by no more, in seconds, does no harm.
const SKEW: i64 = 60;

/// Fewer bytes than this are soon used up by a cache, and by what is sent from standard input.
const LOW: u64 = 1 << 30;

/// Fewer than this do not hold a day's journal.
const FULL: u64 = 64 << 20;

impl App {
    /// Looks at server, clock, keyring and disk, in this order.
    pub async fn examine(&self) -> Vec<Check> {
        let (server, keyring, disk) = tokio::join!(
            self.examine_server(),
            self.examine_keyring(),
            examine_disk(self.home())
        );
        let [server, clock] = server;
        vec![server, clock, keyring, disk]
    }

    async fn examine_server(&self) -> [Check; 2] {
        let Ok(connection) = self.connected().await else {
            return [
                Check::new(Finding::NoGallery, None),
                Check::new(Finding::ClockUnknown, None),
            ];
        };
        connection.server.ask_keyring_again();
        let url = connection.server.url().to_string();
        let asked = check(&connection.server, connection.signed_in);
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        let silent = || {
            let reason = format!("nothing within {} s", PATIENCE.as_secs());
            Err(CommandError::new(UploadCode::Offline, reason))
        };
        let server = match answer.unwrap_or_else(|_| silent()) {
            Ok(()) if connection.signed_in => Check::new(Finding::ServerAnswers, Some(url)),
            Ok(()) => Check::new(Finding::ServerReadOnly, Some(url)),
            Err(error) => refused(&error, url),
        };
        let skew = connection.server.clock_skew_seconds();
        let clock = match skew {
            None => Check::new(Finding::ClockUnknown, None),
            Some(skew) => {
                let finding = match skew {
                    _ if skew.abs() <= SKEW => Finding::ClockRight,
                    1.. => Finding::ClockAhead,
                    _ => Finding::ClockBehind,
                };
                // No answer tells it more closely than to a second.
                Check::new(finding, Some(skew.unsigned_abs().max(1).to_string()))
            }
        };
        [server, clock]
    }

    async fn examine_keyring(&self) -> Check {
        if self.0.options.token.is_some() {
            return Check::new(Finding::KeyringNotAsked, None);
        }
        match secrets::probe().await {
            Ok(()) => Check::new(Finding::KeyringWorks, None),
            Err(error) => match error.code {
                Code::Client(ClientCode::KeyringLocked) => Check::new(Finding::KeyringLocked, None),
                Code::Client(ClientCode::KeyringMissing) => {
                    Check::new(Finding::KeyringMissing, None)
                }
                Code::Client(ClientCode::KeyringTimeout) => Check::new(Finding::KeyringHangs, None),
                _ => Check::new(Finding::KeyringBroken, Some(error.message)),
            },
        }
    }
}

/// What a server's failure means. A keyring's is the keyring's to tell.
fn refused(error: &CommandError, url: String) -> Check {
    let reason = Some(error.message.clone());
    match error.code {
        Code::Server(ErrorCode::Unauthorized | ErrorCode::Forbidden) => {
            Check::new(Finding::TokenRefused, Some(url))
        }
        Code::Client(
            ClientCode::KeyringLocked
            | ClientCode::KeyringMissing
            | ClientCode::KeyringTimeout
            | ClientCode::KeyringFailed,
        ) => Check::new(Finding::TokenWithheld, Some(url)),
        Code::Upload(UploadCode::Offline) | Code::Client(ClientCode::ConnectionFailed) => {
            Check::new(Finding::ServerUnreachable, reason)
        }
        _ => Check::new(Finding::ServerOdd, reason),
    }
}

async fn examine_disk(home: &Home) -> Check {
    let folder = home.path().to_owned();
    let looked = blocking(move || {
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            file.write_all(&[0; 4096])?;
            file.as_file().sync_all()
        };
        write().map_err(|error| CommandError::new(ClientCode::DiskFailed, error.to_string()))?;
        Ok(free(&folder))
    });
    match looked.await {
        Err(error) => Check::new(Finding::DiskFailed, Some(error.message)),
        Ok(None) => Check::new(Finding::DiskWritable, None),
        Ok(Some(free)) => {
            let finding = match free {
                ..FULL => Finding::DiskFull,
                FULL..LOW => Finding::DiskLow,
                LOW.. => Finding::DiskFine,
            };
            Check::new(finding, Some(free.to_string()))
        }
    }
}

/// Bytes that this person may still write there.
#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free(_folder: &Path) -> Option<u64> {
    None
}
