//! What a start of the program asks for, as one process tells it to another.
//!
//! Invariant: what is told is asked for, whatever a file is called: a word is never taken for another kind of word.

use std::{ffi::OsString, path::Path, path::PathBuf};

use crate::Opened;

/// What a start of the program asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Files to upload and addresses to show.
    pub opened: Vec<Opened>,
    /// To upload what is on the clipboard.
    pub clipboard: bool,
    /// Not to open the window for this.
    pub minimised: bool,
    /// The gallery on this computer.
    pub local_gallery: bool,
    /// The gallery at this address.
    pub server: Option<String>,
    /// To upload the pictures of this folder if the gallery is empty.
    pub import: Option<PathBuf>,
}

impl Asked {
    /// As words in pairs, a kind and what it is about.
    #[must_use]
    pub fn to_words(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        let mut say = |kind: &str, about: OsString| words.extend([kind.into(), about]);
        for (kind, is_asked) in [
            ("clipboard", self.clipboard),
            ("minimised", self.minimised),
            ("local-gallery", self.local_gallery),
        ] {
            if is_asked {
                say(kind, OsString::new());
            }
        }
        if let Some(server) = &self.server {
            say("server", server.into());
        }
        if let Some(folder) = &self.import {
            say("import", folder.into());
        }
        for opened in &self.opened {
            say("open", opened.to_word());
        }
        words
    }

    /// What was said. A kind that is not known is of a program of another version, and is left out of account.
    #[must_use]
    pub fn of_words(words: Vec<OsString>) -> Self {
        let mut asked = Self::default();
        let mut words = words.into_iter();
        while let (Some(kind), Some(about)) = (words.next(), words.next()) {
            match kind.to_str() {
                Some("clipboard") => asked.clipboard = true,
                Some("minimised") => asked.minimised = true,
                Some("local-gallery") => asked.local_gallery = true,
                Some("server") => asked.server = about.into_string().ok(),
                Some("import") => asked.import = Some(about.into()),
                // They are absolute already.
                Some("open") => asked.opened.push(Opened::of(about, Path::new("/"))),
                _ => tracing::warn!(?kind, "another version of imgn asked for something unknown"),
            }
        }
        asked
    }

    /// Whether there is nothing to do without the window: it is asked for, then.
    #[must_use]
    pub fn is_for_window(&self) -> bool {
        !self.minimised && !self.clipboard && self.import.is_none() && self.opened.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_asked_for_arrives() {
        let asked = Asked {
            opened: ["--clipboard", "clipboard", "a b.png", "imgn://nothing"]
                .map(|word| Opened::of(word.into(), Path::new("/folder")))
                .into(),
            clipboard: true,
            minimised: true,
            local_gallery: true,
            server: Some("https://gallery.example".to_owned()),
            import: Some("/import".into()),
        };
        assert_eq!(Asked::of_words(asked.to_words()), asked);
        assert!(Asked::of_words(Vec::new()).is_for_window());

        let one = Asked {
            opened: vec![Opened::File("/folder/--clipboard".into())],
            ..Asked::default()
        };
        let told = Asked::of_words(one.to_words());
        assert!(!told.clipboard && !told.is_for_window());
        // As the environment names it at every start.
        let server = Some("https://gallery.example".to_owned());
        let named = Asked {
            server,
            ..Asked::default()
        };
        assert!(named.is_for_window());
        let newer = ["later", "x", "clipboard", ""].map(OsString::from).to_vec();
        assert!(Asked::of_words(newer).clipboard);
    }
}
