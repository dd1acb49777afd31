//! How many requests a second are signed for on one core, and how soon, beside `@uppy/companion` doing the same, and beside
//! a page of the same server that nothing is done for.
//!
//! Invariant: all get the same load in turns within one run, and of each the median of its turns is told.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{
    Server,
    companion::{Companion, Kind},
    http::{self, Connection},
    load::{self, Aside, CONNECTIONS, Load, Maker},
    median,
};
use crate::{
    bench::{Figure, figure},
    project::Project,
};

const TURN: Duration = Duration::from_secs(3);
const STEADY_TURN: Duration = Duration::from_secs(5);
const QUICK_TURN: Duration = Duration::from_millis(300);

/// No sooner than this is a steady load begun, however slow a server is.
const LEAST_RATE: f64 = 10.0;

/// Parts of the announced upload, and how large each is.
const PARTS: u64 = 5000;
const PART: u64 = 8 << 20;

/// The most parts of S3.
const MOST_PARTS: u64 = 10_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    /// The web page's frame, from memory: about as many bytes as an answer with a URL.
    Bare,
    /// A new upload, announced, with the URL for its bytes.
    Open,
    /// A part of an announced upload.
    Part,
    /// The form that Uppy posts a file with.
    UppyForm,
    /// A part of an upload of Uppy's.
    UppyPart,
    CompanionForm,
    CompanionPart,
    /// A part, from Companion with nothing around it.
    MiddlewarePart,
}

/// Both of Companion's.
struct Companions {
    program: Companion,
    middleware: Companion,
}

impl Task {
    const ALL: [Self; 8] = [
        Self::Bare,
        Self::Open,
        Self::Part,
        Self::UppyPart,
        // After it the server looks for what was signed for, by and by.
        Self::UppyForm,
        Self::CompanionForm,
        Self::CompanionPart,
        Self::MiddlewarePart,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare route, GET /",
            Self::Open => "imgn, PUT /v1/uploads/{id}?sign=true",
            Self::Part => "imgn, POST /v1/uploads/{id}/sign, a part",
            Self::UppyForm => "imgn, GET /s3/params",
            Self::UppyPart => "imgn, GET /s3/multipart/{id}/{part}",
            Self::CompanionForm => "Companion, GET /s3/params",
            Self::CompanionPart => "Companion, GET /s3/multipart/{id}/{part}",
            Self::MiddlewarePart => "Companion as middleware, GET /s3/multipart/{id}/{part}",
        }
    }

    /// Which of Companion's tasks it is compared with.
    fn peer(self) -> Option<Self> {
        match self {
            Self::Open | Self::UppyForm => Some(Self::CompanionForm),
            Self::Part | Self::UppyPart => Some(Self::CompanionPart),
            Self::Bare | Self::CompanionForm | Self::CompanionPart | Self::MiddlewarePart => None,
        }
    }
}

/// What one round has: a gallery of its own, so that nobody has much under way, which a gallery counts.
struct Round {
    /// Until Companion has its turn, to which it leaves the core.
    server: Option<Server>,
    /// A client for each connection.
    clients: Vec<Client>,
}

struct Client {
    token: String,
    /// An announced upload in parts.
    upload: String,
    /// One of Uppy's, and its key.
    uppy: (String, String),
}

impl Round {
    fn begin(project: &Project, number: usize) -> Result<Self> {
        let server = Server::start(
            project,
            &["--max-pending", "4000000000", "--max-size", "1000G"],
        )?;
        let clients = (0..CONNECTIONS)
            .map(|which| Client::new(&server, number, which))
            .collect::<Result<_>>()?;
        Ok(Self {
            server: Some(server),
            clients,
        })
    }

    /// Where a task is asked for, from now on.
    fn turn(&mut self, task: Task, companions: &Companions) -> Result<SocketAddr> {
        let (program, middleware) = match task {
            Task::CompanionForm | Task::CompanionPart => (true, false),
            Task::MiddlewarePart => (false, true),
            _ => (false, false),
        };
        companions.program.has_its_turn(program)?;
        companions.middleware.has_its_turn(middleware)?;
        let companion = match task {
            Task::CompanionForm | Task::CompanionPart => &companions.program,
            Task::MiddlewarePart => &companions.middleware,
            _ => {
                let server = self.server.as_ref();
                return Ok(server.context("imgn's turn is over")?.address);
            }
        };
        self.server = None;
        Ok(companion.address)
    }

