//! `cargo xtask test`: every check there is, in the order in which a fault is cheapest to find.
//!
//! Invariant: what passes here on one machine passes on another, since everything but cargo is set up by the first step.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::{process, project::Project, setup, tidy};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs this step alone, after the setup.
    #[arg(long, value_name = "STEP")]
    only: Option<Step>,
}

/// The steps in their order. The interface is built before any Rust is, because the programs embed it.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    Format,
    Tidy,
    Template,
    Ui,
    Lint,
    Build,
    Test,
}

impl Step {
    fn title(self) -> &'static str {
        match self {
            Self::Format => "Rust format",
            Self::Tidy => "tidiness",
            Self::Template => "template for AWS",
            Self::Ui => "interface: build, types, format, unit tests",
            Self::Lint => "lints",
            Self::Build => "programs",
            Self::Test => "unit, black-box, browser and desktop tests",
        }
    }

    fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    fn run(self, project: &Project) -> Result<()> {
        let cargo =
            |arguments: &[&str]| process::run(process::cargo(&project.root).args(arguments));
        match self {
            Self::Format => cargo(&["fmt", "--all", "--check"]),
            Self::Tidy => tidy::run(project),
            Self::Template => check_template(project),
            Self::Ui => {
                let npm = |script: &str| {
                    process::run(setup::npm(&project.ui()).args(["run", "--silent", script]))
                };
                npm("build")?;
                npm("check")?;
                npm("format:check")?;
                npm("test")
            }
            Self::Lint => cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "--deny",
                "warnings",
            ]),
            Self::Build => cargo(&["build", "--workspace", "--bins", "--examples", "--locked"]),
            Self::Test => process::run(
                process::cargo(&project.root)
                    .args(["test", "--workspace", "--locked"])
                    .env("IMGN_TEST_BIN_DIR", project.programs())
                    .env("IMGN_TEST_WEED", setup::seaweedfs(project)?)
                    .env("IMGN_TEST_SCHEMATHESIS", setup::schemathesis(project)?),
            ),
        }
    }
}

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let steps = match arguments.only {
        Some(step) => vec![step],
        None => Step::value_variants().to_vec(),
    };
    let start = Instant::now();
    println!("== setup");
    setup::for_testing(project)?;
    for (index, step) in steps.iter().enumerate() {
        println!(
            "\n== step {} of {}: {}",
            index + 1,
            steps.len(),
            step.title()
        );
        let start = Instant::now();
        step.run(project).with_context(|| {
            let name = step.name();
            format!("xtask test: the step {name} failed; repeat it alone with `cargo xtask test --only {name}`")
        })?;
        println!("== passed in {}", rounded(start.elapsed()));
    }
    println!(
        "\nxtask test: all {} steps passed in {}",
        steps.len(),
        rounded(start.elapsed())
    );
    Ok(())
}

/// The template as it is deployed from, and what AWS makes of it: only there are all permissions, and the circles that they
/// close. Asks nobody over the network.
fn check_template(project: &Project) -> Result<()> {
    const TEMPLATE: &str = "deploy/aws/template.yaml";
    let programs = setup::sam_cli(project)?;
    let command = |program: &str| {
        let mut command = Command::new(programs.join(program));
        command
            .current_dir(&project.root)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("SAM_CLI_TELEMETRY", "0")
            // What it remembers is not for the home directory.
            .env("__SAM_CLI_APP_DIR", project.scratch().join("sam-cli/state"));
        command
    };
    process::run(command("sam").args(["validate", "--lint", "--template", TEMPLATE]))?;
    let translated =
        process::output(command("python").args(["tests/aws/translated.py", TEMPLATE]))?;
    let file = project.scratch().join("sam-cli/translated.json");
    fs::write(&file, translated)?;
    process::run(command("cfn-lint").arg("--template").arg(file))
}

fn rounded(time: Duration) -> String {
    format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
}
