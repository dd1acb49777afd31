//! What AWS Lambda is to a function: the Runtime API that it asks for its next event, and an environment that stands still
//! between two of them. And what gateways make of requests: events of the shapes that AWS documents.
//!
//! The protocol: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>. Not here: queues, retries, concurrency;
//! a test invokes once and sees the answer.
//!
//! Invariant: while no invocation is under way, the function's process is stopped, as Lambda freezes it.

mod events;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

pub use events::{Answered, Gateway, Sent, object_created};

use crate::{
    process::{clean_environment, program},
    s3::Target,
};

/// How long a function may take to start, or to answer. Generous: test machines are slow and shared.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time that an invocation has, until [`FunctionProcess::set_timeout`] says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A function in its environment.
pub struct FunctionProcess {
    child: Child,
    log: PathBuf,
    /// Whether it is stopped between two invocations.
    freezes: bool,
    runtime: Arc<Runtime>,
    serving: JoinHandle<()>,
}

/// How an invocation ended: with an answer, or with an error as the function told it.
pub type Outcome = std::result::Result<Value, Value>;

struct Runtime {
    events: mpsc::UnboundedSender<(String, String)>,
    next: tokio::sync::Mutex<mpsc::UnboundedReceiver<(String, String)>>,
    waiting: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    /// How often it asked for its next event.
    asked: watch::Sender<u64>,
    /// The time that an invocation has.
    timeout: Mutex<Duration>,
}

impl FunctionProcess {
    /// Starts the built function with these variables, keeps its log below `directory`, and waits until it asks for work.
    pub async fn start(directory: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        let (events, next) = mpsc::unbounded_channel();
        let runtime = Arc::new(Runtime {
            events,
            next: tokio::sync::Mutex::new(next),
            waiting: Mutex::default(),
            asked: watch::Sender::new(0),
            timeout: Mutex::new(TIMEOUT),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(serve(listener, runtime.clone()));
        fs::create_dir_all(directory)?;
        let log = directory.join("function.log");
        let mut command = Command::new(program("bootstrap")?);
        clean_environment(&mut command);
        command
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "imgn")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/imgn")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "test")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(
                fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&log)?,
            );
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        let mut function = Self {
            child,
            log,
            freezes: true,
            runtime,
            serving,
        };
        function.idle(1).await?;
        Ok(function)
    }

    /// Starts it with its catalogue in `data`, which other environments of the same function share, its pictures in a store,
    /// small ones through itself, and with these variables besides.
    pub async fn start_on(
        target: &Target,
        data: &Path,
        directory: &Path,
        besides: &[(&str, &str)],
    ) -> Result<Self> {
        let data = data.display().to_string();
        let mut environment = vec![
            ("AWS_ACCESS_KEY_ID", target.access_key.as_str()),
            ("AWS_SECRET_ACCESS_KEY", target.secret_key.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("IMGN_DATA_DIR", data.as_str()),
            ("IMGN_SHARED_FILE_SYSTEM", "true"),
            ("IMGN_STORAGE", "s3"),
            ("IMGN_S3_ENDPOINT", target.endpoint.as_str()),
            ("IMGN_S3_BUCKET", target.bucket.as_str()),
            ("IMGN_S3_PATH_STYLE", "true"),
            ("IMGN_RELAY_MAX_SIZE", "4M"),
        ];
        environment.extend(besides);
        Self::start(directory, &environment).await
    }

    /// Makes a token, as an operator does by invoking the function.
    pub async fn add_token(&mut self, name: &str) -> Result<String> {
        let command = serde_json::json!({"command": "token-add", "name": name});
        let made = self.invoke(&command).await?;
        let made = made.map_err(|error| anyhow::anyhow!("{error}"))?;
        let token = made["token"].as_str().context("a token")?;
        Ok(token.to_owned())
    }

    /// Gives each invocation from now on so much time.
    pub fn set_timeout(&mut self, timeout: Duration) {
        *self
            .runtime
            .timeout
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = timeout;
    }

    /// Lets it run from now on, for measuring: stopping and going on takes longer than many an answer.
    pub fn never_freeze(&mut self) -> Result<()> {
        self.signal("-CONT")?;
        self.freezes = false;
        Ok(())
    }

    /// Invokes it with an event, and stops it once it has asked for the next.
    pub async fn invoke(&mut self, event: &Value) -> Result<Outcome> {
        let id = uuid::Uuid::now_v7().to_string();
        let (sender, answer) = oneshot::channel();
        self.runtime.waiting().insert(id.clone(), sender);
        let asked = *self.runtime.asked.borrow();
        if self.freezes {
            self.signal("-CONT")?;
        }
        self.runtime.events.send((id, event.to_string()))?;
        let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, answer).await else {
            bail!("no answer to {event}:\n{}", self.log());
        };
        self.idle(asked + 1).await?;
        Ok(answer)
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    async fn idle(&mut self, asked: u64) -> Result<()> {
        let mut seen = self.runtime.asked.subscribe();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                tokio::select! {
                    asked = seen.wait_for(|seen| *seen >= asked) => return asked.is_ok(),
                    () = tokio::time::sleep(Duration::from_millis(100)) => {}
                }
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return false;
                }
            }
        });
        let is_idle = waited.await.unwrap_or(false);
        ensure!(
            is_idle,
            "the function does not ask for events:\n{}",
            self.log()
        );
        if self.freezes {
            self.signal("-STOP")?;
        }
        Ok(())
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status()?;
        ensure!(status.success(), "kill {signal} {id}");
        Ok(())
    }
}

