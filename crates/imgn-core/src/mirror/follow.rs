//! Following the gallery's change feed: all of it in pages at first, then what happens as it happens, and where the
//! server tells nothing by itself, by asking now and then.

use std::time::Duration;

use imgn_protocol::{Change, ChangePage};
use imgn_upload::Failure;

use super::{
    Mirror, MirrorError,
    events::{Events, Told},
    store::Applied,
};
use crate::{CommandError, MirrorPhase};

/// Entries of a page: more make a request's own cost no smaller, and a transaction longer.
const PAGE: u32 = 5000;

/// How often a server is asked that does not tell by itself.
const POLL: Duration = Duration::from_secs(10);

/// The pauses between attempts to reach a server, the first and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// How often one pass begins anew before it is given up: two servers behind one address would have it go on for ever.
const RESTARTS: u32 = 3;

/// Why the mirror is not what the server has.
#[derive(Debug)]
pub(crate) enum Trouble {
    Server(Failure),
    Mirror(MirrorError),
    /// What the mirror itself answered to a command.
    Command(CommandError),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Server(failure)
    }
}

impl From<MirrorError> for Trouble {
    fn from(error: MirrorError) -> Self {
        Self::Mirror(error)
    }
}

impl From<CommandError> for Trouble {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl Mirror {
    /// Keeps the mirror what the server has, and carries out what waits for the server. Never ends.
    pub(crate) async fn follow(&self) {
        let mut reachable = self.server.reachable();
        let mut pause = PAUSES[0];
        loop {
            let followed = self.follow_once().await;
            self.notice_others().await;
            self.keep_check().await;
            match followed {
                Ok(()) => pause = PAUSES[0],
                Err(trouble) => {
                    self.enter(match &trouble {
                        Trouble::Mirror(error) => {
                            tracing::warn!("the gallery's feed cannot be followed now: {error}");
                            self.store.note_damage(error).await;
                            MirrorPhase::Failing
                        }
                        Trouble::Command(error) => {
                            tracing::warn!("the gallery's feed cannot be followed now: {error}");
                            MirrorPhase::Failing
                        }
                        Trouble::Server(failure) => {
                            tracing::debug!(?failure, "the gallery's feed cannot be followed now");
                            MirrorPhase::Offline
                        }
                    });
                }
            }
            // Not all at once, when a server that many follow comes back.
            let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            let back = async {
                // Whatever it is now has been tried just now.
                reachable.mark_unchanged();
                while reachable.changed().await.is_ok() {
                    if *reachable.borrow_and_update() {
                        return;
                    }
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = tokio::time::sleep(jittered) => {}
                () = self.kick.notified() => {}
                () = back => {}
            }
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    /// Brings the mirror to the feed's end, then listens until that is over.
    async fn follow_once(&self) -> Result<(), Trouble> {
        self.sync().await?;
        self.carry_out_deletions().await?;
        loop {
            match self.listen().await {
                // It listened, and the connection ended.
                Ok(()) => return Ok(()),
                // It is there, but does not tell by itself, or not to so many.
                Err(Trouble::Server(Failure::Server { status, .. })) if status < 600 => {
                    let kicked = self.kick.notified();
                    // Either is a reason to look.
                    let _ = tokio::time::timeout(POLL, kicked).await;
                    self.notice_others().await;
                    self.sync().await?;
                    self.carry_out_deletions().await?;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Brings the mirror to the feed's end. While a page is written down the next one is on its way.
    pub(crate) async fn sync(&self) -> Result<(), Trouble> {
        let status = self.store.status().await?;
        let (mut since, mut restarts) = (status.position, 0);
        let mut page = self.server.changes(since, PAGE).await?;
        self.leave(MirrorPhase::Offline);
        self.look().await?;
        loop {
            let next_since = page.next_since;
            let goes_on = page.more && next_since > since;
            let following = async {
                match goes_on {
                    true => Some(self.server.changes(next_since, PAGE).await),
                    false => None,
                }
            };
            let (applied, following) =
                tokio::join!(self.store.apply(since, &page, !goes_on), following);
            if self.note(applied?).await? {
                let Some(following) = following else { break };
                page = following?;
                since = next_since;
                continue;
            }
            restarts += 1;
            if restarts > RESTARTS {
                let reason = "its change feed is another one each time".to_owned();
                return Err(Failure::Garbled { reason }.into());
            }
            since = self.store.status().await?.position;
            page = self.server.changes(since, PAGE).await?;
        }
        if !status.filled || restarts > 0 {
            let strays = self.store.forget_strays().await?;
            self.originals.remove(&strays).await;
        }
        self.leave(MirrorPhase::Failing);
        self.look().await?;
        Ok(())
    }

    /// Hears what happens, until the connection ends.
    async fn listen(&self) -> Result<(), Trouble> {
        let mut position = self.store.status().await?.position;
        let mut response = self.server.events(position).await?;
        let (mut events, mut feed) = (Events::default(), String::new());
        loop {
            let chunk = tokio::select! {
                chunk = response.chunk() => chunk,
                () = self.kick.notified() => {
                    self.sync().await?;
                    self.carry_out_deletions().await?;
                    continue;
                }
            };
            let Ok(Some(bytes)) = chunk else {
                return Ok(());
            };
            let mut changes = Vec::new();
            for told in events.push(&bytes)? {
                match told {
                    Told::Feed(id) => feed = id,
                    Told::Change(change) => changes.push(*change),
                }
            }
            let Some(last) = changes.last().map(Change::sequence) else {
                self.checked().await;
                continue;
            };
            let page = ChangePage {
                changes,
                next_since: last,
                more: false,
                feed: feed.clone(),
                last,
                total: None,
            };
            let applied = self.store.apply(position, &page, true).await?;
            if !self.note(applied).await? {
                return Ok(());
            }
            position = last;
        }
    }

    /// Tells what a page changed. Answers whether what follows it can be applied.
    async fn note(&self, applied: Applied) -> Result<bool, MirrorError> {
        let goes_on = match applied {
            Applied::Done { changed, forgotten } => {
                self.originals.remove(&forgotten).await;
                if changed {
                    self.changed.notify_one();
                }
                true
            }
            Applied::Gap => false,
            Applied::Restarted => {
                tracing::info!("the gallery's feed began anew, and so does its mirror");
                self.changed.notify_one();
                false
            }
        };
        self.look().await?;
        Ok(goes_on)
    }
}
