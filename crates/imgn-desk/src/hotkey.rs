//! A key that works in every program: what it is, and who has it.
//!
//! Invariant: a key that another program has is told and never taken.

#[cfg(all(unix, not(target_os = "macos")))]
mod x11;

use std::{fmt, str::FromStr};

#[cfg(all(unix, not(target_os = "macos")))]
pub(crate) use x11::{Grab, grab};

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

/// Other keys: their names here, and their keysyms (X11's `keysymdef.h`).
const NAMED: [(&str, u32); 9] = [
    ("Print", 0xff61),
    ("Pause", 0xff13),
    ("Insert", 0xff63),
    ("Delete", 0xffff),
    ("Home", 0xff50),
    ("End", 0xff57),
    ("PageUp", 0xff55),
    ("PageDown", 0xff56),
    ("Space", 0x20),
];

/// Those that nobody types with, so that they may stand alone.
const ALONE: [&str; 2] = ["Print", "Pause"];

/// Why there is no such key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HotkeyError {
    /// It is none.
    #[error("`{0}` is no key for imgn; write it as in Ctrl+Alt+U")]
    Invalid(String),
    /// It would be typed all day.
    #[error("`{0}` alone would be taken from every program; add Ctrl, Alt or Super")]
    Alone(String),
    /// Somebody has it.
    #[error("another program has {0}; choose another key")]
    Taken(Hotkey),
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
        let may_be_alone = match hotkey.key {
            Key::Function(_) => true,
            Key::Named(at) => ALONE.contains(&NAMED[at].0),
            Key::Character(_) => false,
        };
        if !may_be_alone && !hotkey.ctrl && !hotkey.alt && !hotkey.logo {
            return Err(HotkeyError::Alone(hotkey.to_string()));
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
            .position(|(name, _)| name.eq_ignore_ascii_case(text))?;
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
        for text in ["U", "Shift+U", "Home"] {
            assert_eq!(
                text.parse::<Hotkey>(),
                Err(HotkeyError::Alone(text.to_owned()))
            );
        }
    }
}
