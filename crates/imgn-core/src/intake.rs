//! From what a person named to what can be uploaded: each path is looked at before anything is queued, and what will
//! not do is told at once, file by file.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use imgn_protocol::{ErrorCode, FileName};
use imgn_upload::{Fault, NewUpload, Stage, State, UploadCode, Work};

/// How many bytes show of what format a file is.
const HEAD_BYTES: u64 = 512;

/// Looks at every path. Reads the disk: not for async threads.
pub(crate) fn look_at(paths: Vec<PathBuf>) -> Vec<NewUpload> {
    paths.into_iter().map(look_at_one).collect()
}

fn look_at_one(path: PathBuf) -> NewUpload {
    // The journal outlives the folder that a program happened to start in.
    let path = std::path::absolute(&path).unwrap_or(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let file_name = FileName::clean(&name);
    match sniff(&path) {
        Ok(format) => NewUpload {
            path,
            file_name,
            content_type: Some(format.content_type().to_owned()),
            refused: None,
        },
        Err(fault) => NewUpload {
            refused: Some(refusal(fault)),
            path,
            file_name,
            content_type: None,
        },
    }
}

/// What is no picture stays none: rejected. What cannot be read may be readable later: failed, and can be tried again.
fn refusal(fault: Fault) -> State {
    if fault.code == ErrorCode::NotAPicture.into() {
        return State::Rejected {
            fault,
            content: None,
            session: None,
        };
    }
    State::Failed {
        fault,
        work: Work::at(Stage::Renewing),
    }
}

fn sniff(path: &Path) -> Result<imgn_thumbs::Format, Fault> {
    // Asked before opening, for opening a named pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if metadata.is_dir() {
        let message = "it is a folder; name the pictures in it";
        return Err(Fault::new(UploadCode::NotAFile, message));
    }
    if !metadata.is_file() {
        let message = "it is no regular file; choose a picture's file";
        return Err(Fault::new(UploadCode::NotAFile, message));
    }
    if metadata.len() == 0 {
        let message = "the file is empty; choose a picture";
        return Err(Fault::new(UploadCode::FileEmpty, message));
    }
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head))
        .map_err(|error| unreadable(&error))?;
    imgn_thumbs::sniff(&head).ok_or_else(|| {
        let message = "it is no JPEG, PNG, GIF or WebP picture; choose another file";
        Fault::new(ErrorCode::NotAPicture, message)
    })
}

fn unreadable(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Fault::new(
            UploadCode::FileMissing,
            "there is no such file; check its name",
        ),
        io::ErrorKind::PermissionDenied => Fault::new(
            UploadCode::FileUnreadable,
            "the file may not be read by you; change its permissions and try again",
        ),
        _ => Fault::new(
            UploadCode::FileUnreadable,
            format!("the file cannot be read ({error}); check the disk and try again"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use imgn_upload::FaultCode;

    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

    fn refused(upload: &NewUpload) -> Option<FaultCode> {
        match upload.refused.as_ref()? {
            State::Rejected { fault, .. } | State::Failed { fault, .. } => Some(fault.code),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_path_has_its_answer() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let text = at("text.png", b"hello");
        let cases = [
            (at("a.png", PNG), None),
            (at("misnamed.txt", PNG), None),
            (text, Some(ErrorCode::NotAPicture.into())),
            (at("empty.png", b""), Some(UploadCode::FileEmpty.into())),
            (
                folder.path().join("none.png"),
                Some(UploadCode::FileMissing.into()),
            ),
            (folder.path().to_owned(), Some(UploadCode::NotAFile.into())),
            (
                folder.path().join("a.png/b"),
                Some(UploadCode::FileMissing.into()),
            ),
            #[cfg(unix)]
            ("/dev/null".into(), Some(UploadCode::NotAFile.into())),
        ];
        let paths = cases.iter().map(|(path, _)| path.clone()).collect();
        for (found, (path, expected)) in look_at(paths).iter().zip(&cases) {
            assert_eq!(refused(found), *expected, "{}", path.display());
            assert_eq!(found.path, *path);
        }
    }

    #[test]
    fn a_name_that_the_system_allows_becomes_one_that_can_be_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a\nb\u{202e}.png");
        std::fs::write(&path, PNG).unwrap();
        let found = look_at(vec![path.clone()]);
        assert_eq!(found[0].file_name.as_str(), "a_b_.png");
        assert_eq!(found[0].path, path);
    }
}
