//! Pictures that are dragged out of the window into another program: as files for who takes files, as links for who takes
//! text.
//!
//! The web view's own drags know addresses only. Elsewhere than on Linux they are what there is.
//!
//! Not here: how an original becomes a file. Invariant: who asks for files has each of them whole, or, while one is still on
//! its way, the addresses of all in the gallery; nobody waits for them.

use std::sync::{Arc, Mutex, PoisonError};

use imgn_core::{
    App, ClientCode, CommandError, ViewError,
    protocol::{ErrorCode, Image, ImageId},
};
use tauri::WebviewWindow;

/// So many pictures are dragged out at once at most.
const MOST: usize = 50;

/// More bytes than these in all are dragged as links: nobody waits for them with the button pressed.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// What is dragged.
struct Dragged {
    images: Vec<Image>,
    /// A JPEG that is shown under the pointer.
    thumbnail: Option<Vec<u8>>,
    files: Files,
}

/// The addresses of local files, once all are there.
#[derive(Clone, Default)]
struct Files(Arc<Mutex<Option<Vec<String>>>>);

impl Files {
    fn set(&self, files: Vec<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(files);
    }

    fn get(&self) -> Option<Vec<String>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Drags pictures for as long as the pointer's button is pressed. Answers when that is over.
pub(crate) async fn drag(
    window: &WebviewWindow,
    core: &App,
    ids: Vec<ImageId>,
) -> Result<(), ViewError> {
    if ids.len() > MOST {
        let message =
            format!("At most {MOST} pictures are dragged at once; download them instead.");
        return Err(CommandError::new(ClientCode::InvalidInput, message).into());
    }
    let mut images = Vec::with_capacity(ids.len());
    for &id in &ids {
        let picture = core.picture(id).await?.ok_or_else(|| {
            let message = "the picture is not in the gallery any more";
            CommandError::new(ErrorCode::NotFound, message)
        })?;
        images.push(picture.image);
    }
    let Some(first) = images.first() else {
        return Ok(());
    };
    // Nobody waits for one with the button pressed.
    let thumbnail = match core.has_thumb(first.id).await {
        true => core.thumb(first.id, 320).await.ok(),
        false => None,
    };
    let bytes: u64 = images.iter().map(|image| image.size).sum();
    let files = Files::default();
    let dragged = Dragged {
        images,
        thumbnail,
        files: files.clone(),
    };
    let core = core.clone();
    let fetching = tauri::async_runtime::spawn(async move {
        if bytes > MOST_BYTES {
            return;
        }
        match core.copies(&ids).await {
            Ok(copies) => {
                let addresses = copies.iter();
                let addresses = addresses.filter_map(|copy| url::Url::from_file_path(copy).ok());
                files.set(addresses.map(String::from).collect());
            }
            Err(error) => tracing::info!("pictures are dragged as links: {error}"),
        }
    });
    system::drag(window, dragged).await;
    // What did not come by now nobody asks for any more.
    fetching.abort();
    Ok(())
}

#[cfg(target_os = "linux")]
mod system {
    //! GTK's drag and drop, with the window as its source.

    use std::{cell::Cell, rc::Rc};

    use gtk::{
        TargetEntry, TargetFlags, TargetList,
        gdk::{DragAction, ModifierType},
        gdk_pixbuf::{PixbufLoader, prelude::PixbufLoaderExt as _},
        glib,
        prelude::*,
    };
    use imgn_core::protocol::Image;
    use tauri::WebviewWindow;
    use tokio::sync::oneshot;

    use super::Dragged;

    /// What another program may ask for, by number.
    const KINDS: [(&str, u32); 4] = [
        ("text/uri-list", FILES),
        ("text/html", PAGE),
        ("text/plain;charset=utf-8", LINKS),
        ("UTF8_STRING", LINKS),
    ];
    const FILES: u32 = 0;
    const PAGE: u32 = 1;
    const LINKS: u32 = 2;

