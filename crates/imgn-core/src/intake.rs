//! From what a person named to what can be uploaded: each path is looked at before anything is queued, and what will
//! not do is told at once, file by file.

mod natural;
mod walk;

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use imgn_protocol::{ErrorCode, FileName, UploadId};
use imgn_upload::{Fault, NewUpload, Stage, State, UploadCode, Work};

use walk::{Met, walk};

use crate::ViewError;

/// How many bytes show of what format a file is.
const HEAD_BYTES: u64 = 512;

/// So many files are written into the journal together at most: one sync of the disk for all of them.
const BATCH: usize = 256;

/// A slow disk does not keep what was found on it so far from being uploaded for longer.
const BATCH_AGE: Duration = Duration::from_millis(100);

/// What is done with a folder that was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folders {
    /// All pictures in it and below it are taken.
    Walked,
    /// It is answered as failed, as any other thing that is no file.
    Refused,
}

/// A file that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// As it was named, or as it was found in a folder that was.
    pub path: PathBuf,
    /// Its upload.
    pub id: UploadId,
}

/// What came of the files and folders that were named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intake {
    /// Pictures that are on their way now.
    pub pictures: u32,
    /// Files that were named and cannot be uploaded; each has ended with its reason.
    pub refused: u32,
    /// Files in folders that are no pictures, and were left alone. Hidden ones are not counted.
    pub other_files: u32,
    /// Links to folders, which were not followed.
    pub linked_folders: u32,
    /// Folders of which nothing was taken.
    pub unreadable: Vec<Unreadable>,
    /// Whether somebody was asked, and said that nothing of it is to be published.
    pub withheld: bool,
}

impl Intake {
    /// Whether nothing came of it that anybody would see.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        !self.withheld && self.pictures == 0 && self.refused == 0 && self.unreadable.is_empty()
    }
}

/// A folder that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub path: PathBuf,
    /// Why, for people.
    pub reason: String,
}

/// A file that was looked at.
pub(crate) struct Looked {
    /// As it was named, or as it was found in a folder that was.
    pub(crate) path: PathBuf,
    /// What is to become of it.
    pub(crate) upload: NewUpload,
}

/// Looks at every path, and hands over what is found, some at a time, until `take` wants no more. A file that is met
/// twice in folders is handed over once; one that is named twice is handed over twice, for whoever names it counts the
/// links: the second finds the first in the gallery. Reads the disk: not for async threads.
pub(crate) fn look_at(
    paths: Vec<PathBuf>,
    folders: Folders,
    take: impl FnMut(Vec<Looked>) -> ControlFlow<()>,
) -> Intake {
    let mut look = Look {
        take,
        batch: Vec::new(),
        since: Instant::now(),
        met: HashSet::new(),
        named: HashSet::new(),
        intake: Intake::default(),
    };
    // Whoever wants no more does not wait for the sum.
    let _ = look.at_all(paths, folders);
    look.intake
}

struct Look<T> {
    take: T,
    batch: Vec<Looked>,
    since: Instant,
    met: HashSet<PathBuf>,
    /// Those of them that were named themselves.
    named: HashSet<PathBuf>,
    intake: Intake,
}

impl<T: FnMut(Vec<Looked>) -> ControlFlow<()>> Look<T> {
    fn at_all(&mut self, paths: Vec<PathBuf>, folders: Folders) -> ControlFlow<()> {
        for path in paths {
            if folders == Folders::Walked && path.is_dir() {
                self.at_folder(&path)?;
            } else if self.is_to_be_taken(&path) {
                self.push(look_at_one(path))?;
            }
        }
        self.flush()
    }

