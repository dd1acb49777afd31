//! Who wrote what, when and from where: a line of JSON for each write, into a file of its own or the ordinary log.
//!
//! Not here: reading, and what the server does by itself to objects. Invariant: what is begun has one line, and its end has
//! one (see [`crate::writes`] for how both come about). A line has names and ids and nothing that
//! opens anything: no token, no URL, no header. A line is written whole or not at all; where half of one cannot be taken back,
//! it has a line to itself, and no other is lost to it. What cannot be written keeps nothing from being done: it is told in
//! the log.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use imgn_protocol::{ErrorCode, FileName, ImageId, Timestamp, UploadId};
use serde::Serialize;

use crate::{
    allowance::Limit,
    auth::{Caller, Grant},
    catalogue::{ANONYMOUS, Staged, Upload},
    origin::Origin,
    rates::Rates,
    routes::requests::RequestId,
};

/// That somebody meets a limit is told as often as this: who does so may do it a thousand times a second.
const LIMIT_EVERY: Duration = Duration::from_secs(60);

/// The log of writes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` for the ordinary log, under the target `audit`.
    file: Option<Mutex<Lines>>,
    path: PathBuf,
    limits: Rates<(&'static str, String)>,
}

/// A file that lines are appended to, also by other programs.
#[derive(Debug)]
struct Lines {
    file: File,
    /// Whether it may end in half a line.
    is_torn: bool,
}

/// A line. Its names are documented in `docs/OPERATIONS.md`.
#[derive(Debug, Default, Serialize)]
struct Line<'a> {
    time: String,
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<UploadId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ImageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<u64>,
}

/// Why an upload ended of which nothing was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its client asked for it.
    Asked,
    /// It was not completed in time.
    TooOld,
    /// Nothing had come when its URL had expired, and a while after.
    NothingSent,
    /// The store could not begin it.
    StoreFailed,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::TooOld => "too_old",
            Self::NothingSent => "nothing_sent",
            Self::StoreFailed => "store_failed",
        }
    }
}

impl Audit {
    /// Begins or goes on with a file that nobody else may read; without one, it goes to the ordinary log.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(Lines::open).transpose()?;
        Ok(Self(Arc::new(Inner {
            file: file.map(Mutex::new),
            path: path.map(Path::to_owned).unwrap_or_default(),
            limits: Rates::one_in(LIMIT_EVERY),
        })))
    }

    /// Goes on in a new file under the same name, after the old one was moved away. Where that cannot be, it goes on in the
    /// old one.
    pub(crate) fn reopen(&self) {
        let Some(file) = &self.0.file else {
            return;
        };
        match Lines::open(&self.0.path) {
            Ok(new) => *file.lock().unwrap_or_else(PoisonError::into_inner) = new,
            Err(error) => tracing::error!(%error, "the audit log cannot be opened again"),
        }
    }

    /// A token was made.
    pub fn token_added(&self, name: &str, grant: &Grant) {
        self.write(Line {
            what: "token_added",
            token: Some(name),
            role: Some(grant.role.as_str()),
            scopes: Some(grant.scopes.to_string()),
            expires: grant.expires_at,
            ..Line::default()
        });
    }

    /// A token was ended.
    pub fn token_revoked(&self, name: &str) {
        self.write(Line {
            what: "token_revoked",
            token: Some(name),
            ..Line::default()
        });
    }

    /// Somebody may send something now. Its size is told where it was announced.
    pub(crate) fn opened(&self, caller: &Caller, id: UploadId, name: &FileName, size: Option<u64>) {
        self.write(Line {
            what: "upload_opened",
            upload: Some(id),
            file_name: Some(name.as_str()),
            size,
            ..by(caller)
        });
    }

    /// Its client ended an upload.
    pub(crate) fn aborted(&self, caller: &Caller, id: UploadId) {
        self.write(Line {
            what: "upload_aborted",
            upload: Some(id),
            why: Some(Why::Asked.as_str()),
            ..by(caller)
        });
    }

    /// The server ended an upload.
    pub(crate) fn given_up(&self, id: UploadId, why: Why) {
        self.write(Line {
            what: "upload_aborted",
            upload: Some(id),
            why: Some(why.as_str()),
            ..Line::default()
        });
    }

    /// What somebody sent is in the gallery.
    pub(crate) fn published(&self, owner: &str, upload: &Upload) {
        self.write(Line {
            what: "image_published",
            image: Some(upload.image),
            ..of(owner, upload)
        });
    }

    /// What somebody sent, or was about to send, is in the gallery already, as this picture.
    pub(crate) fn duplicate(&self, owner: &str, upload: &Upload, image: ImageId) {
        self.write(Line {
            what: "upload_duplicate",
            image: Some(image),
            ..of(owner, upload)
        });
    }

    /// What somebody sent is not going to be in the gallery.
    pub(crate) fn rejected(&self, owner: &str, upload: &Upload, code: ErrorCode) {
        self.write(Line {
            what: "upload_rejected",
            code: Some(code.as_str()),
            ..of(owner, upload)
        });
    }

    /// The same of what nobody had announced, by its size alone.
    pub(crate) fn refused(&self, owner: &str, staged: &Staged, size: Option<u64>, code: ErrorCode) {
        self.write(Line {
            what: "upload_rejected",
            who: Some(owner),
            upload: Some(staged.id),
            file_name: Some(staged.file_name.as_str()),
            size,
            code: Some(code.as_str()),
            ..Line::default()
        });
    }

    /// A whole gallery was imported.
    pub(crate) fn imported(&self, images: u64) {
        self.write(Line {
            what: "gallery_imported",
            images: Some(images),
            ..Line::default()
        });
    }

    /// A picture was deleted.
    pub(crate) fn deleted(&self, caller: &Caller, image: ImageId) {
        self.write(Line {
            what: "image_deleted",
            image: Some(image),
            ..by(caller)
        });
    }

    /// Somebody was told to come again later.
    pub(crate) fn limited(
        &self,
        limit: Limit,
        who: Option<&str>,
        from: Option<Origin>,
        request: Option<&RequestId>,
    ) {
        let from = from.map(|origin| origin.to_string());
        // Strangers have one name, and are told apart by where they are.
        let name = who.filter(|who| *who != ANONYMOUS).map(str::to_owned);
        let met = name.or_else(|| from.clone());
        let key = (limit.as_str(), met.unwrap_or_default());
        if self.0.limits.take(key, Instant::now()).is_err() {
            return;
        }
        self.write(Line {
            what: "limit_met",
            limit: Some(limit.as_str()),
            who,
            from,
            request: request.map(RequestId::as_str),
            ..Line::default()
        });
    }

    fn write(&self, mut line: Line<'_>) {
        line.time = Timestamp::now().to_string();
        let Ok(text) = serde_json::to_string(&line) else {
            return;
        };
        let Some(file) = &self.0.file else {
            tracing::info!(target: "audit", "{text}");
            return;
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.append(&text, File::write) {
            tracing::error!(%error, line = text, "the audit log cannot be written");
        }
    }
}

