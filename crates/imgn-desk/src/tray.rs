//! The tray's menu, words and icon as data: pure functions of what the app does. A shell renders them.
//!
//! Invariant: nothing is reachable by the tray alone, and an item that cannot do anything as things stand is disabled.

mod icon;
#[cfg(all(unix, not(target_os = "macos")))]
mod sni;

use imgn_core::protocol::ImageId;

use crate::Language;

pub use icon::Pixels;
#[cfg(all(unix, not(target_os = "macos")))]
pub(crate) use sni::show;

/// What the tray tells of the app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrayState {
    /// Whose words.
    pub language: Language,
    /// Whether a gallery is chosen.
    pub connected: bool,
    /// Whether it answers.
    pub reachable: bool,
    /// Uploads on their way.
    pub progress: Progress,
    /// The pictures that were uploaded last, the newest first.
    pub recent: Vec<Recent>,
}

/// How far uploads are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// That go on by themselves.
    pub running: u64,
    /// That somebody holds back.
    pub paused: u64,
    /// That wait for their files, which were moved or taken away.
    pub without_file: u64,
    /// That have ended since there was something to do.
    pub done: u64,
    /// All of these together, in files.
    pub total: u64,
    /// And in hundredths of their bytes.
    pub percent: u64,
}

/// A picture that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// Which.
    pub id: ImageId,
    /// Its place in the gallery's feed.
    pub sequence: u64,
    /// What it is called.
    pub name: String,
}

/// So many links are in the menu at most.
pub(crate) const RECENT: usize = 10;

/// A name in the menu has no more characters: a menu is as wide as its longest item.
const NAME_CHARACTERS: usize = 40;

/// What somebody asks for in the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrayAction {
    /// Choose files and upload them.
    UploadFiles,
    /// Upload what is on the clipboard.
    UploadClipboard,
    /// Choose a folder and upload the pictures in it.
    UploadFolder,
    /// Hold back all uploads.
    Pause,
    /// Let them go on.
    Resume,
    /// Put this picture's link on the clipboard.
    CopyLink(ImageId),
    /// Show the window.
    OpenGallery,
    /// Show the settings.
    Settings,
    /// End the program.
    Quit,
}

/// Whether a host shows the tray.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shown {
    /// It is being found out.
    #[default]
    Unknown,
    /// It does.
    Yes,
    /// There is none.
    No,
}

/// A line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Something that can be done.
    Action {
        /// Its words.
        label: String,
        /// What it does.
        action: TrayAction,
        /// Whether it can be done as things stand.
        enabled: bool,
    },
    /// Words that do nothing.
    Text(String),
    /// A line between groups.
    Separator,
    /// More lines.
    Submenu {
        /// Its words.
        label: String,
        /// What is in it.
        items: Vec<Item>,
    },
}

/// The menu, from top to bottom.
#[must_use]
pub fn menu(state: &TrayState) -> Vec<Item> {
    let words = state.language;
    let item = |label: &str, action, enabled| Item::Action {
        label: label.to_owned(),
        action,
        enabled,
    };
    let progress = &state.progress;
    let mut items = vec![
        Item::Text(summary(state)),
        Item::Separator,
        item(
            words.upload_files(),
            TrayAction::UploadFiles,
            state.connected,
        ),
        item(
            words.upload_clipboard(),
            TrayAction::UploadClipboard,
            state.connected,
        ),
        item(
            words.upload_folder(),
            TrayAction::UploadFolder,
            state.connected,
        ),
        Item::Separator,
    ];
    // One of them, unless there is something for both.
    if progress.paused == 0 || progress.running > 0 {
        items.push(item(words.pause(), TrayAction::Pause, progress.running > 0));
    }
    if progress.paused > 0 {
        items.push(item(words.resume(), TrayAction::Resume, true));
    }
    let links = state.recent.iter().take(RECENT).map(|recent| Item::Action {
        label: shortened(&recent.name),
        action: TrayAction::CopyLink(recent.id),
        enabled: true,
    });
    let mut links: Vec<_> = links.collect();
    if links.is_empty() {
        links.push(Item::Text(words.no_links().to_owned()));
    }
    items.extend([
        Item::Submenu {
            label: words.recent_links().to_owned(),
            items: links,
        },
        Item::Separator,
        item(words.open_gallery(), TrayAction::OpenGallery, true),
        item(words.settings(), TrayAction::Settings, true),
        Item::Separator,
        item(words.quit(), TrayAction::Quit, true),
    ]);
    items
}

