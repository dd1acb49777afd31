//! What imgn's tests share: the built programs as child processes, a proxy that fails on purpose, conformance suites,
//! and tiny pictures.
//!
//! It is not part of any program, and nothing in it stands in for the code under test: doubles are on the far side of a
//! process or a socket.
//!
//! Invariant: whatever a test starts here ends with it. Processes are killed and directories removed on drop.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test double that cannot go on ends its test"
)]

pub mod issuer;
pub mod lambda;
pub mod pictures;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod s3;
pub mod seaweedfs;
