//! What is on the clipboard, as pictures and files. Read when somebody asks, never watched.
//!
//! Blocking, and bounded in time and size: what is on a clipboard comes from another program, which may hang. Invariant:
//! of what is there, what says most is taken: copied files before a picture, a picture before a text that holds one. A text
//! names no file: a page can put one there.

mod text;
#[cfg(all(unix, not(target_os = "macos")))]
mod wayland;
#[cfg(all(unix, not(target_os = "macos")))]
mod x11;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use imgn_core::{ClientCode, CommandError};

/// The most that is taken from a clipboard, in bytes: four times what a server takes unless it is told otherwise.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// How long another program may take to hand over what it copied. A picture of the largest screen takes it a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pictures, the one that loses nothing and is the smallest on the wire first. Screenshots are always offered as PNG.
const PICTURE_TYPES: [&str; 12] = [
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/gif",
    "image/avif",
    "image/heic",
    "image/heif",
    "image/jxl",
    "image/tiff",
    "image/bmp",
    "image/x-bmp",
    "image/x-MS-bmp",
];

/// Copied files, as file managers offer them and pages cannot.
const FILE_TYPES: [&str; 3] = [
    "text/uri-list",
    "x-special/gnome-copied-files",
    "x-special/mate-copied-files",
];

/// Texts, those that hold most first.
const TEXT_TYPES: [&str; 5] = [
    "text/html",
    "text/plain;charset=utf-8",
    "UTF8_STRING",
    "text/plain",
    "STRING",
];

/// What can be uploaded of what was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clip {
    /// Files, by their paths.
    Files(Vec<PathBuf>),
    /// Pictures, as the bytes of a file each.
    Pictures(Vec<Vec<u8>>),
}

/// Why nothing was taken.
#[derive(Debug, thiserror::Error)]
pub enum ClipboardError {
    /// It is empty, or what was copied is no picture and no file.
    #[error("there is no picture and no file on the clipboard; copy one and try again")]
    NoPicture,
    /// There is no clipboard that this program could read.
    #[error("the clipboard cannot be read ({0}); paste into imgn's window, or name the file")]
    Unavailable(String),
    /// The program that copied does not hand it over.
    #[error(
        "the program that copied the picture does not hand it over; copy it again and try again"
    )]
    TimedOut,
    /// More than a gallery takes.
    #[error("what is on the clipboard is larger than {} MiB; save it and upload the file", MOST_BYTES >> 20)]
    TooLarge,
}

impl From<ClipboardError> for CommandError {
    fn from(error: ClipboardError) -> Self {
        let code = match error {
            ClipboardError::NoPicture => ClientCode::ClipboardEmpty,
            ClipboardError::Unavailable(_) => ClientCode::ClipboardUnavailable,
            ClipboardError::TimedOut | ClipboardError::TooLarge => ClientCode::ClipboardFailed,
        };
        Self::new(code, error.to_string())
    }
}

/// A clipboard, for as long as it is read.
trait Source {
    /// What was copied, in the words of its offers.
    fn types(&mut self) -> Result<Vec<String>, ClipboardError>;

    /// The bytes of one offer.
    fn read(&mut self, offer: &str) -> Result<Vec<u8>, ClipboardError>;
}

/// Reads the clipboard. Blocks for at most some seconds.
///
/// # Errors
/// When there is nothing to upload on it, or it cannot be read.
pub(crate) fn read() -> Result<Clip, ClipboardError> {
    read_at_latest(Instant::now() + PATIENCE)
}

/// Whether it could be read: asks what is offered, and for nothing of it.
///
/// # Errors
/// When it could not.
pub(crate) fn look() -> Result<(), ClipboardError> {
    at_latest(Instant::now() + PATIENCE, |source| source.types().map(drop))
}

fn read_at_latest(deadline: Instant) -> Result<Clip, ClipboardError> {
    at_latest(deadline, choose)
}

