//! `bootstrap`, imgn's server as a function of AWS Lambda: each invocation is a request through an API gateway or a
//! function URL, an object that has come into the bucket, the schedule, or a command of the operator.
//!
//! It is the server's own router, called in place of served; what the server is started with comes from the same `IMGN_`
//! variables. The catalogue is SQLite on a file system that the function has mounted, which all its instances share.
//!
//! Invariant: when an invocation is answered, nothing of it goes on: Lambda stops the process then for any time.
//!
//! | module | holds |
//! |---|---|
//! | `invocation` | which kind of event it is |
//! | `gateway` | requests through gateways, and the paths that those put in front |

mod gateway;
mod invocation;

use std::{
    io,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use imgn_server::{
    Config, Function, Role,
    settings::{Place, Serve, log_filter},
};
use lambda_http::{
    Context, LambdaEvent,
    lambda_runtime::{self, Diagnostic, service_fn},
};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::Mutex;
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::invocation::{Command, Invocation};

type Error = lambda_http::Error;

/// What is left of an invocation's time when it stops waiting for verification: for a note in the catalogue, and the
/// answer.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// The part of an invocation's time in which something is still taken up; the rest is for the verification of what was.
const TAKES_UP: f64 = 0.75;

/// The longest that a request is held back by verification: API Gateway gives up after 29 s, and the schedule takes up
/// what takes longer.
const A_CLIENT_WAITS: Duration = Duration::from_secs(25);

/// The server's settings, from the environment only.
#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    serve: Serve,
}

#[tokio::main]
async fn main() -> ExitCode {
    imgn_server::give_back_what_is_large();
    // Lambda keeps what is written to standard error, with a time of its own.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .without_time();
    tracing_subscriber::registry()
        .with(log_filter())
        .with(layer)
        .init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error.source().map(ToString::to_string);
            tracing::error!(%error, cause, "the function does not start");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let settings: Settings = imgn_args::parse_from(["bootstrap"])?;
    let instance = Arc::new(Instance {
        config: settings.serve.config(settings.place),
        function: Mutex::default(),
    });
    // While Lambda waits for it in any case, and so that what is wrong is told at once.
    instance.function().await?;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let instance = instance.clone();
        Box::pin(async move {
            let answer = instance.invoke(event.payload, event.context).await;
            answer.map_err(|error| told(error.as_ref()))
        })
    }))
    .await
}

/// A failure as Lambda tells it to whoever invoked the function: in words, and under a name that stays.
fn told(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Diagnostic {
    Diagnostic {
        error_type: "imgn.NotDone".to_owned(),
        error_message: error.to_string(),
    }
}

/// One environment that Lambda runs: it has one invocation at a time.
struct Instance {
    config: Config,
    /// `None` after one was given up.
    function: Mutex<Option<Arc<Function>>>,
}

impl Instance {
    async fn function(&self) -> Result<Arc<Function>, Error> {
        let mut kept = self.function.lock().await;
        if let Some(function) = &*kept {
            return Ok(function.clone());
        }
        let function = Arc::new(Function::start(self.config.clone()).await?);
        *kept = Some(function.clone());
        Ok(function)
    }

    async fn invoke(&self, event: Box<RawValue>, context: Context) -> Result<Value, Error> {
        let began = Instant::now();
        let function = self.function().await?;
        let deadline = UNIX_EPOCH + Duration::from_millis(context.deadline);
        let invocation = Invocation::read(&event)?;
        let is_asked_again = matches!(invocation, Invocation::Arrived(_) | Invocation::Schedule);
        let most = if matches!(invocation, Invocation::Request) {
            A_CLIENT_WAITS
        } else {
            Duration::MAX
        };
        let left = || {
            let left = deadline.duration_since(SystemTime::now());
            left.unwrap_or_default().saturating_sub(LAST_MOMENT)
        };
        let work = async {
            match invocation {
                Invocation::Request => gateway::answer(&function, &event, context).await,
                Invocation::Arrived(keys) => arrived(&function, &keys).await,
                Invocation::Schedule => Ok(sweep(&function).await),
                Invocation::Command(command) => run_command(&function, command).await,
            }
        };
        // Kept until nothing goes on any more, also where it is a failure.
        let answer = if is_asked_again {
            let work = tokio::time::timeout(left().mul_f64(TAKES_UP), work).await;
            work.unwrap_or_else(|_| {
                Err("there was more to do than one invocation has time for".into())
            })
        } else {
            work.await
        };
        let left = left().min(most.saturating_sub(began.elapsed()));
        if !function.settled(left).await {
            tracing::warn!("a verification takes longer than an invocation; it begins anew");
            // What began late had not all the time, and a request has less of it than what is asked again.
            let whole_time = match is_asked_again {
                true => began.elapsed() / 2,
                false => Duration::MAX,
            };
            function.give_up(whole_time).await;
            *self.function.lock().await = None;
            if is_asked_again {
                return Err("a verification did not end in the time of one invocation".into());
            }
        }
        answer
    }
}

/// What did not work is told to Lambda, which asks again; the schedule does in any case.
async fn arrived(function: &Function, keys: &[String]) -> Result<Value, Error> {
    let mut taken = 0;
    let mut failed = None;
    for key in keys {
        match function.arrived(key).await {
            Ok(is_new) => taken += u64::from(is_new),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(json!({ "taken": taken })),
    }
}

async fn sweep(function: &Function) -> Value {
    let swept = function.sweep().await;
    tracing::info!(
        swept.verifying,
        swept.aborted,
        swept.deleted,
        swept.failures,
        "swept"
    );
    json!({
        "verifying": swept.verifying,
        "aborted": swept.aborted,
        "deleted": swept.deleted,
        "failures": swept.failures,
    })
}

/// What the operator asks for by invoking the function. Whoever may invoke it is let by AWS.
async fn run_command(function: &Function, command: Command) -> Result<Value, Error> {
    let catalogue = function.catalogue();
    Ok(match command {
        Command::TokenAdd { name, role } => {
            let role: Role = role.as_deref().unwrap_or("uploader").parse()?;
            let token = catalogue.add_token(&name, role).await?;
            json!({ "name": name, "role": role.as_str(), "token": token.expose() })
        }
        Command::TokenList => {
            let rows = catalogue.tokens().await?.into_iter().map(|row| {
                json!({ "name": row.name, "role": row.role.as_str(), "created_at": row.created_at })
            });
            json!({ "tokens": rows.collect::<Vec<_>>() })
        }
        Command::TokenRevoke { name } => {
            catalogue.revoke_token(&name).await?;
            json!({ "revoked": name })
        }
        Command::Sweep => sweep(function).await,
    })
}
