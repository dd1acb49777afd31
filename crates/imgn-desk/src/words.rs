//! What the desk says outside of the window, in English and German. What the window says is in `ui/src/words/`.

mod grammar;

use std::{collections::HashMap, sync::LazyLock};

use icu_locale_core::{Locale, locale};
use imgn_core::{Code, CommandError, Intake, Origin, Unreadable, ViewError};

use crate::{Copied, Ended, HotkeyError};

/// What went wrong, by code: the window's own table. `{detail}` is the core's message, where that tells more.
static GERMAN_FAILURES: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let table = include_str!("../../../ui/src/words/failures.de.json");
    // A test reads it; without it the core's own words are shown.
    serde_json::from_str(table).unwrap_or_default()
});

/// A language there are words in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// German.
    German,
}

impl From<imgn_core::Language> for Language {
    fn from(chosen: imgn_core::Language) -> Self {
        match chosen {
            imgn_core::Language::System => Self::of_session(),
            imgn_core::Language::English => Self::English,
            imgn_core::Language::German => Self::German,
        }
    }
}

impl Language {
    /// The first of the session's languages that there are words in (`LANGUAGE`, `LC_ALL`, `LC_MESSAGES`, `LANG`).
    #[must_use]
    pub fn of_session() -> Self {
        let value = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = value("LC_ALL").or_else(|| value("LC_MESSAGES"));
        let locale = locale.or_else(|| value("LANG")).unwrap_or_default();
        // GNU's list counts only where there is a locale other than C.
        let list = value("LANGUAGE").filter(|_| !matches!(locale.as_str(), "" | "C" | "POSIX"));
        Self::of_list(&list.unwrap_or(locale))
    }

    fn of_list(list: &str) -> Self {
        let known = |tag: &str| match tag.split(['_', '-', '.', '@']).next()? {
            "en" | "C" | "POSIX" => Some(Self::English),
            "de" => Some(Self::German),
            _ => None,
        };
        list.split(':').find_map(known).unwrap_or_default()
    }

    /// Whose rules its words follow.
    fn locale(self) -> Locale {
        self.choose(locale!("en"), locale!("de"))
    }

    fn choose<T>(self, english: T, german: T) -> T {
        match self {
            Self::English => english,
            Self::German => german,
        }
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $english:literal, $german:literal;)*) => {
        impl Language {
            $($(#[$doc])* pub(crate) fn $name(self) -> &'static str {
                self.choose($english, $german)
            })*
        }
    };
}

words! {
    upload_files = "Upload files…", "Dateien hochladen …";
    upload_clipboard = "Upload clipboard image", "Bild aus der Zwischenablage hochladen";
    upload_folder = "Upload folder…", "Ordner hochladen …";
    pause = "Pause uploads", "Uploads anhalten";
    resume = "Resume uploads", "Uploads fortsetzen";
    recent_links = "Recent links", "Letzte Links";
    no_links = "No links yet", "Noch keine Links";
    open_gallery = "Open gallery", "Galerie öffnen";
    settings = "Settings", "Einstellungen";
    quit = "Quit", "Beenden";
    idle = "Nothing is being uploaded", "Es wird nichts hochgeladen";
    no_gallery = "No gallery chosen yet", "Noch keine Galerie gewählt";
    in_tray = "imgn stays in the tray: uploads go on, and its icon opens the window again. “Quit” in its menu ends it; the settings say whether it stays.", "imgn bleibt im Infobereich: Uploads laufen weiter, und sein Symbol öffnet das Fenster wieder. „Beenden“ in seinem Menü beendet es; ob es bleibt, steht in den Einstellungen.";
    undo = "Undo", "Rückgängig";
    copy_again = "Copy again", "Nochmals kopieren";
    too_late = "It is too late to undo this upload here; delete the picture in the gallery.", "Hier lässt sich dieser Upload nicht mehr rückgängig machen; löschen Sie das Bild in der Galerie.";
    hotkey_is_for = "Upload the clipboard", "Zwischenablage hochladen";
    nothing_in_it = "There is no picture in what was given to imgn; nothing is uploaded.", "In dem, was imgn bekommen hat, ist kein Bild; es wird nichts hochgeladen.";
    offline = "Offline, uploads wait", "Offline, Uploads warten";
}

