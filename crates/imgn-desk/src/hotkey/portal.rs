//! Keys of a Wayland session, by the portal `org.freedesktop.portal.GlobalShortcuts`: the desktop gives them, and asks the
//! person where it wants to.
//!
//! Invariant: a key is had only after the desktop has said which one it gives, and until it says that it does no more; a
//! portal that begins anew is asked anew.

use std::{future::Future, time::Duration};

use ashpd::{
    AppID,
    desktop::{
        Session,
        global_shortcuts::{
            BindShortcutsOptions, GlobalShortcuts, ListShortcutsOptions, NewShortcut, Shortcut,
        },
    },
};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use zbus::Connection;

use super::{Hotkey, HotkeyError, Wanted};
use crate::APP_ID;

/// How the desktop remembers what the key is for.
const SHORTCUT: &str = "upload-clipboard";

/// How long the portal may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a person may take to answer the desktop's question.
const QUESTION: Duration = Duration::from_secs(60);

/// A key that is had until this is given back, or dropped.
pub(crate) struct Grab {
    end: oneshot::Sender<()>,
    waiting: AbortOnDropHandle<()>,
}

impl Grab {
    /// The desktop has it back when this returns.
    pub(crate) async fn give_back(self) {
        // It may have ended by itself.
        let _ = self.end.send(());
        let _ = tokio::time::timeout(PATIENCE, self.waiting).await;
    }

    /// Whether the desktop has taken it away.
    pub(crate) fn is_lost(&self) -> bool {
        self.waiting.is_finished()
    }
}

/// Asks the desktop for a key; `description` is what it shows it for.
///
/// # Errors
/// When there is no such portal, or it gives no key.
pub(crate) async fn grab(
    hotkey: &Hotkey,
    description: &str,
    wanted: Wanted,
) -> Result<Grab, HotkeyError> {
    let (hotkey, description) = (hotkey.clone(), description.to_owned());
    let (end, mut ended) = oneshot::channel();
    let (tell, told) = oneshot::channel();
    let waiting = tokio::spawn(async move {
        let mut tell = Some(tell);
        let error = loop {
            match live(&hotkey, &description, &wanted, &mut ended, &mut tell).await {
                // It knows nothing of the session.
                Ok(Gone::Portal) => {}
                Ok(Gone::GivenBack) => return,
                Err(error) => break error,
            }
        };
        match tell {
            // Whoever asked may have given up.
            Some(tell) => drop(tell.send(Err(error))),
            None => (wanted.on_lost)(error),
        }
    });
    let waiting = AbortOnDropHandle::new(waiting);
    told.await.map_err(|_| ended_by_desktop())??;
    Ok(Grab { end, waiting })
}

/// What a portal says of a key that it gave.
enum Said {
    Pressed,
    /// Somebody changed what the shortcuts' keys are.
    Changed,
    /// The session is over.
    Closed,
    /// The portal is there, or is gone.
    Owned(bool),
}

/// How a session ends that nobody took the key from.
enum Gone {
    GivenBack,
    /// The portal has begun anew.
    Portal,
}

/// One session, until it ends. `tell` hears when the key is had.
///
/// # Errors
/// When the key is not given, or is taken back.
async fn live(
    hotkey: &Hotkey,
    description: &str,
    wanted: &Wanted,
    ended: &mut oneshot::Receiver<()>,
    tell: &mut Option<oneshot::Sender<Result<(), HotkeyError>>>,
) -> Result<Gone, HotkeyError> {
    let (portal, session) = open().await?;
    let lived = async {
        // Before the key is asked for: nothing that is said of it is missed.
        let mut said = within(PATIENCE, listen(&portal, &session)).await?;
        let mut is_pressed = false;
        tokio::select! {
            bound = bind(&portal, &session, hotkey, description) => bound?,
            // It may ask somebody, and not come to an answer.
            () = until_over(&mut said, &mut is_pressed) => return Err(ended_by_desktop()),
        }
        if let Some(tell) = tell.take() {
            // Whoever asked may have given up.
            let _ = tell.send(Ok(()));
        }
        if is_pressed {
            (wanted.on_press)();
        }
        let mut is_away = false;
        loop {
            let said = tokio::select! {
                _ = &mut *ended => return Ok(Gone::GivenBack),
                said = said.next() => said,
            };
            match said {
                Some(Said::Pressed) => (wanted.on_press)(),
                Some(Said::Owned(false)) => is_away = true,
                Some(Said::Owned(true)) if is_away => return Ok(Gone::Portal),
                Some(Said::Owned(true)) => {}
                Some(Said::Changed) => {
                    let options = ListShortcutsOptions::default();
                    let asked = portal.list_shortcuts(&session, options);
                    let list = within(PATIENCE, async { asked.await?.response() }).await;
                    // A session that is ending says so by itself.
                    if list.is_ok_and(|list| !has_key(list.shortcuts())) {
                        return Err(HotkeyError::NotGiven(hotkey.clone()));
                    }
                }
                Some(Said::Closed) | None => return Err(ended_by_desktop()),
            }
        }
    };
    let lived = lived.await;
    if !matches!(lived, Ok(Gone::Portal)) {
        // It ends with the program at the latest.
        let _ = tokio::time::timeout(PATIENCE, session.close()).await;
    }
    lived
}

