//! The screens that a real gallery shows seldom or only for a moment, on a made-up one: each under axe in four sizes,
//! both themes and both languages, and with lines that begin at the right.
//!
//! Invariant: nothing is wider than the window, and no control is beyond its edge.

use std::process::Command;

use imgn_testkit::process::Running;

use super::{keys::becomes, *};
use crate::driver::devtools;

/// A scene of `npm run design`, and what is on the page once it is there.
const SCENES: &[(&str, &str)] = &[
    ("first-start", "[data-testid='first-start']"),
    ("empty", "[data-testid='empty-gallery']"),
    ("error", "[data-testid='gallery-error']"),
    ("filling", "[data-testid='filling']"),
    ("slow", ".skeleton"),
    ("offline", "[data-testid='offline-banner']"),
    ("failing", "[data-testid='failing-banner']"),
    ("local", "[data-testid='cell']"),
    ("asked", "[data-testid='asked-files']"),
];

/// From a phone to a large screen, in CSS pixels.
const SIZES: [(u32, u32); 4] = [(360, 640), (800, 600), (1280, 800), (1920, 1080)];

/// The page as its designers see it, on a port of its own.
struct Design {
    url: String,
    _server: Running,
}

impl Design {
    async fn start(directory: &Path) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui");
        let mut command = Command::new("node");
        command
            .arg("node_modules/vite/bin/vite.js")
            .args(["--mode", "design", "--host", "127.0.0.1", "--port"])
            .arg(port.to_string())
            .current_dir(ui);
        let (server, _) = Running::start(command, &directory.join("design.log"))?;
        eventually("the page is served", PATIENCE, async || {
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            Ok(connected.ok().map(drop))
        })
        .await?;
        Ok(Self {
            url: format!("http://127.0.0.1:{port}/"),
            _server: server,
        })
    }

    async fn show(&self, client: &Client, query: &str, shown: &str) -> Result<()> {
        client.goto(&format!("{}?{query}", self.url)).await?;
        let there = client
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::Css(shown));
        there
            .await
            .with_context(|| format!("{query}: no {shown}"))?;
        Ok(())
    }
}

async fn look(client: &Client, size: (u32, u32), theme: &str) -> Result<()> {
    let (width, height) = size;
    let metrics =
        json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
    devtools(client, "Emulation.setDeviceMetricsOverride", metrics).await?;
    let features = json!([
        {"name": "prefers-color-scheme", "value": theme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]);
    let media = json!({"features": features});
    devtools(client, "Emulation.setEmulatedMedia", media).await?;
    Ok(())
}

/// axe, and whether all fits into the width.
async fn check(client: &Client, what: &str) -> Result<()> {
    axe::check(client, what).await?;
    const TOO_WIDE: &str = "
        const page = document.documentElement;
        const isBeyond = (one) => {
            const { left, right } = one.getBoundingClientRect();
            return left < -0.5 || right > page.clientWidth + 0.5;
        };
        const scrolls = (one) => one !== null && (one.scrollWidth > one.clientWidth
            && ['auto', 'scroll'].includes(getComputedStyle(one).overflowX) || scrolls(one.parentElement));
        const isReached = (one) => one.checkVisibility({visibilityProperty: true, opacityProperty: true})
            && one.closest('[inert]') === null && !scrolls(one.parentElement)
            && !one.classList.contains('visually-hidden') && one.closest('.visually-hidden') === null;
        const controls = [...document.querySelectorAll('a[href], button, input, select, textarea')].filter(isReached);
        const all = page.scrollWidth > page.clientWidth ? [...document.querySelectorAll('body *')] : [];
        return [...controls, ...all].filter(isBeyond).map((one) => one.outerHTML.slice(0, 160));";
    let wide = script(client, TOO_WIDE, vec![]).await?;
    ensure!(wide == json!([]), "{what}: too wide: {wide}");
    Ok(())
}

#[tokio::test]
async fn every_scene_is_for_everybody_in_every_size() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let design = Design::start(directory.path()).await?;
    let (_driver, client) = chromium(&directory.path().join("profile")).await?;
    for (scene, shown) in SCENES {
        for (language, direction) in [("en", "ltr"), ("de", "ltr"), ("en", "rtl")] {
            let query =
                format!("scene={scene}&pictures=2000&uploads=3&lang={language}&dir={direction}");
            design.show(&client, &query, shown).await?;
            for size in SIZES {
                for theme in ["light", "dark"] {
                    look(&client, size, theme).await?;
                    let what = format!("{scene}, {language}, {direction}, {size:?}, {theme}");
                    check(&client, &what).await?;
                }
            }
        }
    }
    client.close().await?;
    Ok(())
}