    fn at_folder(&mut self, folder: &Path) -> ControlFlow<()> {
        for met in walk(folder) {
            match met {
                Met::File(path) | Met::Other(path) | Met::LinkedFolder(path)
                    if !self.is_new(&path) => {}
                Met::File(path) => {
                    let looked = look_at_one(path);
                    if is_foreign(&looked.upload) {
                        self.intake.other_files += 1;
                    } else {
                        self.push(looked)?;
                    }
                }
                Met::Other(_) => self.intake.other_files += 1,
                Met::LinkedFolder(_) => self.intake.linked_folders += 1,
                Met::Unreadable(path, reason) => {
                    self.intake.unreadable.push(Unreadable { path, reason });
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn is_new(&mut self, met: &Path) -> bool {
        self.met.insert(absolute(met))
    }

    /// Not what was taken with its folder.
    fn is_to_be_taken(&mut self, named: &Path) -> bool {
        let path = absolute(named);
        if self.met.insert(path.clone()) {
            self.named.insert(path);
            return true;
        }
        self.named.contains(&path)
    }

    fn push(&mut self, looked: Looked) -> ControlFlow<()> {
        if looked.upload.refused.is_none() {
            self.intake.pictures += 1;
        } else {
            self.intake.refused += 1;
        }
        if self.batch.is_empty() {
            self.since = Instant::now();
        }
        self.batch.push(looked);
        if self.batch.len() >= BATCH || self.since.elapsed() >= BATCH_AGE {
            return self.flush();
        }
        ControlFlow::Continue(())
    }

    fn flush(&mut self) -> ControlFlow<()> {
        if self.batch.is_empty() {
            return ControlFlow::Continue(());
        }
        (self.take)(std::mem::take(&mut self.batch))
    }
}

/// What lies beside pictures without being one, or without anything in it: of no interest to who names the folder.
fn is_foreign(upload: &NewUpload) -> bool {
    match &upload.refused {
        Some(State::Rejected { fault, .. } | State::Failed { fault, .. }) => {
            fault.code == ErrorCode::NotAPicture.into()
                || fault.code == UploadCode::FileEmpty.into()
                // Gone since the folder was read.
                || fault.code == UploadCode::FileMissing.into()
        }
        _ => false,
    }
}

/// Looks at one file. Whether its location is kept, and which act it is for, is not decided here.
pub(crate) fn look_at_one(named: PathBuf) -> Looked {
    let path = absolute(&named);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let file_name = FileName::clean(&name);
    let upload = match sniff(&path) {
        Ok((format, size)) => NewUpload {
            path,
            file_name,
            content_type: Some(format.content_type().to_owned()),
            size: Some(size),
            keep_location: false,
            batch: None,
            refused: None,
        },
        Err(fault) => NewUpload {
            refused: Some(refusal(fault)),
            path,
            file_name,
            content_type: None,
            size: None,
            keep_location: false,
            batch: None,
        },
    };
    Looked {
        path: named,
        upload,
    }
}

/// The journal outlives the folder that a program happened to start in.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
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

/// Whether a file is one that would be taken in, as far as its beginning tells. Reads it: not for a runtime's own threads.
///
/// # Errors
/// As that file's upload would end before it began.
pub fn check_file(path: &Path) -> Result<(), ViewError> {
    sniff(path).map(drop).map_err(Into::into)
}

fn sniff(path: &Path) -> Result<(imgn_thumbs::Format, u64), Fault> {
    // Asked before opening, for opening a named pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if metadata.is_dir() {
        let message =
            "it is a folder; name the pictures in it, or upload it as a folder (`imgn upload -r`)";
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
    let format = imgn_thumbs::sniff(&head).ok_or_else(|| {
        let message = "it is no picture, or of a format that is not taken; choose another file";
        Fault::new(ErrorCode::NotAPicture, message)
    })?;
    Ok((format, metadata.len()))
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

    fn look(paths: Vec<PathBuf>, folders: Folders) -> (Vec<Looked>, Intake) {
        let mut found = Vec::new();
        let view = look_at(paths, folders, |batch| {
            found.extend(batch);
            ControlFlow::Continue(())
        });
        (found, view)
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
        let paths: Vec<_> = cases.iter().map(|(path, _)| path.clone()).collect();
        let (found, view) = look(
            paths.iter().chain(&paths).cloned().collect(),
            Folders::Refused,
        );
        assert_eq!(found.len(), 2 * cases.len(), "named twice, answered twice");
        assert_eq!((view.pictures, view.other_files), (4, 0));
        for (found, (path, expected)) in found.iter().zip(cases.iter().chain(&cases)) {
            assert_eq!(refused(&found.upload), *expected, "{}", path.display());
            assert_eq!(found.path, *path);
        }
    }

    #[test]
    fn a_name_that_the_system_allows_becomes_one_that_can_be_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a\nb\u{202e}.png");
        std::fs::write(&path, PNG).unwrap();
        let (found, _) = look(vec![path.clone()], Folders::Refused);
        assert_eq!(found[0].upload.file_name.as_str(), "a_b_.png");
        assert_eq!(found[0].path, path);
    }

    #[cfg(unix)]
    #[test]
    fn of_a_folder_the_pictures_are_taken_in_order_and_nothing_else() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(".hidden but named");
        let elsewhere = folder.path().join("elsewhere");
        for below in ["b/deep", ".git", "@eaDir", "__MACOSX", "lost+found"] {
            std::fs::create_dir_all(root.join(below)).unwrap();
        }
        std::fs::create_dir(&elsewhere).unwrap();
        let pictures = ["a2.png", "a10.PNG", "b/deep/1", "b/IMG_3.jpg", "c.png"];
        let left_alone = [
            ".a.png",
            ".git/a.png",
            "@eaDir/a.png",
            "__MACOSX/a.png",
            "lost+found/a.png",
            "Thumbs.db",
            "Desktop.ini",
        ];
        for name in pictures.iter().chain(&left_alone) {
            std::fs::write(root.join(name), PNG).unwrap();
        }
        std::fs::write(root.join("notes.txt"), "hello").unwrap();
        std::fs::write(root.join("b/empty.png"), "").unwrap();
        std::fs::write(elsewhere.join("linked.png"), PNG).unwrap();
        symlink(elsewhere.join("linked.png"), root.join("d.png")).unwrap();
        symlink(&elsewhere, root.join("linked")).unwrap();
        symlink(&root, root.join("b/round")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();

        // Named twice, and once more by a file in it.
        let named = vec![root.clone(), root.clone(), root.join("c.png")];
        let (found, view) = look(named, Folders::Walked);
        let names: Vec<_> = found
            .iter()
            .map(|found| found.path.strip_prefix(&root).unwrap().to_str().unwrap())
            .collect();
        let expected = pictures.iter().copied().chain(["d.png"]);
        assert_eq!(names, expected.collect::<Vec<_>>());
        assert!(found.iter().all(|found| found.upload.refused.is_none()));
        assert_eq!(view.pictures, 6);
        assert_eq!(view.unreadable, []);
        // notes.txt, empty.png, dangling, socket; linked, b/round.
        assert_eq!((view.other_files, view.linked_folders), (4, 2));
    }

    #[test]
    fn who_wants_no_more_gets_no_more_and_batches_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..600 {
            std::fs::write(folder.path().join(format!("{number}.png")), PNG).unwrap();
        }
        let mut sizes = Vec::new();
        let paths = vec![folder.path().to_owned()];
        look_at(paths.clone(), Folders::Walked, |batch| {
            sizes.push(batch.len());
            ControlFlow::Continue(())
        });
        assert_eq!(sizes.iter().sum::<usize>(), 600);
        assert!(sizes.iter().all(|&size| size <= BATCH), "{sizes:?}");
        let mut calls = 0;
        look_at(paths, Folders::Walked, |_| {
            calls += 1;
            ControlFlow::Break(())
        });
        assert_eq!(calls, 1);
    }
}
