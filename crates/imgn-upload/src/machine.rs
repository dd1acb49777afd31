//! One upload as a pure machine: what state it is in, and what follows from what happens.
//!
//! It knows no clock, no network, no file and no SQL: [`step`] takes a state and an event and gives the next state and
//! the effects that somebody else performs. At most one of the effects answers with an event, so an upload does one
//! thing at a time.
//!
//! Invariants:
//! - A state that is written down and read back says all that is needed to go on: [`Event::Go`] in any unfinished state
//!   gives the effect that brings it further. Every effect can be repeated.
//! - A presigned URL is never part of a state, only of the effect that uses it at once.
//! - An ended upload stays as it ended, but for [`Event::Retry`].

use std::time::Duration;

use imgn_protocol::{Image, Mode, Sha256, SignedRequest, UploadAnswer, UploadId};
use serde::{Deserialize, Serialize};

use crate::{
    Fault, UploadCode,
    retry::{Call, Failure, MAX_RENEWALS, MAX_TRIES, Verdict, classify},
};

/// What a file was when it was summed. If size or time differ later, it is another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Exact size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970, as the file system tells it.
    pub modified_ns: i64,
}

/// A file's bytes, known by their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// SHA-256 of the whole file.
    pub sha256: Sha256,
    /// What the file was when it was summed.
    pub fingerprint: Fingerprint,
}

/// A summed file and the upload on the server that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The upload's id on the server; it is another one after the upload started anew.
    pub session: UploadId,
    /// What is sent.
    pub content: Content,
    /// Whether sending began under this id: a published picture is then ours and no duplicate.
    pub sent: bool,
}

/// The one thing that an unfinished upload is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Reading and summing the file.
    Summing {
        /// The id that will be opened.
        session: UploadId,
    },
    /// Summed; opening the upload on the server.
    Hashed(Target),
    /// Opened; asking for a URL.
    Opened {
        /// What is sent where.
        target: Target,
        /// Whether this is the one fresh URL after a refusal.
        fresh: bool,
    },
    /// Sending the bytes to the store.
    Sending {
        /// What is sent where.
        target: Target,
        /// Whether the URL is the one fresh one after a refusal.
        fresh: bool,
    },
    /// Sent; telling the server.
    Completing(Target),
    /// The server looks at the bytes.
    Verifying {
        /// What was sent where.
        target: Target,
        /// How often it was asked.
        asked: u32,
    },
    /// Taking the upload back.
    Aborting(Target),
    /// Asking for a new id, to start anew.
    Renewing,
}

/// An unfinished upload: where it is, and what it has used up of its patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Where it is.
    #[serde(flatten)]
    pub stage: Stage,
    /// Passing faults met so far; bounded by [`MAX_TRIES`].
    pub tries: u32,
    /// How often it waited for the server since bytes last arrived; not bounded.
    pub waits: u32,
    /// How often it started anew; bounded by [`MAX_RENEWALS`].
    pub renewals: u32,
}

/// Where an upload stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Nobody works at it yet.
    Queued {
        /// The id that it will have on the server.
        session: UploadId,
    },
    /// Being worked at.
    Working(Work),
    /// The server cannot be reached; goes on by itself.
    Waiting {
        /// What goes on.
        work: Work,
        /// What the network said.
        reason: String,
    },
    /// In the gallery, by this upload.
    Published {
        /// The picture.
        image: Box<Image>,
        /// What was sent.
        content: Content,
        /// The upload's id on the server.
        session: UploadId,
    },
    /// In the gallery already; nothing was sent.
    Duplicate {
        /// The picture.
        image: Box<Image>,
        /// What was not sent.
        content: Content,
        /// The upload's id on the server.
        session: UploadId,
    },
    /// The gallery does not take it.
    Rejected {
        /// Why.
        fault: Fault,
        /// What it does not take, where it was summed before.
        content: Option<Content>,
        /// The upload's id on the server, where it had come there.
        session: Option<UploadId>,
    },
    /// It did not work; somebody may try again.
    Failed {
        /// Why.
        fault: Fault,
        /// Where it stood.
        work: Work,
    },
    /// Taken back by its owner.
    Cancelled,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It is this upload's turn: at the start, after a pause, when the server answers again.
    Go,
    /// Its owner wants it no more.
    Cancel,
    /// Its owner wants another try of what has failed, was rejected or cancelled.
    Retry,
    /// The file was read to its end.
    Summed(Content),
    /// The file is not the one that was summed.
    Changed,
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
    /// Check that the file is the one that was summed, send it, check again: [`Event::Sent`], [`Event::Changed`] or
    /// [`Event::Unreadable`].
    Put(Target, SignedRequest),
    /// Tell the server that the bytes are there: [`Event::Answered`].
    Complete(Target),
    /// Ask where the upload stands, later the more often it was asked: [`Event::Answered`].
    Status {
        /// Which upload on the server.
        session: UploadId,
        /// How often it was asked before.
        asked: u32,
    },
    /// Take the upload back: [`Event::Aborted`].
    Abort(UploadId),
    /// Take an upload back that nobody waits for; no event, and no matter if it fails (the server's sweeper does it
    /// after a day).
    Forget(UploadId),
    /// Pause, then [`Event::Go`].
    BackOff {
        /// How many tries have failed.
        tries: u32,
        /// Not shorter than this.
        at_least: Duration,
    },
    /// Wait until the server can be reached, then [`Event::Go`].
    AwaitServer {
        /// How often this upload has waited since bytes last arrived.
        waits: u32,
    },
}

