//! File names as they are shown: never a path, never a control sequence.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest file name in UTF-8 bytes: what ext4, APFS and NTFS allow at most.
pub const MAX_FILE_NAME_BYTES: usize = 255;

/// The name of a picture's file, for people to read. It names no place in any file system or bucket.
///
/// It is not empty, has at most [`MAX_FILE_NAME_BYTES`], no path separator, is not `.` or `..`, and holds neither
/// control characters nor the characters that reorder the text around them (bidirectional overrides and isolates).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(feature = "bindings", specta(transparent))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 255))]
#[serde(try_from = "String", into = "String")]
pub struct FileName(#[cfg_attr(feature = "bindings", specta(type = String))] String);

/// Why a text is no [`FileName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFileName {
    /// It is empty, or only white space.
    #[error("the file name is empty")]
    Empty,
    /// It is longer than [`MAX_FILE_NAME_BYTES`].
    #[error("the file name is longer than {MAX_FILE_NAME_BYTES} bytes")]
    TooLong,
    /// It has a path separator, or is `.` or `..`.
    #[error("the file name is a path; only its last part may be given")]
    Path,
    /// It has a control character, or one that reorders the text around it.
    #[error("the file name has control characters")]
    Control,
}

impl FileName {
    /// The name, if it is one as it stands.
    pub fn parse(text: &str) -> Result<Self, InvalidFileName> {
        if text.trim().is_empty() {
            return Err(InvalidFileName::Empty);
        }
        if text.len() > MAX_FILE_NAME_BYTES {
            return Err(InvalidFileName::TooLong);
        }
        if text.contains(['/', '\\']) || text == "." || text == ".." {
            return Err(InvalidFileName::Path);
        }
        if text.chars().any(is_forbidden) {
            return Err(InvalidFileName::Control);
        }
        Ok(Self(text.to_owned()))
    }

    /// The nearest name to whatever a file system or a person gave: the last part of a path, forbidden characters
    /// replaced by `_`, shortened before its ending. `picture` where nothing is left.
    #[must_use]
    pub fn clean(text: &str) -> Self {
        let last = text
            .rsplit(['/', '\\'])
            .find(|part| !part.is_empty())
            .unwrap_or_default();
        let kept: String = last
            .chars()
            .map(|c| if is_forbidden(c) { '_' } else { c })
            .collect();
        let kept = kept.trim();
        let kept = if kept.is_empty() || kept == "." || kept == ".." {
            "picture"
        } else {
            kept
        };
        Self(shorten(kept))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

fn shorten(name: &str) -> String {
    if name.len() <= MAX_FILE_NAME_BYTES {
        return name.to_owned();
    }
    // An ending is short; what stands behind a dot somewhere in a long sentence is not one.
    let ending = name
        .rfind('.')
        .map(|dot| &name[dot..])
        .filter(|ending| ending.len() <= 16)
        .unwrap_or_default();
    let mut end = MAX_FILE_NAME_BYTES - ending.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", &name[..end])
}

impl TryFrom<String> for FileName {
    type Error = InvalidFileName;

    fn try_from(text: String) -> Result<Self, InvalidFileName> {
        Self::parse(&text)
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_file_name_is_told_apart() {
        let long = "a".repeat(256);
        for (text, why) in [
            ("", InvalidFileName::Empty),
            ("  ", InvalidFileName::Empty),
            (long.as_str(), InvalidFileName::TooLong),
            ("../a.png", InvalidFileName::Path),
            ("a\\b.png", InvalidFileName::Path),
            ("..", InvalidFileName::Path),
            ("a\nb.png", InvalidFileName::Control),
            ("a\u{202e}gnp.exe", InvalidFileName::Control),
        ] {
            assert_eq!(FileName::parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn cleaning_keeps_what_people_read() {
        for (text, name) in [
            ("/home/x/Ferien 2026.JPG", "Ferien 2026.JPG"),
            ("C:\\pictures\\a.png", "a.png"),
            ("a\nb.png", "a_b.png"),
            ("../..", "picture"),
            ("", "picture"),
        ] {
            assert_eq!(FileName::clean(text).as_str(), name);
        }
        let long = FileName::clean(&format!("{}.jpeg", "ü".repeat(300)));
        assert!(long.as_str().ends_with("ü.jpeg"));
    }

    proptest! {
        #[test]
        fn a_cleaned_name_is_a_name_and_stays(text in any::<String>()) {
            let name = FileName::clean(&text);
            prop_assert_eq!(FileName::parse(name.as_str()), Ok(name.clone()));
            prop_assert_eq!(FileName::clean(name.as_str()), name);
        }
    }
}
