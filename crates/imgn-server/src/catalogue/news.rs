//! That the feed has changed, told within this process, and by PostgreSQL to all servers.
//!
//! Not here: what has changed. Invariant: news only says that it is worth looking. Whatever may have been missed, as while
//! there was no connection, is told as news when it is over.

use std::{convert::Infallible, time::Duration};

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::{sync::watch, time::timeout};

use super::{
    BUSY_TIMEOUT, Catalogue, CatalogueError,
    database::Pool,
    reach::{Reached, STATEMENT, in_time},
};
use crate::error::chain;

/// Where the database tells of additions to the feed: see the migration `0002_servers.sql`.
const CHANNEL: &str = "imgn_changes";

/// How long nothing is heard before the database is asked whether it is there still. It breaks no connection when its process or
/// the network stands still, and then tells nobody anything.
const SILENCE: Duration = Duration::from_secs(15);

/// The pause before the database is asked again for news that it could not be asked for.
const PAUSE: Duration = Duration::from_secs(2);

impl Catalogue {
    /// Tells whenever something was added to the feed: by this process, and, while it
    /// [hears of others](Self::hear_of_others), by any.
    pub(crate) fn changes_from_now(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn tell_changed(&self) {
        self.changed.send_replace(());
    }

    /// Tells within this process what others add to the feed, for as long as this runs. With SQLite nobody says so.
    pub(crate) async fn hear_of_others(&self) -> Infallible {
        let Pool::Postgres(reached) = &self.reader else {
            return std::future::pending().await;
        };
        loop {
            if let Err(error) = self.hear(reached).await {
                tracing::warn!(
                    cause = chain(&error),
                    "it is not heard at the moment what other servers publish"
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Hears until the connection is lost, which is beside those of the pool: it would take one of them for good.
    async fn hear(&self, reached: &Reached) -> Result<(), CatalogueError> {
        reached.ask().await?;
        let options = reached.pool().connect_options();
        let own = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_with(options.as_ref().clone())
            .await?;
        let mut listener = PgListener::connect_with(&own).await?;
        // A new connection is waited for only where there is somebody to have it from, which is asked first.
        listener.eager_reconnect(false);
        in_time(Some(STATEMENT), listener.listen(CHANNEL)).await?;
        // For what came before, and after a lost connection for what came meanwhile.
        self.tell_changed();
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(told) => match told? {
                    Some(_) => self.tell_changed(),
                    None => return Ok(()),
                },
                Err(_) => {
                    let asked = sqlx::query("SELECT 1").execute(&mut listener);
                    in_time(Some(BUSY_TIMEOUT), asked).await?;
                }
            }
        }
    }
}
