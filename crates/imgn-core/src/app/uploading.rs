//! Commands that take files in, and that tell of uploads.

use std::{fs::File, io::Read, ops::ControlFlow, path::PathBuf};

use imgn_protocol::{FileName, UploadId};
use imgn_upload::{Batch, NewUpload, Origin};
use tokio::sync::mpsc;

use super::{App, Gallery, blocking};
use crate::{
    ClientCode, CommandError, Folders, Intake, Taken, UploadReport, UploadView,
    intake::{self, Looked},
    uploads::{self, report, view},
};

/// Batches of files that are looked at before the journal has taken the one before.
const BATCHES_AHEAD: usize = 2;

impl App {
    /// Takes files in, and folders with all pictures in them. What is told to `taken` is in the journal, and is being
    /// uploaded while more is looked for: every file that was named, in the order given, also where it cannot be
    /// uploaded and has ended with its reason; of a folder the pictures, in natural order. `batch` is the act that it is
    /// for, and `gallery` where they go.
    ///
    /// # Errors
    /// When another gallery is shown, or the journal cannot be written. What was told before is taken.
    pub async fn enqueue(
        &self,
        gallery: &Gallery,
        paths: Vec<PathBuf>,
        folders: Folders,
        batch: Batch,
        mut taken: impl FnMut(Vec<Taken>) + Send,
    ) -> Result<Intake, CommandError> {
        self.connected_to(gallery).await?;
        let (send, mut batches) = mpsc::channel(BATCHES_AHEAD);
        let looking = tokio::task::spawn_blocking(move || {
            intake::look_at(paths, folders, |found| match send.blocking_send(found) {
                Ok(()) => ControlFlow::Continue(()),
                // Nobody takes them any more.
                Err(_) => ControlFlow::Break(()),
            })
        });
        while let Some(found) = batches.recv().await {
            taken(self.take(gallery, found, batch).await?);
        }
        looking.await.map_err(|error| {
            let message = format!("not all files could be looked at ({error}); try again");
            CommandError::new(ClientCode::DiskFailed, message)
        })
    }

    /// Takes in what `reader` gives, to its end, under the name `stem` with the ending of what it is. It is kept in the
    /// profile until it is in the gallery, or its upload is forgotten.
    ///
    /// # Errors
    /// As [`App::enqueue`], and when the bytes cannot be read or kept.
    pub async fn enqueue_stream(
        &self,
        gallery: &Gallery,
        mut reader: impl Read + Send + 'static,
        stem: &str,
        batch: Batch,
    ) -> Result<Vec<Taken>, CommandError> {
        self.connected_to(gallery).await?;
        let path = self.0.home.spool().join(UploadId::new().to_string());
        let stem = stem.to_owned();
        let looked = blocking(move || {
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
            let mut looked = intake::look_at_one(path);
            let upload = &mut looked.upload;
            upload.file_name = named(&stem, upload.content_type.as_deref());
            Ok(looked)
        })
        .await?;
        self.take(gallery, vec![looked], batch).await
    }

    async fn take(
        &self,
        gallery: &Gallery,
        found: Vec<Looked>,
        batch: Batch,
    ) -> Result<Vec<Taken>, CommandError> {
        let chosen = self.0.settings.lock().await.uploads.keep_location;
        let keep_location = self.0.options.keep_location || chosen;
        let (mut paths, mut uploads) = (Vec::new(), Vec::new());
        for Looked { path, upload } in found {
            paths.push(path);
            uploads.push(NewUpload {
                keep_location,
                batch: Some(batch),
                ..upload
            });
        }
        let connection = self.connected_to(gallery).await?;
        let queued = connection.engine.enqueue(uploads).await?;
        Ok(paths
            .into_iter()
            .zip(&queued)
            .map(|(path, snapshot)| Taken {
                path,
                id: snapshot.entry.id,
            })
            .collect())
    }

    /// What other programs, or this one before, left behind and this one has taken over since that was last asked: by
    /// the acts that took it in, and with what of the same acts has ended already, in the order of queueing.
    pub async fn adopted(&self) -> Vec<(Batch, Vec<UploadId>)> {
        let Ok(connection) = self.connected().await else {
            return vec![];
        };
        let adopted = connection.adopted.take();
        if adopted.is_empty() {
            return vec![];
        }
        let uploads = connection.engine.map_entries(|it| (it.id, it.batch));
        let (mut acts, mut nameless) = (Vec::new(), Vec::new());
        for (id, batch) in adopted {
            match batch {
                Some(batch) if !acts.contains(&batch) => acts.push(batch),
                Some(_) => {}
                None => nameless.push(id),
            }
        }
        let mut batches: Vec<_> = acts
            .into_iter()
            .map(|act| {
                let own = uploads.iter().filter(|(_, batch)| *batch == Some(act));
                (act, own.map(|(id, _)| *id).collect())
            })
            .collect();
        if !nameless.is_empty() {
            batches.push((Batch::new(Origin::Person), nameless));
        }
        batches
    }

    /// Has these told of with another act than the one that took them in.
    ///
    /// # Errors
    /// When no gallery is chosen or the journal cannot be written.
    pub async fn put_in(&self, ids: &[UploadId], batch: Batch) -> Result<(), CommandError> {
        Ok(self.connected().await?.engine.put_in(ids, batch).await?)
    }

    /// All uploads to this gallery, in the order of queueing.
    pub async fn uploads(&self) -> Vec<UploadView> {
        let Ok(connection) = self.connected().await else {
            return vec![];
        };
        let shown = |snapshot: &_| view(snapshot, &connection.server);
        connection.engine.map_snapshots(shown)
    }

    /// Those of these that are known, as they stand now.
    pub async fn uploads_of(&self, ids: &[UploadId]) -> Vec<UploadView> {
        let Ok(connection) = self.connected().await else {
            return vec![];
        };
        let known = ids.iter().filter_map(|id| connection.engine.snapshot(*id));
        known
            .map(|snapshot| view(&snapshot, &connection.server))
            .collect()
    }

    /// All uploads to this gallery with what only programs ask for, in the order of queueing.
    pub async fn upload_reports(&self) -> Vec<UploadReport> {
        let Ok(connection) = self.connected().await else {
            return vec![];
        };
        let shown = |snapshot: &_| report(snapshot, &connection.server);
        connection.engine.map_snapshots(shown)
    }

    /// One upload with what only programs ask for, by its id or by the one on the server.
    pub async fn upload_report(&self, id: UploadId) -> Option<UploadReport> {
        let connection = self.connected().await.ok()?;
        let snapshot = connection.engine.snapshot(connection.engine.find(id)?)?;
        Some(report(&snapshot, &connection.server))
    }

    /// Forgets the uploads that have ended: all, or `only` one. One that has not ended stays.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn clear_finished(&self, only: Option<UploadId>) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        // The history has them.
        self.take_down().await;
        for file in connection.engine.clear_ended(only).await? {
            uploads::forget_spooled(&file, &self.0.home.spool()).await;
        }
        Ok(())
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