    fn request(&self, task: Task, address: SocketAddr, which: usize, number: u64) -> Vec<u8> {
        const FORM: &str = "/s3/params?filename=picture.jpg&type=image%2Fjpeg";
        let client = &self.clients[which];
        let get = |path: &str| {
            let bearer = client.bearer();
            http::request("GET", path, address, &[("authorization", &bearer)], &[])
        };
        match task {
            // Others than the page's own visitors would send no token either.
            Task::Bare => http::request("GET", "/", address, &[], &[]),
            Task::Open => client.open(address, &id(number), 1_000_000),
            Task::Part => {
                let path = format!("/v1/uploads/{}/sign", client.upload);
                let part = 1 + number % PARTS;
                let body = format!(r#"{{"part":{part},"checksum":"{number:064x}"}}"#);
                client.send("POST", address, &path, &body)
            }
            Task::UppyForm | Task::CompanionForm => get(FORM),
            Task::UppyPart => {
                let (id, key) = &client.uppy;
                let part = 1 + number % MOST_PARTS;
                get(&format!("/s3/multipart/{id}/{part}?key={key}"))
            }
            Task::CompanionPart | Task::MiddlewarePart => {
                // It knows no uploads, and signs for any that it is told.
                let (id, key) = &client.uppy;
                let part = 1 + number % MOST_PARTS;
                get(&format!(
                    "/s3/multipart/{}/{part}?key={key}",
                    id.replace('-', "")
                ))
            }
        }
    }
}

impl Client {
    fn new(server: &Server, round: usize, which: usize) -> Result<Self> {
        let mut client = Self {
            token: server.token(&format!("client-{which}"))?,
            upload: id(u64::MAX >> 17 << 4 | which as u64),
            uppy: Default::default(),
        };
        let mut connection = Connection::open(server.address)?;
        let opened = connection
            .ask(&client.open(server.address, &client.upload, PARTS * PART))
            .with_context(|| format!("round {round}"))?
            .json()?;
        ensure!(
            opened["mode"] == "multipart",
            "an upload in parts: {opened}"
        );
        let named = r#"{"filename":"picture.jpg","type":"image/jpeg"}"#;
        let made = connection
            .ask(&client.send("POST", server.address, "/s3/multipart", named))?
            .json()?;
        let text = |name: &str| {
            let text = made[name].as_str();
            text.map(ToOwned::to_owned).context("a text")
        };
        client.uppy = (text("uploadId")?, text("key")?);
        Ok(client)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Announces a picture, and asks for its URL with it.
    fn open(&self, address: SocketAddr, id: &str, size: u64) -> Vec<u8> {
        let sum = id.replace('-', "");
        let body = format!(
            r#"{{"file_name":"picture.jpg","size":{size},"sha256":"{sum}{sum}","content_type":"image/jpeg","checksum_algorithms":["sha256"]}}"#
        );
        let path = format!("/v1/uploads/{id}?sign=true");
        self.send("PUT", address, &path, &body)
    }

    fn send(&self, method: &str, address: SocketAddr, path: &str, body: &str) -> Vec<u8> {
        let bearer = self.bearer();
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        http::request(method, path, address, &headers, body.as_bytes())
    }
}

/// An id as clients make them: a time, and what is different each time.
fn id(number: u64) -> String {
    format!(
        "01980000-{:04x}-7000-8000-{:012x}",
        (number >> 10) & 0xffff,
        number & 0xffff_ffff_ffff
    )
}

pub(super) fn measure(project: &Project, rounds: Option<usize>) -> Result<Vec<Figure>> {
    let (rounds, turn, steady_turn) = match rounds {
        None => (1, QUICK_TURN, QUICK_TURN),
        Some(rounds) => (rounds, TURN, STEADY_TURN),
    };
    let companions = Companions {
        program: Companion::start(project, Kind::Program)?,
        middleware: Companion::start(project, Kind::Middleware)?,
    };
    let aside = Aside::step()?;
    let mut loads: Vec<Vec<Load>> = Task::ALL.iter().map(|_| Vec::new()).collect();
    let mut bytes = Vec::new();
    for number in 0..rounds {
        let mut round = Round::begin(project, number)?;
        for (task, loads) in Task::ALL.into_iter().zip(&mut loads) {
            let address = round.turn(task, &companions)?;
            let clients = &round;
            let make: &Maker<'_> = &|which, number| clients.request(task, address, which, number);
            if number == 0 {
                let answer = Connection::open(address)?.ask(&make(0, 1 << 40))?;
                bytes.push(answer.bytes);
            }
            loads.push(load::most(address, make, turn).context(task.name())?);
        }
    }
    let middle = |loads: &[Load], what: &dyn Fn(&Load) -> f64| median(loads.iter().map(what));
    let rates: Vec<f64> = loads
        .iter()
        .map(|loads| middle(loads, &|load| load.rate))
        .collect();
    let mut round = Round::begin(project, rounds)?;
    let mut steady = Vec::new();
    for (task, rate) in Task::ALL.into_iter().zip(&rates) {
        let address = round.turn(task, &companions)?;
        let clients = &round;
        let make: &Maker<'_> = &|which, number| clients.request(task, address, which, number);
        let rate = (rate / 2.0).max(LEAST_RATE);
        steady.push(load::steady(address, make, rate, steady_turn).context(task.name())?);
    }
    drop(aside);

    let rate_of = |wanted: Task| {
        let mut found = Task::ALL.into_iter().zip(&rates);
        found
            .find_map(|(task, rate)| (task == wanted).then_some(*rate))
            .context("a rate")
    };
    let mut figures = Vec::new();
    for (place, task) in Task::ALL.into_iter().enumerate() {
        let mut told = |what: &str, value: f64, unit: &'static str| {
            figures.push(figure(&format!("{}: {what}", task.name()), value, unit));
        };
        told("bytes of an answer", bytes[place] as f64, "B");
        told("most at a time", rates[place], "/s");
        if let Some(peer) = task.peer() {
            told(
                "the same, of Companion's",
                rates[place] / rate_of(peer)?,
                "x",
            );
            told(
                "the same, of the bare route's",
                rates[place] / rate_of(Task::Bare)?,
                "x",
            );
        }
        for (share, name) in [(0.5, "50th"), (0.99, "99th")] {
            let time = middle(&loads[place], &|load| load.quantile(share));
            told(&format!("at most, {name} percentile"), time, "ms");
            let time = steady[place].quantile(share);
            told(
                &format!("at half of that rate, {name} percentile"),
                time,
                "ms",
            );
        }
        told("the rate that half was", steady[place].rate, "/s");
    }
    Ok(figures)
}
