//! What a command answers when it fails: a code of a closed set, and a sentence that says what to do.

use std::fmt;

use imgn_protocol::ErrorCode;
use imgn_upload::{Fault, FaultCode, UploadCode};
use serde::{Deserialize, Serialize};

use crate::ViewError;

macro_rules! client_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// What only the client knows to go wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "bindings", derive(specta::Type))]
        pub enum ClientCode {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl ClientCode {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }
        }
    };
}

client_codes! {
    /// No gallery was chosen yet.
    NotConnected = "not_connected";
    /// Another gallery than the one that something was meant for is shown now.
    GalleryChanged = "gallery_changed";
    /// The address is not one of a server.
    InvalidServer = "invalid_server";
    /// A value that a person gave is not valid.
    InvalidInput = "invalid_input";
    /// The keyring is locked.
    KeyringLocked = "keyring_locked";
    /// There is no keyring on this computer.
    KeyringMissing = "keyring_missing";
    /// The keyring did not answer in time.
    KeyringTimeout = "keyring_timeout";
    /// The keyring answered with an error.
    KeyringFailed = "keyring_failed";
    /// The settings cannot be read or written.
    SettingsFailed = "settings_failed";
    /// A file of the client's own cannot be read or written.
    DiskFailed = "disk_failed";
    /// There is no such upload.
    UnknownUpload = "unknown_upload";
    /// Another program took the upload back.
    Cancelled = "cancelled";
    /// The connection broke or stalled; trying again may help.
    ConnectionFailed = "connection_failed";
    /// The gallery on this computer cannot be started.
    GalleryFailed = "gallery_failed";
    /// The clipboard does not take what is copied, or does not give it.
    ClipboardFailed = "clipboard_failed";
    /// There is nothing on the clipboard that could be uploaded.
    ClipboardEmpty = "clipboard_empty";
    /// There is no clipboard that could be read.
    ClipboardUnavailable = "clipboard_unavailable";
}

/// A code of the server, of the upload engine or of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(untagged)]
pub enum Code {
    /// Found by the server.
    Server(ErrorCode),
    /// Found by the upload engine.
    Upload(UploadCode),
    /// Found by the client around it.
    Client(ClientCode),
}

impl Code {
    /// The code as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server(code) => code.as_str(),
            Self::Upload(code) => code.as_str(),
            Self::Client(code) => code.as_str(),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<ErrorCode> for Code {
    fn from(code: ErrorCode) -> Self {
        Self::Server(code)
    }
}

impl From<UploadCode> for Code {
    fn from(code: UploadCode) -> Self {
        Self::Upload(code)
    }
}

impl From<ClientCode> for Code {
    fn from(code: ClientCode) -> Self {
        Self::Client(code)
    }
}

impl From<FaultCode> for Code {
    fn from(code: FaultCode) -> Self {
        match code {
            FaultCode::Server(code) => Self::Server(code),
            FaultCode::Client(code) => Self::Upload(code),
        }
    }
}

/// A command that did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// For programs.
    pub code: Code,
    /// For people: what happened, and what to do. Holds no secret.
    pub message: String,
}

impl CommandError {
    /// An error of `code`.
    #[must_use]
    pub fn new(code: impl Into<Code>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }

    pub(crate) fn not_connected() -> Self {
        Self::new(
            ClientCode::NotConnected,
            "no gallery is chosen yet; choose one in the window, or with `imgn login --server URL`",
        )
    }
}

impl From<CommandError> for ViewError {
    fn from(error: CommandError) -> Self {
        Self {
            code: error.code,
            message: error.message,
        }
    }
}

impl From<Fault> for CommandError {
    fn from(fault: Fault) -> Self {
        Self::new(fault.code, fault.message)
    }
}

impl From<Fault> for ViewError {
    fn from(fault: Fault) -> Self {
        CommandError::from(fault).into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_distinct_across_all_sides_and_read_back() {
        let codes: Vec<Code> = ErrorCode::ALL
            .iter()
            .map(|&code| code.into())
            .chain(UploadCode::ALL.iter().map(|&code| code.into()))
            .chain(ClientCode::ALL.iter().map(|&code| code.into()))
            .collect();
        let texts: HashSet<_> = codes.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), codes.len());
        for code in codes {
            let json = serde_json::to_value(code).unwrap();
            assert_eq!(json, code.as_str());
            assert_eq!(serde_json::from_value::<Code>(json).unwrap(), code);
        }
    }
}
