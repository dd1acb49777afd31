//! imgn's upload engine: what brings a file into the gallery whatever happens meanwhile.
//!
//! - [`machine`]: one upload as a pure function from state and event to state and effects.
//! - [`retry`]: the one table from a failure to what is done about it.
//! - [`journal`]: every upload's state on disk, written before the effect that follows from it.
//! - [`engine`]: performs the effects, some uploads at a time.
//! - [`remote`]: what is needed of a server and its store, as a trait.
//! - [`sqlite`]: what the client's databases have in common.
//! - [`patch`]: what is replaced in what is sent, so that a picture does not tell where it was taken.
//!
//! It is not an HTTP client, knows no window and no settings, and decides nothing about which files are pictures.
//!
//! Invariant: a state is in the journal before anything is done because of it, and everything that is done can be done
//! again. So the engine may be killed at any moment and started again on the same journal.

mod batch;
pub mod engine;
mod fault;
mod file;
pub mod journal;
mod limit;
pub mod machine;
mod owner;
mod part;
pub mod patch;
mod rate;
pub mod remote;
pub mod retry;
pub mod sqlite;

pub use batch::{Batch, Origin};
pub use engine::{Engine, EngineConfig, NewUpload, Snapshot, Totals};
pub use fault::{Fault, FaultCode, UploadCode};
pub use journal::{Entry, Journal, JournalError};
pub use machine::{Content, Plan, Stage, State, WaitingFor, Work};
pub use owner::Ends;
pub use patch::{OverlappingPatches, Patch, Patches, Redactor};
pub use remote::{Body, Progress, Remote};
pub use retry::{Backoff, Call, Failure};
