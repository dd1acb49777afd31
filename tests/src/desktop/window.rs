//! The desktop app in a session of its own, driven as a person does: by its elements, and by files dragged onto it.

use std::{io::Cursor, path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use fantoccini::{Client, Locator, elements::Element};
use image::ImageFormat;
use imgn_testkit::process::{Running, eventually, program, status_field};
use serde::Deserialize;
use serde_json::{Value, json};

use super::screen::Screen;
use crate::driver::{Driver, PATIENCE, element};

/// Where the window that is dragged from stands: in a corner that the app's window does not cover wholly.
const SOURCE: (i32, i32) = (1360, 800);

/// A picture in the grid.
pub(crate) struct Painted {
    /// Which.
    pub(crate) id: String,
    /// What its place on the screen shows, as PNG.
    pub(crate) picture: Vec<u8>,
}

/// Where a picture is in the window, in pixels.
#[derive(PartialEq, Eq, Deserialize)]
struct Place {
    id: String,
    /// Left, top, width, height.
    rectangle: [u32; 4],
}

/// A running app. Ends before its session does.
pub(crate) struct Window {
    /// The web view.
    pub(crate) page: Client,
    // The driver ends the app; the screen must outlive both.
    _driver: Driver,
    screen: Screen,
}

impl Window {
    /// Starts the app with these arguments in `screen`. It keeps everything below the session's home.
    pub(crate) async fn open(screen: Screen, arguments: &[&str]) -> Result<Self> {
        let mut command = screen.command("WebKitWebDriver");
        command
            .env("TAURI_AUTOMATION", "true")
            .env("TAURI_WEBVIEW_AUTOMATION", "true");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(screen.app_log())?;
        command.stdout(log.try_clone()?).stderr(log);
        let driver = Driver::start(command).await?;
        let binary = program("imgn-desktop")?;
        let options = json!({"binary": binary, "args": arguments});
        let page = driver
            .session(json!({"webkitgtk:browserOptions": options}))
            .await?;
        Ok(Self {
            page,
            _driver: driver,
            screen,
        })
    }

    /// Closes the window by the window manager's key and answers the session, in which it can be opened again.
    ///
    /// Not by the driver: when that ends, the app may outlive its web view.
    pub(crate) async fn close(self) -> Result<Screen> {
        let process = self.process()?;
        // By itself, or it goes to the window and past the window manager.
        self.screen.xdotool(&["key", "alt+F4"])?;
        ended(process).await?;
        Ok(self.screen)
    }

    /// Ends the app as a session that is left does, by `SIGTERM`, and answers the session.
    pub(crate) async fn terminate(self) -> Result<Screen> {
        let process = self.process()?;
        let told = std::process::Command::new("kill")
            .args(["-TERM", &process.to_string()])
            .status()?;
        ensure!(told.success(), "no process {process}");
        ended(process).await?;
        Ok(self.screen)
    }

    /// Presses keys in the window, named as `xdotool` names them.
    pub(crate) fn keys(&self, keys: &str) -> Result<()> {
        self.process()?;
        self.screen.xdotool(&["key", keys]).map(drop)
    }

    /// The app's process, whose window comes to the front.
    fn process(&self) -> Result<u32> {
        let process = self.screen.xdotool(&[
            "search",
            "--onlyvisible",
            "--name",
            "^imgn$",
            "windowactivate",
            "--sync",
            "getwindowpid",
        ])?;
        Ok(process.parse()?)
    }

    /// The session that it is in.
    pub(crate) fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Brings it to the front, so that keys go to it.
    pub(crate) fn focus(&self) -> Result<()> {
        self.process().map(drop)
    }

    /// The most memory that the app's own process had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        status_field(self.process()?, "VmHWM")
    }

    /// Where the gallery is that the app shows.
    pub(crate) async fn server(&self) -> Result<String> {
        let state = self.invoke("app_state", json!({})).await?;
        let url = state.pointer("/ok/server/url").and_then(Value::as_str);
        Ok(url
            .with_context(|| format!("no gallery: {state}"))?
            .trim_end_matches('/')
            .to_owned())
    }

    /// See [`Screen::restart_keyring`].
    pub(crate) fn restart_keyring(&mut self) -> Result<()> {
        self.screen.restart_keyring()
    }

    /// Calls a command as the page can; answers `{"ok": …}` or `{"error": …}`.
    pub(crate) async fn invoke(&self, command: &str, arguments: Value) -> Result<Value> {
        let source = "const [command, args, done] = arguments;
            window.__TAURI_INTERNALS__.invoke(command, args)
                .then((ok) => done({ ok }), (error) => done({ error: error }));";
        Ok(self
            .page
            .execute_async(source, vec![json!(command), arguments])
            .await?)
    }

    /// The elements with this test id that are there now.
    pub(crate) async fn all(&self, test_id: &str) -> Result<Vec<Element>> {
        let selector = format!("[data-testid='{test_id}']");
        eventually(&format!("{test_id} stands still"), PATIENCE, async || {
            match self.page.find_all(Locator::Css(&selector)).await {
                Ok(elements) => Ok(Some(elements)),
                // One went away between being found and being named.
                Err(error) if error.is_stale_element_reference() => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// The picture with this file name, as soon as it is painted in full.
    ///
    /// It is cut out of a picture of the whole page: the driver's own picture of an element scrolls first, and misses.
    pub(crate) async fn painted(&self, file_name: &str) -> Result<Painted> {
        // Over the pictures are their captions, where the pointer is, and the upload panel.
        self.screen.xdotool(&["mousemove", "0", "0"])?;
        self.show_panel(false).await?;
        eventually(&format!("{file_name} is painted"), PATIENCE, async || {
            let Some(before) = self.place(file_name).await? else {
                return Ok(None);
            };
            let page = image::load_from_memory(&self.page.screenshot().await?)?;
            // Pictures move while others are added.
            if self.place(file_name).await?.as_ref() != Some(&before) {
                return Ok(None);
            }
            let [x, y, width, height] = before.rectangle;
            ensure!(
                x + width <= page.width() && y + height <= page.height(),
                "{file_name} is not in sight"
            );
            let mut picture = Cursor::new(Vec::new());
            page.crop_imm(x, y, width, height)
                .write_to(&mut picture, ImageFormat::Png)?;
            Ok(Some(Painted {
                id: before.id,
                picture: picture.into_inner(),
            }))
        })
        .await
    }

    /// Where a picture is, once it is loaded and no longer fades in.
    async fn place(&self, file_name: &str) -> Result<Option<Place>> {
        let source = "const image = [...document.querySelectorAll(\"[data-testid='cell'] img\")]
                .find((image) => image.alt === arguments[0]);
            if (!image || !image.complete || image.naturalWidth === 0) return null;
            if (getComputedStyle(image).opacity !== '1') return null;
            const { x, y, width, height } = image.getBoundingClientRect();
            const rectangle = [x, y, width, height].map((length) => Math.round(length * devicePixelRatio));
            return { id: image.closest('[data-image-id]').dataset.imageId, rectangle };";
        Ok(serde_json::from_value(
            self.page.execute(source, vec![json!(file_name)]).await?,
        )?)
    }

    /// Opens or folds the upload panel, if it is not so already, and waits until it has come to rest: a click at what
    /// slides hits what slides after it.
    pub(crate) async fn show_panel(&self, shown: bool) -> Result<()> {
        const RESTS: &str = "
            const panel = document.querySelector(\"[data-testid='upload-panel']\");
            return panel.classList.contains('open') === arguments[0] && panel.getAnimations().length === 0;";
        eventually(
            "the panel is as wanted, and at rest",
            PATIENCE,
            async || {
                let toggle = element(&self.page, "upload-toggle").await?;
                // It may open by itself at any moment.
                let is_shown = toggle.attr("aria-expanded").await?.as_deref() == Some("true");
                if is_shown != shown {
                    toggle.click().await?;
                }
                let rests = self.page.execute(RESTS, vec![json!(shown)]).await?;
                Ok((rests == true).then_some(()))
            },
        )
        .await
    }

    /// What the row of this file's upload says.
    pub(crate) async fn row_text(&self, file_name: &str) -> Result<String> {
        self.show_panel(true).await?;
        element(&self.page, "upload-row").await?;
        let source = "return [...document.querySelectorAll(\"[data-testid='upload-row']\")]
                .map((row) => row.textContent).find((text) => text.includes(arguments[0])) ?? null;";
        let text = self.page.execute(source, vec![json!(file_name)]).await?;
        Ok(text
            .as_str()
            .with_context(|| format!("no row names {file_name}"))?
            .to_owned())
    }

    /// Drags files from another window onto this one and lets go, with the real pointer.
    pub(crate) async fn drop_files(&self, files: &[PathBuf]) -> Result<()> {
        let screen = &self.screen;
        let (x, y) = SOURCE;
        let mut source = screen.command("/usr/bin/python3");
        source.arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/desktop/dragsource.py"
        ));
        source
            .args([x.to_string(), y.to_string()])
            .args(files)
            .stdin(Stdio::null());
        let (source, ready) = Running::start(source, &screen.folder().join("dragsource.log"))?;
        ensure!(ready == "ready", "the drag source said {ready:?}");
        // Those before it wrote into the same log.
        let before = source.log().len();
        let said = || source.log().split_off(before);

        let mut pointer = Pointer {
            screen,
            x: x + 60,
            y: y + 40,
        };
        pointer.place()?;
        screen.xdotool(&["mousedown", "1"])?;
        eventually("the drag begins", PATIENCE, async || {
            pointer.nudge()?;
            Ok(said().contains("begin").then_some(()))
        })
        .await?;

        let (x, y) = self.middle()?;
        eventually("the pointer is over the window", PATIENCE, async || {
            pointer.approach(x, y)
        })
        .await?;
        eventually(
            "the window offers to take the files",
            PATIENCE,
            async || {
                pointer.nudge()?;
                Ok(self.overlay_is_shown().await?.then_some(()))
            },
        )
        .await?;
        screen.xdotool(&["mouseup", "1"])?;
        eventually("the files are dropped", PATIENCE, async || {
            Ok(said().contains("end ").then_some(()))
        })
        .await?;
        ensure!(
            !said().contains("failed"),
            "the drop was refused:\n{}",
            said()
        );
        Ok(())
    }

    /// Drags a picture of the grid onto another program's window with the real pointer, and answers what that got of `kind`.
    pub(crate) async fn drag_out(&self, id: &str, kind: &str) -> Result<String> {
        let screen = &self.screen;
        let (x, y) = SOURCE;
        let mut target = screen.command("/usr/bin/python3");
        target.arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/desktop/droptarget.py"
        ));
        let place = [x.to_string(), y.to_string()];
        target.args(place).arg(kind).stdin(Stdio::null());
        let (target, ready) = Running::start(target, &screen.folder().join("droptarget.log"))?;
        ensure!(ready == "ready", "the drop target said {ready:?}");
        // Those before it wrote into the same log.
        let before = target.log().len();
        let said = || target.log().split_off(before);

        let source = "const cell = document.querySelector(`[data-image-id='${arguments[0]}']`);
            const { left, top, width, height } = cell.getBoundingClientRect();
            return [Math.round(left + width / 2), Math.round(top + height / 2)];";
        let at = self.page.execute(source, vec![json!(id)]).await?;
        let (left, top): (i32, i32) = serde_json::from_value(at)?;
        let [window_left, window_top, ..] = self.screen.geometry()?;
        let mut pointer = Pointer {
            screen,
            x: window_left + left,
            y: window_top + top,
        };
        pointer.place()?;
        screen.xdotool(&["mousedown", "1"])?;
        eventually("the pointer is over the target", PATIENCE, async || {
            pointer.approach(x + 60, y + 40)
        })
        .await?;
        eventually("the target sees the drag", PATIENCE, async || {
            pointer.nudge()?;
            Ok(said().contains("over").then_some(()))
        })
        .await?;
        ensure!(
            !self.overlay_is_shown().await?,
            "the window takes its own pictures for others' files"
        );
        screen.xdotool(&["mouseup", "1"])?;
        let got = eventually("the target has what was dropped", PATIENCE, async || {
            let said = said();
            Ok(said
                .lines()
                .find_map(|line| Some(line.strip_prefix("got ")?.to_owned())))
        })
        .await?;
        Ok(serde_json::from_str(&got)?)
    }

    async fn overlay_is_shown(&self) -> Result<bool> {
        match self.all("drop-overlay").await?.first() {
            Some(overlay) => Ok(overlay.is_displayed().await.unwrap_or(false)),
            None => Ok(false),
        }
    }

    /// The middle of the window on the screen.
    fn middle(&self) -> Result<(i32, i32)> {
        let [x, y, width, height] = self.screen.geometry()?;
        Ok((x + width / 2, y + height / 2))
    }
}

async fn ended(process: u32) -> Result<()> {
    eventually("the app has ended", PATIENCE, async || {
        let state = std::fs::read_to_string(format!("/proc/{process}/stat"));
        // A zombie has ended; the driver may not have asked how yet.
        Ok(state
            .map_or(true, |state| state.contains(") Z "))
            .then_some(()))
    })
    .await
}

/// The real pointer. It moves as a hand does, in steps: toolkits take no notice of a jump.
struct Pointer<'a> {
    screen: &'a Screen,
    x: i32,
    y: i32,
}

impl Pointer<'_> {
    /// Pixels of one step.
    const STEP: i32 = 40;

    fn place(&self) -> Result<()> {
        self.screen
            .xdotool(&["mousemove", &self.x.to_string(), &self.y.to_string()])
            .map(drop)
    }

    /// One small movement, back and forth over time; more than the 8 pixels from which GTK takes it for a drag.
    fn nudge(&mut self) -> Result<()> {
        self.x += if self.x % 2 == 0 { 15 } else { -15 };
        self.place()
    }

    /// One step towards a point; done when it is there.
    fn approach(&mut self, x: i32, y: i32) -> Result<Option<()>> {
        self.x += (x - self.x).clamp(-Self::STEP, Self::STEP);
        self.y += (y - self.y).clamp(-Self::STEP, Self::STEP);
        self.place()?;
        Ok(((self.x, self.y) == (x, y)).then_some(()))
    }
}
