//! What the program is given to open, on its command line or by the desktop: files, and `imgn://` addresses.
//!
//! Invariant: an address of another program's making can show something or ask a question, and do nothing else.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use imgn_core::protocol::ImageId;
use url::Url;

/// Something to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// A file or folder to upload.
    File(PathBuf),
    /// An address of imgn's own.
    Link(DeepLink),
    /// An address that means nothing.
    Unknown(String),
}

/// An address of imgn's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeepLink {
    /// `imgn://image/ID`, with `?server=URL` where it says in which gallery.
    Image {
        /// Which picture.
        id: ImageId,
        /// The gallery's address.
        server: Option<Url>,
    },
    /// `imgn://connect?server=URL`. It holds no token: an address is seen by every program that it passes.
    Connect {
        /// The gallery's address.
        server: Url,
    },
}

impl Opened {
    /// What a word of a command line means that was given in this folder.
    #[must_use]
    pub fn of(word: OsString, folder: &Path) -> Self {
        let text = word.to_str().unwrap_or_default();
        let has_scheme = |scheme: &str| {
            let start = text.get(..scheme.len()).unwrap_or_default();
            start.eq_ignore_ascii_case(scheme)
        };
        if has_scheme("imgn:") {
            return match DeepLink::parse(text) {
                Some(link) => Self::Link(link),
                None => Self::Unknown(text.chars().filter(|c| !c.is_control()).take(200).collect()),
            };
        }
        // Desktops give files as addresses.
        if has_scheme("file:")
            && let Some(path) = Url::parse(text)
                .ok()
                .and_then(|url| url.to_file_path().ok())
        {
            return Self::File(path);
        }
        Self::File(folder.join(word))
    }

    /// The word that means the same in every folder.
    #[must_use]
    pub fn to_word(&self) -> OsString {
        match self {
            Self::File(path) => path.clone().into_os_string(),
            Self::Link(link) => link.to_string().into(),
            Self::Unknown(text) => text.into(),
        }
    }
}

impl DeepLink {
    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        if !url.username().is_empty() || url.password().is_some() || url.port().is_some() {
            return None;
        }
        let mut server = None;
        for (name, value) in url.query_pairs() {
            if name == "server" {
                let named = Url::parse(&value).ok()?;
                let is_plain = matches!(named.scheme(), "http" | "https")
                    && named.username().is_empty()
                    && named.password().is_none();
                server = Some(is_plain.then_some(named)?);
            }
        }
        let path = url.path().trim_matches('/');
        match url.host_str()? {
            "image" => Some(Self::Image {
                id: path.parse().ok()?,
                server,
            }),
            "connect" if path.is_empty() => Some(Self::Connect { server: server? }),
            _ => None,
        }
    }
}

impl std::fmt::Display for DeepLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let encode = |url: &Url| -> String {
            url::form_urlencoded::byte_serialize(url.as_str().as_bytes()).collect()
        };
        match self {
            Self::Image { id, server: None } => write!(f, "imgn://image/{id}"),
            Self::Image {
                id,
                server: Some(server),
            } => write!(f, "imgn://image/{id}?server={}", encode(server)),
            Self::Connect { server } => write!(f, "imgn://connect?server={}", encode(server)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0192a5e8-7c1d-7def-8123-456789abcdef";

    fn opened(word: &str) -> Opened {
        Opened::of(word.into(), Path::new("/folder"))
    }

    #[test]
    fn files_are_files_of_the_folder_that_they_were_named_in() {
        for (word, path) in [
            ("a.png", "/folder/a.png"),
            ("../a.png", "/folder/../a.png"),
            ("/b/a.png", "/b/a.png"),
            ("file:///b/a%20b.png", "/b/a b.png"),
            ("file://elsewhere/a.png", "/folder/file://elsewhere/a.png"),
        ] {
            let file = opened(word);
            assert_eq!(file, Opened::File(path.into()), "{word}");
            let elsewhere = Opened::of(file.to_word(), Path::new("/elsewhere"));
            assert_eq!(elsewhere, file);
        }
    }

    #[test]
    fn an_address_shows_or_asks_and_nothing_else() {
        let id = ID.parse().unwrap();
        let server = Url::parse("https://gallery.example/a?b=c&d").unwrap();
        let links = [
            DeepLink::Image { id, server: None },
            DeepLink::Image {
                id,
                server: Some(server.clone()),
            },
            DeepLink::Connect { server },
        ];
        for link in links {
            let word = link.to_string();
            assert_eq!(opened(&word), Opened::Link(link), "{word}");
            assert_eq!(opened(&word).to_word(), OsString::from(word));
        }
        assert!(matches!(
            opened(&format!("IMGN://image/{ID}/")),
            Opened::Link(_)
        ));
        for word in [
            "imgn://",
            "imgn:image",
            "imgn://image/",
            "imgn://image/../etc",
            "imgn://connect",
            "imgn://connect?server=javascript:alert(1)",
            "imgn://connect?server=https://user:secret@gallery.example",
            "imgn://connect?server=file:///etc/passwd",
            "imgn://upload?path=/etc/passwd",
            "imgn://user@connect?server=https://gallery.example",
        ] {
            assert!(matches!(opened(word), Opened::Unknown(_)), "{word}");
        }
    }
}
