//! What can go wrong, as a closed set: programs match the code, people read the detail.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// Every way in which the server refuses. A code is never given a new meaning; a client that meets one it does
        /// not know treats it by its HTTP status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "bindings", derive(specta::Type))]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as it stands on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// The HTTP status it is answered with.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// A short summary that is the same each time.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

error_codes! {
    /// The request is not understood: malformed JSON, a value out of its range.
    InvalidRequest = "invalid_request", 400, "The request is not valid";
    /// The file name is empty, too long, a path, or has control characters.
    InvalidFileName = "invalid_file_name", 400, "The file name is not valid";
    /// No token was given, or it is unknown or revoked.
    Unauthorized = "unauthorized", 401, "A valid token is needed";
    /// The token is valid and does not allow this, or no token would.
    Forbidden = "forbidden", 403, "This is not allowed";
    /// There is nothing here, or nothing that the caller may know of.
    NotFound = "not_found", 404, "Not found";
    /// The path exists and does not take this method.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here";
    /// The upload id is in use for another file.
    UploadConflict = "upload_conflict", 409, "The upload id is in use for another file";
    /// The upload has ended (published, rejected or aborted) and takes no more bytes.
    UploadClosed = "upload_closed", 409, "The upload has ended";
    /// The upload was completed before its bytes were in the store.
    NotUploaded = "not_uploaded", 409, "The bytes are not in the store";
    /// The file, or the request's body, is larger than this server takes.
    TooLarge = "too_large", 413, "Too large for this server";
    /// The request's body is not of the media type that this call takes.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body's media type is not supported";
    /// The stored bytes are not as many as were announced.
    SizeMismatch = "size_mismatch", 422, "The size is not the one announced";
    /// The bytes do not have the SHA-256 that was announced.
    ChecksumMismatch = "checksum_mismatch", 422, "The checksum is not the one announced";
    /// The bytes are no picture.
    NotAPicture = "not_a_picture", 422, "The file is not a picture";
    /// A picture, but of a format that this gallery does not take.
    UnsupportedFormat = "unsupported_format", 422, "The picture's format is not accepted";
    /// A picture whose bytes are damaged or cut off.
    CorruptPicture = "corrupt_picture", 422, "The picture is damaged";
    /// A picture with more pixels, frames or memory than this server decodes.
    TooManyPixels = "too_many_pixels", 422, "The picture has too many pixels";
    /// Decoding took longer than this server allows.
    DecodeTimeout = "decode_timeout", 422, "The picture takes too long to decode";
    /// Too many requests; `Retry-After` says when to come again.
    RateLimited = "rate_limited", 429, "Too many requests";
    /// A fault of the server; its log has the details.
    Internal = "internal", 500, "The server failed";
    /// The store does not answer, or answers with a fault of its own; try again.
    StoreUnavailable = "store_unavailable", 503, "The store is not available";
    /// The server is starting, stopping or busy; try again.
    Unavailable = "unavailable", 503, "The server is not available";
    /// The store has no space left.
    StoreFull = "store_full", 507, "The store is full";
}

/// By hand: what is derived would tell the names of the variants, for it does not see what a macro renames them to.
#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for ErrorCode {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let codes = Self::ALL.iter().map(|code| code.as_str());
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some(
                "Every way in which the server refuses. A code is never given a new meaning; a client that meets one it does \
                 not know treats it by its HTTP status.",
            ))
            .enum_values(Some(codes))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for ErrorCode {}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error as it is answered: an RFC 9457 problem document, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI reference that names the kind of problem: `/problems/{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's summary.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, and what to do; holds no secret.
    pub detail: String,
    /// The code, for programs.
    pub code: ErrorCode,
}

impl Problem {
    /// The problem document of `code`, with what happened this time.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_on_the_wire_as_it_is_displayed() {
        for &code in ErrorCode::ALL {
            let json = serde_json::to_value(code).unwrap();
            assert_eq!(json, code.as_str());
            assert_eq!(serde_json::from_value::<ErrorCode>(json).unwrap(), code);
        }
    }
}
