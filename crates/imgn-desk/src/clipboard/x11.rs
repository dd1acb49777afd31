//! The clipboard of an X11 session: the selection `CLIPBOARD`, converted by its owner (ICCCM 2), large ones in pieces
//! (`INCR`). It waits for events of the server and never asks again by itself.

use std::{os::fd::AsFd as _, time::Instant};

use x11rb::{
    CURRENT_TIME, NONE,
    connection::Connection as _,
    errors::{ConnectionError, ReplyError, ReplyOrIdError},
    protocol::{
        Event,
        xproto::{
            Atom, AtomEnum, ConnectionExt as _, CreateWindowAux, EventMask, Property, Window,
            WindowClass,
        },
    },
    rust_connection::RustConnection,
};

use super::{ClipboardError, MOST_BYTES, Source, wayland::wait};

pub(super) struct X11 {
    connection: RustConnection,
    window: Window,
    atoms: Atoms,
    deadline: Instant,
}

x11rb::atom_manager! {
    /// Names of the X server.
    Atoms: AtomsCookie {
        CLIPBOARD,
        TARGETS,
        INCR,
        IMGN_PASTED,
    }
}

impl X11 {
    pub(super) fn connect(deadline: Instant) -> Result<Self, ClipboardError> {
        let (connection, screen) = RustConnection::connect(None).map_err(unavailable)?;
        let atoms = Atoms::new(&connection)
            .map_err(unavailable)?
            .reply()
            .map_err(unavailable)?;
        let root = connection.setup().roots[screen].root;
        let window = connection.generate_id().map_err(unavailable)?;
        let events = CreateWindowAux::new().event_mask(EventMask::PROPERTY_CHANGE);
        connection
            .create_window(
                0,
                window,
                root,
                0,
                0,
                1,
                1,
                0,
                WindowClass::INPUT_ONLY,
                0,
                &events,
            )
            .map_err(unavailable)?;
        Ok(Self {
            connection,
            window,
            atoms,
            deadline,
        })
    }

    /// What the owner of the selection makes of it for `target`; empty where it makes nothing.
    fn convert(&self, target: Atom) -> Result<Vec<u8>, ClipboardError> {
        let place = self.atoms.IMGN_PASTED;
        self.connection
            .convert_selection(
                self.window,
                self.atoms.CLIPBOARD,
                target,
                place,
                CURRENT_TIME,
            )
            .map_err(unavailable)?;
        let property = self.until(|event| match event {
            Event::SelectionNotify(it) if it.target == target => Some(it.property),
            _ => None,
        })?;
        if property == NONE {
            return Ok(Vec::new());
        }
        let (kind, first) = self.taken()?;
        if kind != self.atoms.INCR {
            return Ok(first);
        }
        // That the property is gone has told the owner to send the first piece; an empty one is the end.
        let mut bytes = Vec::new();
        loop {
            self.until(|event| match event {
                Event::PropertyNotify(it)
                    if it.atom == place && it.state == Property::NEW_VALUE =>
                {
                    Some(())
                }
                _ => None,
            })?;
            let (_, piece) = self.taken()?;
            if piece.is_empty() {
                return Ok(bytes);
            }
            if bytes.len() + piece.len() > MOST_BYTES {
                return Err(ClipboardError::TooLarge);
            }
            bytes.extend_from_slice(&piece);
        }
    }

    /// Takes what was put into the window's property: its type and its bytes.
    fn taken(&self) -> Result<(Atom, Vec<u8>), ClipboardError> {
        let most = u32::try_from(MOST_BYTES / 4).unwrap_or(u32::MAX);
        let place = self.atoms.IMGN_PASTED;
        let reply = self
            .connection
            .get_property(true, self.window, place, AtomEnum::ANY, 0, most)
            .map_err(unavailable)?
            .reply()
            .map_err(unavailable)?;
        if reply.bytes_after > 0 {
            return Err(ClipboardError::TooLarge);
        }
        Ok((reply.type_, reply.value))
    }

    fn until<T>(&self, wanted: impl Fn(&Event) -> Option<T>) -> Result<T, ClipboardError> {
        self.connection.flush().map_err(unavailable)?;
        loop {
            while let Some(event) = self.connection.poll_for_event().map_err(unavailable)? {
                if let Some(found) = wanted(&event) {
                    return Ok(found);
                }
            }
            wait(&self.connection.stream().as_fd(), self.deadline)?;
        }
    }

    fn atom(&self, name: &str) -> Result<Atom, ClipboardError> {
        let cookie = self
            .connection
            .intern_atom(false, name.as_bytes())
            .map_err(unavailable)?;
        Ok(cookie.reply().map_err(unavailable)?.atom)
    }
}

impl Source for X11 {
    fn types(&mut self) -> Result<Vec<String>, ClipboardError> {
        let owner = self
            .connection
            .get_selection_owner(self.atoms.CLIPBOARD)
            .map_err(unavailable)?
            .reply()
            .map_err(unavailable)?
            .owner;
        if owner == NONE {
            return Ok(Vec::new());
        }
        let atoms = self.convert(self.atoms.TARGETS)?;
        let atoms = atoms
            .chunks_exact(4)
            .map(|bytes| Atom::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        // Asked all at once; an owner has some dozens.
        let names: Vec<_> = atoms
            .take(256)
            .filter_map(|atom| self.connection.get_atom_name(atom).ok())
            .collect();
        let names = names.into_iter().filter_map(|name| name.reply().ok());
        Ok(names
            .map(|name| String::from_utf8_lossy(&name.name).into_owned())
            .collect())
    }

    fn read(&mut self, offer: &str) -> Result<Vec<u8>, ClipboardError> {
        self.convert(self.atom(offer)?)
    }
}

fn unavailable(error: impl Into<X11Error>) -> ClipboardError {
    ClipboardError::Unavailable(error.into().to_string())
}

/// Whatever went wrong between this program and the X server.
#[derive(Debug, thiserror::Error)]
enum X11Error {
    #[error(transparent)]
    Connect(#[from] x11rb::errors::ConnectError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Reply(#[from] ReplyError),
    #[error(transparent)]
    Id(#[from] ReplyOrIdError),
}
