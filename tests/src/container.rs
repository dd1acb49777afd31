//! The container file: that what it names is there. It is not built here, for which there is no engine.
//!
//! Invariant: what is read of it is all of it; an instruction that nothing here knows fails the test.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::process::{ServerProcess, clean_environment, program};

const FILE: &str = "deploy/container/Containerfile";

/// The instructions, each on one line and without comments.
fn instructions(root: &Path) -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(root.join(FILE))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (name, rest) = line.split_once(' ').context("an instruction")?;
            Ok((name.to_owned(), rest.trim().to_owned()))
        })
        .collect()
}

/// What the program says of a command; it has to know it.
fn help(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program("imgn-server")?);
    clean_environment(&mut command);
    let output = command.args(arguments).arg("--help").output()?;
    ensure!(output.status.success(), "{arguments:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn what_the_container_file_names_is_there() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut stages, mut images) = (BTreeSet::new(), Vec::new());
    let (mut user, mut commands) = (String::new(), Vec::new());
    let (mut work, mut data) = (String::new(), String::new());
    for (name, rest) in instructions(&root)? {
        let words: Vec<&str> = rest.split_whitespace().collect();
        match name.as_str() {
            "FROM" => {
                images.push(words[0].to_owned());
                stages.extend(
                    words
                        .iter()
                        .position(|&word| word == "AS")
                        .map(|at| words[at + 1].to_owned()),
                );
            }
            "COPY" => match words[0].strip_prefix("--from=") {
                Some(stage) => ensure!(stages.contains(stage), "{rest}"),
                None => {
                    for source in &words[..words.len() - 1] {
                        ensure!(root.join(source).exists(), "{rest}: there is no {source}");
                    }
                }
            },
            "ENV" => {
                let serve = help(&["serve"])?;
                for word in words {
                    let (variable, value) = word.split_once('=').context("a variable")?;
                    ensure!(serve.contains(&format!("[env: {variable}=")), "{variable}");
                    if variable == "IMGN_DATA_DIR" {
                        value.clone_into(&mut data);
                    }
                }
            }
            "RUN" => {
                if let Some((_, package)) = rest.split_once("--package ") {
                    let package = package.split_whitespace().next().context("a package")?;
                    ensure!(root.join("crates").join(package).is_dir(), "{rest}");
                    ensure!(
                        rest.contains(&format!("target/release/{package} ")),
                        "{rest}"
                    );
                }
                if rest.contains("npm run ") {
                    let scripts = fs::read_to_string(root.join("ui/package.json"))?;
                    ensure!(scripts.contains("\"build\":"), "{rest}");
                }
            }
            "USER" => user.clone_from(&rest),
            "ENTRYPOINT" | "CMD" => commands.push(serde_json::from_str::<Vec<String>>(&rest)?),
            "HEALTHCHECK" => {
                let (_, command) = rest.split_once("CMD ").context("a command")?;
                let command: Vec<String> = serde_json::from_str(command)?;
                ensure!(command[0] == "imgn-server", "{rest}");
                help(&[&command[1]])?;
            }
            "WORKDIR" => work.clone_from(&rest),
            "VOLUME" => ensure!(rest == data, "{rest} is not {data}"),
            "EXPOSE" | "STOPSIGNAL" => {}
            other => anyhow::bail!("{other} is unknown here"),
        }
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""));
    let version = version.context("a version")?.trim_end_matches('"');
    let rust = images.iter().find(|image| image.contains("/rust:"));
    ensure!(
        rust.context("a compiler")?
            .contains(&format!(":{version}-")),
        "{images:?}"
    );
    ensure!(
        images
            .iter()
            .all(|image| image.starts_with("docker.io/library/")),
        "{images:?}"
    );
    let (user, _) = user.split_once(':').context("a user and a group")?;
    ensure!(
        user.parse::<u32>().is_ok_and(|id| id > 0),
        "it does not run as root"
    );
    ensure!(commands == [["imgn-server"], ["serve"]], "{commands:?}");
    ensure!(work == data, "SQLite may be able to write nowhere else");
    Ok(())
}

#[tokio::test]
async fn a_server_is_asked_whether_it_is_ready() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut server = ServerProcess::start(directory.path(), &[])?;
    let listen = server.url.trim_start_matches("http://").to_owned();
    let ask = || -> Result<Option<i32>> {
        let mut command = Command::new(program("imgn-server")?);
        clean_environment(&mut command);
        let asked = command.arg("ready").env("IMGN_LISTEN", &listen).output()?;
        Ok(asked.status.code())
    };
    ensure!(ask()? == Some(0));
    server.kill();
    ensure!(ask()? == Some(1));
    Ok(())
}