/// Wayland first: there X11's clipboard is a mirror of it, kept by the compositor.
#[cfg(all(unix, not(target_os = "macos")))]
fn at_latest<T>(
    deadline: Instant,
    ask: impl Fn(&mut dyn Source) -> Result<T, ClipboardError>,
) -> Result<T, ClipboardError> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let mut reason = "there is no desktop session".to_owned();
    if is_set("WAYLAND_DISPLAY") {
        match ask(&mut wayland::Wayland::new(deadline)) {
            Err(ClipboardError::Unavailable(because)) => reason = because,
            read => return read,
        }
    }
    if is_set("DISPLAY") {
        return ask(&mut x11::X11::connect(deadline)?);
    }
    Err(ClipboardError::Unavailable(reason))
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
fn at_latest<T>(
    _deadline: Instant,
    _ask: impl Fn(&mut dyn Source) -> Result<T, ClipboardError>,
) -> Result<T, ClipboardError> {
    let reason = "not yet on this system".to_owned();
    Err(ClipboardError::Unavailable(reason))
}

fn choose(source: &mut dyn Source) -> Result<Clip, ClipboardError> {
    let types = source.types()?;
    let offered = |known: &&&str| types.iter().any(|it| it.eq_ignore_ascii_case(known));
    for offer in FILE_TYPES.iter().filter(offered) {
        let files = text::files(&source.read(offer)?);
        if !files.is_empty() {
            return Ok(Clip::Files(files));
        }
    }
    if let Some(offer) = PICTURE_TYPES.iter().find(offered) {
        let picture = source.read(offer)?;
        if !picture.is_empty() {
            return Ok(Clip::Pictures(vec![picture]));
        }
    }
    for offer in TEXT_TYPES.iter().filter(offered) {
        let copied = source.read(offer)?;
        let pictures = text::data_urls(&copied);
        if !pictures.is_empty() {
            return Ok(Clip::Pictures(pictures));
        }
    }
    Err(ClipboardError::NoPicture)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Copied(Vec<(&'static str, &'static [u8])>);

    impl Source for Copied {
        fn types(&mut self) -> Result<Vec<String>, ClipboardError> {
            Ok(self
                .0
                .iter()
                .map(|(offer, _)| (*offer).to_owned())
                .collect())
        }

        fn read(&mut self, offer: &str) -> Result<Vec<u8>, ClipboardError> {
            let found = self.0.iter().find(|(it, _)| it.eq_ignore_ascii_case(offer));
            Ok(found.unwrap().1.to_vec())
        }
    }

    fn chosen(offers: &[(&'static str, &'static [u8])]) -> Option<Clip> {
        match choose(&mut Copied(offers.to_vec())) {
            Ok(clip) => Some(clip),
            Err(ClipboardError::NoPicture) => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_says_most_is_taken() {
        let picture = |bytes: &[u8]| Some(Clip::Pictures(vec![bytes.to_vec()]));
        let files = |paths: &[&str]| Some(Clip::Files(paths.iter().map(PathBuf::from).collect()));
        // A browser's copied picture, with the page's address beside it.
        let from_browser: &[(&str, &[u8])] = &[
            ("text/html", b"<img src='https://a.example/b.png'>"),
            ("image/jpeg", b"jpeg"),
            ("image/png", b"png"),
            ("text/uri-list", b"https://a.example/b.png\r\n"),
        ];
        assert_eq!(chosen(from_browser), picture(b"png"));
        let from_file_manager: &[(&str, &[u8])] = &[
            ("image/png", b"an icon"),
            ("text/plain", b"/home/x/a b.png"),
            (
                "text/uri-list",
                b"file:///home/x/a%20b.png\r\nfile:///home/x/c.jpg\r\n",
            ),
        ];
        assert_eq!(
            chosen(from_file_manager),
            files(&["/home/x/a b.png", "/home/x/c.jpg"])
        );
        let gnome: &[(&str, &[u8])] = &[("x-special/gnome-copied-files", b"copy\nfile:///a.png")];
        assert_eq!(chosen(gnome), files(&["/a.png"]));
        let text: &[(&str, &[u8])] = &[("UTF8_STRING", b"data:image/png;base64,cG5n")];
        assert_eq!(chosen(text), picture(b"png"));
        // Any page can put such a text there; files are what file managers copy.
        let from_page: &[(&str, &[u8])] = &[
            ("text/html", b"<a href='file:///a.png'>file:///a.png</a>"),
            ("text/plain", b"file:///a.png"),
        ];
        assert_eq!(chosen(from_page), None);
        assert_eq!(chosen(&[("text/plain", b"hello")]), None);
        assert_eq!(chosen(&[("image/png", b"")]), None);
        assert_eq!(chosen(&[]), None);
    }
}
