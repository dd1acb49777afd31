//! The system's web view, set up for one window with many pictures.
//!
//! Not here: what it shows. Invariant: what somebody set in the environment stands; elsewhere than on Linux nothing is
//! done, for those systems' web views do it by themselves.

/// Prepares what the web view's processes start with. The first thing that `main` calls.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the environment has no safe face")]
pub(crate) fn prepare() {
    // Thousands of pictures come and go, and what was theirs goes back to the system: otherwise the C library keeps it
    // in each of its arenas, after 100,000 pictures 120 MB in all. The web view's own allocator is another one.
    let mut variables = vec![
        ("MALLOC_ARENA_MAX", "1"),
        ("MALLOC_MMAP_THRESHOLD_", "65536"),
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
        // In bytes: how much the page's own garbage may grow to before it is collected, and the memory that its growth is
        // held against. By themselves they are 32 MiB, and all of the computer's, of which a page may take twice what it
        // uses: for one that holds 10 MB, 100 MB of garbage.
        ("JSC_largeHeapSize", "1048576"),
        ("JSC_forceRAMSize", "33554432"),
    ];
    // Layers that a processor has to put together cost it more than painting them again, and 100 MB; and what would hand
    // them over between processes loads a compiler of shaders at the start.
    if !has_graphics_processor() {
        variables.push(("WEBKIT_DISABLE_COMPOSITING_MODE", "1"));
        variables.push(("WEBKIT_DISABLE_DMABUF_RENDERER", "1"));
        variables.push(("GDK_GL", "disable"));
        leave_drivers_out();
    }
    for (name, value) in variables {
        if std::env::var_os(name).is_none() {
            // SAFETY: nobody else reads or writes the environment meanwhile, for this is the only thread: `main` calls
            // it before anything that could start one.
            unsafe { std::env::set_var(name, value) };
        }
    }
}

/// Where this is set, it names all drivers of OpenGL that there are.
#[cfg(target_os = "linux")]
const DRIVERS: &str = "__EGL_VENDOR_LIBRARY_FILENAMES";

/// Keeps drivers of OpenGL out of this process, which draws nothing by them: without a graphics processor that is Mesa with
/// a compiler, of which some 30 MB would stay in memory for as long as the program runs. The web view's own process ends
/// where it finds no driver; it finds them, for the variable is there for a moment only.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "neither the environment nor a C library has a safe face"
)]
fn leave_drivers_out() {
    use std::{ffi::c_void, ptr::null_mut};

    use libloading::{Library, Symbol};

    type GetDisplay = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

    if std::env::var_os(DRIVERS).is_some() {
        return;
    }
    // SAFETY: nobody else reads or writes the environment meanwhile, as in `prepare`, which calls this.
    unsafe { std::env::set_var(DRIVERS, "/nonexistent") };
    // SAFETY: the system's own library, which the web view loads anyway, and which does nothing while it is loaded. The
    // function takes a display or null for none, and its answer is not used. With it the list of drivers is read, once in
    // a process's life; the library stays, and the empty list with it.
    let read = unsafe {
        Library::new("libEGL.so.1").and_then(|library| {
            let library = Box::leak(Box::new(library));
            let get_display: Symbol<'_, GetDisplay> = library.get(b"eglGetDisplay\0")?;
            get_display(null_mut());
            Ok(())
        })
    };
    // SAFETY: as above.
    unsafe { std::env::remove_var(DRIVERS) };
    if let Err(error) = read {
        tracing::debug!(%error, "drivers are not left out");
    }
}

/// Ends the web view's process for the network, which outlives the window and holds some 17 MB. The web view starts another
/// with the next window. Called while there is no window.
#[cfg(target_os = "linux")]
pub(crate) fn rest() {
    use std::fs;

    use rustix::process::{Pid, Signal, getpid, kill_process};

    let own = getpid().as_raw_nonzero();
    let threads = fs::read_dir(format!("/proc/{own}/task"));
    for thread in threads.into_iter().flatten().flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split_ascii_whitespace() {
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            // The kernel keeps 15 letters of a name.
            if name.trim_end() == "WebKitNetworkPr"
                && let Some(child) = child.parse().ok().and_then(Pid::from_raw)
                && let Err(error) = kill_process(child, Signal::TERM)
            {
                tracing::debug!(%error, "the web view's process for the network stays");
            }
        }
    }
}

/// Whether there is a graphics processor that this user may draw with.
#[cfg(target_os = "linux")]
fn has_graphics_processor() -> bool {
    use std::{fs, path::Path};

    let is_usable = |path: &Path| {
        fs::File::options()
            .read(true)
            .write(true)
            .open(path)
            .is_ok()
    };
    let nodes = fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    let mut nodes =
        nodes.filter(|node| node.file_name().as_encoded_bytes().starts_with(b"renderD"));
    nodes.any(|node| is_usable(&node.path())) || is_usable(Path::new("/dev/nvidiactl"))
}

/// Lets the web view keep what is on the screen and not what was: thumbnails come from the cache on the disk as quickly.
#[cfg(target_os = "linux")]
pub(crate) fn keep_little(window: &tauri::WebviewWindow) -> tauri::Result<()> {
    use webkit2gtk::{CacheModel, WebContextExt as _, WebViewExt as _};

    window.with_webview(|view| {
        if let Some(context) = view.inner().context() {
            context.set_cache_model(CacheModel::DocumentViewer);
        }
    })?;
    if is_driven() {
        let window = window.clone();
        tauri::async_runtime::spawn(async move { draw_for_the_driver(&window).await });
    }
    Ok(())
}

/// Whether the page may be driven by WebDriver, by the variable that Tauri looks at for that.
#[cfg(target_os = "linux")]
fn is_driven() -> bool {
    std::env::var_os("TAURI_WEBVIEW_AUTOMATION").is_some_and(|value| value == "true")
}

/// A driver that is asked for a picture of the page waits for the next drawing, and without layers a page at rest is not
/// drawn: for it alone one dot is, four times a second, as good as transparent.
#[cfg(target_os = "linux")]
async fn draw_for_the_driver(window: &tauri::WebviewWindow) {
    const DRAW: &str = "{
        let dot = document.getElementById('drawn');
        if (dot === null && document.body !== null) {
            dot = document.createElement('div');
            dot.id = 'drawn';
            dot.ariaHidden = 'true';
            dot.style.cssText = 'position:fixed;inset:0 auto auto 0;width:1px;height:1px;pointer-events:none';
            document.body.append(dot);
        }
        if (dot !== null) dot.style.background = `rgb(128 128 128 / ${dot.style.background.includes('0.004') ? 0 : 0.004})`;
    }";
    while window.eval(DRAW).is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn prepare() {}

#[cfg(not(target_os = "linux"))]
pub(crate) fn rest() {}

#[cfg(not(target_os = "linux"))]
pub(crate) fn keep_little(_: &tauri::WebviewWindow) -> tauri::Result<()> {
    Ok(())
}
