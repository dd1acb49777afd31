//! A key that works in every program: what it is, and who has it. In an X11 session the X server gives it, in a Wayland
//! session the desktop's portal: there the X server has keys only while one of its own windows has the focus.
//!
//! Invariant: a key that another program has is told and never taken, and one that is had is pressed in every program.

#[cfg(all(unix, not(target_os = "macos")))]
mod portal;
#[cfg(all(unix, not(target_os = "macos")))]
mod x11;

use std::{fmt, str::FromStr, sync::Arc};

/// What is done with a key. It must not block.
#[derive(Clone)]
pub(crate) struct Wanted {
    /// When it is pressed.
    pub(crate) on_press: Arc<dyn Fn() + Send + Sync>,
    /// When it is not had any more, for this reason.
    pub(crate) on_lost: Arc<dyn Fn(HotkeyError) + Send + Sync>,
    /// When it is had again after that.
    pub(crate) on_had: Arc<dyn Fn() + Send + Sync>,
}

/// A key that is had.
pub(crate) struct Held {
    /// Which.
    pub(crate) hotkey: Hotkey,
    #[cfg(all(unix, not(target_os = "macos")))]
    grab: Grab,
}

#[cfg(all(unix, not(target_os = "macos")))]
enum Grab {
    X11(x11::Grab),
    Portal(portal::Grab),
}

#[cfg(all(unix, not(target_os = "macos")))]
impl Held {
    /// Whether it was taken away again.
    fn is_lost(&self) -> bool {
        match &self.grab {
            Grab::X11(grab) => grab.is_lost(),
            Grab::Portal(grab) => grab.is_lost(),
        }
    }
}

/// Whether keys of the X server are those of the session.
#[cfg(all(unix, not(target_os = "macos")))]
fn is_wayland() -> bool {
    let value = |name| std::env::var(name).unwrap_or_default();
    value("XDG_SESSION_TYPE") == "wayland" || !value("WAYLAND_DISPLAY").is_empty()
}

/// Has this key in place of the one that was had; `description` is what the desktop shows it for. Where it cannot be had,
/// the one of before is had again.
///
/// # Errors
/// When another program has it, the keyboard has no such key, or the session gives none.
#[cfg(all(unix, not(target_os = "macos")))]
pub(crate) async fn take(
    hotkey: Hotkey,
    description: &str,
    before: &mut Option<Held>,
    wanted: Wanted,
) -> Result<(), HotkeyError> {
    if before
        .as_ref()
        .is_some_and(|held| held.hotkey == hotkey && !held.is_lost())
    {
        return Ok(());
    }
    if !is_wayland() {
        // The new one first: nobody takes the old one meanwhile.
        let asked = hotkey.clone();
        let grabbing = tokio::task::spawn_blocking(move || x11::grab(&asked, wanted));
        let grabbed = grabbing.await.map_err(|error| {
            let reason = error.to_string();
            HotkeyError::Unavailable(reason)
        })??;
        let grab = Grab::X11(grabbed);
        give_back(before.replace(Held { hotkey, grab })).await;
        return Ok(());
    }
    // To the desktop it is one shortcut, which has one key at a time.
    let old = before.take();
    let again = old.as_ref().map(|held| held.hotkey.clone());
    give_back(old).await;
    match portal::grab(&hotkey, description, wanted.clone()).await {
        Ok(grab) => {
            let grab = Grab::Portal(grab);
            *before = Some(Held { hotkey, grab });
            Ok(())
        }
        Err(error) => {
            if let Some(hotkey) = again
                && let Ok(grab) = portal::grab(&hotkey, description, wanted).await
            {
                let grab = Grab::Portal(grab);
                *before = Some(Held { hotkey, grab });
            }
            Err(error)
        }
    }
}

/// It is free when this returns.
#[cfg(all(unix, not(target_os = "macos")))]
pub(crate) async fn give_back(held: Option<Held>) {
    match held.map(|held| held.grab) {
        Some(Grab::X11(grab)) => {
            // Its end speaks with the X server.
            let _ = tokio::task::spawn_blocking(move || drop(grab)).await;
        }
        Some(Grab::Portal(grab)) => grab.give_back().await,
        None => {}
    }
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
#[expect(clippy::unused_async, reason = "it is elsewhere")]
pub(crate) async fn take(
    _hotkey: Hotkey,
    _description: &str,
    _before: &mut Option<Held>,
    _wanted: Wanted,
) -> Result<(), HotkeyError> {
    Err(HotkeyError::Unavailable(
        "not yet on this system".to_owned(),
    ))
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
#[expect(clippy::unused_async, reason = "it is elsewhere")]
pub(crate) async fn give_back(_held: Option<Held>) {}

/// A key with those that are held with it, as in `Ctrl+Alt+U`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hotkey {
    ctrl: bool,
    alt: bool,
    shift: bool,
    logo: bool,
    key: Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// A letter or digit, in upper case.
    Character(u8),
    /// From 1 to 24.
    Function(u8),
    Named(usize),
}

/// Other keys: their names here, and their keysyms and the names of those (X11's `keysymdef.h`).
const NAMED: [(&str, u32, &str); 9] = [
    ("Print", 0xff61, "Print"),
    ("Pause", 0xff13, "Pause"),
    ("Insert", 0xff63, "Insert"),
    ("Delete", 0xffff, "Delete"),
    ("Home", 0xff50, "Home"),
    ("End", 0xff57, "End"),
    ("PageUp", 0xff55, "Page_Up"),
    ("PageDown", 0xff56, "Page_Down"),
    ("Space", 0x20, "space"),
];

/// Those that nobody types with, so that they may stand alone.
const ALONE: [&str; 2] = ["Print", "Pause"];

/// Why there is no such key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HotkeyError {
    /// It is none.
    #[error("`{0}` is no key for imgn; write it as in Ctrl+Alt+U")]
    Invalid(String),
    /// It is what programs have for themselves, such as Ctrl+V.
    #[error(
        "{0} would be taken from every program; hold more with it, as in Ctrl+Alt+U or Super+U"
    )]
    Common(String),
    /// Somebody has it.
    #[error("another program has {0}; choose another key")]
    Taken(Hotkey),
    /// The desktop was asked, and gave none.
    #[error(
        "the desktop did not give {0} to imgn; choose another key, or give imgn one in the desktop's own settings for keys and choose it here again"
    )]
    NotGiven(Hotkey),
    /// The keyboard has no such key.
    #[error("this keyboard has no key for {0}; choose another one")]
    Missing(Hotkey),
    /// There are no such keys in this session.
    #[error(
        "this session gives imgn no key ({0}); let the desktop's own settings start `imgn-desktop --clipboard` by a key"
    )]
    Unavailable(String),
}