/// How things stand, in words: the menu's first line and the icon's hint.
#[must_use]
pub fn summary(state: &TrayState) -> String {
    let words = state.language;
    let Progress {
        running,
        paused,
        without_file,
        done,
        total,
        percent,
    } = state.progress;
    if !state.connected {
        words.no_gallery().to_owned()
    } else if running > 0 && !state.reachable {
        words.offline().to_owned()
    } else if running > 0 && percent == 100 {
        words.checking(done, total)
    } else if running > 0 {
        words.uploading(done, total, percent)
    } else if paused > 0 {
        words.paused(paused)
    } else if without_file > 0 {
        words.without_file(without_file)
    } else {
        words.idle().to_owned()
    }
}

/// How far all is, for the icon; none where nothing is on its way.
#[must_use]
pub fn fraction(state: &TrayState) -> Option<u64> {
    (state.progress.running > 0).then_some(state.progress.percent.min(100))
}

/// The end of a name says what it is; the middle goes.
fn shortened(name: &str) -> String {
    let count = name.chars().count();
    if count <= NAME_CHARACTERS {
        return name.to_owned();
    }
    let half = (NAME_CHARACTERS - 1) / 2;
    let start: String = name.chars().take(half).collect();
    let end: String = name.chars().skip(count - half).collect();
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(items: &[Item]) -> Vec<String> {
        let label = |item: &Item| match item {
            Item::Action { label, enabled, .. } if *enabled => label.clone(),
            Item::Action { label, .. } => format!("({label})"),
            Item::Text(text) => format!("= {text}"),
            Item::Separator => "-".to_owned(),
            Item::Submenu { label, items } => format!("{label} > {}", labels(items).join(", ")),
        };
        items.iter().map(label).collect()
    }

    fn connected() -> TrayState {
        TrayState {
            connected: true,
            reachable: true,
            ..TrayState::default()
        }
    }

    #[test]
    fn at_the_first_start_only_the_window_is_of_use() {
        assert_eq!(
            labels(&menu(&TrayState::default())),
            [
                "= No gallery chosen yet",
                "-",
                "(Upload files…)",
                "(Upload clipboard image)",
                "(Upload folder…)",
                "-",
                "(Pause uploads)",
                "Recent links > = No links yet",
                "-",
                "Open gallery",
                "Settings",
                "-",
                "Quit",
            ]
        );
    }

    #[test]
    fn what_is_on_its_way_is_told_and_can_be_held_back() {
        let progress = Progress {
            running: 3,
            paused: 0,
            without_file: 0,
            done: 2,
            total: 5,
            percent: 41,
        };
        let mut state = TrayState {
            progress,
            ..connected()
        };
        assert_eq!(summary(&state), "Uploading: 2 of 5, 41 %");
        assert_eq!(fraction(&state), Some(41));
        assert_eq!(labels(&menu(&state))[6], "Pause uploads");
        state.progress.percent = 100;
        assert_eq!(summary(&state), "Being checked: 2 of 5 done");
        state.progress.paused = 1;
        assert_eq!(
            labels(&menu(&state))[6..8],
            ["Pause uploads", "Resume uploads"]
        );
        state.reachable = false;
        assert_eq!(summary(&state), "Offline, uploads wait");
        state.progress.running = 0;
        assert_eq!(summary(&state), "1 upload paused");
        assert_eq!(labels(&menu(&state))[6], "Resume uploads");
        assert_eq!(fraction(&state), None);
        (state.progress.paused, state.progress.without_file) = (0, 2);
        assert_eq!(summary(&state), "2 uploads wait for their files");
    }

    #[test]
    fn the_last_ten_links_are_there_and_no_name_makes_the_menu_wide() {
        let recent = (0..12).map(|number| Recent {
            sequence: 1,
            id: ImageId::new(),
            name: format!("{number}{}.png", "x".repeat(100)),
        });
        let state = TrayState {
            recent: recent.collect(),
            language: Language::German,
            ..connected()
        };
        let links = menu(&state).into_iter().find_map(|item| match item {
            Item::Submenu { label, items } if label == "Letzte Links" => Some(items),
            _ => None,
        });
        let links = links.unwrap();
        assert_eq!(links.len(), RECENT);
        for (item, recent) in links.iter().zip(&state.recent) {
            let Item::Action { label, action, .. } = item else {
                panic!("{item:?}");
            };
            assert_eq!(*action, TrayAction::CopyLink(recent.id));
            assert!(label.chars().count() <= NAME_CHARACTERS, "{label}");
            assert!(label.ends_with("x.png"), "{label}");
        }
    }
}
