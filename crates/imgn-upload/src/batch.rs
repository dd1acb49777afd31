//! Which uploads were taken in together. The engine keeps it with each and decides nothing by it: who tells a person what
//! became of them tells it of all together, also when that is another program, after a restart.

use uuid::Uuid;

/// An act that took uploads in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Batch {
    /// One of its own for each.
    pub id: Uuid,
    /// Whose act it was.
    pub origin: Origin,
}

/// Who took files in; what is done with their links follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// A person, by the window, the tray, a hotkey, another program's menu or a terminal.
    Person,
    /// A program that waits for the links itself.
    Program,
}

impl Batch {
    /// Another act than all before.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        let id = Uuid::now_v7();
        Self { id, origin }
    }
}

impl Origin {
    /// As the journal has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Program => "program",
        }
    }

    /// What a newer version wrote is a person's.
    pub(crate) fn of(text: &str) -> Self {
        match text {
            "program" => Self::Program,
            _ => Self::Person,
        }
    }
}
