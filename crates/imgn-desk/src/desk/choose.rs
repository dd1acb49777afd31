//! What was chosen for life beside other programs, and what does it: a key, the server for editors, the start with the
//! session.
//!
//! Invariant: a choice is made whole or not at all, one after the other; what does not work is told for as long as it is
//! chosen.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use imgn_core::{ClientCode, CommandError, DesktopSettings, protocol::Token};
use tokio::{runtime::Handle, sync::MutexGuard};
use uuid::Uuid;

use super::{Desk, News, locked};
use crate::{
    DesktopPreferences, Hotkey, HotkeyError, autostart,
    hotkey::{self, Held, Wanted},
    picgo::{self, PicGo},
    tray::TrayAction,
};

/// Nobody takes an upload back after so many seconds without looking at the gallery.
const MOST_UNDO: u32 = 600;

/// What does what was chosen.
#[derive(Default)]
pub(super) struct Chosen {
    /// Who chooses.
    turn: tokio::sync::Mutex<()>,
    /// The key that is had.
    key: tokio::sync::Mutex<Option<Held>>,
    /// Whether it does nothing for now.
    is_key_suspended: AtomicBool,
    /// The server for editors.
    picgo: Mutex<Option<PicGo>>,
    problems: Mutex<Problems>,
}

/// Why something that is chosen does not work.
#[derive(Default)]
struct Problems {
    hotkey: Option<String>,
    editors: Option<String>,
}

impl Desk {
    /// What was chosen, as it is shown.
    #[must_use]
    pub fn preferences(&self) -> DesktopPreferences {
        let problems = locked(&self.0.chosen.problems);
        DesktopPreferences {
            hotkey_problem: problems.hotkey.clone(),
            editors_problem: problems.editors.clone(),
            ..self.settings().into()
        }
    }

    /// Does what the settings say, once at the start.
    pub async fn begin(&self) {
        let chosen = &self.0.chosen;
        let turn = chosen.turn.lock().await;
        let mut settings = self.settings();
        let mut editors = Ok(());
        if make_key(&mut settings) {
            editors = self.keep(settings.clone()).await;
        }
        if settings.editors && editors.is_ok() {
            let serving = self.serve(&settings).await;
            editors = serving.map(|serving| *locked(&chosen.picgo) = Some(serving));
        }
        if let Err(error) = editors {
            self.has_problem(&error, |problems| &mut problems.editors);
        }
        // The desktop may ask somebody about it. What is chosen meanwhile comes after it.
        let held = chosen.key.lock().await;
        drop(turn);
        if let Err(error) = self.take_key_into(held, &settings.hotkey).await {
            tracing::warn!("{error}");
            self.has_problem(&error, |problems| &mut problems.hotkey);
        }
    }

    /// Says what of the settings does not work, and keeps it for the screen of settings.
    fn has_problem(
        &self,
        error: &CommandError,
        place: impl FnOnce(&mut Problems) -> &mut Option<String>,
    ) {
        let message = self.words().failure(error);
        *place(&mut locked(&self.0.chosen.problems)) = Some(message.clone());
        self.0.host.tell(News::Failed(message));
    }

    /// Chooses for life beside other programs, from now on.
    ///
    /// # Errors
    /// When it cannot be done or kept; what was chosen before stays then.
    pub async fn choose(&self, chosen: DesktopPreferences) -> Result<(), CommandError> {
        let _turn = self.0.chosen.turn.lock().await;
        let before = self.settings();
        let mut now = before.clone();
        chosen.write(&mut now);
        if now.undo_seconds > MOST_UNDO {
            let message = format!("an upload is taken back within {MOST_UNDO} seconds at most");
            return Err(CommandError::new(ClientCode::InvalidInput, message));
        }
        make_key(&mut now);
        let changed = self.change(&before, &now).await;
        if changed.is_err() {
            // It was given back for this, and is free.
            if now.hotkey != before.hotkey
                && let Err(error) = self.take_key(&before.hotkey).await
            {
                locked(&self.0.chosen.problems).hotkey = Some(error.message);
            }
            if now.autostart != before.autostart {
                let _ = autostart::set(before.autostart, self.0.core.home());
            }
        }
        changed
    }

    async fn change(
        &self,
        before: &DesktopSettings,
        now: &DesktopSettings,
    ) -> Result<(), CommandError> {
        let chosen = &self.0.chosen;
        let has_editors_changed =
            (now.editors, now.editors_port) != (before.editors, before.editors_port);
        // It has its port before the one of before gives its own up; one of the two goes then.
        let mut other = None;
        if has_editors_changed && now.editors {
            other = Some(self.serve(now).await?);
        }
        let changed = self.change_others(before, now).await;
        if changed.is_ok() && has_editors_changed {
            other = std::mem::replace(&mut *locked(&chosen.picgo), other);
            locked(&chosen.problems).editors = None;
        }
        if let Some(other) = other {
            other.stop().await;
        }
        changed
    }

