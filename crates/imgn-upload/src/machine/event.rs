//! What can happen to an upload, and what can be asked for.
//!
//! Effects hold presigned URLs, for one use at once; they are never written down.

use std::time::Duration;

use imgn_protocol::{CompletedPart, Part, SignedRequest, UploadAnswer, UploadId};

use super::{Content, Plan, Target};
use crate::{
    Fault,
    retry::{Call, Failure},
};

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It is this upload's turn: at the start, after a delay, when the server or the file is there again.
    Go,
    /// Its owner wants it no more.
    Cancel,
    /// Its owner wants another try of what has failed, was rejected or cancelled.
    Retry,
    /// Its owner holds it back.
    Pause,
    /// Its owner lets it go on.
    Resume,
    /// The server cannot be reached, as others found; it does not try.
    Hold(String),
    /// The file was read to its end.
    Summed(Content),
    /// The file is not the one that was summed.
    Changed,
    /// The file may be another one: its size is the same, something else is not.
    Touched,
    /// The file cannot be read.
    Unreadable(Fault),
    /// Here is a new id.
    Renewed(UploadId),
    /// The server told where the upload stands.
    Answered(UploadAnswer),
    /// The server signed a request.
    Signed(SignedRequest),
    /// The store has the bytes.
    Sent,
    /// The store has all parts: these.
    PartsSent(Vec<CompletedPart>),
    /// Parts were sent until a call failed for good, or more often than a part is tried.
    Halted {
        /// Whether the store took a part meanwhile.
        moved: bool,
        /// Which call.
        call: Call,
        /// How.
        failure: Failure,
    },
    /// The server has taken the upload back.
    Aborted,
    /// A call failed.
    Failed(Call, Failure),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Read and sum the file: [`Event::Summed`], [`Event::Changed`] or [`Event::Unreadable`].
    Sum,
    /// Make a new id: [`Event::Renewed`].
    Renew,
    /// Open the upload and have a URL signed with it: [`Event::Answered`].
    Open(Target),
    /// Have a URL signed: [`Event::Signed`].
    Sign(Target),
    /// Check that the file is the one that was summed, send it, check again: [`Event::Sent`], [`Event::Changed`],
    /// [`Event::Touched`] or [`Event::Unreadable`].
    Put(Target, SignedRequest),
    /// Send the parts that the store does not have: [`Event::PartsSent`], [`Event::Halted`], [`Event::Changed`],
    /// [`Event::Touched`] or [`Event::Unreadable`].
    SendParts {
        /// What is sent where.
        target: Target,
        /// In which parts.
        plan: Plan,
        /// What the store says that it has.
        stored: Vec<Part>,
    },
    /// Tell the server that the bytes are there: [`Event::Answered`].
    Complete(Target, Vec<CompletedPart>),
    /// Ask where the upload stands, later the more often it was asked: [`Event::Answered`].
    Status {
        /// Which upload on the server, of which bytes.
        target: Target,
        /// How often it was asked before.
        asked: u32,
    },
    /// Take the upload back: [`Event::Aborted`].
    Abort(UploadId),
    /// Pause, then [`Event::Go`].
    BackOff {
        /// How many tries have failed.
        tries: u32,
        /// Not shorter than this.
        at_least: Duration,
    },
    /// Wait until the server can be reached, then [`Event::Go`].
    AwaitServer {
        /// Whether it is its store that cannot be reached.
        is_store: bool,
    },
    /// Wait until the file is there, then [`Event::Go`].
    AwaitFile,
}