/// What opens over the gallery in the window.
#[tokio::test]
async fn every_dialog_of_the_window_is_for_everybody_in_every_size() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let design = Design::start(directory.path()).await?;
    let (_driver, client) = chromium(&directory.path().join("profile")).await?;
    for (language, direction) in [("en", "ltr"), ("de", "ltr"), ("en", "rtl")] {
        for (what, path) in [
            (
                "settings",
                &["server", "settings-gallery", "known-gallery"][..],
            ),
            ("storage", &["server", "settings-storage", "cache-limit"]),
            ("desktop", &["server", "settings-desktop", "hotkey"]),
            ("general", &["server", "settings-general", "theme"]),
            ("checks", &["server", "settings-doctor", "check"]),
            ("uploads", &["upload-toggle", "upload-row"]),
            ("history", &["upload-toggle", "history", "history-entry"]),
            (
                "upload settings",
                &["upload-toggle", "upload-settings", "upload-rate"],
            ),
        ] {
            for size in SIZES {
                look(&client, size, "light").await?;
                let query = format!("pictures=2000&uploads=3&lang={language}&dir={direction}");
                design.show(&client, &query, "[data-testid='cell']").await?;
                let (last, clicked) = path.split_last().context("a path")?;
                for test_id in clicked {
                    element(&client, test_id).await?;
                    // Where it is scrolled to is not what this is about.
                    const CLICK: &str =
                        "document.querySelector(`[data-testid='${arguments[0]}']`).click()";
                    script(&client, CLICK, vec![json!(test_id)]).await?;
                }
                element(&client, last).await?;
                for theme in ["light", "dark"] {
                    look(&client, size, theme).await?;
                    let what = format!("{what}, {language}, {direction}, {size:?}, {theme}");
                    check(&client, &what).await?;
                }
            }
        }
    }
    client.close().await?;
    Ok(())
}

/// A point of the page, in CSS pixels.
type Point = (u32, u32);

async fn click(client: &Client, (x, y): Point, button: &str) -> Result<()> {
    for (kind, button) in [
        ("mouseMoved", "none"),
        ("mousePressed", button),
        ("mouseReleased", button),
    ] {
        let event = json!({"type": kind, "x": x, "y": y, "button": button, "clickCount": 1});
        devtools(client, "Input.dispatchMouseEvent", event).await?;
    }
    Ok(())
}