    /// The picture under the pointer is no larger, in pixels.
    const ICON: i32 = 96;

    /// Answers when it is over.
    pub(super) async fn drag(window: &WebviewWindow, dragged: Dragged) {
        let (send, ended) = oneshot::channel();
        let own = window.clone();
        let begun = window.run_on_main_thread(move || {
            if let Ok(window) = own.gtk_window() {
                begin(&window, dragged, send);
            }
        });
        if begun.is_ok() {
            // That it was never begun is its end, too.
            let _ = ended.await;
        }
    }

    /// Drops `end` when the drag is over, or when there was none.
    fn begin(window: &gtk::ApplicationWindow, dragged: Dragged, end: oneshot::Sender<()>) {
        if !is_button_pressed(window) {
            return;
        }
        let kinds = KINDS.map(|(name, kind)| TargetEntry::new(name, TargetFlags::OTHER_APP, kind));
        let targets = TargetList::new(&kinds);
        let drag = window.drag_begin_with_coordinates(&targets, DragAction::COPY, 1, None, -1, -1);
        let Some(drag) = drag else {
            return;
        };
        if let Some(icon) = dragged.thumbnail.as_deref().and_then(icon) {
            drag.drag_set_icon_pixbuf(&icon, -ICON / 8, -ICON / 8);
        }
        let Dragged { images, files, .. } = dragged;
        // One that the other program has not finished may be there beside the next.
        let this = drag.clone();
        let giving = window.connect_drag_data_get(move |_, drag, data, kind, _| {
            if *drag != this {
                return;
            }
            let bytes = match kind {
                FILES => files.get().unwrap_or_else(|| links(&images)).join("\r\n") + "\r\n",
                PAGE => images.iter().map(tag).collect(),
                _ => links(&images).join("\n"),
            };
            data.set(&data.target(), 8, bytes.as_bytes());
        });
        let handlers = Rc::new(Cell::new(Vec::new()));
        let (own, end) = (Rc::clone(&handlers), Cell::new(Some(end)));
        let ending = window.connect_drag_end(move |window, ended| {
            if *ended == drag {
                drop(end.take());
                for handler in own.take() {
                    window.disconnect(handler);
                }
            }
        });
        handlers.set(vec![giving, ending]);
    }

    /// Somebody may have let go while it was looked up what is dragged; such a drag would end with the next click.
    fn is_button_pressed(window: &gtk::ApplicationWindow) -> bool {
        let seat = window.display().default_seat();
        let pointer = seat.and_then(|seat| seat.pointer());
        let Some((pointer, surface)) = pointer.zip(window.window()) else {
            return false;
        };
        let (_, _, _, state) = surface.device_position(&pointer);
        state.contains(ModifierType::BUTTON1_MASK)
    }

    fn links(images: &[Image]) -> Vec<String> {
        images.iter().map(|image| image.url.to_string()).collect()
    }

    fn tag(image: &Image) -> String {
        let text = |text: &str| glib::markup_escape_text(text).to_string();
        format!(
            "<img src=\"{}\" alt=\"{}\" width=\"{}\" height=\"{}\">\n",
            text(image.url.as_str()),
            text(image.file_name.as_str()),
            image.width,
            image.height
        )
    }

    fn icon(jpeg: &[u8]) -> Option<gtk::gdk_pixbuf::Pixbuf> {
        let loader = PixbufLoader::with_mime_type("image/jpeg").ok()?;
        loader.connect_size_prepared(|loader, width, height| {
            let longest = width.max(height).max(1);
            let scaled = |edge: i32| (edge * ICON / longest).max(1);
            if longest > ICON {
                loader.set_size(scaled(width), scaled(height));
            }
        });
        // Closed in any case: one that is dropped open complains.
        let written = loader.write(jpeg);
        let closed = loader.close();
        written.and(closed).ok()?;
        loader.pixbuf()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    //! The page drags by itself there, and never asks.

    pub(super) async fn drag(_: &tauri::WebviewWindow, _: super::Dragged) {}
}
