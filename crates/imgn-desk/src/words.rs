//! What the desk says outside of the window, in English and German. What the window says is in `ui/src/words/`.

use crate::Ended;

/// A language there are words in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// German.
    German,
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
    offline = "Offline, uploads wait", "Offline, Uploads warten";
}

impl Language {
    pub(crate) fn uploading(self, done: u64, total: u64, percent: u64) -> String {
        self.choose(
            format!("Uploading: {done} of {total}, {percent} %"),
            format!("Upload: {done} von {total}, {percent} %"),
        )
    }

    /// The title of what is said when an upload has ended.
    pub(crate) fn ended(self, count: usize, is_copied: bool) -> String {
        match (self, count, is_copied) {
            (Self::English, 0, _) => "Upload failed".to_owned(),
            (Self::English, 1, true) => "Uploaded, link copied".to_owned(),
            (Self::English, _, true) => format!("{count} pictures uploaded, links copied"),
            (Self::English, 1, false) => "Uploaded".to_owned(),
            (Self::English, _, false) => format!("{count} pictures uploaded"),
            (Self::German, 0, _) => "Upload fehlgeschlagen".to_owned(),
            (Self::German, 1, true) => "Hochgeladen, Link kopiert".to_owned(),
            (Self::German, _, true) => format!("{count} Bilder hochgeladen, Links kopiert"),
            (Self::German, 1, false) => "Hochgeladen".to_owned(),
            (Self::German, _, false) => format!("{count} Bilder hochgeladen"),
        }
    }

    /// Which pictures it is about: the first by its name, and what went wrong.
    pub(crate) fn named(self, ended: &Ended) -> String {
        let mut lines = Vec::new();
        if let Some(first) = ended.images.first() {
            let (name, more) = (&first.file_name, ended.images.len() - 1);
            lines.push(match (self, more) {
                (_, 0) => name.to_string(),
                (Self::English, _) => format!("{name} and {more} more"),
                (Self::German, _) => format!("{name} und {more} weitere"),
            });
        }
        if let Some(failure) = ended.failed.first() {
            let reason = failure
                .error
                .as_ref()
                .map(|error| format!(": {}", error.message));
            let more = match (self, ended.failed.len() - 1) {
                (_, 0) => String::new(),
                (Self::English, more) => format!(" ({more} more failed)"),
                (Self::German, more) => format!(" ({more} weitere fehlgeschlagen)"),
            };
            lines.push(format!(
                "{}{}{more}",
                failure.file_name,
                reason.unwrap_or_default()
            ));
        }
        lines.join("\n")
    }

    pub(crate) fn taken_back(self, count: usize) -> String {
        match self {
            Self::English if count == 1 => "The picture is not in the gallery any more.".to_owned(),
            Self::English => format!("{count} pictures are not in the gallery any more."),
            Self::German if count == 1 => "Das Bild ist nicht mehr in der Galerie.".to_owned(),
            Self::German => format!("{count} Bilder sind nicht mehr in der Galerie."),
        }
    }

    pub(crate) fn paused(self, count: u64) -> String {
        match self {
            Self::English if count == 1 => "1 upload paused".to_owned(),
            Self::English => format!("{count} uploads paused"),
            Self::German if count == 1 => "1 Upload angehalten".to_owned(),
            Self::German => format!("{count} Uploads angehalten"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
