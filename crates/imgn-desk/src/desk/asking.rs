//! Whether what is about to become public may: the desk's side of the question.

#[cfg(test)]
mod tests;

use imgn_core::{Ask, CommandError, Gallery, protocol::THUMBNAIL_SIZES};
use jiff::Zoned;

use super::{Desk, News, locked, pasted_names};
use crate::{Clip, Question, QuestionId, guard::About};

impl Desk {
    /// What somebody is asked now.
    #[must_use]
    pub fn asked(&self) -> Option<Question> {
        locked(&self.0.guard).view()
    }

    /// A picture of a question, as a JPEG for the grid; none where it is no picture of one that is open.
    pub async fn asked_thumb(&self, id: QuestionId, index: usize) -> Option<Vec<u8>> {
        let source = locked(&self.0.guard).source(id, index)?;
        let made = self.0.core.preview_thumb(source, THUMBNAIL_SIZES[0]).await;
        made.inspect_err(|error| tracing::debug!("no preview: {error}"))
            .ok()
    }

    /// Somebody answered: yes for the gallery that was shown with the question, which is known from then on.
    ///
    /// # Errors
    /// When it cannot be kept that somebody said so; nothing is uploaded then.
    pub async fn answer(&self, id: QuestionId, may_publish: bool) -> Result<(), CommandError> {
        let Some(view) = self.asked().filter(|view| view.id == id) else {
            return Ok(());
        };
        let kept = if may_publish {
            self.0.core.confirm_gallery(&view.server).await
        } else {
            Ok(())
        };
        locked(&self.0.guard).answer(id, may_publish && kept.is_ok());
        self.0.host.tell(News::Asking);
        kept
    }

    /// Whether this may become public. Asks first where it is to be asked, and waits for as long as nobody answers.
    pub(super) async fn may_publish(
        &self,
        gallery: &Gallery,
        what: &Clip,
    ) -> Result<bool, CommandError> {
        let core = &self.0.core;
        if !core.must_ask(gallery).await {
            return Ok(true);
        }
        // One after the other; what was said before may be said for this, too.
        let _turn = self.0.asking.lock().await;
        if !core.must_ask(gallery).await {
            return Ok(true);
        }
        let preview = match what {
            Clip::Files(paths) => core.preview(paths.clone()).await?,
            Clip::Pictures(pictures) => {
                let now = Zoned::now();
                let named = pasted_names(&now).zip(pictures.iter().cloned()).collect();
                core.preview_copied(named).await?
            }
        };
        // Nothing of it is published: why, each file tells.
        if preview.pictures == 0 {
            return Ok(true);
        }
        let about = About {
            server: gallery.url().to_owned(),
            keeps_location: core.upload_preferences().await.keep_location,
            always: core.general_preferences().await.ask == Ask::Always,
        };
        // To look at a folder takes a while. What is asked is about what is shown.
        core.must_be_shown(gallery).await?;
        let (id, answer) = locked(&self.0.guard).ask(preview, about);
        let _open = Open { desk: self, id };
        self.0.host.tell(News::Asking);
        Ok(answer.await.unwrap_or(false))
    }

    /// The gallery is another one.
    pub(super) fn withdraw_question(&self) {
        if locked(&self.0.guard).withdraw() {
            self.0.host.tell(News::Asking);
        }
    }
}

/// A question that ends with who waits for its answer.
struct Open<'a> {
    desk: &'a Desk,
    id: QuestionId,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let was_open = locked(&self.desk.0.guard).take(self.id).is_some();
        if was_open {
            self.desk.0.host.tell(News::Asking);
        }
    }
}
