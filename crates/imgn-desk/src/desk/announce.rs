//! What is said of an upload that has ended where no window is looked at, and what can be done about it then.
//!
//! Invariant: only pictures that this upload put into the gallery are taken back, from that gallery, and only within the
//! time that was chosen; what a notification offers is done, or the notification is gone.

use std::{
    collections::VecDeque,
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::join_all};
use imgn_core::{
    DeletionView, Origin,
    protocol::{ImageId, THUMBNAIL_SIZES},
};
use tempfile::TempPath;

use super::{Desk, News, locked};
use crate::{
    Copied, Ended,
    notify::{Heard, Notice, NoticeId},
    tray::TrayAction,
};

/// So many notifications can still be answered.
const REMEMBERED: usize = 20;

/// How long the end of the program waits for notifications to go away.
const FAREWELL: Duration = Duration::from_millis(500);

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
    /// The gallery that they are in.
    gallery: Option<String>,
    /// What can be taken back.
    new: Vec<ImageId>,
    until: Instant,
    /// The server of notifications reads it for as long as it shows it.
    _picture: Option<TempPath>,
}

impl Announced {
    /// Forgets one; whether it was known.
    fn forget(&mut self, id: NoticeId) -> bool {
        let before = self.shown.len();
        self.shown.retain(|(shown, _)| *shown != id);
        self.shown.len() < before
    }
}

impl Desk {
    /// Says what became of an upload; whether it is shown.
    pub(super) async fn announce(&self, ended: Ended, links: String, copied: &Copied) -> bool {
        let settings = self.settings();
        // An editor is told by itself what failed.
        let is_news = !ended.images.is_empty()
            || (!ended.failed.is_empty() && ended.batch.origin == Origin::Person);
        if !settings.notify || !is_news {
            return false;
        }
        let gallery = locked(&self.0.gallery).clone();
        let words = self.words();
        let undo = Duration::from_secs(settings.undo_seconds.into());
        let can_undo = !ended.new.is_empty() && !undo.is_zero();
        let mut actions = vec![("default", words.open_gallery())];
        if can_undo {
            actions.push(("undo", words.undo()));
        }
        if !ended.images.is_empty() {
            actions.push(("copy", words.copy_again()));
        }
        let picture = match ended.images.first() {
            Some(image) => self.picture_of(image.id).await,
            None => None,
        };
        let notice = Notice {
            summary: &words.ended(&ended, copied),
            body: &words.named(&ended, copied),
            picture: picture.as_deref(),
            actions: &actions,
        };
        // Before it is shown: nothing that is pressed is missed.
        self.listen().await;
        let Some(id) = self.0.notifier.show(notice).await else {
            return false;
        };
        let about = About {
            links,
            count: ended.images.len(),
            gallery,
            new: ended.new,
            until: Instant::now() + undo,
            _picture: picture,
        };
        let pushed_out = {
            let mut announced = locked(&self.0.announced);
            announced.shown.push_back((id, about));
            let too_many = announced.shown.len().saturating_sub(REMEMBERED);
            announced.shown.drain(..too_many).collect::<Vec<_>>()
        };
        self.close_all(pushed_out).await;
        if can_undo {
            let desk = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(undo).await;
                if locked(&desk.0.announced).forget(id) {
                    desk.0.notifier.close(id).await;
                }
            });
        }
        true
    }

    /// Says something that needs no answer; whether anybody shows it.
    pub async fn say(&self, text: &str) -> bool {
        let notice = Notice {
            summary: "imgn",
            body: text,
            picture: None,
            actions: &[],
        };
        self.0.notifier.show(notice).await.is_some()
    }

    /// Takes away what nobody would answer any more.
    pub(super) async fn forget_announced(&self) {
        let all = std::mem::take(&mut locked(&self.0.announced).shown);
        self.close_all(all).await;
    }

    async fn close_all(&self, notices: impl IntoIterator<Item = (NoticeId, About)>) {
        let notices: Vec<_> = notices.into_iter().collect();
        join_all(notices.iter().map(|(id, _)| self.0.notifier.close(*id))).await;
    }

    /// The end of the program, as far as notifications are concerned.
    pub(super) async fn end_announcing(&self) {
        let _ = tokio::time::timeout(FAREWELL, self.forget_announced()).await;
    }

    async fn listen(&self) {
        if self.0.listening.0.swap(true, Ordering::Relaxed) {
            return;
        }
        let desk = self.clone();
        let Some(mut heard) = self.0.notifier.heard().await else {
            desk.0.listening.0.store(false, Ordering::Relaxed);
            return;
        };
        tokio::spawn(async move {
            while let Some(heard) = heard.next().await {
                desk.hear(heard);
            }
            // The bus is gone; the next notification looks for another one.
            desk.0.listening.0.store(false, Ordering::Relaxed);
        });
    }

    fn hear(&self, heard: Heard) {
        let (id, action) = match heard {
            Heard::Pressed(id, action) => (id, action),
            Heard::Closed(id) => {
                locked(&self.0.announced).forget(id);
                return;
            }
        };
        let about = |announced: &Announced| {
            let (_, about) = announced.shown.iter().find(|(shown, _)| *shown == id)?;
            let is_here = about.gallery == *locked(&self.0.gallery);
            let is_in_time = is_here && Instant::now() <= about.until;
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
            "copy" => self.copy_or_tell(links, count),
            "undo" if is_in_time => {
                // Once.
                locked(&self.0.announced).forget(id);
                let desk = self.clone();
                tokio::spawn(async move { desk.take_back(id, new).await });
            }
            "undo" => {
                let words = self.words();
                self.0.host.tell(News::Failed(words.too_late().to_owned()));
            }
            _ => self.0.host.act(TrayAction::OpenGallery),
        }
    }

    async fn take_back(&self, id: NoticeId, new: Vec<ImageId>) {
        self.0.notifier.close(id).await;
        let words = self.words();
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
                    self.0
                        .host
                        .tell(News::Failed(words.failure_of(&failure.error)));
                } else {
                    self.say(&words.taken_back(gone.len())).await;
                }
            }
            Err(error) => self.0.host.tell(News::Failed(words.failure(&error))),
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
