//! Uploads that are done without the act that took them in: taken over from a program that has ended, or tried again.
//!
//! Invariant: each of them belongs to a batch until it has ended, so that it is told of like any other.

use imgn_core::{Batch, CommandError, Origin, UploadState, protocol::UploadId};

use super::{Desk, locked};
use crate::batches::wants_token;

impl Desk {
    /// What was left behind by another program, or by this one before it was ended or went to another gallery, ends as if
    /// it had been taken in here: with its links, and with the others of the same act.
    pub(super) async fn take_over(&self) {
        for (batch, uploads) in self.0.core.adopted().await {
            self.close_with(batch, uploads).await;
        }
    }

    /// Tries an upload again that failed, was rejected or cancelled.
    ///
    /// # Errors
    /// As [`App::retry`].
    pub async fn retry(&self, id: UploadId) -> Result<(), CommandError> {
        // By the one that it is known by here.
        let report = self.0.core.upload_report(id).await;
        let id = report.map_or(id, |report| report.id);
        self.again(&[id], async { self.0.core.retry(id).await })
            .await
    }

    /// Tries all again that failed.
    ///
    /// # Errors
    /// As [`App::retry_failed`].
    pub async fn retry_failed(&self) -> Result<(), CommandError> {
        let uploads = self.0.core.uploads().await.into_iter();
        let failed = uploads.filter(|upload| upload.state == UploadState::Failed);
        let failed: Vec<_> = failed.filter_map(|it| it.id.parse().ok()).collect();
        let retry = async { self.0.core.retry_failed().await.map(drop) };
        self.again(&failed, retry).await
    }

    /// Somebody gave a token: what failed for want of one goes on, all of it together.
    pub async fn signed_in(&self) {
        // Whoever still hears of the gallery before lets go of its batches, and not of this one.
        self.look().await;
        let uploads = self.0.core.uploads().await.into_iter();
        let unsigned = uploads.filter(wants_token);
        let unsigned: Vec<_> = unsigned.filter_map(|it| it.id.parse().ok()).collect();
        if unsigned.is_empty() {
            return;
        }
        let retry = self.0.core.retry_these(&unsigned);
        if let Err(error) = self.again(&unsigned, retry).await {
            // Each still says that it failed, and can be tried again.
            tracing::warn!("{error}");
        }
    }

    /// Whoever asks for it once more is told what becomes of it: with the others of the same act if those have not ended,
    /// and by itself if they have.
    async fn again(
        &self,
        uploads: &[UploadId],
        retry: impl Future<Output = Result<(), CommandError>>,
    ) -> Result<(), CommandError> {
        let batch = Batch::new(Origin::Person);
        let (ended, begun) = {
            let _moment = self.0.moment.lock().await;
            // How they ended may not have been heard of yet.
            let now = self.0.core.uploads_of(uploads).await;
            let (mut ended, told) = {
                let mut batches = locked(&self.0.batches);
                let ended = batches.update(&now);
                batches.try_again(uploads);
                let told = uploads.iter().filter(|id| !batches.has(**id));
                (ended, told.copied().collect::<Vec<_>>())
            };
            let begun = match self.0.core.put_in(&told, batch).await {
                Ok(()) => retry.await,
                Err(error) => Err(error),
            };
            if begun.is_ok() {
                self.begin_with(batch, told);
                // Others of their act may end before anything more is told of these.
                let now = self.0.core.uploads_of(uploads).await;
                ended.extend(locked(&self.0.batches).update(&now));
            }
            (ended, begun)
        };
        self.give_out(ended).await;
        begun?;
        self.close(batch).await;
        Ok(())
    }

    async fn close_with(&self, batch: Batch, uploads: Vec<UploadId>) {
        self.begin_with(batch, uploads);
        self.close(batch).await;
    }

    fn begin_with(&self, batch: Batch, uploads: Vec<UploadId>) {
        let mut batches = locked(&self.0.batches);
        batches.begin(batch);
        batches.add(batch, uploads);
    }
}
