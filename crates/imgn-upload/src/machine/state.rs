//! Where an upload stands: what is written down, read back and shown.
//!
//! Nothing here happens by itself, and nothing here is a secret: a presigned URL is never part of a state.

use imgn_protocol::{ChecksumAlgorithm, Image, Sha256, UploadId};
use serde::{Deserialize, Serialize};

use crate::Fault;

/// What a file was when it was summed. What differs later may be another file; what does not is taken for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Exact size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970, as the file system tells it.
    pub modified_ns: i64,
    /// When its bytes, name or rights last changed, likewise; no program can set it. 0 where there is none.
    #[serde(default)]
    pub changed_ns: i64,
    /// Its number in the file system; 0 where there is none.
    #[serde(default)]
    pub inode: u64,
}

/// The bytes that are sent, known by their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// SHA-256 of all that is sent.
    pub sha256: Sha256,
    /// What the file was when it was summed.
    pub fingerprint: Fingerprint,
    /// Whether the file says where the picture was taken and what is sent does not.
    #[serde(default)]
    pub location_removed: bool,
    /// Whether the file changed while it was read or sent before, so that the upload started anew with these bytes.
    #[serde(default)]
    pub started_anew: bool,
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

/// How a file is cut into parts: fixed by the server when the upload was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Size of every part but the last, in bytes.
    pub part_size: u64,
    /// How many parts there are.
    pub part_count: u32,
    /// What each part is summed with.
    pub algorithm: ChecksumAlgorithm,
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
    /// Sending the bytes to the store in parts.
    Parts {
        /// What is sent where.
        target: Target,
        /// In which parts.
        plan: Plan,
    },
    /// The file looks touched: summing it again, to see whether its bytes are the same.
    Resumming(Target),
    /// Sent; telling the server.
    Completing(Target),
    /// The server looks at the bytes.
    Verifying {
        /// What was sent where.
        target: Target,
        /// How often it was asked.
        asked: u32,
    },
    /// Taking back what was opened for bytes that the file has no more, to start anew.
    Forgetting(Target),
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
    /// Passing faults met since a part last arrived; bounded by [`crate::retry::MAX_TRIES`].
    pub tries: u32,
    /// How often it waited for the server since bytes last arrived; not bounded.
    pub waits: u32,
    /// How often it started anew; bounded by [`crate::retry::MAX_RENEWALS`].
    pub renewals: u32,
    /// Whether it started anew because its file had changed.
    #[serde(default)]
    pub file_changed: bool,
}