impl FromStr for Hotkey {
    type Err = HotkeyError;

    fn from_str(text: &str) -> Result<Self, HotkeyError> {
        let invalid = || HotkeyError::Invalid(text.to_owned());
        let mut words: Vec<&str> = text.split('+').map(str::trim).collect();
        let key = words.pop().unwrap_or_default();
        let mut hotkey = Self {
            ctrl: false,
            alt: false,
            shift: false,
            logo: false,
            key: Key::named(key).ok_or_else(invalid)?,
        };
        for word in words {
            let held = match word.to_ascii_lowercase().as_str() {
                "ctrl" | "control" => &mut hotkey.ctrl,
                "alt" => &mut hotkey.alt,
                "shift" => &mut hotkey.shift,
                "super" | "meta" | "logo" => &mut hotkey.logo,
                _ => return Err(invalid()),
            };
            *held = true;
        }
        let held = [hotkey.ctrl, hotkey.alt, hotkey.shift];
        let held = held.iter().filter(|is_held| **is_held).count();
        let needed = match hotkey.key {
            Key::Function(13..) => 0,
            Key::Function(_) => 1,
            Key::Named(at) if ALONE.contains(&NAMED[at].0) => 0,
            Key::Named(_) | Key::Character(_) => 2,
        };
        if held < needed && !hotkey.logo {
            return Err(HotkeyError::Common(hotkey.to_string()));
        }
        Ok(hotkey)
    }
}

impl Key {
    fn named(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        if let [character] = upper.as_bytes()
            && character.is_ascii_alphanumeric()
        {
            return Some(Self::Character(*character));
        }
        if let Some(number) = upper.strip_prefix('F').and_then(|it| it.parse().ok())
            && (1..=24).contains(&number)
        {
            return Some(Self::Function(number));
        }
        let at = NAMED
            .iter()
            .position(|(name, ..)| name.eq_ignore_ascii_case(text))?;
        Some(Self::Named(at))
    }

    /// What the X server calls it. Letters are those without Shift.
    fn keysym(self) -> u32 {
        match self {
            Self::Character(character) => character.to_ascii_lowercase().into(),
            Self::Function(number) => 0xffbd + u32::from(number),
            Self::Named(at) => NAMED[at].1,
        }
    }

    fn keysym_name(self) -> String {
        match self {
            Self::Character(character) => char::from(character.to_ascii_lowercase()).to_string(),
            Self::Function(number) => format!("F{number}"),
            Self::Named(at) => NAMED[at].2.to_owned(),
        }
    }
}

impl fmt::Display for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = [
            (self.ctrl, "Ctrl+"),
            (self.alt, "Alt+"),
            (self.shift, "Shift+"),
            (self.logo, "Super+"),
        ];
        for (is_held, word) in held {
            if is_held {
                f.write_str(word)?;
            }
        }
        match self.key {
            Key::Character(character) => write!(f, "{}", char::from(character)),
            Key::Function(number) => write!(f, "F{number}"),
            Key::Named(at) => f.write_str(NAMED[at].0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_people_write_them() {
        for (text, hotkey) in [
            ("ctrl + alt+u", "Ctrl+Alt+U"),
            ("Shift+Control+F5", "Ctrl+Shift+F5"),
            ("Super+Print", "Super+Print"),
            ("print", "Print"),
            ("Meta+1", "Super+1"),
        ] {
            let read: Hotkey = text.parse().unwrap();
            assert_eq!(read.to_string(), hotkey);
            assert_eq!(hotkey.parse(), Ok(read));
        }
        for text in [
            "", "Ctrl", "Ctrl+", "Ctrl+UU", "Hyper+U", "F25", "F0", "Ctrl+ü",
        ] {
            assert_eq!(
                text.parse::<Hotkey>(),
                Err(HotkeyError::Invalid(text.to_owned()))
            );
        }
        // What programs have for themselves.
        for text in [
            "U",
            "Shift+U",
            "Home",
            "Ctrl+V",
            "Ctrl+C",
            "Alt+U",
            "F5",
            "Ctrl+Space",
        ] {
            assert_eq!(
                text.parse::<Hotkey>(),
                Err(HotkeyError::Common(text.to_owned()))
            );
        }
        for text in ["Ctrl+Shift+P", "Super+V", "Shift+F9", "F13", "Ctrl+Print"] {
            assert!(text.parse::<Hotkey>().is_ok(), "{text}");
        }
    }
}
