//! What people chose, in `settings.toml`: read once, written whole and at once. `docs/SETTINGS.md` tells of every key.
//!
//! Invariant: a comment that a person wrote, and a key that this version does not know, stay in the file.

mod merge;
mod proxy;

use std::{io::Write as _, num::NonZeroU64, path::Path};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{ClientCode, CommandError, LinkFormat};

pub use proxy::{InvalidProxy, Proxy};

/// The settings of one profile. What a file leaves out has its default; what it has beside is left out of account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The gallery; none at the first start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSettings>,
    /// How uploads are done.
    pub uploads: UploadSettings,
    /// What is kept for speed.
    pub cache: CacheSettings,
    /// How links are given out.
    pub links: LinkSettings,
    /// How the app lives beside other programs.
    pub desktop: DesktopSettings,
    /// How the app looks and speaks.
    pub look: LookSettings,
    /// How servers are reached.
    pub network: NetworkSettings,
    /// When somebody is asked before pictures become public.
    pub guard: GuardSettings,
    /// All galleries that were chosen and not left, in the order of choosing; the one above is among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub galleries: Vec<GallerySettings>,
}

/// Which gallery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSettings {
    /// Its address.
    pub url: Url,
    /// Whether it is the gallery on this computer.
    #[serde(default)]
    pub local: bool,
    /// Whether the keyring was given a token for it.
    #[serde(default)]
    pub signed_in: bool,
}

/// A gallery that was chosen once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GallerySettings {
    /// Which.
    #[serde(flatten)]
    pub server: ServerSettings,
    /// What its owner here calls it; where it is empty, its address does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether somebody said that pictures may become public there.
    #[serde(default)]
    pub confirmed: bool,
}

/// How the app looks and speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LookSettings {
    /// Light or dark.
    pub theme: Theme,
    /// In which language.
    pub language: Language,
}

/// Light or dark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// As the desktop is.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// A language that there are words in. Each is written as its tag, so that a file is understood by who reads it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub enum Language {
    /// The first of the session's that there are words in.
    #[default]
    #[serde(rename = "system")]
    System,
    /// English.
    #[serde(rename = "en")]
    English,
    /// German.
    #[serde(rename = "de")]
    German,
}

/// How servers are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSettings {
    /// Through which proxy.
    pub proxy: Proxy,
}

/// When somebody is asked before pictures become public.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardSettings {
    /// When.
    pub ask: Ask,
}

/// When somebody is shown what is about to become public.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Before the first upload to each gallery that others can reach.
    #[default]
    First,
    /// Before every upload.
    Always,
    /// Never.
    Never,
}

/// How uploads are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UploadSettings {
    /// Whether the place where a picture was taken is sent with it.
    pub keep_location: bool,
    /// Requests under way at the same time, from 1 to 64; without a number what is worth having is found out.
    pub jobs: Option<u32>,
    /// Bytes a second of all uploads together; without a number as fast as the line.
    pub bytes_per_second: Option<NonZeroU64>,
}

/// What is kept for speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheSettings {
    /// Thumbnails take at most so much of the disk, in bytes.
    pub max_bytes: u64,
}

impl Default for CacheSettings {
    /// 512 MiB: some twenty thousand thumbnails of the grid's size.
    fn default() -> Self {
        Self {
            max_bytes: 512 * 1024 * 1024,
        }
    }
}

/// How links are given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkSettings {
    /// How the app writes them.
    pub format: LinkFormat,
    /// Whether the app puts them on the clipboard when an upload has ended.
    pub copy: bool,
}

impl Default for LinkSettings {
    /// Markdown, since most places where people write take it, copied: it is what an upload is for.
    fn default() -> Self {
        Self {
            format: LinkFormat::Markdown,
            copy: true,
        }
    }
}

/// How the app lives beside other programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DesktopSettings {
    /// Whether the app stays in the tray, where there is one, when its window is closed.
    pub keep_in_tray: bool,
    /// Whether it starts without its window, where there is a tray.
    pub start_minimised: bool,
    /// Whether it starts with the session.
    pub autostart: bool,
    /// Whether a notification is shown when an upload has ended.
    pub notify: bool,
    /// For how long it offers to take the pictures back, in seconds; 0: it does not.
    pub undo_seconds: u32,
    /// The key that uploads the clipboard in every program, as in `Ctrl+Alt+U`; none where it is empty.
    pub hotkey: String,
    /// Whether editors that know PicGo are served, on this computer only.
    pub editors: bool,
    /// The port that they ask.
    pub editors_port: u16,
    /// What they show where they ask for more than PicGo's plain form; made when it is first needed. It opens nothing
    /// but this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub editors_key: Option<String>,
    /// Whether it was said that the app is in the tray when its window was closed for the first time.
    pub told_of_tray: bool,
}

impl Default for DesktopSettings {
    /// Nothing starts by itself, no key is taken and no port opened; uploads outlive the window.
    fn default() -> Self {
        Self {
            keep_in_tray: true,
            start_minimised: false,
            autostart: false,
            notify: true,
            undo_seconds: 30,
            hotkey: String::new(),
            editors: false,
            editors_port: 36677,
            editors_key: None,
            told_of_tray: false,
        }
    }
}

