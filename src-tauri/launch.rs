//! What the program is started with.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use imgn_core::{Options, protocol::Token};
use imgn_desk::{Asked, Opened};

/// A window on a picture gallery: drop pictures on it, and they are public.
#[derive(clap::Parser)]
#[command(name = "imgn-desktop", version)]
pub(crate) struct Arguments {
    /// Pictures, and folders of them, to upload as soon as a gallery is connected.
    files: Vec<PathBuf>,
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
    local_gallery: bool,
    /// Uploads what is on the clipboard: for a key of the desktop's own, where imgn cannot have one.
    #[arg(long)]
    clipboard: bool,
    /// Starts without the window, where there is a tray to reach it by.
    #[arg(long)]
    minimised: bool,
    /// Uploads the pictures of this folder if the gallery is empty.
    #[arg(long, value_name = "DIR")]
    import: Option<PathBuf>,
    /// Writes the manual page into this folder, and does nothing else.
    #[arg(long, value_name = "DIR", hide = true, exclusive = true)]
    pub(crate) man: Option<PathBuf>,
}

/// Writes `imgn-desktop.1`, made from the command line itself, into a folder.
pub(crate) fn write_manual(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)
}

impl Arguments {
    /// What is asked for by a start in this folder, of this process or of the one that runs already.
    pub(crate) fn asked(&self, folder: &Path) -> Asked {
        let words = self.files.iter().cloned();
        Asked {
            opened: words
                .map(|word| Opened::of(word.into_os_string(), folder))
                .collect(),
            clipboard: self.clipboard,
            minimised: self.minimised,
            local_gallery: self.local_gallery,
            server: self.server.clone(),
            import: self.import.as_ref().map(|import| folder.join(import)),
        }
    }

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
