//! WebDriver programs as child processes: `chromedriver` for the web page, `WebKitWebDriver` for the desktop window.
//!
//! Invariant: the driver, and with it its browser, ends with its handle.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use fantoccini::{
    Client, ClientBuilder, Locator, elements::Element, wd::WebDriverCompatibleCommand,
};
use imgn_testkit::process::eventually;
use serde_json::json;

/// How long the page may take for what a test waits for. Generous: test machines are slow and shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running WebDriver program.
pub(crate) struct Driver {
    child: std::process::Child,
    url: String,
}

impl Driver {
    /// Starts `program` with `--port=N` on a free port and waits until it listens.
    pub(crate) async fn start(mut command: Command) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        command
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Killed, the program leaves its browser behind; the group has both.
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("{command:?}; `cargo xtask test` installs it"))?;
        let driver = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
        };
        eventually("the WebDriver program listens", PATIENCE, async || {
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
                .map(drop))
        })
        .await?;
        Ok(driver)
    }

    /// A session with these capabilities.
    pub(crate) async fn session(&self, capabilities: serde_json::Value) -> Result<Client> {
        let capabilities = capabilities
            .as_object()
            .context("capabilities are an object")?
            .clone();
        // Plain HTTP on loopback: the client is built without TLS.
        let mut builder =
            ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        Ok(builder
            .capabilities(capabilities)
            .connect(&self.url)
            .await?)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

/// Headless Chromium with an empty profile, which looks nothing up on its own.
pub(crate) async fn chromium(profile: &std::path::Path) -> Result<(Driver, Client)> {
    let driver = Driver::start(Command::new("chromedriver")).await?;
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,800",
    ];
    let mut arguments: Vec<String> = arguments.map(ToOwned::to_owned).to_vec();
    arguments.push(format!("--user-data-dir={}", profile.display()));
    let client = driver
        .session(json!({"goog:chromeOptions": {"args": arguments}}))
        .await?;
    Ok((driver, client))
}

/// The element with this test id, as soon as it is there.
pub(crate) async fn element(client: &Client, test_id: &str) -> Result<Element> {
    let selector = format!("[data-testid='{test_id}']");
    let found = client
        .wait()
        .at_most(PATIENCE)
        .for_element(Locator::Css(&selector))
        .await;
    match found {
        Ok(element) => Ok(element),
        Err(error) => {
            let shown = script(client, "return document.body.innerText", Vec::new()).await;
            Err(error).with_context(|| format!("no {test_id} on the page, which shows {shown:?}"))
        }
    }
}

/// Runs a script that answers with JSON.
pub(crate) async fn script(
    client: &Client,
    source: &str,
    arguments: Vec<serde_json::Value>,
) -> Result<serde_json::Value> {
    Ok(client.execute(source, arguments).await?)
}

/// Asks Chromium something that WebDriver has no words for, by its DevTools protocol.
pub(crate) async fn devtools(
    client: &Client,
    method: &str,
    parameters: serde_json::Value,
) -> Result<serde_json::Value> {
    let command = DevTools(json!({"cmd": method, "params": parameters}));
    Ok(client.issue_cmd(command).await?)
}

#[derive(Debug)]
struct DevTools(serde_json::Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &url::Url) -> (reqwest::Method, Option<String>) {
        (reqwest::Method::POST, Some(self.0.to_string()))
    }
}