/// Presses Escape wherever the focus is, also where it is nowhere.
async fn escape(client: &Client) -> Result<()> {
    for kind in ["keyDown", "keyUp"] {
        let event =
            json!({"type": kind, "key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 27});
        devtools(client, "Input.dispatchKeyEvent", event).await?;
    }
    Ok(())
}

const CONTROL_MINUS: &str = "\u{e009}-";
const CONTROL_Z: &str = "\u{e009}z";
const DELETE: &str = "\u{e017}";

#[tokio::test]
async fn keys_and_wheel_are_the_pictures_also_after_the_mouse_was_used() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let design = Design::start(directory.path()).await?;
    let (_driver, client) = chromium(&directory.path().join("profile")).await?;
    look(&client, (1024, 768), "light").await?;
    let cell = "[data-testid='cell']";
    design.show(&client, "pictures=2000&lang=en", cell).await?;

    // Near the lower edge the menu is above the pointer, and the entry that Enter acts on is marked.
    click(&client, (300, 740), "right").await?;
    element(&client, "menu").await?;
    const MENU: &str = "
        const under = document.elementFromPoint(300, 740).closest('[role=menuitem]');
        const entry = document.activeElement;
        const isMarked = getComputedStyle(entry).backgroundColor !== 'rgba(0, 0, 0, 0)';
        return [entry.dataset.testid, isMarked, under === null];";
    let wanted = json!(["menu-open", true, true]);
    becomes(&client, "an entry is marked", MENU, &wanted).await?;
    escape(&client).await?;
    gone(&client, "menu").await?;
    const RING: &str = "return getComputedStyle(document.activeElement, '::after').borderTopWidth;";
    becomes(&client, "the picture has a ring", RING, &json!("3px")).await?;

    // The dates lead somewhere, and the keys go on from there.
    click(&client, (1000, 400), "left").await?;
    const IN_GRID: &str = "return document.activeElement.closest('[data-testid=cell]') !== null;";
    becomes(&client, "keys are the pictures'", IN_GRID, &json!(true)).await?;
    press(&client, CONTROL_MINUS).await?;
    const DENSITY: &str = "return localStorage.getItem('imgn.density');";
    becomes(&client, "pictures are smaller", DENSITY, &json!("1")).await?;

    // Over the dates and over the header.
    const TOP: &str = "return document.querySelector('[data-testid=gallery-grid]').scrollTop;";
    for (x, y) in [(1000, 400), (500, 20)] {
        let before = script(&client, TOP, vec![]).await?.as_f64();
        let wheel = json!({"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": 300});
        devtools(&client, "Input.dispatchMouseEvent", wheel).await?;
        eventually("the wheel scrolls", PATIENCE, async || {
            let now = script(&client, TOP, vec![]).await?.as_f64();
            Ok((now > before).then_some(()))
        })
        .await?;
    }

    // Out of a search that found nothing, from where there is nothing to have the focus.
    let field = element(&client, "search").await?;
    field.send_keys("no such thing").await?;
    element(&client, "nothing-found").await?;
    click(&client, (300, 700), "left").await?;
    escape(&client).await?;
    gone(&client, "nothing-found").await?;
    element(&client, "cell").await?;

    let picture = client
        .find(Locator::Css("[data-testid='cell'] .open"))
        .await?;
    picture.send_keys(DELETE).await?;
    element(&client, "undo-notice").await?;
    press(&client, CONTROL_Z).await?;
    gone(&client, "undo-notice").await?;
    client.close().await?;
    Ok(())
}

/// What a control says goes when it is pressed, and does not stand over what that opened.
#[tokio::test]
async fn a_tooltip_goes_when_its_button_is_pressed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let design = Design::start(directory.path()).await?;
    let (_driver, client) = chromium(&directory.path().join("profile")).await?;
    look(&client, (640, 480), "light").await?;
    let cell = "[data-testid='cell']";
    design.show(&client, "pictures=2000&lang=en", cell).await?;
    const MIDDLE: &str = "
        const { x, y, width, height } = document.querySelector('[data-testid=upload-toggle]').getBoundingClientRect();
        return [Math.round(x + width / 2), Math.round(y + height / 2)];";
    let middle = script(&client, MIDDLE, vec![]).await?;
    let [x, y] = [0_usize, 1].map(|at| middle[at].clone());
    let hover = json!({"type": "mouseMoved", "x": x, "y": y});
    devtools(&client, "Input.dispatchMouseEvent", hover).await?;
    const TOLD: &str = "return document.querySelector('.tip:popover-open')?.textContent ?? null;";
    let words = json!("Uploads: none running");
    becomes(&client, "what it is for is told", TOLD, &words).await?;
    for kind in ["mousePressed", "mouseReleased"] {
        let event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
        devtools(&client, "Input.dispatchMouseEvent", event).await?;
    }
    becomes(&client, "nothing is told", TOLD, &Value::Null).await?;
    client.close().await?;
    Ok(())
}
