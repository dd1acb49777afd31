//! The bodies of the upload calls.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Checksum, ChecksumAlgorithm, ErrorCode, FileName, Image, PresignedUrl, Sha256};

/// What `PUT /v1/uploads/{id}` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenRequest {
    /// What the picture's file is called.
    pub file_name: FileName,
    /// Exact size in bytes.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub size: u64,
    /// SHA-256 of the whole file.
    pub sha256: Sha256,
    /// What the client takes it for. The server only uses it to refuse early; what is published is what it finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What the client can sum parts with beside SHA-256, the one it likes best first. The server chooses the first
    /// that its store checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checksum_algorithms: Vec<ChecksumAlgorithm>,
}

/// How the bytes of an upload are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One `PUT` of the whole file.
    Single,
    /// Parts, each by a `PUT` of its own.
    Multipart,
}

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Part {
    /// From 1 to 10,000.
    pub number: u32,
    /// Exact size in bytes.
    pub size: u64,
    /// What the store has as its checksum, in the upload's algorithm.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^([0-9a-f]{64}|[0-9a-f]{16}|[0-9a-f]{8})$"))]
    pub checksum: Checksum,
}

/// Why the server did not publish what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rejection {
    /// The reason, for programs.
    pub code: ErrorCode,
    /// The reason, for people: what is wrong with the file and what to do.
    pub message: String,
}

/// Where an upload stands: the answer to opening, asking and completing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum UploadAnswer {
    /// Bytes may be sent.
    Open {
        /// The server-made key of the object.
        key: String,
        /// How to send.
        mode: Mode,
        /// Size of every part but the last, in bytes; the whole size in single mode.
        part_size: u64,
        /// How many parts there are; 1 in single mode.
        part_count: u32,
        /// What each request's bytes are summed with; SHA-256 in single mode.
        #[serde(default)]
        checksum_algorithm: ChecksumAlgorithm,
        /// The parts that the store has already; in single mode one entry once the object is there.
        parts: Vec<Part>,
        /// The request to send the bytes with, when it was asked for (`?sign=true`) and the mode is single.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<SignedRequest>,
    },
    /// The bytes are there and are being looked at; ask again.
    Verifying,
    /// It is in the gallery.
    Published {
        /// The picture.
        image: Box<Image>,
    },
    /// It will not be in the gallery, and its bytes are gone.
    Rejected(Rejection),
    /// It was aborted by its client, or by the sweeper for its age.
    Aborted,
}

/// What `POST /v1/uploads/{id}/sign` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignRequest {
    /// Which part, from 1 to 10,000; left out in single mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// The checksum of the bytes of this one request, in the upload's algorithm.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^([0-9a-f]{64}|[0-9a-f]{16}|[0-9a-f]{8})$"))]
    pub checksum: Checksum,
}

/// One request to the store, signed for this moment: send it exactly so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedRequest {
    /// The HTTP method.
    pub method: String,
    /// Where to send it. A secret.
    pub url: PresignedUrl,
    /// The headers that were signed and must be sent as they are, by lower-case name. `host` is not among them.
    pub headers: BTreeMap<String, String>,
    /// When the store stops accepting the start of this request.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
}

/// What `POST /v1/uploads/{id}/complete` takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CompleteRequest {
    /// The parts that were sent, in order; empty in single mode.
    #[serde(default)]
    pub parts: Vec<CompletedPart>,
}

/// A part as its client sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CompletedPart {
    /// From 1 to 10,000.
    pub number: u32,
    /// The checksum of its bytes, in the upload's algorithm.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^([0-9a-f]{64}|[0-9a-f]{16}|[0-9a-f]{8})$"))]
    pub checksum: Checksum,
}
