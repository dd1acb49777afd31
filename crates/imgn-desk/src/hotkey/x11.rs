//! Keys of an X11 session: grabbed, and waited for without ever looking by itself.
//!
//! Not by Tauri's plugin: that one looks twenty times a second, all day long. Invariant: when a grab is dropped, the X
//! server has let the key go.

use std::{
    os::{fd::AsFd as _, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use rustix::event::{PollFd, PollFlags};
use x11rb::{
    connection::Connection as _,
    errors::ReplyError,
    protocol::{
        ErrorKind, Event,
        xproto::{ConnectionExt as _, GrabMode, Keycode, Mapping, ModMask, Window},
    },
    rust_connection::RustConnection,
};

use super::{Hotkey, HotkeyError, Wanted};

/// A key that is had for as long as this lives.
pub(crate) struct Grab {
    /// Closed, it ends the thread that waits.
    alive: Option<UnixStream>,
    waiting: Option<JoinHandle<()>>,
    is_had: Arc<AtomicBool>,
}

/// What the X server takes for modifiers and no person does: Caps Lock, Num Lock.
const LOCKS: [u16; 4] = [0, 1 << 1, 1 << 4, 1 << 1 | 1 << 4];

/// What the modifiers of a key are compared by: Shift, Control, Mod1 (Alt), Mod4 (Super).
const HELD: u16 = 1 | 1 << 2 | 1 << 3 | 1 << 6;

struct Keyboard {
    connection: RustConnection,
    root: Window,
    hotkey: Hotkey,
    /// None while the key is not had: this layout has none for it, or another program has that one.
    keycode: Option<Keycode>,
    is_had: Arc<AtomicBool>,
}

/// Takes a key. Blocks for as long as the X server takes to answer. `wanted.on_press` is called from a thread of its own,
/// once a press.
///
/// # Errors
/// When another program has it, the keyboard has no such key, or there is no X server.
pub(crate) fn grab(hotkey: &Hotkey, wanted: Wanted) -> Result<Grab, HotkeyError> {
    let (connection, screen) = RustConnection::connect(None).map_err(unavailable)?;
    let root = connection.setup().roots[screen].root;
    let mut keyboard = Keyboard {
        connection,
        root,
        hotkey: hotkey.clone(),
        keycode: None,
        is_had: Arc::default(),
    };
    keyboard.follow()?;
    let is_had = Arc::clone(&keyboard.is_had);
    let (alive, end) = UnixStream::pair().map_err(unavailable)?;
    let wait = move || {
        if let Err(reason) = keyboard.wait(&end, &wanted) {
            keyboard.is_had.store(false, Ordering::Relaxed);
            (wanted.on_lost)(reason);
        }
    };
    let thread = std::thread::Builder::new().name("hotkey".to_owned());
    let waiting = thread.spawn(wait).map_err(unavailable)?;
    Ok(Grab {
        alive: Some(alive),
        waiting: Some(waiting),
        is_had,
    })
}

impl Grab {
    /// Whether another layout, another program or the end of the X server has taken it away.
    pub(crate) fn is_lost(&self) -> bool {
        !self.is_had.load(Ordering::Relaxed)
    }
}

impl Drop for Grab {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(waiting) = self.waiting.take() {
            // It panics nowhere, and has nothing to answer.
            let _ = waiting.join();
        }
    }
}

impl Keyboard {
    /// Waits for presses until `end` is closed.
    fn wait(&mut self, end: &UnixStream, wanted: &Wanted) -> Result<(), HotkeyError> {
        let held = self.held();
        let mut released = None;
        loop {
            while let Some(event) = self.connection.poll_for_event().map_err(unavailable)? {
                match event {
                    // A key that is held is released and pressed again in the same moment, again and again.
                    Event::KeyPress(press)
                        if Some(press.detail) == self.keycode
                            && u16::from(press.state) & HELD == held
                            && released != Some(press.time) =>
                    {
                        (wanted.on_press)();
                    }
                    Event::KeyRelease(release) if Some(release.detail) == self.keycode => {
                        released = Some(release.time);
                    }
                    // Another layout: the symbol may be on another key now.
                    Event::MappingNotify(changed) if changed.request == Mapping::KEYBOARD => {
                        self.follow_and_tell(wanted)?;
                    }
                    _ => {}
                }
            }
            let stream = self.connection.stream().as_fd();
            let mut fds = [
                PollFd::from_borrowed_fd(stream, PollFlags::IN),
                PollFd::new(end, PollFlags::IN),
            ];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) if !fds[1].revents().is_empty() => return self.give_back(),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(unavailable(error)),
            }
        }
    }

    /// A layout without the key is no end: the next one may have it again.
    fn follow_and_tell(&mut self, wanted: &Wanted) -> Result<(), HotkeyError> {
        let was_had = self.keycode.is_some();
        match self.follow() {
            Ok(()) if !was_had => (wanted.on_had)(),
            Ok(()) => {}
            Err(error @ HotkeyError::Unavailable(_)) => return Err(error),
            Err(error) if was_had => (wanted.on_lost)(error),
            Err(_) => {}
        }
        Ok(())
    }

    /// Has the key where the layout has it now.
    fn follow(&mut self) -> Result<(), HotkeyError> {
        let found = self.find();
        if found
            .as_ref()
            .is_ok_and(|found| self.keycode == Some(*found))
        {
            return Ok(());
        }
        self.give_back()?;
        let taken = found.and_then(|keycode| {
            self.keycode = Some(keycode);
            self.take(keycode)
        });
        if taken.is_err() {
            // What of it was to be had.
            self.give_back()?;
        }
        self.is_had.store(taken.is_ok(), Ordering::Relaxed);
        taken
    }

    fn take(&self, keycode: Keycode) -> Result<(), HotkeyError> {
        let held = self.held();
        for lock in LOCKS {
            let modifiers = ModMask::from(held | lock);
            let (root, mode) = (self.root, GrabMode::ASYNC);
            let asked = self
                .connection
                .grab_key(false, root, modifiers, keycode, mode, mode);
            match asked.map_err(unavailable)?.check() {
                Ok(()) => {}
                Err(ReplyError::X11Error(error)) if error.error_kind == ErrorKind::Access => {
                    return Err(HotkeyError::Taken(self.hotkey.clone()));
                }
                Err(error) => return Err(unavailable(error)),
            }
        }
        Ok(())
    }

    /// It is free when this returns: the next one to ask may be this program.
    fn give_back(&mut self) -> Result<(), HotkeyError> {
        let Some(keycode) = self.keycode.take() else {
            return Ok(());
        };
        for lock in LOCKS {
            let modifiers = ModMask::from(self.held() | lock);
            let asked = self.connection.ungrab_key(keycode, self.root, modifiers);
            asked.map_err(unavailable)?.check().map_err(unavailable)?;
        }
        Ok(())
    }

    fn held(&self) -> u16 {
        let hotkey = &self.hotkey;
        let held = [
            (hotkey.shift, 1),
            (hotkey.ctrl, 1 << 2),
            (hotkey.alt, 1 << 3),
            (hotkey.logo, 1 << 6),
        ];
        held.iter()
            .filter(|(is_held, _)| *is_held)
            .map(|(_, mask)| mask)
            .sum()
    }

    /// The key that has this symbol.
    fn find(&self) -> Result<Keycode, HotkeyError> {
        let setup = self.connection.setup();
        let (first, last) = (setup.min_keycode, setup.max_keycode);
        let mapping = self
            .connection
            .get_keyboard_mapping(first, last - first + 1)
            .map_err(unavailable)?
            .reply()
            .map_err(unavailable)?;
        let each = usize::from(mapping.keysyms_per_keycode);
        let found = place(&mapping.keysyms, each, self.hotkey.key.keysym());
        let keycode = found.and_then(|place| Keycode::try_from(place).ok()?.checked_add(first));
        keycode.ok_or_else(|| HotkeyError::Missing(self.hotkey.clone()))
    }
}

/// Which key has a symbol, where `each` has so many: without Shift and with it, then the same of the second layout, then
/// what there is beside (X11 protocol, "Keyboards"). A key of the layout that stands first is preferred.
fn place(symbols: &[u32], each: usize, wanted: u32) -> Option<usize> {
    (0..each).find_map(|level| {
        let mut keys = symbols.chunks(each);
        keys.position(|key| key.get(level) == Some(&wanted))
    })
}

fn unavailable(error: impl std::fmt::Display) -> HotkeyError {
    HotkeyError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_looked_for_in_every_layout_and_the_first_is_preferred() {
        let (a, b, cyrillic) = (0x61, 0x62, 0x6c1);
        // Russian, then American; the second key has `a` in the first layout only with Shift.
        let symbols = [cyrillic, 0, a, 0x41, b, a, 0, 0, 0, 0, 0, b];
        assert_eq!(place(&symbols, 4, cyrillic), Some(0));
        assert_eq!(place(&symbols, 4, a), Some(1));
        assert_eq!(place(&symbols, 4, b), Some(1));
        assert_eq!(place(&symbols, 4, 0x41), Some(0));
        assert_eq!(place(&symbols, 4, 0x63), None);
        assert_eq!(place(&[], 0, a), None);
    }
}