    async fn change_others(
        &self,
        before: &DesktopSettings,
        now: &DesktopSettings,
    ) -> Result<(), CommandError> {
        if now.hotkey != before.hotkey {
            self.take_key(&now.hotkey).await?;
        }
        if now.autostart != before.autostart {
            autostart::set(now.autostart, self.0.core.home())?;
        }
        self.keep(now.clone()).await
    }

    async fn keep(&self, now: DesktopSettings) -> Result<(), CommandError> {
        let kept = now.clone();
        self.0
            .core
            .keep_desktop_settings(move |settings| {
                let told_of_tray = settings.told_of_tray;
                *settings = kept;
                settings.told_of_tray |= told_of_tray;
            })
            .await?;
        let mut settings = locked(&self.0.settings);
        let told_of_tray = settings.told_of_tray;
        *settings = now;
        settings.told_of_tray |= told_of_tray;
        Ok(())
    }

    /// Has this key from now on, and no other; none where it is empty.
    async fn take_key(&self, hotkey: &str) -> Result<(), CommandError> {
        let held = self.0.chosen.key.lock().await;
        self.take_key_into(held, hotkey).await
    }

    async fn take_key_into(
        &self,
        mut held: MutexGuard<'_, Option<Held>>,
        hotkey: &str,
    ) -> Result<(), CommandError> {
        if hotkey.is_empty() {
            hotkey::give_back(held.take()).await;
        } else {
            let words = self.words();
            let invalid = |error: HotkeyError| {
                CommandError::new(ClientCode::InvalidInput, words.no_key(&error))
            };
            let hotkey: Hotkey = hotkey.parse().map_err(invalid)?;
            let description = words.hotkey_is_for();
            let taken = hotkey::take(hotkey, description, &mut held, self.wanted());
            taken.await.map_err(invalid)?;
        }
        locked(&self.0.chosen.problems).hotkey = None;
        Ok(())
    }

    /// Asks once more for the key that is chosen, as somebody does who has made room for it elsewhere.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn take_key_again(&self) -> Result<(), CommandError> {
        let _turn = self.0.chosen.turn.lock().await;
        let taken = self.take_key(&self.settings().hotkey).await;
        if let Err(error) = &taken {
            let message = self.words().failure(error);
            locked(&self.0.chosen.problems).hotkey = Some(message);
        }
        taken
    }

    /// Whether the key does nothing for now: somebody chooses one by pressing it, which may be the same.
    pub fn suspend_key(&self, is_suspended: bool) {
        let place = &self.0.chosen.is_key_suspended;
        place.store(is_suspended, Ordering::Relaxed);
    }

    fn wanted(&self) -> Wanted {
        let (runtime, desk) = (Handle::current(), self.clone());
        let on_press = move || {
            if desk.0.chosen.is_key_suspended.load(Ordering::Relaxed) {
                return;
            }
            let desk = desk.clone();
            runtime.spawn(async move { desk.act(TrayAction::UploadClipboard).await });
        };
        let desk = self.clone();
        let on_lost = move |error: HotkeyError| {
            let words = desk.words();
            let message = words.hotkey_lost(&words.no_key(&error));
            locked(&desk.0.chosen.problems).hotkey = Some(message.clone());
            desk.0.host.tell(News::Failed(message));
        };
        let desk = self.clone();
        let on_had = move || locked(&desk.0.chosen.problems).hotkey = None;
        Wanted {
            on_press: Arc::new(on_press),
            on_lost: Arc::new(on_lost),
            on_had: Arc::new(on_had),
        }
    }

    async fn serve(&self, settings: &DesktopSettings) -> Result<PicGo, CommandError> {
        let key = Token::new(settings.editors_key.as_deref().unwrap_or_default());
        picgo::serve(self.clone(), settings.editors_port, key).await
    }

    /// The end of the program: the key and the port are free.
    pub(super) async fn let_go(&self) {
        let serving = locked(&self.0.chosen.picgo).take();
        if let Some(serving) = serving {
            serving.stop().await;
        }
        // Where the desktop still asks somebody, its end is that of the program.
        if let Ok(mut held) = self.0.chosen.key.try_lock() {
            hotkey::give_back(held.take()).await;
        }
    }
}

/// Makes the key for editors where there are some and there is none; whether it did.
fn make_key(settings: &mut DesktopSettings) -> bool {
    let key = settings.editors_key.as_deref().unwrap_or_default();
    let is_needed = settings.editors && key.trim().is_empty();
    if is_needed {
        // From the system's random source.
        let random = || Uuid::new_v4().simple().to_string();
        settings.editors_key = Some(random() + &random());
    }
    is_needed
}
