//! `login`, `logout` and `status`.

use std::{
    io::{self, IsTerminal as _, Read as _},
    time::Duration,
};

use anyhow::{Context as _, Result};
use imgn_core::{App, ClientCode, CommandError, protocol::Token};
use serde::Serialize;

use crate::{
    output::{Output, told},
    signal::stop_signal,
};

/// How long the prompt may take to give the terminal back.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A clock that is off by no more, in seconds, does no harm.
const SKEW: i64 = 60;

pub(crate) async fn login(
    app: &App,
    output: &Output,
    server: Option<String>,
    token_stdin: bool,
    has_token: bool,
) -> Result<bool> {
    let chosen = app.state().await.server.map(|server| server.url);
    let Some(server) = server.or(chosen) else {
        let message = "which gallery? Name it: `imgn login --server URL`";
        return Err(CommandError::new(ClientCode::NotConnected, message).into());
    };
    let token = if has_token {
        None
    } else {
        Some(ask_token(&server, token_stdin).await?)
    };
    let state = tokio::select! {
        state = app.connect(&server, token) => state?,
        () = stop_signal() => return Err(stopped()),
    };
    if output.json {
        output.object(&state)?;
    } else if has_token {
        output.note(format!(
            "{server} is chosen; its token is the one in IMGN_TOKEN, the keyring was not touched"
        ));
    } else {
        output.note(format!(
            "logged in at {server}; the token is in the keyring"
        ));
    }
    Ok(true)
}

async fn ask_token(server: &str, token_stdin: bool) -> Result<Token> {
    let prompt = format!("Token for {server}: ");
    let mut asked = tokio::task::spawn_blocking(move || {
        if token_stdin {
            let mut text = String::new();
            // A token is short; whoever pipes a picture here has mistaken the option.
            io::stdin().lock().take(4096).read_to_string(&mut text)?;
            return Ok(text);
        }
        if !io::stdin().is_terminal() {
            let message =
                "there is no terminal to ask for the token on; pipe it in with --token-stdin";
            return Err(io::Error::other(message));
        }
        rpassword::prompt_password(prompt)
    });
    let text = tokio::select! {
        biased;
        // Without this Ctrl-C would end the process before the prompt gives the terminal back as it found it.
        () = stop_signal() => {
            let _ = tokio::time::timeout(LAST_WAIT, &mut asked).await;
            return Err(stopped());
        }
        text = &mut asked => text?,
    };
    let text = match text {
        // Ctrl-C once more: the prompt raises the signal and ends, and its end may be seen before the signal.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(stopped()),
        text => text.context("the token cannot be read")?,
    };
    let token = Token::new(&text);
    if token.is_empty() {
        let message = "no token was given; `imgn-server token add NAME` makes one";
        return Err(CommandError::new(ClientCode::InvalidInput, message).into());
    }
    Ok(token)
}

fn stopped() -> anyhow::Error {
    anyhow::anyhow!("stopped before the login was done")
}

pub(crate) async fn logout(app: &App, output: &Output) -> Result<bool> {
    let server = app.state().await.server;
    let state = app.disconnect().await?;
    if output.json {
        output.object(&state)?;
    } else {
        match server {
            Some(server) => output.note(format!("logged out of {}", server.url)),
            None => output.note("no gallery was chosen"),
        }
    }
    Ok(true)
}

#[derive(Serialize)]
struct Status {
    version: String,
    server: Option<String>,
    reachable: bool,
    signed_in: bool,
    unfinished_uploads: usize,
    clock_skew_seconds: Option<i64>,
    error: Option<imgn_core::ViewError>,
}

pub(crate) async fn status(app: &App, output: &Output) -> Result<bool> {
    let asked = app.check().await;
    let state = app.state().await;
    let uploads = app.uploads().await;
    let server = state.server.as_ref();
    let status = Status {
        version: state.version.clone(),
        server: server.map(|server| server.url.clone()),
        reachable: server.is_some_and(|server| server.reachable),
        signed_in: server.is_some_and(|server| server.signed_in) && asked.is_ok(),
        unfinished_uploads: uploads
            .iter()
            .filter(|upload| !upload.state.has_ended())
            .count(),
        clock_skew_seconds: app.clock_skew_seconds().await,
        error: asked.err().map(Into::into),
    };
    if output.json {
        output.object(&status)?;
    } else {
        let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
        output.line(format!("server     {}", or_none(status.server.as_deref())))?;
        output.line(format!("reachable  {}", yes(status.reachable)))?;
        output.line(format!("signed in  {}", yes(status.signed_in)))?;
        output.line(format!("unfinished {}", status.unfinished_uploads))?;
        if let Some(skew) = status.clock_skew_seconds.filter(|skew| skew.abs() > SKEW) {
            output.line(format!("clock      {}", skew_in_words(skew)))?;
        }
        if let Some(error) = &status.error {
            output.error(told(error.code, &error.message));
        }
    }
    Ok(status.error.is_none())
}

fn skew_in_words(seconds: i64) -> String {
    let direction = if seconds > 0 { "ahead of" } else { "behind" };
    format!(
        "{} s {direction} the gallery's; set this computer's clock",
        seconds.unsigned_abs()
    )
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
