//! What requests, the sweeper and arrivals write about uploads and pictures, each with its line in the audit log.
//!
//! Not here: what the catalogue makes of it, and verification, which has its own ends to tell. Invariant: whoever's call
//! changed something tells it, once, right after the transaction. Neither stops in between because a client hangs up, which
//! ends its request's handler, or because the server is asked to end.

use imgn_protocol::{ErrorCode, ImageId, OpenRequest, Rejection, UploadId};
use tracing::Instrument as _;

use crate::{
    audit::Why,
    auth::Caller,
    catalogue::{
        Abort, Catalogue, CatalogueError, Deletion, Expiry, MostUnderWay, Opened, Outcome, Plan,
        Room, Staged, Upload, UploadState,
    },
    error::ApiError,
    state::App,
};

/// Who ends what is expected from one of other people's clients, and why.
pub(crate) enum End {
    /// Its client.
    Asked(Caller),
    /// The server: nothing that was sent is looked at.
    GivenUp(Why),
    /// The server, for what was sent, of so many bytes where that is known.
    Refused(ErrorCode, Option<u64>),
}

impl App {
    /// [`Catalogue::open_upload`], counted for whoever sends it, or for where strangers are.
    pub(crate) async fn open_upload(
        &self,
        caller: &Caller,
        id: UploadId,
        request: &OpenRequest,
        plan: Option<Plan>,
        url_until: Option<Expiry>,
    ) -> Result<Outcome, ApiError> {
        let (app, caller, request) = (self.clone(), caller.clone(), request.clone());
        self.to_the_end(async move {
            let sender = app.sender(&caller);
            let opening = app
                .catalogue
                .open_upload(id, sender, &request, plan, url_until);
            let outcome = opening.await?;
            if let Outcome::New(_) = &outcome {
                let size = Some(request.size);
                app.audit.opened(&caller, id, &request.file_name, size);
            }
            if let Outcome::New(upload) | Outcome::Known(upload) = &outcome {
                app.tell_duplicate(upload).await;
            }
            Ok(outcome)
        })
        .await
    }

    /// [`Catalogue::stage`], counted in the same way.
    pub(crate) async fn stage(
        &self,
        caller: &Caller,
        mut staged: Staged,
        look_at: Option<i64>,
        most: MostUnderWay,
    ) -> Result<Staged, ApiError> {
        let (app, caller) = (self.clone(), caller.clone());
        self.to_the_end(async move {
            let sender = app.sender(&caller);
            staged.origin = sender.origin;
            let staging = app.catalogue.stage(&staged, look_at, most, sender.most);
            match staging.await? {
                Room::Yes => {}
                Room::TooMuchUnderWay => return Err(app.too_much_under_way(&caller)),
                Room::Over(over) => return Err(app.over(over, &caller)),
            }
            app.audit
                .opened(&caller, staged.id, &staged.file_name, None);
            Ok(staged)
        })
        .await
    }

    /// [`Catalogue::begin_verifying`].
    pub(crate) async fn begin_verifying(&self, id: UploadId) -> Result<Option<Upload>, ApiError> {
        let app = self.clone();
        self.to_the_end(async move {
            let upload = app.catalogue.begin_verifying(id).await?;
            if let Some(upload) = &upload {
                app.tell_duplicate(upload).await;
            }
            Ok(upload)
        })
        .await
    }

    /// [`Catalogue::abort`], by the client whose upload it is or, for its age, by the sweeper.
    pub(crate) async fn abort(
        &self,
        id: UploadId,
        caller: Option<&Caller>,
    ) -> Result<Abort, ApiError> {
        let (app, caller) = (self.clone(), caller.cloned());
        self.to_the_end(async move {
            let owner = caller.as_ref().map(|caller| caller.owner);
            let abort = app.catalogue.abort(id, owner).await?;
            if abort == Abort::Ended {
                match &caller {
                    Some(caller) => app.audit.aborted(caller, id),
                    None => app.audit.given_up(id, Why::TooOld),
                }
            }
            Ok(abort)
        })
        .await
    }

