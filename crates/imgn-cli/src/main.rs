//! `imgn`: a picture gallery's client on the command line.
//!
//! It reads arguments, calls [`imgn_core::App`] and prints what it answers: answers on standard output, everything else
//! on standard error. It decides nothing about uploads.
//!
//! Invariant: standard output carries only what was asked for, one line each.

mod account;
mod args;
mod doctor;
mod follow;
mod gallery;
mod manual;
mod memory;
mod offline;
mod output;
mod queue;
mod signal;
mod thumb;
mod upload;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use imgn_core::{App, CommandError, Folders, Home, Options, protocol::Token};
use tracing_subscriber::EnvFilter;

use args::{Cli, Command, Global, Pace};
use output::{Output, told};

fn main() -> ExitCode {
    let cli: Cli = imgn_args::parse();
    log(cli.global.verbose);
    let output = Output {
        json: cli.global.json,
        quiet: cli.global.quiet,
        verbose: cli.global.verbose > 0,
    };
    // These ask no gallery.
    match &cli.command {
        Command::Thumb { files, out, size } => {
            return ended(thumb::thumb(&output, files, out, *size), &output);
        }
        Command::Completions { shell } => {
            return ended(manual::completions(&output, *shell), &output);
        }
        Command::Man { directory } => return ended(manual::pages(directory), &output),
        _ => {}
    }
    memory::share_arenas();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            output.error(format!(
                "cannot start ({error}); are there too many processes?"
            ));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(cli, &output));
    // A read of standard input may still hang; it does not keep the program.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended(done, &output)
}

/// Tells what went wrong, and whether all was done.
fn ended(done: Result<bool>, output: &Output) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            if !is_broken_pipe(&error) {
                let text = format!("{error:#}");
                output.error(match error.downcast_ref::<CommandError>() {
                    Some(known) => told(known.code, text),
                    None => text,
                });
            }
            ExitCode::FAILURE
        }
    }
}

/// Answers whether all was done.
async fn run(cli: Cli, output: &Output) -> Result<bool> {
    let Global { server, home, .. } = cli.global;
    let token = std::env::var("IMGN_TOKEN").ok();
    let token = token
        .map(|token| Token::new(&token))
        .filter(|token| !token.is_empty());
    let has_token = token.is_some();
    let mut options = Options {
        token,
        ..Options::default()
    };
    match &cli.command {
        // It chooses the server; the one that is chosen now may be out of order.
        Command::Login { .. } => {}
        _ => options.server.clone_from(&server),
    }
    match &cli.command {
        Command::Resume { ids, pace, .. } => {
            options.adopt = ids.is_empty();
            pace_of(pace, &mut options);
        }
        Command::Upload { keep_gps, pace, .. } => {
            options.keep_location = *keep_gps;
            pace_of(pace, &mut options);
        }
        _ => {}
    }
    let app = App::open(Home::locate(home)?, options).await?;
    let done = match cli.command {
        Command::Login { token_stdin } => {
            account::login(&app, output, server, token_stdin, has_token).await
        }
        Command::Logout => account::logout(&app, output).await,
        Command::Status => account::status(&app, output).await,
        Command::Doctor => doctor::doctor(&app, output).await,
        Command::History { limit, search } => doctor::history(&app, output, limit, search).await,
        Command::Upload {
            paths,
            clipboard,
            recursive,
            format,
            ..
        } => {
            let folders = if recursive {
                Folders::Walked
            } else {
                Folders::Refused
            };
            let named = upload::Named { paths, clipboard };
            upload::upload(&app, output, named, folders, &format).await
        }
        Command::Resume { ids, format, .. } => queue::resume(&app, output, &ids, &format).await,
        Command::Queue => queue::queue(&app, output).await,
        Command::Pause(which) => queue::pause(&app, output, which).await,
        Command::Cancel(which) => queue::cancel(&app, output, which).await,
        Command::List {
            limit,
            search,
            offline: true,
        } => offline::list(&app, output, limit, search).await,
        Command::List { limit, search, .. } => gallery::list(&app, output, limit, search).await,
        Command::Sync { originals } => offline::sync(&app, output, originals).await,
        Command::Cache { what } => offline::cache(&app, output, &what).await,
        Command::Get { id, output: to } => gallery::get(&app, output, id, to).await,
        Command::Delete { ids } => gallery::delete(&app, output, ids).await,
        Command::Link { id, format } => gallery::print_link(&app, output, id, &format).await,
        // Done before there is an app.
        Command::Thumb { files, out, size } => thumb::thumb(output, &files, &out, size),
        Command::Completions { shell } => manual::completions(output, shell),
        Command::Man { directory } => manual::pages(&directory),
    };
    app.quit().await;
    done
}

fn pace_of(pace: &Pace, options: &mut Options) {
    options.jobs = pace.jobs;
    options.bytes_per_second = pace.limit_rate;
}

fn log(verbose: u8) {
    let filter = match verbose {
        0 => "off",
        1 => "warn,imgn_core=debug,imgn_upload=debug",
        _ => "debug",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// Whether the reader of standard output has gone away, as `head` does: nobody is left to be told.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