/// What an upload waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingFor {
    /// The server, or its store, cannot be reached.
    #[default]
    Server,
    /// The file was moved or removed.
    File,
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
    /// Being worked at, or about to be.
    Working(Work),
    /// Something that it needs is not there; goes on by itself when it is.
    Waiting {
        /// What goes on.
        work: Work,
        /// What is not there.
        #[serde(default)]
        on: WaitingFor,
        /// What the network or the disk said.
        reason: String,
    },
    /// Its owner holds it back; goes on when told to.
    Paused {
        /// What goes on then.
        work: Work,
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

impl State {
    /// Whether nothing more happens to it, unless somebody wants another try.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Queued { .. } | Self::Working(_) | Self::Waiting { .. } | Self::Paused { .. } => {
                false
            }
            Self::Published { .. }
            | Self::Duplicate { .. }
            | Self::Rejected { .. }
            | Self::Failed { .. }
            | Self::Cancelled => true,
        }
    }

    /// Whether it goes on by itself.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.has_ended() && !matches!(self, Self::Paused { .. })
    }

    /// What is sent, once it was summed.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        match self {
            Self::Published { content, .. } | Self::Duplicate { content, .. } => Some(content),
            Self::Rejected { content, .. } => content.as_ref(),
            Self::Queued { .. } | Self::Cancelled => None,
            Self::Working(_) | Self::Waiting { .. } | Self::Paused { .. } | Self::Failed { .. } => {
                self.target().map(|target| &target.content)
            }
        }
    }

    /// Whether it started anew because its file had changed.
    #[must_use]
    pub fn started_anew(&self) -> bool {
        let begins_anew = self.work().is_some_and(|work| work.file_changed);
        begins_anew || self.content().is_some_and(|content| content.started_anew)
    }

    /// The id on the server, where there is one.
    #[must_use]
    pub fn session(&self) -> Option<UploadId> {
        match self {
            Self::Queued { session }
            | Self::Published { session, .. }
            | Self::Duplicate { session, .. } => Some(*session),
            Self::Rejected { session, .. } => *session,
            Self::Cancelled => None,
            Self::Working(_) | Self::Waiting { .. } | Self::Paused { .. } | Self::Failed { .. } => {
                self.work().and_then(|work| work.stage.session())
            }
        }
    }

    /// Where it is at, while it has not come to its end.
    #[must_use]
    pub fn work(&self) -> Option<&Work> {
        match self {
            Self::Working(work)
            | Self::Waiting { work, .. }
            | Self::Paused { work }
            | Self::Failed { work, .. } => Some(work),
            Self::Queued { .. }
            | Self::Published { .. }
            | Self::Duplicate { .. }
            | Self::Rejected { .. }
            | Self::Cancelled => None,
        }
    }

    /// Whether a program that ends now would lose something if only `written` were in the journal. Where going on from
    /// `written` opens the same session for the same bytes and claims as much, nothing is lost: opening tells the rest.
    #[must_use]
    pub fn adds_to(&self, written: &Self) -> bool {
        match (self.essence(), written.essence()) {
            (Some(new), Some(old)) => {
                // Summing a small file again costs less than a commit.
                let is_cheap = |essence: &Essence| {
                    !essence.aborting
                        && essence.target.is_some_and(|target| {
                            !target.sent && target.content.fingerprint.size < CHEAP_TO_SUM
                        })
                };
                let is_spared = old.session == new.session
                    && old.paused == new.paused
                    && old.waits_for_file == new.waits_for_file
                    && !old.aborting
                    && old.target.is_none()
                    && is_cheap(&new);
                new != old && !is_spared
            }
            _ => self != written,
        }
    }

    /// Whether its owner does not want it, and the server has not been told so yet.
    pub(crate) fn is_taken_back(&self) -> bool {
        self.work()
            .is_some_and(|work| matches!(work.stage, Stage::Aborting(_)))
    }

    fn target(&self) -> Option<&Target> {
        self.work().and_then(|work| work.stage.target())
    }

    fn essence(&self) -> Option<Essence> {
        if self.has_ended() {
            return None;
        }
        Some(Essence {
            session: self.session(),
            target: self.target().copied(),
            aborting: self.is_taken_back(),
            paused: matches!(self, Self::Paused { .. }),
            waits_for_file: matches!(
                self,
                Self::Waiting {
                    on: WaitingFor::File,
                    ..
                }
            ),
        })
    }
}

/// Files below this size, in bytes, are not written down as summed.
const CHEAP_TO_SUM: u64 = 4 << 20;

/// What opening again cannot tell.
#[derive(PartialEq)]
struct Essence {
    session: Option<UploadId>,
    target: Option<Target>,
    aborting: bool,
    paused: bool,
    /// So that others know why it stands still.
    waits_for_file: bool,
}

impl Stage {
    pub(crate) fn target(&self) -> Option<&Target> {
        match self {
            Self::Summing { .. } | Self::Renewing => None,
            Self::Hashed(target)
            | Self::Opened { target, .. }
            | Self::Sending { target, .. }
            | Self::Parts { target, .. }
            | Self::Resumming(target)
            | Self::Completing(target)
            | Self::Verifying { target, .. }
            | Self::Forgetting(target)
            | Self::Aborting(target) => Some(target),
        }
    }

    pub(super) fn session(&self) -> Option<UploadId> {
        match self {
            Self::Summing { session } => Some(*session),
            stage => stage.target().map(|target| target.session),
        }
    }
}

impl Work {
    /// As it stands while nothing keeps it from being worked at and it waits for its turn.
    #[must_use]
    pub fn in_turn(&self) -> State {
        match self.stage {
            Stage::Summing { session } if *self == Self::at(self.stage) => {
                State::Queued { session }
            }
            _ => State::Working(*self),
        }
    }

    /// Work at `stage` with all its patience.
    #[must_use]
    pub fn at(stage: Stage) -> Self {
        Self {
            stage,
            tries: 0,
            waits: 0,
            renewals: 0,
            file_changed: false,
        }
    }
}

impl Plan {
    /// Where a part lies in the file: offset and length in bytes.
    #[must_use]
    pub fn range(&self, number: u32, size: u64) -> (u64, u64) {
        let offset = u64::from(number.saturating_sub(1)).saturating_mul(self.part_size);
        let offset = offset.min(size);
        (offset, self.part_size.min(size - offset))
    }

    /// Whether the parts are those of a file of `size` bytes, within what S3 takes.
    #[must_use]
    pub fn fits(&self, size: u64) -> bool {
        self.part_size > 0
            && (1..=MAX_PARTS).contains(&self.part_count)
            && size.div_ceil(self.part_size) == u64::from(self.part_count)
    }
}

/// S3 numbers parts from 1 to 10,000.
const MAX_PARTS: u32 = 10_000;
