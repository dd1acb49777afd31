//! What the web view may ask for about settings, galleries, the doctor, the history, and what is about to become public.
//!
//! Invariant: as in `commands.rs`, each command is one request to the app without a window.

use imgn_core::{
    AppState, Check, ClientCode, CommandError, GalleryView, GeneralPreferences, HistoryEntry,
    Theme, ViewError,
    protocol::{ImageId, Token, UploadId},
};
use imgn_desk::{Question, QuestionId};
use tauri::{AppHandle, State};
use tauri_plugin_clipboard_manager::ClipboardExt as _;

use crate::shell::Shell;

type Answer<T> = Result<T, ViewError>;

/// Connects with a token that is kept nowhere.
#[tauri::command]
#[specta::specta]
pub(crate) async fn connect_for_now(
    shell: State<'_, Shell>,
    server: String,
    token: String,
) -> Answer<AppState> {
    let token = Token::new(&token);
    if let Some(started) = shell.start_if_local(&server).await {
        return started;
    }
    let state = shell.core.connect_for_now(&server, token).await?;
    shell.desk.signed_in().await;
    Ok(state)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn galleries(shell: State<'_, Shell>) -> Answer<Vec<GalleryView>> {
    Ok(shell.core.galleries().await)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn switch_gallery(shell: State<'_, Shell>, server: String) -> Answer<AppState> {
    match shell.start_if_local(&server).await {
        Some(started) => started,
        None => Ok(shell.core.switch_gallery(&server).await?),
    }
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn name_gallery(
    shell: State<'_, Shell>,
    server: String,
    name: String,
) -> Answer<()> {
    Ok(shell.core.name_gallery(&server, &name).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn forget_gallery(shell: State<'_, Shell>, server: String) -> Answer<()> {
    Ok(shell.core.forget_gallery(&server).await?)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn general_preferences(shell: State<'_, Shell>) -> Answer<GeneralPreferences> {
    Ok(shell.core.general_preferences().await)
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn set_general_preferences(
    app: AppHandle,
    shell: State<'_, Shell>,
    preferences: GeneralPreferences,
) -> Answer<()> {
    let theme = theme_of(preferences.theme);
    shell.desk.choose_general(preferences).await?;
    app.set_theme(theme);
    Ok(())
}

/// What the window's frame is told; none where the desktop decides.
pub(crate) fn theme_of(theme: Theme) -> Option<tauri::Theme> {
    match theme {
        Theme::System => None,
        Theme::Light => Some(tauri::Theme::Light),
        Theme::Dark => Some(tauri::Theme::Dark),
    }
}

/// Looks whether all that imgn needs is there.
#[tauri::command]
#[specta::specta]
pub(crate) async fn examine(shell: State<'_, Shell>) -> Answer<Vec<Check>> {
    Ok(imgn_desk::examine(&shell.core).await)
}

/// What was uploaded from here, newest first.
#[tauri::command]
#[specta::specta]
pub(crate) async fn history(
    shell: State<'_, Shell>,
    search: String,
    before: Option<UploadId>,
    limit: u32,
) -> Answer<Vec<HistoryEntry>> {
    Ok(shell.core.history(&search, before, limit).await?)
}

/// Puts the link to a picture of the history on the clipboard.
#[tauri::command]
#[specta::specta]
pub(crate) async fn copy_history_link(
    app: AppHandle,
    shell: State<'_, Shell>,
    id: ImageId,
) -> Answer<()> {
    let link = shell.core.history_link(id).await?;
    app.clipboard().write_text(link).map_err(|error| {
        let message = format!("The link could not be copied: {error}. Try again.");
        CommandError::new(ClientCode::ClipboardFailed, message).into()
    })
}

/// Forgets these of the history, or all.
#[tauri::command]
#[specta::specta]
pub(crate) async fn forget_history(
    shell: State<'_, Shell>,
    uploads: Option<Vec<UploadId>>,
) -> Answer<()> {
    Ok(shell.core.forget_history(uploads.as_deref()).await?)
}

/// What somebody is asked before it becomes public.
#[tauri::command]
#[specta::specta]
pub(crate) async fn asked(shell: State<'_, Shell>) -> Answer<Option<Question>> {
    Ok(shell.desk.asked())
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn answer_asked(
    shell: State<'_, Shell>,
    id: QuestionId,
    may_publish: bool,
) -> Answer<()> {
    Ok(shell.desk.answer(id, may_publish).await?)
}