impl Lines {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: append_to(path)?,
            is_torn: ends_in_half_a_line(path).unwrap_or(false),
        })
    }

    /// Writes a line: in one piece and at the file's end, so that several programs may write to it. `write` writes what it
    /// can.
    fn append(
        &mut self,
        line: &str,
        write: impl Fn(&mut File, &[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let separator = if self.is_torn { "\n" } else { "" };
        let text = format!("{separator}{line}\n");
        let mut written = 0;
        let mut begin = None;
        while written < text.len() {
            let error = match write(&mut self.file, &text.as_bytes()[written..]) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(more) => {
                    if written == 0 && more < text.len() {
                        let end = self.file.stream_position().ok();
                        begin = end.and_then(|end| end.checked_sub(more as u64));
                    }
                    written += more;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            // As on a full disk.
            self.is_torn |= written > 0 && self.take_back(begin, written).is_err();
            return Err(error);
        }
        self.is_torn = false;
        Ok(())
    }

    /// Takes back what was written of a line, where nobody else has written since.
    fn take_back(&mut self, begin: Option<u64>, written: usize) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        match begin {
            Some(begin) if begin + written as u64 == end => self.file.set_len(begin),
            _ => Err(io::ErrorKind::ResourceBusy.into()),
        }
    }
}

/// Whether a file was left so, by a crash or by another program.
fn ends_in_half_a_line(path: &Path) -> io::Result<bool> {
    if !path.metadata()?.is_file() {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn by(caller: &Caller) -> Line<'_> {
    Line {
        who: Some(&caller.name),
        from: caller.origin.map(|origin| origin.to_string()),
        request: caller.request.as_ref().map(RequestId::as_str),
        ..Line::default()
    }
}

/// Verification belongs to no request.
fn of<'a>(owner: &'a str, upload: &'a Upload) -> Line<'a> {
    Line {
        who: Some(owner),
        upload: Some(upload.id),
        file_name: Some(upload.announced.file_name.as_str()),
        size: Some(upload.announced.size),
        ..Line::default()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// As much as fits into a file of so many bytes.
    fn full(most: u64) -> impl Fn(&mut File, &[u8]) -> io::Result<usize> {
        move |file, bytes| {
            let room = most.saturating_sub(file.metadata()?.len());
            match bytes.len().min(usize::try_from(room).unwrap()) {
                0 => Err(io::ErrorKind::StorageFull.into()),
                some => file.write(&bytes[..some]),
            }
        }
    }

    #[test]
    fn half_a_line_is_taken_back() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("audit.jsonl");
        let mut lines = Lines::open(&path).unwrap();
        lines.append("first", File::write).unwrap();
        for _ in 0..2 {
            let error = lines.append("second", full(9)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert_eq!(fs::read_to_string(&path).unwrap(), "first\n");
        }
        assert!(lines.append("second", full(6)).is_err());
        lines.append("third", File::write).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nthird\n");
    }

    #[test]
    fn half_a_line_that_stays_is_a_line_of_its_own() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("audit.jsonl");
        let mut lines = Lines::open(&path).unwrap();
        lines.append("first", File::write).unwrap();
        // Somebody else writes behind it before it fails.
        let failing = |file: &mut File, bytes: &[u8]| match bytes.len() {
            7 => file.write(&bytes[..3]),
            _ => {
                append_to(&path)?.write_all(b"\nothers\n")?;
                Err(io::ErrorKind::StorageFull.into())
            }
        };
        assert!(lines.append("second", failing).is_err());
        lines.append("third", File::write).unwrap();
        lines.append("fourth", File::write).unwrap();
        let text = "first\nsec\nothers\n\nthird\nfourth\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), text);

        // As after a crash.
        fs::write(&path, "half").unwrap();
        let mut lines = Lines::open(&path).unwrap();
        lines.append("whole", File::write).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "half\nwhole\n");
    }
}