fn ended_by_desktop() -> HotkeyError {
    HotkeyError::Unavailable("the desktop ended it".to_owned())
}

/// A session with the portal.
async fn open() -> Result<(GlobalShortcuts, Session<GlobalShortcuts>), HotkeyError> {
    let portal = within(PATIENCE, async {
        let connection = Connection::session().await?;
        let app = AppID::try_from(APP_ID)?;
        // Portals before version 1.20 do not know it, and find out by themselves which app asks. Those after it look for its
        // desktop file; where there is none, some give a key all the same and some refuse.
        let registered = ashpd::register_host_app_with_connection(connection.clone(), app).await;
        Ok((
            GlobalShortcuts::with_connection(connection).await?,
            registered,
        ))
    });
    let (portal, registered) = portal.await?;
    if let Err(error) = &registered {
        tracing::warn!("the portal does not take imgn as {APP_ID}: {error}");
    }
    let session = within(PATIENCE, portal.create_session(Default::default())).await;
    let session = session.map_err(|error| match (error, registered) {
        (HotkeyError::Unavailable(reason), Err(unknown)) => {
            let reason = format!("{reason}; it does not know {APP_ID}.desktop: {unknown}");
            HotkeyError::Unavailable(reason)
        }
        (error, _) => error,
    })?;
    Ok((portal, session))
}

/// All by one stream, in the order in which it is told.
async fn listen<'s>(
    portal: &'s GlobalShortcuts,
    session: &'s Session<GlobalShortcuts>,
) -> ashpd::Result<BoxStream<'s, Said>> {
    let pressed = portal.receive_activated().await?.filter_map(async |press| {
        // The portal's signals come to every session.
        (press.shortcut_id() == SHORTCUT).then_some(Said::Pressed)
    });
    let changed = portal.receive_shortcuts_changed().await?;
    let closed = session.receive_closed().await?;
    let owned = portal.receive_owner_changed().await?;
    Ok(stream::select_all([
        pressed.boxed(),
        changed.map(|_| Said::Changed).boxed(),
        closed.map(|_| Said::Closed).boxed(),
        owned.map(|owner| Said::Owned(owner.is_some())).boxed(),
    ])
    .boxed())
}

/// Until the session is over. A key may be pressed before the answer is read that gives it.
async fn until_over(said: &mut BoxStream<'_, Said>, is_pressed: &mut bool) {
    while let Some(said) = said.next().await {
        match said {
            Said::Pressed => *is_pressed = true,
            Said::Closed | Said::Owned(false) => return,
            Said::Changed | Said::Owned(true) => {}
        }
    }
}

fn has_key(shortcuts: &[Shortcut]) -> bool {
    let given = shortcuts.iter().find(|it| it.id() == SHORTCUT);
    given.is_some_and(|it| !it.trigger_description().is_empty())
}

async fn bind(
    portal: &GlobalShortcuts,
    session: &Session<GlobalShortcuts>,
    hotkey: &Hotkey,
    description: &str,
) -> Result<(), HotkeyError> {
    let trigger = trigger(hotkey);
    let shortcut = NewShortcut::new(SHORTCUT, description).preferred_trigger(trigger.as_str());
    let options = BindShortcutsOptions::default();
    let asked = portal.bind_shortcuts(session, std::slice::from_ref(&shortcut), None, options);
    let refused = |_| HotkeyError::NotGiven(hotkey.clone());
    let bound = within(QUESTION, asked).await?.response().map_err(refused)?;
    if !has_key(bound.shortcuts()) {
        return Err(HotkeyError::NotGiven(hotkey.clone()));
    }
    tracing::info!(key = %hotkey, "the desktop gives a key");
    Ok(())
}

async fn within<T>(
    patience: Duration,
    asked: impl Future<Output = ashpd::Result<T>>,
) -> Result<T, HotkeyError> {
    match tokio::time::timeout(patience, asked).await {
        Ok(answer) => answer.map_err(|error| HotkeyError::Unavailable(error.to_string())),
        Err(_) => {
            let reason = "the desktop did not answer".to_owned();
            Err(HotkeyError::Unavailable(reason))
        }
    }
}

/// As the XDG specification of shortcuts writes it: `CTRL+ALT+u`, the key by its name among keysyms.
fn trigger(hotkey: &Hotkey) -> String {
    let held = [
        (hotkey.ctrl, "CTRL+"),
        (hotkey.alt, "ALT+"),
        (hotkey.shift, "SHIFT+"),
        (hotkey.logo, "LOGO+"),
    ];
    let words = held.iter().filter(|(is_held, _)| *is_held);
    let mut text: String = words.map(|(_, word)| *word).collect();
    text.push_str(&hotkey.key.keysym_name());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_the_specification_has_them() {
        for (hotkey, expected) in [
            ("Ctrl+Alt+U", "CTRL+ALT+u"),
            ("Super+Shift+1", "SHIFT+LOGO+1"),
            ("Ctrl+Shift+PageUp", "CTRL+SHIFT+Page_Up"),
            ("Ctrl+Alt+Space", "CTRL+ALT+space"),
            ("F13", "F13"),
            ("Print", "Print"),
        ] {
            assert_eq!(trigger(&hotkey.parse().unwrap()), expected);
        }
    }
}
