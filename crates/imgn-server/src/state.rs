//! What every request handler can reach.

use std::{fmt, ops::Deref, sync::Arc};

use imgn_protocol::{Change, DISPLAY_SIZE, ErrorCode, Image, ImageId, Timestamp};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    activity::Activity,
    allowance::Gate,
    audit::Audit,
    auth::Caller,
    catalogue::{Catalogue, ChangeRow, Expiry, ImageRow, MostUnderWay, Upload},
    config::Config,
    error::ApiError,
    metrics::Metrics,
    oidc::Oidc,
    publish::{Budget, Publisher},
    routes::feed::Listeners,
    staging::Staging,
    storage::Storage,
};

/// The server's insides. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    /// Where clients reach the server; ends in a slash.
    pub(crate) public_url: Url,
    /// Where browsers send bytes and read them from.
    pub(crate) store_origin: String,
    pub(crate) catalogue: Catalogue,
    pub(crate) storage: Storage,
    pub(crate) publisher: Publisher,
    pub(crate) activity: Activity,
    pub(crate) metrics: Metrics,
    pub(crate) gate: Arc<Gate>,
    pub(crate) audit: Audit,
    /// Whose sign-in is taken.
    pub(crate) oidc: Option<Oidc>,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) staging: Staging,
    /// The memory of what comes through the server itself.
    pub(crate) relay_memory: Arc<Budget>,
    /// Whose it is what was uploaded without a token; `None` where a token is needed.
    pub(crate) anonymous: Option<i64>,
    /// Whether answers are collected before they are sent, so that none may go on without an end.
    pub(crate) whole_answers: bool,
    /// What goes on when whoever asked for it does not wait any more: see [`crate::writes`].
    pub(crate) writes: TaskTracker,
    /// Cancelled when the server is to end.
    pub(crate) stopping: CancellationToken,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("public_url", &self.public_url.as_str())
            .finish_non_exhaustive()
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The same server, reached under this address.
    pub(crate) fn at(&self, public_url: Url) -> Self {
        Self::new(Inner {
            public_url,
            ..Inner::clone(self)
        })
    }

    /// The same server, for a surrounding that collects each answer before it sends it.
    pub(crate) fn with_whole_answers(&self) -> Self {
        Self::new(Inner {
            whole_answers: true,
            ..Inner::clone(self)
        })
    }

    /// A picture as the API tells it.
    pub(crate) fn image(&self, row: ImageRow) -> Image {
        Image {
            url: self.content_url(row.id),
            display_url: row
                .has_stand_in()
                .then(|| self.thumbnail_url(row.id, DISPLAY_SIZE)),
            id: row.id,
            sequence: row.sequence,
            file_name: row.file_name,
            width: row.width,
            height: row.height,
            content_type: row.content_type,
            size: row.size,
            sha256: row.sha256,
            thumbhash: BASE64_STANDARD.encode(row.thumbhash),
            animated: row.animated,
            taken_at: row.taken_at,
            created_at: row.created_at,
            camera: row.camera,
            lens: row.lens,
            exposure: row.exposure,
            location: row.location,
            owner: row.owner,
        }
    }

    /// An entry of the feed as the API tells it.
    pub(crate) fn change(&self, row: ChangeRow) -> Change {
        match row {
            ChangeRow::Added(row) => Change::Added {
                sequence: row.sequence,
                image: Box::new(self.image(*row)),
            },
            ChangeRow::Deleted { sequence, id } => Change::Deleted { sequence, id },
        }
    }

    /// The life of a URL that is signed now.
    pub(crate) fn expiry(&self) -> Expiry {
        let milliseconds = |duration: std::time::Duration| {
            i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
        };
        let url_expires_at = Timestamp::now().as_millisecond() + milliseconds(self.config.url_ttl);
        Expiry {
            url_expires_at,
            look_at: url_expires_at + milliseconds(self.config.timing.adopt_after),
        }
    }

    /// How much this caller may have under way.
    pub(crate) fn most_under_way(&self, caller: &Caller) -> MostUnderWay {
        MostUnderWay {
            uploads: self.config.max_pending,
            // They are many, and none of them can be asked to stop.
            counts_announced: self.anonymous == Some(caller.owner),
        }
    }

    /// Lets an announced upload, of which there may be one already, get a URL; refused where too much is under way.
    pub(crate) async fn admit(
        &self,
        caller: &Caller,
        upload: Option<&Upload>,
    ) -> Result<(), ApiError> {
        let most = self.most_under_way(caller);
        let now = Timestamp::now().as_millisecond();
        let is_counted = upload.is_some_and(|upload| {
            upload.multipart.is_some() || upload.url_expires_at.is_some_and(|until| until > now)
        });
        if !most.counts_announced || is_counted {
            return Ok(());
        }
        if self.catalogue.under_way(caller.owner).await? >= most.uploads {
            return Err(self.too_much_under_way(caller));
        }
        Ok(())
    }

    pub(crate) fn too_much_under_way(&self, caller: &Caller) -> ApiError {
        let most = self.config.max_pending;
        let who = match self.anonymous == Some(caller.owner) {
            true => "those who upload here without a token have",
            false => "you have",
        };
        ApiError::new(
            ErrorCode::RateLimited,
            format!(
                "{most} uploads are under way that {who} begun, and there may be no more at a time. Come again when some \
                 of them have ended; those that were given up end by themselves, in about an hour, or in a day if they were \
                 sent in parts."
            ),
        )
    }

    pub(crate) fn content_url(&self, id: ImageId) -> String {
        format!("{}v1/images/{id}/content", self.pictures_url())
    }

    pub(crate) fn thumbnail_url(&self, id: ImageId, size: u32) -> String {
        format!("{}v1/images/{id}/thumb/{size}", self.pictures_url())
    }

    /// Where links to pictures lead. Their paths are the API's, so that each can be read at either address.
    fn pictures_url(&self) -> &Url {
        self.config
            .pictures_url
            .as_ref()
            .unwrap_or(&self.public_url)
    }
}