    /// [`Catalogue::unstage`].
    pub(crate) async fn unstage(&self, staged: &Staged, end: End) -> Result<Abort, ApiError> {
        let (app, staged) = (self.clone(), staged.clone());
        self.to_the_end(async move {
            let abort = app.catalogue.unstage(staged.id).await?;
            if abort == Abort::Ended {
                match end {
                    End::Asked(caller) => app.audit.aborted(&caller, staged.id),
                    End::GivenUp(why) => app.audit.given_up(staged.id, why),
                    End::Refused(code, size) => {
                        let owner = owner_name(&app.catalogue, staged.owner).await;
                        app.audit.refused(&owner, &staged, size, code);
                    }
                }
            }
            Ok(abort)
        })
        .await
    }

    /// [`Catalogue::open_staged`].
    pub(crate) async fn open_staged(
        &self,
        staged: &Staged,
        request: OpenRequest,
        expiry: Expiry,
    ) -> Result<Opened, ApiError> {
        let (app, staged) = (self.clone(), staged.clone());
        self.to_the_end(async move {
            let opened = app.catalogue.open_staged(&staged, &request, expiry).await?;
            if let Opened::Over(upload) = &opened {
                app.tell_duplicate(upload).await;
            }
            Ok(opened)
        })
        .await
    }

    /// [`Catalogue::adopt_staged`].
    pub(crate) async fn adopt_staged(
        &self,
        opened: Box<Upload>,
    ) -> Result<Option<Upload>, ApiError> {
        let app = self.clone();
        self.to_the_end(async move {
            let adopted = app.catalogue.adopt_staged(&opened).await?;
            if let Some(upload) = &adopted {
                app.tell_duplicate(upload).await;
            }
            Ok(adopted)
        })
        .await
    }

    /// [`Catalogue::reject`], where there was no verdict.
    pub(crate) async fn reject(
        &self,
        upload: &Upload,
        rejection: Rejection,
    ) -> Result<(), ApiError> {
        let (app, upload) = (self.clone(), upload.clone());
        self.to_the_end(async move {
            if app.catalogue.reject(upload.id, &rejection).await? {
                let owner = owner_name(&app.catalogue, upload.owner).await;
                app.audit.rejected(&owner, &upload, rejection.code);
            }
            Ok(())
        })
        .await
    }

    /// [`Catalogue::delete_image`].
    pub(crate) async fn delete_image(
        &self,
        id: ImageId,
        caller: &Caller,
    ) -> Result<Deletion, ApiError> {
        let (app, caller) = (self.clone(), caller.clone());
        self.to_the_end(async move {
            let deletion = app.catalogue.delete_image(id, &caller).await?;
            if deletion == Deletion::Deleted {
                app.audit.deleted(&caller, id);
            }
            Ok(deletion)
        })
        .await
    }

    /// Tells of an upload that was ended just now because the gallery has its bytes.
    async fn tell_duplicate(&self, upload: &Upload) {
        if let (true, UploadState::Published(image)) = (upload.just_ended, &upload.state) {
            let owner = owner_name(&self.catalogue, upload.owner).await;
            self.audit.duplicate(&owner, upload, *image);
        }
    }

    /// Does this to its end, whatever becomes of the one that waits for it: a transaction and what belongs to it, and never
    /// anything of the store, for which the end of the server would wait.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let work = self.writes.spawn(work.in_current_span());
        work.await.map_err(ApiError::internal)?
    }
}

/// The name of whoever sent something, for the audit log.
pub(crate) async fn owner_name(catalogue: &Catalogue, owner: i64) -> String {
    let name: Result<String, CatalogueError> = catalogue.owner_name(owner).await;
    name.unwrap_or_else(|_| format!("#{owner}"))
}