impl State {
    /// Whether nothing more happens by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Queued { .. } | Self::Working(_) | Self::Waiting { .. } => false,
            Self::Published { .. }
            | Self::Duplicate { .. }
            | Self::Rejected { .. }
            | Self::Failed { .. }
            | Self::Cancelled => true,
        }
    }

    /// What is sent, once it was summed.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        match self {
            Self::Working(work) | Self::Waiting { work, .. } | Self::Failed { work, .. } => {
                work.stage.target().map(|target| &target.content)
            }
            Self::Published { content, .. } | Self::Duplicate { content, .. } => Some(content),
            Self::Rejected { content, .. } => content.as_ref(),
            Self::Queued { .. } | Self::Cancelled => None,
        }
    }

    /// The id on the server, where there is one.
    #[must_use]
    pub fn session(&self) -> Option<UploadId> {
        match self {
            Self::Queued { session }
            | Self::Published { session, .. }
            | Self::Duplicate { session, .. } => Some(*session),
            Self::Working(work) | Self::Waiting { work, .. } | Self::Failed { work, .. } => {
                work.stage.session()
            }
            Self::Rejected { session, .. } => *session,
            Self::Cancelled => None,
        }
    }
}

impl Stage {
    fn target(&self) -> Option<&Target> {
        match self {
            Self::Summing { .. } | Self::Renewing => None,
            Self::Hashed(target)
            | Self::Opened { target, .. }
            | Self::Sending { target, .. }
            | Self::Completing(target)
            | Self::Verifying { target, .. }
            | Self::Aborting(target) => Some(target),
        }
    }

    fn session(&self) -> Option<UploadId> {
        match self {
            Self::Summing { session } => Some(*session),
            stage => stage.target().map(|target| target.session),
        }
    }
}

/// What follows when `event` happens in `state`. An event that the state has no use for, such as an answer that comes
/// after the end, changes nothing.
#[must_use]
pub fn step(state: State, event: Event) -> (State, Vec<Effect>) {
    match (state, event) {
        (State::Queued { session }, Event::Go) => Work::at(Stage::Summing { session }).go(),
        (State::Queued { .. }, Event::Cancel) => (State::Cancelled, vec![]),
        (State::Working(work) | State::Waiting { work, .. }, Event::Go) => work.go(),
        (
            State::Working(work) | State::Waiting { work, .. } | State::Failed { work, .. },
            Event::Cancel,
        ) => work.cancel(),
        (State::Working(work), event) => work.meet(event),
        (State::Failed { work, .. }, Event::Retry) => Work::at(work.stage).go(),
        (State::Rejected { .. } | State::Cancelled, Event::Retry) => Work::at(Stage::Renewing).go(),
        (state, _) => (state, vec![]),
    }
}

type Next = (State, Vec<Effect>);

impl Work {
    /// Work at `stage` with all its patience.
    #[must_use]
    pub fn at(stage: Stage) -> Self {
        Self {
            stage,
            tries: 0,
            waits: 0,
            renewals: 0,
        }
    }

    /// The same upload at another stage, and what is done there.
    fn to(self, stage: Stage, effect: Effect) -> Next {
        (State::Working(Self { stage, ..self }), vec![effect])
    }

    /// Takes the work up where it stands. Where bytes were about to be sent, opening again answers both whether they
    /// are still wanted and where to send them.
    fn go(self) -> Next {
        match self.stage {
            Stage::Summing { .. } => self.to(self.stage, Effect::Sum),
            Stage::Hashed(target)
            | Stage::Opened { target, .. }
            | Stage::Sending { target, .. } => self.to(Stage::Hashed(target), Effect::Open(target)),
            Stage::Completing(target) => self.to(self.stage, Effect::Complete(target)),
            Stage::Verifying { target, asked } => self.to(
                self.stage,
                Effect::Status {
                    session: target.session,
                    asked,
                },
            ),
            Stage::Aborting(target) => self.to(self.stage, Effect::Abort(target.session)),
            Stage::Renewing => self.to(self.stage, Effect::Renew),
        }
    }

