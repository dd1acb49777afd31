//! One upload as a pure machine: what follows from what happens.
//!
//! It knows no clock, no network, no file and no SQL: [`step`] takes a state and an event and gives the next state and
//! the effect that somebody else performs, if there is one. It answers with one event, so an upload does one thing at a
//! time.
//!
//! Invariants:
//! - A state that is written down and read back says all that is needed to go on: [`Event::Go`] in any active state
//!   gives the effect that brings it further. Every effect can be repeated.
//! - A presigned URL is never part of a state, only of the effect that uses it at once.
//! - Bytes are sent only after the server answered an opening: its list of parts is the truth, whatever is remembered.
//! - An ended upload stays as it ended, but for [`Event::Retry`].

mod event;
mod state;

use std::time::Duration;

use imgn_protocol::{CompletedPart, Mode, Part, SignedRequest, UploadAnswer};

use crate::{
    Fault, FaultCode, UploadCode,
    retry::{Call, Failure, MAX_RENEWALS, MAX_TRIES, Verdict, classify},
};

pub use event::{Effect, Event};
pub use state::{Content, Fingerprint, Plan, Stage, State, Target, WaitingFor, Work};

/// What follows when `event` happens in `state`. An event that the state has no use for, such as an answer that comes
/// after the end, changes nothing.
#[must_use]
pub fn step(state: State, event: Event) -> (State, Option<Effect>) {
    match (state, event) {
        (State::Queued { session }, Event::Go) => Work::at(Stage::Summing { session }).go(),
        (State::Queued { .. }, Event::Cancel) => (State::Cancelled, None),
        (State::Queued { session }, Event::Pause) => {
            let work = Work::at(Stage::Summing { session });
            (State::Paused { work }, None)
        }
        (State::Queued { session }, Event::Hold(reason)) => {
            Work::at(Stage::Summing { session }).hold(reason)
        }
        (State::Working(work), Event::Hold(reason)) => work.hold(reason),
        (State::Working(work) | State::Waiting { work, .. }, Event::Go | Event::Resume) => {
            work.go()
        }
        // Wanted after all: it starts anew once what there is of it is taken back.
        (
            State::Working(Work {
                stage: Stage::Aborting(target),
                ..
            })
            | State::Waiting {
                work:
                    Work {
                        stage: Stage::Aborting(target),
                        ..
                    },
                ..
            },
            Event::Retry,
        ) => Work::at(Stage::Forgetting(target)).go(),
        (State::Waiting { work, .. }, Event::Retry) => work.go(),
        (
            State::Working(work)
            | State::Waiting { work, .. }
            | State::Paused { work }
            | State::Failed { work, .. },
            Event::Cancel,
        ) => work.cancel(),
        (State::Working(work) | State::Waiting { work, .. }, Event::Pause) => work.pause(),
        (State::Paused { work }, Event::Resume | Event::Retry) => (work.in_turn(), None),
        (State::Working(work), event) => work.meet(event),
        (State::Failed { work, .. }, Event::Retry) => Work::at(work.stage).go(),
        (State::Rejected { .. } | State::Cancelled, Event::Retry) => Work::at(Stage::Renewing).go(),
        (state, _) => (state, None),
    }
}

/// An upload that was asked about so often takes long to verify: minutes, as the delays are.
const LONG: u32 = 16;

type Next = (State, Option<Effect>);

impl Work {
    /// The same upload at another stage, and what is done there.
    fn to(self, stage: Stage, effect: Effect) -> Next {
        (State::Working(Self { stage, ..self }), Some(effect))
    }

