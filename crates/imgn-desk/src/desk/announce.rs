//! What is said of an upload that has ended where no window is looked at, and what can be done about it then.
//!
//! Invariant: only pictures that this upload put into the gallery are taken back, and only within the time that was chosen.

use std::{
    collections::VecDeque,
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use imgn_core::{
    DeletionView,
    protocol::{ImageId, THUMBNAIL_SIZES},
};
use tempfile::TempPath;

use super::{Desk, News, locked};
use crate::{
    Ended,
    notify::{Notice, NoticeId, Response},
    tray::TrayAction,
};

/// So many notifications can still be answered.
const REMEMBERED: usize = 20;

/// What notifications are about.
#[derive(Default)]
pub(super) struct Announced {
    shown: VecDeque<(NoticeId, About)>,
}

/// Whether somebody listens to what people do with notifications.
#[derive(Default)]
pub(super) struct Listening(AtomicBool);

struct About {
    links: String,
    count: usize,
    /// What can be taken back.
    new: Vec<ImageId>,
    until: Instant,
    /// The server of notifications reads it for as long as it shows it.
    _picture: Option<TempPath>,
}

impl Desk {
    /// Says what became of an upload.
    pub(super) async fn announce(&self, ended: Ended, links: String, is_copied: bool) {
        let settings = self.settings();
        if !settings.notify || (ended.images.is_empty() && ended.failed.is_empty()) {
            return;
        }
        let words = self.0.tray.borrow().language;
        let undo = Duration::from_secs(settings.undo_seconds.into());
        let mut actions = vec![("default", words.open_gallery())];
        if !ended.new.is_empty() && !undo.is_zero() {
            actions.push(("undo", words.undo()));
        }
        if !ended.images.is_empty() {
            actions.push(("copy", words.copy_again()));
        }
        let picture = match ended.images.first() {
            Some(image) => self.picture_of(image.id).await,
            None => None,
        };
        let count = ended.images.len();
        let notice = Notice {
            summary: &words.ended(count, is_copied),
            body: &words.named(&ended),
            picture: picture.as_deref(),
            actions: &actions,
        };
        let Some(id) = self.0.notifier.show(notice).await else {
            return;
        };
        let about = About {
            links,
            count,
            new: ended.new,
            until: Instant::now() + undo,
            _picture: picture,
        };
        let can_undo = actions.iter().any(|(name, _)| *name == "undo");
        let mut announced = locked(&self.0.announced);
        announced.shown.push_back((id, about));
        while announced.shown.len() > REMEMBERED {
            announced.shown.pop_front();
        }
        drop(announced);
        self.listen();
        if can_undo {
            let desk = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(undo).await;
                // What can be pressed does something.
                desk.0.notifier.close(id).await;
            });
        }
    }

    /// Says something that needs no answer; whether anybody shows it.
    pub(super) async fn say(&self, text: &str) -> bool {
        let notice = Notice {
            summary: "imgn",
            body: text,
            picture: None,
            actions: &[],
        };
        self.0.notifier.show(notice).await.is_some()
    }

    fn listen(&self) {
        if self.0.listening.0.swap(true, Ordering::Relaxed) {
            return;
        }
        let desk = self.clone();
        tokio::spawn(async move {
            let respond = |response| {
                let desk = desk.clone();
                tokio::spawn(async move { desk.respond(response).await });
            };
            desk.0.notifier.listen(respond).await;
        });
    }

    async fn respond(&self, Response { id, action }: Response) {
        let about = |announced: &Announced| {
            let (_, about) = announced.shown.iter().find(|(shown, _)| *shown == id)?;
            let is_in_time = Instant::now() <= about.until;
            Some((
                about.links.clone(),
                about.count,
                about.new.clone(),
                is_in_time,
            ))
        };
        // Others' notifications are answered on the same bus.
        let Some((links, count, new, is_in_time)) = about(&locked(&self.0.announced)) else {
            return;
        };
        match action.as_str() {
            "copy" => self.copy(links, count),
            "undo" if is_in_time => self.take_back(id, new).await,
            "undo" => {
                let words = self.0.tray.borrow().language;
                self.0.host.tell(News::Failed(words.too_late().to_owned()));
            }
            _ => self.0.host.act(TrayAction::OpenGallery),
        }
    }

    async fn take_back(&self, id: NoticeId, new: Vec<ImageId>) {
        // Once.
        locked(&self.0.announced)
            .shown
            .retain(|(shown, _)| *shown != id);
        self.0.notifier.close(id).await;
        let words = self.0.tray.borrow().language;
        match self.0.core.delete_images(new).await {
            Ok(DeletionView {
                deleted,
                queued,
                failed,
            }) => {
                let gone: Vec<_> = deleted.into_iter().chain(queued).collect();
                locked(&self.0.live).forget(&gone);
                self.show();
                if let Some(failure) = failed.into_iter().next() {
                    self.0.host.tell(News::Failed(failure.error.message));
                } else {
                    self.say(&words.taken_back(gone.len())).await;
                }
            }
            Err(error) => self.0.host.tell(News::Failed(error.message)),
        }
    }

    /// A file with the picture's thumbnail, for as long as its name is held.
    async fn picture_of(&self, id: ImageId) -> Option<TempPath> {
        let thumbnail = self.0.core.thumb(id, THUMBNAIL_SIZES[0]).await.ok()?;
        let write = move || -> std::io::Result<TempPath> {
            let mut file = tempfile::Builder::new()
                .prefix("imgn-")
                .suffix(".jpg")
                .tempfile()?;
            file.write_all(&thumbnail)?;
            Ok(file.into_temp_path())
        };
        tokio::task::spawn_blocking(write).await.ok()?.ok()
    }
}
