//! The one window: opened when it is wanted, gone when it is closed, so that in the tray nobody pays for it.
//!
//! Invariant: what the window is to show waits until the page takes it, and is shown once; whoever asks for the window
//! has it, also while it is being closed.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use imgn_core::Home;
use tauri::{AppHandle, Manager as _, WebviewWindowBuilder, Wry, plugin::TauriPlugin};
use tauri_plugin_window_state::StateFlags;
use tauri_specta::Event as _;

use crate::{
    shell::{Shell, sent},
    view::{AskedChanged, Wanted, WantedChanged},
    web_view,
};

/// As in `tauri.conf.json` and in the capability.
const LABEL: &str = "main";

/// Messages that wait for the page at most; the oldest are given up for the newest.
const MESSAGES: usize = 10;

/// Where the window's size is kept, in the folder of everything that the app keeps.
const SIZE_FILE: &str = "window.json";

/// Keeps the window as large as it was left. Its place is the window manager's.
pub(crate) fn kept_in(home: &Home) -> TauriPlugin<Wry> {
    let kept = tauri_plugin_window_state::Builder::new()
        .with_state_flags(StateFlags::SIZE | StateFlags::MAXIMIZED);
    // A whole path stands above the plugin's own folder.
    match home.path().join(SIZE_FILE).to_str() {
        Some(path) => kept.with_filename(path).build(),
        None => kept.build(),
    }
}

/// What the window is to show as soon as it can.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<VecDeque<Wanted>>);

impl Waiting {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Wanted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next: the window shows it now.
    pub(crate) fn take(&self) -> Option<Wanted> {
        self.queue().pop_front()
    }

    fn put(&self, wanted: Wanted) {
        let mut queue = self.queue();
        if wanted.is_message() {
            let messages = queue.iter().filter(|it| it.is_message()).count();
            if messages >= MESSAGES
                && let Some(oldest) = queue.iter().position(Wanted::is_message)
            {
                queue.remove(oldest);
            }
        } else {
            // A window is in one place: the last that was asked for.
            queue.retain(Wanted::is_message);
        }
        if queue.back() != Some(&wanted) {
            queue.push_back(wanted);
        }
    }
}

/// How far the window is on its way out.
#[derive(Default)]
pub(crate) struct Life(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    phase: Phase,
    /// How often it was closed so far.
    closings: u64,
}

/// Which closing of the window it is about: one that was called off is not carried out in the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closing(u64);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// It is there, or there is none.
    #[default]
    Settled,
    /// It is hidden, and its page is heard out; it can be shown again.
    Leaving(Closing),
    /// It is being destroyed.
    Going,
    /// It is being destroyed, and somebody wants it again.
    GoingAndWanted,
}

impl Life {
    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody closes it; none where it is on its way out already.
    pub(crate) fn leave(&self) -> Option<Closing> {
        let mut inner = self.locked();
        if inner.phase != Phase::Settled {
            return None;
        }
        inner.closings += 1;
        let closing = Closing(inner.closings);
        inner.phase = Phase::Leaving(closing);
        Some(closing)
    }

    /// The page has been heard out; whether the window goes. Somebody may have asked for it meanwhile.
    pub(crate) fn go(&self, closing: Closing) -> bool {
        let mut inner = self.locked();
        let goes = inner.phase == Phase::Leaving(closing);
        if goes {
            inner.phase = Phase::Going;
        }
        goes
    }

    /// It is wanted; whether it can be shown now.
    fn want(&self) -> bool {
        let mut inner = self.locked();
        inner.phase = match inner.phase {
            Phase::Settled | Phase::Leaving(_) => Phase::Settled,
            Phase::Going | Phase::GoingAndWanted => Phase::GoingAndWanted,
        };
        inner.phase == Phase::Settled
    }

    /// It is gone; whether it is to come back.
    pub(crate) fn gone(&self) -> bool {
        let mut inner = self.locked();
        let is_wanted = inner.phase == Phase::GoingAndWanted;
        inner.phase = Phase::Settled;
        is_wanted
    }
}

/// Whether there is one that stays, seen or not.
pub(crate) fn is_open(app: &AppHandle) -> bool {
    let is_settled = app.state::<Life>().locked().phase == Phase::Settled;
    is_settled && app.get_webview_window(LABEL).is_some()
}

/// Opens it, or brings it to the front.
pub(crate) fn open(app: &AppHandle) {
    if !app.state::<Life>().want() {
        return;
    }
    let opened = match app.get_webview_window(LABEL) {
        Some(window) => window
            .unminimize()
            .and_then(|()| window.show())
            .and_then(|()| window.set_focus()),
        None => build(app, false),
    };
    if let Err(error) = opened {
        tracing::error!(%error, "the window cannot be opened");
    }
}

/// Opens it minimised, where there is nothing else by which the app could be reached.
pub(crate) fn open_minimised(app: &AppHandle) {
    if let Err(error) = build(app, true) {
        tracing::error!(%error, "the window cannot be opened");
    }
}

/// Opens it on something.
pub(crate) fn open_on(app: &AppHandle, wanted: Wanted) {
    app.state::<Waiting>().put(wanted);
    open(app);
    // Where it is only now being made, it asks by itself.
    sent(WantedChanged.emit(app));
}

/// Lets the window that is there show something, as soon as its page can.
pub(crate) fn show(app: &AppHandle, wanted: Wanted) {
    app.state::<Waiting>().put(wanted);
    sent(WantedChanged.emit(app));
}

/// Opens it where there is something to be asked, and tells it that this is another question now, or none.
pub(crate) fn ask(app: &AppHandle) {
    if app.state::<Shell>().desk.asked().is_some() {
        open(app);
    }
    // Where it is only now being made, it asks by itself.
    sent(AskedChanged.emit(app));
}

fn build(app: &AppHandle, minimised: bool) -> tauri::Result<()> {
    let config = app.config().app.windows.iter().find(|it| it.label == LABEL);
    let config = config.cloned().unwrap_or_default();
    let window = WebviewWindowBuilder::from_config(app, &config)?.build()?;
    web_view::keep_little(&window)?;
    if minimised {
        window.minimize()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Wanted {
        let message = text.to_owned();
        Wanted::Failure { message }
    }

    fn connect(server: &str) -> Wanted {
        let server = server.to_owned();
        Wanted::Connect { server }
    }

    #[test]
    fn messages_wait_in_their_order_and_of_places_the_last() {
        let waiting = Waiting::default();
        for wanted in [
            message("a"),
            message("a"),
            Wanted::Settings,
            connect("one"),
            message("b"),
            connect("two"),
        ] {
            waiting.put(wanted);
        }
        let taken: Vec<_> = std::iter::from_fn(|| waiting.take()).collect();
        assert_eq!(taken, [message("a"), message("b"), connect("two")]);
        for number in 0..30 {
            waiting.put(message(&number.to_string()));
        }
        assert_eq!(waiting.take(), Some(message("20")));
    }

    #[test]
    fn a_window_that_is_asked_for_while_it_is_closed_is_there() {
        let life = Life::default();
        // While its page is heard out.
        let first = life.leave().unwrap();
        assert_eq!(life.leave(), None);
        assert!(life.want());
        assert!(!life.go(first));
        // While it is destroyed; the first closing was called off.
        let second = life.leave().unwrap();
        assert!(!life.go(first));
        assert!(life.go(second));
        assert!(!life.want());
        assert!(life.gone());
        // And with nobody asking.
        let third = life.leave().unwrap();
        assert!(life.go(third));
        assert!(!life.gone());
        assert!(life.want());
    }
}
