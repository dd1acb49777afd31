//! Which uploads belong together: those that one act took in. When the last of them has ended, their links are given out
//! together, in the order in which they were named.
//!
//! Pure: it is told what happened and answers what has ended. Invariant: a batch ends once, and not before everything
//! that belongs to it is known.

use std::collections::{HashMap, hash_map::Entry};

use imgn_core::{
    Batch, UploadState, UploadView, ViewError,
    protocol::{ErrorCode, Image, ImageId, UploadId},
};

/// Whether links are on the clipboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// They are.
    Yes,
    /// Nobody wanted it.
    No,
    /// They should be and are not, for this reason.
    Failed(String),
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Which.
    pub batch: Batch,
    /// The pictures that are in the gallery now, in the order of taking in.
    pub images: Vec<Image>,
    /// Those of them that were not there before.
    pub new: Vec<ImageId>,
    /// What did not get there.
    pub failed: Vec<Failure>,
}

/// A file that did not get into the gallery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it is called.
    pub file_name: String,
    /// Why it did not.
    pub error: Option<ViewError>,
}

/// All batches that have not ended.
#[derive(Debug, Default)]
pub struct Batches {
    open: Vec<Open>,
    /// Where each upload belongs that has not been given out.
    members: HashMap<UploadId, Batch>,
    /// Whether one has come to want a token since that was last asked.
    wants_token: bool,
}

#[derive(Debug)]
struct Open {
    batch: Batch,
    uploads: Vec<UploadId>,
    /// What is known of those that have ended.
    ended: HashMap<UploadId, Outcome>,
    /// Nothing more comes into it.
    is_whole: bool,
    /// Whether one of its uploads wanted a token: that is told once for all of them.
    wanted_token: bool,
}

#[derive(Debug)]
enum Outcome {
    Published(Box<Image>),
    Duplicate(Box<Image>),
    Failed(Failure),
    Cancelled,
}

impl Batches {
    /// Begins a batch that is empty yet, unless it is there.
    pub fn begin(&mut self, batch: Batch) {
        if self.open(batch).is_none() {
            self.open.push(Open {
                batch,
                uploads: Vec::new(),
                ended: HashMap::new(),
                is_whole: false,
                wanted_token: false,
            });
        }
    }

    /// More uploads of a batch. What belongs to one stays there.
    pub fn add(&mut self, batch: Batch, uploads: impl IntoIterator<Item = UploadId>) {
        let Some(open) = self.open.iter_mut().find(|open| open.batch == batch) else {
            return;
        };
        for upload in uploads {
            if let Entry::Vacant(place) = self.members.entry(upload) {
                place.insert(batch);
                open.uploads.push(upload);
            }
        }
    }

    /// Whether it belongs to one that has not ended.
    #[must_use]
    pub fn has(&self, upload: UploadId) -> bool {
        self.members.contains_key(&upload)
    }

