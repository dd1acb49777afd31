//! What the program is started with.

use std::path::PathBuf;

use imgn_core::{Options, protocol::Token};

/// A window on a picture gallery: drop pictures on it, and they are public.
#[derive(clap::Parser)]
#[command(name = "imgn-desktop", version)]
pub(crate) struct Arguments {
    /// Pictures, and folders of them, to upload as soon as a gallery is connected.
    pub(crate) files: Vec<PathBuf>,
    /// The folder of everything that the app keeps.
    #[arg(long, value_name = "DIR", env = "IMGN_HOME")]
    pub(crate) home: Option<PathBuf>,
    /// The gallery's server, in place of the one that was last used.
    #[arg(
        long,
        value_name = "URL",
        env = "IMGN_SERVER",
        conflicts_with = "local_gallery"
    )]
    server: Option<String>,
    /// Opens the gallery on this computer, and makes it if there is none.
    #[arg(long)]
    pub(crate) local_gallery: bool,
    /// Uploads what is on the clipboard: for a key of the desktop's own, where imgn cannot have one.
    #[arg(long)]
    pub(crate) clipboard: bool,
    /// Starts without the window, where there is a tray to reach it by.
    #[arg(long)]
    pub(crate) minimised: bool,
    /// Uploads the pictures of this folder if the gallery is empty.
    #[arg(long, value_name = "DIR")]
    pub(crate) import: Option<PathBuf>,
}

impl Arguments {
    /// How the app without a window is to behave. The token comes from the environment only: arguments can be seen by
    /// every user of a computer.
    pub(crate) fn options(&self) -> Options {
        let token = std::env::var("IMGN_TOKEN")
            .ok()
            .filter(|token| !token.trim().is_empty());
        Options {
            server: self.server.clone(),
            token: token.map(|token| Token::new(token.trim())),
            adopt: true,
            starts_local: true,
            follow: true,
            ..Options::default()
        }
    }
}