/// What is said of so many, in the forms of each language: its number stands in the place of `#`.
macro_rules! counted {
    ($($(#[$doc:meta])* $name:ident =
        { $($en:ident: $english:literal),* }, { $($de:ident: $german:literal),* };)*) => {
        impl Language {
            $($(#[$doc])* pub(crate) fn $name(self, count: impl TryInto<u64>) -> String {
                self.choose(
                    grammar::Forms { $($en: $english,)* ..grammar::Forms::NONE },
                    grammar::Forms { $($de: $german,)* ..grammar::Forms::NONE },
                )
                .of(self, count.try_into().unwrap_or(u64::MAX))
            })*
        }
    };
}

counted! {
    without_file =
        { one: "# upload waits for its file", other: "# uploads wait for their files" },
        { one: "# Upload wartet auf seine Datei", other: "# Uploads warten auf ihre Dateien" };
    other_files =
        { one: "# other file was skipped.", other: "# other files were skipped." },
        { one: "# andere Datei wurde ausgelassen.", other: "# andere Dateien wurden ausgelassen." };
    linked_folders =
        { one: "# link to a folder was not followed.", other: "# links to folders were not followed." },
        { one: "# Verweis auf einen Ordner wurde nicht gefolgt.", other: "# Verweisen auf Ordner wurde nicht gefolgt." };
    uploaded =
        { one: "Uploaded", other: "# pictures uploaded" },
        { one: "Hochgeladen", other: "# Bilder hochgeladen" };
    and_more = { other: "and # more" }, { one: "und # weiteres", other: "und # weitere" };
    more_failed = { other: "# more failed" }, { one: "# weiteres fehlgeschlagen", other: "# weitere fehlgeschlagen" };
    taken_back =
        { one: "The picture is not in the gallery any more.", other: "# pictures are not in the gallery any more." },
        { one: "Das Bild ist nicht mehr in der Galerie.", other: "# Bilder sind nicht mehr in der Galerie." };
    paused =
        { one: "# upload paused", other: "# uploads paused" },
        { one: "# Upload angehalten", other: "# Uploads angehalten" };
}

impl Language {
    /// A failure. The core's own words are English; in another language they stand behind those of their code where they
    /// tell more than it does.
    #[must_use]
    pub fn failure(self, error: &CommandError) -> String {
        self.told(error.code, &error.message)
    }

    /// The same of one that is shown.
    #[must_use]
    pub fn failure_of(self, error: &ViewError) -> String {
        self.told(error.code, &error.message)
    }

    fn told(self, code: Code, message: &str) -> String {
        let told = match self {
            Self::English => None,
            Self::German => GERMAN_FAILURES.get(code.as_str()),
        };
        told.map_or_else(
            || message.to_owned(),
            |told| told.replace("{detail}", message.trim_end_matches('.')),
        )
    }

    /// Why imgn does not have a key.
    pub(crate) fn no_key(self, error: &HotkeyError) -> String {
        if self == Self::English {
            return error.to_string();
        }
        match error {
            HotkeyError::Invalid(text) => {
                format!("`{text}` ist keine Taste für imgn; schreiben Sie sie wie in Ctrl+Alt+U")
            }
            HotkeyError::Common(text) => format!(
                "{text} würde allen Programmen genommen; halten Sie mehr dazu, wie in Ctrl+Alt+U oder Super+U"
            ),
            HotkeyError::Taken(key) => {
                format!("ein anderes Programm hat {key}; wählen Sie eine andere Taste")
            }
            HotkeyError::NotGiven(key) => format!(
                "der Desktop gab imgn {key} nicht; wählen Sie eine andere Taste, oder geben Sie imgn eine in den Tasteneinstellungen des \
                 Desktops und wählen Sie sie hier noch einmal"
            ),
            HotkeyError::Missing(key) => {
                format!("diese Tastatur hat keine Taste für {key}; wählen Sie eine andere")
            }
            HotkeyError::Unavailable(reason) => format!(
                "diese Sitzung gibt imgn keine Taste ({reason}); lassen Sie die Einstellungen des Desktops `imgn-desktop --clipboard` mit \
                 einer Taste starten"
            ),
        }
    }

    /// What of the files in a dialog is shown.
    #[must_use]
    pub fn pictures(self) -> &'static str {
        self.choose("Pictures", "Bilder")
    }

    /// What a dialog is called in which a person chooses pictures.
    #[must_use]
    pub fn choose_pictures(self) -> &'static str {
        self.choose("Upload files", "Dateien hochladen")
    }

    /// What a dialog is called in which a person chooses folders.
    #[must_use]
    pub fn choose_folders(self) -> &'static str {
        self.choose("Upload folder", "Ordner hochladen")
    }

    /// What a dialog is called in which a person says where a picture is to be kept.
    #[must_use]
    pub fn save_picture(self) -> &'static str {
        self.choose("Save picture", "Bild speichern")
    }

    /// What a dialog is called in which a person says into which folder pictures are to go.
    #[must_use]
    pub fn save_pictures(self) -> &'static str {
        self.choose(
            "Save pictures in a folder",
            "Bilder in einem Ordner speichern",
        )
    }

    /// An address that asks for nothing that imgn knows.
    #[must_use]
    pub fn unknown_address(self, text: &str) -> String {
        self.choose(
            format!("This address means nothing to imgn: {text}"),
            format!("Mit dieser Adresse kann imgn nichts anfangen: {text}"),
        )
    }

    /// A folder of which nothing was taken.
    pub(crate) fn unreadable(self, folder: &Unreadable) -> String {
        let name = folder.path.file_name().unwrap_or(folder.path.as_os_str());
        let (name, reason) = (name.display(), &folder.reason);
        self.choose(
            format!("The folder {name} cannot be read ({reason})."),
            format!("Der Ordner {name} lässt sich nicht lesen ({reason})."),
        )
    }

    /// What was left alone in folders of which pictures were taken; none where that is nothing.
    pub(crate) fn left_alone(self, intake: &Intake) -> Option<String> {
        let (files, links) = (intake.other_files, intake.linked_folders);
        let files = (files > 0).then(|| self.other_files(files));
        let links = (links > 0).then(|| self.linked_folders(links));
        let told: Vec<_> = files.into_iter().chain(links).collect();
        (!told.is_empty()).then(|| told.join(" "))
    }

    /// A key that was had and is no more.
    pub(crate) fn hotkey_lost(self, reason: &str) -> String {
        self.choose(
            format!("imgn’s key does not work any more: {reason}."),
            format!("imgns Taste wirkt nicht mehr: {reason}."),
        )
    }

    pub(crate) fn uploading(self, done: u64, total: u64, percent: u64) -> String {
        self.choose(
            format!("Uploading: {done} of {total}, {percent} %"),
            format!("Upload: {done} von {total}, {percent} %"),
        )
    }

    /// All bytes are with the gallery, which looks at them.
    pub(crate) fn checking(self, done: u64, total: u64) -> String {
        self.choose(
            format!("Being checked: {done} of {total} done"),
            format!("Wird geprüft: {done} von {total} fertig"),
        )
    }

    /// The title of what is said when an upload has ended.
    pub(crate) fn ended(self, ended: &Ended, copied: &Copied) -> String {
        let count = ended.images.len();
        if count == 0 {
            return self
                .choose("Upload failed", "Upload fehlgeschlagen")
                .to_owned();
        }
        let uploaded = self.uploaded(count);
        let what = match (ended.batch.origin, copied, count) {
            (Origin::Program, ..) => {
                self.choose(" for another program", " für ein anderes Programm")
            }
            (_, Copied::Yes, 1) => self.choose(", link copied", ", Link kopiert"),
            (_, Copied::Yes, _) => self.choose(", links copied", ", Links kopiert"),
            (_, Copied::No | Copied::Failed(_), _) => "",
        };
        uploaded + what
    }

    /// Why links are not on the clipboard.
    pub(crate) fn not_copied(self, reason: &str) -> String {
        self.choose(
            format!("The link could not be copied ({reason})."),
            format!("Der Link konnte nicht kopiert werden ({reason})."),
        )
    }

    /// Which pictures it is about: the first by its name, and what went wrong.
    pub(crate) fn named(self, ended: &Ended, copied: &Copied) -> String {
        let mut lines = Vec::new();
        if let Some(first) = ended.images.first() {
            let (name, more) = (&first.file_name, ended.images.len() - 1);
            lines.push(match more {
                0 => name.to_string(),
                _ => format!("{name} {}", self.and_more(more)),
            });
        }
        if let Some(failure) = ended.failed.first() {
            let reason = failure
                .error
                .as_ref()
                .map(|error| format!(": {}", self.failure_of(error)));
            let more = match ended.failed.len() - 1 {
                0 => String::new(),
                more => format!(" ({})", self.more_failed(more)),
            };
            lines.push(format!(
                "{}{}{more}",
                failure.file_name,
                reason.unwrap_or_default()
            ));
        }
        if let Copied::Failed(reason) = copied {
            lines.push(self.not_copied(reason));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batches, testing};
    use imgn_core::{
        Batch, ClientCode, UploadCode, UploadState,
        protocol::{ErrorCode, UploadId},
    };

    fn ended(origin: Origin, states: &[UploadState]) -> Ended {
        let mut batches = Batches::default();
        let batch = Batch::new(origin);
        batches.begin(batch);
        let uploads = states
            .iter()
            .map(|state| testing::view(UploadId::new(), *state));
        let uploads: Vec<_> = uploads.collect();
        batches.add(batch, uploads.iter().map(|it| it.id.parse().unwrap()));
        batches.close(batch, &uploads).remove(0)
    }

    #[test]
    fn only_what_was_copied_is_said_to_be_copied() {
        use UploadState::{Failed, Published};
        let (one, two) = (
            ended(Origin::Person, &[Published]),
            ended(Origin::Person, &[Published, Published]),
        );
        let failed = Copied::Failed("no clipboard".to_owned());
        let english = Language::English;
        assert_eq!(english.ended(&one, &Copied::Yes), "Uploaded, link copied");
        assert_eq!(
            english.ended(&two, &Copied::Yes),
            "2 pictures uploaded, links copied"
        );
        assert_eq!(english.ended(&one, &Copied::No), "Uploaded");
        assert_eq!(english.ended(&one, &failed), "Uploaded");
        let body = english.named(&one, &failed);
        assert!(
            body.ends_with("\nThe link could not be copied (no clipboard)."),
            "{body}"
        );
        let program = ended(Origin::Program, &[Published]);
        assert_eq!(
            Language::German.ended(&program, &Copied::No),
            "Hochgeladen für ein anderes Programm"
        );
        let none = ended(Origin::Person, &[Failed]);
        assert_eq!(english.ended(&none, &Copied::No), "Upload failed");
    }

    #[test]
    fn every_failure_has_words_in_every_language() {
        let server = ErrorCode::ALL.iter().copied().map(Code::from);
        let upload = UploadCode::ALL.iter().copied().map(Code::from);
        let client = ClientCode::ALL.iter().copied().map(Code::from);
        for code in server.chain(upload).chain(client) {
            let error = CommandError::new(code, "a.jpg has 9 bytes.");
            assert_eq!(Language::English.failure(&error), "a.jpg has 9 bytes.");
            let told = Language::German.failure(&error);
            assert!(
                told.ends_with('.') && !told.contains("{detail}"),
                "{code}: {told}"
            );
            assert_ne!(told, error.message, "{code}");
        }
        // Where a code has several reasons, no advice is given that is wrong for one of them.
        for code in [
            ErrorCode::RateLimited,
            ErrorCode::Unauthorized,
            ErrorCode::UploadClosed,
        ] {
            let error = CommandError::new(code, "Try again in an hour.");
            let told = Language::German.failure(&error);
            assert!(told.ends_with(" (Try again in an hour)."), "{told}");
        }
        let large = CommandError::new(ErrorCode::TooLarge, "a.jpg has 9 bytes.");
        let told = Language::German.failure(&large);
        assert!(told.ends_with(" (a.jpg has 9 bytes)."), "{told}");
    }

    #[test]
    fn the_first_language_with_words_is_chosen() {
        for (list, language) in [
            ("de_AT.UTF-8", Language::German),
            ("fr_FR:de:en", Language::German),
            ("en_GB", Language::English),
            ("C.UTF-8", Language::English),
            ("fr_FR.UTF-8", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(Language::of_list(list), language, "{list}");
        }
    }
}
