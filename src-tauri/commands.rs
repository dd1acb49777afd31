//! What the web view may ask for: each command is one request to the app without a window.
//!
//! Invariant: the list here, the one in `ipc.rs` and the one in `permissions/window.toml` are the same; a test says so.

use imgn_core::{
    App, AppState, ClientCode, CommandError, DeletionView, Downloaded, IntakeView, LinkPreferences,
    OfflineView, Picture, UploadPreferences, UploadView, ViewError,
    protocol::{ImageId, Token, UploadId},
};
use imgn_desk::DesktopPreferences;
use tauri::{AppHandle, Manager as _, State, WebviewWindow, ipc::Response};
use tauri_plugin_clipboard_manager::ClipboardExt as _;
use tauri_plugin_dialog::DialogExt as _;
use tokio::sync::oneshot;

use crate::{
    drag_out,
    shell::Shell,
    view::{DownloadView, Wanted},
    window::Waiting,
};

/// No link is longer, in bytes: browsers and servers refuse far shorter ones.
const LINK_BYTES: usize = 16 * 1024;
/// Of all links that are copied together.
const LINKS_BYTES: usize = 1 << 20;

type Answer<T> = Result<T, ViewError>;

#[tauri::command]
#[specta::specta]
pub(crate) async fn app_state(shell: State<'_, Shell>) -> Answer<AppState> {
    Ok(shell.core.state().await)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn start_local_gallery(shell: State<'_, Shell>) -> Answer<AppState> {
    shell.start_local_gallery().await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn connect(
    shell: State<'_, Shell>,
    server: String,
    token: Option<String>,
) -> Answer<AppState> {
    let token = token.map(|token| Token::new(token.trim()));
    let signs_in = token.as_ref().is_some_and(|token| !token.is_empty());
    if let Some(started) = shell.start_if_local(&server).await {
        return started;
    }
    let state = shell.core.connect(&server, token).await?;
    if signs_in {
        shell.desk.signed_in().await;
    }
    Ok(state)
}

/// Connects to a gallery that a link named, after somebody said so.
#[tauri::command]
#[specta::specta]
pub(crate) async fn visit(shell: State<'_, Shell>, server: String) -> Answer<AppState> {
    match shell.start_if_local(&server).await {
        Some(started) => started,
        None => Ok(shell.core.visit(&server).await?),
    }
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn disconnect(shell: State<'_, Shell>) -> Answer<AppState> {
    Ok(shell.core.disconnect().await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn pick_files(
    window: WebviewWindow,
    shell: State<'_, Shell>,
) -> Answer<Option<IntakeView>> {
    let dialog = window.dialog().file().set_parent(&window);
    Ok(shell.choose_files(dialog).await?.map(Into::into))
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn pick_folders(
    window: WebviewWindow,
    shell: State<'_, Shell>,
) -> Answer<Option<IntakeView>> {
    let dialog = window.dialog().file().set_parent(&window);
    Ok(shell.choose_folders(dialog).await?.map(Into::into))
}

/// Uploads what is on the clipboard.
#[tauri::command]
#[specta::specta]
pub(crate) async fn paste(shell: State<'_, Shell>) -> Answer<IntakeView> {
    Ok(shell.desk.take_clipboard().await?.into())
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn uploads(shell: State<'_, Shell>) -> Answer<Vec<UploadView>> {
    Ok(shell.core.uploads().await)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn cancel_upload(shell: State<'_, Shell>, id: UploadId) -> Answer<()> {
    Ok(shell.core.cancel(id).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn retry_upload(shell: State<'_, Shell>, id: UploadId) -> Answer<()> {
    Ok(shell.desk.retry(id).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn pause_upload(shell: State<'_, Shell>, id: UploadId) -> Answer<()> {
    Ok(shell.core.pause(id).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn resume_upload(shell: State<'_, Shell>, id: UploadId) -> Answer<()> {
    Ok(shell.core.resume(id).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn move_upload_to_top(shell: State<'_, Shell>, id: UploadId) -> Answer<()> {
    Ok(shell.core.move_to_top(id).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn pause_uploads(shell: State<'_, Shell>) -> Answer<()> {
    shell.core.pause_all().await?;
    Ok(())
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn resume_uploads(shell: State<'_, Shell>) -> Answer<()> {
    shell.core.resume_all().await?;
    Ok(())
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn cancel_uploads(shell: State<'_, Shell>) -> Answer<()> {
    shell.core.cancel_all().await?;
    Ok(())
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn retry_uploads(shell: State<'_, Shell>) -> Answer<()> {
    Ok(shell.desk.retry_failed().await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn upload_preferences(shell: State<'_, Shell>) -> Answer<UploadPreferences> {
    Ok(shell.core.upload_preferences().await)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn set_upload_preferences(
    shell: State<'_, Shell>,
    preferences: UploadPreferences,
) -> Answer<()> {
    Ok(shell.core.set_upload_preferences(preferences).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn clear_finished_uploads(
    shell: State<'_, Shell>,
    only: Option<UploadId>,
) -> Answer<()> {
    Ok(shell.core.clear_finished(only).await?)
}

/// Which of these pictures, named with their places in the feed, are in the gallery no more.
#[tauri::command]
#[specta::specta]
pub(crate) async fn gone(
    shell: State<'_, Shell>,
    images: Vec<(ImageId, u64)>,
) -> Answer<Vec<ImageId>> {
    Ok(shell.core.gone(&images).await?)
}

/// Bytes and no JSON, which would take a second for a million pictures; so it is not among the generated bindings.
#[tauri::command]
pub(crate) async fn timeline(shell: State<'_, Shell>, search: String) -> Answer<Response> {
    Ok(Response::new(
        shell.core.timeline(&search).await?.to_bytes(),
    ))
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn pictures(
    shell: State<'_, Shell>,
    sequences: Vec<u32>,
) -> Answer<Vec<Option<Picture>>> {
    Ok(shell.core.pictures(&sequences).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn picture(shell: State<'_, Shell>, id: ImageId) -> Answer<Option<Picture>> {
    Ok(shell.core.picture(id).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn delete_images(
    shell: State<'_, Shell>,
    ids: Vec<ImageId>,
) -> Answer<DeletionView> {
    Ok(shell.core.delete_images(ids).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn keep_originals(
    shell: State<'_, Shell>,
    ids: Vec<ImageId>,
    keep: bool,
) -> Answer<()> {
    Ok(shell.core.keep(&ids, keep).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn keep_all_originals(shell: State<'_, Shell>, keep: bool) -> Answer<()> {
    Ok(shell.core.keep_all(keep).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn offline_state(shell: State<'_, Shell>) -> Answer<OfflineView> {
    Ok(shell.core.offline_state().await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn set_cache_limit(shell: State<'_, Shell>, bytes: u64) -> Answer<()> {
    Ok(shell.core.set_cache_limit(bytes).await?)
}

/// Asks where to: for one picture for a file, for several for a folder.
#[tauri::command]
#[specta::specta]
pub(crate) async fn download(
    window: WebviewWindow,
    shell: State<'_, Shell>,
    ids: Vec<ImageId>,
) -> Answer<DownloadView> {
    let words = shell.desk.words();
    let mut dialog = window.dialog().file().set_parent(&window);
    if let Ok(folder) = window.path().download_dir() {
        dialog = dialog.set_directory(folder);
    }
    let (send, chosen) = oneshot::channel();
    if let [id] = ids[..] {
        let image = shell.core.image(id).await?;
        dialog
            .set_title(words.save_picture())
            .set_file_name(image.file_name.as_str())
            .save_file(|file| drop(send.send(file)));
    } else {
        dialog
            .set_title(words.save_pictures())
            .pick_folder(|folder| drop(send.send(folder)));
    }
    let chosen = chosen.await.ok().flatten();
    let Some(path) = chosen.and_then(|file| file.into_path().ok()) else {
        return Ok(DownloadView::default());
    };
    let mut view = DownloadView {
        path: Some(path.display().to_string()),
        ..DownloadView::default()
    };
    if let [id] = ids[..] {
        // The dialog has asked whether what is there is to be replaced.
        shell.core.download(id, path, true).await?;
        view.saved = 1;
    } else {
        let Downloaded { files, failed } = shell.core.download_into(&ids, &path).await;
        view.saved = u32::try_from(files.len()).unwrap_or(u32::MAX);
        view.failed = failed.into_iter().map(|(_, error)| error.into()).collect();
    }
    Ok(view)
}

/// Drags pictures into another program, for as long as the pointer's button is pressed.
#[tauri::command]
#[specta::specta]
pub(crate) async fn drag_out(
    window: WebviewWindow,
    shell: State<'_, Shell>,
    ids: Vec<ImageId>,
) -> Answer<()> {
    drag_out::drag(&window, &shell.core, ids).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_link(app: AppHandle, text: String) -> Answer<()> {
    if !is_link(&text) && !are_addresses(&text) {
        let message = "This is not a link to a picture, and was not copied.";
        return Err(CommandError::new(ClientCode::InvalidInput, message).into());
    }
    copy(&app, text)
}

fn copy(app: &AppHandle, text: String) -> Answer<()> {
    app.clipboard().write_text(text).map_err(|error| {
        let message = format!("The link could not be copied: {error}. Try again.");
        CommandError::new(ClientCode::ClipboardFailed, message).into()
    })
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn desktop_preferences(shell: State<'_, Shell>) -> Answer<DesktopPreferences> {
    Ok(shell.desk.preferences())
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn set_desktop_preferences(
    shell: State<'_, Shell>,
    preferences: DesktopPreferences,
) -> Answer<()> {
    Ok(shell.desk.choose(preferences).await?)
}

/// Asks once more for the key that is chosen and is not had.
#[tauri::command]
#[specta::specta]
pub(crate) async fn take_key_again(shell: State<'_, Shell>) -> Answer<()> {
    Ok(shell.desk.take_key_again().await?)
}

/// Whether the key for every program does nothing for now, because somebody chooses one by pressing it.
#[tauri::command]
#[specta::specta]
pub(crate) async fn suspend_key(shell: State<'_, Shell>, is_suspended: bool) -> Answer<()> {
    shell.desk.suspend_key(is_suspended);
    Ok(())
}

/// What the window is to show now, because somebody asked for it elsewhere.
#[tauri::command]
#[specta::specta]
pub(crate) async fn take_wanted(waiting: State<'_, Waiting>) -> Answer<Option<Wanted>> {
    Ok(waiting.take())
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn link_preferences(shell: State<'_, Shell>) -> Answer<LinkPreferences> {
    Ok(shell.core.link_preferences().await)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn set_link_preferences(
    shell: State<'_, Shell>,
    preferences: LinkPreferences,
) -> Answer<()> {
    Ok(shell.core.set_link_preferences(preferences).await?)
}

/// The links to these pictures, a line each; in the chosen format where none is named.
#[tauri::command]
#[specta::specta]
pub(crate) async fn links(
    shell: State<'_, Shell>,
    ids: Vec<ImageId>,
    format: Option<String>,
    alt: Option<String>,
) -> Answer<String> {
    let (format, alt) = (format.as_deref(), alt.as_deref());
    Ok(shell.core.links(&ids, format, alt).await?)
}

/// Puts them on the clipboard.
#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_links(
    app: AppHandle,
    shell: State<'_, Shell>,
    ids: Vec<ImageId>,
    format: Option<String>,
    alt: Option<String>,
) -> Answer<()> {
    let (format, alt) = (format.as_deref(), alt.as_deref());
    let links = shell.core.links(&ids, format, alt).await?;
    copy(&app, links)
}

/// What a format makes of a picture that is none; refused where it is no format.
#[tauri::command]
#[specta::specta]
pub(crate) async fn link_example(format: String) -> Answer<String> {
    Ok(App::link_example(&format)?)
}

/// Whether a text may be a link in any of its forms. One line: pasted into a terminal, it runs nothing by itself.
fn is_link(text: &str) -> bool {
    !text.is_empty() && text.len() <= LINK_BYTES && !text.chars().any(char::is_control)
}

/// Whether a text is one address a line. Whatever else is in a line, such as a blank, could be a command to a terminal.
fn are_addresses(text: &str) -> bool {
    let is_address = |line: &str| {
        let rest = line
            .strip_prefix("https://")
            .or_else(|| line.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
            && is_link(line)
    };
    text.len() <= LINKS_BYTES && !text.is_empty() && text.split('\n').all(is_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_links_are_addresses_and_nothing_else() {
        let two = "https://a.example/1\nhttp://b.example/2";
        assert!(are_addresses(two));
        for more in [
            "\n",
            "\nrm -rf ~",
            "\nhttps://a b",
            "\r\nhttps://a",
            "\nhttps://",
        ] {
            assert!(!are_addresses(&format!("{two}{more}")), "{more:?}");
        }
        let many = vec!["https://a.example/1"; LINKS_BYTES].join("\n");
        assert!(!are_addresses(&many));
    }

    #[test]
    fn only_one_line_of_some_length_is_copied() {
        let longest = "x".repeat(LINK_BYTES);
        for text in ["https://a.example/1", "![ä](https://a.example/1)", &longest] {
            assert!(is_link(text));
        }
        let longer = format!("{longest}x");
        for text in ["", "rm -rf ~\n", "a\tb", "\u{1b}[2J", "\u{85}", &longer] {
            assert!(!is_link(text), "{text:?}");
        }
    }
}

/// The page has said all that it had to say before the program ends.
#[tauri::command]
#[specta::specta]
pub(crate) async fn left(shell: State<'_, Shell>) -> Answer<()> {
    shell.left.notify_one();
    Ok(())
}
