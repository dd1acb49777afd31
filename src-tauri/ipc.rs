//! The commands and events together, and the TypeScript that is made from them.

use tauri::{Wry, generate_handler, ipc::Invoke};
use tauri_specta::{Builder, ErrorHandlingMode, collect_commands, collect_events};

use crate::{commands, settings_commands, view};

/// Commands that answer with bytes, which the generated bindings do not know.
const WITHOUT_BINDINGS: [&str; 1] = ["timeline"];

/// Answers the commands without bindings; `others` answers all others.
pub(crate) fn handler<F>(others: F) -> impl Fn(Invoke<Wry>) -> bool + Send + Sync + 'static
where
    F: Fn(Invoke<Wry>) -> bool + Send + Sync + 'static,
{
    let bytes: fn(Invoke<Wry>) -> bool = generate_handler![commands::timeline];
    move |invoke| {
        if WITHOUT_BINDINGS.contains(&invoke.message.command()) {
            bytes(invoke)
        } else {
            others(invoke)
        }
    }
}

/// Every command and event. A command that fails rejects its promise with a `ViewError`.
pub(crate) fn builder() -> Builder<Wry> {
    Builder::new()
        .error_handling(ErrorHandlingMode::Throw)
        // A type has the same shape in both directions: nothing is renamed or left out in one of them.
        .disable_serde_phases()
        // Sizes in bytes are exact in a JavaScript number up to 8 PiB.
        .dangerously_cast_bigints_to_number()
        .commands(collect_commands![
            commands::app_state,
            commands::start_local_gallery,
            commands::connect,
            commands::visit,
            commands::disconnect,
            commands::pick_files,
            commands::pick_folders,
            commands::paste,
            commands::uploads,
            commands::cancel_upload,
            commands::retry_upload,
            commands::pause_upload,
            commands::resume_upload,
            commands::move_upload_to_top,
            commands::pause_uploads,
            commands::resume_uploads,
            commands::cancel_uploads,
            commands::retry_uploads,
            commands::upload_preferences,
            commands::set_upload_preferences,
            commands::clear_finished_uploads,
            commands::gone,
            commands::pictures,
            commands::picture,
            commands::delete_images,
            commands::keep_originals,
            commands::keep_all_originals,
            commands::offline_state,
            commands::set_cache_limit,
            commands::download,
            commands::drag_out,
            commands::copy_link,
            commands::left,
            commands::desktop_preferences,
            commands::set_desktop_preferences,
            commands::take_key_again,
            commands::suspend_key,
            commands::take_wanted,
            commands::link_preferences,
            commands::set_link_preferences,
            commands::links,
            commands::copy_links,
            commands::link_example,
            settings_commands::connect_for_now,
            settings_commands::galleries,
            settings_commands::switch_gallery,
            settings_commands::name_gallery,
            settings_commands::forget_gallery,
            settings_commands::general_preferences,
            settings_commands::set_general_preferences,
            settings_commands::examine,
            settings_commands::history,
            settings_commands::copy_history_link,
            settings_commands::forget_history,
            settings_commands::asked,
            settings_commands::answer_asked,
        ])
        .events(collect_events![
            view::StateChanged,
            view::UploadsChanged,
            view::TimelineChanged,
            view::DeletionFailed,
            view::FileDrag,
            view::Leaving,
            view::LinksCopied,
            view::WantedChanged,
            view::AskedChanged,
        ])
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use specta_typescript::Typescript;

    use super::*;

    const PERMISSIONS: &str = include_str!("permissions/window.toml");

    fn generated() -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bindings.ts");
        builder().export(Typescript::default(), &file).unwrap();
        fs::read_to_string(file).unwrap()
    }

    /// Compares; `cargo xtask bindings` sets the variable that lets it write.
    #[test]
    fn bindings_are_as_generated() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/src/ipc/bindings.ts");
        let generated = generated();
        if std::env::var_os("IMGN_WRITE_BINDINGS").is_some() {
            fs::write(&file, &generated).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == generated,
            "ui/src/ipc/bindings.ts is stale; run `cargo xtask bindings`"
        );
    }

    #[test]
    fn the_window_is_allowed_every_command_and_no_other() {
        let mut allowed: Vec<&str> = PERMISSIONS
            .lines()
            .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
            .collect();
        let generated = generated();
        let mut invoked: Vec<&str> = generated
            .split("=> __TAURI_INVOKE<")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(">(\"")?.1.split_once('"')?.0))
            .collect();
        invoked.extend(WITHOUT_BINDINGS);
        allowed.sort_unstable();
        invoked.sort_unstable();
        assert!(!invoked.is_empty());
        assert_eq!(allowed, invoked);
    }
}
