//! imgn's desktop window: the only Rust that names Tauri.
//!
//! It is thin. What the app does is in `imgn-core`, and the gallery on this computer is `imgn-server`, started in this
//! process; here are the window, its commands and events, dropped files, and pictures for the web view.
//!
//! Invariant: the web view names pictures and uploads by id and never a path of this computer. Files come in by the
//! system's own dialog, by a drop on the window or by the command line, and are taken here.

mod commands;
mod dialogs;
mod drag_out;
mod failure;
mod gallery;
mod host;
mod ipc;
mod launch;
mod quit;
mod settings_commands;
mod shell;
mod thumb_scheme;
mod tray;
mod view;
mod web_view;
mod window;

use std::{io::IsTerminal as _, process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use imgn_core::{App, Home};
use imgn_desk::{Asked, Claim, Desk};
use tauri::Manager as _;
use tracing_subscriber::EnvFilter;

use crate::{
    dialogs::Dialogs,
    gallery::LocalGallery,
    host::TauriHost,
    launch::Arguments,
    quit::Quit,
    shell::Shell,
    window::{Life, Waiting},
};

/// The program: runs until somebody ends it, or with no tray closes its window.
#[expect(
    clippy::print_stderr,
    reason = "without a window there is no other place to say why"
)]
#[must_use]
pub fn main() -> ExitCode {
    web_view::prepare();
    imgn_server::give_back_what_is_large();
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("IMGN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("imgn-desktop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    if let Some(folder) = &arguments.man {
        return launch::write_manual(folder).with_context(|| {
            format!(
                "the manual page cannot be written into {}",
                folder.display()
            )
        });
    }
    let home = Home::locate(arguments.home.clone())?;
    let folder = std::env::current_dir().unwrap_or_default();
    let asked = arguments.asked(&folder);
    // Before anything of the profile is opened: the app that runs has it.
    let claimed = imgn_desk::claim(&home, &asked.to_words());
    let instance = match claimed.context("imgn is already running and takes nothing")? {
        Claim::Ours(instance) => instance,
        Claim::Theirs => return Ok(()),
    };
    let gallery = LocalGallery::new(home.path().join("gallery"));
    let window_kept = window::kept_in(&home);
    // Commands may arrive as soon as there is a window, so the profile is open before there is one.
    let core = tauri::async_runtime::block_on(App::open(home, arguments.options()))
        .context("cannot open the profile")
        .inspect_err(failure::show)?;
    let pictures = core.clone();
    let host = Arc::new(TauriHost::default());
    let desk = Desk::new(core.clone(), Arc::clone(&host) as Arc<_>);
    let desk = tauri::async_runtime::block_on(desk);
    let shown = (pictures, desk.clone());
    let theme = settings_commands::theme_of(tauri::async_runtime::block_on(core.look()).theme);
    let ipc = ipc::builder();
    let invoke_handler = ipc::handler(ipc.invoke_handler());

    tauri::Builder::default()
        .plugin(tauri_plugin_clipboard_manager::init())
        .plugin(tauri_plugin_dialog::init())
        .plugin(window_kept)
        .manage(Waiting::default())
        .manage(Life::default())
        .manage(Dialogs::default())
        .manage(Shell::new(core, desk, gallery))
        .register_asynchronous_uri_scheme_protocol("thumb", move |_, request, responder| {
            thumb_scheme::answer(shown.clone(), request, responder);
        })
        .invoke_handler(invoke_handler)
        .on_window_event(shell::on_window_event)
        .setup(move |app| {
            ipc.mount_events(app);
            app.handle().set_theme(theme);
            host.begin(app.handle().clone());
            tray::start(app.handle(), asked.minimised);
            shell::start(app.handle(), asked);
            let handle = app.handle().clone();
            instance.listen(move |words| shell::joined(&handle, Asked::of_words(words)));
            app.manage(instance);
            quit::on_signal(app.handle());
            Ok(())
        })
        .build(tauri::generate_context!())
        .context("cannot open a window")?
        .run({
            let quit = Quit::default();
            move |app, event| {
                quit.on_run_event(app, &event, || app.state::<Shell>().inner().clone());
            }
        });
    Ok(())
}
