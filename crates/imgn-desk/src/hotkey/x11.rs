//! Keys of an X11 session: grabbed, and waited for without ever looking by itself.
//!
//! Not by Tauri's plugin: that one looks twenty times a second, all day long.

use std::{
    os::{fd::AsFd as _, unix::net::UnixStream},
    sync::Arc,
};

use rustix::event::{PollFd, PollFlags};
use x11rb::{
    connection::Connection as _,
    errors::ReplyError,
    protocol::{
        ErrorKind, Event,
        xproto::{ConnectionExt as _, GrabMode, Keycode, ModMask},
    },
    rust_connection::RustConnection,
};

use super::{Hotkey, HotkeyError};

/// A key that is had for as long as this lives.
pub(crate) struct Grab {
    /// Closed, it ends the thread that waits, and with its connection the grab.
    _alive: UnixStream,
}

/// What the X server takes for modifiers and no person does: Caps Lock, Num Lock.
const LOCKS: [u16; 4] = [0, 1 << 1, 1 << 4, 1 << 1 | 1 << 4];

/// What the modifiers of a key are compared by: Shift, Control, Mod1 (Alt), Mod4 (Super).
const HELD: u16 = 1 | 1 << 2 | 1 << 3 | 1 << 6;

/// Takes a key; `on_press` is called from a thread of its own, once a press.
///
/// # Errors
/// When another program has it, the keyboard has no such key, or there is no X server.
pub(crate) fn grab(
    hotkey: &Hotkey,
    on_press: Arc<dyn Fn() + Send + Sync>,
) -> Result<Grab, HotkeyError> {
    let (connection, screen) = RustConnection::connect(None).map_err(unavailable)?;
    let root = connection.setup().roots[screen].root;
    let keycode =
        keycode(&connection, hotkey)?.ok_or_else(|| HotkeyError::Missing(hotkey.clone()))?;
    let held = modifiers(hotkey);
    for lock in LOCKS {
        let modifiers = ModMask::from(held | lock);
        let grabbed = connection
            .grab_key(
                false,
                root,
                modifiers,
                keycode,
                GrabMode::ASYNC,
                GrabMode::ASYNC,
            )
            .map_err(unavailable)?
            .check();
        match grabbed {
            Ok(()) => {}
            Err(ReplyError::X11Error(error)) if error.error_kind == ErrorKind::Access => {
                return Err(HotkeyError::Taken(hotkey.clone()));
            }
            Err(error) => return Err(unavailable(error)),
        }
    }
    let (alive, end) = UnixStream::pair().map_err(unavailable)?;
    std::thread::spawn(move || {
        if let Err(error) = wait(&connection, &end, (keycode, held), &*on_press) {
            tracing::warn!("the hotkey is gone: {error}");
        }
    });
    Ok(Grab { _alive: alive })
}

fn wait(
    connection: &RustConnection,
    end: &UnixStream,
    (keycode, held): (Keycode, u16),
    on_press: &dyn Fn(),
) -> Result<(), Box<dyn std::error::Error>> {
    let mut released = None;
    loop {
        while let Some(event) = connection.poll_for_event()? {
            match event {
                // A key that is held is released and pressed again in the same moment, again and again.
                Event::KeyPress(press)
                    if press.detail == keycode
                        && u16::from(press.state) & HELD == held
                        && released != Some(press.time) =>
                {
                    on_press();
                }
                Event::KeyRelease(release) if release.detail == keycode => {
                    released = Some(release.time);
                }
                _ => {}
            }
        }
        let stream = connection.stream().as_fd();
        let mut fds = [
            PollFd::from_borrowed_fd(stream, PollFlags::IN),
            PollFd::new(end, PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) if !fds[1].revents().is_empty() => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn modifiers(hotkey: &Hotkey) -> u16 {
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

/// The key that has this symbol, with or without Shift.
fn keycode(connection: &RustConnection, hotkey: &Hotkey) -> Result<Option<Keycode>, HotkeyError> {
    let setup = connection.setup();
    let (first, last) = (setup.min_keycode, setup.max_keycode);
    let mapping = connection
        .get_keyboard_mapping(first, last - first + 1)
        .map_err(unavailable)?
        .reply()
        .map_err(unavailable)?;
    let each = usize::from(mapping.keysyms_per_keycode).max(1);
    let wanted = hotkey.key.keysym();
    let mut keys = mapping.keysyms.chunks(each).zip(first..=last);
    Ok(keys
        .find(|(symbols, _)| symbols.iter().take(2).any(|symbol| *symbol == wanted))
        .map(|(_, keycode)| keycode))
}

fn unavailable(error: impl std::fmt::Display) -> HotkeyError {
    HotkeyError::Unavailable(error.to_string())
}