    fn cancel(self) -> Next {
        match self.stage.target() {
            Some(&target) => self.to(Stage::Aborting(target), Effect::Abort(target.session)),
            None => (State::Cancelled, vec![]),
        }
    }

    fn meet(self, event: Event) -> Next {
        match (self.stage, event) {
            (Stage::Summing { session }, Event::Summed(content)) => {
                let target = Target {
                    session,
                    content,
                    sent: false,
                };
                self.to(Stage::Hashed(target), Effect::Open(target))
            }
            (Stage::Summing { .. }, Event::Changed) => self.renew(None, changed()),
            (Stage::Sending { target, .. }, Event::Changed) => {
                self.renew(Some(target.session), changed())
            }
            (Stage::Summing { .. } | Stage::Sending { .. }, Event::Unreadable(fault)) => {
                (State::Failed { fault, work: self }, vec![])
            }
            (Stage::Renewing, Event::Renewed(session)) => {
                self.to(Stage::Summing { session }, Effect::Sum)
            }
            (Stage::Opened { target, fresh }, Event::Signed(request)) => {
                self.send(target, fresh, request)
            }
            (Stage::Sending { target, .. }, Event::Sent) => {
                Self { waits: 0, ..self }.to(Stage::Completing(target), Effect::Complete(target))
            }
            (Stage::Aborting(_), Event::Aborted) => (State::Cancelled, vec![]),
            (Stage::Aborting(target), Event::Answered(answer)) => self.too_late(target, answer),
            (
                Stage::Hashed(target) | Stage::Completing(target) | Stage::Verifying { target, .. },
                Event::Answered(answer),
            ) => self.answered(target, answer),
            (_, Event::Failed(call, failure)) => self.judge(call, &failure),
            (_, _) => (State::Working(self), vec![]),
        }
    }

    fn answered(self, target: Target, answer: UploadAnswer) -> Next {
        match answer {
            UploadAnswer::Open {
                mode: Mode::Multipart,
                ..
            } => self.fail(Fault::new(
                UploadCode::MultipartUnsupported,
                "the server wants this file in parts, which this version cannot send; send a smaller file, or update imgn",
            )),
            UploadAnswer::Open { parts, signed, .. } => match self.stage {
                Stage::Hashed(_) => {
                    let size = target.content.fingerprint.size;
                    if parts.iter().any(|part| part.size == size) {
                        let target = Target { sent: true, ..target };
                        return self.to(Stage::Completing(target), Effect::Complete(target));
                    }
                    match signed {
                        Some(request) => self.send(target, false, request),
                        None => self.to(
                            Stage::Opened {
                                target,
                                fresh: false,
                            },
                            Effect::Sign(target),
                        ),
                    }
                }
                // The server lost what it was told: begin again at the opening, but not without end.
                _ => Self {
                    stage: Stage::Hashed(target),
                    ..self
                }
                .again(
                    Duration::ZERO,
                    Fault::new(UploadCode::GaveUp, "the server lost the bytes again and again"),
                ),
            },
            UploadAnswer::Verifying => {
                let asked = match self.stage {
                    Stage::Verifying { asked, .. } => asked.saturating_add(1),
                    _ => 0,
                };
                let session = target.session;
                self.to(
                    Stage::Verifying { target, asked },
                    Effect::Status { session, asked },
                )
            }
            UploadAnswer::Published { image } => {
                let (content, session) = (target.content, target.session);
                let state = if target.sent {
                    State::Published { image, content, session }
                } else {
                    State::Duplicate { image, content, session }
                };
                (state, vec![])
            }
            UploadAnswer::Rejected(rejection) => {
                self.reject(Fault::new(rejection.code, rejection.message))
            }
            UploadAnswer::Aborted => self.renew(
                None,
                Fault::new(
                    UploadCode::GaveUp,
                    "the server gave this upload up again and again; try again later",
                ),
            ),
        }
    }

    /// The answer to an upload that its owner has cancelled.
    fn too_late(self, target: Target, answer: UploadAnswer) -> Next {
        match answer {
            // What is in the gallery is not taken back by cancelling; it can be deleted.
            UploadAnswer::Published { .. } => self.answered(
                Target {
                    sent: true,
                    ..target
                },
                answer,
            ),
            UploadAnswer::Open { .. } | UploadAnswer::Verifying => {
                self.again(Duration::ZERO, changed())
            }
            UploadAnswer::Rejected(_) | UploadAnswer::Aborted => (State::Cancelled, vec![]),
        }
    }

