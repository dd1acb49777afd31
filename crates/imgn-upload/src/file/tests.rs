//! Files as they are summed, sent and known again.

use imgn_protocol::Sha256;

use super::*;
use crate::Patch;

struct Blank;

impl Redactor for Blank {
    fn patches(&self, _: &File) -> io::Result<Patches> {
        let patch = Patch {
            offset: 3,
            bytes: vec![0; 4],
        };
        Ok(Patches::new(vec![patch]).unwrap())
    }
}

fn source(path: &Path) -> Source {
    Source {
        path: path.to_owned(),
        redactor: None,
    }
}

async fn read_all(known: &Known, range: Range, chunk: usize) -> Vec<u8> {
    let mut reading = known.read(range, chunk).await.unwrap();
    let mut chunks = reading.chunks();
    let mut all = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    reading.check().unwrap();
    all
}

#[tokio::test]
async fn a_file_is_summed_and_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let bytes: Vec<u8> = (0..600_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    std::fs::write(&path, &bytes).unwrap();
    let source = source(&path);
    let content = source.sum().await.unwrap();
    assert_eq!(content.sha256, Sha256::of(&bytes));
    assert_eq!(content.fingerprint.size, 600_000);
    let known = source.known(content.fingerprint).await.unwrap();
    for (offset, length) in [(0, 600_000), (0, 1), (123_456, 400_000)] {
        let range = Range { offset, length };
        let from = usize::try_from(offset).unwrap();
        let part = &bytes[from..from + usize::try_from(length).unwrap()];
        assert_eq!(read_all(&known, range, 10_000).await, part);
        let sum = known.sum(range, ChecksumAlgorithm::Sha256).await.unwrap();
        assert_eq!(sum, Sha256::of(part).into());
    }

    std::fs::write(&path, vec![7; 600_001]).unwrap();
    let reopened = source.known(content.fingerprint).await;
    assert!(matches!(reopened, Err(Trouble::Changed)));
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_was_replaced_at_equal_size_and_time_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    std::fs::write(&path, b"old").unwrap();
    let content = source(&path).sum().await.unwrap();
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let other = folder.path().join("b.png");
    std::fs::write(&other, b"new").unwrap();
    File::options()
        .write(true)
        .open(&other)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    std::fs::rename(&other, &path).unwrap();
    let reopened = source(&path).known(content.fingerprint).await;
    assert!(matches!(reopened, Err(Trouble::Touched)));
}

#[tokio::test]
async fn what_must_not_be_given_away_is_neither_summed_nor_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    std::fs::write(&path, b"abcGPS!xyz").unwrap();
    let source = Source {
        path: path.clone(),
        redactor: Some(Arc::new(Blank)),
    };
    let content = source.sum().await.unwrap();
    assert!(content.location_removed);
    assert_eq!(content.sha256, Sha256::of(b"abc\0\0\0\0xyz"));
    let known = source.known(content.fingerprint).await.unwrap();
    let range = Range {
        offset: 1,
        length: 8,
    };
    assert_eq!(read_all(&known, range, 3).await, b"bc\0\0\0\0xy");
    let sum = known.sum(range, ChecksumAlgorithm::Sha256).await.unwrap();
    assert_eq!(sum, Sha256::of(b"bc\0\0\0\0xy").into());
    assert_eq!(std::fs::read(&path).unwrap(), b"abcGPS!xyz");
}

#[tokio::test]
async fn what_cannot_be_summed_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, b"").unwrap();
    for (path, code) in [
        (folder.path().join("none"), UploadCode::FileMissing),
        (folder.path().to_owned(), UploadCode::NotAFile),
        (empty, UploadCode::FileEmpty),
    ] {
        match source(&path).sum().await {
            Err(Trouble::Unreadable(fault)) => assert_eq!(fault.code, code.into()),
            other => panic!("{code:?}: {other:?}"),
        }
    }
}