impl Drop for FunctionProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.serving.abort();
    }
}

impl Runtime {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Outcome>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let path = request.uri().path().to_owned();
        let path: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match path[..] {
            ["2018-06-01", "runtime", "invocation", "next"] => {
                self.asked.send_modify(|asked| *asked += 1);
                let next = self.next.lock().await.recv().await;
                let (id, event) = next.context("the test has ended")?;
                let timeout = *self.timeout.lock().unwrap_or_else(PoisonError::into_inner);
                let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + timeout;
                Ok(Response::builder()
                    .header("content-type", "application/json")
                    .header("lambda-runtime-aws-request-id", id)
                    .header(
                        "lambda-runtime-deadline-ms",
                        deadline.as_millis().to_string(),
                    )
                    .header(
                        "lambda-runtime-invoked-function-arn",
                        "arn:aws:lambda:eu-central-1:123456789012:function:imgn",
                    )
                    .header(
                        "lambda-runtime-trace-id",
                        "Root=1-5759e988-bd862e3fe1be46a994272793",
                    )
                    .body(Full::new(event.into()))?)
            }
            [
                "2018-06-01",
                "runtime",
                "invocation",
                id,
                how @ ("response" | "error"),
            ] => {
                let waiting = self.waiting().remove(id);
                let is_error = how == "error";
                let body = request.into_body().collect().await?.to_bytes();
                // Lambda takes no larger answers.
                ensure!(
                    body.len() <= 6 * 1024 * 1024,
                    "{} bytes of answer",
                    body.len()
                );
                let body = serde_json::from_slice(&body)?;
                if let Some(waiting) = waiting {
                    let _ = waiting.send(if is_error { Err(body) } else { Ok(body) });
                }
                accepted()
            }
            ["2018-06-01", "runtime", "init", "error"] => accepted(),
            _ => Ok(Response::builder()
                .status(StatusCode::NOT_FOUND)
                .body(Full::default())?),
        }
    }
}

fn accepted() -> Result<Response<Full<Bytes>>> {
    Ok(Response::builder()
        .status(StatusCode::ACCEPTED)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(b"{\"status\":\"OK\"}")))?)
}

async fn serve(listener: TcpListener, runtime: Arc<Runtime>) {
    while let Ok((stream, _)) = listener.accept().await {
        let runtime = runtime.clone();
        let service = service_fn(move |request| {
            let runtime = runtime.clone();
            async move { runtime.answer(request).await }
        });
        tokio::spawn(async move {
            // The function's end is the connection's.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
