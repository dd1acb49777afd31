//! Why an upload did not end in the gallery, as a closed set of codes.

use std::fmt;

use imgn_protocol::ErrorCode;
use serde::{Deserialize, Serialize};

macro_rules! upload_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// What the client itself finds wrong with an upload. What the server finds is an [`ErrorCode`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "bindings", derive(specta::Type))]
        pub enum UploadCode {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl UploadCode {
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

upload_codes! {
    /// The server cannot be reached; the upload goes on by itself when it can.
    Offline = "offline";
    /// There is no such file (any more).
    FileMissing = "file_missing";
    /// The file is there and cannot be read.
    FileUnreadable = "file_unreadable";
    /// The file has no bytes.
    FileEmpty = "file_empty";
    /// The file changed each time it was about to be sent.
    FileChanged = "file_changed";
    /// The path names a folder, a device or something else that is no regular file.
    NotAFile = "not_a_file";
    /// The store refused the bytes for good.
    StoreRefused = "store_refused";
    /// The server refused with a status that imgn has no code for.
    ServerRefused = "server_refused";
    /// The server answered with something that is not imgn's API.
    UnexpectedAnswer = "unexpected_answer";
    /// A fault that passes did not pass, however often it was tried.
    GaveUp = "gave_up";
    /// The journal of uploads cannot be read or written.
    JournalFailed = "journal_failed";
}

/// A code of either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FaultCode {
    /// Found by the server.
    Server(ErrorCode),
    /// Found by the client.
    Client(UploadCode),
}

impl FaultCode {
    /// The code as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server(code) => code.as_str(),
            Self::Client(code) => code.as_str(),
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<ErrorCode> for FaultCode {
    fn from(code: ErrorCode) -> Self {
        Self::Server(code)
    }
}

impl From<UploadCode> for FaultCode {
    fn from(code: UploadCode) -> Self {
        Self::Client(code)
    }
}

/// A code, and what happened this time and what to do, for people. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// For programs.
    pub code: FaultCode,
    /// For people.
    pub message: String,
}

impl Fault {
    /// A fault of `code`.
    #[must_use]
    pub fn new(code: impl Into<FaultCode>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_both_sides_are_distinct_and_read_back() {
        for &code in UploadCode::ALL {
            assert!(
                ErrorCode::ALL
                    .iter()
                    .all(|other| other.as_str() != code.as_str())
            );
            let json = serde_json::to_value(FaultCode::Client(code)).unwrap();
            assert_eq!(json, code.as_str());
            assert_eq!(
                serde_json::from_value::<FaultCode>(json).unwrap(),
                FaultCode::Client(code)
            );
        }
    }
}
