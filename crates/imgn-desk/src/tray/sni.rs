//! The tray of Linux desktops: a StatusNotifierItem with a `com.canonical.dbusmenu`, over D-Bus and without a window.
//!
//! Invariant: with no host to show it, or no bus, the app is none the worse; a host that comes later shows it then.

use std::sync::Arc;

use ksni::{
    MenuItem, OfflineReason, ToolTip, Tray, TrayMethods as _,
    menu::{StandardItem, SubMenu},
};
use tokio::sync::watch;

use super::{Item, Pixels, Shown, TrayAction, TrayState, fraction, menu, summary};

/// What somebody clicks goes here. It must not block.
type Act = Arc<dyn Fn(TrayAction) + Send + Sync>;

struct Rendered {
    state: TrayState,
    icon: Pixels,
    act: Act,
    is_shown: watch::Sender<Shown>,
}

/// Shows the tray for as long as `states` changes, and tells `is_shown` whether a host does show it.
pub(crate) async fn show(
    mut states: watch::Receiver<TrayState>,
    icon: Pixels,
    is_shown: watch::Sender<Shown>,
    act: impl Fn(TrayAction) + Send + Sync + 'static,
) {
    let tray = Rendered {
        state: states.borrow_and_update().clone(),
        icon,
        act: Arc::new(act),
        is_shown: is_shown.clone(),
    };
    let handle = match tray.assume_sni_available(true).spawn().await {
        Ok(handle) => handle,
        Err(error) => {
            tracing::info!("there is no tray: {error}");
            is_shown.send_replace(Shown::No);
            return;
        }
    };
    // Where there is no host, it has told so before it answers.
    is_shown.send_if_modified(|shown| {
        let is_new = *shown == Shown::Unknown;
        *shown = if is_new { Shown::Yes } else { *shown };
        is_new
    });
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        if handle.update(|tray| tray.state = state).await.is_none() {
            is_shown.send_replace(Shown::No);
            return;
        }
    }
    handle.shutdown().await;
}

impl Tray for Rendered {
    fn id(&self) -> String {
        "imgn".to_owned()
    }

    fn title(&self) -> String {
        "imgn".to_owned()
    }

    fn icon_pixmap(&self) -> Vec<ksni::Icon> {
        let icon = match fraction(&self.state) {
            Some(percent) => self.icon.with_bar(percent),
            None => self.icon.clone(),
        };
        let side = i32::try_from(icon.size).unwrap_or_default();
        vec![ksni::Icon {
            width: side,
            height: side,
            data: icon.argb(),
        }]
    }

    fn tool_tip(&self) -> ToolTip {
        ToolTip {
            title: "imgn".to_owned(),
            description: summary(&self.state),
            ..ToolTip::default()
        }
    }

    fn activate(&mut self, _x: i32, _y: i32) {
        (self.act)(TrayAction::OpenGallery);
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        menu(&self.state).into_iter().map(rendered).collect()
    }

    fn watcher_online(&self) {
        self.is_shown.send_replace(Shown::Yes);
    }

    fn watcher_offline(&self, _reason: OfflineReason) -> bool {
        self.is_shown.send_replace(Shown::No);
        // It waits for another one.
        true
    }
}

fn rendered(item: Item) -> MenuItem<Rendered> {
    match item {
        Item::Separator => MenuItem::Separator,
        Item::Text(text) => StandardItem {
            label: mnemonic_free(&text),
            enabled: false,
            ..StandardItem::default()
        }
        .into(),
        Item::Action {
            label,
            action,
            enabled,
        } => StandardItem {
            label: mnemonic_free(&label),
            enabled,
            activate: Box::new(move |tray: &mut Rendered| (tray.act)(action)),
            ..StandardItem::default()
        }
        .into(),
        Item::Submenu { label, items } => SubMenu {
            label: mnemonic_free(&label),
            submenu: items.into_iter().map(rendered).collect(),
            ..SubMenu::default()
        }
        .into(),
    }
}

/// An underscore of a file name is none that a key is for.
fn mnemonic_free(label: &str) -> String {
    label.replace('_', "__")
}
