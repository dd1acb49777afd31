//! The server in this process, asked over HTTP: each rule of the API once, and what restarts and races do to it.
//!
//! The built program, other clients and `kill -9` are the black-box tests' matter.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test cannot go on without, and a word when it is skipped"
)]

mod audit;
mod bounds;
mod clients;
mod display;
mod feed;
mod forms;
mod gallery;
mod harness;
mod limits;
mod multipart;
mod operations;
mod pictures_url;
mod relay;
mod repair;
mod sign_in;
mod staged;
mod surface;
mod tokens;
mod uploads;
