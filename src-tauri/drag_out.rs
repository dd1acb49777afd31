//! Pictures that are dragged out of the window into another program: as files for who takes files, as links for who takes
//! text.
//!
//! The web view's own drags know addresses only. Elsewhere than on Linux they are what there is.
//!
//! Not here: how an original becomes a file. Invariant: who asks for files has each of them whole, or the addresses; the
//! window waits for files only after the drop, and goes on meanwhile.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use imgn_core::{
    App, ClientCode, CommandError, ViewError,
    protocol::{Image, ImageId},
};
use tauri::{Manager as _, WebviewWindow};

/// So many pictures are dragged out at once at most.
const MOST: usize = 50;

/// More bytes than these in all are dragged as links: nobody waits for them with the button pressed.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// Whether something of this window's is dragged, which it does not take itself.
#[derive(Default)]
pub(crate) struct DragOut(AtomicBool);

impl DragOut {
    pub(crate) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is dragged.
struct Dragged {
    images: Vec<Image>,
    /// A JPEG that is shown under the pointer.
    thumbnail: Option<Vec<u8>>,
    files: Files,
}

/// The addresses of local files, once they are there; none when they do not come.
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
        images.push(core.image(id).await?);
    }
    let Some(first) = images.first() else {
        return Ok(());
    };
    let thumbnail = core.thumb(first.id, 320).await.ok();
    let files = Files::default();
    let dragged = Dragged {
        thumbnail,
        files: files.clone(),
        images,
    };
    let bytes: u64 = dragged.images.iter().map(|image| image.size).sum();
    let (core, app) = (core.clone(), window.app_handle().clone());
    let fetching = async move {
        let copies = match bytes {
            0..=MOST_BYTES => core.copies(&ids).await,
            _ => Ok(vec![]),
        };
        let copies = copies.unwrap_or_else(|error| {
            tracing::info!("pictures are dragged as links: {error}");
            vec![]
        });
        let addresses = copies
            .iter()
            .filter_map(|copy| url::Url::from_file_path(copy).ok());
        files.set(addresses.map(String::from).collect());
        // Whoever waits for them in the main loop looks again.
        let _ = app.run_on_main_thread(|| {});
    };
    let fetching = tauri::async_runtime::spawn(fetching);
    let under_way = &window.state::<DragOut>().0;
    under_way.store(true, Ordering::Relaxed);
    let was_dropped = system::drag(window, dragged).await;
    under_way.store(false, Ordering::Relaxed);
    if !was_dropped {
        fetching.abort();
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod system {
    //! GTK's drag and drop, with the window as its source.

    use std::{cell::Cell, rc::Rc, time::Duration};

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

    use super::{Dragged, Files};

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

    /// How long files are waited for after the drop. GTK's own programs wait for half a minute.
    const PATIENCE: Duration = Duration::from_secs(25);

    /// The picture under the pointer is no larger, in pixels.
    const ICON: i32 = 96;

    /// Answers whether something was dropped.
    pub(super) async fn drag(window: &WebviewWindow, dragged: Dragged) -> bool {
        let (send, ended) = oneshot::channel();
        let own = window.clone();
        let begun = window.run_on_main_thread(move || {
            let send = Cell::new(Some(send));
            let end = move |was_dropped: bool| {
                if let Some(send) = send.take() {
                    // Whoever waited may be gone.
                    let _ = send.send(was_dropped);
                }
            };
            if let Ok(window) = own.gtk_window() {
                begin(&window, dragged, end);
            }
        });
        begun.is_ok() && ended.await.unwrap_or(false)
    }

    /// Calls `end` when the drag is over; never, and drops it, when there was none.
    fn begin(window: &gtk::ApplicationWindow, dragged: Dragged, end: impl Fn(bool) + 'static) {
        if !is_button_pressed(window) {
            return;
        }
        let kinds = KINDS.map(|(name, kind)| TargetEntry::new(name, TargetFlags::OTHER_APP, kind));
        let targets = TargetList::new(&kinds);
        let context =
            window.drag_begin_with_coordinates(&targets, DragAction::COPY, 1, None, -1, -1);
        let Some(context) = context else {
            return;
        };
        if let Some(icon) = dragged.thumbnail.as_deref().and_then(icon) {
            context.drag_set_icon_pixbuf(&icon, -ICON / 8, -ICON / 8);
        }
        let was_dropped = Rc::new(Cell::new(false));
        let dropped = Rc::clone(&was_dropped);
        context.connect_drop_performed(move |_, _| dropped.set(true));
        let Dragged { images, files, .. } = dragged;
        let dropped = Rc::clone(&was_dropped);
        let giving = window.connect_drag_data_get(move |_, _, data, kind, _| {
            let bytes = match kind {
                FILES => addresses(&images, &files, dropped.get()).join("\r\n") + "\r\n",
                PAGE => images.iter().map(tag).collect(),
                _ => links(&images).join("\n"),
            };
            data.set(&data.target(), 8, bytes.as_bytes());
        });
        let handlers = Rc::new(Cell::new(Some([Some(giving), None])));
        let own = Rc::clone(&handlers);
        let ending = window.connect_drag_end(move |window, _| {
            for handler in own.take().into_iter().flatten().flatten() {
                window.disconnect(handler);
            }
            end(was_dropped.get());
        });
        if let Some([giving, _]) = handlers.take() {
            handlers.set(Some([giving, Some(ending)]));
        }
    }

    /// Somebody may have let go while it was looked up what is dragged; such a drag would end with the next click.
    fn is_button_pressed(window: &gtk::ApplicationWindow) -> bool {
        let pointer = window
            .display()
            .default_seat()
            .and_then(|seat| seat.pointer());
        let Some((pointer, surface)) = pointer.zip(window.window()) else {
            return false;
        };
        let (_, _, _, state) = surface.device_position(&pointer);
        state.contains(ModifierType::BUTTON1_MASK)
    }

    /// Of the files, when they are there or come in time; else of the pictures in the gallery.
    fn addresses(images: &[Image], files: &Files, may_wait: bool) -> Vec<String> {
        let mut there = files.get();
        if there.is_none() && may_wait {
            let is_late = Rc::new(Cell::new(false));
            let late = Rc::clone(&is_late);
            let timer = glib::timeout_add_local_once(PATIENCE, move || late.set(true));
            // The other program waits, and this window goes on.
            while there.is_none() && !is_late.get() {
                glib::MainContext::default().iteration(true);
                there = files.get();
            }
            if !is_late.get() {
                timer.remove();
            }
        }
        match there {
            Some(files) if !files.is_empty() => files,
            _ => links(images),
        }
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

    pub(super) async fn drag(_: &tauri::WebviewWindow, _: super::Dragged) -> bool {
        false
    }
}
