//! What the tray tells of uploads, kept as they change.
//!
//! Pure. Invariant: how far all is, is counted since there was last nothing to do.

use std::collections::{HashMap, VecDeque};

use imgn_core::{
    Code, UploadCode, UploadState, UploadView,
    protocol::{ImageId, UploadId},
};

use crate::tray::{Progress, RECENT, Recent};

/// Uploads on their way, and the pictures that came last.
#[derive(Debug, Default)]
pub(crate) struct Live {
    active: HashMap<UploadId, Active>,
    done: u64,
    done_bytes: u64,
    recent: VecDeque<Recent>,
}

#[derive(Debug)]
struct Active {
    is_paused: bool,
    waits_for_file: bool,
    sent: u64,
    size: u64,
}

impl Live {
    /// All uploads of a gallery, in the order of queueing.
    pub(crate) fn of(uploads: &[UploadView]) -> Self {
        let mut live = Self::default();
        live.update(uploads);
        (live.done, live.done_bytes) = (0, 0);
        live
    }

    /// These changed.
    pub(crate) fn update(&mut self, uploads: &[UploadView]) {
        for view in uploads {
            let Ok(id) = view.id.parse::<UploadId>() else {
                continue;
            };
            if !view.state.has_ended() {
                let active = Active {
                    is_paused: view.state == UploadState::Paused,
                    waits_for_file: waits_for_file(view),
                    sent: view.sent_bytes,
                    size: view.size.unwrap_or_default().max(view.sent_bytes),
                };
                self.active.insert(id, active);
                continue;
            }
            if let Some(active) = self.active.remove(&id) {
                self.done += 1;
                self.done_bytes += active.size;
            }
            let is_there = matches!(view.state, UploadState::Published | UploadState::Duplicate);
            if let Some(image) = view.image.as_ref().filter(|_| is_there) {
                self.recent.retain(|recent| recent.id != image.id);
                self.recent.push_front(Recent {
                    id: image.id,
                    sequence: image.sequence,
                    name: view.file_name.clone(),
                });
                self.recent.truncate(RECENT);
            }
        }
        if self.active.values().all(|it| it.waits_for_file) {
            (self.done, self.done_bytes) = (0, 0);
        }
    }

    /// These were uploaded last, the newest first, whatever is known of them otherwise.
    pub(crate) fn recall(&mut self, recent: Vec<Recent>) {
        self.recent = recent.into();
    }

    /// These pictures are in the gallery no more.
    pub(crate) fn forget(&mut self, images: &[ImageId]) {
        self.recent.retain(|recent| !images.contains(&recent.id));
    }

    pub(crate) fn progress(&self) -> Progress {
        let count =
            |is: fn(&Active) -> bool| self.active.values().filter(|it| is(it)).count() as u64;
        let (paused, without_file) = (count(|it| it.is_paused), count(|it| it.waits_for_file));
        let total = self.active.len() as u64;
        // What cannot go on does not keep the rest from being complete.
        let there = || self.active.values().filter(|it| !it.waits_for_file);
        let sum = |of: fn(&Active) -> u64| self.done_bytes + there().map(of).sum::<u64>();
        let (sent, size) = (sum(|it| it.sent), sum(|it| it.size));
        Progress {
            running: total - paused - without_file,
            paused,
            without_file,
            done: self.done,
            total: self.done + total,
            percent: (sent * 100).checked_div(size).unwrap_or_default(),
        }
    }

    pub(crate) fn recent(&self) -> Vec<Recent> {
        self.recent.iter().cloned().collect()
    }
}

fn waits_for_file(view: &UploadView) -> bool {
    let code = view.error.as_ref().map(|error| error.code);
    view.state == UploadState::Waiting && code == Some(Code::Upload(UploadCode::FileMissing))
}

#[cfg(test)]
mod tests {
    use imgn_core::ViewError;

    use super::*;
    use crate::testing;

    fn view(id: UploadId, state: UploadState, sent: u64) -> UploadView {
        UploadView {
            sent_bytes: sent,
            size: Some(100),
            ..testing::view(id, state)
        }
    }

    #[test]
    fn progress_is_counted_since_there_was_nothing_to_do() {
        let [a, b, c] = std::array::from_fn(|_| UploadId::new());
        let mut live = Live::of(&[view(a, UploadState::Published, 100)]);
        assert_eq!(live.progress(), Progress::default());
        live.update(&[
            view(b, UploadState::Uploading, 50),
            view(c, UploadState::Paused, 0),
        ]);
        let expected = Progress {
            running: 1,
            paused: 1,
            without_file: 0,
            done: 0,
            total: 2,
            percent: 25,
        };
        assert_eq!(live.progress(), expected);
        live.update(&[view(b, UploadState::Published, 100)]);
        let progress = live.progress();
        assert_eq!(
            (progress.done, progress.total, progress.percent),
            (1, 2, 50)
        );
        let mut lost = view(c, UploadState::Waiting, 0);
        lost.error = Some(ViewError {
            code: UploadCode::FileMissing.into(),
            message: String::new(),
        });
        live.update(&[lost]);
        let progress = live.progress();
        assert_eq!(
            (progress.running, progress.without_file, progress.done),
            (0, 1, 0)
        );
        live.update(&[view(c, UploadState::Cancelled, 0)]);
        assert_eq!(live.progress(), Progress::default());
        // The last published is first, and what was cancelled is not there.
        let names: Vec<_> = live.recent().into_iter().map(|it| it.name).collect();
        assert_eq!(names, [format!("{b}.png"), format!("{a}.png")]);
    }
}
