//! imgn's backend; being written, its interface stands.
mod config;
mod role;
mod server;

pub use config::{Config, InvalidConfig, S3Config, StorageConfig, Timing};
pub use role::Role;
pub use server::{Server, StartError};