    /// Takes the work up where it stands. Where bytes were about to be sent, opening again answers both whether they
    /// are still wanted and where to send them.
    fn go(self) -> Next {
        match self.stage {
            Stage::Summing { .. } => self.to(self.stage, Effect::Sum),
            Stage::Hashed(target)
            | Stage::Opened { target, .. }
            | Stage::Sending { target, .. }
            | Stage::Parts { target, .. }
            // Only the opening tells which parts there are to complete.
            | Stage::Completing(target) => self.to(Stage::Hashed(target), Effect::Open(target)),
            Stage::Resumming(_) => self.to(self.stage, Effect::Sum),
            Stage::Verifying { target, asked } => self.to(
                self.stage,
                Effect::Status { target, asked },
            ),
            Stage::Forgetting(target) | Stage::Aborting(target) => {
                self.to(self.stage, Effect::Abort(target.session))
            }
            Stage::Renewing => self.to(self.stage, Effect::Renew),
        }
    }

    fn cancel(self) -> Next {
        match self.stage.target() {
            Some(&target) => self.to(Stage::Aborting(target), Effect::Abort(target.session)),
            None => (State::Cancelled, None),
        }
    }

    /// An upload that its owner does not want is not held back.
    fn pause(self) -> Next {
        match self.stage {
            Stage::Aborting(_) => self.go(),
            _ => (State::Paused { work: self }, None),
        }
    }

    fn hold(self, reason: String) -> Next {
        let on = WaitingFor::Server;
        (
            State::Waiting {
                work: self,
                on,
                reason,
            },
            None,
        )
    }

    fn meet(self, event: Event) -> Next {
        match (self.stage, event) {
            (Stage::Summing { session }, Event::Summed(content)) => {
                let target = Target {
                    session,
                    content: Content {
                        started_anew: self.file_changed,
                        ..content
                    },
                    sent: false,
                };
                self.to(Stage::Hashed(target), Effect::Open(target))
            }
            (Stage::Resumming(target), Event::Summed(content)) => {
                if content.sha256 != target.content.sha256 {
                    return self.renew(Some(target), changed());
                }
                let content = Content {
                    started_anew: self.file_changed,
                    ..content
                };
                let target = Target { content, ..target };
                self.to(Stage::Hashed(target), Effect::Open(target))
            }
            (Stage::Summing { .. }, Event::Changed) => self.renew(None, changed()),
            (
                Stage::Sending { target, .. }
                | Stage::Parts { target, .. }
                | Stage::Resumming(target),
                Event::Changed,
            ) => self.renew(Some(target), changed()),
            (Stage::Sending { target, .. } | Stage::Parts { target, .. }, Event::Touched) => {
                self.resum(target)
            }
            (
                Stage::Summing { .. }
                | Stage::Resumming(_)
                | Stage::Sending { .. }
                | Stage::Parts { .. },
                Event::Unreadable(fault),
            ) => self.unreadable(fault),
            (Stage::Renewing, Event::Renewed(session)) => {
                self.to(Stage::Summing { session }, Effect::Sum)
            }
            (Stage::Opened { target, fresh }, Event::Signed(request)) => {
                self.send(target, fresh, request)
            }
            (Stage::Sending { target, .. }, Event::Sent) => {
                Self { waits: 0, ..self }.complete(target, vec![])
            }
            (Stage::Parts { target, .. }, Event::PartsSent(parts)) => {
                Self { waits: 0, ..self }.complete(target, parts)
            }
            (
                Stage::Parts { .. },
                Event::Halted {
                    moved,
                    call,
                    failure,
                },
            ) => {
                let work = if moved {
                    Self {
                        tries: 0,
                        waits: 0,
                        ..self
                    }
                } else {
                    self
                };
                work.judge(call, &failure)
            }
            (Stage::Forgetting(_), Event::Aborted) => self.to(Stage::Renewing, Effect::Renew),
            (Stage::Aborting(_), Event::Aborted) => (State::Cancelled, None),
            (Stage::Aborting(target), Event::Answered(answer)) => self.too_late(target, answer),
            (
                Stage::Hashed(target) | Stage::Completing(target) | Stage::Verifying { target, .. },
                Event::Answered(answer),
            ) => self.answered(target, answer),
            (_, Event::Failed(call, failure)) => self.judge(call, &failure),
            (_, _) => (State::Working(self), None),
        }
    }

