//! Names: object keys, upload ids, and the file names they become.
//!
//! Invariant: no byte of a key or of an upload id reaches the file system as it came. A key becomes one
//! file name of `[a-z0-9._%-]` inside a directory chosen by its hash, so that `../x`, `a` beside `a/b`,
//! names that differ only in case and names that some system reserves are all plain, separate files.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// S3's limit on the UTF-8 length of a key, in bytes.
const KEY_MAX_BYTES: usize = 1024;

/// The longest escaped key that is used as a file name; common file systems allow 255 bytes.
const ESCAPED_NAME_MAX_BYTES: usize = 200;

/// The name of an object: 1 to 1024 bytes of UTF-8. Ordered by its bytes, as S3 lists keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ObjectKey(Box<str>);

impl ObjectKey {
    /// Accepts any legal S3 key.
    pub(crate) fn new(key: &str) -> Result<Self, Error> {
        match key.len() {
            0 => Err(Error::InvalidArgument {
                message: "the key is empty".into(),
            }),
            1..=KEY_MAX_BYTES => Ok(Self(key.into())),
            _ => Err(Error::KeyTooLong),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the object lives.
    pub(crate) fn file_name(&self) -> FileName {
        let hash = Sha256::digest(self.0.as_bytes());
        let escaped = escape(&self.0);
        let name = if escaped.len() <= ESCAPED_NAME_MAX_BYTES {
            format!("{ESCAPED}{escaped}")
        } else {
            format!("{HASHED}{}", hex::encode(hash))
        };
        FileName {
            shard: hash[0],
            name,
        }
    }

    /// The key back from a file name; `None` when the name is a hash (the key is then in the file) or not
    /// one that this store makes.
    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let key = unescape(name.strip_prefix(ESCAPED)?)?;
        let key = Self::new(&key).ok()?;
        (key.file_name().name == name).then_some(key)
    }
}

/// `str` and its bytes have the same order, which `BTreeSet` lookups by bytes rely on.
impl Borrow<[u8]> for ObjectKey {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file name and the shard (0 to 255) whose directory holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) shard: u8,
    pub(crate) name: String,
}

/// Prefix of a name that spells its key. A prefix also keeps names such as `con` off the disk.
const ESCAPED: &str = "k-";
/// Prefix of a name that is the SHA-256 of its key.
const HASHED: &str = "h-";

/// True when a file of this name has its key inside only.
pub(crate) fn is_hashed(name: &str) -> bool {
    name.starts_with(HASHED)
}

/// Spells a key in lower-case ASCII. Upper case is escaped because some file systems fold it, a final dot
/// because some drop it.
fn escape(key: &str) -> String {
    use fmt::Write as _;
    let last = key.len() - 1;
    let mut name = String::with_capacity(key.len() + 16);
    for (at, byte) in key.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if at != last => name.push('.'),
            // Writing to a string cannot fail.
            _ => drop(write!(name, "%{byte:02X}")),
        }
    }
    name
}

fn unescape(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.extend(hex::decode(digits).ok()?);
            rest = tail;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The name of a multipart upload: 32 hexadecimal digits made by this store, sorted by time of creation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct UploadId(String);

impl UploadId {
    pub(crate) fn generate() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string())
    }

    /// Accepts exactly what [`UploadId::generate`] can have made: the id becomes a directory name.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        let canonical = uuid::Uuid::try_parse(id).ok()?.simple().to_string();
        (canonical == id).then_some(Self(canonical))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The number of a part, 1 to 10,000 (S3's limit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub(crate) struct PartNumber(u16);

impl TryFrom<i32> for PartNumber {
    type Error = &'static str;

    fn try_from(number: i32) -> Result<Self, Self::Error> {
        Self::new(number).ok_or("not the number of a part")
    }
}

impl From<PartNumber> for i32 {
    fn from(number: PartNumber) -> Self {
        number.get()
    }
}

impl PartNumber {
    pub(crate) const MAX: u16 = 10_000;

    pub(crate) fn new(number: i32) -> Option<Self> {
        let number = u16::try_from(number).ok()?;
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }

    pub(crate) fn get(self) -> i32 {
        i32::from(self.0)
    }

    /// The file that a part was in the first format of a store.
    fn file_name(self) -> String {
        format!("{:05}.part", self.0)
    }

    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let number = Self::new(name.strip_suffix(".part")?.parse().ok()?)?;
        (number.file_name() == name).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::{Component, Path};

    use super::*;

    const ZOO: &[&str] = &[
        "a",
        "a/b",
        "A",
        "../x",
        "..",
        ".",
        "/",
        "//a",
        "a.",
        "con",
        "with space",
        "%41",
        "k-a",
        "h-a",
        "ä/ö/ü",
        "日本",
        "\u{0}\n\u{7f}",
        "a\\b",
        "?*<>|\":",
    ];

    #[test]
    fn every_key_is_one_plain_file_name_and_comes_back_from_it() {
        let mut seen = HashSet::new();
        for key in ZOO {
            let key = ObjectKey::new(key).unwrap();
            let FileName { shard, name } = key.file_name();
            let components: Vec<_> = Path::new(&name).components().collect();
            assert!(matches!(components[..], [Component::Normal(_)]), "{name}");
            assert!(name.is_ascii() && name.len() <= 255 && !name.ends_with('.'));
            assert_eq!(ObjectKey::from_file_name(&name), Some(key));
            assert!(seen.insert((shard, name.to_ascii_lowercase())));
        }
    }

    #[test]
    fn a_long_key_is_stored_under_its_hash() {
        let key = ObjectKey::new(&"K".repeat(1024)).unwrap();
        let name = key.file_name().name;
        assert!(is_hashed(&name) && name.len() < 255);
        assert_eq!(ObjectKey::from_file_name(&name), None);
        assert!(ObjectKey::new(&"K".repeat(1025)).is_err());
        assert!(ObjectKey::new("").is_err());
    }

    #[test]
    fn foreign_file_names_are_not_keys() {
        for name in ["k-%4", "k-%zz", "k-A", "x-a", "k-", "k-%61", "README"] {
            assert_eq!(ObjectKey::from_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn upload_ids_and_part_numbers_are_exact() {
        let id = UploadId::generate();
        assert_eq!(UploadId::parse(id.as_str()), Some(id.clone()));
        for bad in [
            "",
            "..",
            "../../etc",
            &id.as_str().to_uppercase().replace('0', "A"),
        ] {
            assert_eq!(UploadId::parse(bad), None);
        }
        assert!(PartNumber::new(0).is_none() && PartNumber::new(10_001).is_none());
        let last = PartNumber::new(10_000).unwrap();
        assert_eq!(PartNumber::from_file_name(&last.file_name()), Some(last));
        assert_eq!(PartNumber::from_file_name("1.part"), None);
    }
}
