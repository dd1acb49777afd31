//! imgn's backend: it signs upload requests for an S3 store, verifies what arrived there, publishes it in a catalogue
//! and lists it. [`Server`] is the whole of it in one value; the program `imgn-server`, the desktop app ("Start a
//! gallery on this computer") and the tests start the same one.
//!
//! It is not in the way of the bytes: clients send pictures straight to the store and read them from there. Only the
//! embedded store shares the server's port, as an S3 endpoint of its own beside the API.
//!
//! Invariant: a picture is public exactly when it has a row in the catalogue, and the row is written in the same
//! transaction as the end of its upload. Every step before it can be repeated, every step after it is in the garbage
//! outbox; so a crash between any two of them is repaired by the next start.
//!
//! | module | holds |
//! |---|---|
//! | `config`, `settings` | what the server is started with, and how flags and environment say so |
//! | `server`, `serving`, `places` | start and shutdown, the accept loop, and which connections are held |
//! | `function` | the server without a socket, for surroundings that call it |
//! | `activity` | whether clients are sending, which verification gives way to |
//! | `allowance`, `rates`, `origin` | how much one user or address may ask for, requests a second, and where a request comes from |
//! | `asking` | the server's own requests over HTTP |
//! | `audit` | who wrote what |
//! | `connection` | a connection whose client has to read |
//! | `metrics` | what is counted and measured, for a Prometheus |
//! | `memory` | what decoders leave behind goes back to the system |
//! | `catalogue` | SQLite or PostgreSQL: tokens, uploads, images, the change feed, the garbage outbox |
//! | `storage` | the S3 client, presigning, and the embedded store behind it |
//! | `multipart` | uploads in parts: how they are divided, what the store has of them, completing |
//! | `staging` | what other people's clients send: from an object that nobody announced to an upload |
//! | `compat` | the protocols of other people's clients |
//! | `oidc` | sign-in: tokens that an issuer signs |
//! | `publish` | verification on bounded workers, and the one transaction that publishes |
//! | `garbage` | deletes what the outbox names |
//! | `sweep` | what time and crashes leave undone |
//! | `orphans` | objects in the store that no row names |
//! | `doctor` | whether what a server relies on is there, and what to do |
//! | `backup` | a gallery as a directory, and back |
//! | `traces` | spans of the server's work, for who collects them |
//! | `writes` | what is written about uploads and pictures, with its line in the audit log |
//! | `routes` | the HTTP API, the OpenAPI document and the web page |

mod activity;
mod allowance;
mod asking;
mod audit;
mod auth;
pub mod backup;
mod catalogue;
mod compat;
mod config;
mod connection;
pub mod doctor;
mod error;
mod extract;
mod function;
mod garbage;
mod memory;
mod metrics;
mod multipart;
mod oidc;
mod origin;
mod orphans;
mod places;
mod publish;
mod rates;
mod routes;
mod server;
mod serving;
pub mod settings;
mod staging;
mod start;
mod state;
mod storage;
mod sweep;
mod traces;
mod writes;

pub use allowance::{Allowance, Allowances};
pub use audit::Audit;
pub use auth::{Grant, Role, Scopes};
pub use catalogue::{Catalogue, CatalogueError, TokenError, TokenRow};
pub use config::{
    Config, ContinueTrace, Database, DatabaseUrl, InvalidConfig, OidcConfig, S3Config,
    StorageConfig, Timing,
};
pub use error::chain;
pub use function::{Function, NotDone};
pub use imgn_thumbs::Limits;
pub use memory::give_back_what_is_large;
pub use oidc::ClientError as IssuerClientError;
pub use orphans::{SweepError, UnknownPictures};
pub use routes::openapi::document as openapi;
pub use server::{NotReady, Server};
pub use start::StartError;
pub use storage::{EmbeddedError, StorageError};
pub use sweep::Swept;
pub use traces::TARGET as TRACES;