    fn answered(self, target: Target, answer: UploadAnswer) -> Next {
        match answer {
            UploadAnswer::Open {
                mode,
                part_size,
                part_count,
                checksum_algorithm: algorithm,
                parts,
                signed,
                ..
            } => match (self.stage, mode) {
                (Stage::Hashed(_), Mode::Multipart) => {
                    let plan = Plan {
                        part_size,
                        part_count,
                        algorithm,
                    };
                    self.send_parts(target, plan, parts)
                }
                (Stage::Hashed(_), Mode::Single) => {
                    let size = target.content.fingerprint.size;
                    if parts.iter().any(|part| part.size == size) {
                        let target = Target {
                            sent: true,
                            ..target
                        };
                        return self.complete(target, vec![]);
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
                    Fault::new(
                        UploadCode::GaveUp,
                        "the server lost the bytes again and again",
                    ),
                ),
            },
            UploadAnswer::Verifying => {
                let asked = match self.stage {
                    Stage::Verifying { asked, .. } => asked.saturating_add(1),
                    _ => 0,
                };
                // Where it takes long, what broke long ago does not count any more.
                let tries = if asked < LONG { self.tries } else { 0 };
                Self { tries, ..self }.to(
                    Stage::Verifying { target, asked },
                    Effect::Status { target, asked },
                )
            }
            UploadAnswer::Published { image } => {
                let (content, session) = (target.content, target.session);
                let state = if target.sent {
                    State::Published {
                        image,
                        content,
                        session,
                    }
                } else {
                    State::Duplicate {
                        image,
                        content,
                        session,
                    }
                };
                (state, None)
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
            UploadAnswer::Rejected(_) | UploadAnswer::Aborted => (State::Cancelled, None),
        }
    }

    fn send_parts(self, target: Target, plan: Plan, stored: Vec<Part>) -> Next {
        if !plan.fits(target.content.fingerprint.size) {
            return self.fail(Fault::new(
                UploadCode::UnexpectedAnswer,
                "the server cuts this file into parts that are not its own; is it an imgn server of this version?",
            ));
        }
        let target = Target {
            sent: true,
            ..target
        };
        self.to(
            Stage::Parts { target, plan },
            Effect::SendParts {
                target,
                plan,
                stored,
            },
        )
    }

    fn complete(self, target: Target, parts: Vec<CompletedPart>) -> Next {
        self.to(Stage::Completing(target), Effect::Complete(target, parts))
    }

    /// Sums the file again: it may have its bytes still. A file that is written to again and again is not waited for.
    fn resum(self, target: Target) -> Next {
        if self.tries >= MAX_TRIES {
            return self.fail(changed());
        }
        let work = Self {
            tries: self.tries + 1,
            ..self
        };
        work.to(Stage::Resumming(target), Effect::Sum)
    }

    /// A file that is not there may come back; one that cannot be read is told.
    fn unreadable(self, fault: Fault) -> Next {
        if fault.code != FaultCode::Client(UploadCode::FileMissing) {
            return (State::Failed { fault, work: self }, None);
        }
        let state = State::Waiting {
            work: self,
            on: WaitingFor::File,
            reason: fault.message,
        };
        (state, Some(Effect::AwaitFile))
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
            (Verdict::Offline, _) => self.wait(call, failure),
            // What cannot be taken back, the server sweeps up after a day.
            (verdict, Stage::Forgetting(_))
                if self.tries >= MAX_TRIES || !matches!(verdict, Verdict::Again { .. }) =>
            {
                self.to(Stage::Renewing, Effect::Renew)
            }
            // The server is behind a gateway that finds nobody: it is away for longer than a restart takes.
            (Verdict::Again { .. }, _) if self.tries >= MAX_TRIES && failure.is_outage() => {
                Self { tries: 0, ..self }.wait(call, failure)
            }
            (Verdict::Again { at_least }, _) => self.again(at_least, gave_up(failure)),
            (Verdict::Ask, Stage::Aborting(target)) => {
                self.to(self.stage, Effect::Status { target, asked: 0 })
            }
            // Whatever else is said of an upload that its owner does not want: it is gone, or will be swept up.
            (_, Stage::Aborting(_)) => (State::Cancelled, None),
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
            (Verdict::AlreadyThere, Stage::Sending { target, .. }) => self.complete(target, vec![]),
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
            // The bytes of a part were other ones than its sum says: the line's fault, or the file's.
            (Verdict::Renew, Stage::Parts { target, .. }) if call == Call::Put => Self {
                stage: Stage::Resumming(target),
                ..self
            }
            .again(Duration::ZERO, gave_up(failure)),
            (Verdict::Renew, stage) => {
                // The id still stands open: the store only answers so when the bytes were other ones, and the server
                // only when they are not those that it was opened for.
                let forget = match (call, stage) {
                    (Call::Put, Stage::Sending { target, .. })
                    | (Call::Open, Stage::Hashed(target)) => Some(target),
                    _ => None,
                };
                self.renew(forget, gave_up(failure))
            }
            (Verdict::Reject(fault), _) => self.reject(fault),
            (Verdict::Fail(fault), _) => self.fail(fault),
        }
    }

    /// Waits until the server is there again, however long that takes.
    fn wait(self, call: Call, failure: &Failure) -> Next {
        let waits = self.waits.saturating_add(1);
        let state = State::Waiting {
            work: Self { waits, ..self },
            on: WaitingFor::Server,
            reason: failure.describe(),
        };
        let is_store = call == Call::Put;
        (state, Some(Effect::AwaitServer { is_store }))
    }

    /// One more try after a pause, or the end with `fault` when there were too many.
    fn again(self, at_least: Duration, fault: Fault) -> Next {
        if self.tries >= MAX_TRIES {
            return self.fail(fault);
        }
        let tries = self.tries + 1;
        let state = State::Working(Self { tries, ..self });
        (state, Some(Effect::BackOff { tries, at_least }))
    }

    /// Starts anew under a new id, from summing, or ends with `fault` when that happened too often. What was opened for
    /// other bytes is taken back first.
    fn renew(self, opened: Option<Target>, fault: Fault) -> Next {
        if self.renewals >= MAX_RENEWALS {
            return self.fail(fault);
        }
        let is_changed = fault.code == FaultCode::Client(UploadCode::FileChanged);
        let work = Self {
            renewals: self.renewals + 1,
            file_changed: self.file_changed || is_changed,
            ..self
        };
        match opened {
            Some(target) => work.to(Stage::Forgetting(target), Effect::Abort(target.session)),
            None => work.to(Stage::Renewing, Effect::Renew),
        }
    }

    fn reject(self, fault: Fault) -> Next {
        if let Stage::Aborting(_) = self.stage {
            return (State::Cancelled, None);
        }
        let state = State::Rejected {
            fault,
            content: self.stage.target().map(|target| target.content),
            session: self.stage.session(),
        };
        (state, None)
    }

    fn fail(self, fault: Fault) -> Next {
        // An upload that its owner does not want is not brought back as a failure: the server sweeps it up.
        if let Stage::Aborting(_) = self.stage {
            return (State::Cancelled, None);
        }
        (State::Failed { fault, work: self }, None)
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
        Failure::Garbled { .. } => {
            let what = failure.describe();
            let message = format!("{what}; is this address an imgn server?");
            Fault::new(UploadCode::UnexpectedAnswer, message)
        }
        Failure::Server {
            code: Some(code), ..
        } => Fault::new(*code, message),
        _ => Fault::new(UploadCode::GaveUp, message),
    }
}

#[cfg(test)]
mod tests;