impl Settings {
    /// Reads the file; defaults where there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read or understood. It is not replaced then: a person wrote something in it.
    pub fn load(path: &Path) -> Result<Self, CommandError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(failed(path, "cannot be read", &error)),
        };
        let mut settings: Self = toml::from_str(&text)
            .map_err(|error| failed(path, "is not understood; correct it or delete it", &error))?;
        // A file of before there were several, or of a person who wrote only this one.
        if let Some(server) = settings.server.clone() {
            settings.know(server);
        }
        Ok(settings)
    }

    /// This gallery is known from now on.
    pub(crate) fn know(&mut self, server: ServerSettings) {
        let known = self.galleries.iter_mut().find(|it| {
            // The one on this computer may have another address each time.
            it.server.url == server.url || (it.server.local && server.local)
        });
        match known {
            Some(known) => known.server = server,
            None => self.galleries.push(GallerySettings {
                server,
                name: String::new(),
                confirmed: false,
            }),
        }
    }

    /// Replaces the file, whole or not at all. What a person wrote beside the values stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), CommandError> {
        let before = std::fs::read_to_string(path).unwrap_or_default();
        let text = merge::into(&before, self)
            .map_err(|error| failed(path, "cannot be written", &error))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            std::io::Result::Ok(())
        };
        write().map_err(|error| failed(path, "cannot be written", &error))
    }
}

fn failed(path: &Path, what: &str, error: &dyn std::error::Error) -> CommandError {
    let message = format!("the settings file {} {what} ({error})", path.display());
    CommandError::new(ClientCode::SettingsFailed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_and_gaps_have_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        assert_eq!(Settings::load(&path).unwrap(), Settings::default());

        let settings = Settings {
            server: Some(ServerSettings {
                url: Url::parse("https://gallery.example/").unwrap(),
                local: false,
                signed_in: true,
            }),
            links: LinkSettings {
                format: "[{name}]({url})".parse().unwrap(),
                copy: false,
            },
            ..Settings::default()
        };
        settings.save(&path).unwrap();
        settings.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# imgn's settings."), "{text}");
        assert_eq!(text.matches('#').count(), 1, "{text}");
        let mut read = Settings::load(&path).unwrap();
        assert_eq!(read.galleries.len(), 1, "the chosen one is known");
        read.galleries.clear();
        assert_eq!(read, settings);

        std::fs::write(&path, "[uploads]\njobs = 9\n").unwrap();
        let read = Settings::load(&path).unwrap();
        assert_eq!(
            (read.uploads.jobs, read.cache),
            (Some(9), CacheSettings::default())
        );
    }

    #[test]
    fn what_a_person_wrote_beside_the_values_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let written = "# My own.\n[uploads]\njobs = 9 # the line is slow\nfuture = true\n\n[links]\ncopy = true\n";
        std::fs::write(&path, written).unwrap();
        let mut settings = Settings::load(&path).unwrap();
        settings.links.copy = false;
        settings.look.theme = Theme::Dark;
        settings.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for kept in [
            "# My own.",
            "jobs = 9 # the line is slow",
            "future = true",
            "theme = \"dark\"",
        ] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        assert_eq!(Settings::load(&path).unwrap(), settings);

        // What is chosen no more is there no more.
        settings.uploads.jobs = None;
        settings.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("jobs") && text.contains("future"), "{text}");
    }

    #[test]
    fn galleries_come_and_go_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let gallery = |host: &str| GallerySettings {
            server: ServerSettings {
                url: Url::parse(&format!("https://{host}/")).unwrap(),
                local: false,
                signed_in: true,
            },
            name: host.to_owned(),
            confirmed: false,
        };
        let mut settings = Settings {
            galleries: vec![gallery("a.example"), gallery("b.example")],
            ..Settings::default()
        };
        settings.save(&path).unwrap();
        assert_eq!(Settings::load(&path).unwrap(), settings);
        settings.galleries.remove(0);
        settings.save(&path).unwrap();
        assert_eq!(Settings::load(&path).unwrap(), settings);
        settings.galleries.clear();
        settings.save(&path).unwrap();
        assert_eq!(Settings::load(&path).unwrap(), settings);
    }

    #[test]
    fn the_document_tells_of_every_key() {
        let settings = Settings {
            server: Some(ServerSettings {
                url: Url::parse("https://gallery.example/").unwrap(),
                local: false,
                signed_in: true,
            }),
            uploads: UploadSettings {
                keep_location: false,
                jobs: Some(1),
                bytes_per_second: NonZeroU64::new(1),
            },
            desktop: DesktopSettings {
                editors_key: Some("x".to_owned()),
                ..DesktopSettings::default()
            },
            galleries: vec![GallerySettings {
                server: ServerSettings {
                    url: Url::parse("https://gallery.example/").unwrap(),
                    local: false,
                    signed_in: true,
                },
                name: "Home".to_owned(),
                confirmed: true,
            }],
            ..Settings::default()
        };
        let document = include_str!("../../../docs/SETTINGS.md");
        let text = toml::to_string(&settings).unwrap();
        let value: toml::Table = toml::from_str(&text).unwrap();
        for (table, values) in &value {
            let values = match values {
                toml::Value::Array(tables) => tables[0].as_table(),
                other => other.as_table(),
            };
            for key in values.unwrap().keys() {
                let told = format!("`{table}.{key}`");
                assert!(document.contains(&told), "docs/SETTINGS.md: {told}");
            }
        }
    }

    #[test]
    fn settings_that_are_not_understood_are_said_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, "uploads = 3").unwrap();
        let error = Settings::load(&path).unwrap_err();
        assert_eq!(error.code, ClientCode::SettingsFailed.into());
        assert!(error.message.contains("settings.toml"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "uploads = 3");
    }
}