    fn send(self, target: Target, fresh: bool, request: SignedRequest) -> Next {
        let target = Target {
            sent: true,
            ..target
        };
        self.to(
            Stage::Sending { target, fresh },
            Effect::Put(target, request),
        )
    }

    fn judge(self, call: Call, failure: &Failure) -> Next {
        let target = self.stage.target().copied();
        match (classify(call, failure), self.stage) {
            (Verdict::Offline, _) => {
                let waits = self.waits.saturating_add(1);
                let state = State::Waiting {
                    work: Self { waits, ..self },
                    reason: failure.describe(),
                };
                (state, vec![Effect::AwaitServer { waits }])
            }
            (Verdict::Again { at_least }, _) => self.again(at_least, gave_up(failure)),
            (Verdict::Ask, Stage::Aborting(Target { session, .. })) => {
                self.to(self.stage, Effect::Status { session, asked: 0 })
            }
            // Whatever else is said of an upload that its owner does not want: it is gone, or will be swept up.
            (_, Stage::Aborting(_)) => (State::Cancelled, vec![]),
            (
                Verdict::FreshUrl,
                Stage::Sending {
                    target,
                    fresh: false,
                },
            ) => self.to(
                Stage::Opened {
                    target,
                    fresh: true,
                },
                Effect::Sign(target),
            ),
            (Verdict::FreshUrl, _) => {
                self.fail(Fault::new(UploadCode::StoreRefused, failure.describe()))
            }
            (Verdict::AlreadyThere, Stage::Sending { target, .. }) => {
                self.to(Stage::Completing(target), Effect::Complete(target))
            }
            (Verdict::Ask, _) => match target {
                Some(target) => Self {
                    stage: Stage::Verifying { target, asked: 0 },
                    ..self
                }
                .again(Duration::ZERO, gave_up(failure)),
                None => self.fail(gave_up(failure)),
            },
            (Verdict::Reopen | Verdict::AlreadyThere, _) => match target {
                Some(target) => Self {
                    stage: Stage::Hashed(target),
                    ..self
                }
                .again(Duration::ZERO, gave_up(failure)),
                None => self.fail(gave_up(failure)),
            },
            (Verdict::Renew, stage) => {
                // The store only answers so when the bytes were other ones; the id then still stands open.
                let forget = match (call, stage) {
                    (Call::Put, Stage::Sending { target, .. }) => Some(target.session),
                    _ => None,
                };
                self.renew(forget, gave_up(failure))
            }
            (Verdict::Reject(fault), _) => self.reject(fault),
            (Verdict::Fail(fault), _) => self.fail(fault),
        }
    }

    /// One more try after a pause, or the end with `fault` when there were too many.
    fn again(self, at_least: Duration, fault: Fault) -> Next {
        if self.tries >= MAX_TRIES {
            return self.fail(fault);
        }
        let tries = self.tries + 1;
        let state = State::Working(Self { tries, ..self });
        (state, vec![Effect::BackOff { tries, at_least }])
    }

    /// Starts anew under a new id, from summing, or ends with `fault` when that happened too often.
    fn renew(self, forget: Option<UploadId>, fault: Fault) -> Next {
        if self.renewals >= MAX_RENEWALS {
            return self.fail(fault);
        }
        let work = Self {
            stage: Stage::Renewing,
            renewals: self.renewals + 1,
            ..self
        };
        let effects = forget
            .map(Effect::Forget)
            .into_iter()
            .chain([Effect::Renew]);
        (State::Working(work), effects.collect())
    }

    fn reject(self, fault: Fault) -> Next {
        if let Stage::Aborting(_) = self.stage {
            return (State::Cancelled, vec![]);
        }
        let state = State::Rejected {
            fault,
            content: self.stage.target().map(|target| target.content),
            session: self.stage.session(),
        };
        (state, vec![])
    }

    fn fail(self, fault: Fault) -> Next {
        // An upload that its owner does not want is not brought back as a failure: the server sweeps it up.
        if let Stage::Aborting(_) = self.stage {
            return (State::Cancelled, vec![]);
        }
        (State::Failed { fault, work: self }, vec![])
    }
}

fn changed() -> Fault {
    Fault::new(
        UploadCode::FileChanged,
        "the file changed each time it was about to be sent; try again when nothing writes to it any more",
    )
}

fn gave_up(failure: &Failure) -> Fault {
    let message = format!("{}; try again later", failure.describe());
    match failure {
        Failure::Server {
            code: Some(code), ..
        } => Fault::new(*code, message),
        _ => Fault::new(UploadCode::GaveUp, message),
    }
}

#[cfg(test)]
mod tests;