    fn open(&mut self, batch: Batch) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.batch == batch)
    }

    /// Nothing more comes into it. `uploads` are all as they stand: what ended before it was added was told to nobody
    /// who knew it.
    pub fn close(&mut self, batch: Batch, uploads: &[UploadView]) -> Vec<Ended> {
        if let Some(open) = self.open(batch) {
            open.is_whole = true;
        }
        self.update(uploads)
    }

    /// Uploads changed.
    pub fn update(&mut self, uploads: &[UploadView]) -> Vec<Ended> {
        for view in uploads {
            let Ok(id) = view.id.parse::<UploadId>() else {
                continue;
            };
            let Some(owner) = self.members.get(&id).copied() else {
                continue;
            };
            let Some(open) = self.open(owner) else {
                continue;
            };
            let is_first = wants_token(view) && !std::mem::replace(&mut open.wanted_token, true);
            match outcome(view) {
                Some(outcome) => open.ended.insert(id, outcome),
                // What has failed may be tried again.
                None => open.ended.remove(&id),
            };
            self.wants_token |= is_first;
        }
        let mut ended = Vec::new();
        self.open.retain_mut(|batch| {
            let has_ended = batch.is_whole && batch.ended.len() >= batch.uploads.len();
            if has_ended {
                for upload in &batch.uploads {
                    self.members.remove(upload);
                }
                ended.push(batch.take());
            }
            !has_ended
        });
        ended
    }

    /// These are tried again: should they want a token still, that is told once more.
    pub fn try_again(&mut self, uploads: &[UploadId]) {
        for upload in uploads {
            if let Some(batch) = self.members.get(upload).copied()
                && let Some(open) = self.open(batch)
            {
                open.wanted_token = false;
            }
        }
    }

    /// Whether an upload wants a token: of each batch the first that does is told, once.
    pub fn take_wants_token(&mut self) -> bool {
        std::mem::take(&mut self.wants_token)
    }

    /// The gallery is another one: nothing is told of its uploads any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether all have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Open {
    fn take(&mut self) -> Ended {
        let mut ended = Ended {
            batch: self.batch,
            images: Vec::new(),
            new: Vec::new(),
            failed: Vec::new(),
        };
        for id in &self.uploads {
            match self.ended.remove(id) {
                Some(Outcome::Published(image)) => {
                    ended.new.push(image.id);
                    ended.images.push(*image);
                }
                Some(Outcome::Duplicate(image)) => ended.images.push(*image),
                Some(Outcome::Failed(failure)) => ended.failed.push(failure),
                Some(Outcome::Cancelled) | None => {}
            }
        }
        ended
    }
}

/// Whether it failed because the gallery takes it only with a token, or with another one.
pub(crate) fn wants_token(view: &UploadView) -> bool {
    let is_it = |error: &ViewError| error.code == ErrorCode::Unauthorized.into();
    view.state == UploadState::Failed && view.error.as_ref().is_some_and(is_it)
}

