//! What the doctor says: whether what imgn needs is there, and what to do where it is not.
//!
//! Pure data and words. Invariant: each finding has one verdict, and each that is not good says what to do.

use serde::{Deserialize, Serialize};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The gallery's server.
    Server,
    /// This computer's clock, by the gallery's.
    Clock,
    /// Where tokens are kept.
    Keyring,
    /// Where pictures and links are copied.
    Clipboard,
    /// What shows the app without its window.
    Tray,
    /// Where the profile is.
    Disk,
}

impl Subject {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Clock => "clock",
            Self::Keyring => "keyring",
            Self::Clipboard => "clipboard",
            Self::Tray => "tray",
            Self::Disk => "disk",
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Something is missing that not everybody needs.
    Warning,
    /// Uploads fail, or will.
    Bad,
}

impl Verdict {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

macro_rules! findings {
    ($($(#[$doc:meta])* $name:ident = $subject:ident $verdict:ident $message:literal, $advice:literal;)*) => {
        /// What was found. Faces with words of their own match this.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "bindings", derive(specta::Type))]
        #[serde(rename_all = "snake_case")]
        pub enum Finding {
            $($(#[$doc])* $name,)*
        }

        impl Finding {
            /// All findings.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What it is about.
            #[must_use]
            pub fn subject(self) -> Subject {
                match self { $(Self::$name => Subject::$subject),* }
            }

            /// How bad it is.
            #[must_use]
            pub fn verdict(self) -> Verdict {
                match self { $(Self::$name => Verdict::$verdict),* }
            }

            /// In English, with `#` where the value belongs, and what to do.
            fn words(self) -> (&'static str, &'static str) {
                match self { $(Self::$name => ($message, $advice)),* }
            }
        }
    };
}

findings! {
    /// The value is its address.
    ServerAnswers = Server Good "# answers and takes the token", "";
    /// There is no token. The value is its address.
    ServerReadOnly = Server Warning "# answers; there is no token, so it can be looked at only",
        "to upload, log in with a token: in the window, or with `imgn login`";
    /// The keyring should have a token, and gives none. The value is its address.
    TokenWithheld = Server Warning "# answers; the keyring does not give its token, so it can be looked at only",
        "see what is said of the keyring";
    /// It does not take the token. The value is its address.
    TokenRefused = Server Bad "# does not take the token",
        "ask whoever runs the gallery for a new one, and log in with it";
    /// It does not answer. The value says why.
    ServerUnreachable = Server Bad "the server does not answer: #",
        "check the address, the network and the proxy; uploads wait until it answers";
    /// It answers with something else. The value says with what.
    ServerOdd = Server Bad "the server answers oddly: #",
        "check the address; if it is right, tell whoever runs the gallery";
    /// None is chosen.
    NoGallery = Server Warning "no gallery is chosen",
        "choose one in the window, or with `imgn login --server URL`";

    /// The value is the difference in seconds.
    ClockRight = Clock Good "the clock is the gallery's, within # s", "";
    /// The value is by how many seconds.
    ClockAhead = Clock Bad "the clock is # s ahead of the gallery's",
        "set this computer's clock, best by the network; stores refuse requests of another time";
    /// The value is by how many seconds.
    ClockBehind = Clock Bad "the clock is # s behind the gallery's",
        "set this computer's clock, best by the network; stores refuse requests of another time";
    /// There was nothing to compare it with.
    ClockUnknown = Clock Warning "the clock could not be compared with the gallery's",
        "it is when the server answers";

    /// Something was kept in it, read, and taken out again.
    KeyringWorks = Keyring Good "the keyring keeps and gives back", "";
    /// The token comes from the environment.
    KeyringNotAsked = Keyring Good "not asked: the token is in IMGN_TOKEN", "";
    /// It is locked.
    KeyringLocked = Keyring Bad "the keyring is locked",
        "unlock it and try again, keep the token for this run only in the window, or set IMGN_TOKEN";
    /// There is none.
    KeyringMissing = Keyring Bad "there is no keyring: no Secret Service answers on the session bus",
        "start one such as gnome-keyring or KWallet, keep the token for this run only in the window, or set IMGN_TOKEN";
    /// It did not answer in time.
    KeyringHangs = Keyring Bad "the keyring does not answer",
        "if a window asks you to unlock it, do so and try again; else start the keyring's service anew";
    /// The value says what it answered.
    KeyringBroken = Keyring Bad "the keyring answers with an error: #",
        "look at it with the system's own program for passwords, then try again";

    /// It can be read.
    ClipboardReadable = Clipboard Good "the clipboard can be read", "";
    /// The value says why not.
    ClipboardMissing = Clipboard Warning "the clipboard cannot be read: #",
        "paste into imgn's window, or name files; on Wayland the compositor must have a data-control protocol";
    /// Who copied last does not hand over.
    ClipboardHangs = Clipboard Warning "the program that copied last does not answer",
        "copy something else, or end that program";

    /// A host shows it.
    TrayShown = Tray Good "there is a tray", "";
    /// No host is there to show it.
    TrayMissing = Tray Warning "there is no tray",
        "imgn works without one, and ends with its window; GNOME has one with the extension AppIndicator";
    /// There is no session to ask. The value says why.
    NoSession = Tray Warning "there is no desktop session: #", "start imgn in one to have a tray";

    /// The value is how many bytes are free.
    DiskFine = Disk Good "the profile can be written, # free", "";
    /// The value is how many bytes are free.
    DiskLow = Disk Warning "little is free where the profile is: #",
        "make space, or make the cache smaller in the settings";
    /// The value is how many bytes are free.
    DiskFull = Disk Bad "the disk is full where the profile is: # free",
        "make space; the journal of uploads cannot be written on a full disk";
    /// The value says why.
    DiskFailed = Disk Bad "the profile cannot be written: #",
        "check who owns the folder and whether the disk is sound, or name another folder with IMGN_HOME";
    /// It can be written; how much is free is not known.
    DiskWritable = Disk Good "the profile can be written", "";
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Check {
    /// What it is about.
    pub subject: Subject,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub finding: Finding,
    /// What belongs to it: an address, a reason, seconds, bytes; see [`Finding`].
    pub value: Option<String>,
    /// What was found, in English.
    pub message: String,
    /// What to do, in English; empty where there is nothing to do.
    pub advice: String,
}

impl Check {
    /// What was found, and what belongs to it.
    #[must_use]
    pub fn new(finding: Finding, value: Option<String>) -> Self {
        let (message, advice) = finding.words();
        let shown = match (finding, &value) {
            (Finding::DiskFine | Finding::DiskLow | Finding::DiskFull, Some(bytes)) => {
                bytes.parse().map_or_else(|_| bytes.clone(), room)
            }
            (_, value) => value.clone().unwrap_or_default(),
        };
        Self {
            subject: finding.subject(),
            verdict: finding.verdict(),
            finding,
            message: message.replace('#', &shown),
            advice: advice.to_owned(),
            value,
        }
    }
}

/// As the window and file managers count.
fn room(bytes: u64) -> String {
    let megabytes = bytes / 1_000_000;
    if megabytes < 10_000 {
        format!("{megabytes} MB")
    } else {
        format!("{} GB", megabytes / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_good_says_what_to_do() {
        for &finding in Finding::ALL {
            let check = Check::new(finding, Some("7".to_owned()));
            assert_eq!(
                check.advice.is_empty(),
                check.verdict == Verdict::Good,
                "{finding:?}"
            );
            assert!(!check.message.contains('#'), "{}", check.message);
        }
        let low = Check::new(Finding::DiskLow, Some("300999999".to_owned()));
        assert_eq!(low.message, "little is free where the profile is: 300 MB");
    }
}
