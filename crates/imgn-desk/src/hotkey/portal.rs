//! Keys of a Wayland session, by the portal `org.freedesktop.portal.GlobalShortcuts`: the desktop gives them, and asks the
//! person where it wants to.
//!
//! Invariant: a key is had only after the desktop has said which one it gives.

use std::{future::Future, time::Duration};

use ashpd::{
    AppID,
    desktop::{
        Session,
        global_shortcuts::{BindShortcutsOptions, GlobalShortcuts, NewShortcut},
    },
};
use futures_util::StreamExt as _;
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
    let given = bind(&portal, &session, hotkey, description).await;
    if let Err(error) = given {
        let _ = tokio::time::timeout(PATIENCE, session.close()).await;
        return Err(error);
    }
    let mut pressed = Box::pin(within(PATIENCE, portal.receive_activated()).await?);
    let (end, mut ended) = oneshot::channel();
    let waiting = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = &mut ended => break,
                press = pressed.next() => match press {
                    Some(press) if press.shortcut_id() == SHORTCUT => (wanted.on_press)(),
                    Some(_) => {}
                    None => {
                        let reason = "the desktop ended it".to_owned();
                        (wanted.on_lost)(HotkeyError::Unavailable(reason));
                        return;
                    }
                },
            }
        }
        // It ends with the program at the latest.
        let _ = session.close().await;
    });
    Ok(Grab {
        end,
        waiting: AbortOnDropHandle::new(waiting),
    })
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
    let given = bound.shortcuts().iter().find(|it| it.id() == SHORTCUT);
    match given {
        Some(given) if !given.trigger_description().is_empty() => {
            tracing::info!(key = given.trigger_description(), "the desktop gives a key");
            Ok(())
        }
        _ => Err(HotkeyError::NotGiven(hotkey.clone())),
    }
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
            ("Ctrl+PageUp", "CTRL+Page_Up"),
            ("Ctrl+Space", "CTRL+space"),
            ("F5", "F5"),
            ("Print", "Print"),
        ] {
            assert_eq!(trigger(&hotkey.parse().unwrap()), expected);
        }
    }
}
