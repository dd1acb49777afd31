//! What the web view may ask for: each command is one request to the app without a window.
//!
//! Invariant: the list here, the one in `ipc.rs` and the one in `permissions/window.toml` are the same; a test says so.

use imgn_core::{
    AppState, ClientCode, CommandError, ImageQuery, IntakeView, UploadPreferences, UploadView,
    ViewError,
    protocol::{ImageId, ImagePage, Token, UploadId},
};
use tauri::{AppHandle, State, WebviewWindow};
use tauri_plugin_clipboard_manager::ClipboardExt as _;
use tauri_plugin_dialog::{DialogExt as _, FilePath};
use tokio::sync::oneshot;

use crate::shell::{PICTURE_EXTENSIONS, Shell};

/// No link is longer, in bytes: browsers and servers refuse far shorter ones.
const LINK_BYTES: usize = 16 * 1024;

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
    Ok(shell.core.connect(&server, token).await?)
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
) -> Answer<IntakeView> {
    let (send, chosen) = oneshot::channel();
    let dialog = window.dialog().file().set_parent(&window);
    dialog
        .add_filter("Pictures", &PICTURE_EXTENSIONS)
        .pick_files(|files| drop(send.send(files)));
    take(&shell, chosen.await.ok().flatten()).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn pick_folders(
    window: WebviewWindow,
    shell: State<'_, Shell>,
) -> Answer<IntakeView> {
    let (send, chosen) = oneshot::channel();
    let dialog = window.dialog().file().set_parent(&window);
    dialog.pick_folders(|folders| drop(send.send(folders)));
    take(&shell, chosen.await.ok().flatten()).await
}

/// Nothing was chosen where the dialog was closed.
async fn take(shell: &Shell, chosen: Option<Vec<FilePath>>) -> Answer<IntakeView> {
    let chosen = chosen.unwrap_or_default().into_iter();
    let paths = chosen.filter_map(|file| file.into_path().ok());
    shell.enqueue(paths.collect()).await
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
    Ok(shell.core.retry(id).await?)
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
    shell.core.retry_failed().await?;
    Ok(())
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
pub(crate) async fn clear_finished_uploads(shell: State<'_, Shell>) -> Answer<()> {
    Ok(shell.core.clear_finished().await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn images(shell: State<'_, Shell>, query: ImageQuery) -> Answer<ImagePage> {
    Ok(shell.core.images(query).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn delete_image(shell: State<'_, Shell>, id: ImageId) -> Answer<()> {
    Ok(shell.core.delete(id).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_link(app: AppHandle, text: String) -> Answer<()> {
    if !is_link(&text) {
        let message = "This is not a link to a picture, and was not copied.";
        return Err(CommandError::new(ClientCode::InvalidInput, message).into());
    }
    app.clipboard().write_text(text).map_err(|error| {
        let message = format!("The link could not be copied: {error}. Try again.");
        CommandError::new(ClientCode::ClipboardFailed, message).into()
    })
}

/// Whether a text may be a link in any of its forms. One line: pasted into a terminal, it runs nothing by itself.
fn is_link(text: &str) -> bool {
    !text.is_empty() && text.len() <= LINK_BYTES && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

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