fn outcome(view: &UploadView) -> Option<Outcome> {
    let failed = || {
        Outcome::Failed(Failure {
            file_name: view.file_name.clone(),
            error: view.error.clone(),
        })
    };
    Some(match (view.state, &view.image) {
        (UploadState::Published, Some(image)) => Outcome::Published(image.clone()),
        (UploadState::Duplicate, Some(image)) => Outcome::Duplicate(image.clone()),
        (UploadState::Cancelled, _) => Outcome::Cancelled,
        (UploadState::Published | UploadState::Duplicate, None)
        | (UploadState::Rejected | UploadState::Failed, _) => failed(),
        (
            UploadState::Queued
            | UploadState::Hashing
            | UploadState::Uploading
            | UploadState::Verifying
            | UploadState::Waiting
            | UploadState::Paused,
            _,
        ) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use imgn_core::Origin;

    use crate::testing::view;

    fn begun(batches: &mut Batches, origin: Origin) -> Batch {
        let batch = Batch::new(origin);
        batches.begin(batch);
        batch
    }

    #[test]
    fn a_batch_waits_for_what_is_tried_again() {
        let mut batches = Batches::default();
        let batch = begun(&mut batches, Origin::Person);
        let [a, b] = std::array::from_fn(|_| UploadId::new());
        batches.add(batch, [a, b]);
        assert!(
            batches
                .close(batch, &[view(a, UploadState::Failed)])
                .is_empty()
        );
        let again = [
            view(a, UploadState::Queued),
            view(b, UploadState::Published),
        ];
        assert!(batches.update(&again).is_empty());
        let ended = batches.update(&[view(a, UploadState::Published)]);
        assert_eq!((ended[0].images.len(), ended[0].failed.len()), (2, 0));
    }

    #[test]
    fn a_token_that_is_wanted_is_told_of_once_for_each_batch() {
        let mut batches = Batches::default();
        let ids = [UploadId::new(), UploadId::new(), UploadId::new()];
        let unsigned = ids.map(|id| UploadView {
            error: Some(ViewError {
                code: ErrorCode::Unauthorized.into(),
                message: String::new(),
            }),
            ..view(id, UploadState::Failed)
        });
        let first = begun(&mut batches, Origin::Person);
        batches.add(first, [ids[0], ids[1]]);
        batches.update(&[view(ids[0], UploadState::Failed)]);
        assert!(!batches.take_wants_token(), "for another reason");
        batches.update(&unsigned[..1]);
        assert!(batches.take_wants_token());
        assert!(!batches.take_wants_token());
        batches.update(&unsigned[..2]);
        assert!(!batches.take_wants_token(), "it was said");
        batches.try_again(&ids[..1]);
        batches.update(&[view(ids[0], UploadState::Queued)]);
        batches.update(&unsigned[..1]);
        assert!(batches.take_wants_token(), "it was asked for again");
        let second = begun(&mut batches, Origin::Program);
        batches.add(second, [ids[2]]);
        batches.update(&unsigned);
        assert!(batches.take_wants_token());
    }

    #[test]
    fn what_is_taken_over_twice_is_told_once() {
        let mut batches = Batches::default();
        let batch = begun(&mut batches, Origin::Person);
        let [a, b] = std::array::from_fn(|_| UploadId::new());
        batches.add(batch, [a]);
        assert!(batches.close(batch, &[]).is_empty());
        batches.begin(batch);
        batches.add(batch, [a, b]);
        let now = [a, b].map(|id| view(id, UploadState::Published));
        assert_eq!(batches.close(batch, &now)[0].images.len(), 2);
        assert!(batches.is_empty());
    }

    #[test]
    fn a_batch_ends_once_with_its_pictures_in_the_order_of_taking_in() {
        let mut batches = Batches::default();
        let batch = begun(&mut batches, Origin::Person);
        let [a, b, c, d] = std::array::from_fn(|_| UploadId::new());
        batches.add(batch, [a, b]);
        batches.add(batch, [c, d]);
        // Nothing is told before everything that belongs to it is known.
        let all = [c, b, a].map(|id| view(id, UploadState::Published));
        assert!(batches.update(&all).is_empty());
        assert!(batches.update(&[view(d, UploadState::Failed)]).is_empty());
        let ended = batches.close(batch, &[]);
        let names: Vec<_> = ended[0]
            .images
            .iter()
            .map(|it| it.file_name.to_string())
            .collect();
        assert_eq!(names, [a, b, c].map(|id| format!("{id}.png")));
        assert_eq!(ended[0].failed[0].file_name, format!("{d}.png"));
        assert!(
            batches
                .update(&[view(d, UploadState::Published)])
                .is_empty()
        );
        assert!(batches.is_empty());
    }

    #[test]
    fn what_ended_before_it_was_known_counts() {
        let mut batches = Batches::default();
        let (first, second) = (
            begun(&mut batches, Origin::Person),
            begun(&mut batches, Origin::Program),
        );
        let [a, b, c] = std::array::from_fn(|_| UploadId::new());
        batches.add(first, [a]);
        batches.add(second, [b, c]);
        assert!(
            batches
                .close(second, &[view(b, UploadState::Duplicate)])
                .is_empty()
        );
        let now = [
            view(a, UploadState::Published),
            view(c, UploadState::Cancelled),
        ];
        let ended = batches.close(first, &now);
        assert_eq!(ended.len(), 2);
        assert_eq!((ended[1].images.len(), ended[1].new.len()), (1, 0));
        assert_eq!(ended[1].batch.origin, Origin::Program);
        assert!(ended[1].failed.is_empty(), "who cancels knows it");
    }

    #[test]
    fn an_empty_batch_ends_and_one_of_another_gallery_does_not() {
        let mut batches = Batches::default();
        let batch = begun(&mut batches, Origin::Person);
        assert_eq!(batches.close(batch, &[]).len(), 1);
        let left = begun(&mut batches, Origin::Person);
        let upload = UploadId::new();
        batches.add(left, [upload]);
        batches.clear();
        assert!(
            batches
                .close(left, &[view(upload, UploadState::Published)])
                .is_empty()
        );
    }
}
