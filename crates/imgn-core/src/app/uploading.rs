//! Commands about uploads.

use std::{fs::File, io::Read, path::PathBuf};

use imgn_protocol::{FileName, UploadId};
use imgn_upload::NewUpload;

use super::{App, blocking};
use crate::{
    ClientCode, CommandError, UploadReport, UploadView, intake,
    uploads::{report, view},
};

impl App {
    /// Takes files in. Every path is answered, in the order given; what cannot be uploaded is answered as rejected or
    /// failed with its reason. What is taken is in the journal when this answers.
    ///
    /// # Errors
    /// When no gallery is chosen or the journal cannot be written; then nothing was taken.
    pub async fn enqueue(&self, paths: Vec<PathBuf>) -> Result<Vec<UploadView>, CommandError> {
        let looked_at = blocking(move || Ok(intake::look_at(paths))).await?;
        self.take(looked_at).await
    }

    /// Takes in what `reader` gives, to its end, under the name `stem` with the ending of what it is. It is kept in the
    /// profile until it is in the gallery.
    ///
    /// # Errors
    /// As [`App::enqueue`], and when the bytes cannot be read or kept.
    pub async fn enqueue_stream(
        &self,
        mut reader: impl Read + Send + 'static,
        stem: &str,
    ) -> Result<Vec<UploadView>, CommandError> {
        self.connected().await?;
        let path = self.0.home.spool().join(UploadId::new().to_string());
        let stem = stem.to_owned();
        let looked_at = blocking(move || {
            let copied = File::create_new(&path).and_then(|mut file| {
                std::io::copy(&mut reader, &mut file)?;
                // The journal is about to promise that it outlives a power cut.
                file.sync_all()
            });
            if let Err(error) = copied {
                // What is there of it is of no use.
                let _ = std::fs::remove_file(&path);
                let message = format!("{stem} cannot be read or kept ({error}); is the disk full?");
                return Err(CommandError::new(ClientCode::DiskFailed, message));
            }
            let mut looked_at = intake::look_at(vec![path]);
            for upload in &mut looked_at {
                upload.file_name = named(&stem, upload.content_type.as_deref());
                if upload.refused.is_some() {
                    // It will never be sent.
                    let _ = std::fs::remove_file(&upload.path);
                }
            }
            Ok(looked_at)
        })
        .await?;
        self.take(looked_at).await
    }

    async fn take(&self, uploads: Vec<NewUpload>) -> Result<Vec<UploadView>, CommandError> {
        let connection = self.connected().await?;
        let queued = connection.engine.enqueue(uploads).await?;
        Ok(queued
            .iter()
            .map(|snapshot| view(snapshot, &connection.server))
            .collect())
    }

    /// All uploads to this gallery, in the order of queueing.
    pub async fn uploads(&self) -> Vec<UploadView> {
        let reports = self.upload_reports().await;
        reports.into_iter().map(|report| report.view).collect()
    }

    /// All uploads to this gallery with what only programs ask for, in the order of queueing.
    pub async fn upload_reports(&self) -> Vec<UploadReport> {
        let Ok(connection) = self.connected().await else {
            return vec![];
        };
        let snapshots = connection.engine.snapshots();
        snapshots
            .iter()
            .map(|snapshot| report(snapshot, &connection.server))
            .collect()
    }

    /// One upload with what only programs ask for, by its id or by the one on the server.
    pub async fn upload_report(&self, id: UploadId) -> Option<UploadReport> {
        let connection = self.connected().await.ok()?;
        let snapshot = connection.engine.snapshot(connection.engine.find(id)?)?;
        Some(report(&snapshot, &connection.server))
    }

    /// Takes an upload back, on the server too. What is published stays: it can be deleted. Its id or the one on the
    /// server will do.
    ///
    /// # Errors
    /// When there is no such upload, or another program works at it.
    pub async fn cancel(&self, id: UploadId) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        let engine = &connection.engine;
        known(id, engine.cancel(engine.find(id).unwrap_or(id)).await?)
    }

    /// Tries again what failed, was rejected or cancelled.
    ///
    /// # Errors
    /// When there is no such upload, or another program works at it.
    pub async fn retry(&self, id: UploadId) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        known(id, connection.engine.retry(id).await?)
    }

    /// Forgets the uploads that have ended.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn clear_finished(&self) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        Ok(connection.engine.clear_ended().await?)
    }
}

fn named(stem: &str, content_type: Option<&str>) -> FileName {
    let format = imgn_thumbs::Format::ALL
        .iter()
        .find(|format| Some(format.content_type()) == content_type);
    match format {
        Some(format) => FileName::clean(&format!("{stem}.{}", format.extension())),
        None => FileName::clean(stem),
    }
}

fn known(id: UploadId, is_known: bool) -> Result<(), CommandError> {
    if is_known {
        return Ok(());
    }
    let message = format!("there is no upload {id} here, or another running imgn works at it");
    Err(CommandError::new(ClientCode::UnknownUpload, message))
}
